//! Real Kafka brokers for tests: one or three, each broker and controller at once.
//!
//! Starting one costs seconds, so tests share them in a `static`: topics and groups are named after
//! their tests. Brokers are child processes on loopback ports of their own, with directories of
//! their own; both go with the test process, even if that is killed.

mod actions;

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{certs::Certs, process, program};

const PATIENCE: Duration = Duration::from_secs(120);

/// How long a login lasts by SCRAM-SHA-256 without TLS.
pub const LOGIN_LASTS: Duration = Duration::from_secs(2);
/// Users of the secured broker, for SASL PLAIN and both kinds of SCRAM.
pub const PASSWORD: &str = "right-s3cret";

/// Whether brokers can run here: `tests/servers/kafka/install.sh` has run, and there is a Java.
pub fn available() -> bool {
    installed().join("libs").is_dir() && java().is_some()
}

fn java() -> Option<PathBuf> {
    program("BACKLOG_SCALER_JAVA", "java")
}

/// Where install.sh puts it.
fn installed() -> PathBuf {
    let cache = std::env::var_os("BACKLOG_SCALER_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    cache
        .unwrap_or_else(|| home().join(".cache/backlog-scaler"))
        .join("kafka-4.3.1")
}

/// Small and quick to start rather than fast.
const SMALL: &[&str] = &[
    "-Xms32m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
];
/// For benchmarks: a broker that can bear tens of thousands of connections.
const LARGE: &[&str] = &["-Xmx1g"];

/// A cluster of combined brokers and controllers.
pub struct Kafka {
    nodes: Vec<Node>,
    /// Of the secured listeners.
    pub certs: Certs,
    /// More lines of every broker's configuration.
    more: String,
    _dir: TempDir,
}

struct Node {
    id: usize,
    ports: Ports,
    dir: PathBuf,
    jvm: Vec<String>,
    process: Mutex<Option<Child>>,
}

struct Ports {
    plain: u16,
    controller: u16,
    ssl: u16,
    mtls: u16,
    sasl: u16,
    sasl_ssl: u16,
}

/// One broker with every kind of listener. Who comes by the plain one may do everything, `alice`
/// and `bob` what they are granted.
pub async fn one() -> &'static Kafka {
    static ONE: OnceCell<Kafka> = OnceCell::const_new();
    ONE.get_or_init(|| Kafka::start(1)).await
}

/// Three brokers for the tests that kill some. They take turns by the guard.
pub async fn three() -> (&'static Kafka, tokio::sync::MutexGuard<'static, ()>) {
    static THREE: OnceCell<Kafka> = OnceCell::const_new();
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let turn = TURN.lock().await;
    (THREE.get_or_init(|| Kafka::start(3)).await, turn)
}

impl Kafka {
    /// Starts brokers that are ready on return.
    pub async fn start(count: usize) -> Self {
        tokio::task::spawn_blocking(move || Kafka::run(count, SMALL, &[], ""))
            .await
            .expect("the brokers start")
    }

    /// Starts a broker to be measured.
    pub async fn under_load() -> Self {
        tokio::task::spawn_blocking(|| Kafka::run(1, LARGE, &[], ""))
            .await
            .expect("the broker starts")
    }

    /// Starts a broker whose secured listeners take Kerberos tickets.
    pub async fn with_kerberos(kdc: &super::kerberos::Kdc) -> Self {
        let option = format!("-Djava.security.krb5.conf={}", kdc.config().display());
        let login = format!(
            "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true \
             keyTab=\"{}\" principal=\"{}\"",
            kdc.keytab(super::kerberos::BROKER).display(),
            super::kerberos::BROKER,
        );
        let more = format!(
            "sasl.enabled.mechanisms=GSSAPI\nsasl.kerberos.service.name=kafka\n\
             listener.name.sasl_plaintext.gssapi.sasl.jaas.config={login};\n\
             listener.name.sasl_ssl.gssapi.sasl.jaas.config={login};\n"
        );
        tokio::task::spawn_blocking(move || Kafka::run(1, SMALL, &[option], &more))
            .await
            .expect("the broker starts")
    }

