//! Sets of tags as people and their builds make them, with near misses, and policies that fit them more or less.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Numbers that are the same for the same seed (xorshift64*).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// What the tags of a repository are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Versions,
    Numbers,
    Builds,
    Words,
}

pub(super) struct Set {
    pub(super) theme: Theme,
    pub(super) tags: BTreeSet<String>,
}

pub(super) fn set(dice: &mut Dice) -> Set {
    let theme = [Theme::Versions, Theme::Numbers, Theme::Builds, Theme::Words]
        [usize::try_from(dice.below(4)).unwrap()];
    // One odd tag fails a numerical policy of Flux, so that most sets must be without.
    let is_mixed = dice.one_in(3);
    let mut tags = BTreeSet::new();
    for _ in 0..=dice.below(14) {
        let kind = if is_mixed && dice.one_in(4) {
            [Theme::Versions, Theme::Numbers, Theme::Builds, Theme::Words]
                [usize::try_from(dice.below(4)).unwrap()]
        } else {
            theme
        };
        tags.insert(match kind {
            Theme::Versions => version(dice),
            Theme::Numbers => number(dice, is_mixed),
            Theme::Builds => build(dice),
            Theme::Words => word(dice),
        });
    }
    Set { theme, tags }
}

fn version(dice: &mut Dice) -> String {
    let part = |dice: &mut Dice| {
        let zero = if dice.one_in(12) { "0" } else { "" };
        match dice.below(30) {
            0 => "18446744073709551616".to_owned(),
            1 => "4294967296".to_owned(),
            _ => format!("{zero}{}", dice.below(4)),
        }
    };
    let (major, minor, patch) = (part(dice), part(dice), part(dice));
    let prefix = if dice.one_in(4) { dice.of(&["v", "v", "V", "release-", "v."]) } else { "" };
    let numbers = match dice.below(14) {
        0 => format!("{major}.{minor}"),
        1 => major,
        2 => format!("{major}.{minor}.{patch}.1"),
        _ => format!("{major}.{minor}.{patch}"),
    };
    let suffix = match dice.below(4) {
        0 => dice.of(&[
            "-rc.1",
            "-rc.2",
            "-rc.10",
            "-rc1",
            "-alpha",
            "-beta.01",
            "-0",
            "-00",
            "-1.2.3",
            "-build.5",
            "_1",
            "-a_b",
            "-",
            "-alpine3.18",
            "-20260131",
            "-x--y",
            "-rc..1",
            "-99999999999999999999",
            "-rc.99999999999999999999",
        ]),
        _ => "",
    };
    format!("{prefix}{numbers}{suffix}")
}

fn number(dice: &mut Dice, odd: bool) -> String {
    match dice.below(if odd { 16 } else { 10 }) {
        0..=3 => dice.below(30).to_string(),
        4 => format!("0{}", dice.below(30)),
        5 => format!("{}.{}", dice.below(4), dice.of(&["0", "5", "50", "05", "25"])),
        6 => format!("2026{:02}{:02}", 1 + dice.below(12), 1 + dice.below(28)),
        7 => (9_007_199_254_740_990 + dice.below(6)).to_string(),
        8 => format!("{}e{}", dice.below(9), dice.below(12)),
        9 => format!("{}_{:03}", dice.below(9), dice.below(1000)),
        10 => dice.of(&["inf", "nan", "NaN", "Infinity", "0x1p4", "0x10", "0X1P-2"]).to_owned(),
        11 => format!("7e{}", dice.below(99_999)),
        12 => format!("2026-{:02}-{:02}", 1 + dice.below(12), 1 + dice.below(28)),
        13 => dice.of(&["1_", "1__0", "_1", "1._5", "1e", "1e_5", "1.", "1.5.2"]).to_owned(),
        14 => format!("{}{}", dice.below(u64::MAX), dice.below(u64::MAX)),
        _ => hash(dice, 7),
    }
}

fn build(dice: &mut Dice) -> String {
    let branch = dice.of(&["main", "main", "main", "dev", "release-1", "MAIN"]);
    let number = match dice.below(8) {
        0 => String::new(),
        1 => format!("0{}", dice.below(100)),
        2 => format!("2026{:02}{:02}", 1 + dice.below(12), 1 + dice.below(28)),
        3 => format!("1.{}.{}", dice.below(3), dice.below(12)),
        _ => (1_700_000_000 + dice.below(20)).to_string(),
    };
    let length = 7 + dice.below(3);
    format!("{branch}-{}-{number}", hash(dice, length)).trim_end_matches('-').to_owned()
}

fn word(dice: &mut Dice) -> String {
    let word =
        dice.of(&["latest", "stable", "edge", "rc", "RC", "nightly", "a", "b", "_", "Z", "z", "10", "9"]);
    match dice.below(3) {
        0 => format!("{word}-{}", dice.below(12)),
        1 => format!("{word}.{}", dice.of(&["a", "B", "_", "0"])),
        _ => word.to_owned(),
    }
}

