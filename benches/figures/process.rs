//! What a process costs: CPU and memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use crate::bed::Daemon;

/// How long each of the daemon's threads has run, in user and in kernel mode. The times of whole processes are not
/// used: they are counted in ticks, which what wakes by the clock meets too often or never.
pub(crate) struct Cpu(BTreeMap<OsString, Duration>);

impl Cpu {
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self::of_process(daemon.pid())
    }

    pub(crate) fn of_process(pid: u32) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let time = |thread: std::fs::DirEntry| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let nanoseconds = text.split(' ').next()?.parse().ok()?;
            Some((thread.file_name(), Duration::from_nanos(nanoseconds)))
        };
        Self(threads.filter_map(time).collect())
    }

    /// What was used since then, by the threads that there are now: those that ended meanwhile had nothing to do.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = |(thread, now): (&OsString, &Duration)| {
            now.saturating_sub(before.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

/// The daemon's memory in MiB, now.
pub(crate) fn resident(daemon: &Daemon) -> f64 {
    memory(daemon, "VmRSS:")
}

/// The most that it ever was.
pub(crate) fn peak(daemon: &Daemon) -> f64 {
    memory(daemon, "VmHWM:")
}

fn memory(daemon: &Daemon, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let kibibytes = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
    kibibytes.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
