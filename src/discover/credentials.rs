//! Registry credentials from docker `config.json` files (docker/cli `cli/config/configfile`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use serde::Deserialize;

use super::{DiscoverError, helper};
use crate::model::RegistryHost;

/// No real file comes near; a bigger one is a mistake.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The key by which docker stores its own hub's credentials.
const HUB_KEY: &str = "index.docker.io";

/// What is shown to one registry, or to its token server, and to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub(crate) username: String,
    pub(crate) secret: Secret,
}

/// The two kinds of secret that docker stores.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// Goes with the username as HTTP Basic.
    Password(String),
    /// A refresh token (`OAuth2`), shown only to the token server.
    IdentityToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// Docker `config.json` files, read again when they change; the first file that knows a host decides.
pub struct Credentials {
    files: Vec<PathBuf>,
    runs_helpers: bool,
    read: Mutex<State>,
    /// What helpers gave, for as long as the files stay as they are.
    helped: tokio::sync::Mutex<(u64, BTreeMap<String, Option<Login>>)>,
}

/// A docker credential helper, and by which name it knows a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Helper {
    /// What follows `docker-credential-` in the program's name.
    pub(super) name: String,
    /// What it is asked for.
    pub(super) server: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    generation: u64,
    files: Vec<Read>,
}

struct Read {
    stamp: Option<(SystemTime, u64)>,
    content: Result<Hosts, String>,
}

#[derive(Default)]
struct Hosts {
    logins: BTreeMap<String, Login>,
    helpers: BTreeMap<String, Helper>,
    /// The helper of hosts that the file does not mention.
    store: Option<String>,
}

impl Credentials {
    /// Takes the files in order; one that does not exist counts as empty until it does.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files, runs_helpers: false, read: Mutex::default(), helped: tokio::sync::Mutex::default() }
    }

    /// Allows [`Credentials::login`] to run the credential helpers that the files name.
    #[must_use]
    pub fn with_helpers(self) -> Self {
        Self { runs_helpers: true, ..self }
    }

    /// The login for a registry, from a file or from the helper that the file names if that is allowed.
    pub(super) async fn login(&self, host: &RegistryHost) -> Result<Option<Login>, DiscoverError> {
        let found = self.for_host(host);
        if !self.runs_helpers || !matches!(found, Ok(None) | Err(DiscoverError::HelperNotRun { .. })) {
            return found;
        }
        let Some(helper) = self.helper_of(host) else { return found };
        let generation = self.generation();
        let mut answers = self.helped.lock().await;
        if answers.0 != generation {
            *answers = (generation, BTreeMap::new());
        }
        if let Some(login) = answers.1.get(&helper.server) {
            return Ok(login.clone());
        }
        let login = Box::pin(helper::run(&helper))
            .await
            .map_err(|reason| DiscoverError::HelperFailed { registry: host.clone(), reason })?;
        answers.1.insert(helper.server, login.clone());
        Ok(login)
    }

    fn helper_of(&self, host: &RegistryHost) -> Option<Helper> {
        let state = self.fresh();
        let key = key_of(host.as_str());
        state.files.iter().find_map(|read| {
            let hosts = read.content.as_ref().ok()?;
            let server = if key == HUB_KEY { "https://index.docker.io/v1/".to_owned() } else { key.clone() };
            let stored = || hosts.store.clone().map(|name| Helper { name, server });
            hosts.helpers.get(&key).cloned().or_else(stored)
        })
    }

    /// The login for a registry, `None` where no file knows it.
    ///
    /// No helper is run: [`DiscoverError::HelperNotRun`] where one holds this host's credentials.
    pub fn for_host(&self, host: &RegistryHost) -> Result<Option<Login>, DiscoverError> {
        let state = self.fresh();
        let key = key_of(host.as_str());
        for (file, read) in self.files.iter().zip(&state.files) {
            let hosts = read.content.as_ref().map_err(|reason| DiscoverError::Credentials {
                file: file.clone(),
                reason: reason.clone(),
            })?;
            if let Some(login) = hosts.logins.get(&key) {
                return Ok(Some(login.clone()));
            }
            if hosts.helpers.contains_key(&key) {
                return Err(DiscoverError::HelperNotRun { registry: host.clone(), file: file.clone() });
            }
        }
        Ok(None)
    }

    /// A number that changes whenever a file does, so that tokens of older credentials are not used on.
    pub(crate) fn generation(&self) -> u64 {
        self.fresh().generation
    }

    fn fresh(&self) -> MutexGuard<'_, State> {
        let mut state = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.files.is_empty();
        for (place, file) in self.files.iter().enumerate() {
            let stamp = stamp_of(file);
            if state.files.get(place).is_some_and(|read| read.stamp == stamp) {
                continue;
            }
            let read = Read { stamp, content: read(file, stamp) };
            if first {
                state.files.push(read);
            } else {
                state.files[place] = read;
                state.generation += 1;
            }
        }
        state
    }
}

