//! `promote init`: writes the smallest promote.yaml that describes a clone, and adds `images` entries that are missing.

mod decide;
mod find;
mod layout;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use serde_json::json;

use super::Failure;
use super::args::Common;
use super::output::{Printer, counted};
use crate::config::Config;
use crate::model::{Exit, printable};

/// What would be written, and what is to be known of it.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// By path below the root: what is there now (nothing for a new file), and what shall be.
    files: BTreeMap<String, (Option<Vec<u8>>, Vec<u8>)>,
    notes: Vec<String>,
}

pub(super) fn run(common: &Common, printer: &Printer, yes: bool) -> Result<Exit, Failure> {
    let usage = |words: String| Failure::new(Exit::Usage, words);
    let repository = git2::Repository::discover(&common.repo).map_err(|_| {
        usage(format!("{}: no clone; run this in the clone of the GitOps repository", common.repo))
    })?;
    let root = repository.workdir().map(Path::to_owned);
    let root =
        root.ok_or_else(|| usage("a bare repository has no files to read; run this in a clone".to_owned()))?;
    let ignored = |path: &Path| repository.status_should_ignore(path).unwrap_or(false);
    let draft = draft(&root, &common.config, &ignored).map_err(usage)?;
    let patch = draft.patch();
    let exit = if draft.files.is_empty() { Exit::Done } else { Exit::Changes };
    printer.human(patch.trim_end());
    for note in &draft.notes {
        printer.human(&format!("note: {}", printable(note, 1000)));
    }
    let write = exit == Exit::Changes && (yes || agreed(printer, draft.files.len()));
    if write {
        for (path, (before, after)) in &draft.files {
            replace(&root.join(path), before.is_some(), after).map_err(usage)?;
        }
    }
    let written: Vec<&String> = draft.files.keys().filter(|_| write).collect();
    let next = match (exit, write) {
        (Exit::Done, _) => {
            "nothing to do: promote.yaml is there, and no `images` entry is missing".to_owned()
        }
        (_, true) => format!(
            "wrote {}. Next: look at the notes, check with `promote validate`, then commit and push; nothing was committed",
            counted(written.len(), "file")
        ),
        (_, false) => "nothing was written; `promote init --yes` writes this".to_owned(),
    };
    printer.human(&format!("\n{next}"));
    let exit = if write { Exit::Done } else { exit };
    printer.machine(
        "Init",
        &json!({"patch": patch, "notes": draft.notes, "written": written, "exitCode": exit as u8}),
    );
    Ok(exit)
}

/// Works out what to write in the clone at `root`. Reads only.
fn draft(root: &Path, config: &str, ignored: &dyn Fn(&Path) -> bool) -> Result<Draft, String> {
    let found = find::find(root, ignored)?;
    let mut draft = Draft::default();
    let text = match fs_err::symlink_metadata(root.join(config)) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(format!("{config} is no regular file; put the file itself there"));
        }
        Ok(_) => {
            let text = fs_err::read(root.join(config)).map_err(|error| error.to_string())?;
            draft.notes.clone_from(&found.notes);
            text
        }
        Err(_) => {
            let mut proposal = decide::decide(&found);
            write::settle(&mut proposal);
            draft.notes = std::mem::take(&mut proposal.notes);
            if proposal.apps.is_empty() {
                let notes: Vec<String> = draft.notes.iter().map(|note| format!("\nnote: {note}")).collect();
                return Err(format!(
                    "no app was found: no kustomization below {} has `images` entries, markers or workloads with \
                     images{}",
                    root.display(),
                    notes.concat()
                ));
            }
            let text = write::promote_yaml(&proposal).into_bytes();
            draft.files.insert(config.to_owned(), (None, text.clone()));
            text
        }
    };
    let parsed = Config::parse(config, &text)
        .map_err(|problems| format!("{config} is not valid; mend it first\n{problems}"))?;
    for (path, content) in write::entries(&found, &parsed, &mut draft.notes) {
        let before = found.files.get(&path).cloned();
        draft.files.insert(path, (before, content));
    }
    Ok(draft)
}

impl Draft {
    /// The difference as Git shows it.
    fn patch(&self) -> String {
        let mut text = String::new();
        for (path, (before, after)) in &self.files {
            let path = Path::new(path);
            let old = before.as_deref().unwrap_or_default();
            let difference = git2::Patch::from_buffers(old, Some(path), after, Some(path), None);
            let shown = difference.and_then(|mut patch| patch.to_buf().map(|buffer| buffer.to_vec()));
            text.push_str(&String::from_utf8_lossy(&shown.unwrap_or_default()));
        }
        text
    }
}

/// Asks on a terminal; elsewhere the answer is no.
fn agreed(printer: &Printer, files: usize) -> bool {
    if !std::io::stdin().is_terminal() || printer.format() != super::args::Format::Human {
        return false;
    }
    printer.clear();
    printer.human(&format!("\nWrite {}? [y/N]", if files == 1 { "this file" } else { "these files" }));
    let mut answer = String::new();
    _ = std::io::stdin().lock().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Writes the file in one step, so that it is never half there; its permissions stay.
fn replace(path: &Path, exists: bool, content: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, content).map_err(failed)?;
    if exists {
        let permissions = fs_err::metadata(path).map_err(failed)?.permissions();
        fs_err::set_permissions(file.path(), permissions).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
    } else {
        #[cfg(unix)]
        {
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs_err::set_permissions(file.path(), readable).map_err(failed)?;
        }
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    }
    Ok(())
}
