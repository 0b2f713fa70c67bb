//! Runs a person's docker credential helpers (docker/docker-credential-helpers), for the command line alone.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::credentials::{Helper, Login, Secret};
use crate::model::printable;

/// A helper may ask the person for the key of a keychain.
const DEADLINE: Duration = Duration::from_mins(1);
/// The user by which a helper says that its secret is a refresh token.
const TOKEN_USER: &str = "<token>";
/// What a helper says, with a failure, of a server that it knows nothing about.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for its credentials, `None` where it has none; an error says in one line what went wrong.
pub(super) async fn run(helper: &Helper) -> Result<Option<Login>, String> {
    let program = format!("docker-credential-{}", helper.name);
    let failed = |reason: String| format!("{program}: {}", printable(&reason, 200));
    let asked = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // A helper that needs no question may have closed it.
            let _ = input.write_all(helper.server.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(DEADLINE, asked)
        .await
        .map_err(|_| failed(format!("no answer within {} seconds", DEADLINE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if said.contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(if said.is_empty() { output.status.to_string() } else { said }));
    }
    // Its words may hold the secret.
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is no JSON of a login".to_owned()))?;
    if answer.secret.is_empty() {
        return Ok(None);
    }
    Ok(Some(if answer.username == TOKEN_USER {
        Login { username: String::new(), secret: Secret::IdentityToken(answer.secret) }
    } else {
        Login { username: answer.username, secret: Secret::Password(answer.secret) }
    }))
}
