//! A Git remote: where it is, who we are there, and the three things that are asked of it: heads, fetch, push.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, Direction, ErrorClass, ErrorCode,
    FetchOptions, Oid, PushOptions, RemoteCallbacks, RemoteRedirect, Repository,
};
use reqwest::header::HeaderValue;
use tokio::runtime::Handle;

use super::notes::NOTES;
use super::{PublishError, http, known_hosts, path};
use crate::model::printable;

/// Where our mirror keeps the remote's branch.
pub(super) const TRACKED: &str = "refs/promote/head";

/// A Git remote's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A bare repository on this machine.
    Path(PathBuf),
    /// `http://`, `https://` or `ssh://`, without a password.
    Url(url::Url),
}

impl Location {
    /// Reads what a person gave as `--repo`: an address, a bare repository, or a clone, which stands for its `origin`.
    pub fn find(text: &str) -> Result<Self, PublishError> {
        let wrong = |why: &str| PublishError::Config(format!("--repo {}: {why}", printable(text, 200)));
        if let Some((user_and_host, path)) = text.split_once(':')
            && !text.contains("://")
            && user_and_host.contains('@')
        {
            return Self::find(&format!("ssh://{user_and_host}/{}", path.trim_start_matches('/')));
        }
        if text.contains("://") {
            let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
            if url.password().is_some() || (url.scheme() != "ssh" && !url.username().is_empty()) {
                // The address itself must not be shown: it holds a secret.
                return Err(PublishError::Config(
                    "--repo: an address must not hold credentials, since addresses end up in logs; use --git-credentials"
                        .to_owned(),
                ));
            }
            return match url.scheme() {
                "http" | "https" | "ssh" if url.host_str().is_some() => Ok(Self::Url(url)),
                "file" => Self::find(url.path()),
                scheme => Err(wrong(&format!(
                    "the scheme {scheme} is not supported; use https, http, ssh or a path"
                ))),
            };
        }
        let repository = Repository::discover(text)
            .map_err(|_| wrong("neither an address nor a folder with a Git repository"))?;
        if repository.is_bare() {
            let folder =
                fs_err::canonicalize(repository.path()).map_err(|error| wrong(&error.to_string()))?;
            return Ok(Self::Path(folder));
        }
        let origin = repository.find_remote("origin").ok();
        let origin = origin.as_ref().and_then(|origin| origin.url().ok()).filter(|url| !url.is_empty()).ok_or_else(
            || wrong("the clone has no remote `origin` to publish to; add one with `git remote add origin URL`"),
        )?;
        let base = repository.workdir().unwrap_or(Path::new("."));
        if origin.contains("://") || origin.contains('@') {
            Self::find(origin)
        } else {
            Self::find(&base.join(origin).to_string_lossy())
        }
    }

    fn as_url(&self) -> String {
        match self {
            Self::Path(path) => path.to_string_lossy().into_owned(),
            Self::Url(url) => url.to_string(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_url())
    }
}

/// Who we are at the remote.
#[derive(Debug, Clone, Default)]
pub struct GitCredentials {
    /// A folder with the keys of Flux's Git Secret: `username`, `password`, `bearerToken`, `identity`, `known_hosts`,
    /// `ca.crt`. Read anew for each connection.
    pub folder: Option<PathBuf>,
    /// Whether a person's credential helpers may be started; the daemon starts no program.
    pub helpers: bool,
}

impl GitCredentials {
    fn read(&self, key: &str) -> Option<Vec<u8>> {
        let content = fs_err::read(self.folder.as_ref()?.join(key)).ok()?;
        Some(content.trim_ascii().to_vec()).filter(|content| !content.is_empty())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.read(key).and_then(|content| String::from_utf8(content).ok())
    }

    fn advice(&self) -> &'static str {
        match &self.folder {
            Some(_) => "check the files in --git-credentials",
            None => {
                "give a folder with `username` and `password`, `bearerToken` or `identity` by --git-credentials"
            }
        }
    }
}

/// Who the person is, by their own Git configuration: `NAME <EMAIL>`.
pub fn identity() -> Option<String> {
    let config = git2::Config::open_default().ok()?;
    Some(format!("{} <{}>", config.get_string("user.name").ok()?, config.get_string("user.email").ok()?))
}

