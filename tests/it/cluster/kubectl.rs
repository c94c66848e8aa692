//! Calls to the API server, by kubectl.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// The program with the administrator's credentials.
pub struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    pub fn new(program: PathBuf, config: PathBuf) -> Self {
        Kubectl { program, config }
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The kubeconfig, for other clients.
    pub fn config(&self) -> &Path {
        &self.config
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.config)
            .args(arguments);
        command
    }

    /// What it prints; the error is its own.
    pub fn attempt(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("is piped");
        // It reads no input if it refuses its arguments: its status is what counts.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("kubectl ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// As `attempt`; an error panics.
    pub fn run(&self, arguments: &[&str], input: &str) -> String {
        let output = self.attempt(arguments, input);
        output.unwrap_or_else(|error| panic!("kubectl {}: {error}\n{input}", arguments.join(" ")))
    }

    /// Server-side apply of one or more objects.
    pub fn apply(&self, objects: &str) {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.run(&apply, objects);
    }

    /// Creates objects. Unlike an applied one, a created Deployment's `spec.replicas` has no owner,
    /// so that a later apply does not undo what KEDA and the HPA have set.
    pub fn create(&self, objects: &str) {
        self.run(&["create", "-f", "-"], objects);
    }

    pub fn get(&self, namespace: &str, what: &[&str]) -> Value {
        let get = [&["get", "-n", namespace, "-o", "json"], what].concat();
        serde_json::from_str(&self.run(&get, "")).expect("kubectl prints JSON")
    }
}
