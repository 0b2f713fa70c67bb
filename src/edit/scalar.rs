//! Which texts may stand without quotes, and how a text is written.

/// Whether every YAML 1.1 and 1.2 reader takes the unquoted text for a string: no number, boolean, null, date, merge
/// key or punctuation. Meant for texts of `[A-Za-z0-9._/:@\-\[\]]`; in doubt the answer is no.
///
/// Rules: YAML 1.1 type repository (bool, int, float, null, timestamp, merge, value) and the YAML 1.2 core schema.
/// `1.2.3` counts as a string: the 1.1 float pattern would admit it, but no reader takes it for a number.
pub(super) fn is_plain_string(text: &str) -> bool {
    let starts_as_word = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    starts_as_word
        && text.bytes().all(letters)
        && !text.ends_with(':')
        && !is_word(text)
        && !is_number(text)
        && !is_date(text)
}

fn is_word(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Decimal, octal, hexadecimal, binary, with an exponent or in base 60; underscores count for nothing.
fn is_number(text: &str) -> bool {
    let text: String = text.chars().filter(|&letter| letter != '_').collect::<String>().to_ascii_lowercase();
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    for prefix in ["0x", "0o", "0b"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            return rest.bytes().all(|byte| byte.is_ascii_hexdigit() || b".p+-".contains(&byte));
        }
    }
    if text.contains(':') {
        // Base 60, such as 12:30:45.5: any group of digits counts, as readers disagree on the range.
        let mut groups = text.split(':').rev();
        let last = groups.next().unwrap_or_default();
        return is_decimal(last) && groups.all(|group| !group.is_empty() && digits(group));
    }
    match text.split_once('e') {
        None => is_decimal(&text),
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            is_decimal(mantissa) && digits(exponent)
        }
    }
}

/// Digits, at least one, with at most one dot.
fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut digits = whole.bytes().chain(fraction.bytes()).peekable();
    digits.peek().is_some() && digits.all(|byte| byte.is_ascii_digit())
}

/// `2001-1-1`, alone or with a time after it.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let day = rest.split(['t', 'T']).next().unwrap_or_default();
    digits(year) && year.len() == 4 && digits(month) && month.len() <= 2 && digits(day) && day.len() <= 2
}

/// The text without quotes where that is safe, else in double quotes. Nothing is escaped: see [`is_plain_string`].
pub(super) fn plain_or_quoted(text: &str) -> String {
    if is_plain_string(text) { text.to_owned() } else { format!("\"{text}\"") }
}

/// Any text as a double-quoted scalar on one line. Control characters are expected to be gone.
pub(super) fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{double_quoted, is_plain_string};

    #[test]
    fn what_some_reader_takes_for_no_string_is_not_plain() {
        let quoted = [
            "",
            "1",
            "0",
            "12",
            "1.2",
            "1.20",
            "1.",
            "1.2e3",
            "1e3",
            "1E+3",
            "12e4567",
            "0x1F",
            "0o17",
            "017",
            "0b101",
            "1_000",
            "1_0.5",
            "12:30",
            "12:30:45",
            "190:20:30.15",
            "2024-01-01",
            "2001-1-1",
            "2024-01-01T10",
            "y",
            "Y",
            "n",
            "yes",
            "No",
            "ON",
            "off",
            "True",
            "FALSE",
            "null",
            "Null",
            "~",
            "<<",
            "=",
            ".inf",
            ".nan",
            ".5",
            "-1",
            "+1",
            "-",
            "nan",
            "Inf",
            "_1",
            "20240101",
            "a:",
            "[::1]:5000/app",
            "a b",
            "a#b",
            "é",
        ];
        for text in quoted {
            assert!(!is_plain_string(text), "{text:?}");
        }
    }

    #[test]
    fn an_ordinary_tag_digest_or_name_is_plain() {
        let plain = [
            "1.2.3",
            "v1",
            "v1.2",
            "1.2.3-rc.1",
            "1.2-alpine",
            "main-0a1b2c3",
            "latest",
            "2024-01-01-abc",
            "20240101-1",
            "build-20240101T101112Z-abc",
            "sha256:0123",
            "registry.example/a:1.0@sha256:0123",
            "localhost:5000/app",
            "registry.example/a/b",
            "yesterday",
            "1.2.3_4",
            "2024-01-123",
            "0xyz",
            "e1",
            "10.0.0.1:5000/app",
            "127.0.0.1",
        ];
        for text in plain {
            assert!(is_plain_string(text), "{text:?}");
        }
    }

    #[test]
    fn a_quoted_text_escapes_what_would_end_it() {
        assert_eq!(double_quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
