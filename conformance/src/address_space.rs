//! The memory of a calling process: mapped pieces at made-up addresses.
//!
//! Every piece stands alone, with unmapped addresses around it, so that a read or write past its
//! end faults.

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

#[derive(Clone, Debug)]
struct Piece {
    address: u64,
    bytes: Vec<u8>,
    protection: Protection,
}

/// The memory of one call.
#[derive(Clone, Debug, Default)]
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
}
