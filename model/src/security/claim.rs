//! The form of a resource attribute.
//!
//! States the validation of PSD-004 §3.9 for the one claim entry of a resource attribute ACE. What
//! an attribute means to a condition is not evaluated.

/// The bit of a claim's flags that keeps it from being inherited.
const NON_INHERITABLE: u32 = 0x0001;

const HEADER_LENGTH: usize = 16;
const NAME_UNITS_MAX: usize = 256;
const VALUES_MAX: usize = 1024;

/// Whether the bytes are one claim entry. Bytes that nothing points to are passed over, as ACEs are
/// padded to multiples of four.
pub(super) fn is_well_formed(entry: &[u8]) -> bool {
    validate(entry).is_some()
}

/// Whether children of the object do not get the attribute (§3.6).
pub(super) fn is_non_inheritable(entry: &[u8]) -> bool {
    u32_at(entry, 8).is_some_and(|flags| flags & NON_INHERITABLE != 0)
}

fn validate(entry: &[u8]) -> Option<()> {
    let value_type = ValueType::of_code(u16_at(entry, 4)?)?;
    let count = offset_at(entry, 12)?;
    if count > VALUES_MAX || entry.len() < HEADER_LENGTH + 4 * count {
        return None;
    }
    let name_units = string_units_at(entry, offset_at(entry, 0)?)?;
    if name_units > NAME_UNITS_MAX {
        return None;
    }
    for index in 0..count {
        let value = offset_at(entry, HEADER_LENGTH + 4 * index)?;
        value_type.validate(entry, value)?;
    }
    Some(())
}

enum ValueType {
    /// INT64, UINT64 and BOOLEAN: eight bytes in place.
    Scalar,
    String,
    Sid,
    Octets,
}

impl ValueType {
    fn of_code(code: u16) -> Option<ValueType> {
        Some(match code {
            0x0001 | 0x0002 | 0x0006 => ValueType::Scalar,
            0x0003 => ValueType::String,
            0x0005 => ValueType::Sid,
            0x0010 => ValueType::Octets,
            _ => return None,
        })
    }

    fn validate(&self, entry: &[u8], offset: usize) -> Option<()> {
        if let ValueType::Scalar = self {
            return tail(entry, offset)?.get(..8).map(|_| ());
        }
        let target = offset_at(entry, offset)?;
        match self {
            ValueType::Scalar => Some(()),
            ValueType::String => string_units_at(entry, target).map(|_| ()),
            ValueType::Sid => super::Sid::at_start_of(tail(entry, target)?).map(|_| ()),
            ValueType::Octets => {
                let length = offset_at(entry, target)?;
                tail(entry, target)?.get(4..)?.get(..length).map(|_| ())
            }
        }
    }
}

/// Code units of a UTF-16 string with its terminating zero.
fn string_units_at(entry: &[u8], offset: usize) -> Option<usize> {
    let units = tail(entry, offset)?.chunks_exact(2);
    units.into_iter().position(|unit| unit == [0, 0]).map(|index| index + 1)
}

fn tail(entry: &[u8], offset: usize) -> Option<&[u8]> {
    entry.get(offset..)
}

fn u16_at(entry: &[u8], offset: usize) -> Option<u16> {
    tail(entry, offset)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(entry: &[u8], offset: usize) -> Option<u32> {
    tail(entry, offset)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn offset_at(entry: &[u8], offset: usize) -> Option<usize> {
    u32_at(entry, offset).map(|value| value as usize)
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
