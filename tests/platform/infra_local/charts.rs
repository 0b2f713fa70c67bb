//! A mirror of the chart repositories on the loopback interface, with charts of the names and versions that `infra` asks for.
//!
//! cert-manager's is the real one. Istio's are real, too, but those of the test bed's Istio, a little younger than the version
//! under which they stand here. Rancher's and Flux's are stand-ins, since no Go module has them: `tests/platform/fixtures/charts`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use hcl::Expression;
use serde_json::json;
use tempfile::TempDir;

use crate::command::{root, run, tools};
use crate::modules::{attribute, blocks, body, name};

/// A module of `infra/modules`, its variable with the version, and the folder of a chart.
const CHARTS: [(&str, &str, &str); 7] = [
    ("istio", "chart_version", "base"),
    ("istio", "chart_version", "istio-discovery"),
    ("istio", "chart_version", "gateway"),
    ("cert-manager", "chart_version", "cert-manager"),
    ("rancher", "chart_version", "rancher"),
    ("flux", "operator_version", "flux-operator"),
    ("flux", "operator_version", "flux-instance"),
];

pub struct Charts {
    _folder: TempDir,
    address: String,
}

impl Charts {
    pub fn serve() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = folder.path().join("served");
        for (module, variable, chart) in CHARTS {
            let version = default(module, variable);
            let source = source(chart, folder.path());
            helm(&[
                "package",
                text(&source),
                "--version",
                &version,
                "--app-version",
                &version,
                "--destination",
                text(&served),
            ]);
        }
        helm(&["repo", "index", text(&served), "--url", &address]);
        // It ends with the test's process: accepting is all that it does.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &served);
            }
        });
        Self { _folder: folder, address }
    }

    /// The roots' variable `chart_repositories`.
    pub fn mirrors(&self) -> String {
        let address = &self.address;
        json!({"cert_manager": address, "flux": address, "istio": address, "rancher": address}).to_string()
    }
}

/// The default of a module's variable.
fn default(module: &str, variable: &str) -> String {
    let body = body(&root().join("infra/modules").join(module));
    let found = blocks(&body, "variable").find(|block| name(block) == variable).unwrap();
    match attribute(found, "default") {
        Some(Expression::String(version)) => version.clone(),
        other => panic!("{variable} of {module} has no default: {other:?}"),
    }
}

/// Where a chart is; one that lacks what is not ours is completed below `folder`.
fn source(chart: &str, folder: &Path) -> PathBuf {
    let real = tools().join("charts").join(chart);
    if real.exists() {
        return real;
    }
    let stand_in = root().join("tests/platform/fixtures/charts").join(chart);
    if chart != "flux-operator" {
        return stand_in;
    }
    let whole = folder.join(chart);
    let status = Command::new("cp").arg("-R").arg(stand_in).arg(&whole).status().unwrap();
    assert!(status.success());
    fs::create_dir(whole.join("crds")).unwrap();
    for entry in fs::read_dir(tools().join("crds")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("fluxcd.controlplane.io_") {
            fs::copy(entry.path(), whole.join("crds").join(entry.file_name())).unwrap();
        }
    }
    whole
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn helm(arguments: &[&str]) {
    run(Command::new(tools().join("bin/helm")).args(arguments), "run tests/platform/build.sh").passed();
}

fn answer(mut stream: TcpStream, folder: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    let mut line = String::new();
    reader.read_line(&mut first).unwrap();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let path = first.split_whitespace().nth(1).unwrap_or_default();
    let (status, content) = fs::read(folder.join(path.trim_start_matches('/')))
        .map_or((404, Vec::new()), |content| (200, content));
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    let _ = stream.write_all(&[head.as_bytes(), &content].concat());
}
