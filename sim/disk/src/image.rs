//! The bytes of one file, and the only code that changes them.
//!
//! `sync` is told of every request for durability but keeps no record yet: with no power loss,
//! what is written is what survives.

/// A file's content.
#[derive(Debug, Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
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
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
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

    /// Cuts the file to `length`, or extends it with zeros.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.resize(length, 0);
    }

    /// Everything written so far is to be durable.
    pub(crate) fn sync(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn a_read_past_the_end_is_short_and_zero_filled() {
        let mut image = Image::default();
        image.write(2, b"ab");
        let mut buffer = [9; 6];
        assert!(!image.read(1, &mut buffer));
        assert_eq!(buffer, [0, b'a', b'b', 0, 0, 0]);
    }

    #[test]
    fn a_write_inside_keeps_what_is_around_it() {
        let mut image = Image::default();
        image.write(0, b"abcdef");
        image.write(2, b"XY");
        image.truncate(5);
        assert_eq!(image.bytes(), b"abXYe");
    }
}
