//! Where the parts of an OCI archive lie in its file (tar as POSIX.1-2001 and GNU write it). Nothing is unpacked, so no
//! entry can lead anywhere.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

const BLOCK: u64 = 512;
/// More entries than this are no image.
const ENTRY_LIMIT: usize = 100_000;
/// The longest extended header that is read; a name has some hundred bytes.
const HEADER_LIMIT: u64 = 64 * 1024;

/// A file's place in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its first byte.
    pub offset: u64,
    /// Its length; the archive's file is long enough.
    pub size: u64,
}

/// Why an archive has no list of entries.
#[derive(Debug)]
pub enum Fault {
    /// It may still be written.
    Short(String),
    /// It is something else.
    Unusable(String),
    /// It can't be read.
    Io(std::io::Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Short("the archive ends too early".to_owned()),
            _ => Self::Io(error),
        }
    }
}

/// The regular files that an image may need, by their names; a later entry replaces an earlier one of its name.
pub fn entries(file: &mut (impl Read + Seek), length: u64) -> Result<HashMap<String, Entry>, Fault> {
    let mut found = HashMap::new();
    let (mut at, mut count) = (0_u64, 0);
    // What an extended header says about the entry after it.
    let (mut long_name, mut long_size) = (None, None);
    loop {
        let mut block = [0; 512];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block).map_err(|error| match (at, error.kind()) {
            (0, std::io::ErrorKind::UnexpectedEof) => Fault::Short("the file has no content yet".to_owned()),
            _ => error.into(),
        })?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(found);
        }
        if !has_checksum(&block) {
            return Err(Fault::Unusable(what_else(&block).to_owned()));
        }
        count += 1;
        if count > ENTRY_LIMIT {
            return Err(Fault::Unusable(format!("the archive has more than {ENTRY_LIMIT} entries")));
        }
        let broken = || Fault::Unusable("the archive has an entry of impossible size".to_owned());
        let kind = block[156];
        let extended = matches!(kind, b'x' | b'g' | b'L' | b'K');
        let told = number(&block[124..136]).ok_or_else(broken)?;
        let size = if extended { told } else { long_size.take().unwrap_or(told) };
        let offset = at + BLOCK;
        let end = offset.checked_add(size).ok_or_else(broken)?;
        if end > length {
            return Err(Fault::Short("the archive ends within an entry".to_owned()));
        }
        at = end.checked_next_multiple_of(BLOCK).ok_or_else(broken)?;
        if extended {
            if size > HEADER_LIMIT {
                return Err(Fault::Unusable("the archive has an extended header above 64 KiB".to_owned()));
            }
            let mut text = Vec::new();
            file.by_ref().take(size).read_to_end(&mut text)?;
            match kind {
                b'L' => long_name = Some(until_nul(&text)),
                b'x' => {
                    let records = records(&text);
                    long_name = records.get("path").cloned().or(long_name);
                    long_size = records.get("size").and_then(|size| size.parse().ok());
                }
                _ => {}
            }
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| name(&block));
        if matches!(kind, b'0' | 0 | b'7') {
            let name = name.strip_prefix("./").unwrap_or(&name);
            if matches!(name, "index.json" | "oci-layout" | "manifest.json") || name.starts_with("blobs/") {
                found.insert(name.to_owned(), Entry { offset, size });
            }
        }
    }
}

/// The sum of the header's bytes, its own field taken as spaces.
fn has_checksum(block: &[u8; 512]) -> bool {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
        .sum();
    number(&block[148..156]) == Some(sum)
}

fn what_else(block: &[u8; 512]) -> &'static str {
    match block {
        [0x1f, 0x8b, ..] => {
            "it is compressed by gzip; write the archive without compression, its layers are compressed already"
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "it is compressed by zstd; write the archive without compression, its layers are compressed already"
        }
        _ => {
            "it is neither a folder nor a tar archive; write an OCI layout, as `docker buildx build --output type=oci,dest=FILE` does"
        }
    }
}

