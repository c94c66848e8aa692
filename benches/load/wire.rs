//! The least that lag can cost: two kinds of requests of Kafka's protocol, written by hand, from a
//! client that knows everything beforehand. Formats: <https://kafka.apache.org/protocol>, flexible
//! versions.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection to a broker.
pub struct Wire {
    stream: TcpStream,
    requests: i32,
}

/// Which end of partitions to request, as the protocol has it.
#[derive(Clone, Copy)]
pub enum End {
    Latest = -1,
    Earliest = -2,
}

impl Wire {
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the broker");
        stream.set_nodelay(true).expect("no delay");
        Wire {
            stream,
            requests: 0,
        }
    }

    /// The sum of all offsets that groups have committed: OffsetFetch (9), version 8, so many
    /// groups a request, all under way at once.
    pub async fn committed(&mut self, groups: &[String], a_request: usize) -> i64 {
        let chunks = groups.chunks(a_request);
        let count = chunks.len();
        let mut requests = Vec::new();
        for chunk in chunks {
            let mut body = self.header(9, 8);
            length(&mut body, chunk.len());
            for group in chunk {
                text(&mut body, group);
                body.push(0); // topics: null, which is all of them
                body.push(0);
            }
            body.extend([0, 0]); // not only stable ones; no tags
            frame(&mut requests, &body);
        }
        self.stream.write_all(&requests).await.expect("sent");
        let mut sum = 0;
        for _ in 0..count {
            let response = self.response().await;
            let mut response = Reader(&response);
            response.skip(4); // throttle time
            response.each(|group| {
                group.text();
                group.each(|topic| {
                    topic.text();
                    topic.each(|partition| {
                        partition.skip(4);
                        sum += partition.i64();
                        partition.skip(4); // leader epoch
                        partition.text(); // metadata
                        partition.succeeded();
                    });
                });
                group.succeeded();
            });
        }
        sum
    }

    /// The sum of an end of all partitions: ListOffsets (2), version 7, in one request.
    pub async fn ends(&mut self, topics: &[String], partitions: i32, end: End) -> i64 {
        let mut body = self.header(2, 7);
        body.extend((-1_i32).to_be_bytes()); // not a replica
        body.push(1); // read committed
        length(&mut body, topics.len());
        for topic in topics {
            text(&mut body, topic);
            length(&mut body, partitions as usize);
            for partition in 0..partitions {
                body.extend(partition.to_be_bytes());
                body.extend((-1_i32).to_be_bytes()); // any leader epoch
                body.extend((end as i64).to_be_bytes());
                body.push(0);
            }
            body.push(0);
        }
        body.push(0);
        let mut request = Vec::new();
        frame(&mut request, &body);
        self.stream.write_all(&request).await.expect("sent");
        let response = self.response().await;
        let mut response = Reader(&response);
        response.skip(4); // throttle time
        let mut sum = 0;
        response.each(|topic| {
            topic.text();
            topic.each(|partition| {
                partition.skip(4);
                partition.succeeded();
                partition.skip(8); // timestamp
                sum += partition.i64();
                partition.skip(4); // leader epoch
            });
        });
        sum
    }

    /// Request header, version 2.
    fn header(&mut self, api: i16, version: i16) -> Vec<u8> {
        self.requests += 1;
        let mut header = Vec::new();
        header.extend(api.to_be_bytes());
        header.extend(version.to_be_bytes());
        header.extend(self.requests.to_be_bytes());
        header.extend((-1_i16).to_be_bytes()); // no client id
        header.push(0);
        header
    }

    /// The next response, after its header.
    async fn response(&mut self) -> Vec<u8> {
        let size = self.stream.read_i32().await.expect("a response");
        let mut response = vec![0; size as usize];
        self.stream
            .read_exact(&mut response)
            .await
            .expect("its body");
        response.split_off(5) // correlation id, no tags
    }
}

fn frame(requests: &mut Vec<u8>, body: &[u8]) {
    requests.extend((body.len() as i32).to_be_bytes());
    requests.extend(body);
}

/// A compact length: one more, in groups of seven bits.
fn length(body: &mut Vec<u8>, length: usize) {
    let mut rest = length + 1;
    while rest > 0x7f {
        body.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    body.push(rest as u8);
}

fn text(body: &mut Vec<u8>, text: &str) {
    length(body, text.len());
    body.extend(text.as_bytes());
}

/// What is left of a response.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }

    fn i64(&mut self) -> i64 {
        let (number, rest) = self.0.split_first_chunk().expect("eight bytes");
        self.0 = rest;
        i64::from_be_bytes(*number)
    }

    /// A compact length; null is 0 as well.
    fn length(&mut self) -> usize {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.0[0];
            self.skip(1);
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return usize::saturating_sub(length, 1);
            }
        }
    }

    fn text(&mut self) {
        let length = self.length();
        self.skip(length);
    }

    /// The elements of an array, each with the tags at its end, of which there are none.
    fn each(&mut self, mut element: impl FnMut(&mut Self)) {
        for _ in 0..self.length() {
            element(self);
            self.skip(1);
        }
    }

    /// An error code that says that there is no error.
    fn succeeded(&mut self) {
        assert_eq!(self.0[..2], [0, 0], "an error of the broker");
        self.skip(2);
    }
}
