//! Every Terraform module says what it takes and gives, refuses bad input, pins its providers and shows an example.

use std::fs;
use std::path::{Path, PathBuf};

use hcl::{Block, Body, Expression};
use tempfile::TempDir;

use crate::command::root;

/// Folders with *.tf files below `top`.
fn folders(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(folder) = todo.pop() {
        let entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        if entries.iter().any(|path| path.extension().is_some_and(|extension| extension == "tf")) {
            found.push(folder);
        }
        let hidden = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with('.');
        todo.extend(entries.into_iter().filter(|path| path.is_dir() && !hidden(path)));
    }
    found
}

/// All *.tf files of a folder as one.
fn body(folder: &Path) -> Body {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            text += &fs::read_to_string(path).unwrap();
            text.push('\n');
        }
    }
    hcl::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn blocks<'a>(body: &'a Body, kind: &'a str) -> impl Iterator<Item = &'a Block> {
    body.blocks().filter(move |block| block.identifier() == kind)
}

fn attribute<'a>(block: &'a Block, name: &str) -> Option<&'a Expression> {
    block.body().attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

fn name(block: &Block) -> &str {
    block.labels().first().map_or("", |label| label.as_str())
}

/// A name or a number can be anything, so something must say what it may be; what may be absent is checked where it is used.
fn free_input(variable: &Block) -> bool {
    let kind = attribute(variable, "type").map(Expression::to_string).unwrap_or_default();
    matches!(kind.as_str(), "${string}" | "${number}" | "string" | "number")
        && attribute(variable, "default") != Some(&Expression::Null)
}

/// What a module lacks, in words.
fn problems(folder: &Path) -> Vec<String> {
    let body = body(folder);
    let module = folder.components().any(|part| part.as_os_str() == "modules");
    let mut found = Vec::new();

    for variable in blocks(&body, "variable") {
        for needed in ["type", "description"] {
            if attribute(variable, needed).is_none() {
                found.push(format!("variable {} has no {needed}", name(variable)));
            }
        }
        if free_input(variable) && blocks(variable.body(), "validation").next().is_none() {
            found.push(format!("variable {} is not validated", name(variable)));
        }
    }
    for output in blocks(&body, "output") {
        if attribute(output, "description").is_none() {
            found.push(format!("output {} has no description", name(output)));
        }
    }
    if module && blocks(&body, "provider").next().is_some() {
        found.push("a module must leave providers to its root".to_owned());
    }
    found.extend(unpinned(folder));
    found.extend(undocumented(folder, &body, module));

    let uses_aws =
        body.blocks().any(|block| block.identifier() == "resource" && name(block).starts_with("aws_"));
    if module && uses_aws && !blocks(&body, "variable").any(|variable| name(variable) == "tags") {
        found.push("what it makes in AWS cannot be tagged: there is no variable tags".to_owned());
    }
    found
}

fn unpinned(folder: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(folder.join("versions.tf")) else {
        return vec!["there is no versions.tf".to_owned()];
    };
    let body = hcl::parse(&text).unwrap();
    let mut found = Vec::new();
    for terraform in blocks(&body, "terraform") {
        if attribute(terraform, "required_version").is_none() {
            found.push("required_version is missing".to_owned());
        }
        for providers in blocks(terraform.body(), "required_providers") {
            for provider in providers.body().attributes() {
                let pinned = provider.expr().to_string().contains("\"~> ");
                if !pinned {
                    found.push(format!("provider {} is not pinned with ~>", provider.key()));
                }
            }
        }
    }
    found
}

