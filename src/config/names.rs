//! Grammars of the names that only the configuration holds, each as the value or what is wrong with it.

use crate::discover::Platform;
use crate::model::{RegistryHost, Repository};

use super::mask::{is_digest, shown};
use super::{FluxTarget, RegistryBase, RepositoryName};

/// The name of a file in the folder of secrets; it can't lead anywhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// The file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SecretName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Keys of a Kubernetes Secret, without a dot in front: a mounted Secret keeps its own files there.
pub(super) fn secret(text: &str) -> Result<SecretName, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=253).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.') {
        return Ok(SecretName(text.to_owned()));
    }
    let got = shown(text);
    Err(format!(
        "not the name of a secret (got \"{got}\"); write the name of a file below --secrets, without a path"
    ))
}

/// A branch by the rules of `git check-ref-format --branch`.
pub(super) fn branch(text: &str) -> Result<String, String> {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none();
    let legal = text.len() <= 255
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter))
        && !text.starts_with('-')
        && !text.ends_with('.')
        && !matches!(text, "@" | "HEAD");
    let got = shown(text);
    if legal {
        Ok(text.to_owned())
    } else {
        Err(format!("not a legal Git branch (got \"{got}\"); write one like main"))
    }
}

/// `os/architecture[/variant]`, in the words of the OCI Image Index.
pub(super) fn platform(text: &str) -> Result<Platform, String> {
    let word = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=32).contains(&part.len()) && part.bytes().all(allowed)
    };
    let parts: Vec<&str> = text.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [os, architecture] => (*os, *architecture, None),
        [os, architecture, variant] => (*os, *architecture, Some(*variant)),
        _ => ("", "", None),
    };
    if word(os) && word(architecture) && variant.is_none_or(word) {
        let variant = variant.map(str::to_owned);
        return Ok(Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant });
    }
    Err(format!("not a platform (got \"{}\"); write os/architecture, like linux/amd64", shown(text)))
}

/// A part of a commit's author line.
pub(super) fn author(text: &str) -> Result<String, String> {
    let bad = |letter: char| letter.is_control() || "<>".contains(letter);
    if (1..=200).contains(&text.len()) && !text.chars().any(bad) && text.trim() == text {
        return Ok(text.to_owned());
    }
    Err(format!(
        "not legal in a commit's author (got \"{}\"); write up to 200 characters without < >",
        shown(text)
    ))
}

/// A context of a kubeconfig; its file allows any text.
pub(super) fn context(text: &str) -> Result<String, String> {
    if (1..=500).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "not a context (got \"{}\"); write a name that `kubectl config get-contexts` lists",
        shown(text)
    ))
}

/// The audience of a token: any text that a person can copy.
pub(super) fn audience(text: &str) -> Result<String, String> {
    if (1..=500).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "not an audience (got \"{}\"); write the one of the push subscription, up to 500 characters without spaces",
        shown(text)
    ))
}

/// The e-mail address of a service account.
pub(super) fn identity(text: &str) -> Result<String, String> {
    let legal = text.len() <= 254
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.contains('@') && !host.ends_with('.')
        });
    if legal {
        return Ok(text.to_owned());
    }
    Err(format!(
        "not an e-mail address (got \"{}\"); write the one of the subscription's service account",
        shown(text)
    ))
}

/// `NAMESPACE/NAME`, an RFC 1123 label and an RFC 1123 subdomain.
pub(super) fn kustomization(text: &str) -> Result<FluxTarget, String> {
    let label = |part: &str| {
        let edge =
            |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        part.len() <= 63
            && edge(part.bytes().next())
            && edge(part.bytes().last())
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match text.split_once('/') {
        // The API server bounds the whole name, not its parts, but no part of a useful one is longer.
        Some((namespace, name)) if label(namespace) && name.len() <= 253 && name.split('.').all(label) => {
            Ok(FluxTarget { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err(format!(
            "not a Kustomization (got \"{}\"); write NAMESPACE/NAME, like flux-system/apps",
            shown(text)
        )),
    }
}

/// `host[:port]`, a key below `registries`.
pub(super) fn registry(text: &str) -> Result<RegistryHost, String> {
    no_address(text, "host[:port]")?;
    text.parse()
        .map_err(|_| format!("not a registry (got \"{}\"); write host[:port], without a path", shown(text)))
}

/// `host[:port][/path]`, as the container runtimes read it.
pub(super) fn registry_base(text: &str) -> Result<RegistryBase, String> {
    no_address(text, "host[:port][/path]")?;
    let wrong = || format!("not a registry (got \"{}\"); write host[:port][/path]", shown(text));
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let legal: RegistryHost = host.parse().map_err(|_| wrong())?;
    if let Some(prefix) = prefix {
        Repository::new(legal.clone(), prefix).map_err(|_| wrong())?;
    }
    if !is_host(host) {
        let got = shown(text);
        return Err(format!(
            "container runtimes read a first part without a dot or a port as a folder of Docker Hub (got \"{got}\"); \
             add the port, or write docker.io/{got}"
        ));
    }
    Ok(RegistryBase { host: legal, prefix: prefix.map(str::to_owned) })
}

/// Below the environment's registry, or a full reference where the first part is a host.
pub(super) fn repository(text: &str) -> Result<RepositoryName, String> {
    no_address(text, "NAME or host[:port]/NAME")?;
    let got = shown(text);
    let last = text.rsplit('/').next().unwrap_or(text);
    if last.contains(':') {
        return Err(format!(
            "carries a tag or a digest (got \"{got}\"); remove it, the policy elects the version"
        ));
    }
    let full = text.split_once('/').is_some_and(|(first, _)| is_host(first));
    let name = if full {
        text.parse().map(RepositoryName::Full)
    } else {
        let host = "localhost".parse::<RegistryHost>();
        host.and_then(|host| Repository::new(host, text)).map(|_| RepositoryName::Relative(text.to_owned()))
    };
    name.map_err(|_| {
        format!("not a repository (got \"{got}\"); write lower-case letters, digits and inner . _ - in parts joined by /")
    })
}

/// Whether the first part of a reference is a registry rather than a folder: the rule of Docker's
/// reference grammar, which every container runtime follows.
pub(super) fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// No scheme and no credentials.
fn no_address(text: &str, form: &str) -> Result<(), String> {
    let got = shown(text);
    if text.rsplit_once('@').is_some_and(|(_, after)| !is_digest(after)) {
        return Err(format!(
            "carries credentials (got \"{got}\"); remove them and use --registry-credentials"
        ));
    }
    if text.contains("://") {
        let plain = if text.starts_with("http:") {
            ", and plain HTTP as `registries: {HOST: {insecure: true}}`"
        } else {
            ""
        };
        return Err(format!("carries a scheme (got \"{got}\"); write {form}{plain}"));
    }
    Ok(())
}
