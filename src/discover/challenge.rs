//! Reads `WWW-Authenticate` (RFC 9110 section 11.6.1, distribution token specification).

/// The way in which a registry wants to be shown credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// `Basic`: user and password with every request.
    Basic,
    /// `Bearer`: a token from the server at `realm`.
    Bearer {
        /// The token server's address, not yet judged.
        realm: String,
        /// The name by which the token server knows the registry.
        service: Option<String>,
    },
}

/// The challenge to answer among all header values: `Bearer` before `Basic`, others are ignored.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = false;
    for header in headers {
        for (scheme, parameters) in challenges(header) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let find = |name: &str| {
                    parameters
                        .iter()
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.clone())
                };
                if let Some(realm) = find("realm") {
                    return Some(Challenge::Bearer { realm, service: find("service") });
                }
            }
            basic |= scheme.eq_ignore_ascii_case("basic");
        }
    }
    basic.then_some(Challenge::Basic)
}

type Parameters = Vec<(String, String)>;

fn challenges(header: &str) -> Vec<(&str, Parameters)> {
    let mut found: Vec<(&str, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let tail = after.trim_start_matches([' ', '\t']);
        // `word = value` is a parameter of the scheme before it; a word alone is a scheme.
        match tail.strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, next) = parameter_value(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_owned(), value));
                }
                rest = next;
            }
            Some(value) => rest = value,
            None => {
                found.push((word, Vec::new()));
                rest = after;
            }
        }
    }
}

fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (place, letter) in quoted.char_indices() {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[place + 1..]),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[allow(clippy::unnecessary_wraps)]
    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn headers_of_real_registries_and_broken_ones_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        for (header, expected) in [
            (hub, bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            (r#"bearer Realm = "https://a/t" , SERVICE=x"#, bearer("https://a/t", Some("x"))),
            (r#"Basic realm="Registry", Bearer realm="https://a/t""#, bearer("https://a/t", None)),
            (r#"Basic realm="Bearer realm=\"https://evil/\"""#, Some(Challenge::Basic)),
            (
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
                Some(Challenge::Basic),
            ),
            (r#"Negotiate, Basic realm="x""#, Some(Challenge::Basic)),
            (r#"Bearer service="only""#, None),
            ("Bearer realm=\"unclosed", bearer("unclosed", None)),
            (r#"Bearer error="a,b=c",realm="https://a/t""#, bearer("https://a/t", None)),
            ("Digest qop=auth", None),
            ("=,=\"", None),
            ("", None),
        ] {
            assert_eq!(choose([header].into_iter()), expected, "{header}");
        }
    }

    #[test]
    fn a_second_header_line_is_read_too() {
        assert_eq!(
            choose(["Basic", r#"Bearer realm="https://a/t""#].into_iter()),
            bearer("https://a/t", None)
        );
    }
}
