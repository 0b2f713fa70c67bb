//! The bed's mesh: istiod, the ingress gateway, pods that answer, and Prometheus.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::command::bound;
use super::site::Site;
use super::{Answer, bed, free_address, isolated, request, until};

/// Where the parts of the mesh are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mesh {
    /// What has pods do something wrong, and says whom it plays.
    pub(crate) actor: String,
    /// Prometheus' base URL.
    pub(crate) prometheus: String,
    /// The ingress gateway, as soon as a Gateway has a server on its port.
    pub(crate) gateway: String,
    /// The gateway's Envoy.
    pub(crate) gateway_admin: String,
    /// istiod's metrics and `/debug`.
    pub(crate) istiod: String,
    /// The program.
    pub(crate) istioctl: PathBuf,
}

/// The mesh of the bed that all tests share; waits until it is there, and panics with the reason where it cannot be.
pub(crate) fn mesh() -> &'static Mesh {
    static SHARED: OnceLock<Mesh> = OnceLock::new();
    SHARED.get_or_init(|| {
        let file = bed().dir.join("mesh.json");
        let text = until(|| std::fs::read(&file).ok());
        let text = text.unwrap_or_else(|| panic!("{} is not there: the mesh does not start", file.display()));
        let places: Value = serde_json::from_slice(&text).expect("mesh.json is JSON");
        assert_eq!(places["failed"], Value::Null, "the bed has no mesh; `make bed` builds its parts");
        serde_json::from_value(places).expect("mesh.json tells all places")
    })
}

impl Mesh {
    /// The gateway's port, for a Gateway's server.
    pub(crate) fn gateway_port(&self) -> u16 {
        let port = self.gateway.rsplit(':').next().and_then(|port| port.parse().ok());
        port.expect("the gateway's URL has a port")
    }

    /// The answer to a query of Prometheus at this moment: its `result`.
    pub(crate) fn query(&self, query: &str) -> Value {
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = request("GET", &format!("{}/api/v1/query?query={encoded}", self.prometheus), &[], b"");
        let answer = answer.expect("Prometheus answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut answer: Value = serde_json::from_slice(&answer.body).expect("Prometheus answers JSON");
        answer["data"]["result"].take()
    }

    /// What the actor is told, at a path of its control port.
    pub(crate) fn order(&self, method: &str, path: &str, orders: &Value) {
        let url = format!("{}{path}", self.actor);
        let headers = [("Content-Type", "application/json")];
        let answer =
            request(method, &url, &headers, orders.to_string().as_bytes()).expect("the actor answers");
        assert!(answer.status < 300, "{method} {url} {orders}: {} {}", answer.status, answer.text());
    }

    /// Everybody whom the actor plays: address, tag and requests.
    pub(crate) fn played(&self) -> Vec<Value> {
        let answer = request("GET", &format!("{}/pods", self.actor), &[], b"").expect("the actor answers");
        serde_json::from_slice(&answer.body).expect("the actor answers JSON")
    }

    /// The configuration that istiod says its proxies have: `/debug/syncz`.
    pub(crate) fn syncz(&self) -> Vec<Value> {
        let url = format!("{}/debug/syncz", self.istiod);
        let answer = request("GET", &url, &[], b"").expect("istiod answers");
        serde_json::from_slice(&answer.body).expect("istiod answers JSON")
    }
}

/// A Prometheus of one test. Dropping it ends it.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
}

impl Prometheus {
    /// Its base URL.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message of `istioctl analyze`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    /// Such as `IST0101`.
    pub(crate) code: String,
    /// `Error`, `Warning` or `Info`.
    pub(crate) level: String,
    /// Such as `VirtualService test-app.NAMESPACE`.
    pub(crate) origin: String,
    /// Its words.
    pub(crate) words: String,
}

impl Site {
    /// The host by which the app of a routed site is asked for at the gateway.
    pub(crate) fn host(&self, environment: &str, app: &str) -> String {
        format!("{app}.{}.example", self.namespace(environment))
    }

    /// Asks the app through the gateway once; 404 as long as the gateway has no route.
    pub(crate) fn ask(&self, environment: &str, app: &str) -> std::io::Result<Answer> {
        ask(&self.host(environment, app))
    }

    /// Waits until the gateway routes to the app.
    pub(crate) fn wait_routed(&self, environment: &str, app: &str) {
        let routed = || self.ask(environment, app).ok().filter(|answer| answer.status == 200);
        until(routed).unwrap_or_else(|| {
            let last = self.ask(environment, app).map(|answer| (answer.status, answer.text()));
            self.give_up(&format!("the gateway does not route to {app} in {environment}: {last:?}"))
        });
    }

