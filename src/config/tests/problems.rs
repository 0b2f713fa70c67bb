//! Every problem with its exact words.

use super::super::*;
use super::{SMALLEST, problems, with_environment, with_image, with_lines};

/// Two apps whose folders meet in one environment.
const TWICE: &str = "version: 1
environments: {a: {registry: 'x:1'}, b: {registry: 'x:1'}}
apps:
  one: {path: 'x/{environment}/b', images: {i: {policy: {semver: {range: '*'}}}}}
  two: {path: 'x/b/{environment}', images: {i: {policy: {semver: {range: '*'}}}}}
";

#[test]
fn a_problem_is_told_with_the_files_name() {
    let problems = Config::parse("promote.yaml", with_lines("intervall: 5m\n").as_bytes()).unwrap_err();
    assert_eq!(problems.to_string(), "promote.yaml:4:1: intervall: unknown key; did you mean \"interval\"?");
}

#[test]
fn every_problem_of_a_file_is_told_in_order_of_line() {
    let text = r#"interval: 5
version: 1
environments:
  local:
    registry: https://localhost:5000
    gates: {soak: 1h}
  aws:
    after: [locl]
    registry: ghcr.io/acme
    verify: {timeout: soon}
apps:
  web:
    path: /deploy
    images:
      web: {policy: {semver: {rnage: "1.x"}}}
"#;
    assert_eq!(
        problems(text),
        [
            "1:11: interval: not a duration (got \"5\"); write it like 90s, 5m or 1h30m, at least 1s",
            "5:15: environments.local.registry: carries a scheme (got \"https://localhost:5000\"); write \
             host[:port][/path]",
            "6:13: environments.local.gates.soak: is not supported yet; remove it",
            "8:13: environments.aws.after[0]: no such environment (got \"locl\"); did you mean \"local\"?",
            "10:23: environments.aws.verify.timeout: not a duration (got \"soon\"); write it like 90s, 5m or 1h30m, \
             at least 1s",
            "13:11: apps.web.path: an absolute path (got \"/deploy\"); write it relative to the repository's root",
            "15:30: apps.web.images.web.policy.semver: `range` is missing; add `range: \">=1.0.0\"`",
            "15:31: apps.web.images.web.policy.semver.rnage: unknown key; did you mean \"range\"?",
        ]
    );
}

#[test]
fn text_that_is_not_utf_8_is_told_where() {
    let problems = Config::parse("promote.yaml", b"version: 1\ngit: \xff\n").unwrap_err();
    assert_eq!(problems.to_string(), "promote.yaml:2:6: the file is not UTF-8 text; save it as UTF-8");
}

#[test]
fn a_hostile_file_name_and_key_can_not_move_the_terminals_cursor() {
    let problems =
        Config::parse("a\u{1b}[2J", b"\"\\e[2J\": 1\nversion: 1\nenvironments: {}\napps: {}\n").unwrap_err();
    assert!(!problems.to_string().contains('\u{1b}'));
}

#[test]
fn an_empty_file_is_told_how_to_start() {
    assert_eq!(problems(""), ["1:1: the file is empty; start it with `version: 1`"]);
    assert_eq!(problems("# only a comment\n"), ["1:1: the file is empty; start it with `version: 1`"]);
    assert_eq!(problems("---\n"), ["1:1: the file is empty; start it with `version: 1`"]);
}

#[test]
fn a_file_that_is_no_yaml_is_told_where() {
    assert_eq!(
        problems("a: [1\n"),
        ["1:4: not valid YAML: unclosed bracket '['; correct this line or the one before it"]
    );
    assert_eq!(
        problems("a: b: c\n"),
        [
            "1:5: not valid YAML: mapping values are not allowed in this context; correct this line or the one before it"
        ]
    );
    assert_eq!(
        problems("a: *b\n"),
        [
            "1:4: not valid YAML: while parsing node, found unknown anchor; correct this line or the one before it"
        ]
    );
}

#[test]
fn a_tab_in_the_indentation_is_named() {
    assert_eq!(problems("a:\n\tb: 1\n"), ["2:2: a tab indents this line; use spaces"]);
}

