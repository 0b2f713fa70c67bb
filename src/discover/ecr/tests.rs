#![allow(clippy::unwrap_used)]
use super::*;

fn ecr(host: &str) -> Option<(String, String, String)> {
    Ecr::of(&host.parse().unwrap()).map(|ecr| (ecr.account, ecr.region, ecr.api))
}

#[test]
fn every_form_of_a_private_registrys_name_leads_to_its_region() {
    for (host, region, api) in [
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", "api.ecr.eu-west-1.amazonaws.com"),
        (
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            "api.ecr.cn-north-1.amazonaws.com.cn",
        ),
        (
            "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
            "ecr-fips.us-gov-west-1.amazonaws.com",
        ),
        ("111122223333.dkr-ecr.eu-west-1.on.aws", "eu-west-1", "ecr.eu-west-1.api.aws"),
        ("111122223333.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", "ecr-fips.us-east-1.api.aws"),
    ] {
        let expected = ("111122223333".to_owned(), region.to_owned(), api.to_owned());
        assert_eq!(ecr(host), Some(expected), "{host}");
    }
}

#[test]
fn no_other_name_is_sent_a_password_of_aws() {
    for host in [
        "public.ecr.aws",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "111122223333.dkr.ecr.eu-west-1.evil.amazonaws.com",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com:5000",
        "evil-111122223333.dkr.ecr.eu-west-1.amazonaws.com",
        "11112222333.dkr.ecr.eu-west-1.amazonaws.com",
        "111122223333.dkr.ecr..amazonaws.com",
        "111122223333.s3.eu-west-1.amazonaws.com",
        "localhost:5000",
    ] {
        assert_eq!(host.parse::<RegistryHost>().ok().and_then(|host| Ecr::of(&host)), None, "{host}");
    }
}

#[test]
fn a_password_is_renewed_an_hour_before_its_end_and_never_believed_for_longer_than_twelve() {
    let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let life = |expires_at: &str| {
        // base64 of AWS:pass:word
        let body = format!(
            r#"{{"authorizationData":[{{"authorizationToken":"QVdTOnBhc3M6d29yZA==","expiresAt":{expires_at}}}]}}"#
        );
        let password = read(body.as_bytes(), now).unwrap();
        assert_eq!(password.login.username, "AWS");
        assert!(matches!(&password.login.secret, Secret::Password(word) if word == "pass:word"));
        let since = |end: Instant| end.duration_since(password.obtained).as_secs();
        (since(password.renew), since(password.end))
    };
    let hours = |hours: u64| hours * 3600;
    let start = now.as_second();
    assert_eq!(life(&format!("{}.5", start + 12 * 3600 - 1)), (hours(11) - 1, hours(12) - 1));
    assert_eq!(life("1e300"), (hours(11), hours(12)));
    assert_eq!(life("null"), (hours(11), hours(12)));
    assert_eq!(life(&format!("{}", start - 7200)), (550, 600));
}

#[test]
fn an_answer_without_a_password_is_told_without_quoting_it() {
    for body in [
        "",
        "[]",
        r#"{"authorizationData":[]}"#,
        r#"{"authorizationData":[{"authorizationToken":"canary"}]}"#,
        r#"{"authorizationData":[{"authorizationToken":"Y2FuYXJ5"}]}"#,
    ] {
        let error = read(body.as_bytes(), Timestamp::now()).err().unwrap();
        assert!(!error.contains("canary"), "{error}");
    }
    let refused = br#"{"__type":"com.amazonaws#UnrecognizedClientException","message":"The security token is invalid"}"#;
    assert_eq!(words(refused), "UnrecognizedClientException The security token is invalid");
}
