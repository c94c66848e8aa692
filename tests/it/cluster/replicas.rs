//! Two replicas of the scaler behind one name, as a headless Service has it.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use testkit::{process, redis::Redis, scaler};

use super::{
    SOON, needs_cluster,
    objects::{Namespace, ScaledObject, list},
    program::Program,
    timeline::Timeline,
};

/// A name server for one name, whatever its text. gRPC's resolver is directed to it by the address.
struct Names {
    port: u16,
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Names {
    fn start(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let names = Names {
            port: socket.local_addr().expect("an address").port(),
            addresses: Arc::new(Mutex::new(addresses.to_vec())),
        };
        let addresses = names.addresses.clone();
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query) {
                let response = response(&query[..length], &addresses.lock().unwrap());
                if let Err(error) = socket.send_to(&response, client) {
                    eprintln!("the name server cannot respond: {error}");
                }
            }
        });
        names
    }

    fn set(&self, addresses: &[Ipv4Addr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }
}

/// RFC 1035, section 4. Queries for other types than A get no record.
fn response(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    const HEADER: usize = 12;
    const A_IN: [u8; 4] = [0, 1, 0, 1];
    let name = query[HEADER..]
        .iter()
        .position(|byte| *byte == 0)
        .expect("a name")
        + 1;
    let question = &query[HEADER..HEADER + name + A_IN.len()];
    let addresses = if question.ends_with(&A_IN) {
        addresses
    } else {
        &[]
    };
    let mut response = query[..2].to_vec();
    // A response without errors, authoritative; one question and so many records.
    response.extend([0x84, 0, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    response.extend(question);
    for address in addresses {
        // The name is that of the question; valid for a second.
        response.extend([0xc0, HEADER as u8]);
        response.extend(A_IN);
        response.extend([0, 0, 0, 1, 0, 4]);
        response.extend(address.octets());
    }
    response
}

/// How many GetMetrics calls a replica has completed.
async fn calls(program: &Program) -> u64 {
    let (_, metrics) = scaler::page(&program.admin(), "/metrics").await;
    let count = "backlog_scaler_rpc_seconds_count{method=\"GetMetrics\",code=\"OK\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(count));
    count.map_or(0, |count| count.parse().expect("a number"))
}

const OBJECTS: usize = 20;

#[tokio::test]
async fn of_two_scalers_one_is_drained_and_one_is_killed_and_nothing_is_lost() {
    let cluster = needs_cluster!();
    let namespace = Namespace::new(cluster, "two-scalers");
    let redis = Redis::start().await;
    let hosts = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let port = process::free_port();
    // The chart's preStopDelay: clients learn the new addresses when a connection reaches its age.
    let settings = "listen: {connectionMaxAge: 5s, preStopDelay: 5s}";
    let [mut first, mut second] = hosts.map(|host| Program::at(&host.to_string(), port, settings));
    let names = Names::start(&hosts);
    let address = format!("dns://127.0.0.1:{}/scaler.test:{port}", names.port);
    let workers = (0..OBJECTS).map(|i| {
        let name = format!("worker-{i}");
        let trigger = list(&address, &redis.address(), &name);
        let scaled_object = ScaledObject::new(trigger).with("pollingInterval", 1.into());
        (name, scaled_object)
    });
    namespace.scale_all(workers);
    let timelines: Vec<Timeline> = (0..OBJECTS)
        .map(|i| Timeline::quiet(&namespace, &format!("worker-{i}")))
        .collect();
    let load = async |items: usize, added: usize| {
        for (i, timeline) in timelines.iter().enumerate() {
            redis.rpush(&format!("worker-{i}"), added).await;
            timeline.backlog(items);
        }
        for timeline in &timelines {
            timeline.replicas((items / 5) as u32, SOON).await;
        }
    };
    load(10, 10).await;
    let both = (calls(&first).await, calls(&second).await);
    println!("two-scalers: GetMetrics calls of the two: {both:?}");
    assert!(both.0 > 0 && both.1 > 0, "the calls are spread: {both:?}");

    let keda_errors = || namespace.cluster.keda_errors(&namespace.name);
    let before = keda_errors();
    names.set(&hosts[1..]);
    first.drain();
    timelines[0].note("the first is drained");
    load(15, 5).await;
    assert_eq!(keda_errors(), before, "draining loses no call");

    first.restart();
    names.set(&hosts);
    timelines[0].note("the first is back");
    let begun = std::time::Instant::now();
    while calls(&first).await == 0 {
        assert!(begun.elapsed() < SOON, "the first gets no calls");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!(
        "two-scalers: the first gets calls again after {:.1?}",
        begun.elapsed()
    );
    names.set(&hosts[..1]);
    second.kill();
    timelines[0].note("the second is killed");
    for timeline in &timelines {
        timeline.held(3, Duration::from_millis(500)).await;
    }
    load(25, 10).await;
    println!(
        "two-scalers: errors that KEDA has logged after the kill: {}",
        keda_errors() - before
    );
}
