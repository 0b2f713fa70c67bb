//! A promote.yaml, of anybody who may push: it is read or refused, and each problem can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::config::Config;

fuzz_target!(|text: &[u8]| {
    if let Err(problems) = Config::parse("promote.yaml", text) {
        assert!(!problems.to_string().is_empty());
    }
});
