//! Every Terraform module says what it takes and gives, refuses bad input, pins its providers and shows an example.

use std::fs;
use std::path::{Path, PathBuf};

use hcl::{Block, Body, Expression};
use tempfile::TempDir;

use crate::command::root;

/// Folders with *.tf files below `top`.
pub fn folders(top: &Path) -> Vec<PathBuf> {
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
pub fn body(folder: &Path) -> Body {
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

pub fn blocks<'a>(body: &'a Body, kind: &'a str) -> impl Iterator<Item = &'a Block> {
    body.blocks().filter(move |block| block.identifier() == kind)
}

pub fn attribute<'a>(block: &'a Block, name: &str) -> Option<&'a Expression> {
    block.body().attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

pub fn name(block: &Block) -> &str {
    block.labels().first().map_or("", |label| label.as_str())
}

/// Inputs that may hold anything: what is only waited for, free text for others, a place whose absence is told where it is used.
const FREE: [&str; 6] =
    ["after", "tags", "subnet_tags", "gateway_annotations", "service_account_annotations", "chart"];

/// Whether something must say what an input may be: a switch cannot be wrong, all else can.
fn must_be_validated(variable: &Block) -> bool {
    let kind = attribute(variable, "type").map(Expression::to_string).unwrap_or_default();
    kind != "bool" && !FREE.contains(&name(variable))
}

/// Whether an attribute of a variable is `true`.
fn switched_on(variable: &Block, name: &str) -> bool {
    matches!(attribute(variable, name), Some(Expression::Bool(true)))
}

/// Whether a variable says what it may be.
fn validated(variable: &Block) -> bool {
    blocks(variable.body(), "validation").next().is_some()
}

/// Whether a module that is called here gets the variable, and says what it may be.
fn validated_where_it_is_handed_to(folder: &Path, body: &Body, variable: &str) -> bool {
    let word = format!("var.{variable}");
    blocks(body, "module").any(|call| {
        let Some(Expression::String(source)) = attribute(call, "source") else { return false };
        let callee = self::body(&folder.join(source));
        let given =
            call.body().attributes().filter(|given| words(&given.expr().to_string()).any(|one| one == word));
        let given: Vec<&str> = given.map(hcl::Attribute::key).collect();
        blocks(&callee, "variable").any(|taken| validated(taken) && given.contains(&name(taken)))
    })
}

/// The references in an expression, such as `var.name`.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '.'))
}

/// What AWS has no tags for.
const UNTAGGED: [&str; 15] = [
    "aws_ecr_lifecycle_policy",
    "aws_ecr_pull_through_cache_rule",
    "aws_eks_access_policy_association",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_kms_alias",
    "aws_route",
    "aws_route53_record",
    "aws_route_table_association",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
];

/// What is made in AWS without the tags that the module was given.
fn untagged(body: &Body) -> Vec<String> {
    let taggable = blocks(body, "resource")
        .filter(|resource| name(resource).starts_with("aws_") && !UNTAGGED.contains(&name(resource)));
    let given = ["var.tags", "local.tags"];
    taggable
        .filter(|resource| {
            let tags = attribute(resource, "tags").or_else(|| attribute(resource, "resource_tags"));
            let tags = tags.map(Expression::to_string).unwrap_or_default();
            !words(&tags).any(|word| given.contains(&word))
        })
        .map(|resource| format!("{} {} has not the tags", name(resource), resource.labels()[1].as_str()))
        .collect()
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
        let checked = validated(variable) || validated_where_it_is_handed_to(folder, &body, name(variable));
        if must_be_validated(variable) && !checked {
            found.push(format!("variable {} is not validated", name(variable)));
        }
        // What is only sensitive is hidden on the screen, and stands in plan and state in the clear.
        if switched_on(variable, "sensitive") && !switched_on(variable, "ephemeral") {
            found.push(format!("variable {} is a secret and not ephemeral", name(variable)));
        }
    }
    for output in blocks(&body, "output") {
        if attribute(output, "description").is_none() {
            found.push(format!("output {} has no description", name(output)));
        }
    }
    if module && blocks(&body, "output").next().is_none() {
        found.push("a module without outputs tells nobody what it made".to_owned());
    }
    if module && blocks(&body, "provider").next().is_some() {
        found.push("a module must leave providers to its root".to_owned());
    }
    found.extend(unpinned(folder));
    found.extend(undocumented(folder, &body, module));
    found.extend(untagged(&body));

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

#[test]
fn both_roots_hand_a_mirror_to_each_module_whose_chart_is_downloaded() {
    for cluster in ["local", "aws"] {
        let folder = root().join("infra").join(cluster);
        let body = body(&folder);
        let mut handed = Vec::new();
        for call in blocks(&body, "module") {
            let Some(Expression::String(source)) = attribute(call, "source") else { continue };
            let callee = self::body(&folder.join(source));
            if blocks(&callee, "variable").any(|taken| name(taken) == "chart_repository") {
                let given = attribute(call, "chart_repository").map(Expression::to_string);
                handed.push((name(call).to_owned(), given.unwrap_or_default()));
            }
        }
        handed.sort();
        let wanted = ["cert_manager", "flux", "istio", "rancher"]
            .map(|module| (module.to_owned(), format!("var.chart_repositories.{module}")));
        assert_eq!(handed, wanted, "infra/{cluster}");
    }
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
            "variables.tf",
            "variable \"tags\"",
            "variable \"zones\" {\n  type = list(string)\n  description = \"Zones.\"\n  default = []\n}\nvariable \"tags\"",
            "variable zones is not validated",
        ),
        (
            "variables.tf",
            "variable \"tags\"",
            "variable \"size\" {\n  type = object({ large = bool })\n  description = \"Size.\"\n  default = {}\n}\nvariable \"tags\"",
            "variable size is not validated",
        ),
        (
            "variables.tf",
            "variable \"tags\"",
            "variable \"token\" {\n  type = string\n  description = \"Token.\"\n  default = null\n  sensitive = true\n}\nvariable \"tags\"",
            "variable token is a secret and not ephemeral",
        ),
        (
            "main.tf",
            "  tags = merge(var.tags, { Name = \"${var.name}-${each.key}\" })\n",
            "",
            "aws_kms_key this has not the tags",
        ),
        ("main.tf", "merge(var.tags, ", "merge({}, ", "aws_kms_key this has not the tags"),
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
fn a_module_without_outputs_is_found() {
    let outputs = fs::read_to_string(root().join("infra/aws/modules/kms/outputs.tf")).unwrap();
    assert_eq!(broken("outputs.tf", &outputs, ""), ["a module without outputs tells nobody what it made"]);
}

#[test]
fn no_folder_is_left_out_by_the_tests() {
    for folder in folders(&root().join("infra")) {
        let tests = fs::read_dir(folder.join("tests")).into_iter().flatten();
        let tests =
            tests.filter(|entry| entry.as_ref().unwrap().path().to_string_lossy().ends_with(".tftest.hcl"));
        assert!(tests.count() > 0, "{} has no tests of its own", folder.display());
    }
}
