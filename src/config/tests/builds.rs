//! The mistakes of an image's `build`, with their exact words.

use super::{problems, with_image};

/// The problems of a build, without the place and path that all of them share.
fn of_build(keys: &str) -> Vec<String> {
    let text = with_image(&format!("policy: {{semver: {{range: '*'}}}}, build: {keys}"));
    let shared = "apps.web.images.web.build";
    problems(&text).into_iter().map(|problem| problem.replace(shared, "")).collect()
}

#[test]
fn a_build_must_say_what_it_makes_and_when() {
    assert_eq!(
        of_build("{}"),
        [
            "3:79: : nothing says what is built; add `artifact: PATH`, or `watch: [PATH]` and `command: [PROGRAM]`"
        ]
    );
    assert_eq!(
        of_build("{watch: [src]}"),
        ["3:87: .watch: nothing runs when these change; add `command: [make, image]` or remove `watch`"]
    );
    assert_eq!(
        of_build("{command: [make, '{ref}']}"),
        ["3:89: .command: nothing says when it runs; add `watch: [src]` or remove `command`"]
    );
    assert_eq!(
        of_build("{watch: [src], command: [make]}"),
        ["3:103: .command: nothing says what it makes; give it {ref} to push to, or add `artifact: PATH`"]
    );
    assert_eq!(of_build("{artefact: x}")[1], "3:80: .artefact: unknown key; did you mean \"artifact\"?");
}

#[test]
fn a_builds_paths_stay_below_the_folder_that_is_allowed() {
    for (path, words) in [
        (
            "/tmp/x",
            "an absolute path (got \"/tmp/x\"); write it relative to the folder that the daemon is given by --allow-builds",
        ),
        (
            "~/x",
            "an absolute path (got \"~/x\"); write it relative to the folder that the daemon is given by --allow-builds",
        ),
        (
            "a/../../x",
            "leads out of its folder with .. (got \"a/../../x\"); write a path below --allow-builds",
        ),
        ("a//x", "has an empty part or a . part (got \"a//x\"); write a path like target/image-oci"),
        (".", "has an empty part or a . part (got \".\"); write a path like target/image-oci"),
    ] {
        assert_eq!(of_build(&format!("{{artifact: '{path}'}}")), [format!("3:90: .artifact: {words}")]);
    }
    assert_eq!(
        of_build("{watch: [., ../x], command: [make, '{ref}']}"),
        [
            "3:91: .watch[1]: leads out of its folder with .. (got \"../x\"); write a path below --allow-builds"
        ]
    );
}

#[test]
fn a_builds_lists_are_lists_with_something_in_them() {
    assert_eq!(
        of_build("{artifact: x, watch: src, command: [make]}"),
        ["3:100: .watch: expected a list, got text; write it like [one, two]"]
    );
    assert_eq!(
        of_build("{artifact: x, watch: [], command: [make]}"),
        ["3:100: .watch: expected 1 to 100 paths (got 0)"]
    );
    assert_eq!(
        of_build("{artifact: x, watch: [src], command: [make, {a: b}]}"),
        ["3:123: .command[1]: expected text, got a mapping"]
    );
}
