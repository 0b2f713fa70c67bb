//! What must be done anyway to bring a change to the remote: `git push` of a commit that stands ready.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ground::{Ground, git};

/// A person's clone of the ground's repository.
pub(crate) struct Floor<'g> {
    ground: &'g Ground,
    clone: PathBuf,
}

impl<'g> Floor<'g> {
    pub(crate) fn new(ground: &'g Ground) -> Self {
        let clone = ground.site.folder().join("floor");
        git(
            &ground.site,
            ground.site.folder(),
            &["clone", "--quiet", &ground.site.repo(), clone.to_str().unwrap()],
        );
        Self { ground, clone }
    }

    /// Commits one file beside an overlay, as deep in the tree, and tells how long its push takes.
    pub(crate) fn push(&self, round: u32) -> Duration {
        let site = &self.ground.site;
        git(site, &self.clone, &["pull", "--quiet", "--ff-only"]);
        let overlay = self.clone.join(self.ground.overlay(&self.ground.apps[0]));
        std::fs::write(overlay.with_file_name("by-hand.txt"), format!("round {round}\n")).unwrap();
        git(site, &self.clone, &["add", "--all"]);
        git(site, &self.clone, &["commit", "--quiet", "--message", "By hand"]);
        let began = Instant::now();
        git(site, &self.clone, &["push", "--quiet", "origin", "HEAD:main"]);
        began.elapsed()
    }
}
