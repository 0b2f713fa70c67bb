//! Git over HTTP(S): libgit2's smart protocol over reqwest.
//!
//! So there is one TLS stack, one deadline per request, and no redirect to another host ever sees our credentials.

use std::cell::RefCell;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use git2::{Error, ErrorClass, ErrorCode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode};
use tokio::runtime::Handle;

use crate::model::{printable, with_causes};

/// How long one request may take, from the connection to the last byte that is waited for.
pub(super) const REQUEST_DEADLINE: Duration = Duration::from_mins(1);
/// An advertisement of more references than this is not a repository of manifests.
const LARGEST_ADVERTISEMENT: usize = 64 * 1024 * 1024;

/// What a connection needs beside the address.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) client: reqwest::Client,
    pub(super) runtime: Handle,
    /// The `Authorization` header for this remote alone.
    pub(super) authorization: Option<HeaderValue>,
}

impl Connection {
    /// Has the runtime do the work, and waits for it. A process that ends meanwhile ends the work, which is an error here:
    /// to block on a runtime that shuts down would be a panic.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Error> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.runtime.spawn(async move { _ = sender.send(work.await) });
        receiver.recv().map_err(|_| network("this process is ending"))
    }

    /// The next part of a body, and the answer that has more of it.
    fn chunk(&self, mut response: Response) -> Result<(Option<Bytes>, Response), Error> {
        let (chunk, response) = self.wait(async move { (response.chunk().await, response) })?;
        Ok((chunk.map_err(|error| network(cause(error)))?, response))
    }
}

thread_local! {
    /// libgit2 makes transports from an address alone; the thread that owns the mirror says here how to connect.
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Sets how this thread's remotes are reached from now on.
pub(super) fn connect_by(connection: Connection) {
    CONNECTION.with(|slot| *slot.borrow_mut() = Some(connection));
}

/// Puts this transport in the place of libgit2's own for http and https, and sets its timeouts for the others.
///
/// Must be called before any thread uses libgit2.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let make = |remote: &git2::Remote<'_>| Transport::smart(remote, true, Subtransport);
        #[expect(
            unsafe_code,
            reason = "libgit2's global options; `Once` runs this before the first mirror thread"
        )]
        // SAFETY: no other thread uses libgit2 yet, which is what these functions ask for.
        let set = unsafe {
            git2::transport::register("http", make)
                .and_then(|()| git2::transport::register("https", make))
                .and_then(|()| git2::opts::set_server_connect_timeout_in_milliseconds(10_000))
                .and_then(|()| git2::opts::set_server_timeout_in_milliseconds(30_000))
        };
        if let Err(error) = set {
            tracing::error!(%error, "libgit2 could not be set up; Git over HTTP will not work");
        }
    });
}

struct Subtransport;

impl SmartSubtransport for Subtransport {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let connection = CONNECTION
            .with(|slot| slot.borrow().clone())
            .ok_or_else(|| network("this thread has no HTTP connection set up"))?;
        let url = url.trim_end_matches('/');
        match action {
            Service::UploadPackLs => advertisement(&connection, url, "git-upload-pack"),
            Service::ReceivePackLs => advertisement(&connection, url, "git-receive-pack"),
            Service::UploadPack => Ok(Box::new(Exchange::new(connection, url, "git-upload-pack"))),
            Service::ReceivePack => Ok(Box::new(Exchange::new(connection, url, "git-receive-pack"))),
        }
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn network(words: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::GenericError, ErrorClass::Net, printable(words.as_ref(), 500))
}

/// Turns what the server said into an error in words; success has a content type that only Git servers send.
fn expect(response: &Response, content_type: &str) -> Result<(), Error> {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        let words = format!("the server answered {status}");
        return Err(Error::new(ErrorCode::Auth, ErrorClass::Http, words));
    }
    if status == StatusCode::NOT_FOUND {
        let words =
            "the server answered 404: no repository at this address (or none that these credentials may see)";
        return Err(Error::new(ErrorCode::NotFound, ErrorClass::Http, words));
    }
    if status.is_redirection() {
        let to = response.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        return Err(network(format!(
            "the server redirects to {to}, which is not followed; use that address"
        )));
    }
    if !status.is_success() {
        return Err(network(format!("the server answered {status}")));
    }
    let found = response.headers().get(CONTENT_TYPE).and_then(|found| found.to_str().ok()).unwrap_or("none");
    if found != content_type {
        return Err(network(format!(
            "the server is no Git server: content type {found}, expected {content_type}"
        )));
    }
    Ok(())
}

fn send(connection: &Connection, request: reqwest::RequestBuilder) -> Result<Response, Error> {
    let request = match &connection.authorization {
        Some(value) => request.header(AUTHORIZATION, value.clone()),
        None => request,
    };
    // The deadline's timer is made when `send` is called, which must be within the runtime.
    let answer = connection.wait(async { request.timeout(REQUEST_DEADLINE).send().await })?;
    answer.map_err(|error| network(cause(error)))
}

/// The whole chain of causes without the address, which the caller names.
fn cause(error: reqwest::Error) -> String {
    with_causes(&error.without_url(), 400)
}

fn advertisement(
    connection: &Connection,
    url: &str,
    service: &str,
) -> Result<Box<dyn SmartSubtransportStream>, Error> {
    let request = connection.client.get(format!("{url}/info/refs?service={service}"));
    let mut response = send(connection, request)?;
    expect(&response, &format!("application/x-{service}-advertisement"))?;
    let mut body = Vec::new();
    loop {
        let (chunk, rest) = connection.chunk(response)?;
        response = rest;
        let Some(chunk) = chunk else { break };
        if body.len() + chunk.len() > LARGEST_ADVERTISEMENT {
            return Err(network(format!(
                "the list of references is larger than {LARGEST_ADVERTISEMENT} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Box::new(Answer(Cursor::new(body))))
}

/// A whole answer, already read.
struct Answer(Cursor<Vec<u8>>);

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Answer {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One request that is written whole and then sent, and its answer as it comes.
struct Exchange {
    connection: Connection,
    url: String,
    service: &'static str,
    request: Vec<u8>,
    response: Option<Response>,
    chunk: Bytes,
}

impl Exchange {
    fn new(connection: Connection, url: &str, service: &'static str) -> Self {
        let url = format!("{url}/{service}");
        Self { connection, url, service, request: Vec::new(), response: None, chunk: Bytes::new() }
    }

    /// The answer, which is asked for when it is first read from.
    fn response(&mut self) -> Result<Response, Error> {
        if let Some(response) = self.response.take() {
            return Ok(response);
        }
        let body = std::mem::take(&mut self.request);
        let request = self
            .connection
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, format!("application/x-{}-request", self.service))
            .body(body);
        let response = send(&self.connection, request)?;
        if self.service == "git-receive-pack" {
            crate::boundary::reached("push-sent");
        }
        expect(&response, &format!("application/x-{}-result", self.service))?;
        Ok(response)
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let response = self.response().map_err(io::Error::other)?;
            let (chunk, rest) = self.connection.chunk(response).map_err(io::Error::other)?;
            self.response = Some(rest);
            match chunk {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

impl Write for Exchange {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.request.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The client for all Git remotes of this process: `certificate` (PEM) is trusted beside the public authorities.
pub(super) fn client(certificate: Option<&[u8]>) -> Result<Arc<reqwest::Client>, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("git/2.0 promote/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .http1_only();
    if let Some(pem) = certificate {
        let parsed =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|error| format!("ca.crt: {error}"))?;
        builder = builder.tls_certs_merge(parsed);
    }
    builder.build().map(Arc::new).map_err(cause)
}
