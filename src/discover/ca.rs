//! Clients that trust one registry's private CA and no other, made anew when its file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use reqwest::{Certificate, Client};

use super::egress::{Instead, NoLinkLocal};
use super::route::client_builder;
use crate::config::SecretName;
use crate::model::with_causes;

const FILE_LIMIT: u64 = 1024 * 1024;

/// The clients for one registry.
#[derive(Clone)]
pub(crate) struct Private {
    /// For the registry itself, by its endpoint if it has one.
    pub(crate) client: Client,
    /// For other ports of its host.
    pub(crate) same_host: Client,
    file: PathBuf,
    stamp: (SystemTime, u64),
    elsewhere: Option<String>,
}

impl Private {
    /// Makes the clients, or takes those of before if nothing has changed. An error names the file and what to do.
    ///
    /// `elsewhere` is the host to connect to instead.
    pub(crate) fn fresh(
        before: Option<&Self>,
        secrets: Option<&Path>,
        name: &SecretName,
        elsewhere: Option<&str>,
        user_agent: &str,
    ) -> Result<Self, String> {
        let secrets = secrets.ok_or_else(|| {
            format!(
                "promote.yaml names the file {name} in the folder of secrets; name that folder with --secrets"
            )
        })?;
        let file = secrets.join(name.as_str());
        let shown = file.display();
        let metadata = std::fs::metadata(&file)
            .map_err(|error| format!("{shown}: {}; put the CA's certificate there, as PEM", error.kind()))?;
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let stamp = (modified, metadata.len());
        if let Some(before) = before
            && before.file == file
            && before.stamp == stamp
            && before.elsewhere.as_deref() == elsewhere
        {
            return Ok(before.clone());
        }
        if metadata.len() > FILE_LIMIT {
            return Err(format!(
                "{shown}: larger than {FILE_LIMIT} bytes; put the CA's certificate alone there"
            ));
        }
        let bytes = std::fs::read(&file).map_err(|error| format!("{shown}: {}", error.kind()))?;
        let unusable = |reason: String| format!("{shown}: {reason}; put the CA's certificate there, as PEM");
        let certificates =
            Certificate::from_pem_bundle(&bytes).map_err(|error| unusable(with_causes(&error, 200)))?;
        if certificates.is_empty() {
            return Err(unusable("no certificate in it".to_owned()));
        }
        let builder = || client_builder(user_agent).tls_certs_only(certificates.clone());
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| unusable(with_causes(&error, 200)))
        };
        let same_host = built(builder().dns_resolver(Arc::new(NoLinkLocal)))?;
        let client = match elsewhere {
            Some(host) => {
                let resolver = Arc::new(Instead { host: host.to_owned() });
                built(builder().dns_resolver(resolver).http1_only())?
            }
            None => same_host.clone(),
        };
        Ok(Self { client, same_host, file, stamp, elsewhere: elsewhere.map(str::to_owned) })
    }
}
