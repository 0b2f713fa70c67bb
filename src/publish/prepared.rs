//! Entries edited on all cores before their turn comes: of many changes, nearly each edits a file of its own.
//!
//! What is prepared is only a guess: a file that an earlier change of the same set has edited meanwhile is edited anew.

use std::collections::HashMap;

use git2::Oid;

use super::history::Images;
use super::objects::{Files, Listed};
use super::overlay::Memory;
use super::places::{Overlays, Place};
use super::{Change, Move};
use crate::edit::{self, EditError};

/// How many changes are prepared at a time, which bounds the files in memory.
pub(super) const AT_ONCE: usize = 256;
/// Fewer changes are made sooner than threads.
const WORTH_IT: usize = 32;

/// Edited files, by the number of the change: the file that it was made of, and the file as the change leaves it.
#[derive(Default)]
pub(super) struct Prepared(HashMap<usize, (Oid, Result<Vec<u8>, EditError>)>);

/// The kustomization of a place, and the moves of a change that its entries take.
pub(super) struct Aim<'c> {
    pub(super) listed: Listed,
    pub(super) says: Images,
    pub(super) content: Vec<u8>,
    pub(super) moves: Vec<&'c Move>,
}

impl<'c> Aim<'c> {
    /// None where there is no kustomization, in words why one can't be read.
    pub(super) fn find(
        files: &Files<'_>,
        memory: &mut Memory,
        place: &Place,
        change: &'c Change,
    ) -> Result<Option<Self>, String> {
        let Ok(path) = files.kustomization(&place.folder) else { return Ok(None) };
        let Some(listed) = files.listed(&path)? else { return Ok(None) };
        let says = memory.entries(files, &listed).as_ref().clone()?;
        let moves = change.moves.iter().filter(|step| says.contains_key(&step.image)).collect();
        let content = files.read(&listed)?.content;
        Ok(Some(Self { listed, says, content, moves }))
    }

    /// The file with all moves made.
    pub(super) fn edited(&self) -> Result<Vec<u8>, EditError> {
        let mut content = self.content.clone();
        for step in &self.moves {
            content = edit::set_image(&content, &step.image, &step.to)?.unwrap_or(content);
        }
        Ok(content)
    }
}

impl Prepared {
    /// Prepares what can be told before any of `changes` is made, the first of which has the number `first`.
    pub(super) fn new(
        files: &Files<'_>,
        memory: &mut Memory,
        overlays: &Overlays,
        changes: &[Change],
        first: usize,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores == 1 || changes.len() < WORTH_IT {
            return Self::default();
        }
        let mut jobs = Vec::new();
        for (number, change) in (first..).zip(changes) {
            let place = overlays.place(&change.app, &change.environment);
            // What can't be edited is told when its turn comes.
            let aim = place.and_then(|place| Aim::find(files, memory, place, change).ok().flatten());
            jobs.extend(aim.map(|aim| (number, aim)));
        }
        let share = jobs.len().div_ceil(cores).max(1);
        let work = |jobs: &[(usize, Aim<'_>)]| -> Vec<_> {
            jobs.iter().map(|(number, aim)| (*number, (aim.listed.id, aim.edited()))).collect()
        };
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = jobs.chunks(share).map(|jobs| scope.spawn(move || work(jobs))).collect();
            // A thread that failed has prepared nothing.
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        Self(parts)
    }

    /// The file as the change leaves it, if it was made of this one.
    pub(super) fn take(&mut self, number: usize, id: Oid) -> Option<Result<Vec<u8>, EditError>> {
        self.0.remove(&number).filter(|(made_of, _)| *made_of == id).map(|(_, edited)| edited)
    }
}

#[cfg(test)]
#[path = "prepared_tests.rs"]
mod tests;
