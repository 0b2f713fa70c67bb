//! What the library writes into a kustomization is what the real kustomize renders, whatever the file and the tag look like.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use promote::edit::{Written, set_image, set_markers};
use promote::model::Image;

/// The generator of the edits' own tests.
#[allow(dead_code, reason = "those tests read more of it")]
#[path = "../../src/edit/generate.rs"]
mod generate;

use self::generate::{Dice, file, image as generated_image, rendered as text};
use crate::command;
use crate::deploy::kubectl;
use crate::manifests::{self, containers, name, templates, word};

/// Tags that some reader of YAML could take for something else than text, and ordinary ones.
const TAGS: [&str; 26] = [
    "1.20",
    "1e3",
    "1E3",
    "0x1F",
    "017",
    "0o17",
    "1_000",
    "0b11",
    "190",
    "12e4567",
    "20240101",
    "2024-01-01",
    "2001-1-1",
    "yes",
    "N",
    "on",
    "off",
    "true",
    "null",
    "nan",
    "Inf",
    "_1",
    "1.2.3",
    "v1",
    "1.2.3-rc.1_2",
    "main-0a1b2c3",
];

/// Kustomizations as people write them; `BASE` stands for what they build on, `ID` for what tells them apart.
const FILES: [&str; 16] = [
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newName: old/a\n  newTag: v0\n  digest: sha256:0\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newTag: '1.0' # c\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newTag: \"1.0\"\n  newName: \"old/a\"\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a",
    "resources:\r\n- BASE\r\nnamePrefix: ID-\r\nimages:\r\n- name: a # ü\r\n  newTag: v0\r\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages: [{name: a, newTag: v0}, {name: b, newTag: v0}]\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- { name: a }  # c\n",
    "{\"resources\": [\"BASE\"], \"namePrefix\": \"ID-\", \"images\": [{\"name\": \"a\"}]}",
    "resources: [BASE]\nnamePrefix: ID-\ncommonAnnotations:\n  v: &v v0\nimages:\n- name: a\n  newTag: *v\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newTag: &v v0\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n    -   name: a\n        newTag:\n          v0\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n-\n      newTag:   # c\n      name: 'a'\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newTag: ~\n- name: b\n  newTag: \"1.0\"\n",
    "resources: [BASE]\nnamePrefix: ID-\nimages:\n- newTag: !!str 1.0\n  name: a\n\n# the end\n",
    "# größe 🎉\n---\nresources: [BASE]\nnamePrefix: ID-\nimages:\n- name: a\n  newTag: v0\n",
];

const BASE: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: x
        image: a
";