/// Octal digits, or GNU's base 256 for what is too large for them.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let start = u64::from(first & 0x7f);
        return rest.iter().try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits: Vec<u8> = field
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|byte| !matches!(byte, 0 | b' '))
        .collect();
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn name(block: &[u8; 512]) -> String {
    let name = until_nul(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { until_nul(&block[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn until_nul(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).into_owned()
}

/// `LENGTH KEY=VALUE\n`, one after the other.
fn records(mut text: &[u8]) -> HashMap<String, String> {
    let mut records = HashMap::new();
    while let Some(space) = text.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&text[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| text.get(space + 1..length)) else { break };
        let line = String::from_utf8_lossy(record);
        if let Some((key, value)) = line.trim_end_matches('\n').split_once('=') {
            records.insert(key.to_owned(), value.to_owned());
        }
        text = text.get(length.unwrap_or_default()..).unwrap_or_default();
    }
    records
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
        let mut block = vec![0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum::<u64>() + 8 * 32;
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    fn file(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = header(name, kind, content.len() as u64);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<HashMap<String, Entry>, Fault> {
        entries(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn the_parts_of_an_image_are_found_where_they_lie() {
        let long = format!("blobs/sha512/{}", "0".repeat(128));
        let record = format!("path={long}\n");
        // The length counts its own digits and the space.
        let pax = format!("{} {record}", record.len() + 4);
        let whole = [
            file("blobs/", b'5', b""),
            file("./index.json", b'0', b"{}"),
            file("blobs/sha256/link", b'2', b""),
            file("x", b'x', pax.as_bytes()),
            file("cut", b'0', b"content"),
            file("././@LongLink", b'L', b"blobs/sha256/gnu\0"),
            file("cut", 0, b"more"),
            file("elsewhere", b'0', b"..."),
            vec![0; 1024],
        ]
        .concat();
        let found = read(&whole).unwrap();
        let mut names: Vec<&str> = found.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["blobs/sha256/gnu", long.as_str(), "index.json"]);
        let Entry { offset, size } = found[&long];
        let start = usize::try_from(offset).unwrap();
        assert_eq!(&whole[start..start + usize::try_from(size).unwrap()], b"content");
    }

    #[test]
    fn an_archive_that_is_being_written_is_short_at_every_length() {
        let whole = [file("index.json", b'0', b"{}"), file("blobs/sha256/x", b'0', &[7; 600]), vec![0; 1024]]
            .concat();
        let end = whole.len() - 1024;
        for length in 0..end + 512 {
            assert!(matches!(read(&whole[..length]), Err(Fault::Short(_))), "{length}");
        }
        assert_eq!(read(&whole).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let said = |bytes: &[u8]| match read(&[bytes, &[1; 600]].concat()) {
            Err(Fault::Unusable(words)) => words,
            other => panic!("{other:?}"),
        };
        assert!(said(&[0x1f, 0x8b]).contains("gzip"));
        assert!(said(&[0x28, 0xb5, 0x2f, 0xfd]).contains("zstd"));
        assert!(said(b"PK").contains("neither a folder nor a tar"));
        let mut endless = header("blobs/x", b'0', 0);
        endless[124..136].copy_from_slice(&[0xff; 12]);
        assert!(read(&endless).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_point_outside(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            if let Ok(found) = read(&bytes) {
                prop_assert!(found.values().all(|entry| entry.offset + entry.size <= bytes.len() as u64));
            }
        }

        #[test]
        fn no_change_of_a_good_archive_makes_it_panic(at in 0_usize..2048, byte in any::<u8>()) {
            let mut whole =
                [file("index.json", b'0', b"{}"), file("x", b'x', b"12 size=999\n"), vec![0; 1024]].concat();
            if let Some(place) = whole.get_mut(at) {
                *place = byte;
            }
            if let Ok(found) = read(&whole) {
                prop_assert!(found.values().all(|entry| entry.offset + entry.size <= whole.len() as u64));
            }
        }
    }
}
