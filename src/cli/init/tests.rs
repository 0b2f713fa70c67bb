//! What `promote init` makes of clones.
#![allow(clippy::unwrap_used)]

use super::*;

/// A clone with these files; returns its folder.
fn clone(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    folder
}

/// The draft, written into the clone; a second run must find nothing to do.
fn written(root: &Path) -> Draft {
    let first = draft(root, "promote.yaml", &|_| false).unwrap();
    for (path, (before, after)) in &first.files {
        replace(&root.join(path), before.is_some(), after).unwrap();
    }
    let second = draft(root, "promote.yaml", &|_| false).unwrap();
    assert_eq!(
        second.files.keys().collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "a second run changes nothing"
    );
    first
}

/// The text of a file of the draft.
fn text(draft: &Draft, path: &str) -> String {
    String::from_utf8(draft.files[path].1.clone()).unwrap()
}

fn notes(draft: &Draft) -> String {
    draft.notes.join("\n")
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  template:\n    spec:\n      containers:\n      \
         - name: {name}\n        image: {image}\n"
    )
}

fn marker(policy: &str) -> String {
    format!("# {{\"$imagepolicy\": \"{policy}\"}}")
}

#[test]
fn this_repositorys_own_tree_is_described_as_its_promote_yaml_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let draft = draft(root, "made.yaml", &|path| !path.starts_with("deploy")).unwrap();
    let made = Config::parse("made.yaml", text(&draft, "made.yaml").as_bytes()).unwrap();
    let own = Config::parse("promote.yaml", &fs_err::read(root.join("promote.yaml")).unwrap()).unwrap();
    assert_eq!(draft.files.len(), 1, "no entry is missing: {:?}", draft.files.keys());
    for (name, environment) in &own.environments {
        let found = &made.environments[name];
        assert_eq!((&found.registry, &found.deploy), (&environment.registry, &environment.deploy), "{name}");
        assert_eq!(found.after, environment.after, "{name}");
    }
    let folders = |config: &Config| -> Vec<String> {
        config.apps.iter().map(|(name, app)| format!("{name} {} {:?}", app.path, app.images.keys())).collect()
    };
    assert_eq!(folders(&made), folders(&own));
    insta::assert_snapshot!(text(&draft, "made.yaml"), @r###"
    version: 1
    environments:
      local:
        registry: k3d-registry:5000
        deploy: {flux: {kustomization: flux-system/apps}}
      aws:
        after: [local]
        registry: 111122223333.dkr.ecr.eu-west-1.amazonaws.com
        deploy: {flux: {kustomization: flux-system/apps}}
    apps:
      graphwiki:
        path: deploy/apps/graphwiki/overlays/{environment}
        images:
          graphwiki: {policy: {semver: {range: "*"}}}
      test-app:
        path: deploy/apps/test-app/overlays/{environment}
        images:
          test-app: {policy: {semver: {range: "*"}}}
    "###);
    insta::assert_snapshot!(notes(&draft), @r###"
    deploy/apps/test-app/weighted/next was left out, as its path names no environment; move it below overlays/ENVIRONMENT to have it promoted
    aws comes after local: guessed by their names, so correct `after` if it is otherwise
    "###);
}

/// As `flux bootstrap` and the guide of its image automation leave it, grown by a second cluster.
fn monorepo() -> tempfile::TempDir {
    let applied = |path: &str| {
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: apps\n  namespace: \
             flux-system\nspec:\n  interval: 10m0s\n  path: {path}\n  prune: true\n  sourceRef: {{kind: GitRepository, name: \
             flux-system}}\n"
        )
    };
    let policies = "apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: podinfo, namespace: flux-system}
spec:
  image: ghcr.io/stefanprodan/podinfo
  interval: 5m0s
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: podinfo, namespace: flux-system}
spec:
  imageRepositoryRef: {name: podinfo}
  policy: {semver: {range: 5.0.x}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: flux-system, namespace: flux-system}
spec:
  git:
    checkout: {ref: {branch: main}}
    commit: {author: {name: fluxcdbot, email: fluxcdbot@users.noreply.github.com}}
    push: {branch: main}
  update: {path: ./clusters/staging, strategy: Setters}
