//! Our policies elect what Flux's image-reflector-controller elects from the same tags of the same registry.
//!
//! Tags, filters and policies are generated; each policy becomes an `ImagePolicy` of a real controller, and what it elects
//! is held against ours. A difference is a mistake unless it is one of those that `docs/policies.md` lists, which are
//! recognised here by their cause. `make compare-policies` compares thousands.

#![allow(clippy::print_stdout)]

mod generate;
mod listed;
mod reflector;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use promote::config::{Config, ImagePolicy};
use promote::elect::order;
use promote::model::Tag;
use serde_json::{Value, json};

use crate::bed;
use generate::{Dice, Set};
use reflector::Reflector;

/// The repository and policy of one comparison, and the policy as promote.yaml has it.
struct Question {
    repository: usize,
    policy: Value,
    filter: Option<Value>,
    rule: Result<ImagePolicy, String>,
}

#[test]
fn our_policies_elect_what_fluxs_image_policies_elect() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name)
            .ok()
            .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let sets = number("COMPARE_SETS", 40);
    let seed = number("COMPARE_SEED", 20_260_131);
    let mut dice = Dice::new(seed);
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut mistakes = String::new();
    let mut compared = 0;
    let site = bed::site("as-flux").environments(&["local"]).create();
    let reflector = Reflector::start(&site);
    let mut left = sets;
    let mut round = 0;
    while left > 0 {
        let now = left.min(100);
        let generated: Vec<Set> = (0..now).map(|_| generate::set(&mut dice)).collect();
        let mut questions = Vec::new();
        for (repository, set) in generated.iter().enumerate() {
            let name = format!("r{round}-{repository}");
            let tags: Vec<String> = set.tags.iter().cloned().collect();
            site.push_tags("local", &name, &tags);
            for _ in 0..5 {
                let (policy, filter) = generate::policy(&mut dice, set.theme);
                let rule = rule(&policy, filter.as_ref());
                questions.push(Question { repository, policy, filter, rule });
            }
        }
        let asked: Vec<_> = questions
            .iter()
            .map(|question| {
                (
                    format!("r{round}-{}", question.repository),
                    question.policy.clone(),
                    question.filter.clone(),
                )
            })
            .collect();
        let theirs = reflector.elect(&asked);
        for (question, theirs) in questions.iter().zip(theirs) {
            compared += 1;
            let tags: Vec<Tag> =
                generated[question.repository].tags.iter().map(|tag| tag.parse().unwrap()).collect();
            let ours = question.rule.as_ref().map(|rule| {
                let list = tags.iter().cloned().collect();
                let ahead = order::ahead(rule, &list, None);
                ahead.above.first().and_then(|place| list.get(*place))
            });
            if let Ok(kind) = listed::judge(question.rule.as_ref().ok(), &tags, ours.clone(), &theirs) {
                *tally.entry(kind).or_default() += 1;
                continue;
            }
            let of: Vec<&str> = tags.iter().map(Tag::as_str).collect();
            let (policy, filter) = (&question.policy, &question.filter);
            writeln!(mistakes, "{policy} {filter:?}\n  of {of:?}\n  ours {ours:?}, theirs {theirs:?}")
                .unwrap();
        }
        reflector.forget();
        left -= now;
        round += 1;
    }
    println!("{compared} policies over {sets} sets of tags, seed {seed}: {tally:?}");
    assert!(mistakes.is_empty(), "seed {seed}\n{mistakes}");
    let same = tally.get("the same tag").copied().unwrap_or_default();
    assert!(same * 4 > compared, "most of what is compared elects something: {tally:?}");
}

/// The policy as promote.yaml has it; an error in its words.
fn rule(policy: &Value, filter: Option<&Value>) -> Result<ImagePolicy, String> {
    let mut image = json!({"policy": policy});
    if let Some(filter) = filter {
        image["filterTags"] = filter.clone();
    }
    // JSON is YAML.
    let text = json!({
        "version": "1",
        "environments": {"local": {"registry": "localhost:5000"}},
        "apps": {"app": {"path": "app", "images": {"app": image}}},
    });
    let config = Config::parse("promote.yaml", text.to_string().as_bytes())
        .map_err(|problems| problems.to_string())?;
    let image = config.apps.into_values().next().and_then(|app| app.images.into_values().next());
    image.ok_or_else(|| "no image".to_owned())
}
