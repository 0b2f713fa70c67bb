//! One app and its images.

use std::time::Duration;

use crate::model::ImageName;

use super::build::build;
use super::keys::{APP, IMAGE};
use super::mask::shown;
use super::problem::Findings;
use super::read::{Named, Value};
use super::{ImagePolicy, Markers, PLACEHOLDER, RepositoryName, markers, names, policy};

/// The longest path, in bytes.
const LONGEST_PATH: usize = 1024;

/// An app whose place among the others has not been checked yet.
pub(super) struct Draft<'t> {
    pub(super) path: Option<(String, Value<'t>)>,
    pub(super) markers: Option<Markers>,
    pub(super) images: Vec<ImageDraft<'t>>,
}

/// An image of an app.
pub(super) struct ImageDraft<'t> {
    pub(super) name: ImageName,
    pub(super) value: Value<'t>,
    /// None where the file does not say enough.
    pub(super) policy: Option<ImagePolicy>,
}

/// `environments` is how many there are.
pub(super) fn app<'t>(value: &Value<'t>, environments: usize, findings: &mut Findings) -> Draft<'t> {
    let Some(fields) = value.fields(&APP, findings) else {
        return Draft { path: None, markers: None, images: Vec::new() };
    };
    let path =
        fields.required("path", "deploy/apps/NAME/overlays/{environment}", findings).and_then(|value| {
            let path = value.legal(|text| path(text, environments), findings)?;
            Some((path, value))
        });
    let images = fields.required("images", "{NAME: {policy: {semver: {range: \">=1.0.0\"}}}}", findings);
    let entries = images.as_ref().and_then(|images| images.entries(findings));
    if let (Some(images), Some([])) = (&images, entries.as_deref()) {
        images.problem(findings, "has no image; add `NAME: {policy: {semver: {range: \">=1.0.0\"}}}`");
    }
    let images: Vec<_> =
        entries.unwrap_or_default().into_iter().filter_map(|entry| image(entry, findings)).collect();
    let markers = fields.get("markers").and_then(|value| markers::markers(&value, &images, findings));
    Draft { path, markers, images }
}

/// A folder below the repository's root.
fn path(text: &str, environments: usize) -> Result<String, String> {
    let got = shown(text);
    let rest = text.replace(PLACEHOLDER, "");
    if text.len() > LONGEST_PATH {
        return Err(format!("longer than {LONGEST_PATH} bytes (got \"{got}\"); shorten it"));
    }
    if text.starts_with('/') {
        return Err(format!("an absolute path (got \"{got}\"); write it relative to the repository's root"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(format!(
            "leads out of its folder with .. (got \"{got}\"); write a path below the repository's root"
        ));
    }
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(format!(
            "has an empty part or a . part (got \"{got}\"); write a path like deploy/apps/web"
        ));
    }
    if rest.chars().any(|letter| letter.is_control() || letter == '\\') {
        return Err(format!("has a backslash or a control character (got \"{got}\"); join the parts by /"));
    }
    if rest.contains(['{', '}']) {
        return Err(format!("has an unknown placeholder (got \"{got}\"); only {PLACEHOLDER} is known"));
    }
    if environments > 1 && !text.contains(PLACEHOLDER) {
        return Err(format!(
            "{environments} environments would share one folder (got \"{got}\"); put {PLACEHOLDER} into the path"
        ));
    }
    Ok(text.to_owned())
}

fn image<'t>(entry: Named<'t>, findings: &mut Findings) -> Option<ImageDraft<'t>> {
    let rule = "up to 255 letters, digits and inner . _ - / :";
    let name: Option<ImageName> = entry.key.name(entry.name, "an image name", rule, findings);
    let value = entry.value;
    let fields = value.fields(&IMAGE, findings);
    let policy = fields.and_then(|fields| {
        let repository = match fields.get("repository") {
            Some(value) => value.legal(names::repository, findings),
            None => name.as_ref().and_then(|name| default_repository(name, &value, findings)),
        };
        let policy = fields.required("policy", "{semver: {range: \">=1.0.0\"}}", findings);
        let policy = policy.and_then(|value| policy::policy(&value, findings));
        let filter =
            fields.get("filterTags").and_then(|filter| policy::filter(&filter, policy.as_ref(), findings));
        let platforms = fields
            .get("platforms")
            .map(|platforms| policy::platforms(&platforms, findings))
            .unwrap_or_default();
        let interval =
            fields.get("interval").and_then(|value| value.duration(Duration::from_secs(1), findings));
        let build = fields.get("build").and_then(|value| build(&value, findings));
        Some(ImagePolicy { repository: repository?, policy: policy?, filter, platforms, interval, build })
    });
    Some(ImageDraft { name: name?, value, policy })
}

/// The image's name below the environment's registry, where that is beyond doubt.
fn default_repository(
    name: &ImageName,
    value: &Value<'_>,
    findings: &mut Findings,
) -> Option<RepositoryName> {
    let repository =
        names::repository(name.as_str()).ok().filter(|name| matches!(name, RepositoryName::Relative(_)));
    if repository.is_none() {
        value.problem(
            findings,
            "the image's name can't stand for a repository below the environment's registry; add `repository: NAME`",
        );
    }
    repository
}
