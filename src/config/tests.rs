#![allow(clippy::unwrap_used)]

mod builds;
mod hostile;
mod markers;
mod policies;
mod problems;
mod receivers;
mod schema;
mod traffic;

use std::time::Duration;

use super::*;

/// The smallest useful file of the documentation.
const SMALLEST: &str = r#"version: 1
environments:
  local:
    registry: localhost:5000
    deploy: {flux: {kustomization: flux-system/apps}}
  aws:
    after: [local]
    registry: 111122223333.dkr.ecr.eu-west-1.amazonaws.com
apps:
  graphwiki:
    path: deploy/apps/graphwiki/overlays/{environment}
    images:
      graphwiki: {policy: {semver: {range: ">=1.0.0"}}}
"#;

/// Every key that is supported.
const FULL: &str = r#"version: 1
interval: 30s
git:
  branch: release/main
  author: {name: Robot, email: robot@example.com}
registries:
  registry.lan:5000: {insecure: true}
receivers:
  ghcr: {type: github, secret: github-webhook}
  gar: {type: gcr, audience: "https://promoted.example.org/", identity: push@acme.iam.gserviceaccount.com}
environments:
  local:
    registry: localhost:5000
    cluster: {context: k3d-dev}
    deploy: {flux: {kustomization: flux-system/apps}}
    update: manual
    publish: push
    verify: {timeout: 15m, stableFor: 0s, mesh: none, onFailure: hold}
  staging:
    registry: ghcr.io/acme
    cluster: {kubeconfig: staging.yaml}
    deploy: {flux: {kustomization: flux-system/apps.web}}
    after: [local]
    update: auto
    gates: {minAge: 2h}
    verify:
      prometheus: http://prometheus.istio-system:9090/prometheus
      traffic: {successRate: 99.5, latency: {percentile: 99, max: 500ms}, falseRollback: 0.005}
      probe: {url: "https://10.1.2.3:8443/healthz?deep=1", host: App.example.org, expectStatus: 204, count: 30}
  live:
    registry: registry.lan:5000
    cluster: none
    after: [local, staging]
apps:
  web:
    path: deploy/{environment}/web
    markers: {flux-system:site: web}
    images:
      web:
        policy: {semver: {range: "1.x"}}
        interval: 5m
        build: {artifact: target/image-oci, watch: [src, Dockerfile, .], command: [make, image, "REF={ref}"]}
      ghcr.io/acme/sidecar:
        repository: quay.io/acme/sidecar
        policy: {numerical: {order: desc}}
        filterTags: {pattern: '^main-[0-9a-f]+-(?P<ts>[0-9]+)$', extract: $ts}
        platforms: [linux/amd64, linux/arm64/v8]
      letters:
        policy: {alphabetical: {}}
      built:
        policy: {newest: {}}
        filterTags: {pattern: ^nightly-}
      moving:
        policy: {digest: {tag: latest}}
      proxy:
        repository: tools/proxy
        policy: {semver: {range: "*"}}
"#;

