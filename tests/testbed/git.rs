//! Git over HTTP: `git http-backend` behind a small server. `/open/NAME.git` is for everybody, `/auth/NAME.git` asks
//! for a password; both show the same repositories, those of the bed's folder `git`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::layout::{Bed, Places};
use crate::process;

const USER: &str = "promote";
const PASSWORD: &str = "promote-bed";
/// Largest push.
const LIMIT: usize = 1 << 30;

struct Server {
    root: PathBuf,
    home: PathBuf,
    authorization: String,
    log: std::fs::File,
}

/// Starts the server inside this process.
pub(crate) async fn start(bed: &Bed) -> Result<Places> {
    let port = bed.port()?;
    let credentials = bed.path("git-credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::write(credentials.join("username"), USER)?;
    std::fs::write(credentials.join("password"), PASSWORD)?;
    let server = Server {
        root: bed.path("git"),
        home: bed.path("home"),
        authorization: format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}"))),
        log: process::log(bed, "git")?,
    };
    // Without it each answer waits about 40 ms for an acknowledgement.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = axum::Router::new().fallback(answer).with_state(Arc::new(server));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut places = Places::new();
    places.insert("gitDir".into(), json!(bed.path("git")));
    places.insert("gitOpen".into(), json!(format!("http://127.0.0.1:{port}/open")));
    places.insert("gitAuth".into(), json!(format!("http://127.0.0.1:{port}/auth")));
    places.insert("gitUser".into(), json!(USER));
    places.insert("gitPassword".into(), json!(PASSWORD));
    places.insert("gitCredentials".into(), json!(credentials));
    Ok(places)
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let answer = serve(&server, request)
        .await
        .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response());
    let _ = writeln!(&server.log, "{line} {}", answer.status().as_u16());
    answer
}

async fn serve(server: &Server, request: Request) -> Result<Response> {
    let path = request.uri().path();
    let path = if let Some(path) = path.strip_prefix("/open/") {
        path.to_owned()
    } else if let Some(path) = path.strip_prefix("/auth/") {
        let given = request.headers().get(header::AUTHORIZATION);
        if given.is_none_or(|given| given.as_bytes() != server.authorization.as_bytes()) {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"bed\"")];
            return Ok((StatusCode::UNAUTHORIZED, challenge, "a password is needed\n").into_response());
        }
        path.to_owned()
    } else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    backend(server, &path, request).await
}

/// Runs `git http-backend` as a CGI program.
async fn backend(server: &Server, path: &str, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let text = |headers: &HeaderMap, name: &str| -> String {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let body = to_bytes(body, LIMIT).await?;
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", process::path())
        .env("HOME", &server.home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "receive.autogc")
        .env("GIT_CONFIG_VALUE_0", "false")
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        // A known user may push, unless the repository says otherwise.
        .env("REMOTE_USER", USER)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", text(&parts.headers, "content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text(&parts.headers, "content-encoding"))
        .env("GIT_PROTOCOL", text(&parts.headers, "git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(server.log.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .context("can't start git http-backend")?;
    let mut input = child.stdin.take().context("no standard input")?;
    // The backend may answer without reading all of it.
    let feed = async move {
        let _ = input.write_all(&body).await;
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    from_cgi(&output?.stdout)
}

/// Turns a CGI answer into one of HTTP.
fn from_cgi(output: &[u8]) -> Result<Response> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else { bail!("git http-backend gave no answer; see logs/git.log") };
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) =
            line.split_once(": ").context("git http-backend gave a line that is no header")?;
        if name.eq_ignore_ascii_case("status") {
            response = response.status(value.get(..3).unwrap_or("500"));
        } else {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Body::from(output[end + 4..].to_vec()))?)
}
