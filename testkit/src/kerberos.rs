//! A Kerberos realm for tests: a ticket server with two principals.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::process;

pub const REALM: &str = "TEST.EXAMPLE";
/// The broker on localhost.
pub const BROKER: &str = "kafka/localhost@TEST.EXAMPLE";
/// A client, and its password.
pub const CLIENT: (&str, &str) = ("reader@TEST.EXAMPLE", "t1cket-s3cret");

const KDC: &str = "/usr/sbin/krb5kdc";

/// Whether a ticket server can run here (Debian: krb5-kdc, krb5-admin-server).
pub fn available() -> bool {
    [KDC, "/usr/sbin/kadmin.local"]
        .iter()
        .all(|file| Path::new(file).is_file())
}

/// A running ticket server.
pub struct Kdc {
    dir: TempDir,
    process: Child,
}

impl Kdc {
    /// Starts one that is ready on return.
    pub async fn start() -> Self {
        let dir = process::directory();
        let (at, port) = (dir.path().display(), process::free_port());
        let config = format!(
            "[libdefaults]\ndefault_realm = {REALM}\ndns_lookup_kdc = false\n\
             dns_canonicalize_hostname = false\nrdns = false\n\
             [realms]\n{REALM} = {{ kdc = 127.0.0.1:{port} }}\n"
        );
        // Java reads a file of its own style: one line for each setting.
        let config = config.replace("{ kdc", "{\n  kdc").replace(" }\n", "\n}\n");
        fs::write(dir.path().join("krb5.conf"), config).expect("krb5.conf");
        let profile = format!(
            "[kdcdefaults]\nkdc_listen = 127.0.0.1:{port}\nkdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n{REALM} = {{\n  database_name = {at}/principal\n  \
             key_stash_file = {at}/stash\n  acl_file = {at}/acl\n}}\n"
        );
        fs::write(dir.path().join("kdc.conf"), profile).expect("kdc.conf");
        run(
            &dir,
            "/usr/sbin/kdb5_util",
            &["create", "-r", REALM, "-s", "-P", "master"],
        );
        for (principal, secret) in [
            (BROKER, "-randkey"),
            (CLIENT.0, &format!("-pw {}", CLIENT.1)),
        ] {
            kadmin(&dir, &format!("addprinc {secret} {principal}"));
            let file = keytab(dir.path(), principal);
            kadmin(
                &dir,
                &format!("ktadd -norandkey -k {} {principal}", file.display()),
            );
        }
        let mut kdc = command(&dir, KDC);
        let process = kdc.arg("-n").process_group(process::group()).spawn();
        let process = process.expect("krb5kdc starts");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "krb5kdc does not respond"
            );
            sleep(Duration::from_millis(50)).await;
        }
        Kdc { dir, process }
    }

    /// The krb5.conf of this realm.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("krb5.conf")
    }

    pub fn keytab(&self, principal: &str) -> PathBuf {
        keytab(self.dir.path(), principal)
    }

    /// Gets a ticket for the client into a credential cache.
    pub fn kinit(&self, cache: &Path) {
        let keytab = self.keytab(CLIENT.0);
        let (keytab, cache) = (keytab.display().to_string(), cache.display().to_string());
        run(
            &self.dir,
            "kinit",
            &["-k", "-t", &keytab, "-c", &cache, CLIENT.0],
        );
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keytab(dir: &Path, principal: &str) -> PathBuf {
    dir.join(principal.replace(['/', '@'], "-") + ".keytab")
}

fn command(dir: &TempDir, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("KRB5_CONFIG", dir.path().join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", dir.path().join("kdc.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn kadmin(dir: &TempDir, query: &str) {
    run(dir, "/usr/sbin/kadmin.local", &["-r", REALM, "-q", query]);
}

fn run(dir: &TempDir, program: &str, args: &[&str]) {
    let done = command(dir, program)
        .args(args)
        .stderr(Stdio::piped())
        .output();
    let done = done.expect("the program runs");
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {args:?}: {text}");
}