fn parse(text: &str) -> Config {
    Config::parse("promote.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A file whose only environment has these keys.
fn with_environment(keys: &str) -> String {
    format!(
        "version: 1\napps: {{web: {{path: web, images: {{web: {{policy: {{semver: {{range: '*'}}}}}}}}}}}}\n\
         environments:\n  local: {{{keys}}}\n"
    )
}

/// A file whose only environment has these keys of `verify`.
fn with_verify(keys: &str) -> String {
    with_environment(&format!("registry: 'a:1', verify: {{{keys}}}"))
}

/// A file whose only image has these keys.
fn with_image(keys: &str) -> String {
    format!(
        "version: 1\nenvironments: {{local: {{registry: 'localhost:5000'}}}}\n\
         apps: {{web: {{path: web, images: {{web: {{{keys}}}}}}}}}\n"
    )
}

/// The problems, each as `LINE:COLUMN: KEY.PATH: message`.
fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse("promote.yaml", text.as_bytes()).expect_err(text);
    problems.problems.iter().map(ToString::to_string).collect()
}

/// A good file with these lines at its end.
fn with_lines(lines: &str) -> String {
    with_image("policy: {semver: {range: '*'}}") + lines
}

#[test]
fn the_smallest_useful_file_gets_every_default() {
    let config = parse(SMALLEST);
    assert_eq!(config.interval, Duration::from_mins(1));
    assert_eq!(config.git.branch, None);
    assert_eq!(config.git.author.name, "promoted");
    assert_eq!(config.git.author.email, "promoted@localhost");
    assert!(config.registries.is_empty());
    let local = &config.environments[&"local".parse().unwrap()];
    assert_eq!(local.cluster, None);
    assert_eq!(
        local.deploy,
        Some(FluxTarget { namespace: "flux-system".to_owned(), name: "apps".to_owned() })
    );
    assert_eq!(local.update, Update::Auto);
    assert_eq!(local.verify.timeout, Duration::from_mins(10));
    assert_eq!(local.verify.stable_for, Duration::from_secs(30));
    assert_eq!(local.verify.on_failure, OnFailure::Rollback);
    let aws = &config.environments[&"aws".parse().unwrap()];
    assert_eq!(aws.update, Update::Manual);
    assert_eq!(aws.after, ["local".parse().unwrap()]);
    let image = &config.apps[&"graphwiki".parse().unwrap()].images[&"graphwiki".parse().unwrap()];
    assert_eq!(image.repository, RepositoryName::Relative("graphwiki".to_owned()));
    assert_eq!(config.interval_of(image), Duration::from_mins(1));
}

#[test]
fn a_pod_takes_its_own_cluster_where_none_is_named() {
    let deploy = "deploy: {flux: {kustomization: a/b}}";
    for (cluster, outside, within) in [
        ("", None, Some(Cluster::InCluster)),
        ("cluster: inCluster, ", Some(Cluster::InCluster), Some(Cluster::InCluster)),
        (
            "cluster: {context: dev}, ",
            Some(Cluster::Context("dev".to_owned())),
            Some(Cluster::Context("dev".to_owned())),
        ),
    ] {
        let text = with_environment(&format!("registry: 'a:1', {cluster}{deploy}"));
        let of = |config: Config| config.environments[&"local".parse().unwrap()].cluster.clone();
        assert_eq!(of(parse(&text)), outside);
        assert_eq!(of(parse(&text).within_pod()), within);
    }
    let only_commits = parse(&with_environment("registry: 'a:1'")).within_pod();
    assert_eq!(only_commits.environments[&"local".parse().unwrap()].cluster, None);
}

#[test]
fn every_supported_key_is_obeyed() {
    let config = parse(FULL);
    assert_eq!(config.interval, Duration::from_secs(30));
    assert_eq!(config.git.branch.as_deref(), Some("release/main"));
    assert_eq!(config.git.author, Author { name: "Robot".to_owned(), email: "robot@example.com".to_owned() });
    assert!(config.registries[&"registry.lan:5000".parse().unwrap()].insecure);
    let ghcr = &config.receivers[&"ghcr".parse().unwrap()];
    assert_eq!(ghcr.kind, ReceiverKind::Github);
    assert!(matches!(&ghcr.proof, Proof::Secret(name) if name.as_str() == "github-webhook"));
    let gar = &config.receivers[&"gar".parse().unwrap()];
    let proof = Proof::Google {
        audience: "https://promoted.example.org/".to_owned(),
        identity: "push@acme.iam.gserviceaccount.com".to_owned(),
    };
    assert_eq!((gar.kind, &gar.proof), (ReceiverKind::Gcr, &proof));
    let local = &config.environments[&"local".parse().unwrap()];
    assert_eq!(local.cluster, Some(Cluster::Context("k3d-dev".to_owned())));
    assert_eq!(local.update, Update::Manual);
    assert_eq!(local.verify.timeout, Duration::from_mins(15));
    assert_eq!(local.verify.stable_for, Duration::ZERO);
    assert_eq!(local.verify.on_failure, OnFailure::Hold);
    let staging = &config.environments[&"staging".parse().unwrap()];
    assert_eq!(staging.registry.prefix.as_deref(), Some("acme"));
    assert_eq!(staging.update, Update::Auto);
    assert!(matches!(&staging.cluster, Some(Cluster::Kubeconfig(name)) if name.as_str() == "staging.yaml"));
    let live = &config.environments[&"live".parse().unwrap()];
    assert_eq!(live.cluster, Some(Cluster::None));
    assert_eq!(live.after.len(), 2);
    let web = &config.apps[&"web".parse().unwrap()];
    assert_eq!(config.interval_of(&web.images[&"web".parse().unwrap()]), Duration::from_mins(5));
    assert_eq!(config.interval_of(&web.images[&"proxy".parse().unwrap()]), Duration::from_secs(30));
    assert_eq!(staging.gates, Gates { min_age: Some(Duration::from_hours(2)), ..Gates::default() });
    let policy = |image: &str| &web.images[&image.parse().unwrap()];
    let sidecar = policy("ghcr.io/acme/sidecar");
    assert_eq!(sidecar.policy, Policy::Numerical { order: Order::Descending });
    assert_eq!(
        sidecar.filter.as_ref().map(ToString::to_string).as_deref(),
        Some("^main-[0-9a-f]+-(?P<ts>[0-9]+)$ → $ts")
    );
    let platforms: Vec<String> = sidecar.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8"]);
    assert_eq!(policy("letters").policy, Policy::Alphabetical { order: Order::Ascending });
    assert_eq!(policy("built").policy, Policy::Newest);
    assert_eq!(policy("moving").policy, Policy::Digest { tag: "latest".parse().unwrap() });
}

#[test]
fn a_repository_is_below_the_environments_registry_unless_it_is_a_full_reference() {
    let config = parse(FULL);
    let repository = |environment: &str, image: &str| {
        let app = "web".parse().unwrap();
        let found = config.repository(&environment.parse().unwrap(), &app, &image.parse().unwrap());
        found.map(|repository| repository.to_string())
    };
    assert_eq!(repository("local", "web").as_deref(), Some("localhost:5000/web"));
    assert_eq!(repository("staging", "web").as_deref(), Some("ghcr.io/acme/web"));
    assert_eq!(repository("staging", "proxy").as_deref(), Some("ghcr.io/acme/tools/proxy"));
    assert_eq!(repository("staging", "ghcr.io/acme/sidecar").as_deref(), Some("quay.io/acme/sidecar"));
    assert_eq!(repository("nowhere", "web"), None);
    assert_eq!(repository("local", "unknown"), None);
}

#[test]
fn the_overlay_is_the_path_with_the_environments_name() {
    let config = parse(FULL);
    let overlay =
        |app: &str, environment: &str| config.overlay(&app.parse().unwrap(), &environment.parse().unwrap());
    assert_eq!(overlay("web", "staging").as_deref(), Some("deploy/staging/web"));
    assert_eq!(overlay("web", "nowhere"), None);
    assert_eq!(overlay("unknown", "local"), None);
}

#[test]
fn scalars_are_text_whatever_yaml_1_1_makes_of_them() {
    let text = "version: 1\nenvironments: {on: {registry: 'localhost:5000'}, no: {registry: 0x1F.example}}\n\
                apps: {1e3: {path: 'y/{environment}', images: {2024: {policy: {semver: {range: 1.10}}}}}}\n";
    let config = parse(text);
    let names: Vec<String> = config.environments.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["no", "on"]);
    let image = &config.apps[&"1e3".parse().unwrap()].images[&"2024".parse().unwrap()];
    let Policy::Semver { range } = &image.policy else { panic!("{:?}", image.policy) };
    assert_eq!(range.to_string(), "1.10");
}

