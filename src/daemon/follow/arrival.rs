//! Whether a subject's commit has arrived in the cluster, as the delivery tool's word and Git's history tell together.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::Subject;
use crate::daemon::Context;
use crate::deliver::Delivery;
use crate::model::CommitId;
use crate::publish::Held;
use crate::rollout::Delivered;

/// A revision that could not be applied for this long is not a passing trouble.
const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(5);

/// The arrival of one commit.
pub(super) struct Arrival<'a> {
    context: &'a Context,
    subject: &'a Subject,
    held: HashMap<CommitId, Held>,
    refused_since: Option<Timestamp>,
    broken: Option<String>,
}

impl<'a> Arrival<'a> {
    pub(super) fn new(context: &'a Context, subject: &'a Subject) -> Self {
        Self { context, subject, held: HashMap::new(), refused_since: None, broken: None }
    }

    /// What the delivery means for the subject's commit.
    pub(super) async fn of(&mut self, delivery: &Delivery) -> Delivered {
        if let Some(applied) = &delivery.applied {
            match self.held(applied).await {
                Ok(Held::Yes) => return Delivered::Yes,
                Ok(Held::Changed) => {
                    return Delivered::Changed(format!(
                        "{} is applied, which has other images",
                        applied.short()
                    ));
                }
                Ok(Held::No) => {}
                Err(words) => return Delivered::Silent(words),
            }
        }
        if let Some(words) = &delivery.suspended {
            return Delivered::Blocked(words.clone());
        }
        // Between two refusals Flux tries again and says so; that is no reason to begin to count anew.
        if let Some((revision, words)) = &delivery.refused
            && *revision == self.subject.commit
        {
            let now = Timestamp::now();
            let since = *self.refused_since.get_or_insert(now);
            let words = format!("the commit could not be applied: {words}");
            // Only where all before it is applied is it this commit that broke something.
            let alone = delivery.applied.is_some() && delivery.applied == self.subject.parent;
            if alone && now.duration_since(since) >= REFUSED_FOR {
                return Delivered::Refused(words);
            }
            let others =
                if alone { "" } else { " (what else came since the last applied commit may be the cause)" };
            self.broken = Some(format!("{words}{others}"));
        }
        if let Some(words) = &delivery.stalled {
            return Delivered::Blocked(words.clone());
        }
        if delivery.broken.is_some() {
            self.broken.clone_from(&delivery.broken);
        }
        // While Flux tries again it says only that; what it failed at tells more.
        Delivered::NotYet(self.broken.clone().unwrap_or_else(|| delivery.doing.clone()))
    }

    async fn held(&mut self, revision: &CommitId) -> Result<Held, String> {
        if let Some(held) = self.held.get(revision) {
            return Ok(held.clone());
        }
        let key = (self.subject.app.clone(), self.subject.environment.clone());
        let images = self.subject.images.iter().cloned().collect();
        let held = self.context.mirror.held(revision.clone(), self.subject.commit.clone(), key, images).await;
        let held = held.map_err(|error| error.to_string())?;
        self.held.insert(revision.clone(), held.clone());
        Ok(held)
    }
}
