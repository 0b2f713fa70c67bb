//! A pack of new objects. Format: Git's `gitformat-pack`, version 2, without deltas.

use std::collections::HashSet;
use std::io::Write as _;

use flate2::{Compress, Compression, FlushCompress, Status};
use git2::{ObjectType, Oid, Repository};
use sha1::Digest as _;

/// Objects that no file of the repository holds yet.
pub(super) struct Pack {
    bytes: Vec<u8>,
    ids: HashSet<Oid>,
    compress: Compress,
}

/// `PACK`, the version and room for the number of objects.
const HEAD: &[u8; 12] = b"PACK\0\0\0\x02\0\0\0\0";

impl Pack {
    pub(super) fn new() -> Self {
        // What is sent is packed anew, and better; here it only has to be quick.
        let compress = Compress::new(Compression::fast(), true);
        Self { bytes: HEAD.to_vec(), ids: HashSet::new(), compress }
    }

    /// Adds an object, once.
    pub(super) fn add(&mut self, kind: ObjectType, content: &[u8]) -> Result<Oid, git2::Error> {
        let id = Oid::hash_object(kind, content)?;
        if self.ids.insert(id) {
            self.head(kind, content.len());
            self.deflate(content)?;
        }
        Ok(id)
    }

    /// Kind and size: four bits of it in the first byte, seven in each further one, the lowest first.
    fn head(&mut self, kind: ObjectType, size: usize) {
        let kind = match kind {
            ObjectType::Tree => 2,
            ObjectType::Blob => 3,
            ObjectType::Tag => 4,
            _ => 1,
        };
        let more = |left: usize| u8::from(left > 0) << 7;
        let low = |size: usize, mask: usize| u8::try_from(size & mask).unwrap_or_default();
        let mut left = size >> 4;
        self.bytes.push(more(left) | kind << 4 | low(size, 15));
        while left > 0 {
            let bits = low(left, 127);
            left >>= 7;
            self.bytes.push(more(left) | bits);
        }
    }

    fn deflate(&mut self, content: &[u8]) -> Result<(), git2::Error> {
        let failed = |error: &dyn std::fmt::Display| git2::Error::from_str(&format!("no pack: {error}"));
        self.compress.reset();
        let mut read = 0;
        loop {
            self.bytes.reserve(content.len() / 2 + 64);
            let status = self.compress.compress_vec(&content[read..], &mut self.bytes, FlushCompress::Finish);
            read = usize::try_from(self.compress.total_in()).map_err(|error| failed(&error))?;
            match status.map_err(|error| failed(&error))? {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Makes the objects known to the repository, all at once.
    pub(super) fn keep_in(mut self, repository: &Repository) -> Result<(), git2::Error> {
        let count = u32::try_from(self.ids.len())
            .map_err(|_| git2::Error::from_str("no pack holds more than 2^32 objects"))?;
        self.bytes[8..HEAD.len()].copy_from_slice(&count.to_be_bytes());
        let sum = sha1::Sha1::digest(&self.bytes);
        self.bytes.extend_from_slice(&sum);
        let odb = repository.odb()?;
        let mut writer = odb.packwriter()?;
        writer.write_all(&self.bytes).map_err(|error| git2::Error::from_str(&error.to_string()))?;
        writer.commit()?;
        Ok(())
    }
}