fn undocumented(folder: &Path, body: &Body, module: bool) -> Vec<String> {
    let Ok(readme) = fs::read_to_string(folder.join("README.md")) else {
        return vec!["there is no README.md".to_owned()];
    };
    if !module {
        return Vec::new();
    }
    let Some((_, rest)) = readme.split_once("```hcl\n") else {
        return vec!["README.md has no example".to_owned()];
    };
    let example = match hcl::parse(rest.split("```").next().unwrap_or_default()) {
        Ok(example) => example,
        Err(error) => return vec![format!("the example in README.md is not HCL: {error}")],
    };
    let own = folder.file_name().unwrap().to_string_lossy().into_owned();
    let Some(call) = blocks(&example, "module").find(|call| {
        attribute(call, "source").is_some_and(|source| source.to_string().ends_with(&format!("/{own}\"")))
    }) else {
        return vec![format!("the example in README.md does not call {own}")];
    };
    let mut found = Vec::new();
    for variable in blocks(body, "variable") {
        if attribute(variable, "default").is_none() && attribute(call, name(variable)).is_none() {
            found.push(format!("the example in README.md lacks the required {}", name(variable)));
        }
    }
    for given in call.body().attributes().map(hcl::Attribute::key) {
        let known = ["source", "depends_on", "count", "for_each", "providers", "version"].contains(&given)
            || blocks(body, "variable").any(|variable| name(variable) == given);
        if !known {
            found.push(format!("the example in README.md gives {given}, which there is not"));
        }
    }
    found
}

#[test]
fn every_module_is_typed_described_validated_pinned_and_documented() {
    let folders = folders(&root().join("infra"));
    assert!(folders.len() >= 8, "modules were not found: {folders:?}");
    let all: Vec<_> = folders
        .iter()
        .flat_map(|folder| {
            let shown = folder.strip_prefix(root()).unwrap().display().to_string();
            problems(folder).into_iter().map(move |problem| format!("{shown}: {problem}"))
        })
        .collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// What is found in a copy of a module in which one thing was changed.
fn broken(file: &str, from: &str, to: &str) -> Vec<String> {
    let copy = TempDir::new().unwrap();
    let folder = copy.path().join("modules/kms");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(root().join("infra/aws/modules/kms")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(problems(&folder), Vec::<String>::new());
    let text = fs::read_to_string(folder.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(folder.join(file), text.replacen(from, to, 1)).unwrap();
    problems(&folder)
}

#[test]
fn a_module_that_lacks_one_of_these_is_found() {
    for (file, from, to, problem) in [
        ("variables.tf", "  type        = string\n", "", "variable name has no type"),
        ("variables.tf", "  description = \"Tags of the keys.\"\n", "", "variable tags has no description"),
        ("variables.tf", "  validation {", "  unrelated {", "variable name is not validated"),
        ("variables.tf", "variable \"tags\"", "variable \"labels\"", "there is no variable tags"),
        (
            "outputs.tf",
            "  description = \"ARNs of the keys, by purpose.\"\n",
            "",
            "output key_arns has no description",
        ),
        ("versions.tf", "\"~> 6.0\"", "\">= 6.0\"", "provider aws is not pinned"),
        ("versions.tf", "  required_version = \">= 1.11\"\n", "", "required_version is missing"),
        ("main.tf", "locals {", "provider \"aws\" {}\nlocals {", "must leave providers to its root"),
        ("README.md", "```hcl", "```", "README.md has no example"),
        ("README.md", "  name = \"promote-dev\"\n", "", "lacks the required name"),
        ("README.md", "  tags = {", "  labels = {", "gives labels, which there is not"),
        ("README.md", "./modules/kms", "./modules/keys", "does not call kms"),
    ] {
        let found = broken(file, from, to);
        assert!(found.iter().any(|one| one.contains(problem)), "{problem} was not found, but {found:?}");
    }
}

#[test]
fn every_validation_on_aws_is_seen_to_refuse() {
    let mut missing = Vec::new();
    for folder in folders(&root().join("infra/aws")) {
        let Ok(entries) = fs::read_dir(folder.join("tests")) else {
            missing.push(format!("{} has no tests", folder.display()));
            continue;
        };
        let tests: String = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        let expected: Vec<_> = tests.lines().filter(|line| line.contains("expect_failures")).collect();
        for variable in blocks(&body(&folder), "variable") {
            let validated = blocks(variable.body(), "validation").next().is_some();
            let word = format!("var.{}", name(variable));
            let refused =
                expected.iter().any(|line| line.split(['[', ']', ',', ' ']).any(|part| part == word));
            if validated && !refused {
                missing.push(format!("{}: {word} is never refused", folder.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
