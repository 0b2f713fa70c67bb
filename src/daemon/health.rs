//! Whether the parts that this process depends on are usable, told once per change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The state of every part, by name: `config`, `git`, `registry HOST`, `cluster NAME`, `app NAME in ENVIRONMENT`,
/// `repository NAME`, `tag REPOSITORY:TAG`.
#[derive(Debug, Default)]
pub struct Health {
    parts: Mutex<BTreeMap<String, Part>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    problem: Option<String>,
    /// Whether the process is ready only with this part.
    needed: bool,
}

impl Health {
    /// A part that readiness waits for until [`Health::set`] is told how it is.
    pub fn expect(&self, part: &str) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = Part { problem: Some("not looked at yet".to_owned()), needed: true };
        parts.entry(part.to_owned()).or_insert(waiting);
    }

    /// Takes a part out of the account.
    pub fn forget(&self, part: &str) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// Takes every part out of the account.
    pub fn clear(&self) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sets how a part that readiness depends on is; a change is logged.
    pub fn set(&self, part: &str, problem: Option<String>) {
        self.put(part, problem, true);
    }

    /// Sets how something is that people must know and that does not make the process unready.
    pub fn tell(&self, part: &str, problem: Option<String>) {
        self.put(part, problem, false);
    }

    /// The same, of something that the log has told already.
    pub fn note(&self, part: &str, problem: String) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(part.to_owned(), Part { problem: Some(problem), needed: false });
    }

    fn put(&self, part: &str, problem: Option<String>, needed: bool) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.get(part).map(|part| part.problem.clone());
        if before.as_ref() == Some(&problem) {
            if let Some(part) = parts.get_mut(part).filter(|_| problem.is_some()) {
                part.needed = needed;
            }
            return;
        }
        match (&problem, before.flatten()) {
            (Some(problem), _) => tracing::warn!(part, problem = problem.as_str(), "not usable"),
            (None, Some(before)) if before != "not looked at yet" => tracing::info!(part, "usable again"),
            _ => {}
        }
        if problem.is_none() && !needed {
            parts.remove(part);
        } else {
            parts.insert(part.to_owned(), Part { problem, needed });
        }
    }

    /// The problem of a part, if it has one.
    pub fn problem(&self, part: &str) -> Option<String> {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(part)
            .and_then(|part| part.problem.clone())
    }

    /// Whether all parts that are needed are usable, and the report that `/readyz` gives.
    pub fn report(&self) -> (bool, serde_json::Value) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = parts.values().all(|part| !part.needed || part.problem.is_none());
        let rows: Vec<serde_json::Value> = parts
            .iter()
            .map(|(name, part)| serde_json::json!({"part": name, "ok": part.problem.is_none(), "reason": part.problem}))
            .collect();
        (ready, serde_json::json!({"apiVersion": "promote/v1", "ready": ready, "parts": rows}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_once_every_needed_part_is_usable() {
        let health = Health::default();
        health.expect("git");
        assert!(!health.report().0);
        health.set("git", None);
        assert!(health.report().0);
        health.tell("app wiki in local", Some("no such image".to_owned()));
        assert!(health.report().0);
        health.set("git", Some("refused".to_owned()));
        assert!(!health.report().0);
        assert_eq!(health.report().1["parts"][1]["reason"], "refused");
    }
}
