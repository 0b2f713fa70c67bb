//! The places between two steps of a version's walk, where a test may kill the process, or stop it for a while.
//!
//! A new start must come to the same end from each of them, with an empty state directory. Only debug builds have this:
//! in a release build [`reached`] is empty, and the variable is never read.

/// Every place, in the order in which a version passes them. A test dies at each.
pub const ALL: &[&str] = &[
    // A list of tags has come.
    "discovered",
    // A change was elected, and is not written anywhere yet.
    "elected",
    // The commit is made in our mirror alone.
    "committed",
    // The remote has the push, and has not told us.
    "push-sent",
    // The remote has told us, and nobody else knows.
    "push-answered",
    // Flux was asked to look.
    "asked",
    // Flux has applied the commit.
    "applied",
    // There is a verdict, and no note of it.
    "decided",
    // The remote has the note.
    "noted",
];

/// The variable that says where to die: `NAME`, or `NAME:N` for the N-th time that the place is reached.
pub const VARIABLE: &str = "PROMOTED_DIE_AT";

/// The variable that says where to stop until a `SIGCONT` comes, in the same form.
pub const STOP_VARIABLE: &str = "PROMOTED_STOP_AT";

/// Ends or stops the process without a warning if the environment asks for it: nothing is flushed, nobody is told.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A place, the time that counts, and how often it was reached.
    type Mark = Option<(String, u32, AtomicU32)>;
    static END: LazyLock<Mark> = LazyLock::new(|| mark(VARIABLE));
    static STOP: LazyLock<Mark> = LazyLock::new(|| mark(STOP_VARIABLE));

    fn mark(variable: &str) -> Mark {
        let text = std::env::var(variable).ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().ok()?, AtomicU32::new(0)))
    }
    let is_meant = |mark: &Mark| {
        mark.as_ref().is_some_and(|(name, time, count)| {
            name == place && count.fetch_add(1, Ordering::Relaxed) + 1 == *time
        })
    };

    assert!(ALL.contains(&place), "{place} is not in the list of boundaries");
    if is_meant(&END) {
        std::process::abort();
    }
    if is_meant(&STOP) {
        let own = std::process::id().to_string();
        _ = std::process::Command::new("kill").args(["-STOP", &own]).status();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) const fn reached(_: &'static str) {}
