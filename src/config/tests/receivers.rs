//! The mistakes of `receivers`, with their exact words.

use super::{problems, with_lines};

#[test]
fn a_receiver_without_what_it_is_proved_by_is_told_what_to_set() {
    let missing = "`secret` is missing; add `secret: NAME`, the file below --secrets that holds what the sender proves \
                   itself by";
    for kind in [
        "github",
        "gitlab",
        "gitea",
        "harbor",
        "quay",
        "dockerhub",
        "distribution",
        "ecr",
        "acr",
        "generic-hmac",
    ] {
        assert_eq!(
            problems(&with_lines(&format!("receivers: {{a: {{type: {kind}}}}}\n"))),
            [format!("4:16: receivers.a: {missing}")]
        );
    }
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: gcr}}\n")),
        [
            "4:16: receivers.a: `audience` is missing; add `audience: AUDIENCE, as the subscription has it`",
            "4:16: receivers.a: `identity` is missing; add `identity: EMAIL, the subscription's service account`",
        ]
    );
    assert_eq!(
        problems(&with_lines("receivers: {a: {secret: b}}\n")),
        ["4:16: receivers.a: `type` is missing; add `type: github`"]
    );
}

#[test]
fn a_receivers_keys_that_its_type_does_not_use_are_told() {
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: quay, secret: b, audience: c, identity: d}}\n")),
        [
            "4:50: receivers.a.audience: only `type: gcr` has it; remove it",
            "4:63: receivers.a.identity: only `type: gcr` has it; remove it",
        ]
    );
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: gcr, secret: b, audience: c, identity: d@e.f}}\n")),
        [
            "4:36: receivers.a.secret: `type: gcr` has no secret, its sender shows a token of Google's; remove it and \
             set `audience` and `identity`"
        ]
    );
}

#[test]
fn a_receivers_name_type_and_values_are_told_how_to_write_them() {
    assert_eq!(
        problems(&with_lines("receivers: {../a: {type: quay, secret: b}}\n")),
        [
            "4:13: receivers.\"../a\": not a receiver's name (got \"../a\"); use up to 63 lower-case letters, digits and \
             inner hyphens"
        ]
    );
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: bitbucket, secret: b}}\n")),
        [
            "4:23: receivers.a.type: unknown value (got \"bitbucket\"); write github or gitlab or gitea or harbor or \
             quay or dockerhub or distribution or ecr or acr or gcr or generic-hmac"
        ]
    );
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: quay, secret: ../b}}\n")),
        [
            "4:37: receivers.a.secret: not the name of a secret (got \"../b\"); write the name of a file below \
             --secrets, without a path"
        ]
    );
    assert_eq!(
        problems(&with_lines("receivers: {a: {type: gcr, audience: 'b c', identity: d}}\n")),
        [
            "4:38: receivers.a.audience: not an audience (got \"b c\"); write the one of the push subscription, up to \
             500 characters without spaces",
            "4:55: receivers.a.identity: not an e-mail address (got \"d\"); write the one of the subscription's \
             service account",
        ]
    );
    let many: Vec<String> = (0..101).map(|number| format!("a{number}: {{type: quay, secret: b}}")).collect();
    assert_eq!(
        problems(&with_lines(&format!("receivers: {{{}}}\n", many.join(", ")))),
        ["4:12: receivers: more than 100 receivers (got 101); remove some"]
    );
}