    fn run(count: usize, jvm: &[&str], options: &[String], more: &str) -> Self {
        let jvm = jvm.iter().map(|option| (*option).to_owned());
        let jvm: Vec<String> = jvm.chain(options.iter().cloned()).collect();
        let dir = process::directory();
        let certs = Certs::generate(dir.path());
        let node = |i| Node {
            id: i + 1,
            ports: Ports::free(),
            dir: dir.path().join(format!("node{}", i + 1)),
            jvm: jvm.clone(),
            process: Mutex::default(),
        };
        let cluster = Kafka {
            nodes: (0..count).map(node).collect(),
            certs,
            more: more.to_owned(),
            _dir: dir,
        };
        for node in &cluster.nodes {
            fs::create_dir_all(&node.dir).expect("a directory");
            fs::write(node.properties(), cluster.configuration(node)).expect("server.properties");
            node.format();
        }
        cluster.nodes.iter().for_each(Node::launch);
        cluster.nodes.iter().for_each(Node::wait);
        cluster
    }

    /// All brokers by their plain listeners.
    pub fn servers(&self) -> String {
        let servers = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.ports.plain));
        Vec::from_iter(servers).join(",")
    }

    /// Of the first broker's plain listener.
    pub fn port(&self) -> u16 {
        self.nodes[0].ports.plain
    }

    /// Of the first broker.
    pub fn pid(&self) -> u32 {
        let process = self.nodes[0].process.lock().unwrap();
        process.as_ref().expect("a running broker").id()
    }

    pub fn ssl(&self) -> String {
        format!("localhost:{}", self.nodes[0].ports.ssl)
    }

    /// Clients need a certificate.
    pub fn mtls(&self) -> String {
        format!("localhost:{}", self.nodes[0].ports.mtls)
    }

    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.nodes[0].ports.sasl)
    }

    pub fn sasl_ssl(&self) -> String {
        format!("localhost:{}", self.nodes[0].ports.sasl_ssl)
    }

    /// SIGKILL to the broker of this id (from 1). On return its ports refuse connections.
    pub fn kill(&self, id: usize) {
        let mut process = self.nodes[id - 1].process.lock().unwrap();
        if let Some(mut process) = process.take() {
            process.kill().expect("to kill a child");
            process.wait().expect("to reap a child");
        }
    }

    /// SIGSTOP or SIGCONT to a broker: the kernel goes on accepting connections, but nobody
    /// responds.
    pub fn signal(&self, id: usize, name: &str) {
        let process = self.nodes[id - 1].process.lock().unwrap();
        let pid = process.as_ref().expect("a running broker").id();
        let kill = format!("kill -s {name} {pid}");
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }

    /// Starts a killed broker again. It is up on return, and may take a moment to lead anything.
    pub async fn restart(&'static self, id: usize) {
        let node = &self.nodes[id - 1];
        let restarted = tokio::task::spawn_blocking(|| {
            node.launch();
            node.wait();
        });
        restarted.await.expect("the broker starts again");
    }

    /// Grants by Kafka's own tool: there is no such call in the client library.
    pub async fn grant(&'static self, user: &str, right: &[&str]) {
        self.acl(&["--add"], user, right).await;
    }

    /// Takes back what was granted with the same words.
    pub async fn revoke(&'static self, user: &str, right: &[&str]) {
        self.acl(&["--remove", "--force"], user, right).await;
    }

    async fn acl(&'static self, action: &[&str], user: &str, right: &[&str]) {
        let mut tool = self.tool("org.apache.kafka.tools.AclCommand");
        tool.args(["--bootstrap-server", &self.servers()])
            .args(action);
        tool.args(["--allow-principal", &format!("User:{user}")])
            .args(right);
        let output = tokio::task::spawn_blocking(move || tool.output());
        let output = output.await.expect("no panic").expect("java runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }

    fn tool(&self, class: &str) -> Command {
        let mut java = Command::new(java().expect("a Java"));
        java.args([
            "-Xmx128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
        ])
        .arg(installed().join("libs/*"))
        .arg(class)
        .stdin(Stdio::null());
        java
    }

    fn configuration(&self, node: &Node) -> String {
        let count = self.nodes.len();
        let in_sync = count.min(2);
        let voters = self.nodes.iter();
        let voters = voters.map(|n| format!("{}@127.0.0.1:{}", n.id, n.ports.controller));
        let voters = Vec::from_iter(voters).join(",");
        let Ports {
            plain,
            controller,
            ssl,
            mtls,
            sasl,
            sasl_ssl,
        } = node.ports;
        let keystore = node.dir.join("keystore.pem");
        let server = &self.certs.server;
        let pem = format!("{}{}", server.key.text, server.cert.text);
        fs::write(&keystore, pem).expect("a keystore");
        let mut login =
            "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
        for user in ["alice", "bob"] {
            login += &format!(" user_{user}=\"{PASSWORD}\"");
        }
        let mut lines = format!(
            "process.roles=broker,controller\n\
             node.id={}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SSL://127.0.0.1:{ssl},\
             MTLS://127.0.0.1:{mtls},SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{sasl_ssl}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SSL://localhost:{ssl},MTLS://localhost:{mtls},\
             SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://localhost:{sasl_ssl}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,MTLS:SSL,\
             SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n\
             ssl.client.auth=none\nlistener.name.mtls.ssl.client.auth=required\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:CN=client\n",
            node.id,
            node.dir.join("data").display(),
            keystore.display(),
            self.certs.ca.path.display(),
        );
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            lines += &format!("listener.name.{listener}.plain.sasl.jaas.config={login};\n");
            // Without a validator of its own a broker takes tokens that nobody signed: for tests.
            lines += &format!(
                "listener.name.{listener}.oauthbearer.sasl.jaas.config=\
                 org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n"
            );
            for scram in ["scram-sha-256", "scram-sha-512"] {
                lines += &format!(
                    "listener.name.{listener}.{scram}.sasl.jaas.config=\
                     org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
                );
            }
        }
        // Who came with this mechanism has to come again, or is cut off (KIP-368).
        lines += &format!(
            "listener.name.sasl_plaintext.scram-sha-256.connections.max.reauth.ms={}\n",
            LOGIN_LASTS.as_millis()
        );
        for internal in [
            "offsets.topic",
            "transaction.state.log",
            "share.coordinator.state.topic",
        ] {
            lines +=
                &format!("{internal}.num.partitions=3\n{internal}.replication.factor={count}\n");
        }
        for internal in ["transaction.state.log", "share.coordinator.state.topic"] {
            lines += &format!("{internal}.min.isr={in_sync}\n");
        }
        lines += &format!(
            "default.replication.factor={count}\n\
             min.insync.replicas=1\n\
             auto.create.topics.enable=false\n\
             group.initial.rebalance.delay.ms=0\n\
             log.initial.task.delay.ms=500\nlog.retention.check.interval.ms=500\n\
             broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
             num.network.threads=1\nnum.io.threads=2\nbackground.threads=2\n\
             log.cleaner.dedupe.buffer.size=2097152\n\
             log.segment.bytes=16777216\nlog.index.size.max.bytes=65536\n"
        );
        // The last line of a key is the one that counts.
        lines + &self.more
    }
}

