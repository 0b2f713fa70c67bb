//! Word of changes below the allowed folder: from the kernel, or by looking again and again where the kernel is silent.
//!
//! The word says only "look again": nothing is concluded from an event, so that a lost one, or an overflow of the kernel's
//! queue, costs no more than a look.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Root, mounts};
use crate::model::printable;

/// How often is looked where no events come.
const POLL: Duration = Duration::from_secs(2);
/// How often is looked although events come.
const FLOOR: Duration = Duration::from_mins(1);
/// Looking takes at most one part in so many of the time.
const SHARE: u32 = 20;

/// Watches a set of folders.
pub struct Watcher {
    /// None where the kernel does not tell.
    kernel: Option<RecommendedWatcher>,
    told: Arc<Told>,
    folders: BTreeSet<PathBuf>,
    next: Instant,
    /// Why there are no events, until somebody has asked.
    silence: Option<String>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("folders", &self.folders.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Told {
    changed: Notify,
    /// A folder came or went, so that the kernel may have forgotten its watch.
    moved: AtomicBool,
}

impl Watcher {
    /// Nothing is watched yet.
    pub fn new(root: &Root) -> Self {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let told = Arc::new(Told::default());
        let mut watcher = Self {
            kernel: None,
            told: told.clone(),
            folders: BTreeSet::new(),
            next: Instant::now() + POLL,
            silence: None,
        };
        if let Some(kind) = mounts::silent(&mountinfo, root.folder()) {
            watcher.silence = Some(format!("its file system ({kind}) does not tell of changes"));
            return watcher;
        }
        match notify::recommended_watcher(move |event| hear(&told, &event)) {
            Ok(kernel) => watcher.kernel = Some(kernel),
            Err(error) => watcher.silence = Some(words(&error)),
        }
        watcher
    }

    /// Watches exactly these folders from now on; whether one of them was not watched before, so that it must be looked at again.
    pub fn watch(&mut self, folders: BTreeSet<PathBuf>) -> bool {
        let Some(kernel) = &mut self.kernel else {
            self.folders = folders;
            return false;
        };
        let again = self.told.moved.swap(false, Ordering::Relaxed);
        let mut is_new = false;
        for gone in self.folders.difference(&folders) {
            // The kernel forgets a folder that does not exist by itself.
            _ = kernel.unwatch(gone);
        }
        let mut failed = None;
        for folder in &folders {
            let known = self.folders.contains(folder);
            if known && !again {
                continue;
            }
            is_new |= !known;
            match kernel.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // Gone since it was seen; its parent tells if it comes back.
                Err(error) if is_absent(&error) => self.told.moved.store(true, Ordering::Relaxed),
                Err(error) => {
                    failed = Some(words(&error));
                    break;
                }
            }
        }
        self.folders = folders;
        if failed.is_some() {
            self.silence = failed;
            self.kernel = None;
            self.next = Instant::now() + POLL;
        }
        is_new
    }

    /// Why the kernel does not tell of changes; said once.
    pub fn silence(&mut self) -> Option<String> {
        self.silence.take()
    }

    /// Waits until it is time to look again.
    pub async fn changed(&self) {
        tokio::select! {
            () = self.told.changed.notified() => {}
            () = tokio::time::sleep_until(self.next) => {}
        }
    }

    /// A look has taken this long: the next one that no event asks for is put off accordingly.
    pub fn looked(&mut self, took: Duration) {
        let pause = if self.kernel.is_some() { FLOOR } else { POLL };
        self.next = Instant::now() + pause.max(took * SHARE);
    }
}

fn hear(told: &Told, event: &notify::Result<notify::Event>) {
    if let Ok(event) = event {
        match event.kind {
            // Our own reading is no change.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
            EventKind::Access(_) => return,
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
                told.moved.store(true, Ordering::Relaxed);
            }
            // An overflow is one of these.
            _ => {}
        }
        if event.need_rescan() {
            told.moved.store(true, Ordering::Relaxed);
        }
    }
    told.changed.notify_one();
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn words(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the kernel's limit of watches is reached (fs.inotify.max_user_watches)".to_owned()
        }
        other => printable(&format!("{other:?}"), 200),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn hears(watcher: &Watcher) -> bool {
        tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_change_in_a_watched_folder_is_heard_also_after_the_folder_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let inner = root.folder().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let folders = BTreeSet::from([root.folder().to_owned(), inner.clone()]);
        let mut watcher = Watcher::new(&root);
        assert!(watcher.watch(folders.clone()));
        assert!(!watcher.watch(folders.clone()));
        assert_eq!(watcher.silence(), None);
        std::fs::write(inner.join("a"), "1").unwrap();
        assert!(hears(&watcher).await);
        std::fs::rename(&inner, root.folder().join("old")).unwrap();
        std::fs::create_dir(&inner).unwrap();
        while hears(&watcher).await {}
        watcher.watch(folders);
        std::fs::write(inner.join("b"), "1").unwrap();
        assert!(hears(&watcher).await);
    }

    #[tokio::test]
    async fn our_own_reading_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("a"), "1").unwrap();
        let mut watcher = Watcher::new(&root);
        watcher.watch(BTreeSet::from([root.folder().to_owned()]));
        std::fs::read(folder.path().join("a")).unwrap();
        assert!(!hears(&watcher).await);
    }

    #[test]
    fn an_overflow_asks_for_a_look_and_for_the_watches_to_be_set_again() {
        let told = Told::default();
        let overflow = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        hear(&told, &Ok(overflow));
        assert!(told.moved.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_kernel_is_silent_is_looked_every_two_seconds_and_less_often_where_looking_takes_long()
    {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let mut watcher = Watcher::new(&root);
        watcher.kernel = None;
        let mut waited = async |took| {
            watcher.looked(took);
            let began = Instant::now();
            watcher.changed().await;
            began.elapsed()
        };
        assert_eq!(waited(Duration::from_millis(10)).await, POLL);
        assert_eq!(waited(Duration::from_secs(1)).await, Duration::from_secs(20));
    }
}
