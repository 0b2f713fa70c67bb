//! Why an image could not be pulled, by the words of container runtimes and registries: there is no code for it.

/// Whose trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The image is not there, or this cluster may not have it: that does not pass.
    Image,
    /// The registry or the way to it: that passes, and is no image's fault.
    Registry,
    /// Nobody says.
    Untold,
}

/// Signs of a registry that cannot answer now.
const REGISTRY: [&str; 24] = [
    "429",
    "500 internal",
    "502",
    "503",
    "504",
    "bad gateway",
    "broken pipe",
    "connection refused",
    "connection reset",
    "deadline exceeded",
    "gateway timeout",
    "i/o timeout",
    "internal server error",
    "network is unreachable",
    "no route to host",
    "no such host",
    "server misbehaving",
    "service unavailable",
    "temporary failure",
    "timed out",
    "tls handshake",
    "too many requests",
    "toomanyrequests",
    "unexpected eof",
];
/// Signs of an image that cannot be had.
const IMAGE: [&str; 9] = [
    "access denied",
    "authentication required",
    "denied:",
    "does not exist",
    "forbidden",
    "manifest unknown",
    "no match for platform",
    "not found",
    "unauthorized",
];

/// Reads the message of `ErrImagePull` or `ImagePullBackOff`.
pub fn trouble(message: &str) -> Trouble {
    // The image's own name may hold any of the words.
    let words = quoted_left_out(&message.to_ascii_lowercase());
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    // A token server that cannot be reached makes a runtime speak of authorization: the network comes first.
    if has(&REGISTRY) {
        Trouble::Registry
    } else if has(&IMAGE) {
        Trouble::Image
    } else {
        Trouble::Untold
    }
}

/// The text without references to images: what is quoted, and words with a digest or a path.
fn quoted_left_out(text: &str) -> String {
    let unquoted: Vec<&str> = text.split('"').step_by(2).collect();
    let unquoted = unquoted.join(" ");
    let words =
        unquoted.split_whitespace().filter(|word| !word.contains("@sha256:") && !word.contains("://"));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_not_there_is_told_from_a_registry_that_is_not() {
        let image = Trouble::Image;
        let registry = Trouble::Registry;
        for (message, expected) in [
            (
                r#"rpc error: code = NotFound desc = failed to pull and unpack image "reg.lan/shop/web:1": failed to resolve reference "reg.lan/shop/web:1": reg.lan/shop/web:1: not found"#,
                image,
            ),
            (r#"Back-off pulling image "web:1": ErrImagePull: manifest unknown: manifest unknown"#, image),
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://auth.example.org/token: 401 Unauthorized",
                image,
            ),
            ("pull access denied, repository does not exist or may require authorization", image),
            (
                r#"failed to do request: Head "https://reg.lan/v2/web/manifests/1": dial tcp 10.0.0.1:443: i/o timeout"#,
                registry,
            ),
            (
                r#"failed to do request: Head "https://reg.lan/v2/": dial tcp: lookup reg.lan: no such host"#,
                registry,
            ),
            (
                "failed to authorize: failed to fetch oauth token: unexpected status: 503 Service Unavailable",
                registry,
            ),
            ("toomanyrequests: You have reached your unauthenticated pull rate limit", registry),
            ("unexpected status code 429 Too Many Requests", registry),
            (r#"Back-off pulling image "reg.lan/not found/denied:1""#, Trouble::Untold),
            ("", Trouble::Untold),
        ] {
            assert_eq!(trouble(message), expected, "{message}");
        }
    }
}
