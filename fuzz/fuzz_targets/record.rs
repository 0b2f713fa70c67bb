//! A file of `.promote`: what can be read keeps all it says when a digest is added and a hold is put there, and says what it
//! said before when both are taken away.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::edit::{Amended, Amendment, Hold, Quarantined, Record, amend};

fuzz_target!(|input: (&[u8], &str)| {
    let (text, reason) = input;
    let before = Record::parse(text);
    let entry = Quarantined {
        digest: format!("sha256:{}", "0".repeat(64)).parse().expect("a digest"),
        tag: Some("1.2.3".parse().expect("a tag")),
        reason: Some(reason.to_owned()),
        at: None,
    };
    let hold = Hold { reason: Some(reason.to_owned()), by: None, until: None, image: None };
    let there = [Amendment::Quarantine(entry.clone()), Amendment::Hold(hold)];
    let Ok(Amended::Written(edited)) = amend(Some(text), &there) else { return };
    let before = before.expect("only what can be read is edited");
    let after = Record::parse(&edited).expect("what was edited can be read");
    assert_eq!((&after.released, &after.approvals), (&before.released, &before.approvals));
    assert!(after.quarantine.iter().any(|known| known.digest == entry.digest) && after.hold.is_some());
    assert_eq!(amend(Some(&edited), &there), Ok(Amended::Same), "a digest is added once");
    if before.quarantine.iter().any(|known| known.digest == entry.digest) {
        return;
    }
    let back = [Amendment::Unquarantine(entry.digest), before.hold.clone().map_or(Amendment::Unhold, Amendment::Hold)];
    match amend(Some(&edited), &back) {
        Ok(Amended::Written(back)) => {
            let back = Record::parse(&back).expect("what was taken back can be read");
            assert_eq!((back.quarantine, back.approvals), (before.quarantine, before.approvals));
        }
        Ok(Amended::Removed) => assert!(before.is_empty()),
        Ok(Amended::Same) => panic!("two amendments were not taken back"),
        // What people tied together by anchors is theirs to take apart.
        Err(_) => {}
    }
});
