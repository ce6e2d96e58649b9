//! The bytes of one file, and the only code that changes them.
//!
//! What is read is what was written last, as from a page cache. Beside it an image keeps what it takes to undo
//! every change since the last sync, so that a power loss can do so; a sync forgets it.

/// A file's content.
#[derive(Debug, Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
    /// What is not durable yet, in the order in which it was done.
    unsynced: Vec<Undo>,
}

/// How to take one change back.
#[derive(Debug)]
struct Undo {
    /// When it was made, among the changes of its disk.
    stamp: u64,
    length_before: usize,
    /// Where what it has overwritten or cut off begins.
    offset: usize,
    lost: Vec<u8>,
    /// How many bytes it has written; `None` if it has set the length.
    written: Option<usize>,
}

/// A change that was taken back and can be made again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes at an offset.
    Write {
        /// Where.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A new length.
    Resize {
        /// How long.
        length: usize,
    },
}

impl Image {
    /// The whole content.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Copies what lies at `offset` into `buffer`, fills the rest with zeros as SQLite demands,
    /// and says whether all of it was there.
    pub(crate) fn read(&self, offset: usize, buffer: &mut [u8]) -> bool {
        let there = self.bytes.get(offset..).unwrap_or_default();
        let length = there.len().min(buffer.len());
        let (copied, missing) = buffer.split_at_mut(length);
        copied.copy_from_slice(&there[..length]);
        missing.fill(0);
        missing.is_empty()
    }

    /// Writes `bytes` at `offset`; a gap before it reads as zeros.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8], stamp: u64) {
        let (length, end) = (self.bytes.len(), offset + bytes.len());
        let lost = self.bytes.get(offset..end.min(length)).unwrap_or_default().to_vec();
        let written = Some(bytes.len());
        self.unsynced.push(Undo { stamp, length_before: length, offset, lost, written });
        self.put(offset, bytes);
    }

    /// Cuts the file to `length`, or extends it with zeros.
    pub(crate) fn truncate(&mut self, length: usize, stamp: u64) {
        let lost = self.bytes.get(length..).unwrap_or_default().to_vec();
        let length_before = self.bytes.len();
        self.unsynced.push(Undo { stamp, length_before, offset: length, lost, written: None });
        self.bytes.resize(length, 0);
    }

    /// Everything written so far is durable.
    pub(crate) fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// Goes back to what is durable. Returns what was not, with its stamps.
    pub(crate) fn rewind(&mut self) -> Vec<(u64, Change)> {
        let undone: Vec<Undo> = std::mem::take(&mut self.unsynced);
        undone.into_iter().rev().map(|undo| self.undo(undo)).collect()
    }

    /// Makes a change that is durable at once.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.put(*offset, bytes),
            Change::Resize { length } => self.bytes.resize(*length, 0),
        }
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        if offset == self.bytes.len() {
            self.bytes.extend_from_slice(bytes);
            return;
        }
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    fn undo(&mut self, undo: Undo) -> (u64, Change) {
        let Undo { stamp, length_before, offset, lost, written } = undo;
        let change = match written {
            // Later changes are undone by now, so these are the bytes that it wrote.
            Some(length) => {
                Change::Write { offset, bytes: self.bytes[offset..offset + length].to_vec() }
            }
            None => Change::Resize { length: self.bytes.len() },
        };
        self.bytes.resize(length_before, 0);
        self.put(offset.min(length_before), &lost);
        (stamp, change)
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Image};

    #[test]
    fn a_read_past_the_end_is_short_and_zero_filled() {
        let mut image = Image::default();
        image.write(2, b"ab", 1);
        let mut buffer = [9; 6];
        assert!(!image.read(1, &mut buffer));
        assert_eq!(buffer, [0, b'a', b'b', 0, 0, 0]);
    }

    #[test]
    fn a_write_inside_keeps_what_is_around_it() {
        let mut image = Image::default();
        image.write(0, b"abcdef", 1);
        image.write(2, b"XY", 2);
        image.truncate(5, 3);
        assert_eq!(image.bytes(), b"abXYe");
    }

    #[test]
    fn rewinding_goes_back_to_the_last_sync_and_tells_what_that_took() {
        let mut image = Image::default();
        image.write(0, b"abcdef", 1);
        image.sync();
        image.write(4, b"WXYZ", 2);
        image.truncate(3, 3);
        image.write(5, b"!", 4);
        let mut undone = image.rewind();
        assert_eq!(image.bytes(), b"abcdef");
        undone.sort_by_key(|(stamp, _)| *stamp);
        let write = |offset, bytes: &[u8]| Change::Write { offset, bytes: bytes.to_vec() };
        let expected =
            [(2, write(4, b"WXYZ")), (3, Change::Resize { length: 3 }), (4, write(5, b"!"))];
        assert_eq!(undone, expected);
        for (_, change) in &undone {
            image.apply(change);
        }
        assert_eq!(image.bytes(), b"abc\0\0!");
        assert_eq!(image.rewind(), []);
    }
}
