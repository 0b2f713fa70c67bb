//! The daemon's own Lease, by which replicas agree who works.
//!
//! It saves work and guarantees nothing: what is committed is decided by the push.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as KubeLease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};

use super::DeliverError;
use super::cluster::Cluster;
use crate::config;
use crate::model::printable;

/// A Lease in the namespace of this process's Pod.
#[derive(Debug, Clone)]
pub struct Lease {
    cluster: Arc<Cluster>,
    api: Api<KubeLease>,
    name: String,
}

/// What the Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who has it; none where it was given back.
    pub holder: Option<String>,
    /// Changes with every renewal.
    pub version: String,
}

impl Lease {
    /// The Lease `name`; it is created when it is first taken.
    pub async fn in_own_namespace(name: &str) -> Result<Self, DeliverError> {
        let cluster = Arc::new(Cluster::connect(&config::Cluster::InCluster, None, false).await?);
        let client = cluster.client().clone();
        let api = Api::default_namespaced(client);
        Ok(Self { cluster, api, name: name.to_owned() })
    }

    /// What the Lease says now; none if there is none yet.
    pub async fn read(&self) -> Result<Option<Held>, DeliverError> {
        let found = self.api.get_opt(&self.name).await;
        Ok(found.map_err(|error| self.explain(&error, "get"))?.map(|lease| held(&lease)))
    }

    /// Takes or renews the Lease for `holder`, to be respected for `lasting`, or gives it back with none, unless somebody else changed it since it was
    /// as `before`; what it says then, or none if the race was lost.
    pub async fn write(
        &self,
        holder: Option<&str>,
        lasting: Duration,
        before: Option<&Held>,
        now: Timestamp,
    ) -> Result<Option<Held>, DeliverError> {
        let lease = KubeLease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: before.map(|before| before.version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.unwrap_or_default().to_owned()),
                lease_duration_seconds: i32::try_from(lasting.as_secs()).ok(),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        };
        let (verb, result) = match before {
            None => ("create", self.api.create(&PostParams::default(), &lease).await),
            Some(_) => ("update", self.api.replace(&self.name, &PostParams::default(), &lease).await),
        };
        match result {
            Ok(lease) => Ok(Some(held(&lease))),
            // Somebody was quicker, or deleted it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(self.explain(&error, verb)),
        }
    }

    fn explain(&self, error: &kube::Error, verb: &'static str) -> DeliverError {
        self.cluster.explain(error, verb, "leases", "the Pod's own namespace")
    }
}

fn held(lease: &KubeLease) -> Held {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    Held {
        holder: Some(printable(holder, 200)).filter(|holder| !holder.is_empty()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
