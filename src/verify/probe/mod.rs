//! Probes: do requests of our own fare well?
//!
//! In: answers, one after the other. Out: a judgement. A version fails only where the same probe is known to have worked:
//! a wrong address in promote.yaml is no version's fault. What never reaches a gateway says nothing.

pub mod request;

use jiff::{SignedDuration, Timestamp};

use super::Judgement;

/// A group of answers is bad if this many of it are.
const BAD: u32 = 3;
/// The answers of a group.
const GROUP: u32 = 5;
/// So many bad groups in a row are no accident, if they last for so long.
const GROUPS: u32 = 2;
const LASTING: SignedDuration = SignedDuration::from_secs(60);

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was expected.
    Good,
    /// Another answer, or none on a connection that was made: what it was.
    Bad(String),
    /// No connection was made, which is the network's fault: why.
    Unreachable(String),
}

/// What the gateway says of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The `server` header says that a proxy of Istio answered.
    pub by_proxy: bool,
    /// `x-envoy-upstream-service-time` is there: something behind the proxy answered.
    pub from_upstream: bool,
}

/// What a response means where `expected` is the status of a good one.
pub fn classify(response: &Response, expected: u16) -> Answer {
    let Response { status, by_proxy, from_upstream } = *response;
    if status == expected {
        return Answer::Good;
    }
    let words = match (status, by_proxy && !from_upstream) {
        // Too many requests: ours, or those of others.
        (429, _) => return Answer::Unreachable("429: the gateway or the app limits requests".to_owned()),
        (404, true) => "404 from the gateway itself: it has no route for this host and path".to_owned(),
        (503, true) => "503 from the gateway itself: no healthy pod behind the route".to_owned(),
        (_, true) => format!("{status} from the gateway itself"),
        (_, false) => format!("{status}, expected {expected}"),
    };
    Answer::Bad(words)
}

/// The answers so far.
#[derive(Debug, Clone)]
pub struct Probes {
    /// So many good answers in a row are enough.
    enough: u32,
    /// The probe has worked before, so that what breaks it is new.
    worked: bool,
    in_a_row: u32,
    group: (u32, u32),
    bad_groups: u32,
    bad_since: Option<Timestamp>,
    last: Option<Answer>,
}

impl Probes {
    /// No answers yet. `worked` tells that the probe is known to have worked for a version before.
    pub fn new(enough: u32, worked: bool) -> Self {
        Self { enough, worked, in_a_row: 0, group: (0, 0), bad_groups: 0, bad_since: None, last: None }
    }

    /// Enters an answer. `alone` tells that no pod of an older version could have given it.
    pub fn enter(&mut self, answer: Answer, alone: bool, now: Timestamp) {
        let bad = match &answer {
            Answer::Unreachable(_) => None,
            Answer::Good => Some(false),
            Answer::Bad(_) => Some(true),
        };
        self.last = Some(answer);
        let Some(bad) = bad else { return };
        if bad {
            self.in_a_row = 0;
            self.bad_since.get_or_insert(now);
        } else {
            self.worked = true;
            self.in_a_row = if alone { self.in_a_row.saturating_add(1) } else { 0 };
        }
        let (answers, bads) = (self.group.0 + 1, self.group.1 + u32::from(bad));
        self.group = (answers, bads);
        if answers < GROUP {
            return;
        }
        self.group = (0, 0);
        if bads >= BAD {
            self.bad_groups += 1;
        } else {
            (self.bad_groups, self.bad_since) = (0, None);
        }
    }

    /// Whether enough good answers came in a row, the last one among them.
    pub fn passes(&self) -> bool {
        self.in_a_row >= self.enough
    }

