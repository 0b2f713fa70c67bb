//! Whatever infra refuses, it is seen to refuse, with the words that say what to do.

use std::fs;
use std::path::Path;

use hcl::template::{Element, Template};
use hcl::{Block, Body, Expression};
use tempfile::TempDir;

use crate::command::flat;
use crate::infra_aws::{copy, ended, split};
use crate::modules::{attribute, blocks, body, folders};

/// The longest part of a message that is not computed.
fn said(message: &Expression) -> String {
    let text = match message {
        Expression::String(text) => text.clone(),
        Expression::TemplateExpr(template) => {
            let template = Template::from_expr(template).unwrap();
            let literals = template.elements().iter().filter_map(|element| match element {
                Element::Literal(text) => Some(text.clone()),
                _ => None,
            });
            literals.max_by_key(String::len).unwrap_or_default()
        }
        other => panic!("a message is a text, not {other}"),
    };
    flat(&text)
}

fn conditions<'a>(block: &'a Block, kind: &'a str) -> impl Iterator<Item = &'a Block> {
    blocks(block.body(), kind)
}

/// What the refusals of a folder say: validations of variables, and conditions of what is made or looked up.
fn refusals(body: &Body) -> Vec<String> {
    let mut all: Vec<&Block> =
        blocks(body, "variable").flat_map(|one| conditions(one, "validation")).collect();
    for kind in ["resource", "data"] {
        let lifecycles = blocks(body, kind).flat_map(|one| conditions(one, "lifecycle"));
        all.extend(
            lifecycles
                .flat_map(|one| ["precondition", "postcondition"].map(|kind| conditions(one, kind)))
                .flatten(),
        );
    }
    all.into_iter().map(|one| said(attribute(one, "error_message").unwrap())).collect()
}

/// A test without the failures that it expects: then Terraform says them.
fn unexpecting(run: &str) -> String {
    let (before, rest) = run.split_once("expect_failures").unwrap();
    format!("run \"{before}{}", rest.split_once(']').unwrap().1)
}

/// All that Terraform says when each refusal of a folder's tests is run, each in a file of its own: after a failure it runs
/// nothing else of the same file.
fn shown(folder: &Path) -> String {
    let tests = folder.join("tests");
    for entry in fs::read_dir(&tests).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let (head, runs) = split(&text);
        for (number, run) in runs.iter().filter(|run| run.contains("expect_failures")).enumerate() {
            let one = format!("{head}\n{}", unexpecting(run));
            fs::write(tests.join(format!("refusal_{number}.tftest.hcl")), one).unwrap();
        }
        fs::remove_file(file).unwrap();
    }
    flat(&ended(folder, &["test"]).all())
}

/// What needs a cluster that was made: `infra_local/refusals.rs` makes one, and sees it.
const SEEN_ELSEWHERE: &str = "The cluster was made with other settings. They cannot change while it runs";

/// What is refused without a test that shows it.
fn unseen(folder: &Path) -> Vec<String> {
    let mut wanted = refusals(&body(folder));
    wanted.retain(|words| !words.starts_with(SEEN_ELSEWHERE));
    if wanted.is_empty() {
        return Vec::new();
    }
    let shown = shown(folder);
    wanted.into_iter().filter(|words| !shown.contains(words)).collect()
}

#[test]
fn every_refusal_of_infra_is_seen_with_its_own_words() {
    let copy = copy();
    let infra = copy.path().join("infra");
    let mut missing = Vec::new();
    for folder in folders(&infra) {
        let shown = folder.strip_prefix(copy.path()).unwrap().display();
        missing
            .extend(unseen(&folder).into_iter().map(|words| format!("{shown}: no test shows \"{words}\"")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_refusal_that_never_comes_is_found() {
    let copy = TempDir::new().unwrap();
    let folder = copy.path().join("module");
    fs::create_dir_all(folder.join("tests")).unwrap();
    let condition = "condition = var.size >= 2\n    error_message = \"size must be 2 or more.\"";
    let never = "condition = var.size >= 0 || true\n    error_message = \"size must not be negative.\"";
    let variable = format!(
        "variable \"size\" {{\n  type = number\n  validation {{\n    {condition}\n  }}\n  validation {{\n    {never}\n  }}\n}}\n"
    );
    fs::write(folder.join("main.tf"), variable).unwrap();
    let test = "variables {\n  size = 2\n}\n\nrun \"small\" {\n  command = plan\n  variables {\n    size = -1\n  }\n  \
                expect_failures = [var.size]\n}\n";
    fs::write(folder.join("tests/size.tftest.hcl"), test).unwrap();
    assert_eq!(unseen(&folder), ["size must not be negative."]);
}
