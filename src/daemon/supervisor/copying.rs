//! The images of a promotion, brought to the target's registry before its commit.

use super::{Done, Supervisor};
use crate::daemon::promotion::Promotion;
use crate::discover::Registries;
use crate::transfer::{self, TransferError};

impl Supervisor {
    pub(super) fn copy(&mut self, promotion: Promotion) {
        let place = (promotion.change.app.clone(), promotion.change.environment.clone());
        self.copying.insert(place.clone());
        let registries = self.context.registries.clone();
        self.tasks.spawn(async move {
            let result = copy(&registries, &promotion).await;
            Done::Copied(place, Box::new(promotion), result)
        });
    }
}

/// Copies what moves, and of what stands there already the images that the registry has lost: the app is rolled out as one.
async fn copy(registries: &Registries, promotion: &Promotion) -> Result<(), TransferError> {
    let mut steps: Vec<_> = promotion.transfers.iter().collect();
    for step in promotion.standing.iter().filter(|step| step.from != step.to) {
        if !registries.has(&step.to, &step.digest).await? {
            tracing::warn!(registry = %step.to, tag = %step.tag, digest = %step.digest, "the registry has lost an image, which is copied again");
            steps.push(step);
        }
    }
    for step in steps {
        transfer::copy(registries, &step.from, &step.to, &step.digest, &step.tag, &|_| {}).await?;
    }
    Ok(())
}