    /// Asks the app so many times through the gateway; how many answers had each status.
    pub(crate) fn traffic(&self, environment: &str, app: &str, requests: usize) -> BTreeMap<u16, usize> {
        let mut answers = BTreeMap::new();
        for _ in 0..requests {
            let status = self.ask(environment, app).map_or(0, |answer| answer.status);
            *answers.entry(status).or_default() += 1;
        }
        answers
    }

    /// Has a pod do something wrong from now on, such as `{"errors": 0.5, "status": 503}`, `{"delay": 300}` (in
    /// milliseconds), `{"scrape": false}` or `{"sidecar": "stall"}`.
    pub(crate) fn order_pod(&self, environment: &str, pod: &str, orders: &Value) {
        mesh().order("POST", &format!("/pods/{}/{pod}", self.namespace(environment)), orders);
    }

    /// Counts requests in a pod's metrics that nobody made: `{"count": 50, "status": 503}`, with `flags`, `grpc` and
    /// `duration` (in milliseconds) where they matter.
    pub(crate) fn count_requests(&self, environment: &str, pod: &str, requests: &Value) {
        mesh().order("POST", &format!("/pods/{}/{pod}/requests", self.namespace(environment)), requests);
    }

    /// Forgets a pod's requests, as a proxy does that starts again.
    pub(crate) fn reset_requests(&self, environment: &str, pod: &str) {
        mesh().order("DELETE", &format!("/pods/{}/{pod}/requests", self.namespace(environment)), &json!({}));
    }

    /// A Prometheus of the test's own, which scrapes what the bed's does, and drops a label of all samples.
    pub(crate) fn prometheus_without(&self, label: &str) -> Prometheus {
        let folder = self.folder().join("prometheus");
        std::fs::create_dir(&folder).expect("a folder");
        let (config, address) = (folder.join("prometheus.yaml"), free_address());
        let text = format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
- job_name: kubernetes-pods
  metrics_path: /stats/prometheus
  file_sd_configs: [{{files: [{}], refresh_interval: 2s}}]
  metric_relabel_configs: [{{action: labeldrop, regex: {label}}}]
",
            bed().dir.join("targets.json").display()
        );
        std::fs::write(&config, text).expect("a file can be written");
        let child = bound("prometheus", self)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus can be started");
        let prometheus = Prometheus { child, address: format!("http://{address}") };
        let ready = || request("GET", &format!("{}/-/ready", prometheus.address), &[], b"").ok();
        until(|| ready().filter(|answer| answer.status == 200)).expect("prometheus is ready");
        prometheus
    }

    /// Counts requests that the gateway tells of the app's service, and that no pod has seen.
    pub(crate) fn count_at_gateway(
        &self,
        environment: &str,
        app: &str,
        status: u16,
        flags: &str,
        count: u64,
    ) {
        let namespace = self.namespace(environment);
        let requests =
            json!({"count": count, "status": status, "flags": flags, "service": app, "namespace": namespace});
        mesh().order("POST", "/gateway/requests", &requests);
    }

    /// What istioctl says about an environment's namespace, in order.
    pub(crate) fn analyze(&self, environment: &str) -> Vec<Message> {
        let mut command = Command::new(&mesh().istioctl);
        isolated(&mut command, &self.folder().join("home"));
        let namespace = self.namespace(environment);
        let output = command
            .arg("analyze")
            .args(["--kubeconfig", bed().kubeconfig.to_str().expect("the bed's paths are UTF-8")])
            .args(["-n", &namespace, "-o", "json", "--failure-threshold", "Error"])
            .output()
            .expect("istioctl can be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: Vec<Value> = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut messages: Vec<Message> = found
            .iter()
            .map(|message| Message {
                code: text(&message["code"]),
                level: text(&message["level"]),
                origin: text(&message["origin"]),
                words: text(&message["message"]),
            })
            .collect();
        messages.sort();
        messages
    }
}

/// Asks the gateway for the start page of a host.
fn ask(host: &str) -> std::io::Result<Answer> {
    use std::io::{Read as _, Write as _};
    let address = mesh().gateway.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(super::DEADLINE))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Answer::parse(&answer).ok_or_else(|| std::io::Error::other("the gateway gave no answer"))
}
