//! The generic mapping of registry keys (PSD-005 §3.1, PSD-004 §3.3). The rights themselves are in
//! `abi`.

use abi::{
    GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE, KEY_ALL_ACCESS, KEY_READ, KEY_WRITE,
};

const GENERIC: u32 = GENERIC_ALL | GENERIC_EXECUTE | GENERIC_WRITE | GENERIC_READ;

/// Replaces generic bits by the rights they mean on a key; other bits stay. GENERIC_EXECUTE means
/// none.
#[must_use]
pub const fn map_generic(mask: u32) -> u32 {
    let mut mapped = mask & !GENERIC;
    if mask & GENERIC_READ != 0 {
        mapped |= KEY_READ;
    }
    if mask & GENERIC_WRITE != 0 {
        mapped |= KEY_WRITE;
    }
    if mask & GENERIC_ALL != 0 {
        mapped |= KEY_ALL_ACCESS;
    }
    mapped
}

#[cfg(test)]
mod tests {
    use abi::{DELETE, MAXIMUM_ALLOWED};

    use super::*;

    #[test]
    fn generic_bits_are_replaced_and_execute_maps_to_nothing() {
        assert_eq!(map_generic(GENERIC_READ | GENERIC_EXECUTE), KEY_READ);
        assert_eq!(map_generic(GENERIC_WRITE | DELETE), KEY_WRITE | DELETE);
        assert_eq!(map_generic(GENERIC_ALL | MAXIMUM_ALLOWED), KEY_ALL_ACCESS | MAXIMUM_ALLOWED);
    }
}
