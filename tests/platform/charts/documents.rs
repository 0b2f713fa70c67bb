//! What it tells people.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{KUBERNETES, MINIMAL, NONE, TWO};
use crate::command::{self, root, tools};
use crate::manifests::{parse, the, word};

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join("charts/promoted").join(file)).unwrap()
}

/// The paths of all values, as they are written after `--set`.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(value, &path, found);
            }
        }
        _ => _ = found.insert(path.to_owned()),
    }
}

#[test]
fn every_value_is_in_the_readme_and_no_other() {
    let mut values = BTreeSet::new();
    paths(&parse(&read("values.yaml"))[0], "", &mut values);
    let readme = read("README.md");
    let (_, table) = readme.split_once("## Values").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<String> = rows.map(|(path, _)| path.to_owned()).collect();
    assert_eq!(documented, values);
}

/// The notes as Helm renders them. Only an installation shows them, so a copy of the chart has them in a `ConfigMap`.
fn notes(values: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("promoted");
    let templates = chart.join("templates");
    std::fs::create_dir_all(&templates).unwrap();
    for file in ["Chart.yaml", "values.yaml", "values.schema.json", "templates/_helpers.tpl"] {
        std::fs::write(chart.join(file), read(file)).unwrap();
    }
    let text = read("templates/NOTES.txt");
    let wrapped = format!(
        "{{{{- define \"notes\" -}}}}\n{text}{{{{- end -}}}}\napiVersion: v1\nkind: ConfigMap\n\
         metadata: {{name: notes}}\ndata:\n  text: |\n{{{{ include \"notes\" . | indent 4 }}}}\n"
    );
    std::fs::write(templates.join("notes.yaml"), wrapped).unwrap();
    let mut helm = std::process::Command::new(tools().join("bin/helm"));
    helm.args(["template", "promoted", "--namespace", "gitops", "--kube-version", KUBERNETES]).arg(&chart);
    for value in values {
        helm.args(["--set", value]);
    }
    let rendered = parse(&command::run(&mut helm, "run tests/platform/build.sh").passed().stdout);
    word(&the(&rendered, "ConfigMap")["data"]["text"]).to_owned()
}

#[test]
fn the_notes_say_how_to_see_it_run() {
    let one = notes(MINIMAL);
    assert!(one.starts_with(
        "promoted follows promote.yaml of https://git.example.org/deploy.git, for all environments.\n"
    ));
    assert!(one.contains("kubectl --namespace gitops logs deployment/promoted --follow"), "{one}");
    assert!(one.contains("It has no Git credentials"), "{one}");
    assert!(!one.contains("get lease"), "{one}");

    let two =
        notes(&[TWO, &["branch=main", "environments={local,aws}", "gitCredentials.secretName=git"]].concat());
    assert!(two.contains("deploy.git, branch main, for local, aws.\n"), "{two}");
    assert!(two.contains("kubectl --namespace gitops get lease promoted"), "{two}");
    assert!(!two.contains("It has no Git credentials"), "{two}");
    assert!(notes(NONE).contains("There is no admission policy of this chart"));
}
