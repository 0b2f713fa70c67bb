//! Registries: `local` and `aws` (Debian's docker-registry), `auth` (the same, with a password) and `paging` (the newest
//! release, whose answers about tags and referrers differ).

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use crate::layout::{Bed, Places};
use crate::process;

const USER: &str = "promote";
const PASSWORD: &str = "promote-bed";
/// `USER` and the bcrypt hash of `PASSWORD`, the only form that the registry reads.
const HTPASSWD: &str = "promote:$2a$05$v94V9X0dJ3I4JzELrxhIdOwdYvhVSE/UWTn/HBArZ8IdaGChc4Tla\n";

/// Starts the four registries.
pub(crate) async fn start(bed: &Bed) -> Result<Places> {
    std::fs::create_dir(bed.path("registry"))?;
    let htpasswd = bed.path("registry/htpasswd");
    std::fs::write(&htpasswd, HTPASSWD)?;
    let password = format!("auth: {{htpasswd: {{realm: bed, path: \"{}\"}}}}\n", htpasswd.display());
    let debian = PathBuf::from("docker-registry");
    let newest = bed.program("registry");

    let mut addresses = Places::new();
    let mut waiting = Vec::new();
    for (name, program, extra) in [
        ("local", &debian, ""),
        ("aws", &debian, ""),
        ("paging", &newest, ""),
        ("auth", &debian, password.as_str()),
    ] {
        let port = bed.port()?;
        let configuration = format!(
            "version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: \"{}\"}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
{extra}",
            bed.path(format!("registry/{name}")).display()
        );
        let file = bed.path(format!("registry/{name}.yml"));
        std::fs::write(&file, configuration)?;
        let registry = format!("registry-{name}");
        let arguments = ["serve".into(), file.into_os_string()];
        // The newest release sends traces to a collector that is not there.
        process::spawn(bed, &registry, program, arguments, &[("OTEL_TRACES_EXPORTER", "none".as_ref())])?;
        waiting.push((registry, port));
        addresses.insert(name.into(), json!(format!("127.0.0.1:{port}")));
    }
    for (registry, port) in waiting {
        process::ready(bed, &registry, port, None).await?;
    }
    let mut places = Places::new();
    places.insert("registries".into(), addresses.into());
    places.insert("registryUser".into(), json!(USER));
    places.insert("registryPassword".into(), json!(PASSWORD));
    Ok(places)
}
