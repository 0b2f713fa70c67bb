//! The cluster: the order in which its parts start, and what they find in it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::layout::{Bed, Places, SOURCE};
use crate::pki::Authority;
use crate::{apiserver, controllers, etcd, flux, http, kwok};

const NODES: usize = 4;

/// Starts the cluster and Flux in it. Returns the port of its API in plain HTTP, too.
pub(crate) async fn start(bed: &Bed, bare: bool) -> Result<(Places, u16)> {
    let authority = Authority::create(bed)?;
    let port = bed.port()?;
    let kubeconfig = bed.path("kubeconfig");
    std::fs::write(&kubeconfig, authority.kubeconfig(port, "admin", Some("system:masters"))?)?;

    let etcd = etcd::start(bed).await?;
    let api = apiserver::start(bed, port, etcd, &kubeconfig, bare).await?;
    let ((), places) = tokio::try_join!(controllers::start(bed, &authority, port), async {
        let crds = bed.crds();
        tokio::try_join!(namespace(api, "flux-system"), definitions(api, &crds))?;
        bed.progress("the CRDs are served");
        let ((), (), places) =
            tokio::try_join!(objects(api), kwok::start(bed, &kubeconfig), flux::start(bed, &kubeconfig))?;
        Ok(places)
    })?;
    nodes_are_ready(bed, api).await?;

    let mut places = places;
    places.insert("kubeconfig".into(), json!(kubeconfig));
    places.insert("context".into(), json!("bed"));
    places.insert("kubectl".into(), json!(bed.program("kubectl")));
    places.insert("api".into(), json!(format!("http://127.0.0.1:{api}")));
    Ok((places, api))
}

/// Creates an object.
pub(crate) async fn post(api: u16, path: &str, content_type: &str, object: &[u8]) -> Result<Value> {
    created(path, &http::send(api, "POST", path, content_type, object).await?)
}

fn created(path: &str, answer: &http::Answer) -> Result<Value> {
    if answer.status != 201 {
        bail!("POST {path} was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(serde_json::from_slice(&answer.body)?)
}

/// Creates an object in a namespace that is new, whose service account may not be there yet.
pub(crate) async fn post_when_possible(api: u16, path: &str, object: &Value) -> Result<()> {
    let began = Instant::now();
    loop {
        match post(api, path, "application/json", object.to_string().as_bytes()).await {
            Err(error) if began.elapsed() > Duration::from_secs(30) => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(_) => return Ok(()),
        }
    }
}

/// Creates a namespace.
pub(crate) async fn namespace(api: u16, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    post(api, "/api/v1/namespaces", "application/json", object.to_string().as_bytes()).await?;
    Ok(())
}

/// Creates every CRD of a folder, and waits until each is served. One that is there already stays.
pub(crate) async fn definitions(api: u16, folder: &Path) -> Result<()> {
    let mut served = Vec::new();
    let all = documents(folder)?;
    // The Gateway API's file ends with a policy that guards its own upgrades.
    for document in all.iter().filter(|text| text.contains("\nkind: CustomResourceDefinition\n")) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let answer = http::send(api, "POST", path, "application/yaml", document.as_bytes()).await?;
        if answer.status == 409 {
            continue;
        }
        let created = created(path, &answer)?;
        let spec = &created["spec"];
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a CRD without names");
        let version =
            spec["versions"].as_array().into_iter().flatten().find(|version| version["served"] == true);
        served.push(format!(
            "/apis/{}/{}/{}?limit=1",
            text(&spec["group"])?,
            text(&version.context("a CRD without a served version")?["name"])?,
            text(&spec["names"]["plural"])?
        ));
    }
    // Asking for each is quicker than `kubectl wait`, which takes 0.1 s per CRD.
    let began = Instant::now();
    for path in served {
        while http::get(api, &path).await?.status != 200 {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("{path} is not served 30 s after its CRD was created");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Creates the Stages and the nodes that they make ready.
async fn objects(api: u16) -> Result<()> {
    for document in documents(&Path::new(SOURCE).join("stages"))? {
        post(api, "/apis/kwok.x-k8s.io/v1alpha1/stages", "application/yaml", document.as_bytes()).await?;
    }
    for number in 0..NODES {
        let name = format!("node-{number}");
        let labels = json!({
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        });
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        post(api, "/api/v1/nodes", "application/json", node.to_string().as_bytes()).await?;
    }
    Ok(())
}

/// The documents of a folder's YAML files, by name.
fn documents(folder: &Path) -> Result<Vec<String>> {
    let mut paths = std::fs::read_dir(folder)
        .with_context(|| format!("can't read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let mut documents = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)?;
        let parts = text.split("\n---\n").filter(|part| part.contains("\nkind:"));
        documents.extend(parts.map(str::to_owned));
    }
    Ok(documents)
}

/// Waits until pods can be scheduled.
async fn nodes_are_ready(bed: &Bed, api: u16) -> Result<()> {
    let began = Instant::now();
    loop {
        let answer = http::get(api, "/api/v1/nodes").await?;
        let nodes: Value = serde_json::from_slice(&answer.body)?;
        let ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array();
            let is_ready = |row: &Value| row["type"] == "Ready" && row["status"] == "True";
            conditions.is_some_and(|rows| rows.iter().any(is_ready)) && node["spec"]["taints"].is_null()
        };
        if nodes["items"].as_array().is_some_and(|all| all.iter().filter(ready).count() == NODES) {
            bed.progress("the nodes are ready");
            return Ok(());
        }
        if began.elapsed() > Duration::from_mins(1) {
            bail!("the nodes were not ready within 60 s; kwok's last lines:\n{}", bed.log_tail("kwok"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
