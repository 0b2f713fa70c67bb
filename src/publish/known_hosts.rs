//! The `known_hosts` of a credentials folder: which key a host must show.
//!
//! Format: sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT", plain host names only. Hashed names cannot be told apart without
//! trying each, and `@cert-authority` trusts more than one host: both are passed over and named in the refusal.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::Digest as _;

/// Checks the key that `host` at `port` showed; the error tells what was expected and what was found.
pub(super) fn check(known_hosts: &str, host: &str, port: u16, shown: &[u8]) -> Result<(), String> {
    let bracketed = format!("[{host}]:{port}");
    let mut expected = Vec::new();
    let mut passed_over = 0;
    for line in known_hosts.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(names), Some(_kind), Some(key)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if names.starts_with('@') || names.starts_with('|') {
            passed_over += 1;
            continue;
        }
        let matches = |name: &str| name == bracketed || (port == 22 && name == host);
        if names.split(',').any(matches)
            && let Ok(key) = STANDARD.decode(key)
        {
            if key == shown {
                return Ok(());
            }
            expected.push(fingerprint(&key));
        }
    }
    let found = fingerprint(shown);
    if expected.is_empty() {
        let hint = if passed_over > 0 {
            format!(" ({passed_over} hashed or marked lines are not read; write the name in plain)")
        } else {
            String::new()
        };
        return Err(format!(
            "the host key of {bracketed} is not in known_hosts{hint}; it showed {found}: compare it with the server's own \
             and add the line that `ssh-keyscan -p {port} {host}` prints"
        ));
    }
    Err(format!(
        "the host key of {bracketed} has changed: expected {}, found {found}; somebody may be in between, so compare it \
         with the server's own before known_hosts is changed",
        expected.join(" or ")
    ))
}

/// `SHA256:…`, as ssh-keygen shows it.
fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(sha2::Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(host: &str, key: &[u8]) -> String {
        format!("{host} ssh-ed25519 {}\n", STANDARD.encode(key))
    }

    #[test]
    fn a_known_key_is_accepted_on_its_port_only() {
        let known = line("[git.lan]:2222", b"key");
        assert_eq!(check(&known, "git.lan", 2222, b"key"), Ok(()));
        assert!(check(&known, "git.lan", 22, b"key").is_err());
        assert_eq!(check(&line("a,git.lan", b"key"), "git.lan", 22, b"key"), Ok(()));
    }

    #[test]
    fn a_changed_key_is_refused_with_both_fingerprints() {
        let words = check(&line("git.lan", b"old"), "git.lan", 22, b"new").expect_err("refused");
        assert!(words.contains(&fingerprint(b"old")) && words.contains(&fingerprint(b"new")), "{words}");
    }

    #[test]
    fn an_unknown_host_is_refused_with_the_key_it_showed() {
        let words = check("|1|salt|hash ssh-ed25519 AAAA\n", "git.lan", 22, b"new").expect_err("refused");
        assert!(words.contains("not in known_hosts (1 hashed"), "{words}");
        assert!(words.contains(&fingerprint(b"new")), "{words}");
    }
}
