//! Tests of the form of claim entries.

use proptest::prelude::*;

use super::*;
use crate::security::fixtures::claim_of_nothing;

/// An entry of this type: the name "a", and one value at offset 24.
fn claim_of(value_type: u16, value: &[u8]) -> Vec<u8> {
    let mut claim = vec![20, 0, 0, 0];
    claim.extend(value_type.to_le_bytes());
    claim.extend([0; 6]);
    claim.extend([1, 0, 0, 0]);
    claim.extend([24, 0, 0, 0]);
    claim.extend([b'a', 0, 0, 0]);
    claim.extend(value);
    claim
}

/// Something that is pointed to from offset 24 and stands at 28.
fn indirect(target: &[u8]) -> Vec<u8> {
    [&[28, 0, 0, 0], target].concat()
}

#[test]
fn every_type_has_its_values() {
    for scalar in [1, 2, 6] {
        assert!(is_well_formed(&claim_of(scalar, &[0; 8])), "{scalar}");
        assert!(!is_well_formed(&claim_of(scalar, &[0; 7])), "{scalar}");
    }
    assert!(is_well_formed(&claim_of(3, &indirect(&[b'x', 0, 0, 0]))));
    assert!(!is_well_formed(&claim_of(3, &indirect(&[b'x', 0, b'y', 0]))));
    assert!(is_well_formed(&claim_of(5, &indirect(&[1, 0, 0, 0, 0, 0, 0, 5]))));
    assert!(!is_well_formed(&claim_of(5, &indirect(&[2, 0, 0, 0, 0, 0, 0, 5]))));
    assert!(is_well_formed(&claim_of(16, &indirect(&[2, 0, 0, 0, 7, 7]))));
    assert!(!is_well_formed(&claim_of(16, &indirect(&[3, 0, 0, 0, 7, 7]))));
}

#[test]
fn other_types_are_none() {
    for unsupported in [0, 4, 7, 15, 17, 0xFFFF] {
        assert!(!is_well_formed(&claim_of(unsupported, &[0; 64])), "{unsupported}");
    }
}

#[test]
fn an_attribute_may_have_no_value_but_not_more_than_are_there() {
    let mut claim = claim_of_nothing();
    assert!(is_well_formed(&claim));
    claim[12] = 2;
    assert!(!is_well_formed(&claim));
}

#[test]
fn a_claim_has_at_most_1024_values() {
    let with_values = |count: u32| {
        let name = 16 + 4 * count;
        let mut claim = name.to_le_bytes().to_vec();
        claim.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        claim.extend(count.to_le_bytes());
        claim.extend((0..count).flat_map(|_| [0, 0, 0, 0]));
        claim.extend([b'a', 0, 0, 0]);
        is_well_formed(&claim)
    };
    assert!(with_values(1024));
    assert!(!with_values(1025));
}

#[test]
fn a_name_ends_within_256_units() {
    let with_name = |units: usize| {
        let mut claim = vec![16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        claim.extend(std::iter::repeat_n([b'n', 0], units).flatten());
        claim.extend([0, 0]);
        is_well_formed(&claim)
    };
    assert!(with_name(255));
    assert!(!with_name(256));
    let mut unended = claim_of_nothing();
    unended[18] = b'b';
    assert!(!is_well_formed(&unended));
}

#[test]
fn the_first_flag_keeps_it_from_being_inherited() {
    let mut claim = claim_of_nothing();
    assert!(!is_non_inheritable(&claim));
    claim[8] = 0x32;
    assert!(!is_non_inheritable(&claim));
    claim[8] = 0x33;
    assert!(is_non_inheritable(&claim));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = is_well_formed(&bytes);
        let _ = is_non_inheritable(&bytes);
    }

    #[test]
    fn a_changed_byte_is_judged_without_panic(
        position in 0_usize..32,
        byte in any::<u8>(),
        value_type in prop::sample::select(vec![1_u16, 3, 5, 16]),
    ) {
        let mut claim = claim_of(value_type, &indirect(&[1, 0, 0, 0, 0, 0, 0, 5, 0, 0]));
        claim[position] = byte;
        let _ = is_well_formed(&claim);
    }
}
