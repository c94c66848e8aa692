//! Requests: each is sent under a number and answered through its [`Pending`].

use std::{
    ffi::{CString, c_char, c_void},
    ptr::null_mut,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rdkafka::{
    bindings::{self as sys, rd_kafka_AdminOptions_t as Options, rd_kafka_admin_op_t as Api},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};
use tokio::sync::oneshot;

use super::{Answer, End, Failure, Handle, Shared, c_string, events::elements, text};

/// A request under way. Dropping it forgets the request: its answer is thrown away.
pub struct Pending {
    shared: Arc<Shared>,
    number: usize,
    answered: oneshot::Receiver<Result<Answer, Failure>>,
    limit: Duration,
}

/// What librdkafka is told of a request to a coordinator: its longest. If such a request times out
/// by librdkafka's clock while it waits for its coordinator, and the coordinator then comes up,
/// librdkafka 2.12 gives up the same reference twice and ends the process
/// (`rd_kafka_admin_coord_request`, then `rd_kafka_admin_coord_response_parse`). So only our own
/// clock runs, and a handle with such requests is soon replaced.
const NEVER: Duration = Duration::from_secs(3600);

/// librdkafka answers some requests later than their time limit, and some never.
const GRACE: Duration = Duration::from_millis(100);

impl Pending {
    /// The answer, within the request's time limit.
    pub async fn answer(mut self) -> Result<Answer, Failure> {
        match tokio::time::timeout(self.limit + GRACE, &mut self.answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Failure {
                code: Code::OperationTimedOut,
                text: format!("no answer within {:?}", self.limit),
            }),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.waiting.lock().remove(&self.number);
    }
}

impl Handle {
    /// Asks for the brokers: a proof that one is there and lets us in.
    pub fn describe_cluster(&self, limit: Duration) -> Pending {
        self.submit(
            Api::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
            limit,
            None,
            |rk, options, queue| {
                // SAFETY: all three are alive; librdkafka copies the options.
                unsafe { sys::rd_kafka_DescribeCluster(rk, options, queue) }
            },
        )
    }

    /// Asks which partitions topics have. At least one name; none with a NUL in it.
    pub fn describe_topics(&self, names: &[&str], limit: Duration) -> Pending {
        let names: Vec<CString> = names.iter().map(|name| c_string(name)).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        self.submit(
            Api::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            limit,
            None,
            |rk, options, queue| {
                // SAFETY: the names outlive the calls, and the collection copies them.
                unsafe {
                    let topics = sys::rd_kafka_TopicCollection_of_topic_names(
                        pointers.as_mut_ptr(),
                        pointers.len(),
                    );
                    sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
                    sys::rd_kafka_TopicCollection_destroy(topics);
                }
            },
        )
    }

    /// Asks for an end of partitions: one request for each broker that leads some of them.
    /// No partition may be named twice.
    pub fn list_offsets(
        &self,
        partitions: &[(Arc<str>, i32)],
        end: End,
        limit: Duration,
    ) -> Pending {
        let (spec, committed_only) = match end {
            End::Start => (
                sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
                false,
            ),
            End::Latest { committed_only } => (
                sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
                committed_only,
            ),
        };
        let api = Api::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
        self.submit(api, limit, Some(committed_only), |rk, options, queue| {
            let mut topic = (Arc::from(""), CString::default());
            // SAFETY: the list is ours until it is destroyed here; librdkafka copies names and list.
            unsafe {
                let list = sys::rd_kafka_topic_partition_list_new(partitions.len() as i32);
                for (name, partition) in partitions {
                    if topic.0 != *name {
                        topic = (name.clone(), c_string(name));
                    }
                    let added =
                        sys::rd_kafka_topic_partition_list_add(list, topic.1.as_ptr(), *partition);
                    (*added).offset = spec as i64;
                }
                sys::rd_kafka_ListOffsets(rk, list, options, queue);
                sys::rd_kafka_topic_partition_list_destroy(list);
            }
        })
    }

    /// Asks for all offsets that a group has committed.
    pub fn committed(&self, group: &str, limit: Duration) -> Pending {
        let group = c_string(group);
        let api = Api::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        let mut pending = self.submit(api, NEVER, None, |rk, options, queue| {
            // SAFETY: the request is ours until it is destroyed here, and copied by the call. No
            // list of partitions means all that have an offset (rdkafka.h).
            unsafe {
                let mut request =
                    sys::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), null_mut());
                sys::rd_kafka_ListConsumerGroupOffsets(rk, &mut request, 1, options, queue);
                sys::rd_kafka_ListConsumerGroupOffsets_destroy(request);
            }
        });
        pending.limit = limit;
        pending
    }

    /// The names of all topics of the cluster. Blocks for up to `limit`.
    pub fn all_topics(&self, limit: Duration) -> Result<Vec<String>, Code> {
        let mut metadata = std::ptr::null();
        let rk = self.shared().client.native_ptr();
        // SAFETY: the client is alive; on success the metadata is ours to read and to destroy, and
        // its names are copied before.
        unsafe {
            let error = sys::rd_kafka_metadata(rk, 1, null_mut(), &mut metadata, millis(limit));
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || metadata.is_null() {
                return Err(error.into());
            }
            let count = (*metadata).topic_cnt as usize;
            let topics = elements((*metadata).topics.cast_const(), count).iter();
            let names = topics.map(|topic| text(topic.topic)).collect();
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(names)
        }
    }

    /// Makes librdkafka forget what it believes of the leaders of the topics that it knows.
    /// Blocks for up to `limit`.
    pub fn refresh_leaders(&self, limit: Duration) {
        let mut metadata = std::ptr::null();
        let rk = self.shared().client.native_ptr();
        // SAFETY: the client is alive; on success the metadata is ours to destroy, and not used.
        unsafe {
            let error = sys::rd_kafka_metadata(rk, 0, null_mut(), &mut metadata, millis(limit));
            if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Sends a request whose answer comes by its number.
    fn submit(
        &self,
        api: Api,
        limit: Duration,
        committed_only: Option<bool>,
        send: impl FnOnce(*mut sys::rd_kafka_t, *mut Options, *mut sys::rd_kafka_queue_t),
    ) -> Pending {
        let shared = self.shared();
        let number = shared.last_request.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        shared.waiting.lock().insert(number, answer);
        let rk = shared.client.native_ptr();
        let mut reason = [0 as c_char; 128];
        // SAFETY: client and queue are alive; the options are ours until they are destroyed here,
        // and every request copies them. The opaque pointer is a number that nobody dereferences.
        unsafe {
            let options = sys::rd_kafka_AdminOptions_new(rk, api);
            let (buffer, size) = (reason.as_mut_ptr(), reason.len());
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(limit), buffer, size);
            sys::rd_kafka_AdminOptions_set_opaque(options, number as *mut c_void);
            if let Some(committed_only) = committed_only {
                use sys::rd_kafka_IsolationLevel_t as Level;
                let level = match committed_only {
                    true => Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
                    false => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
                };
                let error = sys::rd_kafka_AdminOptions_set_isolation_level(options, level);
                if !error.is_null() {
                    sys::rd_kafka_error_destroy(error);
                }
            }
            send(rk, options, shared.queue.0);
            sys::rd_kafka_AdminOptions_destroy(options);
        }
        Pending {
            shared: shared.clone(),
            number,
            answered,
            limit,
        }
    }
}

fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}
