//! What is left of programs after their end, as the machine tells it.

use std::collections::BTreeMap;
use std::path::Path;

/// The processes that work in a folder: those whose arguments or environment name it. By number, with their arguments.
pub(crate) fn processes(folder: &Path) -> BTreeMap<u32, String> {
    let folder = folder.to_str().expect("the bed's paths are UTF-8");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let read = |name: &str| {
            let content = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&content).replace('\0', " ")
        };
        let arguments = read("cmdline");
        if pid != std::process::id() && (arguments.contains(folder) || read("environ").contains(folder)) {
            found.insert(pid, arguments);
        }
    }
    found
}

/// TCP ports on loopback that some processes listen on, each with its socket's inode: once it is free, another bed may take
/// the same port at any moment.
#[derive(Debug)]
pub(crate) struct Ports(BTreeMap<String, u16>);

impl Ports {
    /// Those of all processes that work in a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let sockets: Vec<String> = processes(folder).keys().flat_map(|pid| sockets(*pid)).collect();
        let mut listening = listening();
        listening.retain(|socket, _| sockets.contains(socket));
        Self(listening)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that are still listened on by the same socket.
    pub(crate) fn open(&self) -> Vec<u16> {
        let now = listening();
        self.0.iter().filter(|(socket, _)| now.contains_key(*socket)).map(|(_, port)| *port).collect()
    }
}

/// The ports that are listened on, by the inode of the socket.
fn listening() -> BTreeMap<String, u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp is there");
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // The state 0A is LISTEN; addresses are written as HEX:HEX.
        let listens = columns.get(3) == Some(&"0A");
        let port = columns.get(1)?.rsplit_once(':')?.1;
        let socket = (*columns.get(9)?).to_owned();
        listens.then(|| (socket, u16::from_str_radix(port, 16).expect("a port")))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The inodes of a process's sockets.
fn sockets(pid: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let target = |file: std::fs::DirEntry| Some(std::fs::read_link(file.path()).ok()?.to_str()?.to_owned());
    files
        .filter_map(target)
        .filter_map(|target| Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}
