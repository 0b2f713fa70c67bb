//! The way to an API server: where it is, with which credentials, and the client that speaks to it.

use std::path::Path;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;

use super::DeliverError;
use super::cluster::words;
use crate::config::Cluster;

/// A silent peer is noticed after this long, also by a watch that has nothing to say.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where Kubernetes mounts the token of a Pod's service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether this process runs in a Pod that may speak to its API server.
pub fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists()
}

/// Finds a cluster's name and builds its client; no request is made yet.
///
/// `programs` says whether a kubeconfig's `exec` plugin may be started: the command line does as kubectl does, the
/// daemon starts no program.
pub(super) async fn connect(
    from: &Cluster,
    secrets: Option<&Path>,
    programs: bool,
) -> Result<(String, Client), DeliverError> {
    let (name, kubeconfig, options) = match from {
        Cluster::None => {
            return Err(DeliverError::Target("the environment has no cluster".to_owned()));
        }
        Cluster::InCluster => return within_pod(),
        Cluster::Context(context) => {
            let options = KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
            (context.clone(), Kubeconfig::read(), options)
        }
        Cluster::Kubeconfig(name) => {
            let folder = secrets.ok_or_else(|| DeliverError::Access {
                cluster: name.to_string(),
                cause: "its kubeconfig is a secret, and no folder of secrets is given".to_owned(),
                next: "name the folder with --secrets",
            })?;
            let path = folder.join(name.as_str());
            (name.to_string(), Kubeconfig::read_from(path), KubeConfigOptions::default())
        }
    };
    let access = |cause: String, next| DeliverError::Access { cluster: name.clone(), cause, next };
    let kubeconfig = kubeconfig
        .map_err(|error| access(words(&error), "check that the kubeconfig exists and can be read"))?;
    let runs_program = kubeconfig.auth_infos.iter().any(|user| {
        user.auth_info.as_ref().is_some_and(|user| user.exec.is_some() || user.auth_provider.is_some())
    });
    if runs_program && !programs {
        return Err(access(
            "its kubeconfig starts a program for credentials (exec or auth-provider), which the daemon never does"
                .to_owned(),
            "use a kubeconfig with a token or a client certificate, or run the daemon in the cluster",
        ));
    }
    let settings = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| access(words(&error), "check the context's name, cluster and user"))?;
    let client =
        client(settings).map_err(|error| access(words(&error), "check the kubeconfig's certificates"))?;
    Ok((name, client))
}

/// The cluster that this process runs in, by its Pod's service account. The token is read again as it is renewed.
fn within_pod() -> Result<(String, Client), DeliverError> {
    let access = |cause: String| DeliverError::Access {
        cluster: "inCluster".to_owned(),
        cause,
        next: "`cluster: inCluster` needs a Pod whose service account's token is mounted; elsewhere write \
               `cluster: {context: NAME}`",
    };
    let settings = kube::Config::incluster().map_err(|error| access(words(&error)))?;
    let client = client(settings).map_err(|error| access(words(&error)))?;
    Ok(("inCluster".to_owned(), client))
}

/// As the library's default client, but on connections that send small requests at once: without `TCP_NODELAY` each
/// request with a body waited some 40 ms for the peer's delayed acknowledgement.
fn client(settings: kube::Config) -> Result<Client, kube::Error> {
    if settings.proxy_url.is_some() {
        return Client::try_from(settings);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    let mut connector = TimeoutConnector::new(settings.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(settings.connect_timeout);
    connector.set_read_timeout(settings.read_timeout);
    connector.set_write_timeout(settings.write_timeout);
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(settings.base_uri_layer())
        .option_layer(settings.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(settings.auth_layer()?)
        .layer(settings.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(http);
    Ok(Client::new(service, settings.default_namespace))
}