impl Ports {
    fn free() -> Self {
        Ports {
            plain: process::free_port(),
            controller: process::free_port(),
            ssl: process::free_port(),
            mtls: process::free_port(),
            sasl: process::free_port(),
            sasl_ssl: process::free_port(),
        }
    }
}

impl Node {
    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn java(&self, class: &str, log: &Path) -> Command {
        let installed = installed();
        let log4j = installed.join("log4j2.properties");
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log");
        let mut java = Command::new(java().expect("a Java"));
        java.args(&self.jvm)
            .args(["-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"])
            .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
            .arg("-cp")
            .arg(installed.join("libs/*"))
            .arg(class)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        java
    }

    fn format(&self) {
        let mut format = self.java("kafka.tools.StorageTool", &self.log());
        format
            .args(["format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(self.properties());
        for user in ["alice", "bob"] {
            for scram in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let credentials = format!("{scram}=[name={user},password={PASSWORD}]");
                format.args(["--add-scram", &credentials]);
            }
        }
        let status = format.status().expect("java runs");
        assert!(status.success(), "{}", self.log_tail());
    }

    fn launch(&self) {
        let _ = fs::remove_file(self.log());
        let mut broker = self.java("kafka.Kafka", &self.log());
        let broker = broker
            .arg(self.properties())
            .process_group(process::group());
        *self.process.lock().unwrap() = Some(broker.spawn().expect("java runs"));
    }

    fn wait(&self) {
        let started = Instant::now();
        while !fs::read_to_string(self.log()).is_ok_and(|log| log.contains("Kafka Server started"))
        {
            // Let go of before the panic: the drop that follows it takes the lock again.
            let exited = {
                let mut process = self.process.lock().unwrap();
                !matches!(process.as_mut().map(Child::try_wait), Some(Ok(None)))
            };
            if exited || started.elapsed() > PATIENCE {
                panic!("broker {} did not start\n{}", self.id, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        (1..=self.nodes.len()).for_each(|id| self.kill(id));
    }
}
