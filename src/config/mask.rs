//! Foreign text as a message may show it: printable, short, without secrets.

use crate::model::printable;

/// Prefixes by which providers mark their tokens.
const TOKEN_PREFIXES: [&str; 12] = [
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "dckr_pat_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "eyJ",
];

/// `text` for a message: credentials masked, control characters escaped, cut after 80 characters.
pub(super) fn shown(text: &str) -> String {
    printable(&masked(text), 80)
}

fn masked(text: &str) -> String {
    if text.contains("-----BEGIN") || text.split(|c: char| !is_token_letter(c)).any(is_token) {
        return "***".to_owned();
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    match text.rfind('@') {
        Some(at) if at >= start && !is_digest(&text[at + 1..]) => {
            format!("{}***{}", &text[..start], &text[at..])
        }
        _ => text.to_owned(),
    }
}

/// Whether what follows an @ is a digest, so that what stands before it is an image and no credential.
pub(super) fn is_digest(text: &str) -> bool {
    text.starts_with("sha256:") || text.starts_with("sha512:")
}

fn is_token_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-+=".contains(letter)
}

/// A known prefix, or a long word that mixes what names don't mix.
fn is_token(word: &str) -> bool {
    let has = |class: fn(&u8) -> bool| word.as_bytes().iter().any(class);
    let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    word.len() >= 16 && TOKEN_PREFIXES.iter().any(|prefix| word.starts_with(prefix))
        || word.len() >= 24 && mixed
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_password_in_an_address_is_masked() {
        assert_eq!(shown("https://user:hunter2@ghcr.io/acme"), "https://***@ghcr.io/acme");
        assert_eq!(shown("https://hunter2@ghcr.io"), "https://***@ghcr.io");
        assert_eq!(shown("user:hunter2@ghcr.io"), "***@ghcr.io");
        assert_eq!(shown("hunter2@ghcr.io"), "***@ghcr.io");
    }

    #[test]
    fn what_looks_like_a_token_is_masked() {
        assert_eq!(shown("ghp_abcdefghijklmnop"), "***");
        assert_eq!(shown("a/wJalrXUtnFEMI7K7MDENGbPxRfi"), "***");
        assert_eq!(shown("-----BEGIN OPENSSH PRIVATE KEY-----"), "***");
    }

    #[test]
    fn ordinary_values_are_shown() {
        for text in
            ["app@sha256:12ab", "111122223333.dkr.ecr.eu-west-1.amazonaws.com", "ghcr.io/acme/app", ">=1.0"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(shown("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(100)), format!("{}…", "x".repeat(80)));
    }
}
