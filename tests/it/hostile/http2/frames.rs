//! Bytes that are not HTTP/2, and frames that it forbids.

use super::*;

#[tokio::test]
async fn what_is_not_http2_is_closed() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let mut almost = PREFACE.to_vec();
    almost[20] ^= 1;
    let garbage: [(&str, &[u8]); 5] = [
        ("HTTP/1.1", b"GET /metrics HTTP/1.1\r\nHost: scaler\r\n\r\n"),
        (
            "TLS",
            &[
                22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        ),
        ("zeros", &[0; 4096]),
        ("ones", &[255; 4096]),
        ("almost a preface", &almost),
    ];
    let attack = async {
        for (what, bytes) in garbage {
            let mut raw = Raw::connect(&program).await;
            // The server may close it before it has all.
            let _ = raw.send(bytes).await;
            raw.closed(what).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_call_that_is_cut_off_anywhere_harms_no_other() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let whole = [
        PREFACE,
        &frame(SETTINGS, 0, 0, &[]),
        &frame(HEADERS, END_HEADERS, 1, &call(GET_METRICS, &[])),
        &frame(DATA, END_STREAM, 1, &message(false, 4, b"\x0a\x02\x0a\0")),
    ]
    .concat();
    let attack = async {
        for length in 0..whole.len() {
            let mut raw = Raw::connect(&program).await;
            let _ = raw.send(&whole[..length]).await;
        }
        let mut raw = Raw::connect(&program).await;
        raw.send(&whole).await.unwrap();
        raw.refused(1, "the whole call").await;
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_frame_that_http2_forbids_ends_its_connection_alone() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let block = call(GET_METRICS, &[]);
    let begun = frame(HEADERS, END_HEADERS, 1, &block);
    let mut too_large = frame(DATA, 0, 1, &[]);
    too_large[..3].fill(255);
    let too_large = [begun.clone(), too_large].concat();
    let most = i32::MAX.to_be_bytes();
    let attacks = [
        ("SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "a window of 4 GiB",
            frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255]),
        ),
        ("PING of seven bytes", frame(PING, 0, 0, &[0; 7])),
        (
            "a window's update by 0",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        ),
        (
            "a window's update beyond 2 GiB",
            frame(WINDOW_UPDATE, 0, 0, &most),
        ),
        ("a server's stream", frame(HEADERS, END_HEADERS, 2, &block)),
        (
            "headers of no stream",
            frame(HEADERS, END_HEADERS, 0, &block),
        ),
        ("data of no stream", frame(DATA, 0, 0, &[0; 8])),
        ("data of an idle stream", frame(DATA, 0, 1, &[0; 8])),
        ("a frame of 16 MiB", too_large),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &block),
        ),
        (
            "a frame within headers",
            [frame(HEADERS, 0, 1, &block), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "more padding than frame",
            [begun.clone(), frame(DATA, PADDED, 1, &[200, 0])].concat(),
        ),
        ("index 0 of headers", frame(HEADERS, END_HEADERS, 1, &[128])),
        (
            "an index beyond the table",
            frame(HEADERS, END_HEADERS, 1, &[255, 255, 255, 255, 127]),
        ),
        (
            "a header longer than its frame",
            frame(HEADERS, END_HEADERS, 1, &[0, 127, 255, 255, 127, b'x']),
        ),
        ("a push", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        (
            "a reset of an idle stream",
            frame(RST_STREAM, 0, 7, &[0; 4]),
        ),
    ];
    let attack = async {
        for (what, bytes) in attacks {
            let mut raw = Raw::hello(&program, &[]).await;
            let _ = raw.send(&bytes).await;
            raw.closed(what).await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}
