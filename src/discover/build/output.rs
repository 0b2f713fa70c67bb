//! What a command says: lines of bounded length, and the last of them.

use std::collections::VecDeque;

use crate::model::printable;

/// The longest line that is kept, in bytes.
const LONGEST: usize = 2_000;
/// How many lines of a failed command are shown.
const LAST: usize = 20;

/// Bytes as they come, cut into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Takes more bytes; `tell` is given each line that is complete, made safe to show.
    pub(super) fn add(&mut self, bytes: &[u8], mut tell: impl FnMut(String)) {
        for byte in bytes {
            match byte {
                b'\n' => self.end(&mut tell),
                _ if self.line.len() < LONGEST => self.line.push(*byte),
                _ => self.is_cut = true,
            }
        }
    }

    /// Ends the line, if there is one.
    pub(super) fn end(&mut self, mut tell: impl FnMut(String)) {
        let line = std::mem::take(&mut self.line);
        let end = if std::mem::take(&mut self.is_cut) { "…" } else { "" };
        // A progress bar draws its line again and again; what stands there in the end is what it says.
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        if !text.trim().is_empty() {
            tell(printable(text, LONGEST) + end);
        }
    }
}

/// The last lines.
#[derive(Debug, Default)]
pub(super) struct Last(VecDeque<String>);

impl Last {
    pub(super) fn add(&mut self, line: String) {
        if self.0.len() == LAST {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.add(chunk, |line| told.push(line));
        }
        lines.end(|line| told.push(line));
        told
    }

    #[test]
    fn lines_are_put_together_made_safe_and_cut() {
        assert_eq!(lines(&[b"one\ntw", b"o\n\nthree"]), ["one", "two", "three"]);
        assert_eq!(lines(&[b"10%\r50%\r100%\r\n"]), ["100%"]);
        assert_eq!(lines(&[b"\x1b[31mred \xff\n"]), ["\\u{1b}[31mred \u{fffd}"]);
        let long = lines(&[&[b'x'; 10_000], b"\nnext"]);
        assert_eq!((long[0].chars().count(), long[1].as_str()), (LONGEST + 1, "next"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut last = Last::default();
        (0..100).for_each(|line| last.add(line.to_string()));
        let kept = last.into_lines();
        assert_eq!((kept.len(), kept[0].as_str()), (LAST, "80"));
    }
}
