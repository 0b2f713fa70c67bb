//! A webhook's message, whoever sends it: it is read or refused, and what it names is a place and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::config::ReceiverKind;
use promote::discover::webhook::google::{Keys, Token};
use promote::discover::webhook::{Malformed, Places, read};
use promote::model::Repository;

const KINDS: [ReceiverKind; 11] = [
    ReceiverKind::Github,
    ReceiverKind::Gitlab,
    ReceiverKind::Gitea,
    ReceiverKind::Harbor,
    ReceiverKind::Quay,
    ReceiverKind::Dockerhub,
    ReceiverKind::Distribution,
    ReceiverKind::Ecr,
    ReceiverKind::Acr,
    ReceiverKind::Gcr,
    ReceiverKind::GenericHmac,
];

fuzz_target!(|body: &[u8]| {
    let known: Repository = "ghcr.io/acme/app".parse().expect("a repository");
    let places = Places::new([&known]);
    for kind in KINDS {
        match read(kind, &Default::default(), body) {
            Ok(notice) => {
                for mention in &notice.mentions {
                    assert!(places.meant(kind, mention).iter().all(|meant| **meant == known));
                }
            }
            Err(Malformed::Json | Malformed::Shape) => {}
        }
    }
    _ = Keys::read(body);
    if let Ok(text) = std::str::from_utf8(body) {
        _ = Token::read(text);
    }
});
