//! Entries edited on all cores before their turn comes: of many changes, nearly each edits a file of its own.
//!
//! What is prepared is only a guess: a file that an earlier change of the same set has edited meanwhile is edited anew.

use std::collections::HashMap;

use git2::Oid;

use super::objects::Files;
use super::overlay::Memory;
use super::places::Overlays;
use super::{Change, Move};
use crate::edit::{self, EditError};

/// How many changes are prepared at a time, which bounds the files in memory.
pub(super) const AT_ONCE: usize = 256;
/// Fewer changes are made sooner than threads.
const WORTH_IT: usize = 32;

/// Edited files, by the number of the change: the file that it was made of, and the file as the change leaves it.
#[derive(Default)]
pub(super) struct Prepared(HashMap<usize, (Oid, Result<Vec<u8>, EditError>)>);

/// A file that waits for its edit.
struct Job<'c> {
    number: usize,
    id: Oid,
    content: Vec<u8>,
    moves: Vec<&'c Move>,
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
        for (number, change) in changes.iter().enumerate() {
            jobs.extend(job(files, memory, overlays, change, first + number));
        }
        let share = jobs.len().div_ceil(cores).max(1);
        let work = |jobs: &[Job<'_>]| -> Vec<_> {
            jobs.iter().map(|job| (job.number, (job.id, edited(&job.content, &job.moves)))).collect()
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

/// The edit of one change, as far as it is known now; none where the change will fail, or has nothing to edit.
fn job<'c>(
    files: &Files<'_>,
    memory: &mut Memory,
    overlays: &Overlays,
    change: &'c Change,
    number: usize,
) -> Option<Job<'c>> {
    let place = overlays.place(&change.app, &change.environment)?;
    let path = files.kustomization(&place.folder).ok()?;
    let listed = files.listed(&path).ok()??;
    let says = memory.entries(files, &listed);
    let says = says.as_ref().as_ref().ok()?;
    let moves: Vec<_> = change.moves.iter().filter(|step| says.contains_key(&step.image)).collect();
    let content = files.read(&listed).ok()?.content;
    (!moves.is_empty()).then_some(Job { number, id: listed.id, content, moves })
}

/// The file with all `moves` made.
pub(super) fn edited(content: &[u8], moves: &[&Move]) -> Result<Vec<u8>, EditError> {
    let mut content = content.to_vec();
    for step in moves {
        content = edit::set_image(&content, &step.image, &step.to)?.unwrap_or(content);
    }
    Ok(content)
}
