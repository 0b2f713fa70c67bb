//! A file of `.promote`: what can be read keeps all it says when a digest is added, and the digest is then in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::edit::{Quarantined, Record, add_quarantine};

fuzz_target!(|input: (&[u8], &str)| {
    let (text, reason) = input;
    let before = Record::parse(text);
    let entry = Quarantined {
        digest: format!("sha256:{}", "0".repeat(64)).parse().expect("a digest"),
        tag: Some("1.2.3".parse().expect("a tag")),
        reason: Some(reason.to_owned()),
        at: None,
    };
    let Ok(Some(edited)) = add_quarantine(Some(text), &entry) else { return };
    let before = before.expect("only what can be read is edited");
    let after = Record::parse(&edited).expect("what was edited can be read");
    assert_eq!((after.hold, after.approvals), (before.hold, before.approvals));
    assert_eq!(after.quarantine.len(), before.quarantine.len() + 1);
    assert!(after.quarantine.iter().any(|known| known.digest == entry.digest));
    assert_eq!(add_quarantine(Some(&edited), &entry), Ok(None), "a digest is added once");
});
