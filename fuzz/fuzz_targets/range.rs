//! A semver range: it is read or refused, what was read is shown as it was written, and it can be asked about any tag.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::elect::range::Range;
use promote::elect::semver::version_of;

fuzz_target!(|input: (&str, &str)| {
    let (text, tag) = input;
    match text.parse::<Range>() {
        Ok(range) => {
            let again = range.to_string().parse::<Range>();
            assert_eq!(again.as_ref(), Ok(&range));
            if let Some(version) = version_of(tag) {
                let _ = range.matches(&version);
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.at()), "a place within the text");
            assert!(!error.to_string().is_empty());
        }
    }
});
