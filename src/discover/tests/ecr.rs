//! Passwords of AWS, against a script of its APIs: what a real registry with a password shows is among the scenarios.

use super::*;

const HOST: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";

/// An ECR whose password is `password-N`, and the registry that takes the newest one alone.
struct Aws {
    api: Stub,
    registry: Stub,
    number: Arc<Mutex<u32>>,
}

impl Aws {
    async fn start() -> Self {
        let number = Arc::new(Mutex::new(1));
        let (given, accepted) = (Arc::clone(&number), Arc::clone(&number));
        let api = Stub::start(move |head| {
            if head.contains("WebIdentityToken=identity-token") {
                return reply("200 OK", &[], STS);
            }
            if head.starts_with("GET /pod") && has_header(head, "authorization: pod-token") {
                return reply("200 OK", &[], POD);
            }
            if head.starts_with("PUT /latest/api/token") {
                return reply("200 OK", &[], "instance-token");
            }
            if head.starts_with("GET /latest/meta-data/iam/security-credentials/ ") {
                return reply("200 OK", &[], "node");
            }
            if head.starts_with("GET /latest/meta-data/iam/security-credentials/node") {
                return reply("200 OK", &[], INSTANCE);
            }
            if !head.starts_with("POST / ") || !head.contains("Credential=AKID") {
                return reply("403 Forbidden", &[], "no");
            }
            let pair = format!("AWS:password-{}", given.lock().unwrap());
            let token = base64::engine::general_purpose::STANDARD.encode(pair);
            let end = Timestamp::now().as_second() + 12 * 3600;
            let body = format!(
                r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{end}.0}}]}}"#
            );
            reply("200 OK", &[], &body)
        })
        .await;
        let registry = Stub::start(move |head| {
            let pair = format!("AWS:password-{}", accepted.lock().unwrap());
            let basic =
                format!("authorization: Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            if has_header(head, &basic) {
                return reply("200 OK", &[], r#"{"tags":["a"]}"#);
            }
            let status =
                if head.contains("uthorization: Basic") { "403 Forbidden" } else { "401 Unauthorized" };
            reply(
                status,
                &[r#"WWW-Authenticate: Basic realm="https://ecr/",service="ecr.amazonaws.com""#],
                "",
            )
        })
        .await;
        Self { api, registry, number }
    }

    /// Registries of a process with these variables, and the repository.
    fn registries(&self, variables: &[(&str, &str)], credentials: Credentials) -> (Registries, Repository) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("http://127.0.0.1:{}", self.api.port);
        let given = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.replace("{url}", &url))).collect()
        };
        let mut aws = given(&[("AWS_ENDPOINT_URL", "{url}"), ("AWS_EC2_METADATA_DISABLED", "true")]);
        aws.extend(given(variables));
        let options = RegistriesOptions {
            credentials,
            aws: Some(aws.into_iter().collect()),
            endpoints: [(HOST.parse().unwrap(), self.registry.host().to_string())].into(),
            ..RegistriesOptions::default()
        };
        (Registries::new(options).unwrap(), Repository::new(HOST.parse().unwrap(), "team/app").unwrap())
    }

    fn with_keys(&self) -> (Registries, Repository) {
        self.registries(&KEYS, Credentials::new(Vec::new()))
    }

    fn calls(&self) -> usize {
        self.api.count("GetAuthorizationToken")
    }
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "canary")];
const POD: &str = r#"{"AccessKeyId":"AKIDPOD","SecretAccessKey":"s","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#;
const INSTANCE: &str = r#"{"Code":"Success","AccessKeyId":"AKIDNODE","SecretAccessKey":"s","Token":"session","Expiration":"2099-01-01T00:00:00Z"}"#;
const STS: &str = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
    <AccessKeyId>AKIDWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>session</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
    </AssumeRoleWithWebIdentityResponse>";

#[tokio::test]
async fn one_signed_question_gives_all_repositories_of_an_account_their_password() {
    let aws = Aws::start().await;
    let (registries, repository) = aws.with_keys();
    let many = futures::future::join_all((0..20).map(|_| registries.tags(&repository, None))).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(aws.calls(), 1);
    let heads = aws.api.heads.lock().unwrap();
    for part in [
        "x-amz-target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
        "/eu-west-1/ecr/aws4_request",
        "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target",
        // Of the body, {}: a signature over UNSIGNED-PAYLOAD is for S3 alone.
        "x-amz-content-sha256: 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ] {
        assert!(heads.iter().any(|head| head.contains(part)), "{part}: {heads:?}");
    }
    assert!(!heads.iter().any(|head| head.contains("canary")), "the secret key was sent");
}

