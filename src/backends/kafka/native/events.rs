//! Events: what arrives on the queue becomes owned values, and goes to who waits for it.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::null,
    sync::Arc,
};

use rdkafka::{
    bindings::{self as sys, rd_kafka_event_t as Event},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};

use super::{Answer, Described, Failure, Offset, Shared};

/// The longest that the polling thread sleeps; whatever arrives wakes it earlier.
const POLL_MILLIS: i32 = 1000;

impl Shared {
    /// Waits for the next event and deals with it.
    pub(super) fn poll(&self) {
        // SAFETY: the queue is alive as long as self. The event is ours until it is destroyed, and
        // nothing that is kept points into it.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue.0, POLL_MILLIS);
            if !event.is_null() {
                self.receive(event);
                sys::rd_kafka_event_destroy(event);
            }
        }
    }

    /// # Safety
    /// The event must be alive, and used by no other thread.
    unsafe fn receive(&self, event: *mut Event) {
        // SAFETY: the caller's promise; each accessor is called for the type that it belongs to.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_LOG => self.log(event),
                sys::RD_KAFKA_EVENT_ERROR => {
                    if let Some(failure) = failure(event) {
                        self.listener.trouble(failure);
                    }
                }
                sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => self.listener.token_wanted(),
                kind => self.answer(event, kind),
            }
        }
    }

    /// # Safety
    /// As for [`Shared::receive`]; a log event.
    unsafe fn log(&self, event: *mut Event) {
        let (mut facility, mut line, mut level) = (null(), null(), 0);
        // SAFETY: the three places are ours; the texts live as long as the event.
        unsafe {
            if sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level) == 0 {
                self.listener.log(level, &text(facility), &text(line));
            }
        }
    }

    /// # Safety
    /// As for [`Shared::receive`].
    unsafe fn answer(&self, event: *mut Event, kind: sys::rd_kafka_event_type_t) {
        // SAFETY: the opaque pointer is the number that the request was sent under.
        let number = unsafe { sys::rd_kafka_event_opaque(event) } as usize;
        let Some(waiting) = self.waiting.lock().remove(&number) else {
            return;
        };
        // SAFETY: the caller's promise, and the result is read as what its event type says.
        let answer = unsafe {
            match (failure(event), kind) {
                (Some(failure), _) => Err(failure),
                (None, sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT) => committed(event),
                (None, sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT) => Ok(ends(event)),
                (None, sys::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT) => Ok(topics(event)),
                (None, _) => Ok(Answer::Cluster),
            }
        };
        // Whoever asked may have gone.
        let _ = waiting.send(answer);
    }
}

/// The error of an event as a whole.
///
/// # Safety
/// The event must be alive.
unsafe fn failure(event: *mut Event) -> Option<Failure> {
    // SAFETY: the caller's promise; the text lives as long as the event.
    unsafe {
        let code = code(sys::rd_kafka_event_error(event))?;
        let text = text(sys::rd_kafka_event_error_string(event));
        Some(Failure { code, text })
    }
}

/// # Safety
/// The event must be alive, and the answer to ListConsumerGroupOffsets.
unsafe fn committed(event: *mut Event) -> Result<Answer, Failure> {
    // SAFETY: the caller's promise; everything reached lives as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0;
        let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        let Some(group) = elements(groups.cast_const(), count).first() else {
            return Ok(Answer::Offsets(Vec::new()));
        };
        if let Some(failure) = of_error(sys::rd_kafka_group_result_error(*group)) {
            return Err(failure);
        }
        let list = sys::rd_kafka_group_result_partitions(*group);
        if list.is_null() {
            return Ok(Answer::Offsets(Vec::new()));
        }
        let list = elements((*list).elems.cast_const(), (*list).cnt as usize);
        Ok(Answer::Offsets(offsets(list.iter())))
    }
}

/// # Safety
/// The event must be alive, and the answer to ListOffsets.
unsafe fn ends(event: *mut Event) -> Answer {
    // SAFETY: the caller's promise; everything reached lives as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
        let infos = elements(infos.cast_const(), count).iter();
        let partitions =
            infos.map(|info| &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info));
        Answer::Offsets(offsets(partitions))
    }
}

/// # Safety
/// The names of the partitions must be alive.
unsafe fn offsets<'a>(
    partitions: impl Iterator<Item = &'a sys::rd_kafka_topic_partition_t>,
) -> Vec<Offset> {
    let mut topic: Arc<str> = Arc::from("");
    let owned = partitions.map(|partition| {
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(partition.topic) }.to_string_lossy();
        // Partitions of a topic mostly come together: they share its name.
        if *topic != *name {
            topic = Arc::from(name);
        }
        Offset {
            topic: topic.clone(),
            partition: partition.partition,
            offset: partition.offset,
            error: code(partition.err),
        }
    });
    owned.collect()
}

/// # Safety
/// The event must be alive, and the answer to DescribeTopics.
unsafe fn topics(event: *mut Event) -> Answer {
    // SAFETY: the caller's promise; everything reached lives as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let described = elements(topics.cast_const(), count).iter().map(|topic| {
            let partitions = match of_error(sys::rd_kafka_TopicDescription_error(*topic)) {
                Some(failure) => Err(failure),
                None => {
                    let mut count = 0;
                    let partitions = sys::rd_kafka_TopicDescription_partitions(*topic, &mut count);
                    let partitions = elements(partitions.cast_const(), count).iter();
                    Ok(partitions.map(|partition| led(*partition)).collect())
                }
            };
            Described {
                name: text(sys::rd_kafka_TopicDescription_name(*topic)),
                partitions,
            }
        });
        Answer::Topics(described.collect())
    }
}

/// A partition's number, and the broker that leads it.
///
/// # Safety
/// The partition must be alive.
unsafe fn led(partition: *const sys::rd_kafka_TopicPartitionInfo_t) -> (i32, Option<i32>) {
    // SAFETY: the caller's promise.
    unsafe {
        let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
        let leader = (!leader.is_null()).then(|| sys::rd_kafka_Node_id(leader));
        let number = sys::rd_kafka_TopicPartitionInfo_partition(partition);
        (number, leader.filter(|broker| *broker >= 0))
    }
}

/// # Safety
/// `first` must point to `count` elements that outlive their use, or `count` be 0.
pub(super) unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match count == 0 || first.is_null() {
        true => &[],
        // SAFETY: the caller's promise.
        false => unsafe { std::slice::from_raw_parts(first, count) },
    }
}

/// # Safety
/// The error must be alive, or null, which is none.
unsafe fn of_error(error: *const sys::rd_kafka_error_t) -> Option<Failure> {
    if error.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let code = code(sys::rd_kafka_error_code(error))?;
        let text = text(sys::rd_kafka_error_string(error));
        Some(Failure { code, text })
    }
}

fn code(error: RDKafkaRespErr) -> Option<Code> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

/// A text of librdkafka's on one line.
///
/// # Safety
/// `text` must be null or end with NUL.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    text.trim().replace(['\r', '\n'], " ")
}

/// A text for librdkafka. It ends at its first NUL, which no checked name has.
pub(super) fn c_string(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}
