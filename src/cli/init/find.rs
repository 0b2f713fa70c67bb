//! What is in a clone: kustomizations, Flux's objects, images. Reads the work tree, and follows no symbolic link.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_yaml::Value;

use crate::edit::{self, ImageEntry, Marked};
use crate::model::printable;

/// What is looked at, at most.
const MOST_FILES: usize = 50_000;
const LARGEST: u64 = 1024 * 1024;
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// `NAMESPACE` and `NAME`.
pub(super) type Object = (String, String);

/// Everything that matters, by path relative to the root, with `/`.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The content of the files below, as it is on disk.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The kustomizations by their folder.
    pub(super) kustomizations: BTreeMap<String, Kustomization>,
    /// The images that containers have, by file.
    pub(super) containers: BTreeMap<String, Vec<String>>,
    /// Flux's setter comments, by file.
    pub(super) marked: BTreeMap<String, Marked>,
    pub(super) applied: Vec<Applied>,
    pub(super) policies: BTreeMap<Object, ImagePolicy>,
    pub(super) repositories: BTreeMap<Object, ImageRepository>,
    pub(super) automations: BTreeMap<Object, Automation>,
    /// What could not be read, in words.
    pub(super) notes: Vec<String>,
}

/// A kustomization of kustomize.
#[derive(Debug, Default)]
pub(super) struct Kustomization {
    pub(super) file: String,
    /// As it is written.
    pub(super) resources: Vec<String>,
    pub(super) images: Vec<ImageEntry>,
    pub(super) component: bool,
}

/// A Kustomization of Flux: which folder it applies.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) object: Object,
    /// Relative to the root.
    pub(super) path: String,
    pub(super) file: String,
}

/// `spec` of an `ImagePolicy`.
#[derive(Debug)]
pub(super) struct ImagePolicy {
    pub(super) repository: Object,
    pub(super) policy: Value,
    pub(super) filter: Value,
}

/// `spec` of an `ImageRepository`.
#[derive(Debug)]
pub(super) struct ImageRepository {
    pub(super) image: String,
    pub(super) interval: Option<String>,
    pub(super) insecure: bool,
    /// What it says that is not taken over, and what to do about it.
    pub(super) unlike: Vec<&'static str>,
}

/// `spec` of an `ImageUpdateAutomation`.
#[derive(Debug)]
pub(super) struct Automation {
    pub(super) branch: Option<String>,
    pub(super) push: Option<String>,
}

/// Reads all YAML files below `root` that Git would not ignore.
pub(super) fn find(root: &Path, ignored: &dyn Fn(&Path) -> bool) -> Result<Found, String> {
    let mut found = Found::default();
    let (mut open, mut seen, mut bytes) = (vec![(root.to_owned(), String::new())], 0, 0);
    while let Some((folder, path)) = open.pop() {
        let entries = fs_err::read_dir(&folder).map_err(|error| error.to_string())?;
        for entry in entries {
            let entry = entry.map_err(|error| error.to_string())?;
            seen += 1;
            if seen > MOST_FILES {
                return Err(format!(
                    "there are more than {MOST_FILES} files here; run this in a smaller clone"
                ));
            }
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let kind = entry.file_type().map_err(|error| error.to_string())?;
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            if name == ".git" || ignored(Path::new(&below)) {
                continue;
            }
            if kind.is_dir() {
                // Another clone within this one is none of ours.
                if !entry.path().join(".git").exists() {
                    open.push((entry.path(), below));
                }
            } else if kind.is_file() && is_yaml(&name) {
                let size = entry.metadata().map_or(u64::MAX, |metadata| metadata.len());
                bytes += size.min(LARGEST);
                if size > LARGEST {
                    found.notes.push(format!("{below} has {size} bytes; it was not read"));
                } else if bytes > MOST_BYTES {
                    return Err("there is too much YAML here; run this in a smaller clone".to_owned());
                } else {
                    let content = fs_err::read(entry.path()).map_err(|error| error.to_string())?;
                    found.take(below, &name, content);
                }
            }
        }
    }
    found.applied.sort_by(|one, other| (&one.file, &one.object).cmp(&(&other.file, &other.object)));
    found.notes.sort();
    Ok(found)
}

fn is_yaml(name: &str) -> bool {
    let extension = Path::new(name).extension();
    name == "Kustomization" || extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// What of an `ImageRepository` has to be said in another way.
fn unlike(spec: &Value) -> Vec<&'static str> {
    let provider = word(&spec["provider"]);
    let rows = [
        (
            !spec["exclusionList"].is_null(),
            "exclusionList, which is not taken over; narrow `filterTags.pattern`",
        ),
        (!spec["certSecretRef"].is_null(), "certSecretRef; name the CA in `registries.HOST.ca`"),
        (
            !matches!(provider, "" | "generic" | "aws"),
            "a provider whose identity is not used; put credentials into a --registry-credentials file",
        ),
        (spec["suspend"].as_bool() == Some(true), "suspend: true, but its image is looked at from now on"),
    ];
    rows.into_iter().filter_map(|(said, words)| said.then_some(words)).collect()
}

