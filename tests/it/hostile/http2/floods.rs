//! Much of what costs the client little.

use std::time::Duration;

use super::*;

/// How many times a flood's frame is sent, unless the server closes the connection before.
const FLOOD: usize = 50_000;

/// Sends a flood, and does not wait for a server that stops reading.
async fn flood(raw: &mut Raw, frames: impl Iterator<Item = Vec<u8>>) {
    let mut frames = frames.peekable();
    while frames.peek().is_some() {
        let chunk: Vec<u8> = frames.by_ref().take(100).flatten().collect();
        // A second without progress: the server waits for us to read.
        match timeout(Duration::from_secs(1), raw.send(&chunk)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn headers_without_an_end_close_the_connection() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let attack = async {
        for padding in ["", "x".repeat(16_000).as_str()] {
            let mut raw = Raw::hello(&program, &[]).await;
            raw.send(&frame(HEADERS, 0, 1, &call(GET_METRICS, &[])))
                .await
                .unwrap();
            let more = frame(CONTINUATION, 0, 1, &field("x-more", padding));
            flood(&mut raw, std::iter::repeat_n(more, FLOOD)).await;
            raw.closed("a flood of CONTINUATION").await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_call_with_huge_or_many_headers_is_refused() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let huge = "x".repeat(16_000);
    let attack = async {
        // Two of them are beyond 16 KiB; an indexed name of one byte counts as 32 more.
        let huge = [field("x-huge", &huge), field("x-huge", &huge)];
        let many: Vec<Vec<u8>> = (0..4_000).map(|_| field("a", "b")).collect();
        for (what, fields) in [("huge", &huge[..]), ("many", &many)] {
            let mut raw = Raw::hello(&program, &[]).await;
            let block = [vec![call(GET_METRICS, &[])], fields.to_vec()]
                .concat()
                .concat();
            let mut chunks = block.chunks(16_000).peekable();
            let (mut kind, mut frames) = (HEADERS, Vec::new());
            while let Some(chunk) = chunks.next() {
                let flags = if chunks.peek().is_none() {
                    END_HEADERS
                } else {
                    0
                };
                frames.extend(frame(kind, flags, 1, chunk));
                kind = CONTINUATION;
            }
            raw.send(&frames).await.unwrap();
            raw.refused(1, what).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_client_that_sends_control_frames_and_reads_nothing_takes_no_memory() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let window = |size: u16| [&INITIAL_WINDOW[..], &[0, 0], &size.to_be_bytes()].concat();
    let attack = async {
        // SETTINGS and PING each need a response that the client does not read.
        let mut settings = Raw::hello(&program, &[]).await;
        let changes = (0..FLOOD).map(|i| frame(SETTINGS, 0, 0, &window(i as u16)));
        flood(&mut settings, changes).await;
        let mut pings = Raw::hello(&program, &[]).await;
        flood(&mut pings, (0..FLOOD).map(|_| frame(PING, 0, 0, &[7; 8]))).await;
        let mut empty = Raw::hello(&program, &[]).await;
        let block = call(GET_METRICS, &[]);
        let begun = frame(HEADERS, END_HEADERS, 1, &block);
        let data = std::iter::repeat_n(frame(DATA, 0, 1, &[]), FLOOD);
        flood(&mut empty, std::iter::once(begun).chain(data)).await;
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let block = call(GET_METRICS, &[]);
    let attack = async {
        let mut raw = Raw::hello(&program, &[]).await;
        let resets = (0..FLOOD as u32).map(|i| {
            let stream = 2 * i + 1;
            let begun = frame(HEADERS, END_HEADERS, stream, &block);
            [begun, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        });
        flood(&mut raw, resets).await;
        raw.closed("a flood of RST_STREAM").await;
    };
    honest.assert_served_during(&program, attack).await;
}