";
    let plain = marker("flux-system:podinfo");
    let podinfo = deployment("podinfo", &format!("ghcr.io/stefanprodan/podinfo:5.0.0 {plain}"));
    let entry = format!(
        "resources: [../base]\nimages:\n- name: ghcr.io/stefanprodan/podinfo\n  newTag: 5.0.0 {}\n",
        marker("flux-system:podinfo:tag")
    );
    clone(&[
        ("clusters/staging/apps.yaml", &applied("./apps/staging")),
        ("clusters/production/apps.yaml", &applied("./apps/production")),
        ("clusters/staging/images.yaml", policies),
        ("apps/base/kustomization.yaml", "resources: [deployment.yaml]\n"),
        ("apps/base/deployment.yaml", &podinfo.replace(&plain, "")),
        ("apps/staging/kustomization.yaml", &entry),
        ("apps/production/kustomization.yaml", "resources:\n- ../base\n"),
    ])
}

#[test]
fn a_monorepo_with_fluxs_image_automation_keeps_its_policies_and_markers() {
    let clone = monorepo();
    let draft = written(clone.path());
    insta::assert_snapshot!(text(&draft, "promote.yaml"), @r###"
    version: 1
    environments:
      staging:
        registry: ghcr.io/stefanprodan
        deploy: {flux: {kustomization: flux-system/apps}}
      production:
        after: [staging]
        registry: ghcr.io/stefanprodan
        deploy: {flux: {kustomization: flux-system/apps}}
    apps:
      podinfo:
        path: apps/{environment}
        markers: true
        images:
          ghcr.io/stefanprodan/podinfo: {repository: podinfo, policy: {semver: {range: "5.0.x"}}, interval: 5m}
    "###);
    insta::assert_snapshot!(notes(&draft), @r###"
    production comes after staging: guessed by their names, so correct `after` if it is otherwise
    suspend Flux's own automation before the daemon starts, or the two will write over each other: flux suspend image update flux-system --namespace flux-system
    "###);
    insta::assert_snapshot!(draft.patch().split("diff --git a/promote.yaml").next().unwrap(), @r###"
    diff --git a/apps/production/kustomization.yaml b/apps/production/kustomization.yaml
    index 61e17aa..7485d82 100644
    --- a/apps/production/kustomization.yaml
    +++ b/apps/production/kustomization.yaml
    @@ -1,2 +1,5 @@
     resources:
     - ../base
    +images:
    +- name: ghcr.io/stefanprodan/podinfo
    +  newTag: "5.0.0"
    "###);
}

#[test]
fn what_only_markers_hold_needs_no_entry() {
    let text_of =
        deployment("web", &format!("registry.example/acme/web:1.2.3 {}", marker("flux-system:site")));
    let clone = clone(&[
        ("clusters/dev/web/deployment.yaml", &text_of),
        ("clusters/dev/flux-system/sync.yaml", "a: b\n"),
    ]);
    let draft = written(clone.path());
    assert_eq!(draft.files.len(), 1);
    insta::assert_snapshot!(text(&draft, "promote.yaml"), @r###"
    version: 1
    environments:
      dev:
        registry: registry.example/acme
    apps:
      web:
        path: clusters/{environment}/web
        markers: {"flux-system:site": web}
        images:
          web: {policy: {semver: {range: "*"}}}
    "###);
}

#[test]
fn a_plain_kustomize_repository_gets_its_missing_entries() {
    let base = deployment("web", "acme.example/team/web:2.1.0");
    let clone = clone(&[
        ("web/base/kustomization.yaml", "resources: [deployment.yaml]\n"),
        ("web/base/deployment.yaml", &base),
        ("web/overlays/dev/kustomization.yaml", "# the first\nresources:\n  - ../../base\n"),
        ("web/overlays/prod/kustomization.yaml", "resources:\n  - ../../base\nnamePrefix: x-\n"),
    ]);
    let draft = written(clone.path());
    insta::assert_snapshot!(text(&draft, "promote.yaml"), @r###"
    version: 1
    environments:
      dev:
        registry: acme.example/team
      prod:
        after: [dev]
        registry: acme.example/team
    apps:
      web:
        path: web/overlays/{environment}
        images:
          acme.example/team/web: {repository: web, policy: {semver: {range: "*"}}}
    "###);
    insta::assert_snapshot!(notes(&draft), @r###"
    prod comes after dev: guessed by their names, so correct `after` if it is otherwise
    "###);
    assert_eq!(
        text(&draft, "web/overlays/dev/kustomization.yaml"),
        "# the first\nresources:\n  - ../../base\nimages:\n  - name: acme.example/team/web\n    newTag: \"2.1.0\"\n"
    );
}

#[test]
fn a_policy_that_promote_does_not_know_leaves_its_image_out_and_says_so() {
    let policy = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: a}\nspec: {image: r.io/a}\n---\n\
                  apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: a}\nspec: {imageRepositoryRef: \
                  {name: a}, policy: {unheard: {}}}\n";
    let overlay = "images: [{name: r.io/a, newTag: '1.0.0'}, {name: r.io/b, newTag: '1.0.0'}]\n";
    let clone = clone(&[("policies.yaml", policy), ("overlays/dev/kustomization.yaml", overlay)]);
    let draft = written(clone.path());
    assert!(!text(&draft, "promote.yaml").contains("r.io/a:"), "{}", text(&draft, "promote.yaml"));
    assert!(notes(&draft).contains("was left out, as promote can't follow it yet"), "{}", notes(&draft));
}

#[test]
fn what_an_image_repository_says_and_is_not_taken_over_is_noted() {
    let spec =
        "{image: r.io/a, exclusionList: ['-rc'], certSecretRef: {name: ca}, provider: azure, suspend: true}";
    let policy = format!(
        "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {{name: a}}\nspec: {spec}\n---\n\
         apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: a}}\nspec: {{imageRepositoryRef: \
         {{name: a}}, policy: {{semver: {{range: '*'}}}}}}\n"
    );
    let overlay = "images: [{name: r.io/a, newTag: '1.0.0'}]\n";
    let clone = clone(&[("policies.yaml", &policy), ("overlays/dev/kustomization.yaml", overlay)]);
    let notes = notes(&written(clone.path()));
    for words in ["exclusionList", "certSecretRef", "a provider", "suspend: true"] {
        assert!(
            notes.contains(&format!("the ImageRepository flux-system/a has {words}")),
            "{words}: {notes}"
        );
    }
}

#[test]
fn a_clone_without_apps_is_refused_with_what_was_looked_for() {
    let clone = clone(&[("README.yaml", "a: b\n"), ("charts/x/templates/a.yaml", "{{ if }}\n")]);
    let refused = draft(clone.path(), "promote.yaml", &|_| false).unwrap_err();
    assert!(refused.starts_with("no app was found: no kustomization below "), "{refused}");
}

#[test]
fn a_broken_promote_yaml_is_to_be_mended_first() {
    let clone = clone(&[("promote.yaml", "version: 2\n")]);
    let refused = draft(clone.path(), "promote.yaml", &|_| false).unwrap_err();
    assert!(refused.starts_with("promote.yaml is not valid; mend it first\npromote.yaml:1:1: "), "{refused}");
}

#[test]
#[cfg(unix)]
fn no_symbolic_link_is_followed_out_of_the_clone() {
    let outside =
        clone(&[("overlays/dev/kustomization.yaml", "images: [{name: r.io/a, newTag: '1.0.0'}]\n")]);
    let clone = clone(&[("a.yaml", "a: b\n")]);
    std::os::unix::fs::symlink(outside.path().join("overlays"), clone.path().join("overlays")).unwrap();
    assert!(draft(clone.path(), "promote.yaml", &|_| false).is_err(), "the folder behind the link was read");
    std::os::unix::fs::symlink(outside.path().join("nothing"), clone.path().join("promote.yaml")).unwrap();
    let refused = draft(clone.path(), "promote.yaml", &|_| false).unwrap_err();
    assert_eq!(refused, "promote.yaml is no regular file; put the file itself there");
}

#[test]
fn hostile_texts_in_manifests_end_up_in_quotes_or_not_at_all() {
    let overlay = "images:\n- {name: 'r.io/a', newName: \"r.io/x\\\"\\n  evil: true\", newTag: '1'}\n";
    let clone = clone(&[("overlays/dev/kustomization.yaml", overlay)]);
    match draft(clone.path(), "promote.yaml", &|_| false) {
        Ok(draft) => {
            assert!(!text(&draft, "promote.yaml").contains("\n  evil"), "{}", text(&draft, "promote.yaml"));
        }
        Err(words) => assert!(words.contains("not valid") || words.contains("no app"), "{words}"),
    }
}
