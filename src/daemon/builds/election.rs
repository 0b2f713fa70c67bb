//! Which of the pushed builds are elected.

use super::{Made, Name};
use crate::daemon::elections::{Intentions, World, standing};
use crate::elect::Standing;
use crate::elect::build::{self, Choice};
use crate::model::{AppName, BuildTag, CommitId, Digest, EnvironmentName, Image, ImageName, Source};
use crate::publish::{Change, Desired, Event, Move};

impl World<'_> {
    /// The change that the pushed builds of an app make in an environment; none if they make none.
    pub(in crate::daemon) fn elect_builds(
        &self,
        app: &AppName,
        environment: &EnvironmentName,
        desired: &Desired,
        into: &mut Intentions,
    ) -> Option<Change> {
        let place = (app.clone(), environment.clone());
        let quarantined: Vec<Digest> =
            desired.record.quarantine.iter().map(|entry| entry.digest.clone()).collect();
        let barred = desired.barred();
        let mut moves = Vec::new();
        for image in self.snapshot.config.apps.get(app)?.images.keys() {
            let name: Name = (app.clone(), image.clone());
            let Some(made) = self.builds.get(&name).filter(|made| is_last(made, environment, desired, image))
            else {
                continue;
            };
            let Some(repository) = self.snapshot.config.repository(environment, app, image) else { continue };
            let candidate = Image { repository, tag: made.tag.clone(), digest: made.digest.clone() };
            let overtaken = !desired.is_released()
                && self.overtaken.get(&place).is_some_and(|taken| taken.contains(&candidate));
            let current = desired.images.get(image).cloned().unwrap_or_default();
            let taken: Vec<Standing<'_>> = barred
                .iter()
                .filter(|taken| taken.image == *image)
                .map(|taken| standing(&taken.version))
                .collect();
            match build::choose(&candidate, &standing(&current), &quarantined, &taken) {
                Choice::Move if !overtaken => {
                    moves.push(Move { image: image.clone(), from: current, to: (&candidate).into() });
                }
                Choice::Move | Choice::Stands => {}
                Choice::Excluded(because) => {
                    let words = format!("{image}: the build {} is {because}", made.tag);
                    into.remarks.insert(place.clone(), Some(words));
                }
            }
        }
        (!moves.is_empty()).then(|| Change {
            app: app.clone(),
            environment: environment.clone(),
            moves,
            source: Source::Build,
            actor: None,
            reason: None,
            amendments: Vec::new(),
        })
    }
}

/// Whether a local build stands there; a policy can't order its versions against it.
pub fn stands(desired: &Desired, image: &ImageName) -> bool {
    let tag = desired.images.get(image).and_then(|written| written.new_tag.as_ref());
    tag.is_some_and(|tag| BuildTag::of(tag).is_some())
}

/// The newest commit that changed the image, as far as the history is known.
pub(super) fn last_change<'a>(desired: &'a Desired, image: &ImageName) -> Option<&'a Event> {
    desired.events.iter().find(|event| event.before.get(image) != event.after.get(image))
}

/// Whether nothing changed the image since the build was pushed.
fn is_last(made: &Made, environment: &EnvironmentName, desired: &Desired, image: &ImageName) -> bool {
    let Some(then) = made.places.get(environment) else { return false };
    // A history without such a commit has none that is newer: what is older than our last election is not kept.
    let now: Option<&CommitId> = last_change(desired, image).map(|event| &event.commit);
    now.is_none() || now == then.as_ref()
}
