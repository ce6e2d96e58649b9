//! The words of SDDL and what they stand for.

use registry_model::security::Sid;

/// Flags of an ACL with the control bit that each is in a DACL and in a SACL. In a text, none is
/// the beginning of another.
pub(super) const ACL_FLAGS: &[(&str, u16, u16)] =
    &[("P", 0x1000, 0x2000), ("AI", 0x0400, 0x0800), ("AR", 0x0100, 0x0200)];

/// The mandatory label.
pub(super) const LABEL: u8 = 0x11;

/// ACE types that have words.
pub(super) const ACE_TYPES: &[(&str, u8)] =
    &[("A", 0x00), ("D", 0x01), ("AU", 0x02), ("ML", LABEL)];

/// Flags of an ACE.
pub(super) const ACE_FLAGS: &[(&str, u8)] = &[
    ("OI", 0x01),
    ("CI", 0x02),
    ("NP", 0x04),
    ("IO", 0x08),
    ("ID", 0x10),
    ("SA", 0x40),
    ("FA", 0x80),
];

/// Rights; the first words are those for whole masks.
pub(super) const RIGHTS: &[(&str, u32)] = &[
    ("KA", 0x000F_003F),
    ("KR", 0x0002_0019),
    ("KW", 0x0002_0006),
    ("KX", 0x0002_0019),
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
    ("SD", 0x0001_0000),
    ("RC", 0x0002_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("AS", 0x0100_0000),
    ("MA", 0x0200_0000),
    // Specific rights have the words of the positions that they share with other objects.
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
];

/// What a mandatory label forbids to those below it.
pub(super) const LABEL_POLICIES: &[(&str, u32)] = &[("NW", 0x2), ("NR", 0x1), ("NX", 0x4)];

/// SIDs that have words (PSD-004 §2.2).
const SIDS: &[(&str, &str)] = &[
    ("WD", "S-1-1-0"),
    ("CO", "S-1-3-0"),
    ("CG", "S-1-3-1"),
    ("OW", "S-1-3-4"),
    ("NU", "S-1-5-2"),
    ("IU", "S-1-5-4"),
    ("SU", "S-1-5-6"),
    ("AN", "S-1-5-7"),
    ("PS", "S-1-5-10"),
    ("AU", "S-1-5-11"),
    ("RC", "S-1-5-12"),
    ("SY", "S-1-5-18"),
    ("LS", "S-1-5-19"),
    ("NS", "S-1-5-20"),
    ("BA", "S-1-5-32-544"),
    ("BU", "S-1-5-32-545"),
    ("BG", "S-1-5-32-546"),
    ("LW", "S-1-16-4096"),
    ("ME", "S-1-16-8192"),
    ("MP", "S-1-16-8448"),
    ("HI", "S-1-16-12288"),
    ("SI", "S-1-16-16384"),
];

/// A SID's word, or its text.
pub(super) fn sid_word(sid: &Sid) -> String {
    let text = sid.to_string();
    let known = SIDS.iter().find(|(_, known)| *known == text);
    known.map_or(text, |(word, _)| (*word).to_owned())
}

/// The SID of a word.
pub(super) fn named_sid(word: &str) -> Option<Sid> {
    let (_, text) = SIDS.iter().find(|(known, _)| *known == word)?;
    Sid::parse(text).ok()
}

/// The word of a type that has one.
pub(super) fn ace_type_word(ace_type: u8) -> &'static str {
    ACE_TYPES.iter().find(|(_, known)| *known == ace_type).map_or("?", |(word, _)| word)
}

/// The words of flags, in hexadecimal where words do not do.
pub(super) fn ace_flags_word(flags: u8) -> String {
    joined(ACE_FLAGS.iter().map(|(word, bit)| (*word, u32::from(*bit))), u32::from(flags))
        .unwrap_or_else(|| format!("{flags:#x}"))
}

/// The words of a mask, in hexadecimal where they would be less readable.
pub(super) fn rights_word(ace_type: u8, mask: u32) -> String {
    let words = if ace_type == LABEL { LABEL_POLICIES } else { RIGHTS };
    if let Some((word, _)) = words.iter().find(|(_, known)| *known == mask) {
        return (*word).to_owned();
    }
    let is_readable = |bit: u32| ace_type == LABEL || bit & 0xFFFF == 0;
    let single =
        words.iter().copied().filter(|(_, bit)| bit.is_power_of_two() && is_readable(*bit));
    joined(single, mask).filter(|text| !text.is_empty()).unwrap_or_else(|| format!("{mask:#x}"))
}

/// The words of the bits of `set`, if each has one.
fn joined<'a>(words: impl Iterator<Item = (&'a str, u32)>, set: u32) -> Option<String> {
    let held: Vec<(&str, u32)> = words.filter(|(_, bit)| set & bit != 0).collect();
    let covered = held.iter().fold(0, |bits, (_, bit)| bits | bit);
    (covered == set).then(|| held.iter().map(|(word, _)| *word).collect())
}
