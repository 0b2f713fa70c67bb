//! What the remote of a site does in the middle of a push.

use std::path::PathBuf;

use super::site::Site;

impl Site {
    /// Has a person push `content` as `path` in the very moment of the next push to the branch, which so loses its race.
    pub(crate) fn lose_the_next_race(&self, path: &str, content: &str) {
        self.person_commits_in("pre-receive", "A person was quicker", path, content);
    }

    /// Has a person push `content` as `path` on top of the next push to the branch, before anybody else sees that.
    pub(crate) fn follow_the_next_push(&self, path: &str, content: &str) {
        self.person_commits_in("post-receive", "A person came next", path, content);
    }

    fn person_commits_in(&self, hook: &str, message: &str, path: &str, content: &str) {
        std::fs::write(self.bare().join("race-content"), content).expect("a file can be written");
        // The hook may run while the push's objects are still apart; the person's commit must not be among them.
        let script = format!(
            "#!/bin/sh
grep -q ' refs/heads/main$' || exit 0
mv race-content race-done 2>/dev/null || exit 0
unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
export GIT_INDEX_FILE=race-index GIT_AUTHOR_NAME='A Person' GIT_AUTHOR_EMAIL=person@example.org
export GIT_COMMITTER_NAME='A Person' GIT_COMMITTER_EMAIL=person@example.org
set -e
git read-tree main
git update-index --add --cacheinfo 100644,$(git hash-object -w race-done),{path}
git update-ref refs/heads/main $(git commit-tree -p main -m '{message}' $(git write-tree))
"
        );
        self.install_hook(hook, &script);
    }

    /// Has the remote run a script at that point of a push; returns the file.
    pub(crate) fn install_hook(&self, name: &str, script: &str) -> PathBuf {
        let hook = self.bare().join("hooks").join(name);
        std::fs::create_dir_all(self.bare().join("hooks")).expect("a folder");
        std::fs::write(&hook, script).expect("a hook can be written");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&hook, executable).expect("a hook can be made executable");
        hook
    }
}