impl Found {
    fn take(&mut self, path: String, name: &str, content: Vec<u8>) {
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", &path));
        let is_kustomization = ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&name);
        // Anything else that is no YAML, such as a template, holds nothing for us.
        match edit::documents(&content) {
            Ok(documents) => documents.iter().for_each(|document| self.object(&path, document)),
            Err(error) if is_kustomization => self.notes.push(format!("{path}: {error}; it was left out")),
            Err(_) => return,
        }
        if let Ok(marked) = edit::markers(&content)
            && !(marked.markers.is_empty() && marked.misplaced.is_empty())
        {
            for misplaced in &marked.misplaced {
                self.notes.push(format!("{path}:{}: {}", misplaced.line, misplaced.reason));
            }
            self.marked.insert(path.clone(), marked);
        }
        if is_kustomization && !folder.is_empty() {
            let mut kustomization = self.kustomizations.remove(folder).unwrap_or_default();
            match edit::image_entries(&content) {
                Ok(images) => kustomization.images = images,
                Err(error) => self.notes.push(format!("{path}: {error}")),
            }
            kustomization.file.clone_from(&path);
            self.kustomizations.insert(folder.to_owned(), kustomization);
        }
        self.files.insert(path, content);
    }

    /// One document of a file.
    fn object(&mut self, path: &str, object: &Value) {
        let kind = word(&object["kind"]);
        let group = word(&object["apiVersion"]).split('/').next().unwrap_or_default().to_owned();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let spec = &object["spec"];
        let namespace = or(word(&object["metadata"]["namespace"]), "flux-system");
        let id = (namespace.clone(), word(&object["metadata"]["name"]).to_owned());
        match (group.as_str(), kind) {
            ("kustomize.toolkit.fluxcd.io", "Kustomization") => {
                if let Some(path_of) = joined("", word(&spec["path"])) {
                    self.applied.push(Applied { object: id, path: path_of, file: path.to_owned() });
                }
            }
            ("image.toolkit.fluxcd.io", "ImageRepository") => {
                let repository = ImageRepository {
                    image: word(&spec["image"]).to_owned(),
                    interval: text(&spec["interval"]),
                    insecure: spec["insecure"].as_bool().unwrap_or(false),
                    unlike: unlike(spec),
                };
                self.repositories.insert(id, repository);
            }
            ("image.toolkit.fluxcd.io", "ImagePolicy") => {
                let reference = &spec["imageRepositoryRef"];
                let repository =
                    (or(word(&reference["namespace"]), &namespace), word(&reference["name"]).to_owned());
                let (policy, filter) = (spec["policy"].clone(), spec["filterTags"].clone());
                self.policies.insert(id, ImagePolicy { repository, policy, filter });
            }
            ("image.toolkit.fluxcd.io", "ImageUpdateAutomation") => {
                let git = &spec["git"];
                let automation = Automation {
                    branch: text(&git["checkout"]["ref"]["branch"]),
                    push: text(&git["push"]["branch"]),
                };
                self.automations.insert(id, automation);
            }
            _ if is_kustomization(path) => {
                let kustomization = self.kustomizations.entry(folder.to_owned()).or_default();
                kustomization.component = kind == "Component";
                for key in ["resources", "bases"] {
                    let items = object[key].as_sequence().into_iter().flatten();
                    kustomization.resources.extend(items.filter_map(Value::as_str).map(str::to_owned));
                }
            }
            _ => {
                let mut images = Vec::new();
                containers(object, &mut images, 0);
                if !images.is_empty() {
                    self.containers.entry(path.to_owned()).or_default().extend(images);
                }
            }
        }
    }

    /// The images of all containers that a folder's kustomization renders, those of what it refers to included.
    pub(super) fn rendered(&self, folder: &str) -> BTreeSet<String> {
        let (mut open, mut seen, mut images) = (vec![folder.to_owned()], BTreeSet::new(), BTreeSet::new());
        while let Some(folder) = open.pop() {
            if !seen.insert(folder.clone()) {
                continue;
            }
            if let Some(direct) = self.containers.get(&folder) {
                images.extend(direct.iter().cloned());
            }
            let resources = self.kustomizations.get(&folder).map(|found| found.resources.as_slice());
            open.extend(resources.into_iter().flatten().filter_map(|path| joined(&folder, path)));
        }
        images
    }

    /// Whether applying `from` applies `folder`: it is it, refers to it, or holds it as a folder without kustomization.
    pub(super) fn reaches(&self, from: &str, folder: &str) -> bool {
        let (mut open, mut seen) = (vec![from.to_owned()], BTreeSet::new());
        while let Some(at) = open.pop() {
            if at == folder {
                return true;
            }
            if !seen.insert(at.clone()) {
                continue;
            }
            match self.kustomizations.get(&at) {
                Some(found) => open.extend(found.resources.iter().filter_map(|path| joined(&at, path))),
                None if at.is_empty() || folder.starts_with(&format!("{at}/")) => return true,
                None => {}
            }
        }
        false
    }
}

fn is_kustomization(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains(&name)
}

/// The path that `relative` means in `folder`; none where it leads out of the clone or to another server.
pub(super) fn joined(folder: &str, relative: &str) -> Option<String> {
    if relative.contains("://") || relative.contains('?') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// `image` of all containers, wherever they are.
fn containers(value: &Value, images: &mut Vec<String>, depth: usize) {
    if depth > 16 {
        return;
    }
    match value {
        Value::Mapping(pairs) => {
            for (key, below) in pairs {
                if matches!(key.as_str(), Some("containers" | "initContainers")) {
                    let listed = below.as_sequence().into_iter().flatten();
                    images.extend(listed.filter_map(|container| text(&container["image"])));
                }
                containers(below, images, depth + 1);
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| containers(item, images, depth + 1)),
        _ => {}
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Text that may be shown and written: on one line, without what could break a quoted text.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(printable(text, 300))
}

fn or(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { printable(text, 253) }
}