fn stamp_of(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs_err::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(file: &Path, stamp: Option<(SystemTime, u64)>) -> Result<Hosts, String> {
    match stamp {
        Some((_, length)) if length > FILE_LIMIT => {
            return Err(format!("it is larger than {FILE_LIMIT} bytes"));
        }
        _ => {}
    }
    match fs_err::read(file) {
        Ok(bytes) => parse(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Hosts::default()),
        Err(error) => Err(error.kind().to_string()),
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

fn parse(bytes: &[u8]) -> Result<Hosts, String> {
    // serde's own words can quote the value at fault, which may be a secret.
    let file: File = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is not valid at line {}, column {}", error.line(), error.column()))?;
    let legal = |name: &String| {
        (1..=100).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let mut hosts = Hosts { store: file.store.filter(legal), ..Hosts::default() };
    for (name, entry) in file.auths.unwrap_or_default() {
        let key = key_of(&name);
        match login(entry)
            .map_err(|reason| format!("the entry for {}: {reason}", crate::model::printable(&name, 80)))?
        {
            Some(login) => {
                hosts.logins.entry(key).or_insert(login);
            }
            // An empty entry says that the helper of `credsStore` keeps it.
            None => {
                if let Some(store) = hosts.store.clone() {
                    hosts.helpers.insert(key, Helper { name: store, server: name });
                }
            }
        }
    }
    for (server, name) in file.helpers.unwrap_or_default() {
        if legal(&name) {
            hosts.helpers.insert(key_of(&server), Helper { name, server });
        }
    }
    Ok(hosts)
}

fn login(entry: Entry) -> Result<Option<Login>, &'static str> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (mut username, mut password) = (given(entry.username), given(entry.password));
    if let Some(auth) = given(entry.auth) {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or("`auth` is not base64 of text")?;
        let (user, secret) = decoded.split_once(':').ok_or("`auth` is not base64 of USER:PASSWORD")?;
        (username, password) = (Some(user.to_owned()), given(Some(secret.trim_end_matches('\0').to_owned())));
    }
    let username = username.unwrap_or_default();
    if let Some(token) = given(entry.identitytoken) {
        return Ok(Some(Login { username, secret: Secret::IdentityToken(token) }));
    }
    Ok(password.map(|password| Login { username, secret: Secret::Password(password) }))
}

/// The host of a key as docker, podman and Kubernetes write it: with a scheme, `/v1/` or `/v2/`, or bare.
fn key_of(name: &str) -> String {
    let bare = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    let bare = bare.trim_end_matches('/');
    let bare =
        bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare).to_ascii_lowercase();
    match bare.as_str() {
        "docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => HUB_KEY.to_owned(),
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(content: &str) -> (tempfile::TempDir, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        fs_err::write(&file, content).unwrap();
        (folder, Credentials::new(vec![file]))
    }

    fn password(credentials: &Credentials, host: &str) -> Option<(String, String)> {
        let login = credentials.for_host(&host.parse().unwrap()).unwrap()?;
        match login.secret {
            Secret::Password(secret) => Some((login.username, secret)),
            Secret::IdentityToken(token) => Some((login.username, format!("identity {token}"))),
        }
    }

    #[test]
    fn every_form_of_entry_is_read_and_bound_to_its_host() {
        // dTpwOnE= is "u:p:q".
        let (_folder, credentials) = written(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "dTpwOnE="},
                "ghcr.io": {"username": "me", "password": "secret"},
                "http://Registry.LAN:5000/v2/": {"auth": "dTpwOnE=", "email": "x"},
                "acr.example": {"auth": "dTo=", "identitytoken": "refresh"},
                "empty.example": {}}, "HttpHeaders": {}}"#,
        );
        let user = |name: &str, secret: &str| Some((name.to_owned(), secret.to_owned()));
        assert_eq!(password(&credentials, "docker.io"), user("u", "p:q"));
        assert_eq!(password(&credentials, "registry-1.docker.io"), user("u", "p:q"));
        assert_eq!(password(&credentials, "ghcr.io"), user("me", "secret"));
        assert_eq!(password(&credentials, "registry.lan:5000"), user("u", "p:q"));
        assert_eq!(password(&credentials, "acr.example"), user("u", "identity refresh"));
        for other in ["registry.lan", "registry.lan:5001", "evil.ghcr.io", "empty.example"] {
            assert_eq!(password(&credentials, other), None, "{other}");
        }
    }

    #[test]
    fn a_helper_is_not_run_and_the_error_names_the_host() {
        let (_folder, credentials) = written(
            r#"{"auths": {"a.example": {}}, "credsStore": "desktop", "credHelpers": {"b.example": "ecr-login"}}"#,
        );
        for host in ["a.example", "b.example"] {
            let error = credentials.for_host(&host.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(host) && error.kind() == "credentials", "{error}");
        }
        assert!(credentials.for_host(&"c.example".parse().unwrap()).unwrap().is_none());
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_new_one_found() {
        let (folder, credentials) =
            written(r#"{"auths": {"a.example": {"username": "u", "password": "old"}}}"#);
        assert_eq!(password(&credentials, "a.example").unwrap().1, "old");
        let before = credentials.generation();
        let file = folder.path().join("config.json");
        fs_err::write(&file, r#"{"auths": {"a.example": {"username": "u", "password": "newer"}}}"#).unwrap();
        assert_eq!(password(&credentials, "a.example").unwrap().1, "newer");
        assert_ne!(credentials.generation(), before);
        fs_err::remove_file(&file).unwrap();
        assert_eq!(password(&credentials, "a.example"), None);
    }

    #[test]
    fn no_secret_reaches_a_message_or_debug_text() {
        let (_folder, broken) = written(r#"{"auths": {"a.example": {"auth": "hunter2!"}}}"#);
        let error = broken.for_host(&"a.example".parse().unwrap()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let (_folder, wrong) = written(r#"{"auths": {"a.example": "hunter2"}}"#);
        let error = wrong.for_host(&"a.example".parse().unwrap()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let (_folder, good) =
            written(r#"{"auths": {"a.example": {"username": "u", "password": "hunter2"}}}"#);
        let login = good.for_host(&"a.example".parse().unwrap()).unwrap();
        assert!(!format!("{login:?} {good:?}").contains("hunter2"));
    }
}