    /// The judgement now; `target` names what is probed.
    pub fn judge(&self, target: &str, now: Timestamp) -> Judgement {
        let lasting = self.bad_since.is_some_and(|since| now.duration_since(since) >= LASTING);
        match &self.last {
            None => Judgement::wait(format!("no answer of {target} yet")),
            Some(_) if self.passes() => {
                Judgement::Pass(format!("{} good answers in a row, {target}", self.in_a_row))
            }
            Some(Answer::Bad(words)) if self.bad_groups >= GROUPS && lasting => {
                if self.worked {
                    Judgement::Fail(format!("{target} worked before, and now most answers are bad: {words}"))
                } else {
                    Judgement::Unknown(format!(
                        "{target} has never given a good answer, so that the version may not be the cause: {words}; \
                         check verify.probe"
                    ))
                }
            }
            Some(Answer::Unreachable(words)) => {
                Judgement::Unknown(format!("{target} can't be reached: {words}"))
            }
            Some(Answer::Bad(words)) => Judgement::Unknown(format!("{target}: {words}")),
            Some(Answer::Good) => Judgement::wait(format!(
                "{} of {} good answers in a row, {target}",
                self.in_a_row, self.enough
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A probe each second; `.` is a good answer, `x` a bad one, `?` one that did not arrive.
    fn judged(worked: bool, answers: &str) -> Judgement {
        let mut probes = Probes::new(10, worked);
        for (answer, second) in answers.chars().zip(0..) {
            let answer = match answer {
                '.' => Answer::Good,
                'x' => Answer::Bad("500, expected 200".to_owned()),
                _ => Answer::Unreachable("refused".to_owned()),
            };
            probes.enter(answer, true, at(second));
        }
        probes.judge("http://app", at(i64::try_from(answers.len()).unwrap()))
    }

    #[test]
    fn enough_good_answers_in_a_row_pass() {
        assert_eq!(judged(false, &".".repeat(9)).word(), "wait");
        let passed = judged(false, &".".repeat(10));
        assert_eq!(passed, Judgement::Pass("10 good answers in a row, http://app".to_owned()));
        assert_eq!(judged(false, &format!("{}x{}", ".".repeat(8), ".".repeat(9))).word(), "wait");
    }

    #[test]
    fn what_worked_before_and_does_not_any_more_fails_after_a_minute() {
        assert_eq!(judged(true, &"x".repeat(59)).word(), "unknown");
        assert_eq!(judged(true, &"x".repeat(60)).word(), "fail");
        assert_eq!(judged(false, &format!(".....{}", "x".repeat(60))).word(), "fail", "it worked at first");
        assert_eq!(judged(true, &"xx.xx".repeat(12)).word(), "fail");
    }

    #[test]
    fn what_never_worked_is_no_versions_fault() {
        let judgement = judged(false, &"x".repeat(600));
        assert!(judgement.word() == "unknown" && judgement.detail().contains("never"), "{judgement:?}");
    }

    #[test]
    fn a_few_bad_answers_are_neither_a_pass_nor_a_failure() {
        assert_eq!(judged(true, &"....x".repeat(60)).word(), "unknown");
        assert_eq!(judged(true, &"...xx".repeat(60)).word(), "unknown");
        assert_eq!(judged(true, &format!("{}.....{}", "x".repeat(40), "x".repeat(40))).word(), "unknown");
    }

    #[test]
    fn a_gateway_that_is_not_reached_says_nothing() {
        assert_eq!(judged(true, &"?".repeat(600)).word(), "unknown");
        assert_eq!(judged(true, &format!("{}?", ".".repeat(9))).word(), "unknown");
        assert_eq!(
            judged(true, &format!("{}?.", ".".repeat(9))).word(),
            "pass",
            "it takes no good answer away"
        );
    }

    #[test]
    fn answers_that_an_old_pod_may_have_given_prove_nothing_of_the_new_one() {
        let mut probes = Probes::new(3, false);
        for second in 0..30 {
            probes.enter(Answer::Good, false, at(second));
        }
        assert!(!probes.passes());
        for second in 30..33 {
            probes.enter(Answer::Good, true, at(second));
        }
        assert!(probes.passes());
    }

    #[test]
    fn the_gateways_own_answers_are_told_apart_from_the_apps() {
        let response = |status, by_proxy, from_upstream| Response { status, by_proxy, from_upstream };
        let bad = |response| match classify(&response, 200) {
            Answer::Bad(words) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(classify(&response(200, true, true), 200), Answer::Good);
        assert_eq!(classify(&response(404, true, false), 404), Answer::Good);
        assert!(bad(response(404, true, false)).contains("no route"));
        assert!(bad(response(503, true, false)).contains("no healthy pod"));
        assert_eq!(bad(response(503, true, true)), "503, expected 200");
        assert_eq!(bad(response(302, false, false)), "302, expected 200");
        assert!(matches!(classify(&response(429, true, true), 200), Answer::Unreachable(_)));
    }
}
