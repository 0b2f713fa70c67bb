//! What could not be asked of a registry, told as one state: of its repositories' lists, or of one repository's images.
//!
//! A registry that is down fails once for each of its repositories, and one repository may fail alone: in both cases that is
//! one change of state, told once, and again only when it is over or another cause shows.

use std::collections::BTreeSet;

/// The trouble with one registry or repository, whose questions are told apart by `Q`.
#[derive(Debug)]
pub struct Trouble<Q> {
    failing: BTreeSet<Q>,
    told: Option<(Q, String)>,
}

impl<Q> Default for Trouble<Q> {
    fn default() -> Self {
        Self { failing: BTreeSet::new(), told: None }
    }
}

impl<Q: Ord + Clone> Trouble<Q> {
    /// A question failed.
    pub fn failed(&mut self, question: &Q, reason: String) {
        self.failing.insert(question.clone());
        let is_told =
            self.told.as_ref().is_some_and(|(about, _)| self.failing.contains(about) && about != question);
        if !is_told {
            self.told = Some((question.clone(), reason));
        }
    }

    /// A question was answered, with whatever.
    pub fn answered(&mut self, question: &Q) {
        self.failing.remove(question);
        if self.failing.is_empty() {
            self.told = None;
        }
    }

    /// Forgets the questions that nobody asks any more.
    pub fn retain(&mut self, is_wanted: impl Fn(&Q) -> bool) {
        self.failing.retain(is_wanted);
        if self.failing.is_empty() {
            self.told = None;
        }
    }

    /// What is to be told, and how many questions fail.
    pub fn told(&self) -> (Option<&str>, usize) {
        (self.told.as_ref().map(|(_, reason)| reason.as_str()), self.failing.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Repository;

    fn repository(number: usize) -> Repository {
        Repository::new("localhost:1".parse().unwrap(), &format!("app-{number}")).unwrap()
    }

    /// Every text that is told one after the other.
    fn texts(steps: impl IntoIterator<Item = (usize, Option<&'static str>)>) -> Vec<Option<String>> {
        let mut trouble = Trouble::default();
        let mut seen = vec![None];
        for (number, failure) in steps {
            match failure {
                Some(reason) => trouble.failed(&repository(number), format!("{number} {reason}")),
                None => trouble.answered(&repository(number)),
            }
            let told = trouble.told().0.map(str::to_owned);
            if seen.last() != Some(&told) {
                seen.push(told);
            }
        }
        seen.split_off(1)
    }

    #[test]
    fn a_registry_that_goes_down_and_comes_back_is_two_changes_whatever_the_number_of_its_repositories() {
        let down = (0..50).map(|number| (number, Some("refused")));
        let up = (0..50).map(|number| (number, None));
        assert_eq!(texts(down.clone().chain(down).chain(up)), [Some("0 refused".to_owned()), None]);
    }

    #[test]
    fn one_repository_that_hangs_is_told_once_however_often_the_others_answer() {
        let pass = [(1, None), (2, Some("no answer")), (3, None)];
        assert_eq!(texts(pass.into_iter().cycle().take(30)), [Some("2 no answer".to_owned())]);
    }

    #[test]
    fn another_cause_is_told_and_what_is_over_gives_way_to_what_still_fails() {
        let steps = [
            (1, Some("refused")),
            (1, Some("certificate")),
            (2, Some("hangs")),
            (1, None),
            (2, Some("hangs")),
        ];
        let told = ["1 refused", "1 certificate", "2 hangs"].map(|text| Some(text.to_owned()));
        assert_eq!(texts(steps), told);
    }
}
