//! One image change on its way to the remote over HTTP: our edit, commit and push, beside `git push` of a commit that
//! stands ready. The remote and the repository are the same; the two take turns.

use std::time::Instant;

use promote::edit::Written;
use promote::model::{AppName, EnvironmentName, ImageName, Source};
use promote::publish::{Change, GitCredentials, Location, Mirror, MirrorOptions, Move, Outcome};

use crate::floor::Floor;
use crate::ground::Ground;
use crate::report::{Report, Sample};

const ROUNDS: u32 = 21;

pub(crate) fn answer(report: &mut Report) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for files in [10, 10_000] {
        let ground = Ground::new("push", files, 1);
        let (ours, floor) = runtime.block_on(measure(&ground));
        let figure = format!("one change, elected → on the remote over HTTP; {files} files");
        report.compare(&figure, &ours, ("`git push` of a ready commit", &floor), Some(1.3));
    }
}

async fn measure(ground: &Ground) -> (Sample, Sample) {
    let site = &ground.site;
    let options = MirrorOptions {
        location: Location::find(&site.repo()).unwrap(),
        branch: None,
        config: "promote.yaml".to_owned(),
        in_pod: false,
        credentials: GitCredentials::default(),
        state: site.folder().join("state"),
    };
    let mirror = Mirror::start(options).unwrap();
    let floor_clone = Floor::new(ground);
    let (mut ours, mut floor) = (Sample::default(), Sample::default());
    for round in 1..=ROUNDS {
        let took = change(&mirror, &ground.apps[0], round).await;
        let beside = floor_clone.push(round);
        // The first of each finds cold caches.
        if round > 1 {
            ours.add(took);
            floor.add(beside);
        }
    }
    (ours, floor)
}

async fn change(mirror: &Mirror, app: &str, round: u32) -> std::time::Duration {
    let snapshot = mirror.refresh().await.unwrap();
    let key: (AppName, EnvironmentName) = (app.parse().unwrap(), "local".parse().unwrap());
    let image: ImageName = app.parse().unwrap();
    let from = snapshot.desired[&key].images[&image].clone();
    let to = Written { new_tag: Some(format!("2.{round}.0").parse().unwrap()), ..from.clone() };
    let change = Change {
        app: key.0,
        environment: key.1,
        moves: vec![Move { image, from, to }],
        source: Source::Registry,
        actor: None,
        reason: None,
        amendments: Vec::new(),
    };
    let began = Instant::now();
    let published = mirror.publish(vec![change], false).await.unwrap();
    let took = began.elapsed();
    assert!(matches!(published.outcomes[..], [Outcome::Committed(_)]), "{:?}", published.outcomes);
    took
}
