//! A manifest with setter comments: what is found can be set, and then says what it shall; nothing else is found after it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::edit::{Part, Written, markers, set_markers};

fuzz_target!(|text: &[u8]| {
    let Ok(before) = markers(text) else { return };
    let written = Written {
        new_name: Some("localhost:5000/app".to_owned()),
        new_tag: Some("1.20".parse().expect("a tag")),
        digest: Some(format!("sha256:{}", "0".repeat(64)).parse().expect("a digest")),
    };
    let Ok(Some(edited)) = set_markers(text, |_| Some(&written)) else { return };
    let after = markers(&edited).expect("what was edited can be read");
    assert_eq!(after.misplaced, before.misplaced);
    assert_eq!(after.markers.len(), before.markers.len());
    for (old, new) in before.markers.iter().zip(&after.markers) {
        assert_eq!((&old.policy, old.part), (&new.policy, new.part));
        let reference = format!("localhost:5000/app:1.20@sha256:{}", "0".repeat(64));
        let expected = match new.part {
            Part::Name => "localhost:5000/app",
            Part::Tag => "1.20",
            Part::Digest => &reference[reference.len() - 71..],
            Part::Reference => &reference,
        };
        assert_eq!(new.value, expected);
    }
    assert_eq!(set_markers(&edited, |_| Some(&written)), Ok(None), "an edit is made once");
});
