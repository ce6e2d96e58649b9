//! Little-endian fields read from and written to a message (PSD-005 §11.3).
//!
//! A reader hands out only what is there: a count or a length out of a message is never trusted
//! for more than the bytes that follow it.

use crate::error::FrameError;
use crate::message::Guid;

/// The unread rest of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn guid(&mut self) -> Result<Guid, FrameError> {
        self.array().map(Guid)
    }

    /// Bytes behind their 32-bit length.
    pub fn prefixed(&mut self) -> Result<Vec<u8>, FrameError> {
        let length = self.u32()? as usize;
        let (bytes, rest) =
            self.rest.split_at_checked(length).ok_or(FrameError::PayloadEndsEarly)?;
        self.rest = rest;
        Ok(bytes.to_vec())
    }

    /// Elements behind their 32-bit count, each of at least `element_length_min` bytes.
    pub fn array_of<T>(
        &mut self,
        element_length_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, FrameError>,
    ) -> Result<Vec<T>, FrameError> {
        let count = self.u32()? as usize;
        // Every element has bytes, so a count above this ends early: refuse it before reading.
        if count > self.rest.len() / element_length_min.max(1) {
            return Err(FrameError::PayloadEndsEarly);
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], FrameError> {
        let (head, rest) =
            self.rest.split_first_chunk::<LENGTH>().ok_or(FrameError::PayloadEndsEarly)?;
        self.rest = rest;
        Ok(*head)
    }
}

/// Most messages are no longer, and are written without growing.
const MESSAGE_CAPACITY: usize = 192;

/// A message under construction, its length not yet filled in.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with the four bytes of the message's length.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(MESSAGE_CAPACITY);
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes }
    }

    /// Fills in the length. A message beyond 32 bits gets the greatest length, so that its
    /// receiver refuses it.
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Some(head) = self.bytes.first_chunk_mut::<4>() {
            *head = length.to_le_bytes();
        }
        self.bytes
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn boolean(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn guid(&mut self, value: Guid) {
        self.bytes.extend_from_slice(&value.0);
    }

    pub fn prefixed(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// A count of elements or bytes; beyond 32 bits the whole message is refused anyway.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }
}
