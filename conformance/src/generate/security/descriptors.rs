//! Security descriptors in generated plans: few SIDs, many shapes (PSD-004 §3, PSD-005 §3.1).
//!
//! They are put together as SDDL. What an edition without conditions, trust labels and central
//! policies cannot decide stands only where nothing depends on it: in inherit-only ACEs that no
//! child inherits.

use proptest::prelude::*;

use super::super::Generator;
use super::principals::{ALICE, BOB, GUESTS, STAFF, TEAM};
use crate::sddl;

/// Trustees of ACEs; the ones that tokens meet most stand more than once.
const TRUSTEES: &[&str] = &[
    "SY", "BA", "AU", "AU", "WD", "WD", ALICE, ALICE, BOB, BOB, TEAM, TEAM, STAFF, GUESTS, "OW",
    "CO", "CG", "PS", "AN", "RC", "S-1-7",
];
/// Owners and groups.
const OWNERS: &[&str] = &["SY", "SY", "BA", ALICE, BOB, TEAM, STAFF, "WD"];
/// Flags of ACEs.
const ACE_FLAGS: &[&str] = &[
    "", "", "", "CI", "CI", "CI", "CI", "CINP", "CIIO", "CINPIO", "OI", "OICI", "OINP", "IO",
    "CIID",
];
/// Rights of ACEs.
const RIGHTS: &[&str] = &[
    "KA",
    "KA",
    "KR",
    "KR",
    "KW",
    "GA",
    "GR",
    "GW",
    "GX",
    "CC",
    "DC",
    "LC",
    "SW",
    "RP",
    "WP",
    "SD",
    "RC",
    "WD",
    "WO",
    "CCRC",
    "DCSD",
    "WDWO",
    "AS",
    "0x0",
    "0xf10f003f",
];
/// Flags of audit ACEs.
const AUDIT_FLAGS: &[&str] =
    &["SA", "FA", "SAFA", "SAFA", "", "CISA", "CISAFA", "CIIOSAFA", "IOSA", "CINPFA"];
/// Integrity levels that SYSTEM dominates.
const LEVELS: &[&str] = &["LW", "ME", "MP", "HI", "SI", "S-1-16-0", "S-1-16-100"];
/// Policies of labels, some with bits that mean nothing there.
const LABEL_POLICIES: &[&str] = &[
    "NW",
    "NW",
    "NW",
    "NR",
    "NR",
    "NX",
    "NWNR",
    "NWNRNX",
    "0x0",
    "0x12",
    "0x12",
    "0x800002",
    "0x80000002",
    "0x10000001",
];
/// ACEs that are kept and decide nothing: inherit-only ones of callback, object, resource attribute,
/// scoped policy, trust label and alarm type, and one of no type at all.
const KEPT_IN_DACL: &[&str] = &[
    "(hex:090818000f000f0001010000000000010000000061727478)",
    "(hex:050818000f000f0000000000010100000000000100000000)",
    "(hex:300014000f000f00010100000000000100000000)",
    "(hex:300214000f000f00010100000000000100000000)",
];
const KEPT_IN_SACL: &[&str] = &[
    "(hex:1308140000000000010100000000000100000000)",
    "(hex:030814000f000f00010100000000000100000000)",
    "(hex:31c014000f000f00010100000000000100000000)",
];
/// Object ACEs, which act as ordinary ones where no object type is asked for.
const OBJECT_ACES: &[&str] = &[
    "(hex:050018000f000f0000000000010100000000000100000000)",
    "(hex:060018000200000000000000010100000000000100000000)",
    "(hex:0502280009000200010000000102030405060708090a0b0c0d0e0f10010100000000000100000000)",
];
/// SDs that are malformed for a key, although their form is sound.
const UNSOUND: &[&str] = &[
    "O:SYG:SYD:(A;;0x100000;;;WD)",
    "O:SYG:SYD:(A;;KA;;;SY)(A;;0x2000000;;;WD)",
    "O:SYG:SYD:(D;CIIO;0x200000;;;WD)",
    "O:SYG:SYD:(A;;KA;;;WD)S:(ML;;NW;;;SY)",
    "O:SYG:SYD:(A;;KA;;;WD)S:(ML;;NW;;;S-1-16-1-2)",
    "O:SYG:SYD:(A;;KA;;;WD)S:(AU;SA;0x4000000;;;WD)",
    "G:SYD:(A;;KA;;;WD)",
    "O:SYG:SYC:0x4",
    "O:SYG:SYC:0x10",
];
/// ACEs of 20 bytes that fill an SD of 65,535 bytes but for three, and one that is as long as two
/// halves of it may not be.
const MANY_ACES: usize = 3_274;
const HALF_OF_TOO_MANY_ACES: usize = 1_700;

