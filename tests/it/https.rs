//! Git over HTTPS: the remote is trusted by the CA of the Secret alone, and a token opens it as a password does.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::bed::{self, Site, bed};
use crate::registries::Authority;

const TOKEN: &str = "canary-token";

/// Speaks TLS before the bed's Git server, and lets in only who shows the token, if there is one.
fn behind_tls(authority: &Authority, token: Option<&'static str>) -> String {
    let (certificate, key) = authority.pair();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let git: url::Url = bed().git_open.parse().unwrap();
    let git = format!("127.0.0.1:{}", git.port().unwrap());
    let serve = async move {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, git) = (acceptor.clone(), git.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let shown = String::from_utf8_lossy(&head).to_ascii_lowercase();
                if token.is_some_and(|token| !shown.contains(&format!("authorization: bearer {token}\r\n"))) {
                    client
                        .write_all(
                            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                        )
                        .await?;
                    return client.shutdown().await;
                }
                let mut server = TcpStream::connect(git).await?;
                server.write_all(&head).await?;
                copy_bidirectional(&mut client, &mut server).await.map(|_| ())
            });
        }
    };
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
    });
    format!("https://{address}")
}

/// A folder in the form of Flux's Git Secret.
fn secret(site: &Site, entries: &[(&str, &str)]) -> PathBuf {
    let folder = site.folder().join("git-secret");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, content) in entries {
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

fn once(site: &Site, remote: &str, secret: &PathBuf) -> bed::Run {
    let url = format!("{remote}{}", site.repo().parse::<url::Url>().unwrap().path());
    site.promoted().arg("--once").repo(url).arg("--git-credentials").arg(secret).run()
}

#[test]
fn a_commit_goes_over_https_where_the_secret_has_the_remotes_ca() {
    let site = bed::site("https").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let remote = behind_tls(&ours, None);

    for entries in [&[][..], &[("ca.crt", other.certificate.as_str())]] {
        let refused = once(&site, &remote, &secret(&site, entries)).expect_code(8);
        assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    }
    assert!(site.moves().is_empty());

    once(&site, &remote, &secret(&site, &[("ca.crt", &ours.certificate)])).expect_code(0);

    assert_eq!(site.moves()[0].subject, "test-app: local 1.0.0 → 1.1.0");
}

#[test]
fn a_token_opens_the_remote_and_is_told_to_nobody() {
    let site = bed::site("bearer").environments(&["local"]).create();
    site.push_image("local", "test-app", "1.1.0");
    let authority = Authority::new("ours");
    let remote = behind_tls(&authority, Some(TOKEN));
    let with = |token| secret(&site, &[("ca.crt", authority.certificate.as_str()), ("bearerToken", token)]);

    let refused = once(&site, &remote, &with("another-token")).expect_code(8);
    assert!(!(refused.stdout + &refused.stderr).contains("another-token"));

    let run = once(&site, &remote, &with(TOKEN)).expect_code(0);

    assert_eq!(site.moves()[0].subject, "test-app: local 1.0.0 → 1.1.0");
    assert!(!(run.stdout + &run.stderr).contains(TOKEN));
}
