//! The grammar within brackets. RE2 has ranges, escapes and `[:name:]` there; the operators and the nested brackets that
//! the `regex` crate knows as well are plain characters.

use std::fmt::Write as _;

use super::PatternError;
use super::reader::Reader;

/// The names that may stand as in `[[:alpha:]]`, or negated as in `[[:^alpha:]]`.
const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl Reader<'_> {
    /// Reads a whole class, from its `[` on.
    pub(super) fn class(&mut self) -> Result<(), PatternError> {
        let start = self.at;
        self.at += 1;
        self.out.push('[');
        if self.next() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.next() {
                None => return Err(PatternError::new(start, "this class has no end", "add the missing ]")),
                Some(']') if !first => break,
                _ => {}
            }
            first = false;
            if !self.named()? && !self.perl() {
                self.range()?;
            }
        }
        self.at += 1;
        self.out.push(']');
        Ok(())
    }

    /// Passes `[:name:]`, if one stands here.
    fn named(&mut self) -> Result<bool, PatternError> {
        let Some((name, _)) = self.rest().strip_prefix("[:").and_then(|inner| inner.split_once(":]")) else {
            return Ok(false);
        };
        let positive = name.strip_prefix('^').unwrap_or(name);
        if !NAMES.contains(&positive) {
            let possible = "write one of alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit";
            return Err(self.error("no class has this name", possible));
        }
        _ = write!(self.out, "[:{name}:]");
        self.at += name.len() + 4;
        Ok(true)
    }

    /// Passes `\d` and its like, if one stands here.
    fn perl(&mut self) -> bool {
        let Some(written) = self.rest().get(..2) else { return false };
        let found = matches!(written, "\\d" | "\\D" | "\\s" | "\\S" | "\\w" | "\\W");
        if found {
            self.out.push_str(written);
            self.at += 2;
        }
        found
    }

    /// Passes a character, or two with `-` between them.
    fn range(&mut self) -> Result<(), PatternError> {
        let start = self.at;
        let low = self.character()?;
        self.literal(low);
        if self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest().len() > 1 {
            self.at += 1;
            let high = self.character()?;
            if high < low {
                let possible = "write the smaller character first, or - at the end of the class";
                return Err(PatternError::new(start, "a range goes down", possible));
            }
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn character(&mut self) -> Result<char, PatternError> {
        match self.next() {
            Some('\\') => self.escaped(),
            Some(letter) => {
                self.at += letter.len_utf8();
                Ok(letter)
            }
            None => Err(self.error("the pattern ends within a class", "add the missing ]")),
        }
    }
}
