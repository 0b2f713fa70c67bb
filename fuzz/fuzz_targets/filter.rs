//! A filter of tags: its pattern and its template are read or refused, and any tag can be asked of it; so can a number.
#![no_main]

use libfuzzer_sys::fuzz_target;
use promote::elect::filter::Filter;
use promote::elect::number::Number;
use promote::elect::pattern::Pattern;

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, extract, tag) = input;
    match text.parse::<Pattern>() {
        Ok(pattern) => {
            assert_eq!(pattern.to_string(), text);
            if let (Ok(filter), true) = (Filter::new(pattern, Some(extract)), tag.is_ascii()) {
                let _ = filter.compared(tag);
            }
        }
        Err(error) => {
            assert!(error.at() <= text.len(), "a place within the text");
            assert!(!error.to_string().is_empty());
        }
    }
    if let Some(number) = Number::parse(extract) {
        assert!(number.cmp(&number).is_eq());
    }
});