fn image(tag: &str) -> Image {
    format!("registry.example:5000/team/a:{tag}@sha256:{}", "a".repeat(64)).parse().unwrap()
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The image of each Deployment that the folder renders to, by its name.
fn rendered(folder: &Path) -> Vec<(String, String)> {
    let mut build = Command::new(kubectl());
    build.arg("kustomize").arg(folder);
    let ended = command::run(&mut build, "run `make bed`").passed();
    let manifests = manifests::parse(&ended.stdout);
    let image = |template| word(&containers(template)[0]["image"]).to_owned();
    let images: Vec<String> =
        templates(&manifests).into_iter().map(|(_, template)| image(template)).collect();
    manifests.iter().map(|manifest| name(manifest).to_owned()).zip(images).collect()
}

#[test]
fn every_edited_kustomization_renders_the_elected_reference() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "base/deployment.yaml", BASE);
    write(folder.path(), "base/kustomization.yaml", "resources: [deployment.yaml]\n");
    let mut all = "resources:\n".to_owned();
    let mut expected = Vec::new();
    for (number, tag) in TAGS.iter().enumerate() {
        for (kind, file) in FILES.iter().enumerate() {
            let id = format!("t{number}-f{kind}");
            let before = file.replace("BASE", "../base").replace("ID", &id);
            let written = Written::from(&image(tag));
            let edited = set_image(before.as_bytes(), &"a".parse().unwrap(), &written)
                .unwrap_or_else(|error| panic!("{error} in\n{before}"))
                .unwrap();
            write(folder.path(), &format!("{id}/kustomization.yaml"), std::str::from_utf8(&edited).unwrap());
            writeln!(all, "- {id}").unwrap();
            expected.push((format!("{id}-x"), image(tag).to_string()));
        }
    }
    write(folder.path(), "kustomization.yaml", &all);
    let mut found = rendered(folder.path());
    found.sort();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn every_edited_marker_renders_the_elected_reference() {
    let folder = tempfile::tempdir().unwrap();
    let marker = "# {\"$imagepolicy\": \"flux-system:a\"}";
    let forms = [
        format!("image: old/a:v0 {marker}"),
        format!("image: 'old/a:v0' {marker}"),
        format!("image: \"old/a:1.0\"   {marker}"),
        format!("{marker}\n        image: old/a:v0"),
        format!("image: {marker}\n          old/a:v0"),
    ];
    let mut all = "resources:\n".to_owned();
    let mut expected = Vec::new();
    for (number, tag) in TAGS.iter().enumerate() {
        for (kind, form) in forms.iter().enumerate() {
            let id = format!("t{number}-f{kind}");
            let before = BASE.replace("image: a", form).replace("{name: x}", &format!("{{name: {id}}}"));
            let written = Written::from(&image(tag));
            let edited = set_markers(before.as_bytes(), |_| Some(&written)).unwrap().unwrap();
            write(folder.path(), &format!("{id}.yaml"), std::str::from_utf8(&edited).unwrap());
            writeln!(all, "- {id}.yaml").unwrap();
            expected.push((id, image(tag).to_string()));
        }
    }
    write(folder.path(), "kustomization.yaml", &all);
    let mut found = rendered(folder.path());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// How many files are generated.
const CASES: u64 = 200;

/// A generated file after the edit, and what was to be written.
fn generated(number: u64, head: &[String]) -> Option<(String, Written)> {
    let dice = &mut Dice::of_case(number);
    let (pieces, has_entry) = file(dice, head);
    let (before, written) = (text(&pieces), generated_image(dice));
    let edited = has_entry.then(|| set_image(before.as_bytes(), &"a".parse().unwrap(), &written))?;
    let edited = edited.unwrap_or_else(|error| panic!("case {number}: {error}\n{before}"));
    Some((edited.map_or(before, |bytes| String::from_utf8(bytes).unwrap()), written))
}

#[test]
fn every_generated_kustomization_renders_the_elected_reference() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "base/deployment.yaml", BASE);
    write(folder.path(), "base/kustomization.yaml", "resources: [deployment.yaml]\n");
    let mut all = "resources:\n".to_owned();
    let mut expected = Vec::new();
    for number in 1..=CASES {
        let head = ["resources: [../base]".to_owned(), format!("namePrefix: c{number}-")];
        let (edited, written) = generated(number, &head).unwrap();
        write(folder.path(), &format!("c{number}/kustomization.yaml"), &edited);
        writeln!(all, "- c{number}").unwrap();
        let (name, tag) = (written.new_name.unwrap(), written.new_tag.unwrap());
        expected.push((format!("c{number}-x"), format!("{name}:{tag}@{}", written.digest.unwrap())));
    }
    write(folder.path(), "kustomization.yaml", &all);
    let mut found = rendered(folder.path());
    found.sort();
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

/// Prints, for each file, what a reader of YAML 1.1 takes the tag of the entry `a` for.
const READER: &str = "import json, sys, yaml
for path in sys.argv[1:]:
    for document in yaml.safe_load_all(open(path, encoding='utf-8', newline='')):
        for entry in (document or {}).get('images') or []:
            if entry.get('name') == 'a':
                print(json.dumps(entry['newTag'], default=repr))
";

#[test]
fn a_reader_of_yaml_1_1_takes_every_written_tag_for_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut read = Command::new(command::tools().join("venv/bin/python3"));
    read.args(["-c", READER]);
    let mut expected = Vec::new();
    let mut add = |edited: &str, tag: String| {
        let path = format!("{}.yaml", expected.len());
        write(folder.path(), &path, edited);
        read.arg(folder.path().join(path));
        expected.push(serde_json::Value::from(tag));
    };
    for tag in TAGS {
        for before in FILES {
            let edited = set_image(before.as_bytes(), &"a".parse().unwrap(), &Written::from(&image(tag)));
            add(&String::from_utf8(edited.unwrap().unwrap()).unwrap(), tag.to_owned());
        }
    }
    for (edited, written) in (1..=CASES).filter_map(|number| generated(number, &[])) {
        // This reader takes no tab before a comment, which YAML allows.
        add(&edited.replace('\t', " "), written.new_tag.unwrap().to_string());
    }
    let ended = command::run(&mut read, "run `make platform`").passed();
    let found: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "file {number}");
    }
}
