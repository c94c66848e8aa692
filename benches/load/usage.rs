//! What a process uses: CPU, memory, sockets; as /proc reports it.

use std::{collections::HashSet, fs, path::Path, time::Duration};

/// Clock ticks a second in /proc/PID/stat: part of Linux' interface, the same everywhere.
const TICKS: u64 = 100;

/// A process that is watched from outside.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// This one.
    pub fn own() -> Self {
        Process(std::process::id())
    }

    /// CPU time used so far, user and system, by all threads; 10 ms exact.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The name in parentheses may hold anything; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = times.map(|time| time.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    /// Memory in use now, in MiB.
    pub fn rss(self) -> f64 {
        self.status("VmRSS:") / 1024.0
    }

    pub fn threads(self) -> f64 {
        self.status("Threads:")
    }

    /// The first number of a line of /proc/PID/status.
    fn status(self, name: &str) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{name} is a number"))
    }

    /// Established TCP connections to this port.
    pub fn sockets_to(self, port: u16) -> usize {
        let own = self.inodes();
        let tables = [self.read("net/tcp"), self.read("net/tcp6")];
        let rows = tables.iter().flat_map(|table| table.lines().skip(1));
        rows.filter(|row| {
            let columns: Vec<&str> = row.split_whitespace().collect();
            // Columns: number, local, remote, state (01 is established), …, inode.
            columns[2].ends_with(&format!(":{port:04X}"))
                && columns[3] == "01"
                && own.contains(columns[9])
        })
        .count()
    }

    fn inodes(self) -> HashSet<String> {
        let open = fs::read_dir(self.path("fd")).expect("the process runs");
        let links = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let inode = |link: std::path::PathBuf| {
            let name = link.to_str()?.strip_prefix("socket:[")?.to_owned();
            Some(name.trim_end_matches(']').to_owned())
        };
        links.filter_map(inode).collect()
    }

    fn read(self, file: &str) -> String {
        let path = self.path(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn path(self, file: &str) -> String {
        let path = Path::new("/proc").join(self.0.to_string()).join(file);
        path.display().to_string()
    }
}

/// CPU that some processes use from now on.
pub struct Meter<const N: usize> {
    processes: [Process; N],
    before: [Duration; N],
}

impl<const N: usize> Meter<N> {
    pub fn start(processes: [Process; N]) -> Self {
        Meter {
            processes,
            before: processes.map(Process::cpu),
        }
    }

    /// What each has used since the start.
    pub fn used(&self) -> [Duration; N] {
        std::array::from_fn(|i| self.processes[i].cpu().saturating_sub(self.before[i]))
    }
}
