//! The memory of a calling process: mapped pieces at made-up addresses.
//!
//! Every piece stands alone, with unmapped addresses around it, so that a read or write past its
//! end faults. It is what the pointers of PSD-005 §6.2 and §6.3 point into; it knows nothing of
//! what lies there.

/// What a piece of memory allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Reads and writes.
    ReadWrite,
    /// Reads only.
    ReadOnly,
}

/// An access outside what is mapped or allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    address: u64,
    bytes: Vec<u8>,
    protection: Protection,
}

/// The memory of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSpace {
    pieces: Vec<Piece>,
}

/// Where the first piece lies; nothing below is mapped, so a null pointer faults.
const FIRST_ADDRESS: u64 = 0x1_0000;
/// Pieces start on multiples of this, with at least this much unmapped space between them.
const ALIGNMENT: u64 = 0x1000;

impl AddressSpace {
    /// Nothing mapped.
    pub fn new() -> AddressSpace {
        AddressSpace::default()
    }

    /// Maps `bytes` and returns their address.
    pub fn map(&mut self, bytes: Vec<u8>, protection: Protection) -> u64 {
        let address = self.pieces.last().map_or(FIRST_ADDRESS, |piece| {
            (piece.address + piece.bytes.len() as u64).next_multiple_of(ALIGNMENT) + ALIGNMENT
        });
        self.pieces.push(Piece { address, bytes, protection });
        address
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// `Fault` unless the whole range lies in one piece.
    pub fn read(&self, address: u64, length: u64) -> Result<&[u8], Fault> {
        let (index, start) = self.locate(address, length).ok_or(Fault)?;
        self.pieces[index].bytes.get(start..start + length as usize).ok_or(Fault)
    }

    /// The bytes from an address up to the first null byte, which is not among them.
    ///
    /// # Errors
    /// `Fault` if the piece ends before a null byte, or if the address is not mapped.
    pub fn read_terminated(&self, address: u64) -> Result<&[u8], Fault> {
        let (index, start) = self.locate(address, 1).ok_or(Fault)?;
        let rest = &self.pieces[index].bytes[start..];
        let length = rest.iter().position(|byte| *byte == 0).ok_or(Fault)?;
        Ok(&rest[..length])
    }

    /// Overwrites a range.
    ///
    /// # Errors
    /// `Fault` unless the whole range lies in one writable piece; then nothing is written.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        if !self.is_writable(address, bytes.len() as u64) {
            return Err(Fault);
        }
        let (index, start) = self.locate(address, bytes.len() as u64).ok_or(Fault)?;
        self.pieces[index].bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Whether a range lies in one writable piece.
    pub fn is_writable(&self, address: u64, length: u64) -> bool {
        self.locate(address, length)
            .is_some_and(|(index, _)| self.pieces[index].protection == Protection::ReadWrite)
    }

    /// Overwrites a range that lies in one piece, whatever its protection; no other range.
    pub fn patch(&mut self, address: u64, bytes: &[u8]) {
        if let Some((index, start)) = self.locate(address, bytes.len() as u64) {
            self.pieces[index].bytes[start..start + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Makes the piece that holds an address refuse writes.
    pub fn make_read_only(&mut self, address: u64) {
        if let Some((index, _)) = self.locate(address, 0) {
            self.pieces[index].protection = Protection::ReadOnly;
        }
    }

    /// Unmaps the last `length` bytes of the piece that holds an address; all of it if it is
    /// shorter.
    pub fn cut(&mut self, address: u64, length: usize) {
        if let Some((index, _)) = self.locate(address, 0) {
            let bytes = &mut self.pieces[index].bytes;
            bytes.truncate(bytes.len().saturating_sub(length));
        }
    }

    /// The ranges, as address and length, in which another state of the same memory differs;
    /// `None` if it is not the same memory, because something else is mapped or protected.
    pub fn changes(&self, after: &AddressSpace) -> Option<Vec<(u64, u64)>> {
        let is_same = |(before, after): (&Piece, &Piece)| {
            before.address == after.address
                && before.bytes.len() == after.bytes.len()
                && before.protection == after.protection
        };
        if self.pieces.len() != after.pieces.len()
            || !self.pieces.iter().zip(&after.pieces).all(is_same)
        {
            return None;
        }
        let mut changes: Vec<(u64, u64)> = Vec::new();
        for (piece, after) in self.pieces.iter().zip(&after.pieces) {
            for (offset, _) in
                piece.bytes.iter().zip(&after.bytes).enumerate().filter(|(_, (a, b))| a != b)
            {
                let address = piece.address + offset as u64;
                match changes.last_mut() {
                    Some((start, length)) if *start + *length == address => *length += 1,
                    _ => changes.push((address, 1)),
                }
            }
        }
        Some(changes)
    }

    fn locate(&self, address: u64, length: u64) -> Option<(usize, usize)> {
        self.pieces.iter().enumerate().find_map(|(index, piece)| {
            let start = address.checked_sub(piece.address)?;
            let end = start.checked_add(length)?;
            (end <= piece.bytes.len() as u64).then_some((index, start as usize))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_past_the_end_of_a_piece_faults() {
        let mut memory = AddressSpace::new();
        let first = memory.map(vec![1; 8], Protection::ReadWrite);
        let second = memory.map(vec![2; 8], Protection::ReadWrite);
        assert_eq!(memory.read(first, 8), Ok(&[1u8; 8][..]));
        assert_eq!(memory.read(first, 9), Err(Fault));
        assert_eq!(memory.read(second - 1, 1), Err(Fault));
        assert_eq!(memory.read(0, 1), Err(Fault));
    }

    #[test]
    fn a_read_only_piece_refuses_writes() {
        let mut memory = AddressSpace::new();
        let address = memory.map(vec![1; 8], Protection::ReadOnly);
        assert_eq!(memory.write(address, &[9]), Err(Fault));
        assert!(!memory.is_writable(address, 1));
        assert_eq!(memory.read(address, 1), Ok(&[1u8][..]));
    }

    #[test]
    fn a_string_ends_at_its_first_null_byte() {
        let mut memory = AddressSpace::new();
        let address = memory.map(b"ab\0cd".to_vec(), Protection::ReadOnly);
        assert_eq!(memory.read_terminated(address), Ok(&b"ab"[..]));
        assert_eq!(memory.read_terminated(address + 2), Ok(&b""[..]));
        assert_eq!(memory.read_terminated(address + 3), Err(Fault));
        assert_eq!(memory.read_terminated(0), Err(Fault));
    }

    #[test]
    fn what_is_cut_off_is_not_mapped() {
        let mut memory = AddressSpace::new();
        let address = memory.map(vec![1; 8], Protection::ReadWrite);
        memory.cut(address, 3);
        assert_eq!(memory.read(address, 5), Ok(&[1u8; 5][..]));
        assert_eq!(memory.read(address, 6), Err(Fault));
        memory.cut(address, 9);
        assert_eq!(memory.read(address, 1), Err(Fault));
    }

    #[test]
    fn changes_are_found_as_ranges() {
        let mut before = AddressSpace::new();
        let first = before.map(vec![1; 4], Protection::ReadWrite);
        let second = before.map(vec![1; 4], Protection::ReadWrite);
        let mut after = before.clone();
        assert_eq!(before.changes(&after), Some(Vec::new()));
        after.patch(first + 1, &[2, 2]);
        after.patch(second + 3, &[2]);
        assert_eq!(before.changes(&after), Some(vec![(first + 1, 2), (second + 3, 1)]));
        after.make_read_only(first);
        assert_eq!(before.changes(&after), None);
    }
}
