//! The places between two steps of a version's walk, where a test may kill the process.
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

/// Ends the process without a warning if the environment asks for it: nothing is flushed, nobody is told.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static END: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), count.parse().ok()?))
    });
    static COUNT: AtomicU32 = AtomicU32::new(0);

    assert!(ALL.contains(&place), "{place} is not in the list of boundaries");
    if let Some((name, count)) = &*END
        && name == place
        && COUNT.fetch_add(1, Ordering::Relaxed) + 1 == *count
    {
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) const fn reached(_: &'static str) {}
