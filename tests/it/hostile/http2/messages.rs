//! gRPC messages that are not what they are said to be.

use bytes::{Buf, BufMut};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use super::*;

/// Sends bytes as they are, and takes any response.
struct AsTheyAre;

impl Codec for AsTheyAre {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = AsTheyAre;
    type Decoder = AsTheyAre;

    fn encoder(&mut self) -> AsTheyAre {
        AsTheyAre
    }

    fn decoder(&mut self) -> AsTheyAre {
        AsTheyAre
    }
}

impl Encoder for AsTheyAre {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for AsTheyAre {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

/// The response to a call with these bytes as its message.
async fn response_to(program: &Program, bytes: &[u8]) -> Result<(), Status> {
    let endpoint = tonic::transport::Channel::from_shared(format!("http://{}", program.address));
    let channel = endpoint.unwrap().connect().await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(GET_METRICS);
    let call = client.unary(Request::new(bytes.to_vec()), path, AsTheyAre);
    let response = timeout(HANGS, call).await.expect("a call ends in time");
    response.map(|_| ())
}

/// A field of kind "length-delimited" (wire type 2) with the length that it claims.
fn delimited(number: u8, claimed: &[u8], bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], claimed, bytes].concat()
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_gets_an_error_and_the_next_call_its_value() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    // Groups (wire type 3) of an unknown field nest without end.
    let deep_groups = [0x4b].repeat(500_000);
    // Each length is right for the few bytes that are left of it: only the depth is wrong.
    let mut entries = Vec::new();
    for _ in 0..100_000 {
        entries.extend(delimited(3, &[0], &[]));
    }
    let scaled_object = |bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        delimited(1, &[length], bytes)
    };
    let entries_length = [
        (entries.len() as u32 & 127) as u8 | 128,
        (entries.len() as u32 >> 7 & 127) as u8 | 128,
        (entries.len() as u32 >> 14) as u8,
    ];
    let messages = [
        (
            "invalid UTF-8 in the name",
            scaled_object(&delimited(1, &[2], &[0xc3, 0x28])),
        ),
        ("invalid UTF-8 in a key", {
            let key = delimited(1, &[1], &[0xff]);
            scaled_object(&delimited(3, &[key.len() as u8], &key))
        }),
        (
            "a length beyond the message",
            delimited(1, &[0xff, 0xff, 0xff, 0x7f], b"x"),
        ),
        (
            "a length of 64 bits",
            delimited(1, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1], b"x"),
        ),
        ("a varint without an end", vec![0xff; 20]),
        ("field number 0", vec![0x02, 0x00]),
        ("a wire type that is none", vec![0x0f]),
        ("groups in groups", deep_groups),
        (
            "200,000 empty entries",
            delimited(1, &entries_length, &entries),
        ),
        ("nothing", Vec::new()),
        ("ones", vec![0xff; 100_000]),
    ];
    let attack = async {
        for (what, bytes) in messages {
            let error = response_to(&program, &bytes).await;
            let error = error.expect_err(what);
            let expected = [Code::InvalidArgument, Code::Internal];
            assert!(expected.contains(&error.code()), "{what}: {error:?}");
            assert!(error.message().len() < 4096, "{what}: {error}");
        }
    };
    honest.assert_served_during(&program, attack).await;
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

/// Bits in the order of DEFLATE (RFC 1951, section 3.1.1).
struct Bits<'a>(&'a mut Vec<u8>, u32);

impl Bits<'_> {
    fn push(&mut self, bits: &str) {
        for bit in bits.bytes() {
            if self.1 % 8 == 0 {
                self.0.push(0);
            }
            *self.0.last_mut().unwrap() |= (bit - b'0') << (self.1 % 8);
            self.1 += 1;
        }
    }
}

/// Zeros in gzip's format, some 160 of them a byte.
fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits(&mut bomb, 0);
    // The last block, with fixed codes: a zero.
    bits.push("1");
    bits.push("10");
    bits.push("00110000");
    // "258 times what was one byte ago", again and again.
    for _ in 0..bytes * 8 / 13 {
        bits.push("1100010100000");
    }
    bits.push("0000000");
    bomb
}

#[tokio::test]
async fn a_compressed_message_is_refused_unread() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let bomb = gzip_bomb(1_000_000);
    let attack = async {
        // Said to be compressed, with and without the header that says how.
        for more in [
            &[("grpc-encoding", "gzip")][..],
            &[("grpc-encoding", "zstd")],
            &[],
        ] {
            let mut raw = Raw::hello(&program, &[]).await;
            let begun = frame(HEADERS, END_HEADERS, 1, &call(GET_METRICS, more));
            let _ = raw.send(&begun).await;
            let data = message(true, bomb.len() as u32, &bomb);
            for chunk in data.chunks(16_000) {
                // The window of a stream has no room for it all once the server has responded.
                if timeout(HANGS, raw.send(&frame(DATA, 0, 1, chunk)))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            raw.refused(1, "a compressed message").await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}

#[tokio::test]
async fn a_message_said_to_be_of_four_gigabytes_is_refused() {
    let Some((program, honest)) = victim("").await else {
        return;
    };
    let attack = async {
        let mut raw = Raw::hello(&program, &[]).await;
        for stream in (1..2_000).step_by(2) {
            let begun = frame(HEADERS, END_HEADERS, stream, &call(GET_METRICS, &[]));
            let data = frame(DATA, 0, stream, &message(false, u32::MAX, b"x"));
            raw.send(&[begun, data].concat()).await.unwrap();
            raw.refused(stream, "4 GiB").await;
        }
    };
    honest.assert_served_during(&program, attack).await;
}