/// The bytes of a text of this crate's own.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    sddl::parse(text).expect("the generator writes SDDL")
}

/// The ACL of a text of this crate's own.
pub(super) fn acl_of(text: &str) -> Vec<u8> {
    sddl::parse_acl(text).expect("the generator writes SDDL")
}

impl Generator {
    /// Components of an SD with the `security_info` that is set by it: mostly what there is.
    pub(super) fn components(&mut self) -> (u32, Vec<u8>) {
        let bytes = if self.chance(90) { self.long_descriptor() } else { self.some_components() };
        let bytes = match self.rng.random_range(0..40) {
            0..3 => self.malformed(),
            3 => same_owner_and_group(bytes),
            4 => [bytes, vec![0xAA; 5]].concat(),
            _ => bytes,
        };
        let there = sddl::components(&bytes);
        (self.security_info(there), bytes)
    }

    /// Any components: mostly those that are there, if there are any.
    pub(super) fn security_info(&mut self, there: u32) -> u32 {
        match self.rng.random_range(0..40) {
            0 => [0, 0x10, 0x14, u32::MAX][self.rng.random_range(0..4)],
            1..4 => self.rng.random_range(1..16),
            _ => there,
        }
    }

    fn some_components(&mut self) -> Vec<u8> {
        let text = match self.rng.random_range(0..16) {
            0 | 1 => format!("O:{}", self.pick(OWNERS)),
            2 => format!("G:{}", self.pick(OWNERS)),
            3 => format!("O:{}G:{}", self.pick(OWNERS), self.pick(OWNERS)),
            4 | 5 => self.sacl(),
            6 => format!(
                "O:{}G:{}{}{}",
                self.pick(OWNERS),
                self.pick(OWNERS),
                self.dacl(),
                self.sacl()
            ),
            7 => format!("O:{}G:{}{}", self.pick(OWNERS), self.pick(OWNERS), self.dacl()),
            _ => self.dacl(),
        };
        let control = if self.chance(12) { self.pick(&["C:0x3", "C:0x8", "C:0x40"]) } else { "" };
        bytes_of(&format!("{text}{control}"))
    }

    /// `D:` and what follows.
    pub(super) fn dacl(&mut self) -> String {
        let who = self.pick(TRUSTEES);
        let rights = self.pick(RIGHTS);
        let aces = match self.rng.random_range(0..24) {
            0 => String::new(),
            1 | 2 => "(A;CI;KA;;;WD)".to_owned(),
            3 => "(A;;KA;;;WD)".to_owned(),
            4 => format!("(A;CI;KA;;;{who})(A;CI;KA;;;SY)"),
            5 => "(A;CI;KA;;;SY)(A;CI;KR;;;AU)".to_owned(),
            6 => format!("(D;CI;{rights};;;{who})(A;CI;KA;;;WD)"),
            7 => format!("(A;CI;KA;;;WD)(D;CI;{rights};;;{who})"),
            8 => format!("(A;CIIO;GA;;;CO)(A;CI;GR;;;CG)(A;CI;{rights};;;{who})(A;CI;KA;;;SY)"),
            9 => format!("(A;CI;{rights};;;OW)(A;CI;KA;;;SY)(A;CI;KR;;;{who})"),
            10 => format!("(D;CI;{rights};;;OW)(A;CI;KA;;;WD)"),
            11 => format!("(A;CIIO;RC;;;OW)(A;CI;{rights};;;{who})"),
            12 => format!("(A;;KA;;;SY){}(A;CI;KA;;;WD)", self.pick(KEPT_IN_DACL)),
            13 => format!("{}(A;CI;KA;;;SY)", self.pick(OBJECT_ACES)),
            _ => self.access_aces(),
        };
        let flags = if self.chance(8) { self.pick(&["P", "AI", "AR", "PAI"]) } else { "" };
        format!("D:{flags}{aces}")
    }

    fn access_aces(&mut self) -> String {
        let mut aces = String::new();
        for _ in 0..self.rng.random_range(1..=4) {
            let kind = if self.chance(3) { "D" } else { "A" };
            let flags = self.pick(ACE_FLAGS);
            let (rights, who) = (self.pick(RIGHTS), self.pick(TRUSTEES));
            aces.push_str(&format!("({kind};{flags};{rights};;;{who})"));
        }
        if self.chance(3) { aces } else { format!("{aces}(A;CI;KA;;;SY)(A;CI;KR;;;AU)") }
    }

