//! Version ranges, in the grammar and with the meaning that `semver.range` has in a Flux `ImagePolicy`.
//!
//! Flux reads ranges with Masterminds/semver v3, whose grammar is not Cargo's: `1.2.3` is exactly that version, a space or
//! a comma means "and", `||` means "or". The odd corners are kept (`~0.0.0` is `>=0.0.0`, `^*` and `!=*` speak of `0.0.0` alone,
//! `<=*` of `0.0.x`) and checked against v3.5.0 in `tests/fixtures/masterminds.tsv`. Differences, all of them in text that
//! hardly anybody writes:
//! - `1||2 - 3` and `1 - 2<3` are refused: Masterminds reads the first as `>=1 || 2 <=3` and lets the second pass by chance;
//! - what follows a wildcard must still be a number or a wildcard (`1.x.3` is `1.x`, `1.x.xx` is refused);
//! - `1.0.0 - 2.0.0||3.0.0`, `!=1.5.0 1.0.0 - 2.0.0` and more than 32 alternatives are accepted;
//! - a range has at most 256 bytes (Masterminds: 512);
//! - numbers in pre-releases are compared as numbers past 64 bits too (Masterminds: as text).

use std::fmt;
use std::str::FromStr;

use ::semver::{Prerelease, Version};

use crate::model::printable;

/// The longest range in bytes.
const LONGEST: usize = 256;

/// A set of versions, as written in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    text: String,
    /// A version is within the range if it is within one of these.
    alternatives: Vec<Alternative>,
}

impl Range {
    /// Whether the version is within the range; build metadata plays no part.
    ///
    /// A pre-release is within a range only by an alternative that names a pre-release itself (`>=1.2.3-0`).
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(version))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        if text.len() > LONGEST {
            let wrong = format!("the range is {} bytes long", text.len());
            return Err(RangeError {
                at: text.floor_char_boundary(LONGEST),
                wrong,
                possible: "shorten it to 256 bytes at most",
            });
        }
        let mut reader = Reader { text, at: 0 };
        let mut alternatives = vec![reader.alternative()?];
        while reader.eat("||") {
            alternatives.push(reader.alternative()?);
        }
        Ok(Self { text: text.to_owned(), alternatives })
    }
}

/// Text that is not a version range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {wrong}; {possible}")]
pub struct RangeError {
    at: usize,
    wrong: String,
    possible: &'static str,
}

impl RangeError {
    /// Where in the text the range goes wrong: a byte offset, counted from 0, on the border of a character.
    pub fn at(&self) -> usize {
        self.at
    }
}

/// Comparators that a version must satisfy together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    comparators: Vec<Comparator>,
    /// Whether any comparator names a pre-release; without one no pre-release is within.
    prereleases: bool,
}

impl Alternative {
    fn matches(&self, version: &Version) -> bool {
        (self.prereleases || version.pre.is_empty())
            && self.comparators.iter().all(|comparator| comparator.matches(version))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// As written, the longer ones first.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

/// How much of a bound is written; the rest is a wildcard or missing, which mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// `*`
    Nothing,
    /// `1`, `1.x`
    Major,
    /// `1.2`, `1.2.x`
    Minor,
    /// `1.2.3`
    Patch,
}

/// A version of which parts may be left open; open parts are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    version: Version,
    precision: Precision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    bound: Bound,
}

impl Comparator {
    fn matches(&self, version: &Version) -> bool {
        use Operator::{Caret, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual, Tilde};
        use Precision::{Major, Minor, Nothing, Patch};

        let Bound { version: ref bound, precision } = self.bound;
        let order = version.cmp_precedence(bound);
        let major = version.major.cmp(&bound.major);
        let minor = major.then(version.minor.cmp(&bound.minor));
        let patch = minor.then(version.patch.cmp(&bound.patch));
        let zero = (bound.major, bound.minor, bound.patch) == (0, 0, 0);
        match self.operator {
            Equal if precision == Patch => order.is_eq(),
            // Masterminds documents `~0.0.0` as "any version"; no other complete version is meant so.
            Tilde if precision == Patch && zero => order.is_ge(),
            Equal | Tilde => match precision {
                Nothing => order.is_ge(),
                Major => major.is_eq() && order.is_ge(),
                Minor | Patch => minor.is_eq() && order.is_ge(),
            },
            NotEqual => match precision {
                Nothing | Patch => order.is_ne(),
                Major => major.is_ne(),
                Minor => minor.is_ne() || version.pre != bound.pre,
            },
            Greater => match precision {
                Nothing | Patch => order.is_gt(),
                Major => major.is_gt(),
                Minor => minor.is_gt(),
            },
            GreaterOrEqual => order.is_ge(),
            Less => order.is_lt(),
            LessOrEqual => match precision {
                Patch => order.is_le(),
                Major => major.is_le(),
                Minor | Nothing => minor.is_le(),
            },
            // The leftmost part that is not 0 stays; of zeros alone, all that is written stays.
            Caret => {
                let kept = match precision {
                    Major => major,
                    _ if bound.major > 0 => major,
                    Minor => minor,
                    _ if bound.minor > 0 => minor,
                    Nothing | Patch => patch,
                };
                kept.is_eq() && order.is_ge()
            }
        }
    }
}

/// What a message says is possible where a comparator must stand.
const A_VERSION: &str =
    "write a version such as 1.2.3, 1.2.x or *, after one of = != > >= < <= ~ ^ or none of them";
/// What a message says is possible after a comparator.
const A_SEPARATOR: &str =
    "write a space or a comma before the next condition, || before an alternative, or end the range";