#[tokio::test]
async fn a_password_that_was_replaced_is_refreshed_once_and_a_fresh_one_that_is_refused_is_not() {
    let aws = Aws::start().await;
    let (registries, repository) = aws.with_keys();
    assert!(registries.tags(&repository, None).await.is_ok());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    *aws.number.lock().unwrap() = 2;
    let many = futures::future::join_all((0..10).map(|_| registries.tags(&repository, None))).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
    assert_eq!(aws.calls(), 2);
    // Refused at once: another password would be refused, too.
    *aws.number.lock().unwrap() = 3;
    for _ in 0..3 {
        assert_eq!(registries.tags(&repository, None).await.unwrap_err().kind(), "unauthorized");
    }
    assert_eq!(aws.calls(), 2);
}

#[tokio::test]
async fn every_step_of_the_chain_gives_the_identity_that_it_stands_for() {
    let aws = Aws::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let identity = file("identity", "identity-token\n");
    let pod = file("pod", "pod-token\n");
    let keys = file("keys", "[work]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\n");
    let home = folder.path().to_str().unwrap();
    let role = ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/promoted");
    let web = ("AWS_WEB_IDENTITY_TOKEN_FILE", identity.as_str());
    let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{url}/pod");
    let token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", pod.as_str());
    let instance = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{url}");
    for (key, variables) in [
        ("AKID/", vec![KEYS[0], KEYS[1], role, web, container]),
        (
            "AKIDFILE/",
            vec![("AWS_SHARED_CREDENTIALS_FILE", keys.as_str()), ("AWS_PROFILE", "work"), role, web],
        ),
        ("AKIDWEB/", vec![("HOME", home), role, web, container, token]),
        ("AKIDPOD/", vec![("HOME", home), container, token, instance]),
        ("AKIDNODE/", vec![("HOME", home), instance, ("AWS_EC2_METADATA_DISABLED", "false")]),
    ] {
        let (registries, repository) = aws.registries(&variables, Credentials::new(Vec::new()));
        registries.tags(&repository, None).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(aws.api.count(&format!("Credential={key}")), 1, "{key}");
    }
}

#[tokio::test]
async fn without_an_identity_the_steps_that_were_tried_are_named_and_aws_is_left_alone_for_a_while() {
    let aws = Aws::start().await;
    let (registries, repository) = aws.registries(&[("HOME", "/nowhere")], Credentials::new(Vec::new()));
    for _ in 0..3 {
        let error = registries.tags(&repository, None).await.unwrap_err();
        assert_eq!(error.kind(), "credentials");
        for step in [
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ] {
            assert!(error.to_string().contains(step), "{step}: {error}");
        }
    }
    let (registries, repository) =
        aws.registries(&[("AWS_ACCESS_KEY_ID", "STRANGER"), KEYS[1]], Credentials::new(Vec::new()));
    for _ in 0..5 {
        let error = registries.tags(&repository, None).await.unwrap_err().to_string();
        assert!(error.contains("answered 403 Forbidden to GetAuthorizationToken: no"), "{error}");
        assert!(error.contains("ecr:GetAuthorizationToken") && !error.contains("canary"), "{error}");
    }
    assert_eq!(aws.calls(), 1);
}

#[tokio::test]
async fn a_login_in_a_file_wins_and_a_helper_that_is_not_run_leaves_it_to_the_chain() {
    let aws = Aws::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let login = serde_json::json!({"auths": {HOST: {"username": "AWS", "password": "password-1"}}});
    fs_err::write(&file, login.to_string()).unwrap();
    let (registries, repository) = aws.registries(&[], Credentials::new(vec![file.clone()]));
    assert!(registries.tags(&repository, None).await.is_ok());
    assert_eq!(aws.calls(), 0);
    fs_err::write(&file, serde_json::json!({"credHelpers": {HOST: "ecr-login"}}).to_string()).unwrap();
    let (registries, repository) = aws.registries(&KEYS, Credentials::new(vec![file]));
    assert!(registries.tags(&repository, None).await.is_ok());
    assert_eq!(aws.calls(), 1);
}
