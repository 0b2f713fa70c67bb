//! A proxy between a daemon and the bed's API server that answers some requests itself: with what a real one says when it
//! is overloaded or has forgotten, which it can't be made to say.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Site, bed};

/// What the proxy does instead of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerFault {
    /// Nothing.
    None,
    /// It refuses every other request with 429 and asks to come back in a second.
    Busy,
    /// It answers every watch with 410: what the watch is to go on from is forgotten.
    Gone,
    /// It begins every watch and then says in it that what it goes on from is forgotten.
    Expired,
    /// It ends every watch after this long, without a word.
    Cut(Duration),
}

/// See the module.
pub(crate) struct Proxy {
    address: String,
    fault: Arc<Mutex<ServerFault>>,
    shown: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn new(fault: ServerFault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a port").to_string();
        let proxy = Self { address, fault: Arc::new(Mutex::new(fault)), shown: Arc::default() };
        let (fault, shown) = (proxy.fault.clone(), proxy.shown.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let fault = *fault.lock().unwrap_or_else(PoisonError::into_inner);
                let shown = shown.clone();
                std::thread::spawn(move || serve(near, fault, &shown));
            }
        });
        proxy
    }

    /// From now on it does this.
    pub(crate) fn set(&self, fault: ServerFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How often it has done something else than the API server.
    pub(crate) fn shown(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }

    /// Has the site's daemon reach its cluster over this proxy.
    pub(crate) fn put_before(&self, site: &Site) {
        let server = format!("http://{}", self.address);
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "faulty", "users": [{"name": "me", "user": {}}],
            "clusters": [{"name": "faulty", "cluster": {"server": server}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "me"}}],
        });
        site.write_secret("kubeconfig", &kubeconfig.to_string());
    }
}

/// One request; the connection ends with it.
fn serve(mut near: TcpStream, fault: ServerFault, shown: &AtomicUsize) -> io::Result<()> {
    let (head, rest) = head(&mut near)?;
    let is_watch = head.lines().next().is_some_and(|line| line.contains("watch=true"));
    let status = |code: u16, reason: &str| {
        format!(
            r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"{reason}","code":{code},"message":"{reason}"}}"#
        )
    };
    match fault {
        // Every other one, so that there is progress between them.
        ServerFault::Busy if shown.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) => {
            return answer(near, "429 Too Many Requests\r\nRetry-After: 1", &status(429, "TooManyRequests"));
        }
        ServerFault::Gone if is_watch => {
            shown.fetch_add(1, Ordering::SeqCst);
            return answer(near, "410 Gone", &status(410, "Gone"));
        }
        ServerFault::Expired if is_watch => {
            shown.fetch_add(1, Ordering::SeqCst);
            let event = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(410, "Expired"));
            return answer(near, "200 OK", &event);
        }
        _ => {}
    }
    let mut far = TcpStream::connect(bed().api.trim_start_matches("http://"))?;
    far.write_all(head.as_bytes())?;
    far.write_all(&rest)?;
    let (mut body, mut onwards) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || io::copy(&mut body, &mut onwards));
    let ends = match fault {
        ServerFault::Cut(after) if is_watch => Some(Instant::now() + after),
        _ => None,
    };
    let mut buffer = [0; 16 * 1024];
    far.set_read_timeout(ends.map(|_| Duration::from_millis(100)))?;
    loop {
        if ends.is_some_and(|ends| Instant::now() >= ends) {
            shown.fetch_add(1, Ordering::SeqCst);
            break;
        }
        match far.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => near.write_all(&buffer[..count])?,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    _ = far.shutdown(Shutdown::Both);
    near.shutdown(Shutdown::Both)
}

fn answer(mut near: TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    near.write_all(format!("{head}{body}").as_bytes())?;
    near.shutdown(Shutdown::Write)
}

/// The head of a request, with the API server's own name and the wish to end the connection; and what came with it.
fn head(near: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        match near.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    };
    let rest = bytes.split_off(end);
    let text = String::from_utf8_lossy(&bytes);
    let kept = text.trim_end().lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        name != "host" && name != "connection"
    });
    let mut head: String = kept.map(|line| format!("{line}\r\n")).collect();
    head += &format!("Host: {}\r\nConnection: close\r\n\r\n", bed().api.trim_start_matches("http://"));
    Ok((head, rest))
}
