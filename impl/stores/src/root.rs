//! What a hive's root key is at first boot: a random GUID and the default security descriptor
//! (PSD-005 §3.1, §7.3; SRC-23, SRC-24, SRC-25; P-01).

use rsi::Guid;

/// A random GUID that is not the null GUID.
pub(crate) fn random_guid(random: &mut dyn FnMut(&mut [u8])) -> Guid {
    let mut guid = Guid::NULL;
    random(&mut guid.0);
    if guid == Guid::NULL {
        // A source of randomness that gives zeros only: any other GUID is as good.
        guid.0[15] = 1;
    }
    guid
}

/// The default security descriptor of a hive root, self-relative, as P-01 has it.
pub(crate) fn default_sd() -> Vec<u8> {
    const SELF_RELATIVE: u16 = 0x8000;
    const DACL_PRESENT: u16 = 0x0004;
    let dacl = dacl();
    let owner_offset = 20;
    let group_offset = owner_offset + SYSTEM.len();
    let dacl_offset = group_offset + SYSTEM.len();

    let mut sd = vec![1, 0];
    sd.extend_from_slice(&(SELF_RELATIVE | DACL_PRESENT).to_le_bytes());
    for offset in [owner_offset, group_offset, 0, dacl_offset] {
        sd.extend_from_slice(&length_u32(offset).to_le_bytes());
    }
    sd.extend_from_slice(SYSTEM);
    sd.extend_from_slice(SYSTEM);
    sd.extend_from_slice(&dacl);
    sd
}

const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const KEY_READ: u32 = 0x0002_0019;

/// S-1-5-18.
const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// S-1-5-32-544.
const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// S-1-5-11.
const AUTHENTICATED_USERS: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];

fn dacl() -> Vec<u8> {
    const REVISION: u8 = 2;
    let entries = [
        (SYSTEM, KEY_ALL_ACCESS),
        (ADMINISTRATORS, KEY_ALL_ACCESS),
        (AUTHENTICATED_USERS, KEY_READ),
    ]
    .map(|(sid, mask)| allow(sid, mask));
    let count = length_u16(entries.len());
    let body = entries.concat();
    let mut acl = vec![REVISION, 0];
    acl.extend_from_slice(&length_u16(8 + body.len()).to_le_bytes());
    acl.extend_from_slice(&count.to_le_bytes());
    acl.extend_from_slice(&[0, 0]);
    acl.extend_from_slice(&body);
    acl
}

fn allow(sid: &[u8], mask: u32) -> Vec<u8> {
    const ACCESS_ALLOWED: u8 = 0;
    const CONTAINER_INHERIT: u8 = 0x02;
    let mut ace = vec![ACCESS_ALLOWED, CONTAINER_INHERIT];
    ace.extend_from_slice(&length_u16(8 + sid.len()).to_le_bytes());
    ace.extend_from_slice(&mask.to_le_bytes());
    ace.extend_from_slice(sid);
    ace
}

fn length_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{default_sd, random_guid};

    #[test]
    fn the_default_sd_is_the_table_of_section_3_1() {
        let hex: Vec<String> = default_sd()
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        expect![[r#"
            01000480 14000000 20000000 00000000 2c000000 01010000
            00000005 12000000 01010000 00000005 12000000 02004800
            03000000 00021400 3f000f00 01010000 00000005 12000000
            00021800 3f000f00 01020000 00000005 20000000 20020000
            00021400 19000200 01010000 00000005 0b000000"#]]
        .assert_eq(&hex.chunks(6).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_root_guid_is_never_null() {
        assert_ne!(random_guid(&mut |_| ()), rsi::Guid::NULL);
    }
}
