//! Copying to and from the caller's memory, with the faults that can come of it (PSD-005 §6.3
//! buffers, §11.2; `BUF-*`, `ABI-05`, `ABI-06`, `CONV-22`).

use abi::{Errno, Structure};

use crate::configuration::Parameters;
use crate::env::{Fault, UserMemory};
use crate::name;
use crate::open::LayerName;

/// Memory is mapped in pages, so a string is read no further than the page that holds its end.
const PAGE_SIZE: u64 = 4096;

/// Most paths are shorter than this, and need one look at memory.
const STRING_PIECE_LENGTH: usize = 256;
/// So many times the length of a layer name are read, to have room for the bytes that show it to be
/// too long.
const LAYER_LENGTHS_READ: usize = 4;

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Self::EFAULT
    }
}

/// Reads a structure.
///
/// # Errors
/// EFAULT.
pub fn read<T: Structure>(memory: &dyn UserMemory, address: u64) -> Result<T, Errno> {
    let bytes = read_bytes(memory, address, T::SIZE)?;
    T::from_bytes(&bytes).ok_or(Errno::EFAULT)
}

/// Writes a structure back.
///
/// # Errors
/// EFAULT.
pub fn write<T: Structure>(
    memory: &dyn UserMemory,
    address: u64,
    structure: &T,
) -> Result<(), Errno> {
    Ok(memory.write(address, &structure.to_bytes())?)
}

/// Reads exactly `length` bytes; of none, the address does not matter.
///
/// # Errors
/// EFAULT.
pub fn read_bytes(memory: &dyn UserMemory, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    if length > 0 {
        memory.read(address, &mut bytes)?;
    }
    Ok(bytes)
}

/// Reads a null-terminated string, without its terminator and no further than `limit` bytes. One
/// that is longer is cut behind a whole character.
///
/// # Errors
/// EFAULT when memory ends before the string does.
pub fn read_string(memory: &dyn UserMemory, address: u64, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    let mut next = address;
    let mut buffer = [0; STRING_PIECE_LENGTH];
    while string.len() < limit {
        let page = usize::try_from(PAGE_SIZE - next % PAGE_SIZE).unwrap_or(1);
        let mut piece = &mut buffer[..page.min(limit - string.len()).min(STRING_PIECE_LENGTH)];
        if memory.read(next, piece).is_err() {
            // The page may be mapped in part, in a memory of finer grain.
            piece = &mut piece[..1];
            memory.read(next, piece)?;
        }
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            string.extend_from_slice(&piece[..end]);
            return Ok(string);
        }
        next = next.checked_add(piece.len() as u64).ok_or(Errno::EFAULT)?;
        string.extend_from_slice(piece);
    }
    if let Err(error) = std::str::from_utf8(&string)
        && error.error_len().is_none()
    {
        string.truncate(error.valid_up_to());
    }
    Ok(string)
}

/// Reads a value name of a stated length.
///
/// # Errors
/// ENAMETOOLONG, EFAULT, EINVAL.
pub fn read_value_name(
    memory: &dyn UserMemory,
    address: u64,
    length: u32,
    parameters: &Parameters,
) -> Result<String, Errno> {
    let length_max = parameters.component_length_max();
    let bytes = read_bytes(memory, address, name_length(length, length_max)?)?;
    Ok(name::value_name(&bytes, length_max)?.to_owned())
}

/// Reads a layer name of a stated length; an empty one is base.
///
/// # Errors
/// ENAMETOOLONG, EFAULT, EINVAL.
pub fn read_layer_name(
    memory: &dyn UserMemory,
    address: u64,
    length: u32,
    parameters: &Parameters,
) -> Result<LayerName, Errno> {
    if length == 0 {
        return Ok(LayerName::new(crate::layers::BASE));
    }
    let length_max = parameters.component_length_max();
    let bytes = read_bytes(memory, address, name_length(length, length_max)?)?;
    Ok(LayerName::new(name::component(&bytes, length_max)?))
}

/// Reads a null-terminated layer name; a null pointer is base.
///
/// # Errors
/// ENAMETOOLONG, EFAULT, EINVAL.
pub fn read_layer_string(
    memory: &dyn UserMemory,
    address: u64,
    parameters: &Parameters,
) -> Result<LayerName, Errno> {
    if address == 0 {
        return Ok(LayerName::new(crate::layers::BASE));
    }
    let length_max = parameters.component_length_max();
    let bytes = read_string(memory, address, LAYER_LENGTHS_READ * length_max)?;
    Ok(LayerName::new(name::component(&bytes, length_max)?))
}

/// A length that is not worth copying for is refused before any copy.
fn name_length(length: u32, length_max: usize) -> Result<usize, Errno> {
    match usize::try_from(length) {
        Ok(length) if length <= length_max => Ok(length),
        _ => Err(Errno::ENAMETOOLONG),
    }
}

/// A variable-size output buffer of the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    address: u64,
    capacity: u32,
}

impl Output {
    /// Takes a buffer in hand.
    ///
    /// # Errors
    /// EFAULT unless it is empty or writable throughout; the address of an empty one is ignored.
    pub fn new(memory: &dyn UserMemory, address: u64, capacity: u32) -> Result<Self, Errno> {
        let usable = address != 0 && memory.is_writable(address, capacity.into());
        if capacity > 0 && !usable {
            return Err(Errno::EFAULT);
        }
        Ok(Self { address, capacity })
    }

    /// Whether so many bytes fit.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 <= self.capacity.into()
    }

    /// Writes what fits.
    ///
    /// # Errors
    /// EFAULT when the memory went away meanwhile.
    pub fn fill(&self, memory: &dyn UserMemory, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        Ok(memory.write(self.address, bytes)?)
    }
}

/// The size of an output as its length field gives it.
pub fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
