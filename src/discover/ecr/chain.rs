//! Who this process is to AWS, and requests in that name (Signature Version 4).
//!
//! The steps are those of AWS's own tools; no step starts a program.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider, EnvCredentialProvider,
    IMDSv2CredentialProvider, ProfileCredentialProvider, RequestSigner,
};
use reqsign_core::{
    Context, Error, ErrorKind, FileRead, HttpSend, OsEnv, ProvideCredentialDyn, SignRequest as _,
    SigningCredential as _, StaticEnv,
};
use reqwest::Client;
use sha2::Digest as _;
use tokio::sync::Mutex;
use url::Url;

use super::super::DiscoverError;
use super::super::route::{build, client_builder};
use super::told;

/// No answer of AWS that is read here comes near.
const BODY_LIMIT: usize = 256 * 1024;
const FILE_LIMIT: u64 = 1024 * 1024;
/// One request; the metadata service of a machine that is no instance never answers.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

type Step = (&'static str, Box<dyn ProvideCredentialDyn<Credential = Credential>>);

/// The steps in their order, with what the last one that succeeded gave.
pub(super) struct Chain {
    context: Context,
    client: Client,
    steps: Vec<Step>,
    known: Mutex<Option<Credential>>,
}

/// An answer of AWS.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Chain {
    pub(super) fn new(
        environment: Option<HashMap<String, String>>,
        user_agent: &str,
    ) -> Result<Self, DiscoverError> {
        let client = build(client_builder(user_agent).timeout(REQUEST_DEADLINE))?;
        let context = Context::new().with_file_read(Files);
        let context = match environment {
            Some(envs) => {
                let home_dir = envs.get("HOME").map(Into::into);
                context.with_env(StaticEnv { home_dir, envs })
            }
            None => context.with_env(OsEnv),
        };
        let sts = endpoint(&context, "STS");
        let context = context.with_http_send(Sender { client: client.clone(), sts });
        let steps: Vec<Step> = vec![
            ("environment", Box::new(EnvCredentialProvider::new())),
            ("profile", Box::new(ProfileCredentialProvider::new())),
            ("web identity", Box::new(AssumeRoleWithWebIdentityCredentialProvider::new())),
            ("container", Box::new(ECSCredentialProvider::new())),
            ("instance", Box::new(IMDSv2CredentialProvider::new())),
        ];
        Ok(Self { context, client, steps, known: Mutex::default() })
    }

    /// The address that AWS's own variables give for a service, if they do.
    pub(super) fn endpoint(&self, service: &str) -> Option<String> {
        endpoint(&self.context, service)
    }

    /// Signs a request and sends it.
    pub(super) async fn call(
        &self,
        service: &str,
        region: &str,
        request: http::Request<Bytes>,
    ) -> Result<Answer, String> {
        let credential = self.credential().await?;
        let (mut parts, body) = request.into_parts();
        // Without it the body would stay unsigned, which only S3 accepts.
        let hash = hex::encode(sha2::Sha256::digest(&body));
        let hash = hash.parse().map_err(|_| "the body's hash is no header".to_owned())?;
        parts.headers.insert("x-amz-content-sha256", hash);
        RequestSigner::new(service, region)
            .sign_request(&self.context, &mut parts, Some(&credential), None)
            .await
            .map_err(|error| format!("the request could not be signed: {}", told(&error)))?;
        let answer = send(&self.client, http::Request::from_parts(parts, body)).await;
        let (parts, body) = answer.map_err(|error| told(&error))?.into_parts();
        if !parts.status.is_success() {
            // Keys of files have no end that is known here; AWS refuses old ones with 400 or 403.
            *self.known.lock().await = None;
        }
        Ok(Answer { status: parts.status, body })
    }

    /// The identity of the first step that has one. Only a step that is denied falls to the next; one that fails does not,
    /// so that nobody acts in another name than was meant.
    async fn credential(&self) -> Result<Credential, String> {
        let mut known = self.known.lock().await;
        if let Some(credential) = known.as_ref().filter(|credential| credential.is_valid()) {
            return Ok(credential.clone());
        }
        let mut tried = Vec::new();
        for (name, step) in &self.steps {
            match step.provide_credential_dyn(&self.context).await {
                Ok(Some(credential)) => {
                    *known = Some(credential.clone());
                    return Ok(credential);
                }
                Ok(None) => tried.push(format!("{name}: {}", missing(name))),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    tried.push(format!("{name}: {}", told(&error)));
                }
                Err(error) => {
                    tried.push(format!("{name}: {}", told(&error)));
                    break;
                }
            }
        }
        Err(format!("no AWS identity was found ({})", tried.join("; ")))
    }
}

/// What a step that has nothing would have needed.
fn missing(step: &str) -> &'static str {
    match step {
        "environment" => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set",
        "profile" => "no keys in ~/.aws for AWS_PROFILE or default",
        "web identity" => "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE are not set",
        "container" => "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set",
        _ => "switched off by AWS_EC2_METADATA_DISABLED",
    }
}

fn endpoint(context: &Context, service: &str) -> Option<String> {
    let given = |name: &str| context.env_var(name).filter(|value| !value.is_empty());
    if given("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return None;
    }
    given(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| given("AWS_ENDPOINT_URL"))
}

/// Sends the requests of the steps.
#[derive(Clone)]
struct Sender {
    client: Client,
    /// Where STS is, if not where AWS has it.
    sts: Option<String>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpSend for Sender {
    async fn http_send(
        &self,
        mut request: http::Request<Bytes>,
    ) -> reqsign_core::Result<http::Response<Bytes>> {
        if let Some(sts) = &self.sts
            && request.uri().host().is_some_and(|host| host.starts_with("sts."))
        {
            let query = request.uri().query().map(str::to_owned);
            let elsewhere = Url::parse(sts).ok().and_then(|mut url| {
                url.set_query(query.as_deref());
                url.as_str().parse().ok()
            });
            *request.uri_mut() =
                elsewhere.ok_or_else(|| Error::config_invalid("AWS_ENDPOINT_URL_STS is no address"))?;
        }
        send(&self.client, request).await
    }
}

async fn send(client: &Client, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
    let at = request.uri().host().unwrap_or_default().to_owned();
    // The address may hold a token.
    let failed = |error: reqwest::Error| {
        Error::unexpected(format!("can't reach {at}")).with_source(error.without_url())
    };
    let request = reqwest::Request::try_from(request)
        .map_err(|error| Error::request_invalid("not a request").with_source(error.without_url()))?;
    let mut response = client.execute(request).await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(Error::unexpected(format!("{at} answered more than {BODY_LIMIT} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = http::Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    Ok(answer)
}

/// Reads the files that the steps name.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let unreadable =
            |error: std::io::Error| Error::config_invalid(format!("can't read {path}")).with_source(error);
        let length = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
        if length > FILE_LIMIT {
            return Err(Error::config_invalid(format!("{path} is larger than {FILE_LIMIT} bytes")));
        }
        tokio::fs::read(path).await.map_err(unreadable)
    }
}
