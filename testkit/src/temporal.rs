//! A real Temporal server for tests, with SQLite inside.
//!
//! The server is a child process with its own loopback ports and its own directory; both go when
//! its handle is dropped, and at the latest with the test process. `tests/servers/temporal`
//! installs it.

mod config;
mod heartbeat;
mod jwt;
mod work;

use std::{
    fmt::Write,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use tempfile::TempDir;
use temporalio_protos::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{
        DescribeTaskQueueRequest, DescribeWorkflowExecutionRequest, GetSystemInfoRequest,
        RegisterNamespaceRequest, workflow_service_client::WorkflowServiceClient,
    },
};
use tokio::time::{Instant, sleep};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{certs::Certs, process};

pub use heartbeat::SlotsOfWorker;
pub use jwt::Tokens;
pub use work::{activities, nexus_operations, normal, reported, start_one};

const VERSION: &str = "1.32.1";
const PATIENCE: Duration = Duration::from_secs(60);

/// The server's program, where `tests/servers/temporal/install.sh` puts it.
fn program() -> PathBuf {
    let cache = std::env::var_os("BACKLOG_SCALER_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = cache.unwrap_or_else(|| home().join(".cache/backlog-scaler"));
    cache.join(format!("temporal-{VERSION}/server"))
}

/// Whether the server is installed.
pub fn available() -> bool {
    program().is_file()
}

pub type Stubs = WorkflowServiceClient<InterceptedService<Channel, Authorization>>;

/// Shows the administrator's token, if there are tokens.
#[derive(Clone)]
pub struct Authorization(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A running server.
pub struct Temporal {
    port: u16,
    metrics: u16,
    settings: Builder,
    process: Mutex<Option<Child>>,
    dir: TempDir,
}

/// How to configure a server. The default is plain, without authorization, and forgets everything
/// when it ends.
#[derive(Default)]
pub struct Builder {
    dynamic: Vec<(String, String)>,
    on_disk: bool,
    tls: Option<(PathBuf, Certs)>,
    mtls: bool,
    tokens: Option<Tokens>,
}

impl Builder {
    /// A dynamic setting, its value in YAML.
    pub fn dynamic(mut self, key: &str, value: &str) -> Self {
        self.dynamic.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The state outlives a restart.
    pub fn on_disk(mut self) -> Self {
        self.on_disk = true;
        self
    }

    /// TLS on the frontend. The certificates live in `dir`.
    pub fn tls(mut self, dir: PathBuf, certs: Certs) -> Self {
        self.tls = Some((dir, certs));
        self
    }

    /// As `tls`, and a client needs a certificate that `certs.ca` signed.
    pub fn mtls(mut self, dir: PathBuf, certs: Certs) -> Self {
        self.mtls = true;
        self.tls(dir, certs)
    }

    /// Callers need a token.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Starts a server with a namespace `default` that can be used on return.
    pub async fn start(self) -> Temporal {
        let server = Temporal {
            port: process::free_port(),
            metrics: process::free_port(),
            settings: self,
            process: Mutex::new(None),
            dir: process::directory(),
        };
        server.write_settings();
        server.restart().await;
        server.register("default").await;
        server
    }
}

impl Temporal {
    pub fn builder() -> Builder {
        // The server's own cache of counts would make every test wait for 5 s.
        Builder::default().dynamic("matching.TaskQueueInfoByBuildIdTTL", "1ms")
    }

    /// Default limits and caches, unlike other tests.
    pub async fn under_load() -> Self {
        Builder::default().start().await
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server's own metrics are.
    pub fn metrics(&self) -> String {
        format!("127.0.0.1:{}", self.metrics)
    }

    /// `127.0.0.1:port`; a restart does not change it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn certs(&self) -> &Certs {
        &self.settings.tls.as_ref().expect("a server with TLS").1
    }

    pub fn tokens(&self) -> &Tokens {
        self.settings.tokens.as_ref().expect("a server with tokens")
    }

    pub fn pid(&self) -> u32 {
        self.process
            .lock()
            .unwrap()
            .as_ref()
            .expect("a running server")
            .id()
    }

    /// SIGKILL. On return the port refuses connections.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.kill().expect("to kill a child");
            process.wait().expect("to reap a child");
        }
    }

    /// SIGTERM: the server writes down what it counted, and ends. On return it has.
    pub async fn stop(&self) {
        self.signal("TERM");
        let started = Instant::now();
        loop {
            {
                let mut process = self.process.lock().unwrap();
                let running = process.as_mut().expect("a running server");
                if running.try_wait().expect("to wait for a child").is_some() {
                    *process = None;
                    return;
                }
            }
            assert!(started.elapsed() < PATIENCE, "the server does not stop");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGSTOP or SIGCONT: the kernel goes on accepting connections, but nothing responds.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill}");
    }

    /// Starts the server, again if it runs, on the same port; it is ready on return.
    pub async fn restart(&self) {
        self.kill();
        let log = File::create(self.file("log")).expect("a log file");
        let services = [
            "frontend",
            "internal-frontend",
            "history",
            "matching",
            "worker",
        ];
        let mut command = Command::new(program());
        command.arg("--config-file").arg(self.file("config.yaml"));
        match &self.settings.tokens {
            None => command.args(["--allow-no-auth", "start"]),
            Some(_) => command
                .arg("start")
                .args(services.iter().flat_map(|service| ["--service", *service])),
        };
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .process_group(process::group())
            .spawn()
            .expect("the server starts");
        *self.process.lock().unwrap() = Some(process);
        let started = Instant::now();
        loop {
            let response = match self.connect().await {
                Ok(mut stubs) => stubs.get_system_info(GetSystemInfoRequest::default()).await,
                Err(error) => Err(Status::unavailable(error.to_string())),
            };
            match response {
                Ok(_) => return,
                Err(status) => self.rest(started, &status).await,
            }
        }
    }

    /// Makes a namespace that can be used on return.
    pub async fn register(&self, namespace: &str) {
        let request = RegisterNamespaceRequest {
            namespace: namespace.to_owned(),
            workflow_execution_retention_period: Duration::from_secs(24 * 3600).try_into().ok(),
            ..Default::default()
        };
        let started = Instant::now();
        while let Err(status) = self.stubs().await.register_namespace(request.clone()).await {
            if status.code() == tonic::Code::AlreadyExists {
                break;
            }
            self.rest(started, &status).await;
        }
        let describe = DescribeTaskQueueRequest {
            namespace: namespace.to_owned(),
            task_queue: normal("ready"),
            ..Default::default()
        };
        while let Err(status) = self
            .stubs()
            .await
            .describe_task_queue(describe.clone())
            .await
        {
            self.rest(started, &status).await;
        }
        // Workflows are history's, which is found later than matching: it knows no such workflow.
        let workflow = DescribeWorkflowExecutionRequest {
            namespace: namespace.to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: "ready".to_owned(),
                run_id: String::new(),
            }),
        };
        loop {
            let mut stubs = self.stubs().await;
            match stubs.describe_workflow_execution(workflow.clone()).await {
                Err(status) if status.code() == tonic::Code::NotFound => return,
                Err(status) => self.rest(started, &status).await,
                Ok(_) => panic!("nobody has started this workflow"),
            }
        }
    }

    /// The stubs, with all rights.
    pub async fn stubs(&self) -> Stubs {
        self.connect().await.expect("the server responds")
    }

    async fn connect(&self) -> Result<Stubs, tonic::transport::Error> {
        let channel = self.endpoint()?.connect().await?;
        let token = self.settings.tokens.as_ref();
        let token = token.map(|tokens| {
            format!("Bearer {}", tokens.admin)
                .parse()
                .expect("a header")
        });
        Ok(WorkflowServiceClient::with_interceptor(
            channel,
            Authorization(token),
        ))
    }

    fn endpoint(&self) -> Result<Endpoint, tonic::transport::Error> {
        let Some((_, certs)) = &self.settings.tls else {
            return Endpoint::from_shared(format!("http://{}", self.address()));
        };
        let (cert, key) = (&certs.client.cert.text, &certs.client.key.text);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&certs.ca.text))
            .identity(Identity::from_pem(cert, key));
        Endpoint::from_shared(format!("https://{}", self.address()))?.tls_config(tls)
    }

    /// Waits a little for something that takes time, but not for ever.
    async fn rest(&self, since: Instant, status: &Status) {
        let log = || fs::read_to_string(self.file("log")).unwrap_or_default();
        let ended = self.exit_status();
        if ended.is_some() || since.elapsed() > PATIENCE {
            let log = log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            panic!("temporal server ({ended:?}): {status}\n{}", tail.join("\n"));
        }
        sleep(Duration::from_millis(20)).await;
    }

    fn exit_status(&self) -> Option<ExitStatus> {
        let mut process = self.process.lock().unwrap();
        process
            .as_mut()
            .and_then(|process| process.try_wait().ok()?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_settings(&self) {
        let mut dynamic = String::new();
        for (key, value) in &self.settings.dynamic {
            writeln!(dynamic, "{key}: [{{value: {value}}}]").expect("text");
        }
        fs::write(self.file("dynamic.yaml"), dynamic).expect("dynamic.yaml");
        fs::write(self.file("config.yaml"), self.settings.config_yaml(self)).expect("config.yaml");
    }
}

impl Drop for Temporal {
    fn drop(&mut self) {
        self.kill();
    }
}