/// The references of a remote that concern us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heads {
    pub(super) branch: String,
    pub(super) head: Oid,
    pub(super) notes: Option<Oid>,
}

/// One reference to move from what we know to what we made.
pub(super) struct Update {
    pub(super) reference: String,
    pub(super) old: Option<Oid>,
    pub(super) new: Oid,
    pub(super) objects: Vec<Oid>,
}

/// What the remote did with an [`Update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pushed {
    Done,
    /// The reference was no longer where we believed it to be.
    Lost,
    /// The remote said no, in these words.
    Rejected(String),
}

pub(super) struct Remote {
    location: Location,
    credentials: GitCredentials,
    runtime: Handle,
    client: Option<(Option<Vec<u8>>, Arc<reqwest::Client>)>,
}

impl Remote {
    pub(super) fn new(location: Location, credentials: GitCredentials, runtime: Handle) -> Self {
        Self { location, credentials, runtime, client: None }
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// Asks for the heads, and fetches them if `known` is something else.
    pub(super) fn look(
        &mut self,
        mirror: &Repository,
        branch: Option<&str>,
        known: Option<&Heads>,
    ) -> Result<Heads, PublishError> {
        let failure: Failure = Rc::default();
        self.prepare()?;
        let result = self.look_inner(mirror, branch, known, &failure);
        result.map_err(|error| self.explain(&error, &failure)).and_then(|heads| {
            heads.ok_or_else(|| PublishError::Missing {
                remote: self.location.to_string(),
                cause: match branch {
                    Some(branch) => {
                        format!("there is no branch {branch}; push it, or name another with --branch")
                    }
                    None => "the repository is empty, or its default branch does not exist; push a first commit, or \
                             name a branch with --branch"
                        .to_owned(),
                },
            })
        })
    }

    fn look_inner(
        &self,
        mirror: &Repository,
        branch: Option<&str>,
        known: Option<&Heads>,
        failure: &Failure,
    ) -> Result<Option<Heads>, git2::Error> {
        let mut remote = mirror.remote_anonymous(&self.location.as_url())?;
        let mut connection = remote.connect_auth(Direction::Fetch, Some(self.callbacks(failure)), None)?;
        let wanted = match branch {
            Some(branch) => format!("refs/heads/{branch}"),
            None => match connection.default_branch() {
                Ok(name) => name.as_str().unwrap_or("refs/heads/main").to_owned(),
                Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let (mut head, mut notes) = (None, None);
        for reference in connection.list()? {
            if reference.name() == wanted {
                head = Some(reference.oid());
            } else if reference.name() == NOTES {
                notes = Some(reference.oid());
            }
        }
        let Some(head) = head else { return Ok(None) };
        let branch = wanted.trim_start_matches("refs/heads/").to_owned();
        let heads = Heads { branch, head, notes };
        if known != Some(&heads) {
            let mut specs = vec![format!("+{wanted}:{TRACKED}")];
            if notes.is_some() {
                specs.push(format!("+{NOTES}:{NOTES}"));
            } else if let Ok(mut stale) = mirror.find_reference(NOTES) {
                stale.delete()?;
            }
            let mut options = FetchOptions::new();
            options
                .download_tags(AutotagOption::None)
                .update_fetchhead(false)
                .follow_redirects(RemoteRedirect::None)
                .remote_callbacks(self.callbacks(failure));
            connection.remote().fetch(&specs, Some(&mut options), None)?;
        }
        Ok(Some(heads))
    }

    /// Asks for what a push begins with, and pushes nothing.
    pub(super) fn may_push(&mut self, mirror: &Repository) -> Result<(), PublishError> {
        let failure: Failure = Rc::default();
        self.prepare()?;
        if let Location::Path(folder) = &self.location {
            let is_locked = std::fs::metadata(folder).is_ok_and(|found| found.permissions().readonly());
            let cause = || format!("this account may not write to {}", folder.display());
            return if is_locked {
                Err(PublishError::Missing { remote: self.location.to_string(), cause: cause() })
            } else {
                Ok(())
            };
        }
        let asked = mirror.remote_anonymous(&self.location.as_url()).and_then(|mut remote| {
            remote.connect_auth(Direction::Push, Some(self.callbacks(&failure)), None).map(drop)
        });
        asked.map_err(|error| self.explain(&error, &failure))
    }

    /// Moves the references, each only from the value that we know.
    pub(super) fn push(
        &mut self,
        mirror: &Repository,
        updates: &[Update],
    ) -> Result<Vec<Pushed>, PublishError> {
        let failure: Failure = Rc::default();
        self.prepare()?;
        let result = match &self.location {
            Location::Path(folder) => updates
                .iter()
                .map(|update| {
                    path::push(mirror, folder, &update.objects, &update.reference, update.old, update.new)
                        .map(|moved| match moved {
                            path::Moved::Done => Pushed::Done,
                            path::Moved::Lost => Pushed::Lost,
                        })
                })
                .collect(),
            Location::Url(_) => self.push_to_url(mirror, updates, &failure),
        };
        result.map_err(|error| self.explain(&error, &failure))
    }

    fn push_to_url(
        &self,
        mirror: &Repository,
        updates: &[Update],
        failure: &Failure,
    ) -> Result<Vec<Pushed>, git2::Error> {
        let mut remote = mirror.remote_anonymous(&self.location.as_url())?;
        let answers = RefCell::new(vec![Pushed::Done; updates.len()]);
        let lost = RefCell::new(false);
        let mut callbacks = self.callbacks(failure);
        callbacks.push_negotiation(|proposals| {
            for proposal in proposals {
                let name = proposal.dst_refname().unwrap_or_default();
                let expected =
                    updates.iter().find(|update| update.reference == name).and_then(|update| update.old);
                // Stricter than "fast-forward": a branch that was moved back must not be pushed forward again by us.
                if proposal.src() != expected.unwrap_or(Oid::ZERO_SHA1) {
                    *lost.borrow_mut() = true;
                    return Err(git2::Error::from_str("the reference has moved"));
                }
            }
            Ok(())
        });
        callbacks.push_update_reference(|name, status| {
            if let Some(words) = status
                && let Some(place) = updates.iter().position(|update| update.reference == name)
            {
                answers.borrow_mut()[place] = Pushed::Rejected(printable(words, 500));
            }
            Ok(())
        });
        // The server's own words (a hook's output) come beside the protocol; they explain a refusal.
        let said = Rc::new(RefCell::new(String::new()));
        let heard = said.clone();
        callbacks.sideband_progress(move |bytes| {
            let mut said = heard.borrow_mut();
            if said.len() < 2_000 {
                said.push_str(&String::from_utf8_lossy(bytes));
            }
            true
        });
        let specs: Vec<String> =
            updates.iter().map(|update| format!("{}:{}", update.new, update.reference)).collect();
        let mut options = PushOptions::new();
        options.follow_redirects(RemoteRedirect::None).packbuilder_parallelism(1).remote_callbacks(callbacks);
        let result = remote.push(&specs, Some(&mut options));
        drop(options);
        match result {
            Ok(()) => {}
            Err(_) if *lost.borrow() => return Ok(vec![Pushed::Lost; updates.len()]),
            Err(error) if error.code() == ErrorCode::NotFastForward => {
                return Ok(vec![Pushed::Lost; updates.len()]);
            }
            Err(error) => return Err(error),
        }
        let said = said
            .borrow()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let mut answers = answers.into_inner();
        for answer in &mut answers {
            if let Pushed::Rejected(words) = answer
                && !said.is_empty()
            {
                *words = format!("{words} ({})", printable(&said, 500));
            }
        }
        Ok(answers)
    }

    /// Makes this thread's HTTP transport connect as this remote asks, with the credentials as they are now.
    fn prepare(&mut self) -> Result<(), PublishError> {
        let Location::Url(url) = &self.location else { return Ok(()) };
        if url.scheme() == "ssh" {
            return Ok(());
        }
        let certificate = self.credentials.read("ca.crt");
        let client = match &self.client {
            Some((known, client)) if *known == certificate => client.clone(),
            _ => {
                let client = http::client(certificate.as_deref()).map_err(PublishError::Config)?;
                self.client = Some((certificate, client.clone()));
                client
            }
        };
        http::connect_by(http::Connection {
            client: (*client).clone(),
            runtime: self.runtime.clone(),
            authorization: self.authorization(url),
        });
        Ok(())
    }

    fn authorization(&self, url: &url::Url) -> Option<HeaderValue> {
        let basic = |user: &str, password: &str| {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            format!("Basic {pair}")
        };
        let text = if let Some(token) = self.credentials.text("bearerToken") {
            format!("Bearer {token}")
        } else if let Some(password) = self.credentials.text("password") {
            basic(&self.credentials.text("username").unwrap_or_else(|| "git".to_owned()), &password)
        } else if self.credentials.helpers {
            let config = git2::Config::open_default().ok()?;
            let (user, password) = git2::CredentialHelper::new(url.as_str()).config(&config).execute()?;
            basic(&user, &password)
        } else {
            return None;
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn callbacks<'c>(&self, failure: &Failure) -> RemoteCallbacks<'c> {
        let mut callbacks = RemoteCallbacks::new();
        let credentials = self.credentials.clone();
        let mut asked = 0;
        callbacks.credentials(move |_, user, kinds| {
            asked += 1;
            let user = user.unwrap_or("git");
            if kinds.contains(CredentialType::USERNAME) {
                return Cred::username(user);
            }
            // libgit2 asks again after a refusal, without end.
            if asked > 3 || !kinds.contains(CredentialType::SSH_KEY) {
                return Err(git2::Error::new(
                    ErrorCode::Auth,
                    ErrorClass::Ssh,
                    "the server took none of our keys",
                ));
            }
            match credentials.text("identity") {
                Some(key) => {
                    let phrase = credentials.text("password");
                    Cred::ssh_key_from_memory(user, None, &format!("{key}\n"), phrase.as_deref())
                }
                None if credentials.folder.is_none() => Cred::ssh_key_from_agent(user),
                None => {
                    let words = "--git-credentials has no file `identity`";
                    Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Ssh, words))
                }
            }
        });
        let credentials = self.credentials.clone();
        let (host, port) = match &self.location {
            Location::Url(url) => (url.host_str().unwrap_or_default().to_owned(), url.port().unwrap_or(22)),
            Location::Path(_) => (String::new(), 0),
        };
        let failure = failure.clone();
        callbacks.certificate_check(move |certificate, _| {
            let Some(shown) = certificate.as_hostkey().and_then(|key| key.hostkey()) else {
                return Ok(CertificateCheckStatus::CertificatePassthrough);
            };
            if credentials.folder.is_none() {
                // Without a folder of ours, libgit2 has already compared it with the person's own known_hosts.
                return Ok(CertificateCheckStatus::CertificatePassthrough);
            }
            let known = credentials.text("known_hosts").unwrap_or_default();
            known_hosts::check(&known, &host, port, shown).map_err(|words| {
                *failure.borrow_mut() = Some(words.clone());
                git2::Error::new(ErrorCode::Certificate, ErrorClass::Ssh, words)
            })?;
            Ok(CertificateCheckStatus::CertificateOk)
        });
        callbacks
    }

    fn explain(&self, error: &git2::Error, failure: &Failure) -> PublishError {
        let remote = self.location.to_string();
        let cause = printable(error.message(), 500);
        if let Some(cause) = failure.borrow().clone() {
            return PublishError::HostKey { remote, cause };
        }
        let refused = ["answered 401", "answered 403"].iter().any(|words| cause.contains(words));
        match (error.code(), error.class()) {
            (ErrorCode::Auth, _) => {
                PublishError::Unauthorized { remote, cause, next: self.credentials.advice() }
            }
            _ if refused => PublishError::Unauthorized { remote, cause, next: self.credentials.advice() },
            (ErrorCode::Certificate, _) => PublishError::HostKey {
                remote,
                cause: format!("{cause}; add the server's key to known_hosts"),
            },
            (ErrorCode::NotFound, ErrorClass::Http) => PublishError::Missing { remote, cause },
            (_, ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssh | ErrorClass::Os | ErrorClass::Ssl) => {
                PublishError::Unreachable { remote, cause }
            }
            (_, ErrorClass::Repository) if matches!(self.location, Location::Path(_)) => {
                PublishError::Missing { remote, cause }
            }
            _ => PublishError::Unreachable { remote, cause },
        }
    }
}

/// Words that a callback found and libgit2 would lose.
type Failure = Rc<RefCell<Option<String>>>;
