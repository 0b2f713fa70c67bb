//! A commit's message, of anybody who may push: what its trailers say has no control characters left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::publish::message::parse;

fuzz_target!(|message: &str| {
    for trailers in parse(message) {
        let shown = [Some(&trailers.actor), trailers.reason.as_ref()];
        assert!(shown.into_iter().flatten().all(|text| !text.chars().any(char::is_control)));
    }
});
