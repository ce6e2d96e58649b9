//! Records out of a stream, in one pass: framing, fields, count and checksum (PSD-005 §9.1;
//! `BAK-12`, `BAK-13`, `BAK-46`, `BAK-50`, `RST-82`..`RST-86`, D-104, P-202, P-222).
//!
//! A length that the stream states is never trusted for more than the bytes that follow. What the
//! fields mean is for whoever reads.

use abi::Errno;
use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};
use sha2::{Digest, Sha256};

use super::format::{
    CHECKSUM_LENGTH, FRAME_LENGTH, Header, KeyRecord, LayerRecord, MAGIC, PathRecord, Record,
    VERSION, record_type,
};
use crate::limits::{NAME_LENGTH_CEILING, STREAM_CHUNK_BYTES, VALUE_BYTES_CEILING};
use crate::stream::Stream;

/// Bytes of the longest payload of every known type but VALUE: a descriptor and two names are far
/// less.
const PAYLOAD_BYTES_MAX: usize = 2 * 65_536;
/// Bytes of the longest payload of a VALUE.
const VALUE_PAYLOAD_BYTES_MAX: usize = VALUE_BYTES_CEILING + 2 * NAME_LENGTH_CEILING + 64;
/// Bytes of a trailer's count.
const COUNT_LENGTH: usize = 8;

/// See the module.
pub struct RecordReader<'a> {
    stream: &'a dyn Stream,
    buffer: Vec<u8>,
    /// What of the buffer has not been taken yet.
    start: usize,
    end: usize,
    hash: Sha256,
    records: u64,
}

impl<'a> RecordReader<'a> {
    /// A reader at the beginning of a stream.
    pub fn new(stream: &'a dyn Stream) -> Self {
        let buffer = vec![0; STREAM_CHUNK_BYTES];
        Self { stream, buffer, start: 0, end: 0, hash: Sha256::new(), records: 0 }
    }

