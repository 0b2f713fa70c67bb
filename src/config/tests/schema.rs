//! The schema and the parser say the same.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::keys::ALL;
use super::super::problem::Findings;
use super::super::tree::{self, Content, Node};
use super::*;

fn schema() -> Json {
    serde_json::from_str(SCHEMA).unwrap()
}

#[test]
fn the_schema_has_the_parsers_keys_and_no_others() {
    let schema = schema();
    for (name, keys) in ALL {
        let part = if name == "root" { &schema } else { &schema["$defs"][name] };
        assert_eq!(part["additionalProperties"], false, "{name}");
        let properties = part["properties"].as_object().unwrap();
        let with_not = |not: bool| -> BTreeSet<&str> {
            let chosen = properties.iter().filter(|(_, value)| value.get("not").is_some() == not);
            chosen.map(|(key, _)| key.as_str()).collect()
        };
        assert_eq!(with_not(false), keys.supported.iter().copied().collect(), "{name}");
        assert_eq!(with_not(true), keys.not_yet.iter().copied().collect(), "{name}");
        for (key, value) in properties {
            let described = value.get("description").or_else(|| value.get("$ref")).is_some();
            assert!(described, "{name}.{key} has no description");
        }
    }
    let parts: BTreeSet<&str> = schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(parts, ALL.iter().map(|(name, _)| *name).filter(|name| *name != "root").collect());
}

#[test]
fn what_the_parser_takes_the_schema_takes() {
    for text in [SMALLEST, FULL] {
        parse(text);
        assert_eq!(breach(text), None);
    }
}

#[test]
fn the_schemas_own_example_is_taken() {
    for example in schema()["examples"].as_array().unwrap() {
        parse(&example.to_string());
    }
}

#[test]
fn what_the_parser_refuses_by_its_shape_the_schema_refuses() {
    let cases = [
        with_lines("evidence: {}\n"),
        with_lines("receivers: {a: {}}\n"),
        with_lines("receivers: {a: {type: bitbucket, secret: a}}\n"),
        with_lines("receivers: {a: {type: github}}\n"),
        with_lines("receivers: {a: {type: github, secret: a, audience: b}}\n"),
        with_lines("receivers: {a: {type: gcr, secret: a}}\n"),
        with_lines("receivers: {a: {type: gcr, audience: a}}\n"),
        with_lines("unknown: 1\n"),
        SMALLEST.replace("version: 1", "version: 2"),
        with_environment("after: []"),
        with_environment("registry: 'a:1', cluster: {eks: {name: a, region: b}}"),
        with_environment("registry: 'a:1', deploy: {argocd: {application: a/b}}"),
        with_environment("registry: 'a:1', publish: {pullRequest: {}}"),
        with_environment("registry: 'a:1', verify: {mesh: linkerd}"),
        with_verify("prometheus: 'http://p', traffic: {}"),
        with_verify("prometheus: 'http://p', traffic: {successRate: all}"),
        with_verify("prometheus: 'http://p', traffic: {successRate: 100}"),
        with_verify("prometheus: 'http://p', traffic: {successRate: 99, falseRollback: 0.5}"),
        with_verify("prometheus: 'http://p', traffic: {latency: {max: 1s}}"),
        with_verify("prometheus: 'http://p', traffic: {latency: {percentile: 99}}"),
        with_verify("probe: {}"),
        with_verify("probe: {url: 'http://a', expectStatus: 100}"),
        with_verify("probe: {url: 'http://a', count: 0}"),
        with_verify("probe: {url: 'http://a', count: 1.5}"),
        with_environment("registry: 'a:1', after: local"),
        with_image("policy: {}"),
        with_image("policy: {semver: {range: '*'}, newest: {}}"),
        with_image("policy: {newest: {order: asc}}"),
        with_image("policy: {numerical: {order: up}}"),
        with_image("policy: {digest: {}}"),
        with_image("policy: {semver: {range: '*'}}, filterTags: {extract: $0}"),
        with_environment("registry: 'a:1', gates: {soak: 1h}"),
        with_environment("registry: 'a:1', gates: {maxJump: big}"),
        with_environment("registry: 'a:1', gates: {approvals: 0}"),
        with_environment("registry: 'a:1', gates: {approvals: two}"),
        with_environment("registry: 'a:1', gates: {approvals: {}}"),
        with_environment("registry: 'a:1', gates: {approvals: {count: 2, allowedSigners: team}}"),
        with_image("interval: 5m"),
        with_image("policy: {semver: {range: '*'}}, build: {}"),
        with_image("policy: {semver: {range: '*'}}, build: {artifact: [x]}"),
        with_image("policy: {semver: {range: '*'}}, build: {watch: src, command: [make]}"),
        with_image("policy: []"),
    ];
    for text in cases {
        assert!(Config::parse("promote.yaml", text.as_bytes()).is_err(), "{text}");
        assert!(breach(&text).is_some(), "{text}");
    }
}

