//! Connections and streams that are opened and then not used.

use std::time::Duration;

use backlog_scaler::keda::proto::external_scaler_client::ExternalScalerClient;
use prost::Message;

use super::*;

/// Connections that send nothing, not even a preface.
async fn idle(program: &Program, count: usize) -> Vec<Raw> {
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        idle.push(Raw::connect(program).await);
    }
    idle
}

/// Waits until a new caller gets its value; one that is refused tries again.
async fn served_at_last(program: &Program, honest: &Honest) {
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", program.address));
    let endpoint = endpoint.unwrap();
    let served = timeout(HANGS, async {
        loop {
            if let Ok(channel) = endpoint.connect().await {
                let mut client = ExternalScalerClient::new(channel);
                if let Ok(evaluation) =
                    testkit::scaler::evaluate(&mut client, &honest.trigger).await
                {
                    return evaluation.value;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(served.await.expect("served in time"), 7.0);
}

#[tokio::test]
async fn a_thousand_idle_connections_leave_room_for_others_below_the_limit() {
    let Some((program, honest)) = victim("listen: {maxConnections: 1200}").await else {
        return;
    };
    let mut idle = idle(&program, 1_000).await;
    let attack = async {
        // Half of them come as far as the preface.
        for raw in idle.iter_mut().step_by(2) {
            raw.send(PREFACE).await.unwrap();
        }
        for _ in 0..10 {
            honest.assert_served(&program).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_caller_that_is_connected_is_served_when_idle_connections_take_all_others() {
    let Some((program, honest)) = victim("listen: {maxConnections: 100}").await else {
        return;
    };
    let mut connected = program.client().await;
    let mut served = async || {
        let evaluation = timeout(
            HANGS,
            testkit::scaler::evaluate(&mut connected, &honest.trigger),
        );
        let evaluation = evaluation.await.expect("in time").unwrap();
        assert_eq!(evaluation.value, 7.0);
    };
    served().await;
    let mut idle = idle(&program, 1_000).await;
    for raw in idle.iter_mut().skip(100) {
        raw.closed("a connection beyond the limit").await;
    }
    for _ in 0..10 {
        served().await;
    }
    // Connections that end make room for new callers.
    drop(idle);
    served_at_last(&program, &honest).await;
    program.assert_memory_is_bounded();
}

#[tokio::test]
async fn bytes_that_trickle_in_hold_up_no_other_call() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let whole = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, END_HEADERS, 1, &call(GET_METRICS, &[])),
    ]
    .concat();
    let attack = async {
        let mut slow = idle(&program, 100).await;
        for byte in &whole {
            for raw in &mut slow {
                raw.send(&[*byte]).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

/// Sends the data of a stream as the server makes room for it (RFC 9113, section 6.9). `None` if it
/// makes no more.
struct Paced {
    raw: Raw,
    connection: usize,
    stream: usize,
}

impl Paced {
    async fn hello(program: &Program, settings: &[u8]) -> Self {
        Paced {
            raw: Raw::hello(program, settings).await,
            // The window before anything was said of it.
            connection: 65_535,
            stream: 0,
        }
    }

    async fn begin(&mut self, stream: u32, path: &str) {
        let begun = frame(HEADERS, END_HEADERS, stream, &call(path, &[]));
        self.raw.send(&begun).await.unwrap();
    }

    async fn send(&mut self, stream: u32, data: &[u8]) -> Option<()> {
        self.stream = 65_535;
        for chunk in data.chunks(16_000) {
            while self.connection.min(self.stream) < chunk.len() {
                // A second without room: the server takes no more.
                let next = timeout(Duration::from_secs(1), self.raw.frame()).await;
                let (kind, _, of, payload) = next.ok()??;
                match (kind, of) {
                    (WINDOW_UPDATE, 0) => self.connection += number(&payload),
                    (WINDOW_UPDATE, of) if of == stream => self.stream += number(&payload),
                    (RST_STREAM, of) if of == stream => return Some(()),
                    _ => {}
                }
            }
            self.connection -= chunk.len();
            self.stream -= chunk.len();
            self.raw.send(&frame(DATA, 0, stream, chunk)).await.ok()?;
        }
        Some(())
    }
}

fn number(payload: &[u8]) -> usize {
    u32::from_be_bytes(payload.try_into().unwrap()) as usize
}

#[tokio::test]
async fn streams_whose_responses_are_never_read_take_little_memory() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let attack = async {
        // No stream may send a byte of data to us.
        let settings = [&INITIAL_WINDOW[..], &[0; 4]].concat();
        let mut paced = Paced::hello(&program, &settings).await;
        let trigger = honest.trigger.encode_to_vec();
        let data = message(false, trigger.len() as u32, &trigger);
        for stream in (1..10_000).step_by(2) {
            paced.begin(stream, STREAM_IS_ACTIVE).await;
            paced.send(stream, &data).await.expect("room for it");
            let end = frame(DATA, END_STREAM, stream, &[]);
            paced.raw.send(&end).await.unwrap();
        }
        for _ in 0..10 {
            honest.assert_served(&program).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn messages_that_are_never_finished_take_little_memory() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let almost = vec![0; 1024 * 1024 - 16];
    let data = message(false, 1024 * 1024 - 1, &almost);
    let attack = async {
        let mut paced = Paced::hello(&program, &[]).await;
        for stream in (1..1_000).step_by(2) {
            paced.begin(stream, GET_METRICS).await;
            if paced.send(stream, &data).await.is_none() {
                break;
            }
        }
    };
    honest.assert_served_during(&program, attack).await;
}
