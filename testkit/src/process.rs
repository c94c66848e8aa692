//! What tests need to run servers as child processes: ports, directories, and a sure end.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

/// A loopback port that nobody listens on, below those that the kernel gives to outgoing
/// connections: so nothing takes the port of a server that is down for a while.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| (std::process::id() * 101).into());
    let next = |_| 20_000 + (NEXT.fetch_add(1, Ordering::Relaxed) % 12_000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..12_000).map(next).find(free).expect("a free port")
}

/// A directory that goes when it is dropped, and at the latest with this process.
pub fn directory() -> TempDir {
    TempDir::new_in(&WATCHDOG.root).expect("a temporary directory")
}

/// The process group for servers: its members are killed when this process ends in whatever way.
pub fn group() -> i32 {
    WATCHDOG.process.id().cast_signed()
}

/// A shell that outlives this process by a moment, to clean up. Unlike a parent-death signal it
/// does not depend on the thread that started a server.
struct Watchdog {
    /// Leads the process group, and reads from a pipe of which we hold the other end.
    process: Child,
    /// Holds all directories.
    root: PathBuf,
}

static WATCHDOG: LazyLock<Watchdog> = LazyLock::new(|| {
    // A group with a stopped member gets HUP from the kernel when we end.
    const SCRIPT: &str = "trap '' HUP INT TERM; read _; rm -rf -- \"$0\"; kill -s KILL -- -$$";
    let root = tempfile::Builder::new().prefix("test-servers-").tempdir();
    let root = root.expect("a temporary directory").keep();
    let process = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell");
    Watchdog { process, root }
});