#[test]
fn a_second_document_is_a_problem() {
    assert_eq!(
        problems(&(SMALLEST.to_owned() + "---\nb: 1\n")),
        ["14:1: a second document starts here; keep one document in the file"]
    );
}

#[test]
fn the_top_must_be_a_mapping() {
    assert_eq!(
        problems("- a\n"),
        [
            "1:1: expected a mapping, got a list; its keys are version, interval, git, registries, receivers, environments, apps"
        ]
    );
    assert_eq!(
        problems("text\n"),
        [
            "1:1: expected a mapping, got text; its keys are version, interval, git, registries, receivers, environments, apps"
        ]
    );
}

#[test]
fn an_unknown_key_is_told_the_nearest_known_one() {
    assert_eq!(
        problems(&with_lines("intervall: 5m\n")),
        ["4:1: intervall: unknown key; did you mean \"interval\"?"]
    );
    assert_eq!(problems(&with_lines("Apps: {}\n")), ["4:1: Apps: unknown key; did you mean \"apps\"?"]);
    assert_eq!(
        problems(&with_lines("colour: red\n")),
        [
            "4:1: colour: unknown key; known here: version, interval, git, registries, receivers, environments, apps"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', verify: {onfailure: hold}")),
        ["4:37: environments.local.verify.onfailure: unknown key; did you mean \"onFailure\"?"]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, filtertags: {}")),
        ["3:72: apps.web.images.web.filtertags: unknown key; did you mean \"filterTags\"?"]
    );
}

#[test]
fn a_credential_is_told_where_it_belongs_and_not_shown() {
    assert_eq!(
        problems(&with_lines("password: hunter2\n")),
        [
            "4:1: password: unknown key; credentials don't stand in this file, use --registry-credentials or --git-credentials"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', registryToken: hunter2")),
        [
            "4:28: environments.local.registryToken: unknown key; credentials don't stand in this file, use --registry-credentials or --git-credentials"
        ]
    );
}

#[test]
fn a_duplicate_key_is_told_with_both_lines() {
    assert_eq!(
        problems(&with_lines("version: 1\n")),
        ["4:1: the key \"version\" already stands in line 1; remove one of the two"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', after: [], after: []")),
        ["4:39: environments.local: the key \"after\" already stands in line 4; remove one of the two"]
    );
}

#[test]
fn merge_keys_tags_and_keys_that_are_no_text_are_refused() {
    assert_eq!(
        problems(&with_lines("<<: {a: b}\n")),
        ["4:1: merge keys (<<) are not supported; write the keys out"]
    );
    assert_eq!(
        problems(&with_lines("? [a]\n: b\n")),
        ["4:3: a key must be plain text; a list or a mapping can't be one"]
    );
    assert_eq!(
        problems(&with_lines("interval: !x 5m\n")),
        ["4:14: interval: a YAML tag changes the meaning of this value; remove it"]
    );
}

#[test]
fn a_missing_key_is_told_with_an_example() {
    assert_eq!(
        problems("interval: 1m\n"),
        [
            "1:1: `version` is missing; add `version: 1`",
            "1:1: `environments` is missing; add `environments: {NAME: {registry: HOST[:PORT]}}`",
            "1:1: `apps` is missing; add `apps: {NAME: {path: PATH, images: {NAME: …}}}`"
        ]
    );
    assert_eq!(
        problems(&with_environment("")),
        ["4:10: environments.local: `registry` is missing; add `registry: HOST[:PORT][/PATH]`"]
    );
    assert_eq!(
        problems(&with_image("")),
        ["3:39: apps.web.images.web: `policy` is missing; add `policy: {semver: {range: \">=1.0.0\"}}`"]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {}}")),
        ["3:57: apps.web.images.web.policy.semver: `range` is missing; add `range: \">=1.0.0\"`"]
    );
    assert_eq!(
        problems(&with_image("policy: {}")),
        ["3:48: apps.web.images.web.policy: `semver` is missing; add `semver: {range: \">=1.0.0\"}`"]
    );
    assert_eq!(
        problems(&SMALLEST.replace("    path: deploy/apps/graphwiki/overlays/{environment}\n", "")),
        ["11:5: apps.graphwiki: `path` is missing; add `path: deploy/apps/NAME/overlays/{environment}`"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {}")),
        ["4:36: environments.local.deploy: `flux` is missing; add `flux: {kustomization: NAMESPACE/NAME}`"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {flux: {}}")),
        [
            "4:43: environments.local.deploy.flux: `kustomization` is missing; add `kustomization: NAMESPACE/NAME`"
        ]
    );
}

#[test]
fn there_is_at_least_one_environment_app_and_image() {
    assert_eq!(
        problems("version: 1\nenvironments: {}\napps: {a: {path: a, images: {}}}\n"),
        [
            "2:15: environments: has no environment; add `NAME: {registry: HOST[:PORT]}`",
            "3:29: apps.a.images: has no image; add `NAME: {policy: {semver: {range: \">=1.0.0\"}}}`"
        ]
    );
    assert_eq!(problems(&SMALLEST.replace("  graphwiki:\n    path: deploy/apps/graphwiki/overlays/{environment}\n    images:\n      graphwiki: {policy: {semver: {range: \">=1.0.0\"}}}\n", "  {}\n")), ["10:3: apps: has no app; add `NAME: {path: PATH, images: {NAME: …}}`"]);
}

#[test]
fn the_version_is_1() {
    assert_eq!(
        problems(&SMALLEST.replace("version: 1", "version: 2")),
        ["1:10: version: unknown version (got \"2\"); write 1"]
    );
}

#[test]
fn a_wrong_type_is_told_with_the_right_one() {
    assert_eq!(
        problems(&with_lines("git: []\n")),
        ["4:6: git: expected a mapping, got a list; its keys are branch, author"]
    );
    assert_eq!(
        problems(&with_lines("git:\n")),
        ["4:1: git: expected a mapping, got nothing; its keys are branch, author"]
    );
    assert_eq!(
        problems(&with_lines("git: text\n")),
        ["4:6: git: expected a mapping, got text; its keys are branch, author"]
    );
    assert_eq!(problems(&with_lines("interval: [1m]\n")), ["4:11: interval: expected text, got a list"]);
    assert_eq!(
        problems(&with_lines("interval:\n")),
        ["4:1: interval: expected text, got nothing; write a value or remove the key"]
    );
    assert_eq!(
        problems(&with_lines("registries: []\n")),
        ["4:13: registries: expected a mapping, got a list"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', after: local")),
        ["4:35: environments.local.after: expected a list, got text; write it like [one, two]"]
    );
    assert_eq!(
        problems(&with_image("policy: ~")),
        [
            "3:40: apps.web.images.web.policy: expected a mapping, got nothing; its keys are semver, numerical, alphabetical, newest, digest"
        ]
    );
    assert_eq!(
        problems(&with_lines("registries: {a: {insecure: {}}}\n")),
        ["4:28: registries.a.insecure: expected true or false, got a mapping"]
    );
}

#[test]
fn only_true_and_false_are_booleans() {
    assert_eq!(
        problems(&with_lines("registries: {a: {insecure: yes}}\n")),
        ["4:28: registries.a.insecure: expected true or false, without quotes (got \"yes\")"]
    );
    assert_eq!(
        problems(&with_lines("registries: {a: {insecure: 'true'}}\n")),
        ["4:28: registries.a.insecure: expected true or false, without quotes (got \"true\")"]
    );
}

#[test]
fn a_duration_is_told_its_form_and_minimum() {
    assert_eq!(
        problems(&with_lines("interval: 5\n")),
        ["4:11: interval: not a duration (got \"5\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_lines("interval: 0\n")),
        ["4:11: interval: not a duration (got \"0\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_lines("interval: -1s\n")),
        ["4:11: interval: not a duration (got \"-1s\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_lines("interval: 1h1\n")),
        ["4:11: interval: not a duration (got \"1h1\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_lines("interval: 500ms\n")),
        ["4:11: interval: too short (got \"500ms\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_lines("interval: 9000h\n")),
        ["4:11: interval: longer than 8760h (got \"9000h\"); write it like 90s, 5m or 1h30m, at least 1s"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', verify: {timeout: 0s, stableFor: 1}")),
        [
            "4:46: environments.local.verify.timeout: too short (got \"0s\"); write it like 90s, 5m or 1h30m, at least 1s",
            "4:61: environments.local.verify.stableFor: not a duration (got \"1\"); write it like 90s, 5m or 1h30m, at least 0s"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, interval: 0s")),
        [
            "3:82: apps.web.images.web.interval: too short (got \"0s\"); write it like 90s, 5m or 1h30m, at least 1s"
        ]
    );
}

#[test]
fn a_branch_is_a_legal_git_branch() {
    assert_eq!(
        problems(&with_lines("git: {branch: 'a..b'}\n")),
        ["4:15: git.branch: not a legal Git branch (got \"a..b\"); write one like main"]
    );
    assert_eq!(
        problems(&with_lines("git: {branch: '-x'}\n")),
        ["4:15: git.branch: not a legal Git branch (got \"-x\"); write one like main"]
    );
}

#[test]
fn an_author_fits_into_a_commit() {
    assert_eq!(
        problems(&with_lines("git: {author: {name: '<a>', email: ''}}\n")),
        [
            "4:22: git.author.name: not legal in a commit's author (got \"<a>\"); write up to 200 characters without < >",
            "4:36: git.author.email: not legal in a commit's author (got \"\"); write up to 200 characters without < >"
        ]
    );
}

#[test]
fn a_registry_has_neither_scheme_nor_credentials() {
    assert_eq!(
        problems(&with_environment("registry: 'https://user:hunter2@ghcr.io'")),
        [
            "4:21: environments.local.registry: carries credentials (got \"https://***@ghcr.io\"); remove them and use --registry-credentials"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'hunter2@ghcr.io'")),
        [
            "4:21: environments.local.registry: carries credentials (got \"***@ghcr.io\"); remove them and use --registry-credentials"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'https://ghcr.io'")),
        [
            "4:21: environments.local.registry: carries a scheme (got \"https://ghcr.io\"); write host[:port][/path]"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'http://ghcr.io'")),
        [
            "4:21: environments.local.registry: carries a scheme (got \"http://ghcr.io\"); write host[:port][/path], and plain HTTP as `registries: {HOST: {insecure: true}}`"
        ]
    );
    assert_eq!(
        problems(&with_lines("registries: {'https://u:hunter2@x.y': {}}\n")),
        [
            "4:14: registries.\"https://***@x.y\": carries credentials (got \"https://***@x.y\"); remove them and use --registry-credentials"
        ]
    );
}

#[test]
fn a_registry_is_a_host_with_an_optional_port_and_path() {
    assert_eq!(
        problems(&with_environment("registry: 'ghcr.io/Acme'")),
        [
            "4:21: environments.local.registry: not a registry (got \"ghcr.io/Acme\"); write host[:port][/path]"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'ghcr.io/'")),
        ["4:21: environments.local.registry: not a registry (got \"ghcr.io/\"); write host[:port][/path]"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'ghcr.io:x'")),
        ["4:21: environments.local.registry: not a registry (got \"ghcr.io:x\"); write host[:port][/path]"]
    );
    assert_eq!(
        problems(&with_lines("registries: {ghcr.io/a: {}}\n")),
        [
            "4:14: registries.\"ghcr.io/a\": not a registry (got \"ghcr.io/a\"); write host[:port], without a path"
        ]
    );
    assert_eq!(
        problems(&with_lines("registries: {a: {ca: ../x}}\n")),
        [
            "4:22: registries.a.ca: not the name of a secret (got \"../x\"); write the name of a file below --secrets, without a path"
        ]
    );
    assert_eq!(
        problems(&with_lines("registries: {a: {insecure: true, ca: x}}\n")),
        [
            "4:38: registries.a.ca: of no use with `insecure: true`, which is plain HTTP; remove one of the two"
        ]
    );
    assert_eq!(
        problems(&with_lines("registries: {A: {}, a: {}}\n")),
        ["4:21: registries.a: named twice, in other letter case; remove one of the two"]
    );
}

#[test]
fn a_registry_that_nodes_would_look_for_on_docker_hub_is_refused() {
    assert_eq!(
        problems(&with_environment("registry: acme")),
        [
            "4:21: environments.local.registry: container runtimes read a first part without a dot or a port as a folder of Docker Hub (got \"acme\"); add the port, or write docker.io/acme"
        ]
    );
}

#[test]
fn names_follow_their_grammar() {
    assert_eq!(
        problems(&SMALLEST.replace("local:", "Local:").replace("[local]", "[]")),
        [
            "3:3: environments.Local: not an environment name (got \"Local\"); use up to 63 lower-case letters, digits and inner hyphens"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("  graphwiki:\n", "  graph_wiki:\n")),
        [
            "10:3: apps.graph_wiki: not an app name (got \"graph_wiki\"); use up to 63 lower-case letters, digits and inner hyphens"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("      graphwiki:", "      -graphwiki:")),
        [
            "13:7: apps.graphwiki.images.-graphwiki: not an image name (got \"-graphwiki\"); use up to 255 letters, digits and inner . _ - / :"
        ]
    );
}

#[test]
fn a_cluster_is_one_of_the_known_kinds() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {}")),
        ["4:37: environments.local.cluster: expected one of context and kubeconfig; write `{context: NAME}`"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {context: a, kubeconfig: b}")),
        ["4:37: environments.local.cluster: expected one of context and kubeconfig; write `{context: NAME}`"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: something")),
        ["4:37: environments.local.cluster: expected a mapping, got text; its keys are context, kubeconfig"]
    );
    assert_eq!(
        problems(&with_environment(
            "registry: 'a:1', cluster: {context: ''}, deploy: {flux: {kustomization: a/b}}"
        )),
        [
            "4:47: environments.local.cluster.context: not a context (got \"\"); write a name that `kubectl config get-contexts` lists"
        ]
    );
}

#[test]
fn a_secret_is_named_and_never_located() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {kubeconfig: ../x}")),
        [
            "4:50: environments.local.cluster.kubeconfig: not the name of a secret (got \"../x\"); write the name of a file below --secrets, without a path"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {kubeconfig: /etc/passwd}")),
        [
            "4:50: environments.local.cluster.kubeconfig: not the name of a secret (got \"/etc/passwd\"); write the name of a file below --secrets, without a path"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {kubeconfig: .hidden}")),
        [
            "4:50: environments.local.cluster.kubeconfig: not the name of a secret (got \".hidden\"); write the name of a file below --secrets, without a path"
        ]
    );
}

#[test]
fn a_cluster_and_what_is_deployed_there_need_each_other() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {context: a}")),
        [
            "4:37: environments.local.cluster: nothing says what is deployed there; add `deploy: {flux: {kustomization: NAMESPACE/NAME}}`"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: none, deploy: {flux: {kustomization: a/b}}")),
        [
            "4:51: environments.local.deploy: can't be watched with `cluster: none`; write `cluster: {context: NAME}` or remove `deploy`"
        ]
    );
}

#[test]
fn a_kustomization_has_a_namespace_and_a_name() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {flux: {kustomization: apps}}")),
        [
            "4:59: environments.local.deploy.flux.kustomization: not a Kustomization (got \"apps\"); write NAMESPACE/NAME, like flux-system/apps"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {flux: {kustomization: A/b}}")),
        [
            "4:59: environments.local.deploy.flux.kustomization: not a Kustomization (got \"A/b\"); write NAMESPACE/NAME, like flux-system/apps"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {flux: {kustomization: a/b/c}}")),
        [
            "4:59: environments.local.deploy.flux.kustomization: not a Kustomization (got \"a/b/c\"); write NAMESPACE/NAME, like flux-system/apps"
        ]
    );
}

#[test]
fn an_unknown_word_is_told_the_known_ones() {
    assert_eq!(
        problems(&with_environment("registry: 'a:1', update: always")),
        ["4:36: environments.local.update: unknown value (got \"always\"); write auto or manual"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', publish: pull")),
        ["4:37: environments.local.publish: unknown value (got \"pull\"); write push"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', publish: {}")),
        ["4:37: environments.local.publish: expected text, got a mapping; write push"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', verify: {onFailure: maybe}")),
        ["4:48: environments.local.verify.onFailure: unknown value (got \"maybe\"); write rollback or hold"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', verify: {mesh: cilium}")),
        ["4:43: environments.local.verify.mesh: unknown value (got \"cilium\"); write auto or istio or none"]
    );
}

#[test]
fn after_names_environments_that_exist_once() {
    assert_eq!(
        problems(&SMALLEST.replace("[local]", "[lokal]")),
        ["7:13: environments.aws.after[0]: no such environment (got \"lokal\"); did you mean \"local\"?"]
    );
    assert_eq!(
        problems(&SMALLEST.replace("[local]", "[nowhere]")),
        ["7:13: environments.aws.after[0]: no such environment (got \"nowhere\"); known here: aws, local"]
    );
    assert_eq!(
        problems(&SMALLEST.replace("[local]", "[local, local]")),
        ["7:20: environments.aws.after[1]: \"local\" is named twice; remove one of the two"]
    );
    assert_eq!(
        problems(&SMALLEST.replace("[local]", "[[]]")),
        ["7:13: environments.aws.after[0]: expected text, got a list"]
    );
}

#[test]
fn a_cycle_is_named() {
    assert_eq!(
        problems(&SMALLEST.replace("registry: localhost:5000", "registry: localhost:5000\n    after: [aws]")),
        ["5:13: environments.local.after[0]: a cycle: aws after local after aws; remove one of these"]
    );
    assert_eq!(
        problems(&SMALLEST.replace("[local]", "[aws]")),
        ["7:13: environments.aws.after[0]: a cycle: aws after aws; remove one of these"]
    );
}

#[test]
fn a_path_stays_below_the_repository() {
    assert_eq!(
        problems(&SMALLEST.replace("deploy/apps/", "/deploy/")),
        [
            "11:11: apps.graphwiki.path: an absolute path (got \"/deploy/graphwiki/overlays/{environment}\"); write it relative to the repository's root"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("deploy/apps/", "../")),
        [
            "11:11: apps.graphwiki.path: leads out of its folder with .. (got \"../graphwiki/overlays/{environment}\"); write a path below the repository's root"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("deploy/apps/", "a//")),
        [
            "11:11: apps.graphwiki.path: has an empty part or a . part (got \"a//graphwiki/overlays/{environment}\"); write a path like deploy/apps/web"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("deploy/apps/", "./")),
        [
            "11:11: apps.graphwiki.path: has an empty part or a . part (got \"./graphwiki/overlays/{environment}\"); write a path like deploy/apps/web"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("deploy/apps/", "a\\\\b/")),
        [
            "11:11: apps.graphwiki.path: has a backslash or a control character (got \"a\\\\b/graphwiki/overlays/{environment}\"); join the parts by /"
        ]
    );
}

#[test]
fn environments_do_not_share_a_folder() {
    assert_eq!(
        problems(&SMALLEST.replace("/{environment}", "")),
        [
            "11:11: apps.graphwiki.path: 2 environments would share one folder (got \"deploy/apps/graphwiki/overlays\"); put {environment} into the path"
        ]
    );
    assert_eq!(
        problems(&SMALLEST.replace("{environment}", "{env}")),
        [
            "11:11: apps.graphwiki.path: has an unknown placeholder (got \"deploy/apps/graphwiki/overlays/{env}\"); only {environment} is known"
        ]
    );
}

#[test]
fn two_policies_do_not_write_the_same_image() {
    assert_eq!(
        problems(TWICE),
        [
            "5:48: apps.two.images.i: app one in b and app two in b write the same image in \"x/b/b\"; remove one of the two"
        ]
    );
}

#[test]
fn a_repository_has_no_scheme_tag_or_digest() {
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'https://x.y/z'")),
        [
            "3:84: apps.web.images.web.repository: carries a scheme (got \"https://x.y/z\"); write NAME or host[:port]/NAME"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'app:1'")),
        [
            "3:84: apps.web.images.web.repository: carries a tag or a digest (got \"app:1\"); remove it, the policy elects the version"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'app@sha256:00'")),
        [
            "3:84: apps.web.images.web.repository: carries a tag or a digest (got \"app@sha256:00\"); remove it, the policy elects the version"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'x.y:1/App'")),
        [
            "3:84: apps.web.images.web.repository: not a repository (got \"x.y:1/App\"); write lower-case letters, digits and inner . _ - in parts joined by /"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'App'")),
        [
            "3:84: apps.web.images.web.repository: not a repository (got \"App\"); write lower-case letters, digits and inner . _ - in parts joined by /"
        ]
    );
    assert_eq!(
        problems(&with_image("policy: {semver: {range: '*'}}, repository: 'u:hunter2@x.y/z'")),
        [
            "3:84: apps.web.images.web.repository: carries credentials (got \"***@x.y/z\"); remove them and use --registry-credentials"
        ]
    );
}

#[test]
fn an_images_name_that_is_a_full_reference_needs_a_repository() {
    assert_eq!(
        problems(
            &with_image("policy: {semver: {range: '*'}}")
                .replace("{web: {policy", "{ghcr.io/acme/web: {policy")
        ),
        [
            "3:52: apps.web.images.\"ghcr.io/acme/web\": the image's name can't stand for a repository below the environment's registry; add `repository: NAME`"
        ]
    );
}

#[test]
fn a_repository_below_its_registry_is_not_too_long() {
    assert_eq!(
        problems(
            &with_image("policy: {semver: {range: '*'}}")
                .replace("localhost:5000", &format!("localhost:5000/{}", "p".repeat(253)))
        ),
        [
            "3:39: apps.web.images.web: longer than 255 bytes below the registry of local (got \"web\"); shorten one of the two"
        ]
    );
}

#[test]
fn a_range_is_told_what_is_wrong() {
    let told = problems(&with_image("policy: {semver: {range: '>=one'}}"));
    let start = "3:65: apps.web.images.web.policy.semver.range: not a version range (got \">=one\"); ";
    assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
}

#[test]
fn what_is_not_supported_yet_is_said_to_be_so() {
    assert_eq!(
        problems(&with_lines("evidence: {key: k}\n")),
        ["4:1: evidence: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_lines("notifications: []\n")),
        ["4:1: notifications: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_lines("git: {message: x, signing: {}}\n")),
        [
            "4:7: git.message: is not supported yet; remove it",
            "4:19: git.signing: is not supported yet; remove it"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', cluster: {eks: {}}")),
        ["4:38: environments.local.cluster.eks: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {argocd: {}}")),
        ["4:37: environments.local.deploy.argocd: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', deploy: {flux: {kustomization: a/b, receiverUrl: x}}")),
        ["4:64: environments.local.deploy.flux.receiverUrl: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', publish: {pullRequest: {}}")),
        ["4:38: environments.local.publish.pullRequest: is not supported yet; remove it"]
    );
    assert_eq!(
        problems(&with_environment(
            "registry: 'a:1', gates: {soak: 1h, windows: {}, approvals: {count: 1, allowedSigners: a}, signature: {}, provenance: {}, evidence: {}}"
        )),
        [
            "4:36: environments.local.gates.soak: is not supported yet; remove it",
            "4:46: environments.local.gates.windows: is not supported yet; remove it",
            "4:81: environments.local.gates.approvals.allowedSigners: is not supported yet; remove it",
            "4:101: environments.local.gates.signature: is not supported yet; remove it",
            "4:116: environments.local.gates.provenance: is not supported yet; remove it",
            "4:132: environments.local.gates.evidence: is not supported yet; remove it"
        ]
    );
    assert_eq!(
        problems(&with_environment("registry: 'a:1', verify: {mesh: linkerd}")),
        ["4:43: environments.local.verify.mesh: is not supported yet; remove it"]
    );
}
