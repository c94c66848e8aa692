//! A real browser for tests of the status page: Chromium without a window, by its driver.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, wd::WebDriverCompatibleCommand};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};
use url::Url;

use super::{process, program};

pub use fantoccini::{Locator, elements::Element};

/// Times that a driver is started until it finds its port free.
const ATTEMPTS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether Chromium, its driver and axe-core are here.
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        let programs = ["chromium", "chromedriver"];
        let mut check = std::process::Command::new(axe_installer());
        let axe = check.arg("--check").status();
        programs.iter().all(|name| program("", name).is_some())
            && axe.is_ok_and(|status| status.success())
    });
    *AVAILABLE
}

fn axe_installer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/axe/install.sh")
}

/// The script of axe-core.
fn axe() -> String {
    let mut where_is_it = std::process::Command::new(axe_installer());
    let output = where_is_it.arg("--where").output().expect("install.sh");
    let folder = String::from_utf8(output.stdout).expect("a path");
    let file = Path::new(folder.trim_end()).join("axe.min.js");
    std::fs::read_to_string(file).expect("axe-core")
}

/// A browser with one window. It ends when it is dropped.
pub struct Browser {
    client: Client,
    _driver: Child,
    _profile: TempDir,
}

/// A command of this driver that is not part of WebDriver.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        let session = session.expect("a session");
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    /// With a window of this size.
    pub async fn start(width: u32, height: u32) -> Self {
        let (driver, port) = driver().await;
        let profile = process::directory();
        let capabilities = json!({
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new",
                // Containers of CI run everything as root, who has no sandbox.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--force-device-scale-factor=1",
                "--hide-scrollbars",
                format!("--window-size={width},{height}"),
                format!("--user-data-dir={}", profile.path().display()),
            ]},
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("is an object");
        };
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let mut builder = ClientBuilder::new(connector);
        builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{port}");
        let client = timeout(PATIENCE, builder.connect(&address)).await;
        let client = client.expect("a browser in time").expect("a browser");
        Browser {
            client,
            _driver: driver,
            _profile: profile,
        }
    }

    /// The client of the driver.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Ends the browser, with all its processes.
    pub async fn close(self) {
        let closed = timeout(PATIENCE, self.client.close()).await;
        closed.expect("closes in time").expect("closes");
    }

    /// Goes to an address.
    pub async fn goto(&self, address: &str) {
        self.client.goto(address).await.expect("the page is loaded");
    }

    /// The text that a reader sees of the first element of this kind.
    pub async fn text(&self, css: &str) -> String {
        // In one script: a page that refreshes itself takes elements away that were found before.
        let found = self.texts(css).await.into_iter().next();
        found.unwrap_or_else(|| panic!("{css}: there is none"))
    }

    /// The texts of all elements of this kind.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)";
        let found = self.run(script, vec![json!(css)]).await;
        serde_json::from_value(found).expect("texts")
    }

    /// The result of a script.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.client.execute(script, arguments).await;
        result.expect("the script runs")
    }

    /// Waits until an element of this kind has this text, without loading the page anew.
    pub async fn until(&self, css: &str, text: &str) {
        let seen = async {
            while !self
                .texts(css)
                .await
                .iter()
                .any(|found| found.contains(text))
            {
                sleep(Duration::from_millis(100)).await;
            }
        };
        if timeout(PATIENCE, seen).await.is_err() {
            let page = self.text("main").await;
            panic!("{css} never has the text {text:?}:\n{page}");
        }
    }

    /// What the page wrote to its console, with what the browser reports there: errors of scripts, and
    /// what the page's policy did not let it load.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.extension("se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("entries").iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// Light or dark, as the reader's system wants it.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let params = json!({"features": features});
        let body = json!({"cmd": "Emulation.setEmulatedMedia", "params": params});
        self.extension("goog/cdp/execute", body).await;
    }

    /// Scripts of pages run, or do not.
    pub async fn with_scripts(&self, on: bool) {
        let params = json!({"value": !on});
        let body = json!({"cmd": "Emulation.setScriptExecutionDisabled", "params": params});
        self.extension("goog/cdp/execute", body).await;
    }

    /// Sets the size of what is seen.
    pub async fn resize(&self, width: u32, height: u32) {
        let params =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let body = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": params});
        self.extension("goog/cdp/execute", body).await;
    }

    /// What axe-core finds on the page: a line each, with the element.
    pub async fn violations(&self) -> Vec<String> {
        self.run(&axe(), Vec::new()).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run().then(found => done(found.violations.flatMap(violation => violation.nodes.map(node =>
                `${violation.id}: ${violation.help}: ${node.html}: ${node.failureSummary}`))),
                error => done([String(error)]));";
        let found = self.client.execute_async(script, Vec::new()).await;
        serde_json::from_value(found.expect("axe-core runs")).expect("texts")
    }

    /// A picture of what is seen, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture")
    }

    async fn extension(&self, path: &'static str, body: Value) -> Value {
        let result = self.client.issue_cmd(Extension { path, body }).await;
        result.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// A driver that listens, and its port. It wants one port on both loopback addresses, and ends if
/// something else has taken one of them since we looked.
async fn driver() -> (Child, u16) {
    let mut said = String::new();
    for _ in 0..ATTEMPTS {
        let port = process::free_port();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .process_group(process::group())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let started = timeout(PATIENCE, has_started(&mut driver)).await;
        match started.expect("chromedriver starts or ends in time") {
            Ok(()) => return (driver, port),
            Err(output) => said = output,
        }
    }
    panic!("chromedriver ended {ATTEMPTS} times before it listened: {said}");
}

/// Waits until the driver says that it listens. `Err` is what it said before it ended.
async fn has_started(driver: &mut Child) -> Result<(), String> {
    let output = driver.stdout.take().expect("its output");
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.expect("its output") {
        if line.contains("started successfully") {
            // What it writes from now on has a reader, or it would end with a broken pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(());
        }
        said += &format!("{line}\n");
    }
    Err(said)
}
