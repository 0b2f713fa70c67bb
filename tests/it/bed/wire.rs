//! A wire between a daemon and a server of the bed.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Site, bed};

/// What is sent to its address reaches the server, until it is cut or held.
pub(crate) struct Wire {
    address: String,
    whole: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    /// A wire to the API server.
    pub(crate) fn new() -> Self {
        Self::to(bed().server().trim_start_matches("https://"))
    }

    /// A wire to `server`, a host with a port.
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a port").to_string();
        let whole = Arc::new(AtomicBool::new(true));
        let wire = Self { address, whole, held: Arc::default(), open: Arc::default() };
        let server = server.to_owned();
        let (whole, held, open) = (wire.whole.clone(), wire.held.clone(), wire.open.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if whole.load(Ordering::SeqCst) {
                    _ = join(&near, &server, &open, &held);
                }
            }
        });
        wire
    }

    /// Host and port of its near end.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends every connection, and takes new ones.
    pub(crate) fn jerk(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends every connection and takes no new one.
    pub(crate) fn cut(&self) {
        self.whole.store(false, Ordering::SeqCst);
        self.jerk();
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }

    /// Lets nothing pass any more, without a word.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Has the site's daemon reach its cluster over this wire.
    pub(crate) fn put_before(&self, site: &Site) {
        let text = std::fs::read_to_string(&bed().kubeconfig).expect("the bed's kubeconfig");
        site.write_secret("kubeconfig", &text.replace(&bed().server(), &format!("https://{}", self.address)));
    }
}

/// Carries what comes from either side to the other, until one ends.
fn join(
    near: &TcpStream,
    server: &str,
    open: &Mutex<Vec<TcpStream>>,
    held: &Arc<AtomicBool>,
) -> io::Result<()> {
    let far = TcpStream::connect(server)?;
    for (from, to) in [(near, &far), (&far, near)] {
        let (from, to, held) = (from.try_clone()?, to.try_clone()?, held.clone());
        open.lock().unwrap_or_else(PoisonError::into_inner).push(from.try_clone()?);
        std::thread::spawn(move || carry(from, to, &held));
    }
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, held: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        while held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
}