fn hash(dice: &mut Dice, length: u64) -> String {
    (0..length)
        .map(|_| dice.of(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"]))
        .collect()
}

const RANGES: [&str; 20] = [
    ">=0.0.0",
    "*",
    "1.x",
    "^1.0.0",
    "~1.2",
    ">=1.0.0 <3.0.0",
    ">=1.0.0, <2.0.0",
    "1 || 3",
    "1.0.0 - 2.1.3",
    "!=1.1.1",
    ">=0.0.0-0",
    "*-0",
    "^1.0.0-0",
    "~2.1.0-rc",
    ">1.0.0-alpha <2",
    "<2",
    "=1.1.1",
    "0.x",
    "^0.1",
    ">=1.2.3-rc.1 || 0.x",
];

/// A policy as both know it, and perhaps a filter.
pub(super) fn policy(dice: &mut Dice, theme: Theme) -> (Value, Option<Value>) {
    let order = json!({"order": dice.of(&["asc", "asc", "desc"])});
    let policy = match (theme, dice.below(6)) {
        (Theme::Versions, 0..=3) | (Theme::Builds, 0) | (_, 5) => {
            json!({"semver": {"range": dice.of(&RANGES)}})
        }
        (Theme::Numbers | Theme::Builds, 1..=3) | (_, 4) => json!({"numerical": order}),
        _ => json!({"alphabetical": order}),
    };
    let (pattern, extracts): (&str, &[&str]) = match (theme, dice.below(8)) {
        (_, 0..=1) => return (policy, None),
        (Theme::Versions, 2) => {
            (r"^v?(?P<version>[0-9]+\.[0-9]+\.[0-9]+)$", &["$version", "${version}", "$1", ""])
        }
        (Theme::Versions, 3) => {
            (r"^(v|release-)?(?<n>\d+)\.(\d+)\.(.*)$", &["$n.$3.$4", "${n}.0.0", "$n", "$2.$3.0+$4", "$n$3"])
        }
        (Theme::Versions, 4) => (r"-(rc|alpha|beta)\.?(\d*)", &["$2", "1.0.$2", "$1", "$0"]),
        (Theme::Versions, 5) => (r"(?i)^v", &["", "$0", "$$0"]),
        (Theme::Versions, _) => (r"\Q.\E\d+$|[[:^digit:]]$", &["", "$0", "$1"]),
        (Theme::Numbers, 2) => (r"^(?P<n>[0-9]+)$", &["$n", "-$n", "$n.5", "${n}e1", "+$n", "$nobody"]),
        (Theme::Numbers, 3) => (r"^([0-9]+)[._e]([0-9]+)$", &["$1", "$2", "$2.$1", "$1$2", "${1}_$2"]),
        (Theme::Numbers, 4) => (r"^2026-?(?P<m>\d{2})-?(?P<d>\d{2})$", &["$m$d", "$d", "2026.$m.$d", "$m"]),
        (Theme::Numbers, 5) => (r"^[^a-z_]{1,16}$", &["", "$0", "1.$0.0"]),
        (Theme::Numbers, _) => (r"(\d)(\d)?$", &["$1", "$2", "$1.$2", "$2$1"]),
        (Theme::Builds, 2..=4) => (r"^main-[a-f0-9]+-(?P<ts>[0-9]+)$", &["$ts", "$1", "1.0.$ts", ""]),
        (Theme::Builds, 5) => (
            r"^main-(?P<sha>[a-f0-9]{7})[a-f0-9]*-(?P<ts>.*)$",
            &["$ts", "$sha", "1.$ts.0", "$ts$sha", "0x$sha"],
        ),
        (Theme::Builds, _) => (r"(?i)^MAIN-.*?-0*?([1-9]\d*)", &["$1", "$1.0.0", "${1}0"]),
        (Theme::Words, 2) => (r"^[[:lower:]]+-([0-9]+)$", &["$1", "1.$1.0"]),
        (Theme::Words, 3) => (r"[.\-](\w)", &["$1", "$0", ""]),
        (Theme::Words, 4) => (r"^(?:(?P<v>a)|(?P<v>b)|(?P<v>z))", &["$v", "$v$0"]),
        (Theme::Words, 5) => (r"^\141|\x{62}|[^\x00-y]", &["", "$0"]),
        (Theme::Words, _) => (r"(?U)^(.+)(-\d+)?$", &["$1", "$2", "$1$2"]),
    };
    let extract = dice.of(extracts);
    let mut filter = json!({"pattern": pattern});
    if !extract.is_empty() {
        filter["extract"] = json!(extract);
    }
    (policy, Some(filter))
}
