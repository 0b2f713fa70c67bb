//! The server's certificate and key: read again when their files change, so that a renewal needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::daemon::health::Health;

/// How often the files are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Certificates and keys have kilobytes.
const FILE_LIMIT: u64 = 1024 * 1024;
/// The part of the readiness report.
const PART: &str = "tls";

/// The pair in force.
pub(super) struct Tls {
    folder: PathBuf,
    in_force: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Pair>,
}

#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads `tls.crt` and `tls.key`.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let pair = read(folder)?;
        let in_force = RwLock::new(Arc::new(configuration(folder, &pair)?));
        Ok(Self { folder: folder.to_owned(), in_force, seen: Mutex::new(pair) })
    }

    /// What speaks TLS with the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Follows the files until `stop`. A pair that can't be used leaves the one before in force, and is told.
    pub(super) async fn keep(&self, health: &Health, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = stop.cancelled() => return,
            }
            match self.look() {
                Ok(false) => {}
                Ok(true) => {
                    health.tell(PART, None);
                    tracing::info!(folder = %self.folder.display(), "the certificate was read again");
                }
                Err(problem) => health.tell(PART, Some(format!("{problem}; the pair before is still used"))),
            }
        }
    }

    /// Takes over a pair that is new; whether there was one.
    fn look(&self) -> Result<bool, String> {
        let pair = read(&self.folder)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == pair {
            return Ok(false);
        }
        let configuration = configuration(&self.folder, &pair)?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configuration);
        *seen = pair;
        Ok(true)
    }
}

fn read(folder: &Path) -> Result<Pair, String> {
    let file = |name: &str| {
        let path = folder.join(name);
        let told = |cause: String| {
            format!("--tls: {}: {cause}; put tls.crt and tls.key there, in PEM", path.display())
        };
        let found = std::fs::metadata(&path).map_err(|error| told(error.to_string()))?;
        if !found.is_file() || found.len() > FILE_LIMIT {
            return Err(told("no file of a reasonable size".to_owned()));
        }
        std::fs::read(&path).map_err(|error| told(error.to_string()))
    };
    Ok(Pair { certificate: file("tls.crt")?, key: file("tls.key")? })
}

fn configuration(folder: &Path, pair: &Pair) -> Result<ServerConfig, String> {
    let told = |name: &str, cause: String| format!("--tls: {}: {cause}", folder.join(name).display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pair.certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| told("tls.crt", error.to_string()))?;
    if chain.is_empty() {
        return Err(told("tls.crt", "it has no certificate in PEM".to_owned()));
    }
    // What can't be read of a key is not repeated.
    let key = PrivateKeyDer::from_pem_slice(&pair.key).map_err(|_| {
        told("tls.key", "it has no private key in PEM (PKCS #8, PKCS #1 or SEC 1)".to_owned())
    })?;
    let mut configuration = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| told("tls.key", format!("it can't be used with tls.crt: {error}")))?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(folder: &Path) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        made
    }

    fn load(folder: &Path) -> Result<Tls, String> {
        _ = rustls::crypto::ring::default_provider().install_default();
        Tls::load(folder)
    }

    #[test]
    fn a_folder_without_a_usable_pair_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let told = |folder: &Path| load(folder).err().unwrap();
        assert!(told(folder.path()).contains("tls.crt"));
        write(folder.path());
        let key = std::fs::read(folder.path().join("tls.key")).unwrap();
        std::fs::write(folder.path().join("tls.key"), "s3cret").unwrap();
        let words = told(folder.path());
        assert!(words.contains("tls.key: it has no private key") && !words.contains("s3cret"), "{words}");
        write(folder.path());
        std::fs::write(folder.path().join("tls.key"), key).unwrap();
        assert!(told(folder.path()).contains("tls.key: it can't be used with tls.crt"));
    }

    #[test]
    fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let tls = load(folder.path()).unwrap();
        let first = tls.in_force.read().unwrap().clone();
        assert_eq!(tls.look(), Ok(false));
        std::fs::write(folder.path().join("tls.crt"), "broken").unwrap();
        assert!(tls.look().is_err());
        assert!(Arc::ptr_eq(&first, &tls.in_force.read().unwrap()));
        write(folder.path());
        assert_eq!(tls.look(), Ok(true));
        assert!(!Arc::ptr_eq(&first, &tls.in_force.read().unwrap()));
    }
}
