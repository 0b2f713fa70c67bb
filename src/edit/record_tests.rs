//! What people may write into a record, and what a rollback adds to it.
#![allow(clippy::unwrap_used)]

use super::{Amended, Amendment, Approval, EditError, Hold, Quarantined, Record, Released, amend};
use crate::model::Digest;

/// `«` stands for the digits of the new digest, `‹` for those of an older one.
fn full(text: &str) -> String {
    text.replace('«', &"a".repeat(64)).replace('‹', &"b".repeat(64))
}

fn digest(text: &str) -> Digest {
    full(text).parse().unwrap()
}

fn bare() -> Quarantined {
    Quarantined { digest: digest("sha256:«"), tag: None, reason: None, at: None }
}

fn record(text: &str) -> Record {
    Record::parse(full(text).as_bytes()).unwrap()
}

fn add(text: &str, entry: &Quarantined) -> Result<Option<String>, EditError> {
    match amend(Some(full(text).as_bytes()), &[Amendment::Quarantine(entry.clone())])? {
        Amended::Same => Ok(None),
        Amended::Written(bytes) => Ok(Some(String::from_utf8(bytes).unwrap())),
        Amended::Removed => panic!("{text:?} was removed"),
    }
}

/// The bare digest, added to `before`, leaves exactly `after`; added again, it changes nothing.
#[track_caller]
fn becomes(before: &str, after: &str) {
    assert_eq!(add(before, &bare()).unwrap().as_deref(), Some(full(after).as_str()), "\nfrom {before:?}");
    assert_eq!(add(after, &bare()), Ok(None), "a second time");
}