    /// HEADER, of a stream that this version can read.
    ///
    /// # Errors
    /// As [`RecordReader::next`].
    pub async fn header(&mut self) -> Result<Header, Errno> {
        let (kind, length) = self.frame().await?;
        if kind != record_type::HEADER {
            return Err(Errno::EINVAL);
        }
        match self.known(kind, length).await? {
            Some(Record::Header(header)) if header.min_reader_version <= VERSION => Ok(header),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The next record of a known type. The trailer comes when count and checksum are right.
    ///
    /// # Errors
    /// EINVAL for what is malformed, an early end included, and the stream's own.
    pub async fn next(&mut self) -> Result<Record, Errno> {
        // The stream's end is an error here, so the loop ends.
        loop {
            let (kind, length) = self.frame().await?;
            if kind == record_type::TRAILER {
                self.trailer(length).await?;
                return Ok(Record::Trailer);
            }
            match self.known(kind, length).await? {
                Some(record) => return Ok(record),
                None => self.skip(length).await?,
            }
        }
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// EINVAL when something does, and the stream's own.
    pub async fn expect_end(&mut self) -> Result<(), Errno> {
        if self.start == self.end && self.refill().await? == 0 {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Type and payload length of the next record.
    async fn frame(&mut self) -> Result<(u16, usize), Errno> {
        let frame = self.take(FRAME_LENGTH).await?;
        let mut fields = Fields(&frame);
        let (kind, length) = (u16::from_le_bytes(fields.array()?), fields.number()?);
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        self.records += 1;
        Ok((kind, length.checked_sub(FRAME_LENGTH).ok_or(Errno::EINVAL)?))
    }

    async fn known(&mut self, kind: u16, length: usize) -> Result<Option<Record>, Errno> {
        let length_max = match kind {
            record_type::VALUE => VALUE_PAYLOAD_BYTES_MAX,
            record_type::HEADER..=record_type::BLANKET_TOMBSTONE => PAYLOAD_BYTES_MAX,
            _ => return Ok(None),
        };
        if length > length_max {
            return Err(Errno::EINVAL);
        }
        let payload = self.take(length).await?;
        decode(kind, &payload).map(Some)
    }

    async fn trailer(&mut self, length: usize) -> Result<(), Errno> {
        if length != COUNT_LENGTH + CHECKSUM_LENGTH {
            return Err(Errno::EINVAL);
        }
        let count = self.take(COUNT_LENGTH).await?;
        let computed = std::mem::take(&mut self.hash).finalize();
        let stated = self.take(CHECKSUM_LENGTH).await?;
        let is_right = count == self.records.to_le_bytes() && stated == computed.as_slice();
        if is_right { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Takes so many bytes, which grow in memory only as they come.
    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Errno> {
        let mut taken = Vec::with_capacity(length.min(STREAM_CHUNK_BYTES));
        self.pass(length, |bytes| taken.extend_from_slice(bytes)).await?;
        Ok(taken)
    }

    async fn skip(&mut self, length: usize) -> Result<(), Errno> {
        self.pass(length, |_| {}).await
    }

    async fn pass(&mut self, length: usize, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
        let mut left = length;
        while left > 0 {
            if self.start == self.end && self.refill().await? == 0 {
                return Err(Errno::EINVAL);
            }
            let piece = &self.buffer[self.start..self.end.min(self.start + left)];
            self.hash.update(piece);
            each(piece);
            self.start += piece.len();
            left -= piece.len();
        }
        Ok(())
    }

    async fn refill(&mut self) -> Result<usize, Errno> {
        self.start = 0;
        self.end = 0;
        // A stream that says it has read more than there was room for is broken.
        let read = self.stream.read(&mut self.buffer).await?;
        self.end = if read <= self.buffer.len() { read } else { return Err(Errno::EIO) };
        Ok(read)
    }
}

/// The fields of a payload that nobody has taken yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Errno> {
        let (head, rest) = self.0.split_first_chunk::<LENGTH>().ok_or(Errno::EINVAL)?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u32, Errno> {
        self.array().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Result<u64, Errno> {
        self.array().map(u64::from_le_bytes)
    }

    fn guid(&mut self) -> Result<Guid, Errno> {
        self.array().map(Guid)
    }

    fn prefixed(&mut self) -> Result<Vec<u8>, Errno> {
        let length = usize::try_from(self.number()?).map_err(|_| Errno::EINVAL)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Errno::EINVAL)?;
        self.0 = rest;
        Ok(bytes.to_vec())
    }
}

fn decode(kind: u16, payload: &[u8]) -> Result<Record, Errno> {
    let mut fields = Fields(payload);
    let record = match kind {
        record_type::HEADER => Record::Header(decode_header(&mut fields)?),
        record_type::LAYER => Record::Layer(LayerRecord {
            name: fields.prefixed()?,
            precedence: fields.number()?,
            enabled: fields.array::<1>()?[0],
            owner: fields.prefixed()?,
        }),
        record_type::KEY => Record::Key(decode_key(&mut fields)?),
        record_type::PATH_ENTRY => Record::PathEntry(decode_path_entry(&mut fields)?),
        record_type::VALUE => {
            let key = fields.guid()?;
            let (name, value_type) = (fields.prefixed()?, fields.number()?);
            let (data, layer) = (fields.prefixed()?, fields.prefixed()?);
            let sequence = fields.long()?;
            Record::Value(key, ValueEntry { name, layer, value_type, data, sequence })
        }
        record_type::BLANKET_TOMBSTONE => {
            let key = fields.guid()?;
            let (layer, sequence) = (fields.prefixed()?, fields.long()?);
            Record::Blanket(key, BlanketEntry { layer, sequence })
        }
        _ => return Err(Errno::EINVAL),
    };
    if fields.0.is_empty() { Ok(record) } else { Err(Errno::EINVAL) }
}

fn decode_header(fields: &mut Fields<'_>) -> Result<Header, Errno> {
    if fields.array()? != MAGIC {
        return Err(Errno::EINVAL);
    }
    let _format_version = fields.number()?;
    let min_reader_version = fields.number()?;
    let _timestamp = fields.long()?;
    let root = fields.guid()?;
    // Nobody asks what the hive was called, but it is text (P-202).
    match String::from_utf8(fields.prefixed()?) {
        Ok(_) => Ok(Header { min_reader_version, root }),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn decode_key(fields: &mut Fields<'_>) -> Result<KeyRecord, Errno> {
    Ok(KeyRecord {
        guid: fields.guid()?,
        flags: fields.number()?,
        sd: fields.prefixed()?,
        last_write_time: fields.long()?,
    })
}

fn decode_path_entry(fields: &mut Fields<'_>) -> Result<PathRecord, Errno> {
    let (parent, name, child) = (fields.guid()?, fields.prefixed()?, fields.guid()?);
    let (layer, sequence) = (fields.prefixed()?, fields.long()?);
    let target = Some(child).filter(|child| *child != Guid::NULL);
    Ok(PathRecord { parent, name, entry: PathEntry { layer, target, sequence } })
}
