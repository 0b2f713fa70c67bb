//! An OCI archive, of whatever builder: its entries lie within it, or there are none.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use promote::discover::build::archive::entries;

fuzz_target!(|archive: &[u8]| {
    let length = archive.len() as u64;
    if let Ok(found) = entries(&mut Cursor::new(archive), length) {
        assert!(found.values().all(|entry| entry.offset.checked_add(entry.size).is_some_and(|end| end <= length)));
    }
});
