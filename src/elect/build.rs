//! Whether a local build moves an environment: it does when it is pushed, and nothing that came later is taken away for it.

use jiff::Timestamp;

use super::Standing;
use crate::model::Image;

/// The newest commit that changed an image in an environment.
#[derive(Debug, Clone, Copy)]
pub struct LastChange {
    /// When it was made.
    pub time: Timestamp,
    /// Whether it is ours.
    pub ours: bool,
}

/// Whether a build that lay there when this process started is newer than what stands in Git.
///
/// `at` is when it was made, `was_pushed` whether the registry has had it before. One that was never pushed is news also where
/// a person has written the entry since, as they do when they set everything up.
pub fn is_news(at: Timestamp, was_pushed: bool, stands: &Standing<'_>, last: Option<LastChange>) -> bool {
    let is_empty = stands.tag.is_none() && stands.digest.is_none();
    match last {
        _ if is_empty => true,
        None => true,
        // Git's clock has seconds.
        Some(last) if at.as_second() >= last.time.as_second() => true,
        Some(last) => !was_pushed && !last.ours,
    }
}

/// What became of a build that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It shall run.
    Move,
    /// It stands there.
    Stands,
    /// It must not run, and why.
    Excluded(&'static str),
}

/// Whether a pushed build shall run where `stands` stands.
pub fn choose(
    build: &Image,
    stands: &Standing<'_>,
    quarantined: &[crate::model::Digest],
    barred: &[Standing<'_>],
) -> Choice {
    if stands.digest == Some(&build.digest) {
        return Choice::Stands;
    }
    if quarantined.contains(&build.digest) {
        return Choice::Excluded("quarantined");
    }
    let is_build = |taken: &Standing<'_>| match (taken.digest, taken.tag) {
        (Some(digest), _) => *digest == build.digest,
        (None, Some(tag)) => *tag == build.tag,
        (None, None) => false,
    };
    if barred.iter().any(is_build) { Choice::Excluded("taken away by a person") } else { Choice::Move }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Digest;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_build_that_is_older_than_what_stands_is_no_news() {
        let digest = Digest::of(b"other");
        let stands = Standing { digest: Some(&digest), ..Standing::default() };
        let last = |ours| Some(LastChange { time: time("2026-01-01T12:00:00Z"), ours });
        let (before, after) = (time("2026-01-01T11:59:59Z"), time("2026-01-01T12:00:01Z"));
        assert!(is_news(after, true, &stands, last(true)));
        assert!(is_news(time("2026-01-01T12:00:00Z"), true, &stands, last(true)), "Git's clock has seconds");
        assert!(!is_news(before, true, &stands, last(true)));
        assert!(!is_news(before, true, &stands, last(false)));
        assert!(!is_news(before, false, &stands, last(true)), "an old folder does not undo an election");
        assert!(is_news(before, false, &stands, last(false)), "a person who sets everything up builds first");
        assert!(is_news(before, true, &Standing::default(), last(true)), "an empty entry waits for anything");
        assert!(is_news(before, true, &stands, None));
    }

    #[test]
    fn what_failed_or_was_taken_away_does_not_come_back() {
        let build: Image =
            format!("localhost:5000/x:build-20260101T000000Z-0123456789ab@{}", Digest::of(b"x"))
                .parse()
                .unwrap();
        let (other, one) = (Digest::of(b"other"), "1.0.0".parse().unwrap());
        let stands = Standing { tag: Some(&one), digest: Some(&other), ..Standing::default() };
        assert_eq!(choose(&build, &stands, &[], &[stands]), Choice::Move);
        let same = Standing { digest: Some(&build.digest), ..Standing::default() };
        assert_eq!(choose(&build, &same, &[], &[]), Choice::Stands);
        assert_eq!(
            choose(&build, &stands, std::slice::from_ref(&build.digest), &[]),
            Choice::Excluded("quarantined")
        );
        let by_tag = Standing { tag: Some(&build.tag), ..Standing::default() };
        for taken in [same, by_tag] {
            assert_eq!(choose(&build, &stands, &[], &[taken]), Choice::Excluded("taken away by a person"));
        }
    }
}
