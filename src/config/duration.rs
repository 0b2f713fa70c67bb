//! Durations as people write them: `90s`, `5m`, `1h30m`, `500ms`.

use std::time::Duration;

/// The longest duration that is accepted: one year, so that adding it to an instant can't overflow.
pub const LONGEST: Duration = Duration::from_hours(8760);

/// The units in the order in which they must be written, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not whole numbers with the units h, m, s, ms, each at most once and in this order.
    #[error("not a duration")]
    Form,
    /// Longer than [`LONGEST`].
    #[error("longer than 8760h")]
    TooLong,
}

/// Reads whole numbers with the units h, m, s and ms, each at most once and the largest first.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (unit, after) = after.split_at(letters);
        let position = units.iter().position(|(name, _)| *name == unit).ok_or(DurationError::Form)?;
        if number.is_empty() {
            return Err(DurationError::Form);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        total = number
            .checked_mul(units[position].1)
            .and_then(|part| total.checked_add(part))
            .ok_or(DurationError::TooLong)?;
        units = &units[position + 1..];
        rest = after;
    }
    let duration = Duration::from_millis(total);
    match duration {
        _ if text.is_empty() => Err(DurationError::Form),
        _ if duration > LONGEST => Err(DurationError::TooLong),
        _ => Ok(duration),
    }
}

/// Writes what [`parse`] reads, without zero parts; below a millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut written = String::new();
    for (name, milliseconds) in UNITS {
        let count = rest / u128::from(milliseconds);
        rest %= u128::from(milliseconds);
        if count > 0 {
            written.push_str(&count.to_string());
            written.push_str(name);
        }
    }
    if written.is_empty() { "0s".to_owned() } else { written }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hours_minutes_seconds_and_milliseconds_are_read() {
        let rows = [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("1m1ms", 60_001),
        ];
        for (text, milliseconds) in rows {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "0", "5", "-1s", "1h1", "1.5h", "1d", "s", "1m1h", "1m1m", "1 m", "1M", "٣s", "1h 30m", "+1s",
        ] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text}");
        }
        for text in ["8761h", "18446744073709551615h", "99999999999999999999s"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }

    #[test]
    fn writing_leaves_out_zero_parts() {
        assert_eq!(format(Duration::from_secs(90)), "1m30s");
        assert_eq!(format(Duration::from_hours(1)), "1h");
        assert_eq!(format(Duration::ZERO), "0s");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in 0_u64..=31_536_000_000) {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