/// Reads a range from left to right; every byte is passed a bounded number of times.
struct Reader<'a> {
    text: &'a str,
    /// Always on the border of a character: only ASCII is ever passed.
    at: usize,
}

impl Reader<'_> {
    /// Reads up to `||` or the end.
    fn alternative(&mut self) -> Result<Alternative, RangeError> {
        let start = self.at;
        let mut comparators = Vec::new();
        loop {
            self.skip_space();
            let operator = self.operator();
            if operator.is_some() {
                self.skip_space();
            }
            let bound_at = self.at;
            let bound = self.bound()?;
            let mut spaced = self.skip_space();
            if spaced && self.next() == Some(b'-') {
                let glued = start > 0 && bound_at == start && !self.text[start..].starts_with('v');
                if operator.is_some() || glued {
                    let possible = "write it without an operator, and with a space after ||";
                    return Err(self.error(bound_at, "a hyphen range cannot start here", possible));
                }
                let upper = self.upper_bound()?;
                comparators.push(Comparator { operator: Operator::GreaterOrEqual, bound });
                comparators.push(Comparator { operator: Operator::LessOrEqual, bound: upper });
                spaced = self.skip_space();
            } else {
                comparators.push(Comparator { operator: operator.unwrap_or(Operator::Equal), bound });
            }
            if self.next().is_none() || self.text[self.at..].starts_with("||") {
                let prereleases =
                    comparators.iter().any(|comparator| !comparator.bound.version.pre.is_empty());
                return Ok(Alternative { comparators, prereleases });
            }
            if !self.eat(",") && !spaced {
                return Err(self.error(self.at, "a condition ends here", A_SEPARATOR));
            }
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        OPERATORS.iter().find(|(written, _)| self.eat(written)).map(|(_, operator)| *operator)
    }

    /// Reads the rest of a hyphen range, from its hyphen on.
    fn upper_bound(&mut self) -> Result<Bound, RangeError> {
        self.eat("-");
        if !self.skip_space() {
            return Err(self.error(
                self.at,
                "a hyphen range has no space here",
                "write it as in 1.2.3 - 1.4.5, with a version on both sides",
            ));
        }
        self.bound()
    }

    /// Reads `v1.2.3-pre+build`, of which all but the first part may be missing.
    fn bound(&mut self) -> Result<Bound, RangeError> {
        let start = self.at;
        self.eat("v");
        if !self.next().is_some_and(is_part) {
            return Err(self.error(start, "a version is expected here", A_VERSION));
        }
        let major = self.part()?;
        let minor = if self.eat_before(b'.', is_part) { self.part()? } else { None };
        let patch = if self.eat_before(b'.', is_part) { self.part()? } else { None };
        let precision = match (major, minor, patch) {
            (None, _, _) => Precision::Nothing,
            (_, None, _) => Precision::Major,
            (_, _, None) => Precision::Minor,
            _ => Precision::Patch,
        };
        // What is written behind a wildcard has no meaning.
        let mut version = match precision {
            Precision::Nothing => Version::new(0, 0, 0),
            Precision::Major => Version::new(major.unwrap_or(0), 0, 0),
            _ => Version::new(major.unwrap_or(0), minor.unwrap_or(0), patch.unwrap_or(0)),
        };
        if self.eat_before(b'-', is_identifier) {
            version.pre = self.prerelease()?;
        }
        if self.eat_before(b'+', is_identifier) {
            self.identifiers();
        }
        Ok(Bound { version, precision })
    }

    /// Reads a number, or `None` for a wildcard.
    fn part(&mut self) -> Result<Option<u64>, RangeError> {
        let start = self.at;
        self.skip(is_part);
        let written = &self.text[start..self.at];
        if matches!(written, "x" | "X" | "*") {
            return Ok(None);
        }
        written.parse().map(Some).map_err(|_| {
            let possible =
                "write each part of a version as one of x, X, *, or a number up to 18446744073709551615";
            self.error(start, "a part of a version is neither a number nor a wildcard", possible)
        })
    }

    fn prerelease(&mut self) -> Result<Prerelease, RangeError> {
        let start = self.at;
        self.identifiers();
        Prerelease::new(&self.text[start..self.at]).map_err(|_| {
            let possible = "write the numbers between the dots of a pre-release without leading zeros";
            self.error(start, "a pre-release breaks the rules", possible)
        })
    }

    /// Passes identifiers with dots between them.
    fn identifiers(&mut self) {
        self.skip(is_identifier);
        while self.eat_before(b'.', is_identifier) {
            self.skip(is_identifier);
        }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, expected: &str) -> bool {
        let found = self.text[self.at..].starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Passes the ASCII byte if one of `class` follows it.
    fn eat_before(&mut self, byte: u8, class: fn(u8) -> bool) -> bool {
        let following = self.text.as_bytes().get(self.at + 1).copied();
        let found = self.next() == Some(byte) && following.is_some_and(class);
        if found {
            self.at += 1;
        }
        found
    }

    /// Passes all that follows of an ASCII class; whether there was any.
    fn skip(&mut self, class: fn(u8) -> bool) -> bool {
        let start = self.at;
        while self.next().is_some_and(class) {
            self.at += 1;
        }
        self.at > start
    }

    fn skip_space(&mut self) -> bool {
        self.skip(|byte| byte.is_ascii_whitespace())
    }

    fn error(&self, at: usize, wrong: &str, possible: &'static str) -> RangeError {
        let rest = &self.text[at..];
        let found =
            if rest.is_empty() { "the end".to_owned() } else { format!("\"{}\"", printable(rest, 16)) };
        RangeError { at, wrong: format!("{wrong}, got {found}"), possible }
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'x' | b'X' | b'*')
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
