//! Tags as versions, told by their promises.

#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_tag_of_three_dot_parts_is_a_version() {
    for (text, version) in [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2.3-a-b--c", "1.2.3-a-b--c"),
        ("v2025.02.03", "2025.2.3"),
        ("18446744073709551615.0.0", "18446744073709551615.0.0"),
        ("1.2.3-99999999999999999999", "1.2.3-99999999999999999999"),
        ("1.25-alpine3.18", "1.25.0-alpine3.18"),
        ("1-a.b.c", "1.0.0-a.b.c"),
        // Extracted from a tag, since none has a plus.
        ("1.2.3+a-b.01", "1.2.3"),
        ("1.2.3-rc.1+a", "1.2.3-rc.1"),
    ] {
        assert_eq!(version_of(text).map(|version| version.to_string()).as_deref(), Some(version), "{text}");
    }
}

#[test]
fn any_other_tag_does_not_count() {
    for text in [
        "latest",
        "1",
        "1.2",
        "v1.2",
        "1.2-rc",
        "1.2.3.4",
        "1..3",
        "1.2.",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3-a.",
        "1.2.3_1",
        "1.2.3-a_b",
        "V1.2.3",
        "vv1.2.3",
        "v.1.2",
        "1.2.x",
        "18446744073709551616.0.0",
        "+1.2.3",
        "1.+2.3",
        "1.2.3+",
        "1.2.3+a..b",
        "1.2.3+a+b",
        " 1.2.3",
        "",
        "0.0.99999999999999999999999",
    ] {
        assert_eq!(version_of(text), None, "{text}");
    }
}

#[test]
fn a_step_is_as_large_as_the_first_number_that_changes() {
    let step = |from: &str, to: &str| jump(&version_of(from).unwrap(), &version_of(to).unwrap());
    assert_eq!(step("1.2.3", "2.2.3"), Jump::Major);
    assert_eq!(step("0.2.3", "0.3.3"), Jump::Minor);
    assert_eq!(step("1.2.3", "1.2.4"), Jump::Patch);
    assert_eq!(step("1.2.3-rc.1", "1.2.3"), Jump::Patch);
}
