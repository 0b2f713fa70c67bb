//! Delivery: asking for our commit, and seeing that it is applied.
//!
//! In: a commit that the remote has. Out: what the delivery tool says it has applied or refused. The only write to a
//! cluster is the annotation of [`flux::Flux::ask`], and the daemon's own Lease. "Handled" is never taken for "applied": only a revision that is our commit,
//! or a later one that still has the image, counts, and that question is answered by `publish`.

mod changes;
pub mod cluster;
mod connection;
mod evidence;
pub mod flux;
pub mod hosting;
pub mod inspect;
pub mod lease;
pub mod nodes;
pub mod revision;
mod slim;
mod watched;

pub use self::connection::in_pod;
pub(crate) use self::slim::REVISION;
use crate::model::CommitId;

/// Why a cluster could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The way to the cluster is not usable.
    #[error("cluster {cluster}: {cause}; {next}")]
    Access {
        /// The context's or kubeconfig's name.
        cluster: String,
        /// What is wrong.
        cause: String,
        /// What to do.
        next: &'static str,
    },
    /// The API server does not answer.
    #[error("cluster {cluster} can't be reached: {cause}; it is asked again")]
    Unreachable {
        /// The context's or kubeconfig's name.
        cluster: String,
        /// The client's words.
        cause: String,
    },
    /// The first answer is still on its way.
    #[error("cluster {cluster} has not been read yet")]
    Listing {
        /// The context's or kubeconfig's name.
        cluster: String,
    },
    /// The API server does not show what delivery is seen by.
    #[error("cluster {cluster} keeps this account from reading: {cause}; grant it by a Role")]
    Hidden {
        /// The context's or kubeconfig's name.
        cluster: String,
        /// The API server's words.
        cause: String,
    },
    /// The API server refuses.
    #[error(
        "cluster {cluster} does not let this account {verb} {kind} in {namespace}: {cause}; grant it by a Role"
    )]
    Forbidden {
        /// The cluster.
        cluster: String,
        /// The verb.
        verb: &'static str,
        /// The resource.
        kind: &'static str,
        /// The namespace.
        namespace: String,
        /// The API server's words.
        cause: String,
    },
    /// The object to deliver by is not there, or not of a kind that is understood.
    #[error("{0}")]
    Target(String),
}

impl DeliverError {
    /// The cluster that it is about; none if the cluster itself is well.
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Access { cluster, .. }
            | Self::Unreachable { cluster, .. }
            | Self::Listing { cluster }
            | Self::Hidden { cluster, .. }
            | Self::Forbidden { cluster, .. } => Some(cluster),
            Self::Target(_) => None,
        }
    }
}

/// What the delivery tool has done so far, as its objects tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// A person has stopped it; in words, with the way to go on.
    pub suspended: Option<String>,
    /// It needs a person.
    pub stalled: Option<String>,
    /// The revision that is applied, or whose health is being waited for.
    pub applied: Option<CommitId>,
    /// The revision that could not be applied, and why.
    pub refused: Option<(CommitId, String)>,
    /// Why the manifests cannot be built.
    pub broken: Option<String>,
    /// What it is doing, for people.
    pub doing: String,
    /// The workloads that it applied.
    pub workloads: Vec<WorkloadId>,
    /// What it applied of kinds that are not Kubernetes' own.
    pub others: Vec<CustomId>,
}

/// An object of a kind that is not Kubernetes' own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as Kubernetes names them")]
pub struct CustomId {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for CustomId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A workload that was applied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The kinds whose rollout can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named as Kubernetes names them")]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
}
