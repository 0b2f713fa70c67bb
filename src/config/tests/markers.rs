//! The mistakes of `markers`, with their exact words.

use super::{problems, with_image};

/// A file whose app has two images and these markers.
fn with_markers(markers: &str) -> String {
    with_image("policy: {semver: {range: '*'}}")
        .replace("path: web", &format!("path: web, markers: {markers}"))
        .replace(
            "images: {web:",
            "images: {acme/web: {policy: {semver: {range: '*'}}, repository: a/b}, proxy:",
        )
}

#[test]
fn mistakes_of_markers_are_told() {
    let path = "apps.web.markers";
    let told = [
        ("yes", format!("3:34: {path}: expected true or false, without quotes (got \"yes\")")),
        ("[a]", format!("3:34: {path}: expected true or false, got a list")),
        ("{}", format!("3:34: {path}: has no policy; write true, or {{\"NAMESPACE:POLICY\": IMAGE}}")),
        (
            "{flux-system:prox: proxi}",
            format!(
                "3:53: {path}.flux-system:prox: no such image of this app (got \"proxi\"); did you mean \"proxy\"?"
            ),
        ),
        (
            "{flux-system:other: something}",
            format!(
                "3:54: {path}.flux-system:other: no such image of this app (got \"something\"); known here: acme/web, \
                 proxy"
            ),
        ),
        (
            "{proxy: proxy}",
            format!(
                "3:35: {path}.proxy: not the namespace and name of an ImagePolicy (got \"proxy\"); write it like \
                 \"flux-system:web\""
            ),
        ),
        (
            "{flux-system:proxy:tag: proxy}",
            format!(
                "3:35: {path}.flux-system:proxy:tag: names a part of the image (got \"flux-system:proxy:tag\"); write \
                 \"flux-system:proxy\", which stands for all its parts"
            ),
        ),
    ];
    for (markers, words) in told {
        assert_eq!(problems(&with_markers(markers)), [words], "{markers}");
    }
    assert_eq!(
        problems(&with_markers("true").replace("proxy:", "other/web:")),
        [format!(
            "3:34: {path}: a marker that names \"web\" could mean acme/web or other/web; name their policies, like \
             {{\"flux-system:web\": other/web}}"
        )]
    );
}