/// Where the text breaks the schema. Knows the words that the schema uses, but for patterns.
fn breach(text: &str) -> Option<String> {
    let root = tree::read(text.as_bytes(), &mut Findings::default()).unwrap();
    let schema = schema();
    check(&schema, &schema, &root, "").err()
}

fn check(whole: &Json, part: &Json, node: &Node, path: &str) -> Result<(), String> {
    let breach = |word: &str| Err(format!("{path}: {word}"));
    if part.get("not").is_some() {
        return breach("not");
    }
    if let Some(name) = part["$ref"].as_str() {
        check(whole, &whole["$defs"][name.trim_start_matches("#/$defs/")], node, path)?;
    }
    if let Some(choices) = part["oneOf"].as_array()
        && choices.iter().filter(|choice| check(whole, choice, node, path).is_ok()).count() != 1
    {
        return breach("oneOf");
    }
    let kind = match &node.content {
        Content::Sequence(_) => "array",
        Content::Mapping(_) => "object",
        Content::Scalar { text, plain: true } if text == "true" || text == "false" => "boolean",
        Content::Scalar { text, plain: true } if text.parse::<u32>().is_ok() => "integer",
        Content::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "number",
        Content::Scalar { .. } => "string",
    };
    let fits = |wanted: &str| wanted == kind || (wanted, kind) == ("number", "integer");
    if part["type"].as_str().is_some_and(|wanted| !fits(wanted)) {
        return breach("type");
    }
    match &node.content {
        Content::Scalar { text, .. } => {
            let is = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == *text;
            let wanted = part.get("const").is_none_or(is);
            if !wanted || part["enum"].as_array().is_some_and(|values| !values.iter().any(is)) {
                return breach("const or enum");
            }
            let number = text.parse::<f64>().unwrap_or(f64::NAN);
            if part["minimum"].as_f64().is_some_and(|least| number < least)
                || part["maximum"].as_f64().is_some_and(|most| number > most)
            {
                return breach("minimum or maximum");
            }
        }
        Content::Sequence(items) => {
            for item in items {
                check(whole, &part["items"], item, path)?;
            }
        }
        Content::Mapping(entries) => {
            if part.get("const").is_some() || part.get("enum").is_some() {
                return breach("const or enum");
            }
            let required = part["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
            let missing = required.filter(|key| entries.iter().all(|entry| entry.key != *key));
            if let Some(key) = missing.into_iter().next() {
                return breach(key);
            }
            let count = entries.len() as u64;
            if part["minProperties"].as_u64().is_some_and(|least| count < least)
                || part["maxProperties"].as_u64().is_some_and(|most| count > most)
            {
                return breach("number of properties");
            }
            for entry in entries {
                let path = format!("{path}/{}", entry.key);
                match part["properties"].get(&entry.key).or_else(|| part.get("additionalProperties")) {
                    Some(Json::Bool(false)) => return Err(format!("{path}: unknown")),
                    Some(below) => check(whole, below, &entry.value, &path)?,
                    None => {}
                }
            }
        }
    }
    Ok(())
}