#[test]
fn an_alias_stands_for_the_value_that_it_names() {
    let text = "version: 1\nenvironments: {local: {registry: 'localhost:5000'}}\napps:\n  \
                a: {path: a, images: &images {web: {policy: {semver: {range: '*'}}}}}\n  b: {path: b, images: *images}\n";
    let config = parse(text);
    assert_eq!(config.apps[&"a".parse().unwrap()].images, config.apps[&"b".parse().unwrap()].images);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_problem() {
    parse(&format!("\u{feff}{}", SMALLEST.replace('\n', "\r\n")));
}

#[test]
fn a_marker_means_the_image_that_its_policy_is_named_after_unless_promote_yaml_says_otherwise() {
    let images =
        "images: {acme/web: {policy: {semver: {range: '*'}}}, proxy: {policy: {semver: {range: '*'}}}}";
    let markers = |markers: &str| {
        let app = format!("apps: {{web: {{path: web, markers: {markers}, {images}}}}}\n");
        let config = parse(&format!("version: 1\nenvironments: {{local: {{registry: 'a:1'}}}}\n{app}"));
        config.apps[&"web".parse().unwrap()].markers.clone()
    };
    assert_eq!(markers("false"), None);
    let all = markers("true").unwrap();
    let image = |markers: &Markers, policy: &str| markers.image(policy).map(ToString::to_string);
    assert_eq!(image(&all, "flux-system:web").as_deref(), Some("acme/web"));
    assert_eq!(image(&all, "other:proxy").as_deref(), Some("proxy"));
    assert_eq!(image(&all, "flux-system:acme/web"), None);
    assert_eq!(image(&all, "web"), None);
    let named = markers("{flux-system:site: acme/web}").unwrap();
    assert_eq!(image(&named, "flux-system:site").as_deref(), Some("acme/web"));
    assert_eq!(image(&named, "other:site"), None, "the namespace counts where it is written");
    assert_eq!(image(&named, "flux-system:web"), None, "an image that is named has no other name");
    assert_eq!(image(&named, "flux-system:proxy").as_deref(), Some("proxy"));
}
