//! Peers that break protocols: clients of our server, and servers that triggers name. Another
//! caller gets its value meanwhile, and memory stays bounded.

mod http2;
mod lying_kafka;
mod lying_redis;
mod lying_temporal;

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use backlog_scaler::keda::proto::{ScaledObjectRef, external_scaler_client::ExternalScalerClient};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tonic::{Status, transport::Channel};

use testkit::{
    process,
    redis::Redis,
    scaler::{self, Evaluation},
};

/// The most resident memory that the program may ever have had, in MiB. Started and unused it has
/// some 30; every attack could take gigabytes if nothing bounded it.
const MEMORY: u64 = 128;
/// A server that has not reacted by now hangs.
const HANGS: Duration = Duration::from_secs(30);

/// Our program as a process of its own, so that its memory and its log can be looked at.
struct Program {
    child: Child,
    address: String,
    admin: String,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Serves with settings in YAML and returns when it does.
    async fn start(yaml: &str) -> Self {
        Program::with_env(yaml, HashMap::new()).await
    }

    async fn with_env(yaml: &str, env: HashMap<&str, &str>) -> Self {
        let dir = process::directory();
        let config = dir.path().join("settings.yaml");
        std::fs::write(&config, yaml).unwrap();
        let admin = format!("127.0.0.1:{}", process::free_port());
        let mut child = Command::new(env!("CARGO_BIN_EXE_backlog-scaler"))
            .args(["serve", "--config"])
            .arg(&config)
            .env("BACKLOG_SCALER__LISTEN__GRPC", "127.0.0.1:0")
            .env("BACKLOG_SCALER__LISTEN__ADMIN", &admin)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(process::group())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let (serving, address) = tokio::sync::oneshot::channel();
        let kept = log.clone();
        // A thread, so that a full pipe never blocks the program.
        std::thread::spawn(move || {
            let mut serving = Some(serving);
            while let Some(Ok(line)) = lines.next() {
                if let Some((_, address)) = line.split_once("serving grpc=")
                    && let Some(serving) = serving.take()
                {
                    let _ = serving.send(address.to_owned());
                }
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        let address = timeout(HANGS, address).await.expect("serves in time");
        let address = address.unwrap_or_else(|_| panic!("ended: {}", log.lock().unwrap()));
        Program {
            child,
            address,
            admin,
            log,
        }
    }

    async fn client(&self) -> ExternalScalerClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let connected = timeout(HANGS, endpoint.connect()).await;
        ExternalScalerClient::new(connected.expect("connects in time").unwrap())
    }

    /// One evaluation on a new connection.
    async fn evaluate(&self, trigger: &ScaledObjectRef) -> Result<Evaluation, Status> {
        let mut client = self.client().await;
        let evaluation = timeout(HANGS, scaler::evaluate(&mut client, trigger)).await;
        evaluation.expect("a call ends in time")
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The most resident memory so far, in MiB.
    fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("the program runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() / 1024
    }

    fn assert_memory_is_bounded(&self) {
        let peak = self.peak_memory();
        assert!(peak <= MEMORY, "{peak} MiB\n{}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that treats every connection alike. Ends when it is dropped.
struct Fake {
    address: String,
    accepting: JoinHandle<()>,
}

impl Fake {
    async fn start<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(behave(stream));
            }
        });
        Fake { address, accepting }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Sends bytes one by one, slowly and without end.
async fn trickle(stream: &mut (impl AsyncWrite + Unpin), byte: u8) -> io::Result<()> {
    loop {
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends bytes again and again, as fast as they are taken.
async fn pour(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(64 * 1024 / bytes.len());
    loop {
        stream.write_all(&many).await?;
    }
}

/// A deadline that passes soon, for servers that let it pass.
const SHORT: &str = "engine: {callTimeout: 500ms, firstCallTimeout: 500ms}";

/// Evaluates a trigger some times: each is an error, or the value that the server did send.
async fn assert_error_or(program: &Program, trigger: &ScaledObjectRef, sent: f64, lie: &str) {
    for _ in 0..3 {
        match program.evaluate(trigger).await {
            Ok(evaluation) => assert_eq!(evaluation.value, sent, "{lie}: {evaluation:?}"),
            Err(error) => assert!(
                (1..4096).contains(&error.message().len()),
                "{lie}: {error:?}"
            ),
        }
    }
    program.assert_memory_is_bounded();
}

/// Evaluates a trigger some times: each is an error.
async fn assert_errors(program: &Program, trigger: &ScaledObjectRef, lie: &str) {
    // No value is this one.
    assert_error_or(program, trigger, f64::NAN, lie).await;
}

/// A Redis with a list of seven, and the trigger on it that is always to have its value.
struct Honest {
    _redis: Redis,
    trigger: ScaledObjectRef,
}

impl Honest {
    async fn start() -> Self {
        let redis = Redis::start().await;
        redis.rpush("jobs", 7).await;
        let trigger = scaler::trigger([
            ("backend", "redis"),
            ("address", &redis.address()),
            ("listName", "jobs"),
            // Every call reads anew, and no error is replaced by an older value.
            ("freshFor", "0"),
            ("maxStaleness", "0"),
        ]);
        Honest {
            _redis: redis,
            trigger,
        }
    }

    async fn assert_served(&self, program: &Program) {
        let evaluation = program.evaluate(&self.trigger).await;
        let evaluation = evaluation.unwrap_or_else(|error| panic!("{error}\n{}", program.log()));
        assert_eq!(evaluation.value, 7.0);
    }

    /// Checks that the trigger has its value before an attack, throughout it, and after it, and
    /// that memory stayed bounded.
    async fn assert_served_during<T>(
        &self,
        program: &Program,
        attack: impl Future<Output = T>,
    ) -> T {
        self.assert_served(program).await;
        let mut attack = std::pin::pin!(attack);
        let outcome = loop {
            tokio::select! {
                outcome = &mut attack => break outcome,
                () = self.assert_served(program) => {}
            }
        };
        self.assert_served(program).await;
        program.assert_memory_is_bounded();
        outcome
    }
}