    /// `S:` and what follows.
    fn sacl(&mut self) -> String {
        let mut aces = String::new();
        for _ in 0..self.rng.random_range(0..=2) {
            let (flags, rights) = (self.pick(AUDIT_FLAGS), self.pick(RIGHTS));
            aces.push_str(&format!("(AU;{flags};{rights};;;{})", self.pick(TRUSTEES)));
        }
        if self.chance(2) {
            let flags = self.pick(&["", "", "CI", "CI", "CINP", "CIIO", "IO"]);
            let (policy, level) = (self.pick(LABEL_POLICIES), self.pick(LEVELS));
            aces.push_str(&format!("(ML;{flags};{policy};;;{level})"));
        }
        if self.chance(6) {
            aces.push_str(&format!("(ML;CI;NW;;;{})", self.pick(LEVELS)));
        }
        if self.chance(10) {
            aces.push_str(self.pick(KEPT_IN_SACL));
        }
        let flags = if self.chance(10) { self.pick(&["P", "AI", "AR"]) } else { "" };
        format!("S:{flags}{aces}")
    }

    /// About as long as an SD may be, or as two halves that are too long together.
    fn long_descriptor(&mut self) -> Vec<u8> {
        let flags = if self.chance(2) { "CI" } else { "" };
        let count = match self.rng.random_range(0..4) {
            0 => MANY_ACES + 1,
            1 => MANY_ACES,
            _ => HALF_OF_TOO_MANY_ACES,
        };
        let many = |kind: &str, flags: &str| format!("({kind};{flags};KA;;;WD)").repeat(count);
        if count == HALF_OF_TOO_MANY_ACES && self.chance(2) {
            return bytes_of(&format!("S:{}", many("AU", "CI")));
        }
        bytes_of(&format!("O:WDG:WDD:{}", many("A", flags)))
    }

    /// A full SD as a store may hold it: sound or not.
    pub(super) fn stored_descriptor(&mut self) -> Vec<u8> {
        let owner = self.pick(OWNERS);
        let sacl = if self.chance(2) { self.sacl() } else { String::new() };
        let bytes = bytes_of(&format!("O:{owner}G:{owner}{}{sacl}", self.dacl()));
        match self.rng.random_range(0..8) {
            0..3 => bytes_of(self.pick(UNSOUND)),
            3 | 4 => self.malformed(),
            5 => same_owner_and_group(bytes),
            _ => bytes,
        }
    }

    /// Bytes of which few are an SD still. What is kept elsewhere has no place in them: a spoilt
    /// flag would let it decide.
    fn malformed(&mut self) -> Vec<u8> {
        const SPOILT: [u8; 6] = [0, 1, 2, 4, 0x80, 0xFF];
        let (owner, aces) = (self.pick(OWNERS), self.access_aces());
        let text = format!("O:{owner}G:{owner}D:{aces}S:(ML;CI;NW;;;LW)(AU;SAFA;KA;;;WD)");
        let mut bytes = bytes_of(&text);
        match self.rng.random_range(0..12) {
            0 => Vec::new(),
            1 | 2 => {
                bytes.truncate(self.rng.random_range(0..bytes.len()));
                bytes
            }
            3..5 => {
                let at = telling_bytes(&bytes)[self.rng.random_range(0..TELLING_BYTES)];
                let value = match self.rng.random_range(0..4) {
                    0 => bytes[at].wrapping_add(4),
                    1 => bytes[at].wrapping_sub(4),
                    2 => bytes[at].wrapping_add(1),
                    _ => SPOILT[self.rng.random_range(0..SPOILT.len())],
                };
                bytes[at] = value;
                bytes
            }
            5..8 => {
                let at = self.rng.random_range(0..bytes.len());
                bytes[at] = SPOILT[self.rng.random_range(0..SPOILT.len())];
                bytes
            }
            8 => vec![1; [65_535, 65_536][self.rng.random_range(0..2)]],
            _ => bytes_of(self.pick(UNSOUND)),
        }
    }
}

/// Revision, control bits and offsets; revisions and counts of the owner's SID; sizes and counts of
/// the SACL and of its first ACE.
const TELLING_BYTES: usize = 16;

/// Where an SD with every component says how the others are to be read.
fn telling_bytes(bytes: &[u8]) -> [usize; TELLING_BYTES] {
    let sacl = usize::from(bytes[12]);
    let ace = sacl + 8;
    [0, 2, 3, 3, 4, 8, 12, 16, 20, 21, sacl + 2, sacl + 4, ace + 2, ace + 3, ace + 8, ace + 9]
}

/// The same SD with one SID for owner and group, in one place, if there is an owner.
fn same_owner_and_group(mut bytes: Vec<u8>) -> Vec<u8> {
    if sddl::components(&bytes) & sddl::OWNER != 0 {
        bytes.copy_within(4..8, 8);
    }
    bytes
}
