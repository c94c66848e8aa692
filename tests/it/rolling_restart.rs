//! Replicas that are replaced one by one while KEDA's own client calls without a pause.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use testkit::{
    program,
    redis::{self, Redis},
    require,
    scaler::{Scaler, page},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// What a Service does: new connections go to a replica that was ready when that was last looked at.
struct Service {
    address: String,
    replicas: Arc<Mutex<Vec<Replica>>>,
}

#[derive(Clone)]
struct Replica {
    address: String,
    admin: String,
    ready: bool,
}

/// How late a Service knows of a change, as kube-proxy does.
const LATE: Duration = Duration::from_millis(500);

impl Service {
    async fn start(scalers: &[&Scaler]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let replicas = Arc::new(Mutex::new(scalers.iter().map(|s| Replica::of(s)).collect()));
        tokio::spawn(forward(listener, replicas.clone()));
        tokio::spawn(look(replicas.clone()));
        Service { address, replicas }
    }

    fn add(&self, scaler: &Scaler) {
        self.replicas.lock().unwrap().push(Replica::of(scaler));
    }
}

impl Replica {
    fn of(scaler: &Scaler) -> Self {
        Replica {
            address: scaler.address.clone(),
            admin: scaler.admin.clone(),
            ready: true,
        }
    }
}

async fn forward(listener: TcpListener, replicas: Arc<Mutex<Vec<Replica>>>) {
    let mut turn = 0;
    while let Ok((mut client, _)) = listener.accept().await {
        let ready: Vec<Replica> = replicas.lock().unwrap().clone();
        let ready: Vec<Replica> = ready.into_iter().filter(|r| r.ready).collect();
        turn += 1;
        let Some(replica) = ready.get(turn % ready.len().max(1)).cloned() else {
            continue;
        };
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(&replica.address).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

async fn look(replicas: Arc<Mutex<Vec<Replica>>>) {
    loop {
        sleep(LATE).await;
        let known = replicas.lock().unwrap().clone();
        for replica in known {
            // A server that has ended accepts nothing.
            let ready = match TcpStream::connect(&replica.admin).await {
                Ok(_) => page(&replica.admin, "/readyz").await.0 == 200,
                Err(_) => false,
            };
            let mut all = replicas.lock().unwrap();
            if let Some(found) = all.iter_mut().find(|r| r.address == replica.address) {
                found.ready = ready;
            }
        }
    }
}

#[tokio::test]
async fn no_call_is_lost_when_replicas_are_replaced() {
    let Some(judge) = program("KEDA_JUDGE", "keda-judge") else {
        require(false, "keda-judge");
        return;
    };
    if !require(redis::available(), "redis-server") {
        return;
    }
    let redis = Redis::start().await;
    let yaml = "listen: {preStopDelay: 2s, shutdownGrace: 5s}";
    let (one, two) = (Scaler::with(yaml).await, Scaler::with(yaml).await);
    let service = Service::start(&[&one, &two]).await;
    let load = tokio::process::Command::new(judge)
        .args(["bench", "--mode", "external", "--backend", "redis"])
        .args(["--triggers", "100", "--rounds", "200"])
        .args(["--scaler", &service.address])
        .args(["--set", &format!("address={}", redis.address())])
        .args(["--set", "listName=jobs"])
        .kill_on_drop(true)
        .output();
    let mut load = std::pin::pin!(load);
    let started = Instant::now();
    let replacing = async {
        let mut new = Vec::new();
        for mut old in [one, two] {
            let replica = Scaler::with(yaml).await;
            service.add(&replica);
            new.push(replica);
            old.stop();
            old.stopped().await.unwrap();
        }
        new
    };
    let mut replacing = std::pin::pin!(replacing);
    let (mut output, mut replaced) = (None, None);
    while output.is_none() || replaced.is_none() {
        tokio::select! {
            done = &mut load, if output.is_none() => output = Some((done.unwrap(), started.elapsed())),
            new = &mut replacing, if replaced.is_none() => replaced = Some((new, started.elapsed())),
        }
    }
    let ((output, load_took), (_new, replacing_took)) = (output.unwrap(), replaced.unwrap());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        load_took > replacing_took,
        "calls were under way throughout: {load_took:?}, {replacing_took:?}"
    );
    assert_eq!(report["errors"], 0, "{report}");
    assert_eq!(report["evaluations"], 100 * 200, "{report}");
}
