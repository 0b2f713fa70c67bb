//! What lies in the `GitOps` repository of the demo: `deploy/apps` as it is, with this bed's registries in place of the
//! example's, and what connects it with promoted and Flux.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::parts::Bed;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The environments and, for each, the registry that the example names.
pub(crate) const ENVIRONMENTS: [(&str, &str); 2] =
    [("local", "k3d-registry:5000"), ("aws", "111122223333.dkr.ecr.eu-west-1.amazonaws.com")];

/// Every file by its path in the repository.
pub(crate) fn all(bed: &Bed, repository: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    example(bed, Path::new("deploy/apps/test-app"), &mut files)?;
    files.push(("promote.yaml".into(), configuration(bed)?));
    files.push(("flux.yaml".into(), flux(repository)));
    Ok(files)
}

fn example(bed: &Bed, folder: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    let read = || std::fs::read_dir(Path::new(ROOT).join(folder));
    for entry in read().with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            example(bed, &path, files)?;
            continue;
        }
        let mut text = std::fs::read_to_string(entry.path()).with_context(|| path.display().to_string())?;
        for (environment, registry) in ENVIRONMENTS {
            if path.ends_with(format!("overlays/{environment}/kustomization.yaml")) {
                ensure!(text.contains(registry), "{} does not name {registry}", path.display());
                text = text.replace(registry, bed.registry(environment)?);
                // The bed of the demo has no mesh; and the first version is one that the demo pushes.
                for (old, new) in
                    [("- virtualservice.yaml\n", ""), ("newTag: \"1.0.0\"", "newTag: \"0.0.0\"")]
                {
                    ensure!(text.contains(old), "{} has no {old:?} any more", path.display());
                    text = text.replace(old, new);
                }
            }
        }
        files.push((path.display().to_string(), text));
    }
    Ok(())
}

fn configuration(bed: &Bed) -> Result<String> {
    Ok(format!(
        "version: 1
interval: 1s
environments:
  local:
    registry: {}
    cluster: {{kubeconfig: kubeconfig}}
    deploy: {{flux: {{kustomization: local/apps}}}}
    verify: {{timeout: 60s, stableFor: 2s}}
  aws:
    after: [local]
    registry: {}
    cluster: {{kubeconfig: kubeconfig}}
    deploy: {{flux: {{kustomization: aws/apps}}}}
    verify: {{timeout: 60s, stableFor: 2s}}
apps:
  test-app:
    path: deploy/apps/test-app/overlays/{{environment}}
    images:
      # The -0 lets pre-releases in: the demo's bad version is one.
      test-app: {{policy: {{semver: {{range: \">=1.0.0-0\"}}}}}}
",
        bed.registry("local")?,
        bed.registry("aws")?
    ))
}

/// A namespace with Flux for each environment. The interval is long: promoted asks Flux when there is something to do.
fn flux(repository: &str) -> String {
    ENVIRONMENTS
        .map(|(environment, _)| {
            format!(
                "apiVersion: v1
kind: Namespace
metadata: {{name: {environment}}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: deploy, namespace: {environment}}}
spec:
  interval: 1h
  url: {repository}
  ref: {{branch: main}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: apps, namespace: {environment}}}
spec:
  interval: 1h
  retryInterval: 5s
  timeout: 60s
  prune: true
  path: ./deploy/apps/test-app/overlays/{environment}
  targetNamespace: {environment}
  sourceRef: {{kind: GitRepository, name: deploy}}
"
            )
        })
        .join("---\n")
}
