//! Prometheus, which scrapes the pods' sidecars as Istio's own set-up does, only more often.

use std::path::Path;

use anyhow::Result;

use crate::layout::Bed;
use crate::process;

/// Starts it; returns its port. `scraped` is a file that lists the targets and is replaced when they change.
pub(crate) async fn start(bed: &Bed, scraped: &Path) -> Result<u16> {
    let port = bed.port()?;
    let config = bed.path("prometheus.yaml");
    // Debian's build has no discovery of Kubernetes' pods; the file's labels are those that it would give.
    let text = format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
- job_name: kubernetes-pods
  metrics_path: /stats/prometheus
  file_sd_configs:
  - files: [{}]
    refresh_interval: 2s
",
        scraped.display()
    );
    std::fs::write(&config, text)?;
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", bed.path("prometheus").display()),
        "--storage.tsdb.retention.time=6h".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--log.level=warn".to_owned(),
    ];
    process::spawn(bed, "prometheus", Path::new("prometheus"), arguments, &[])?;
    process::ready(bed, "prometheus", port, Some("/-/ready")).await?;
    Ok(port)
}
