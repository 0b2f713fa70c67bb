//! A server between the daemon and a real registry. It passes on what it is asked, until it is told to be ill.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One request, as a fault sees it.
pub(crate) struct Question {
    /// `GET`, `HEAD`.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// How many came before, since the registry is ill.
    pub(crate) number: usize,
    /// The registry's own `HOST:PORT`.
    pub(crate) own: String,
    /// `HOST:PORT` of another host inside, where nobody may come.
    pub(crate) elsewhere: String,
    head: String,
}

impl Question {
    /// Whether its head has this text, in any letter case.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.head.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
    }

    /// Whether it asks for the list of tags.
    pub(crate) fn is_list(&self) -> bool {
        self.path.contains("/tags/list")
    }

    /// Whether it asks for a manifest, by whatever name.
    pub(crate) fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }

    /// Whether it asks for a blob.
    pub(crate) fn is_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }

    /// Whether it asks for another manifest than by the tag that stands in Git.
    pub(crate) fn is_other_manifest(&self) -> bool {
        self.is_manifest() && !self.is_about("1.0.0")
    }

    /// Whether it asks what this tag names.
    pub(crate) fn is_about(&self, tag: &str) -> bool {
        self.path.ends_with(&format!("/manifests/{tag}"))
    }
}

/// An answer: what is sent, and what comes then.
pub(crate) struct Reply {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// What comes after the bytes of an answer.
pub(crate) enum Then {
    /// The end of the connection.
    End,
    /// Nothing, and the connection stays.
    Silence,
    /// These bytes, again and again, with a pause before each.
    Repeat(Vec<u8>, Duration),
}

/// What a registry answers instead of the truth; none lets the truth pass.
pub(crate) type Fault = fn(&Question) -> Option<Reply>;

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    /// Heads of what was asked since the registry is ill.
    asked: Vec<String>,
    held: Vec<TcpStream>,
}

/// The server, and the place where nobody may come.
pub(crate) struct Between {
    address: String,
    state: Arc<Mutex<State>>,
    trapped: Arc<Mutex<Vec<String>>>,
}

impl Between {
    /// Stands before the registry at `real`.
    pub(crate) fn before(real: &str) -> Self {
        let (trap, trapped) = (listener(), Arc::<Mutex<Vec<String>>>::default());
        let elsewhere = format!("localhost:{}", trap.local_addr().unwrap().port());
        let seen = trapped.clone();
        std::thread::spawn(move || {
            for mut stream in trap.incoming().flatten() {
                lock(&seen).push(head(&mut stream).unwrap_or_default());
            }
        });
        let (listener, state) = (listener(), Arc::<Mutex<State>>::default());
        let address = listener.local_addr().unwrap().to_string();
        let (own, real, shared) = (address.clone(), real.to_owned(), state.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (own, elsewhere) = (own.clone(), elsewhere.clone());
                let (real, state) = (real.clone(), shared.clone());
                std::thread::spawn(move || {
                    _ = stream.set_nodelay(true);
                    let Some(head) = head(&mut stream) else { return };
                    _ = answer(&mut stream, head, own, elsewhere, &real, &state);
                });
            }
        });
        Self { address, state, trapped }
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.address
    }

    /// Is ill from now on.
    pub(crate) fn falls_ill(&self, fault: Fault) {
        let mut state = lock(&self.state);
        state.fault = Some(fault);
        state.asked.clear();
    }

    /// Is well again.
    pub(crate) fn recovers(&self) {
        let mut state = lock(&self.state);
        state.fault = None;
        for stream in state.held.drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The heads of what it was asked since it fell ill.
    pub(crate) fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// What was sent to where nobody may come.
    pub(crate) fn trapped(&self) -> Vec<String> {
        lock(&self.trapped).clone()
    }
}

fn answer(
    stream: &mut TcpStream,
    head: String,
    own: String,
    elsewhere: String,
    real: &str,
    state: &Mutex<State>,
) -> io::Result<()> {
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (fault, number) = {
        let mut state = lock(state);
        state.asked.push(head.clone());
        (state.fault, state.asked.len() - 1)
    };
    let question = Question { method, path, number, own, elsewhere, head };
    let Some(reply) = fault.and_then(|fault| fault(&question)) else {
        return stream.write_all(&truth(&question, real)?);
    };
    lock(state).held.push(stream.try_clone()?);
    stream.write_all(&reply.bytes)?;
    match reply.then {
        Then::End => stream.shutdown(Shutdown::Both),
        // Nothing more is expected of the other side than that it goes away.
        Then::Silence => io::copy(stream, &mut io::sink()).map(|_| ()),
        Then::Repeat(bytes, pause) => loop {
            std::thread::sleep(pause);
            stream.write_all(&bytes)?;
        },
    }
}

/// What the real registry answers.
fn truth(question: &Question, real: &str) -> io::Result<Vec<u8>> {
    let Question { method, path, head, .. } = question;
    let kept = head.lines().skip(1).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !matches!(name.as_str(), "" | "host" | "connection")
    });
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {real}\r\n");
    kept.for_each(|line| request.extend([line, "\r\n"]));
    let mut far = TcpStream::connect(real)?;
    far.write_all((request + "\r\n").as_bytes())?;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer)?;
    Ok(answer)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// The head of a request; none where the connection ends before.
fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
