//! Reads `Link` (RFC 8288) and decides which page comes next.

use url::Url;

use crate::model::{RegistryHost, printable};

/// The path and query of the next page on the registry itself, or `None` on the last page.
///
/// Only path and query of an absolute target are taken: behind a proxy its port or scheme may be wrong
/// (fluxcd/image-reflector-controller#343). Another host is an error, since following it could leak a token.
pub(crate) fn next_page<'a>(
    headers: impl Iterator<Item = &'a str>,
    registry: &RegistryHost,
    current: &Url,
) -> Result<Option<String>, String> {
    for header in headers {
        let Some(target) = next_target(header) else { continue };
        let next = current
            .join(target)
            .map_err(|_| format!("its Link \"{}\" is no address", printable(target, 80)))?;
        let host = next.host_str().unwrap_or_default();
        if !matches!(next.scheme(), "http" | "https")
            || !(host == registry.host() || Some(host) == current.host_str())
        {
            return Err(format!("its Link leads to another host, {}", printable(host, 80)));
        }
        // Joined to an address again, such a path would name a host.
        if next.path().starts_with("//") {
            return Err(format!("its Link \"{}\" is no path of a list", printable(target, 80)));
        }
        let path = match next.query() {
            Some(query) => format!("{}?{query}", next.path()),
            None => next.path().to_owned(),
        };
        return Ok(Some(path));
    }
    Ok(None)
}

/// The target of the first link with `rel="next"` (or without any `rel`, as some registries write it).
fn next_target(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let end = after.find('>')?;
        let (target, parameters) = (&after[..end], &after[end + 1..]);
        let until = end_of_link(parameters);
        if is_next(&parameters[..until]) {
            return Some(target.trim());
        }
        rest = &parameters[until..];
    }
    None
}

/// Where the parameters of one link end: at a comma outside quotes.
fn end_of_link(parameters: &str) -> usize {
    let mut quoted = false;
    for (place, byte) in parameters.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return place,
            _ => {}
        }
    }
    parameters.len()
}

fn is_next(parameters: &str) -> bool {
    let mut relations = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
    });
    relations
        .next()
        .is_none_or(|value| value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn next(header: &str) -> Result<Option<String>, String> {
        let current = Url::parse("https://r.example:5000/v2/a/tags/list?n=2").unwrap();
        next_page([header].into_iter(), &"r.example:5000".parse().unwrap(), &current)
    }

    #[test]
    fn relative_and_absolute_targets_on_the_same_host_are_followed() {
        for (header, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", "/v2/a/tags/list?last=b&n=2"),
            ("<https://r.example:5000/v2/a/tags/list?last=b>; rel=next", "/v2/a/tags/list?last=b"),
            ("<http://r.example/v2/a/tags/list?last=b>; rel=\"next\"", "/v2/a/tags/list?last=b"),
            ("<?last=b>;rel=\"prev next\"", "/v2/a/tags/list?last=b"),
            ("</first>; rel=\"first\"; title=\"a,b\", </v2/x>; rel=\"next\"", "/v2/x"),
            ("</v2/x>", "/v2/x"),
        ] {
            assert_eq!(next(header).unwrap().as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn another_host_or_scheme_fails() {
        for header in [
            "<https://evil.example/v2/a/tags/list>; rel=\"next\"",
            "<//evil.example/v2>; rel=\"next\"",
            "<file:///etc/passwd>; rel=\"next\"",
            "<http://[::1>; rel=\"next\"",
            "<https://r.example.evil/v2>; rel=\"next\"",
            "<https://r.example:5000//evil.example/v2>; rel=\"next\"",
        ] {
            assert!(next(header).is_err(), "{header}");
        }
    }

    #[test]
    fn a_header_without_a_next_page_ends_the_list() {
        for header in ["", "nonsense", "<unclosed", "</v2/x>; rel=\"prev\"", "</v2/x>; rel=last"] {
            assert_eq!(next(header), Ok(None), "{header}");
        }
    }
}
