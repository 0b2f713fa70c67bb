//! How long a registry is left alone after 429 or 503.

use std::time::Duration;

use jiff::Timestamp;

/// The longest pause, whatever a registry asks for.
pub(crate) const LONGEST: Duration = Duration::from_mins(15);

/// The pause that a `Retry-After` value asks for: seconds or an HTTP date (RFC 9110 section 10.2.3),
/// between one second and [`LONGEST`]. `None` where it can't be read.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let seconds = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse::<u64>().unwrap_or(u64::MAX)
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        u64::try_from(date.as_second().saturating_sub(now.as_second())).unwrap_or(0)
    };
    Some(Duration::from_secs(seconds.clamp(1, LONGEST.as_secs())))
}

/// The pause after `failures` (from 1) refusals in a row without `Retry-After`: doubles from one second to
/// [`LONGEST`], and `random` takes up to half of it away so that many callers do not come back together.
pub(crate) fn exponential(failures: u32, random: u64) -> Duration {
    let doubled = 1_u64 << failures.min(11);
    let full = Duration::from_secs(doubled).min(LONGEST);
    let share = u32::try_from(random % 1000).unwrap_or(0);
    full.saturating_sub(full / 2 * share / 1000).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", Some(1)),
            ("86400", Some(900)),
            ("99999999999999999999999999", Some(900)),
            ("Fri, 20 Nov 2026 10:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 09:00:00 GMT", Some(1)),
            ("Sat, 20 Nov 2027 10:00:00 GMT", Some(900)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now).map(|pause| pause.as_secs()), seconds, "{value}");
        }
    }

    #[test]
    fn pauses_double_with_jitter_and_stay_between_one_second_and_fifteen_minutes() {
        assert_eq!(exponential(1, 0), Duration::from_secs(2));
        assert_eq!(exponential(5, 0), Duration::from_secs(32));
        assert_eq!(exponential(40, 0), LONGEST);
        for failures in 1..20 {
            for random in [0, 1, 499, 999, u64::MAX] {
                let pause = exponential(failures, random);
                assert!(pause >= Duration::from_secs(1) && pause <= LONGEST);
                assert!(pause >= exponential(failures, 0) / 2);
            }
        }
        assert_ne!(exponential(5, 1), exponential(5, 900));
    }
}
