//! Istio's metrics, with the names and labels of its proxies.

use std::fmt::Write as _;

use super::answers::{BOUNDS, Kind, Ledger};
use super::player::Role;

/// The labels that all series of one reporter share, in Prometheus' form.
pub(super) struct Reporter {
    labels: String,
    /// What is not told of the destination by itself is taken from each request.
    source: bool,
}

fn pairs(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"");
    labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

const GATEWAY: [(&str, &str); 7] = [
    ("source_workload", "istio-ingressgateway"),
    ("source_canonical_service", "istio-ingressgateway"),
    ("source_canonical_revision", "latest"),
    ("source_workload_namespace", "istio-system"),
    ("source_principal", "unknown"),
    ("source_app", "istio-ingressgateway"),
    ("source_version", "unknown"),
];

/// What a pod's sidecar reports: requests that came from the gateway.
pub(super) fn of_pod(role: &Role) -> Reporter {
    let label = |name: &str| role.labels.get(name).map(String::as_str);
    let app = label("app").unwrap_or("unknown");
    let service = label("service.istio.io/canonical-name")
        .or(label("app.kubernetes.io/name"))
        .or(label("app"))
        .unwrap_or(&role.workload);
    let version = label("version").unwrap_or("unknown");
    let revision = label("service.istio.io/canonical-revision")
        .or(label("app.kubernetes.io/version"))
        .or(label("version"))
        .unwrap_or("latest");
    let own = [
        ("destination_workload", role.workload.as_str()),
        ("destination_workload_namespace", &role.namespace),
        ("destination_principal", "unknown"),
        ("destination_app", app),
        ("destination_version", version),
        ("destination_service", &format!("{service}.{}.svc.cluster.local", role.namespace)),
        ("destination_canonical_service", service),
        ("destination_canonical_revision", revision),
        ("destination_service_name", service),
        ("destination_service_namespace", &role.namespace),
        ("destination_cluster", "Kubernetes"),
        ("source_cluster", "Kubernetes"),
        ("connection_security_policy", "none"),
    ];
    Reporter { labels: pairs(&[&[("reporter", "destination")], &GATEWAY[..], &own].concat()), source: false }
}

/// What the ingress gateway reports of requests that reached no pod, or that a test wants it to report.
pub(super) fn of_gateway() -> Reporter {
    let own = [
        ("destination_workload", "unknown"),
        ("destination_workload_namespace", "unknown"),
        ("destination_principal", "unknown"),
        ("destination_app", "unknown"),
        ("destination_version", "unknown"),
        ("destination_canonical_service", "unknown"),
        ("destination_canonical_revision", "latest"),
        ("destination_cluster", "unknown"),
        ("source_cluster", "Kubernetes"),
        ("connection_security_policy", "unknown"),
    ];
    Reporter { labels: pairs(&[&[("reporter", "source")], &GATEWAY[..], &own].concat()), source: true }
}

impl Reporter {
    fn series(&self, kind: &Kind) -> String {
        let protocol = if kind.grpc.is_some() { "grpc" } else { "http" };
        let status = kind.status.to_string();
        let mut own = vec![
            ("request_protocol", protocol),
            ("response_code", status.as_str()),
            ("grpc_response_status", kind.grpc.as_deref().unwrap_or_default()),
            ("response_flags", &kind.flags),
        ];
        let host = format!("{}.{}.svc.cluster.local", kind.service, kind.namespace);
        if self.source {
            own.extend([
                ("destination_service", host.as_str()),
                ("destination_service_name", &kind.service),
                ("destination_service_namespace", &kind.namespace),
            ]);
        }
        format!("{},{}", self.labels, pairs(&own))
    }
}

/// The page that is scraped.
pub(super) fn page(reporter: &Reporter, ledger: &Ledger) -> String {
    let mut text = "# TYPE istio_requests_total counter\n".to_owned();
    for (kind, count) in &ledger.0 {
        _ = writeln!(text, "istio_requests_total{{{}}} {}", reporter.series(kind), count.requests);
    }
    let name = "istio_request_duration_milliseconds";
    _ = writeln!(text, "# TYPE {name} histogram");
    for (kind, count) in &ledger.0 {
        let series = reporter.series(kind);
        for (bound, within) in BOUNDS.iter().zip(&count.within) {
            _ = writeln!(text, "{name}_bucket{{{series},le=\"{bound}\"}} {within}");
        }
        _ = writeln!(text, "{name}_bucket{{{series},le=\"+Inf\"}} {}", count.requests);
        _ = writeln!(text, "{name}_sum{{{series}}} {}", count.milliseconds);
        _ = writeln!(text, "{name}_count{{{series}}} {}", count.requests);
    }
    text
}
