//! An election over ten thousand tags by each policy, beside sorting the same tags as text: what any order costs at least.

use std::hint::black_box;
use std::time::{Duration, Instant};

use promote::config::{Config, ImagePolicy};
use promote::elect::order;
use promote::model::{Tag, Tags};

use crate::report::{Report, Sample};

const TAGS: usize = 10_000;
const ROUNDS: usize = 30;
const LIMIT: Duration = Duration::from_millis(5);

pub(crate) fn answer(report: &mut Report) {
    let versions = list(|number| format!("{}.{}.{}", number % 7, number / 7 % 90, number / 630));
    let builds = list(|number| {
        format!("main-{:07x}-{}", number.wrapping_mul(2_654_435_761) % 0x0fff_ffff, 1_700_000_000 + number)
    });
    let numbers = list(|number| (1_700_000_000 + number).to_string());
    let filter = ", filterTags: {pattern: '^main-[a-f0-9]+-(?P<ts>[0-9]+)$', extract: $ts}";
    let questions = [
        ("semver", "{semver: {range: '>=1.0.0 <6'}}".to_owned(), &versions),
        ("numerical", "{numerical: {}}".to_owned(), &numbers),
        ("alphabetical", "{alphabetical: {}}".to_owned(), &builds),
        ("numerical with a filter", format!("{{numerical: {{}}}}{filter}"), &builds),
        ("alphabetical with a filter", format!("{{alphabetical: {{}}}}{filter}"), &builds),
    ];
    for (name, policy, tags) in questions {
        let rule = rule(&policy);
        let (mut first, mut next, mut floor) = (Sample::default(), Sample::default(), Sample::default());
        // In the middle of the list, where half of it is above.
        let current =
            order::ahead(&rule, tags, None).above.get(TAGS / 3).map(|place| tags.get(*place).unwrap());
        for _ in 0..ROUNDS {
            first.add(timed(|| order::ahead(&rule, tags, None)));
            next.add(timed(|| order::ahead(&rule, tags, current.as_ref())));
            let mut texts: Vec<&str> = tags.texts().rev().collect();
            floor.add(timed(|| texts.sort_unstable()));
        }
        let beside = format!("sorting them as text: {floor}");
        report.limit(
            &format!("an election over {TAGS} tags, {name}, nothing stands"),
            &first,
            &beside,
            LIMIT,
        );
        report.limit(&format!("an election over {TAGS} tags, {name}, half are above"), &next, &beside, LIMIT);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

fn list(name: impl Fn(usize) -> String) -> Tags {
    (0..TAGS).map(|number| name(number).parse::<Tag>().unwrap()).collect()
}

fn rule(policy: &str) -> ImagePolicy {
    let text = format!(
        "version: 1\nenvironments: {{local: {{registry: 'localhost:5000'}}}}\n\
         apps: {{app: {{path: app, images: {{app: {{policy: {policy}}}}}}}}}\n"
    );
    let config = Config::parse("promote.yaml", text.as_bytes()).unwrap();
    config.apps.into_values().next().and_then(|app| app.images.into_values().next()).unwrap()
}
