//! The clusters of the environments, connected when first needed and shared.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::{self, Environment};
use crate::deliver::DeliverError;
use crate::deliver::cluster::Cluster;
use crate::deliver::flux::Flux;

/// Connections by what the configuration says.
#[derive(Debug)]
pub struct Clusters {
    secrets: Option<PathBuf>,
    programs: bool,
    connected: Mutex<HashMap<String, Arc<Cluster>>>,
    /// Held, so that what delivers is known at once when there is something to deliver.
    deliveries: Mutex<HashMap<String, Arc<Flux>>>,
}

impl Clusters {
    /// `secrets` is the folder of `--secrets`; `programs` whether a kubeconfig may start one.
    pub fn new(secrets: Option<PathBuf>, programs: bool) -> Self {
        Self { secrets, programs, connected: Mutex::default(), deliveries: Mutex::default() }
    }

    /// The way to see and ask what delivers to `environment`; none if nothing does.
    pub async fn flux(&self, environment: &Environment) -> Result<Option<Arc<Flux>>, DeliverError> {
        let Some((cluster, target)) = environment.watched() else { return Ok(None) };
        let key = format!("{cluster:?} {target:?}");
        let mut deliveries = self.deliveries.lock().await;
        if let Some(flux) = deliveries.get(&key) {
            return Ok(Some(flux.clone()));
        }
        let flux = Arc::new(Flux::watch(self.cluster(cluster).await?, target.clone()));
        deliveries.insert(key, flux.clone());
        Ok(Some(flux))
    }

    /// The connection to a cluster.
    pub async fn cluster(&self, from: &config::Cluster) -> Result<Arc<Cluster>, DeliverError> {
        let key = format!("{from:?}");
        let mut connected = self.connected.lock().await;
        if let Some(cluster) = connected.get(&key) {
            return Ok(cluster.clone());
        }
        let cluster = Arc::new(Cluster::connect(from, self.secrets.as_deref(), self.programs).await?);
        connected.insert(key, cluster.clone());
        Ok(cluster)
    }
}