#[test]
fn a_hold_what_is_quarantined_and_who_approved_are_read() {
    let read = record(
        "hold: {reason: freeze, by: ann, until: 2026-01-02T03:04:05Z, image: r.io/a:1}\n\
         quarantine: [{digest: \"sha256:«\", tag: 1.2.0, reason: bad, at: 2026-01-01T00:00:00Z}, \"sha256:‹\"]\n\
         approvals: [{digest: \"sha256:«\", by: ann, at: 2026-01-01T00:00:00Z, reason: fine}]\n",
    );
    let hold = read.hold.clone().unwrap();
    assert_eq!((hold.reason.as_deref(), hold.by.as_deref()), (Some("freeze"), Some("ann")));
    assert_eq!(hold.until.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(read.quarantine[0].tag, Some("1.2.0".parse().unwrap()));
    assert_eq!(read.quarantine[1], Quarantined { digest: digest("sha256:‹"), ..bare() });
    assert_eq!(read.approvals[0].by.as_deref(), Some("ann"));
    assert!(!read.is_empty());
}

#[test]
fn a_record_without_values_is_empty() {
    for text in ["", "# nothing\n", "---\n", "{}\n", "quarantine:\napprovals: []\n"] {
        assert!(record(text).is_empty(), "{text:?}");
    }
}

#[test]
fn an_empty_hold_holds() {
    let empty = Hold { reason: None, by: None, until: None, image: None };
    assert_eq!(record("hold: {}\n").hold, Some(empty.clone()));
    assert_eq!(record("hold:\n").hold, Some(empty));
}

#[test]
fn a_tag_needs_no_quotes_to_be_read() {
    assert_eq!(
        record("quarantine: [{digest: \"sha256:«\", tag: 1.20}]\n").quarantine[0].tag,
        Some("1.20".parse().unwrap())
    );
}

#[test]
fn what_is_not_understood_is_an_error_with_its_line() {
    let wrong = [
        ("hold: {}\nquarantined: []\n", 2),
        ("hold:\n  reason: x\n  untill: y\n", 3),
        ("quarantine:\n- digest: \"sha256:«\"\n  tags: x\n", 3),
        ("quarantine:\n- sha256:123\n", 2),
        ("hold: {until: tomorrow}\n", 1),
        ("approvals:\n- by: ann\n", 2),
        ("- a\n", 1),
    ];
    for (text, expected) in wrong {
        match Record::parse(full(text).as_bytes()) {
            Err(EditError::Unparsable { line, .. }) => assert_eq!(line, expected, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    assert!(Record::parse(b"hold: {}\n---\nhold: {}\n").is_err());
}

#[test]
fn a_new_file_says_all_that_is_known() {
    let entry = Quarantined {
        tag: Some("1.20".parse().unwrap()),
        reason: Some("pods crash:\n\"boom\" # \u{1b}[31m\u{202e}  C:\\x".to_owned()),
        at: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        ..bare()
    };
    let Amended::Written(text) = amend(None, &[Amendment::Quarantine(entry)]).unwrap() else { panic!() };
    let text = String::from_utf8(text).unwrap();
    let expected = "quarantine:\n  - digest: \"sha256:«\"\n    tag: \"1.20\"\n    \
                    reason: \"pods crash: \\\"boom\\\" # [31m C:\\\\x\"\n    at: \"2026-01-02T03:04:05Z\"\n";
    assert_eq!(text, full(expected));
}

#[test]
fn a_reason_is_cut_after_300_characters_and_left_out_when_empty() {
    let reason = |text: String| {
        let entry = Quarantined { reason: Some(text), ..bare() };
        record(&add("", &entry).unwrap().unwrap()).quarantine[0].reason.clone()
    };
    assert_eq!(reason("ü".repeat(5000)), Some("ü".repeat(300)));
    assert_eq!(reason(" \n\t\u{7}".to_owned()), None);
    assert_eq!(reason("null".to_owned()), Some("null".to_owned()));
}

#[test]
fn an_item_is_added_behind_the_last_one() {
    becomes(
        "# why\nquarantine:\n  - \"sha256:‹\" # first\n# end\n",
        "# why\nquarantine:\n  - \"sha256:‹\" # first\n  - digest: \"sha256:«\"\n# end\n",
    );
    becomes(
        "quarantine:\n- digest: sha256:‹\n  reason: x # y\nhold: {}\n",
        "quarantine:\n- digest: sha256:‹\n  reason: x # y\n- digest: \"sha256:«\"\nhold: {}\n",
    );
    becomes("quarantine:\n- sha256:‹", "quarantine:\n- sha256:‹\n- digest: \"sha256:«\"");
    becomes("quarantine:\r\n- sha256:‹\r\n", "quarantine:\r\n- sha256:‹\r\n- digest: \"sha256:«\"\r\n");
}

#[test]
fn a_flow_list_gets_an_element() {
    becomes("quarantine: []  # c\n", "quarantine: [{digest: \"sha256:«\"}]  # c\n");
    becomes("quarantine: [ ]\n", "quarantine: [{digest: \"sha256:«\"} ]\n");
    becomes("quarantine: [\"sha256:‹\", ]\n", "quarantine: [\"sha256:‹\", {digest: \"sha256:«\"}, ]\n");
    becomes("quarantine: [{digest: sha256:‹}]", "quarantine: [{digest: sha256:‹}, {digest: \"sha256:«\"}]");
}

#[test]
fn the_key_is_added_where_it_is_missing() {
    becomes("hold: {reason: x} # c\n", "hold: {reason: x} # c\nquarantine:\n  - digest: \"sha256:«\"\n");
    becomes("\u{feff}hold: {}", "\u{feff}hold: {}\nquarantine:\n  - digest: \"sha256:«\"");
    becomes("hold: {}\r\n", "hold: {}\r\nquarantine:\r\n  - digest: \"sha256:«\"\r\n");
    becomes("{hold: {}}\n", "{hold: {}, quarantine: [{digest: \"sha256:«\"}]}\n");
    becomes("{}\n", "{quarantine: [{digest: \"sha256:«\"}]}\n");
}

#[test]
fn a_file_of_comments_keeps_them() {
    becomes("# nothing yet\n", "# nothing yet\nquarantine:\n  - digest: \"sha256:«\"\n");
    becomes("---\n# nothing yet", "---\n# nothing yet\nquarantine:\n  - digest: \"sha256:«\"\n");
}

#[test]
fn a_list_without_value_gets_one() {
    becomes("quarantine: # none\nhold: {}\n", "quarantine: [{digest: \"sha256:«\"}] # none\nhold: {}\n");
    becomes("quarantine: ~\n", "quarantine: [{digest: \"sha256:«\"}]\n");
}

#[test]
fn what_cannot_be_extended_without_doubt_is_refused() {
    assert!(add("approvals: &q []\nquarantine: *q\n", &bare()).is_err());
    assert!(matches!(add("quarantine: !!seq []\n", &bare()), Err(EditError::Doubtful { line: 1, .. })));
    assert!(matches!(
        add("quarantine:\n-\n  digest: sha256:‹\n", &bare()),
        Err(EditError::Doubtful { line: 2, .. })
    ));
    assert!(matches!(add("hold: {}\n# a\r# b\n", &bare()), Err(EditError::Doubtful { line: 2, .. })));
    assert!(add("unknown: x\n", &bare()).is_err());
}

fn hold(reason: &str) -> Amendment {
    Amendment::Hold(Hold { reason: Some(reason.to_owned()), by: None, until: None, image: None })
}

/// What stands there after `amendment`: none where the file goes. A second time changes nothing.
#[track_caller]
fn amended(before: &str, amendment: &Amendment) -> Option<String> {
    match amend(Some(full(before).as_bytes()), std::slice::from_ref(amendment)).unwrap() {
        Amended::Same => panic!("{before:?} says so already"),
        Amended::Removed => None,
        Amended::Written(bytes) => {
            let again = amend(Some(&bytes), std::slice::from_ref(amendment)).unwrap();
            assert_eq!(again, Amended::Same, "a second time");
            Some(
                String::from_utf8(bytes).unwrap().replace(&"a".repeat(64), "«").replace(&"b".repeat(64), "‹"),
            )
        }
    }
}

#[test]
fn a_hold_says_who_why_how_long_and_of_what() {
    let whole = Hold {
        reason: Some("release\nfreeze".to_owned()),
        by: Some("Ann <ann@example.org>".to_owned()),
        until: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        image: Some("r.io/a:1".to_owned()),
    };
    let Amended::Written(text) = amend(None, &[Amendment::Hold(whole.clone())]).unwrap() else { panic!() };
    assert_eq!(
        String::from_utf8(text.clone()).unwrap(),
        "hold:\n  reason: \"release freeze\"\n  by: \"Ann <ann@example.org>\"\n  \
         until: \"2026-01-02T03:04:05Z\"\n  image: \"r.io/a:1\"\n"
    );
    assert_eq!(amend(Some(&text), &[Amendment::Hold(whole)]), Ok(Amended::Same));
}

#[test]
fn a_hold_takes_the_place_of_the_one_before_in_its_style() {
    for (before, after) in [
        ("# c\n", "# c\nhold:\n  reason: \"x\"\n"),
        ("hold:\n    reason: y # why\n    by: ann\n# end\n", "hold:\n    reason: \"x\"\n# end\n"),
        ("hold: {by: ann} # c\nquarantine: []\n", "hold: {reason: \"x\"} # c\nquarantine: []\n"),
        ("hold: # c\n", "hold: {reason: \"x\"} # c\n"),
        (
            "hold:\n  reason: |\n    long\n    text\nquarantine: []\n",
            "hold:\n  reason: \"x\"\nquarantine: []\n",
        ),
        ("{quarantine: []}\n", "{quarantine: [], hold: {reason: \"x\"}}\n"),
        ("quarantine:\n- sha256:‹\n", "quarantine:\n- sha256:‹\nhold:\n  reason: \"x\"\n"),
    ] {
        assert_eq!(amended(before, &hold("x")).as_deref(), Some(after), "{before:?}");
    }
}

#[test]
fn a_hold_whose_words_say_nothing_holds_and_can_end() {
    for (before, after) in
        [("hold:\n  reason: y\n  by: ann\n# end\n", "hold:\n  {}\n# end\n"), ("# end\n", "# end\nhold: {}\n")]
    {
        let held = amended(before, &hold("\0")).unwrap();
        assert_eq!(held, after);
        assert!(record(&held).hold.is_some());
        assert_eq!(amended(&held, &Amendment::Unhold), None);
    }
}

#[test]
fn a_hold_that_ends_leaves_all_else_and_comments_where_they_were() {
    for (before, after) in [
        (
            "# top\nhold:\n  reason: y\n# mid\nquarantine:\n- sha256:‹\n",
            "# top\n# mid\nquarantine:\n- sha256:‹\n",
        ),
        ("quarantine: [sha256:‹] # q\nhold: {by: ann} # c\n", "quarantine: [sha256:‹] # q\n"),
        ("quarantine: [sha256:‹]\r\nhold: {}\r\n", "quarantine: [sha256:‹]\r\n"),
        ("quarantine: [sha256:‹]\nhold: {}", "quarantine: [sha256:‹]"),
        ("{hold: {by: ann}, quarantine: [sha256:‹]}\n", "{quarantine: [sha256:‹]}\n"),
        ("{quarantine: [sha256:‹], hold: {by: ann}}\n", "{quarantine: [sha256:‹]}\n"),
        ("\u{feff}hold: {}\nquarantine: [sha256:‹]\n", "\u{feff}quarantine: [sha256:‹]\n"),
        ("hold:\n  reason: |\n    long\n\nquarantine: [sha256:‹]\n", "\nquarantine: [sha256:‹]\n"),
    ] {
        assert_eq!(amended(before, &Amendment::Unhold).as_deref(), Some(after), "{before:?}");
    }
}

#[test]
fn one_digest_leaves_the_quarantine_and_the_others_stay() {
    let lift = Amendment::Unquarantine(digest("sha256:«"));
    for (before, after) in [
        (
            "quarantine:\n  # bad\n  - digest: \"sha256:«\"\n    tag: 1.0.0 # c\n  - sha256:‹ # d\n",
            "quarantine:\n  # bad\n  - sha256:‹ # d\n",
        ),
        ("quarantine:\n- sha256:‹\n- sha256:« # c\nhold: {}\n", "quarantine:\n- sha256:‹\nhold: {}\n"),
        ("quarantine: [sha256:«, sha256:‹]\n", "quarantine: [sha256:‹]\n"),
        ("quarantine: [sha256:‹, {digest: \"sha256:«\"}, ]\n", "quarantine: [sha256:‹, ]\n"),
        ("quarantine: [sha256:«, sha256:‹, sha256:«]\n", "quarantine: [sha256:‹]\n"),
        ("hold: {}\nquarantine:\n- sha256:«\n", "hold: {}\n"),
    ] {
        assert_eq!(amended(before, &lift).as_deref(), Some(after), "{before:?}");
    }
    assert_eq!(amend(Some(b"hold: {}\n"), &[lift]), Ok(Amended::Same));
}

#[test]
fn an_approval_says_of_what_who_when_and_why_and_goes_with_its_version() {
    let approval = |digit: &str, by: &str| {
        let at = Some("2026-01-02T03:04:05Z".parse().unwrap());
        let reason = Some("tested\nby hand".to_owned());
        let approval = Approval { digest: digest(digit), by: Some(by.to_owned()), at, reason };
        Amendment::Approve(approval, None)
    };
    let first = amended("hold: {}\n", &approval("sha256:«", "Ann <a@x>")).unwrap();
    assert_eq!(
        first,
        "hold: {}\napprovals:\n  - digest: \"sha256:«\"\n    by: \"Ann <a@x>\"\n    at: \"2026-01-02T03:04:05Z\"\n    \
         reason: \"tested by hand\"\n"
    );
    let second = amended(&first, &approval("sha256:‹", "Ann <a@x>")).unwrap();
    let third = amended(&second, &approval("sha256:«", "Bob <b@x>")).unwrap();
    assert_eq!(record(&third).approvals.len(), 3);
    let gone = amended(&third, &Amendment::Disapprove(digest("sha256:«"))).unwrap();
    assert_eq!(record(&gone).approvals, record(&second).approvals[1..]);
}

#[test]
fn a_release_names_the_commit_that_it_goes_on_from_and_is_settled_by_an_election() {
    let released = Released { commit: "c".repeat(40).parse().unwrap(), reason: None, by: None, at: None };
    let text = amended("hold: {}\n", &Amendment::Release(released.clone())).unwrap();
    assert_eq!(text, format!("hold: {{}}\nreleased:\n  commit: \"{}\"\n", "c".repeat(40)));
    assert_eq!(Record::parse(text.as_bytes()).unwrap().released, Some(released));
    assert_eq!(amended(&text, &Amendment::Settle).as_deref(), Some("hold: {}\n"));
}

#[test]
fn the_file_goes_with_the_last_thing_that_it_says() {
    for (before, amendment) in [
        ("# why\nhold: {by: ann}\n", Amendment::Unhold),
        ("{hold: {}}\n", Amendment::Unhold),
        ("quarantine: [sha256:«]\nhold:\n", Amendment::Unhold),
        ("quarantine:\n- sha256:«\n", Amendment::Unquarantine(digest("sha256:«"))),
    ] {
        let mut all = vec![amendment];
        all.push(Amendment::Unquarantine(digest("sha256:«")));
        assert_eq!(amend(Some(full(before).as_bytes()), &all), Ok(Amended::Removed), "{before:?}");
    }
    assert_eq!(amend(None, &[Amendment::Unhold]), Ok(Amended::Same), "no file, nothing to remove");
    assert_eq!(amend(Some(b"# only words\n"), &[Amendment::Unhold]), Ok(Amended::Same));
}

#[test]
fn what_cannot_be_removed_without_doubt_is_refused() {
    for before in ["hold: &h {}\nquarantine: *h\n", "--- {hold: {}, # c\n quarantine: [sha256:‹]}\n"] {
        assert!(amend(Some(full(before).as_bytes()), &[Amendment::Unhold]).is_err(), "{before:?}");
    }
    let lift = [Amendment::Unquarantine(digest("sha256:«"))];
    assert!(amend(Some(full("quarantine:\n-\n  sha256:«\n- sha256:‹\n").as_bytes()), &lift).is_err());
    assert!(amend(Some(full("hold: [\n").as_bytes()), &lift).is_err());
}

#[test]
fn a_hold_whose_time_is_over_holds_nothing() {
    let read = record("hold: {until: 2026-01-02T03:04:05Z}\n");
    assert!(read.held("2026-01-02T03:04:04Z".parse().unwrap()).is_some());
    assert!(read.held("2026-01-02T03:04:05Z".parse().unwrap()).is_none());
    assert!(record("hold: {}\n").held("2100-01-01T00:00:00Z".parse().unwrap()).is_some());
}
