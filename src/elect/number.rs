//! Tags as numbers, with the meaning that they have for a `numerical` policy in a Flux `ImagePolicy`, but exact.
//!
//! Flux reads them with Go's `strconv.ParseFloat` into 64 bits: past 2^53 different numbers become one there, and a tag that
//! is no number fails its policy. Here no digit is lost, and such a tag does not count. Neither do `inf`, `nan`, hexadecimal
//! numbers and what 64 bits can't hold (`7e12345`, which is rather a commit than a number; it fails Flux's policy).

use std::cmp::Ordering;

/// A decimal number of any length.
///
/// It is 0.DIGITS times ten to `exponent`; the first and the last digit are not 0, and zero has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    exponent: i64,
    /// The first 32 digits, four bits each, the first one on top.
    first: u128,
    /// The digits after those.
    rest: Box<[u8]>,
}

/// How many digits `first` holds.
const FIRST: u32 = u128::BITS / 4;

impl Number {
    /// Reads a number as a Go program would: `20260131`, `-1.5`, `.5`, `2_000`, `1e9`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, exponent(power)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if !has_legal_underscores(unsigned) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let (mut first, mut rest, mut held) = (0_u128, Vec::new(), 0);
        let mut exponent = power;
        for (part, counts) in [(whole, 1), (fraction, 0)] {
            for byte in part.bytes().filter(|byte| *byte != b'_') {
                let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
                exponent += counts;
                if held == 0 && digit == 0 {
                    exponent -= 1;
                } else if held < FIRST {
                    held += 1;
                    first |= u128::from(digit) << (4 * (FIRST - held));
                } else {
                    rest.push(digit);
                }
            }
        }
        if held == 0 {
            return Some(Self { negative: false, exponent: 0, first: 0, rest: Box::default() });
        }
        let significant = rest.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        rest.truncate(significant);
        let number = Self { negative, exponent, first, rest: rest.into() };
        number.fits().then_some(number)
    }

    /// Whether 64 bits hold its magnitude, however roughly.
    fn fits(&self) -> bool {
        // 32 digits tell, since 64 bits hold 17.
        self.exponent < 300
            || format!("0.{:032x}e{}", self.first, self.exponent).parse::<f64>().is_ok_and(f64::is_finite)
    }

    /// The power and the first digits, as a number in the order of numbers.
    pub(super) fn brief(&self) -> u128 {
        const POWER_BITS: u32 = 20;
        const FAR: i64 = 32_000;
        const SIGN: u128 = 1 << 127;
        let magnitude = if self.first == 0 {
            0
        } else {
            let power = u128::try_from(self.exponent.clamp(-FAR, FAR) + FAR + 1).unwrap_or_default();
            let is_near = self.exponent > -FAR && self.exponent < FAR;
            (power << (u128::BITS - POWER_BITS)) | if is_near { self.first >> POWER_BITS } else { 0 }
        };
        if self.negative { !magnitude & !SIGN } else { magnitude | SIGN }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.first == 0, other.first == 0) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let key = |number: &Self| (number.exponent, number.first);
                key(self).cmp(&key(other)).then_with(|| self.rest.cmp(&other.rest))
            }
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A power of ten; what is past all that 64 bits hold stays past it.
fn exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut power = 0_i64;
    let mut any = false;
    for byte in digits.bytes().filter(|byte| *byte != b'_') {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        power = (power * 10 + digit).min(1_000_000);
        any = true;
    }
    any.then_some(if negative { -power } else { power })
}

/// Whether underscores stand between two digits only, as in Go's literals.
fn has_legal_underscores(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let places = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    places.into_iter().all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn numbers_are_read_as_a_go_program_reads_them() {
        for (a, b) in [
            ("7", "007"),
            ("7", "+7"),
            ("7.0", "7"),
            ("7.", "7"),
            (".5", "0.50"),
            ("1e3", "1000"),
            ("1E+3", "1000.0"),
            ("15e-1", "1.5"),
            ("2_000", "2000"),
            ("0", "-0.0e5"),
            ("0", "0e99999999999999999999"),
            ("20260131.0", "2026013.1e1"),
            ("1234567890123456789012345678901200.0", "12345678901234567890123456789012e2"),
        ] {
            assert_eq!(number(a).cmp(&number(b)), Ordering::Equal, "{a} {b}");
            assert_eq!(number(a), number(b), "{a} {b}");
        }
    }

    #[test]
    fn no_digit_is_lost() {
        for (less, more) in [
            ("9007199254740992", "9007199254740993"),
            ("123456789012345678901234567890", "123456789012345678901234567891"),
            ("0.10000000000000000000000001", "0.10000000000000000000000002"),
            ("12345678901234567890123456789012", "12345678901234567890123456789012.5"),
            ("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567891"),
            ("-2", "-1"),
            ("-1", "0"),
            ("9", "10"),
            ("1e-400", "1e-399"),
        ] {
            assert_eq!(number(less).cmp(&number(more)), Ordering::Less, "{less} {more}");
        }
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1e+",
            "v1",
            "1.2.3",
            "1-2",
            "0x10",
            "0x1p4",
            "inf",
            "-Infinity",
            "nan",
            "1_",
            "_1",
            "1__0",
            "1_.5",
            "1._5",
            "1e_5",
            "1e5_",
            "١",
            "1 ",
            " 1",
            "7e12345",
            "1e309",
            "-1e309",
            "1e1e1",
            "--1",
            "1,000",
            "latest",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    proptest! {
        /// Where 64 bits can tell two numbers apart, the order is the same.
        #[test]
        fn the_order_is_that_of_64_bits(a in r"-?[0-9]{1,20}(\.[0-9]{0,8})?(e-?[0-9]{1,2})?", b in r"-?[0-9]{1,20}(\.[0-9]{0,8})?(e-?[0-9]{1,2})?") {
            let rough = |text: &str| text.parse::<f64>().unwrap();
            let order = rough(&a).partial_cmp(&rough(&b)).unwrap();
            if order != Ordering::Equal {
                prop_assert_eq!(number(&a).cmp(&number(&b)), order);
            }
        }

        #[test]
        fn no_text_makes_it_fail(text in r"[-+0-9eE._xa]{0,40}") {
            _ = Number::parse(&text);
        }
    }
}
