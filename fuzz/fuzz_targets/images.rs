//! A kustomization.yaml: no entry is read that can't be edited back to what it says, and an edit says what it shall.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::edit::{Written, image_entries, set_image};

fuzz_target!(|text: &[u8]| {
    let Ok(entries) = image_entries(text) else { return };
    let written = Written {
        new_name: Some("localhost:5000/app".to_owned()),
        new_tag: Some("1.2.3".parse().expect("a tag")),
        digest: Some(format!("sha256:{}", "0".repeat(64)).parse().expect("a digest")),
    };
    for entry in entries {
        let Ok(name) = entry.name.parse() else { continue };
        let Ok(Some(edited)) = set_image(text, &name, &written) else { continue };
        let after = image_entries(&edited).expect("what was edited can be read");
        let found = after.iter().find(|after| after.name == entry.name).expect("the entry is still there");
        assert_eq!(found.new_name, written.new_name);
        assert_eq!(found.new_tag.as_deref(), Some("1.2.3"));
        assert_eq!(set_image(&edited, &name, &written), Ok(None), "an edit is made once");
    }
});
