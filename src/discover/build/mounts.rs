//! Whether the kernel tells of changes below a folder: a network or shared file system is changed from elsewhere.

use std::path::Path;

/// File systems whose other side makes changes that inotify does not see (WSL 2, virtual machines, network shares).
const SILENT: [&str; 14] = [
    "9p", "v9fs", "drvfs", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "nfs", "nfs4", "cifs", "smb3", "smbfs",
    "afs", "ceph",
];

/// The kind of the file system that holds `folder` if changes there are not told; from the text of `/proc/self/mountinfo`.
pub(super) fn silent(mountinfo: &str, folder: &Path) -> Option<String> {
    let holding = mountinfo.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let point = unescape(mount.split(' ').nth(4)?);
        let kind = rest.split(' ').next()?;
        folder.starts_with(&point).then(|| (Path::new(&point).components().count(), kind.to_owned()))
    });
    // Of two on one folder, the later one covers the other.
    let (_, kind) = holding.max_by_key(|(depth, _)| *depth)?;
    let is_silent = SILENT.contains(&kind.as_str()) || kind == "fuse" || kind.starts_with("fuse.");
    is_silent.then_some(kind)
}

/// Blank, tab, line feed and backslash stand as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:30 / /mnt/c rw - 9p drvfs rw
31 22 0:31 / /home/me/my\\040share rw shared:1 - fuse.grpcfuse grpcfuse rw
32 30 8:2 / /mnt/c/native rw - xfs /dev/sdb rw
33 22 0:33 / /over rw - ext4 /dev/sdc rw
34 33 0:34 / /over rw - nfs4 server:/x rw
";

    #[test]
    fn the_innermost_mount_decides() {
        let silent = |folder: &str| silent(INFO, Path::new(folder));
        assert_eq!(silent("/home/me/project"), None);
        assert_eq!(silent("/mnt/c/project").as_deref(), Some("9p"));
        assert_eq!(silent("/mnt/c/native/project"), None);
        assert_eq!(silent("/home/me/my share/x").as_deref(), Some("fuse.grpcfuse"));
        assert_eq!(silent("/mnt/cd"), None);
        assert_eq!(silent("/over/x").as_deref(), Some("nfs4"));
        assert_eq!(super::silent("nonsense", Path::new("/")), None);
    }
}
