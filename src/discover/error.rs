//! Why a registry did not answer as hoped.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::model::RegistryHost;

/// A question to a registry that has no usable answer. It never means "there is nothing".
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiscoverError {
    /// No answer: name, connection, TLS, deadline, or a server error (5xx).
    #[error(
        "can't reach {registry} for {what}: {reason}; check the name, the network and --registry-endpoint"
    )]
    Unreachable {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// The cause in one line.
        reason: String,
    },
    /// No TLS with it: a certificate that is not trusted, or a server that speaks something else.
    #[error(
        "can't reach {registry} for {what}: TLS: {reason}; name its private CA by `registries: {{{registry}: {{ca: NAME}}}}` in promote.yaml, or say that it speaks plain HTTP by `insecure: true`"
    )]
    Tls {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// The cause in one line.
        reason: String,
    },
    /// The registry or its token server refuses the credentials, or asks for some where there are none.
    #[error(
        "{registry} refuses access to {what}: {reason}; check the entry for {registry} in the --registry-credentials files"
    )]
    Unauthorized {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// The status and the registry's words.
        reason: String,
    },
    /// The registry has just asked for a pause (429 or 503).
    #[error("{registry} answered {status} to {what}; nothing is asked of it until {until}")]
    RateLimited {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// 429 or 503.
        status: u16,
        /// The end of the pause.
        until: Timestamp,
    },
    /// The registry asked for a pause earlier, so this question was not sent.
    #[error("{registry} asked for a pause: nothing is asked of it until {until}")]
    BackingOff {
        /// The registry that is left alone.
        registry: RegistryHost,
        /// The end of the pause.
        until: Timestamp,
    },
    /// The registry knows no such repository, manifest or blob.
    #[error("{registry} does not know {what}: {reason}; check the name, and that something was pushed to it")]
    NotFound {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// The registry's words.
        reason: String,
    },
    /// The answer can't be used: not parsable, of a wrong type, not what its digest says, or above a cap.
    #[error("unusable answer of {registry} for {what}: {reason}; nothing is concluded from it")]
    Garbage {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// What is wrong with it, or the cap that was passed.
        reason: String,
    },
    /// The registry pointed to an address that this process does not connect to.
    #[error(
        "{registry} points to {destination} for {what}, which is refused: {reason}; nothing was sent there"
    )]
    Blocked {
        /// The registry asked.
        registry: RegistryHost,
        /// What was asked for.
        what: String,
        /// Scheme and host; never a path or query, which may be signed.
        destination: String,
        /// The rule that forbids it.
        reason: &'static str,
    },
    /// A file of `--registry-credentials` can't be used.
    #[error("can't use the credentials in {}: {reason}; expected a docker config.json", file.display())]
    Credentials {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// The only credentials for a registry come from a credential helper, and none is ever run here.
    #[error("the credentials for {registry} in {} come from a credential helper, which is not run; put an `auth` entry for {registry} into a --registry-credentials file", file.display())]
    HelperNotRun {
        /// The registry that has no usable credentials.
        registry: RegistryHost,
        /// The file that names the helper.
        file: PathBuf,
    },
    /// A credential helper of the person's did not give an answer.
    #[error(
        "no credentials for {registry} from {reason}; try it by hand: echo {registry} | docker-credential-… get"
    )]
    HelperFailed {
        /// The registry.
        registry: RegistryHost,
        /// The program, and what became of it.
        reason: String,
    },
    /// A registry of ECR wants a password, and AWS gave none.
    #[error(
        "no password for {registry}: {reason}; give this process an AWS identity with ecr:GetAuthorizationToken, or put an `auth` entry for {registry} into a --registry-credentials file"
    )]
    NoEcrPassword {
        /// The registry.
        registry: RegistryHost,
        /// The steps that were tried, or what AWS answered.
        reason: String,
    },
    /// The private CA of a registry can't be used.
    #[error("can't use the private CA of {registry}: {reason}")]
    Ca {
        /// The registry whose `ca` it is.
        registry: RegistryHost,
        /// The file, what is wrong with it, and what to do.
        reason: String,
    },
    /// The HTTP client, or a way given by `--registry-endpoint`, can't be set up.
    #[error("can't set up connections to registries: {reason}")]
    Setup {
        /// What is wrong.
        reason: String,
    },
}

impl DiscoverError {
    /// The metric label of this kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Unauthorized { .. } => "unauthorized",
            Self::RateLimited { .. } => "rate_limited",
            Self::BackingOff { .. } => "backing_off",
            Self::NotFound { .. } => "not_found",
            Self::Garbage { .. } => "garbage",
            Self::Blocked { .. } => "blocked",
            Self::Credentials { .. }
            | Self::HelperNotRun { .. }
            | Self::HelperFailed { .. }
            | Self::NoEcrPassword { .. } => "credentials",
            Self::Ca { .. } | Self::Setup { .. } => "setup",
        }
    }

    /// What is wrong and when a feed asks again, in words that stay the same as long as it is wrong.
    pub fn state(&self) -> String {
        match self {
            Self::RateLimited { registry, status, .. } => {
                format!(
                    "{registry} answered {status}: it wants a pause, and is asked again when that is over"
                )
            }
            Self::BackingOff { registry, .. } => {
                format!("{registry} wants a pause, and is asked again when that is over")
            }
            other => format!("{other}; it is asked again at the next pass"),
        }
    }

    /// The end of the pause that the registry asked for, if that is why.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { until, .. } | Self::BackingOff { until, .. } => Some(*until),
            _ => None,
        }
    }
}
