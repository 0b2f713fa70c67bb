//! The grammar outside of brackets: every byte is passed once.

use std::fmt::Write as _;

use super::PatternError;
use crate::model::printable;

/// The most groups within each other.
const DEEPEST: usize = 100;
/// The most repetitions that `{n,m}` may name, as in RE2.
const MOST_REPETITIONS: u32 = 1000;

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Something,
    /// Something that is repeated already.
    Repeated,
}

/// Reads a pattern and writes it anew.
pub(super) struct Reader<'p> {
    pub(super) text: &'p str,
    /// Always on the border of a character.
    pub(super) at: usize,
    pub(super) out: String,
    names: Vec<Option<String>>,
    /// Where the groups that are open began.
    open: Vec<usize>,
    before: Before,
}

impl<'p> Reader<'p> {
    pub(super) fn new(text: &'p str) -> Self {
        let out = String::with_capacity(text.len() * 2);
        Self { text, at: 0, out, names: Vec::new(), open: Vec::new(), before: Before::Nothing }
    }

    /// The pattern in the other words, and the names of its groups.
    pub(super) fn read(mut self) -> Result<(String, Vec<Option<String>>), PatternError> {
        while let Some(letter) = self.next() {
            match letter {
                '\\' => self.escape()?,
                '[' => {
                    self.class()?;
                    self.before = Before::Something;
                }
                '(' => self.group()?,
                ')' => {
                    if self.open.pop().is_none() {
                        return Err(
                            self.error("a group ends that never began", "write \\) for the character")
                        );
                    }
                    self.copy(letter, Before::Something);
                }
                '|' => self.copy(letter, Before::Nothing),
                '.' | '^' | '$' => self.copy(letter, Before::Something),
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.repeat(1, &letter.to_string())?;
                }
                '{' => self.braces()?,
                _ => {
                    self.at += letter.len_utf8();
                    self.literal(letter);
                    self.before = Before::Something;
                }
            }
        }
        match self.open.pop() {
            Some(at) => Err(PatternError::new(at, "this group has no end", "add the missing )")),
            None => Ok((self.out, self.names)),
        }
    }

    fn copy(&mut self, letter: char, before: Before) {
        self.at += letter.len_utf8();
        self.out.push(letter);
        self.before = before;
    }

    /// Writes one character so that it means itself, within brackets as without.
    ///
    /// No tag has a character beyond ASCII, so that one such stands for all of them.
    pub(super) fn literal(&mut self, letter: char) {
        match u8::try_from(letter) {
            Ok(byte) if byte.is_ascii_alphanumeric() => self.out.push(letter),
            Ok(byte) if byte.is_ascii() => _ = write!(self.out, "\\x{byte:02x}"),
            _ => self.out.push_str("\\x80"),
        }
    }

    fn group(&mut self) -> Result<(), PatternError> {
        if self.open.len() == DEEPEST {
            return Err(self.error("groups are nested too deeply", "write at most 100 levels"));
        }
        let start = self.at;
        let rest = self.rest();
        let named = rest.strip_prefix("(?P<").or_else(|| rest.strip_prefix("(?<"));
        if let Some(named) = named.filter(|named| !named.starts_with(['=', '!'])) {
            let name = named.split_once('>').map_or("", |(name, _)| name);
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(self.error("a group has no legal name", "write it like (?P<name>…)"));
            }
            self.at += rest.len() - named.len() + name.len() + 1;
            self.names.push(Some(name.to_owned()));
            self.begin(start, "(");
        } else if rest.starts_with("(?") {
            self.at += 2;
            self.flags(start)?;
        } else {
            self.at += 1;
            self.names.push(None);
            self.begin(start, "(");
        }
        Ok(())
    }

    fn begin(&mut self, start: usize, written: &str) {
        self.open.push(start);
        self.out.push_str(written);
        self.before = Before::Nothing;
    }

    /// Reads `(?flags)` or `(?flags:`, from the first flag on.
    fn flags(&mut self, start: usize) -> Result<(), PatternError> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut negative = None;
        while let Some(letter) = self.next() {
            match letter {
                'i' | 'm' | 's' | 'U' => {
                    let (to, from) =
                        if negative.is_some() { (&mut off, &mut on) } else { (&mut on, &mut off) };
                    from.retain(|known| known != letter);
                    if !to.contains(letter) {
                        to.push(letter);
                    }
                }
                '-' if negative.is_none() => negative = Some(self.at),
                ':' | ')' if negative.is_none_or(|at| at + 1 < self.at) => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    self.at += 1;
                    if letter == ':' {
                        self.begin(start, &format!("(?{on}{minus}{off}:"));
                    } else if !(on.is_empty() && off.is_empty()) {
                        _ = write!(self.out, "(?{on}{minus}{off})");
                        self.before = Before::Nothing;
                    }
                    return Ok(());
                }
                _ => break,
            }
            self.at += 1;
        }
        self.at = start;
        let possible = "RE2 has (?:…), (?P<name>…), (?flags) and (?flags:…) with the flags i, m, s and U; it has no look-around";
        Err(self.error("RE2 has no such group", possible))
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let literal = quoted.split_once("\\E").map_or(quoted, |(literal, _)| literal);
            let end = self.at + 2 + literal.len();
            for letter in literal.chars() {
                self.literal(letter);
                self.before = Before::Something;
            }
            self.at = if literal.len() < quoted.len() { end + 2 } else { end };
            return Ok(());
        }
        if let Some(b'A' | b'z' | b'b' | b'B' | b'd' | b'D' | b's' | b'S' | b'w' | b'W') =
            rest.as_bytes().get(1)
        {
            self.out.push_str(rest.get(..2).unwrap_or_default());
            self.at += 2;
        } else {
            let letter = self.escaped()?;
            self.literal(letter);
        }
        self.before = Before::Something;
        Ok(())
    }

    /// Reads an escape that stands for one character, which means the same within brackets.
    pub(super) fn escaped(&mut self) -> Result<char, PatternError> {
        let rest = self.rest();
        let mut after = rest.get(1..).unwrap_or_default().chars();
        let Some(letter) = after.next() else {
            return Err(self.error("a backslash ends the pattern", "write \\\\ for the character"));
        };
        let following = after.as_str();
        let (value, length) = match letter {
            'a' => ('\x07', 2),
            'f' => ('\x0c', 2),
            'n' => ('\n', 2),
            'r' => ('\r', 2),
            't' => ('\t', 2),
            'v' => ('\x0b', 2),
            '0'..='7' if letter == '0' || following.starts_with(|digit| ('0'..='7').contains(&digit)) => {
                let digits = &rest[1..];
                let count = digits.bytes().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
                (number(&digits[..count], 8), 1 + count)
            }
            'x' if following.starts_with('{') => {
                let digits = following[1..].split_once('}').map_or("", |(digits, _)| digits);
                let value = u32::from_str_radix(digits, 16).ok().filter(|value| *value <= 0x0010_ffff);
                let signed = digits.starts_with('+');
                match value.filter(|_| !signed) {
                    Some(_) => (number(digits, 16), 4 + digits.len()),
                    None => return Err(self.unknown_escape()),
                }
            }
            'x' if following.len() >= 2
                && following.bytes().take(2).all(|digit| digit.is_ascii_hexdigit()) =>
            {
                (number(&following[..2], 16), 4)
            }
            _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => (letter, 2),
            _ => return Err(self.unknown_escape()),
        };
        self.at += length;
        Ok(value)
    }

    fn unknown_escape(&self) -> PatternError {
        let possible = if self.rest().starts_with("\\p") || self.rest().starts_with("\\P") {
            "a tag has no letters beyond ASCII: write a class such as [A-Za-z]"
        } else {
            "RE2 has no backreferences; a backslash stands before punctuation, or as in \\d \\w \\s \\b \\A \\z \\x7F"
        };
        let shown = printable(self.rest(), 2);
        PatternError::new(self.at, format!("the escape {shown} has no meaning here"), possible)
    }

    fn braces(&mut self) -> Result<(), PatternError> {
        let Some((least, most, length)) = counts(self.rest()) else {
            // As in RE2, a brace that begins no repetition is a character.
            self.at += 1;
            self.literal('{');
            self.before = Before::Something;
            return Ok(());
        };
        if least > MOST_REPETITIONS || most.is_some_and(|most| most > MOST_REPETITIONS || most < least) {
            return Err(self.error(
                "a count of repetitions is out of range",
                "write at most 1000, the smaller one first",
            ));
        }
        let written = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        self.repeat(length, written)
    }

    /// Writes a repetition that was just passed, with the `?` that may follow it.
    fn repeat(&mut self, length: usize, written: &str) -> Result<(), PatternError> {
        let at = self.at - length;
        match self.before {
            Before::Something => {}
            Before::Nothing => {
                return Err(PatternError::new(
                    at,
                    "there is nothing to repeat",
                    "write \\ before the character",
                ));
            }
            Before::Repeated => {
                let possible = "put the inner one into (?:…), or write \\ before the character";
                return Err(PatternError::new(at, "a repetition is repeated", possible));
            }
        }
        self.out.push_str(written);
        if self.next() == Some('?') {
            self.at += 1;
            self.out.push('?');
        }
        self.before = Before::Repeated;
        Ok(())
    }

    pub(super) fn rest(&self) -> &'p str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn error(&self, wrong: &str, possible: &'static str) -> PatternError {
        PatternError::new(self.at, wrong, possible)
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`; the counts, and its length in bytes.
fn counts(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let (least, most) = match inner.split_once(',') {
        None => (count(inner)?, Some(count(inner)?)),
        Some((least, "")) => (count(least)?, None),
        Some((least, most)) => (count(least)?, Some(count(most)?)),
    };
    Some((least, most, inner.len() + 2))
}

/// A number without leading zeros; one that is too large is larger than any that is allowed.
fn count(digits: &str) -> Option<u32> {
    let digit = |byte: u8| byte.is_ascii_digit();
    let legal =
        !digits.is_empty() && digits.bytes().all(digit) && (digits.len() == 1 || !digits.starts_with('0'));
    legal.then(|| digits.parse().unwrap_or(u32::MAX))
}

/// The character of this number; one that no tag can have where it is none.
fn number(digits: &str, radix: u32) -> char {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}
