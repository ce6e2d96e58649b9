//! Which requirements a step applied.
//!
//! A branch that decides something marks the ids of the requirements that decide it with
//! `covers!`. A mark costs one bit.

use std::cmp::Ordering;
use std::fmt;

/// Marks requirements by their ids: `covers!(covered, "RES-03")`. An id that is not in the list
/// does not compile.
macro_rules! covers {
    ($covered:expr, $($id:literal),+ $(,)?) => {{
        // Evaluated at compile time: an unknown id is a compile error.
        $($covered.mark(const { $crate::coverage::index_of($id) });)+
    }};
}
pub(crate) use covers;

const WORDS: usize = 17;

/// A set of requirement ids.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered([u128; WORDS]);

impl Covered {
    /// Nothing.
    pub fn new() -> Covered {
        Covered::default()
    }

    /// Adds the requirement at `index` of [`REQUIREMENTS`].
    pub(crate) fn mark(&mut self, index: usize) {
        self.0[index / 128] |= 1 << (index % 128);
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Covered) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Whether the id is in the set.
    pub fn contains(&self, id: &str) -> bool {
        place_of(id).is_some_and(|index| self.0[index / 128] >> (index % 128) & 1 == 1)
    }

    /// The ids, in the order of [`REQUIREMENTS`].
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(index, word)| {
            let places = (0..128).filter(move |place| word >> place & 1 == 1);
            places.map(move |place| REQUIREMENTS[index * 128 + place])
        })
    }
}

impl fmt::Debug for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The place of an id in the list. It is looked for by halves, since the compiler does this for every mark.
///
/// # Panics
/// When the list has no such id.
pub(crate) const fn index_of(id: &str) -> usize {
    match place_of(id) {
        Some(place) => place,
        None => panic!("no requirement of the list has this id"),
    }
}

const fn place_of(id: &str) -> Option<usize> {
    let (mut low, mut high) = (0, REQUIREMENTS.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match compare(REQUIREMENTS[middle].as_bytes(), id.as_bytes()) {
            Ordering::Less => low = middle + 1,
            Ordering::Equal => return Some(middle),
            Ordering::Greater => high = middle,
        }
    }
    None
}

const fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let mut index = 0;
    while index < left.len() && index < right.len() {
        if left[index] != right[index] {
            return if left[index] < right[index] { Ordering::Less } else { Ordering::Greater };
        }
        index += 1;
    }
    if left.len() < right.len() {
        Ordering::Less
    } else if left.len() > right.len() {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// The ids that a branch of the model may mark.
pub const REQUIREMENTS: &[&str] = &[
    "ABI-01", "ABI-02", "ABI-03", "ABI-04", "ABI-05", "ABI-06", "ABI-07", "ABI-08", "ABI-09",
    "ABI-10", "ABI-11", "ABI-12", "ABI-13", "ABI-14", "ABI-15", "ABI-16", "ABI-17", "ABI-18",
    "ABI-19", "ABI-20", "ABI-21", "ABI-22", "ABI-23", "ABI-24", "ABI-25", "ABI-26", "ABI-27",
    "ABI-28", "ABI-29", "ABI-30", "ABI-31", "ABI-32", "ABI-33", "ABI-34", "ABI-35", "ABI-36",
    "ABI-37", "ABI-38", "ABI-39", "ABI-40", "ABI-41", "ABI-42", "ABI-43", "ABI-44", "ABI-45",
    "ACC-01", "ACC-02", "ACC-03", "ACC-04", "ACC-05", "ACC-06", "ACC-07", "ACC-08", "ACC-09",
    "ACC-10", "ACC-11", "ACC-12", "ACC-13", "ACC-14", "ACC-15", "ACC-16", "ACC-17", "ACC-18",
    "ACC-19", "ACC-20", "ACC-21", "ACC-22", "ACC-23", "ACC-24", "ACC-25", "ACC-26", "ACC-27",
    "ACC-28", "ACC-29", "ACC-30", "ACC-31", "ACC-32", "ACC-33", "ACC-34", "ACC-35", "ACC-36",
    "ACC-37", "ACC-38", "ACC-39", "ACC-40", "ACC-41", "ACC-42", "ACC-43", "ACC-44", "ACC-45",
    "ACC-46", "ACC-47", "ACC-48", "ACC-49", "ACC-50", "ACC-51", "ACC-52", "ACC-53", "ACC-54",
    "ACC-55", "ACC-56", "ACC-57", "ACC-58", "ACC-59", "ACC-60", "ACC-61", "ACC-62", "ACC-63",
    "ACC-64", "ACC-65", "ACC-66", "ACC-67", "ACC-68", "ACC-69", "ACC-70", "ACC-71", "ACC-72",
    "ACC-73", "ACC-74", "ACC-75", "ACC-76", "ACC-77", "ACC-78", "ACC-79", "ACC-80", "ACC-81",
    "ACC-82", "ACC-83", "AUD-01", "AUD-02", "AUD-03", "AUD-04", "AUD-05", "AUD-06", "AUD-07",
    "AUD-08", "AUD-09", "AUD-10", "AUD-11", "AUD-12", "AUD-13", "AUD-14", "AUD-15", "AUD-16",
    "AUD-17", "AUD-18", "AUD-19", "AUD-20", "AUD-21", "AUD-22", "AUD-23", "AUD-24", "AUD-25",
    "AUD-26", "AUD-27", "AUD-28", "AUD-29", "AUD-30", "AUD-31", "AUD-32", "AUD-33", "AUD-34",
    "AUD-35", "AUD-36", "AUD-37", "AUD-38", "AUD-39", "AUD-40", "AUD-41", "AUD-42", "AUD-43",
    "AUD-44", "AUD-45", "AUD-46", "AUD-47", "AUD-48", "AUD-49", "AUD-50", "AUD-51", "AUD-52",
    "AUD-53", "AUD-54", "AUD-55", "AUD-56", "AUD-57", "AUD-58", "AUD-59", "AUD-60", "AUD-61",
    "BAK-01", "BAK-02", "BAK-03", "BAK-04", "BAK-05", "BAK-06", "BAK-07", "BAK-08", "BAK-09",
    "BAK-10", "BAK-11", "BAK-12", "BAK-13", "BAK-14", "BAK-15", "BAK-16", "BAK-17", "BAK-18",
    "BAK-19", "BAK-20", "BAK-21", "BAK-22", "BAK-23", "BAK-24", "BAK-25", "BAK-26", "BAK-27",
    "BAK-28", "BAK-29", "BAK-30", "BAK-31", "BAK-32", "BAK-33", "BAK-34", "BAK-35", "BAK-36",
    "BAK-37", "BAK-38", "BAK-39", "BAK-40", "BAK-41", "BAK-42", "BAK-43", "BAK-44", "BAK-45",
    "BAK-46", "BAK-47", "BAK-48", "BAK-49", "BAK-50", "BAK-51", "BAK-52", "BAK-53", "BAK-54",
    "BAK-55", "BAK-56", "BAK-57", "BOOT-01", "BOOT-02", "BOOT-03", "BOOT-04", "BOOT-05", "BOOT-06",
    "BOOT-07", "BOOT-08", "BOOT-09", "BOOT-10", "BOOT-11", "BOOT-12", "BOOT-13", "BOOT-14",
    "BOOT-15", "BOOT-16", "BOOT-17", "BOOT-18", "BOOT-19", "BOOT-20", "BOOT-21", "BOOT-22",
    "BOOT-23", "BOOT-24", "BOOT-25", "BOOT-26", "BOOT-27", "BOOT-28", "BOOT-29", "BUF-01",
    "BUF-02", "BUF-03", "BUF-04", "BUF-05", "BUF-06", "BUF-07", "BUF-08", "BUF-09", "BUF-10",
    "BUF-11", "BUF-12", "BUF-13", "BUF-14", "BUF-15", "BUF-16", "BUF-17", "BUF-18", "BUF-19",
    "BUF-20", "BUF-21", "BUF-22", "CONF-01", "CONF-02", "CONF-03", "CONF-04", "CONF-05", "CONF-06",
    "CONF-07", "CONF-08", "CONF-09", "CONF-10", "CONF-11", "CONF-12", "CONF-13", "CONF-14",
    "CONF-15", "CONF-16", "CONF-17", "CONF-18", "CONF-19", "CONF-20", "CONF-21", "CONF-22",
    "CONF-23", "CONF-24", "CONF-25", "CONF-26", "CONF-27", "CONF-28", "CONF-29", "CONF-30",
    "CONF-31", "CONF-32", "CONF-33", "CONF-34", "CONF-35", "CONF-36", "CONF-37", "CONF-38",
    "CONF-39", "CONF-40", "CONF-41", "CONF-42", "CONF-43", "CONF-44", "CONF-45", "CONF-46",
    "CONF-47", "CONF-48", "CONF-49", "CONF-50", "CONF-51", "CONF-52", "CONF-53", "CONF-54",
    "CONST-01", "CONST-02", "CONST-03", "CONST-04", "CONST-05", "CONST-06", "CONST-07", "CONST-08",
    "CONST-09", "CONST-10", "CONST-11", "CONST-12", "CONST-13", "CONST-14", "CONST-15", "CONST-16",
    "CONST-17", "CONST-18", "CONST-19", "CONST-20", "CONST-21", "CONST-22", "CONST-23", "CONST-24",
    "CONST-25", "CONST-26", "CONST-27", "CONST-28", "CONST-29", "CONST-30", "CONST-31", "CONST-32",
    "CONST-33", "CONST-34", "CONST-35", "CONST-36", "CONST-37", "CONST-38", "CONST-39", "CONST-40",
    "CONST-41", "CONST-42", "CONST-43", "CONST-44", "CONST-45", "CONST-46", "CONST-47", "CONST-48",
    "CONST-49", "CONST-50", "CONST-51", "CONV-02", "CONV-03", "CONV-04", "CONV-05", "CONV-06",
    "CONV-07", "CONV-08", "CONV-10", "CONV-11", "CONV-12", "CONV-13", "CONV-14", "CONV-15",
    "CONV-16", "CONV-17", "CONV-18", "CONV-19", "CONV-20", "CONV-21", "CONV-22", "CONV-23",
    "CONV-24", "CONV-25", "CONV-26", "CONV-27", "CONV-28", "CONV-29", "CONV-30", "CONV-31",
    "CONV-33", "CONV-35", "CONV-36", "CONV-37", "CONV-38", "CONV-39", "CONV-40", "CONV-41",
    "CONV-42", "CONV-43", "CONV-44", "CONV-45", "CONV-46", "CONV-47", "CONV-48", "CONV-49",
    "CONV-51", "CONV-52", "CONV-53", "DEL-01", "DEL-02", "DEL-03", "DEL-04", "DEL-05", "DEL-06",
    "DEL-07", "DEL-08", "DEL-09", "DEL-10", "DEL-11", "DEL-12", "DEL-13", "DEL-14", "DEL-15",
    "DEL-16", "DEL-17", "DEL-18", "DEL-19", "DEL-20", "DEL-21", "DEL-22", "DEL-23", "DEL-24",
    "DEL-25", "DEL-26", "DEL-27", "DEL-28", "DEL-29", "DEL-30", "DEL-31", "DEL-32", "DEL-33",
    "DEL-34", "DEL-35", "DEL-36", "DEL-37", "DEL-38", "DEL-39", "DEL-40", "DEL-41", "DEL-42",
    "DEL-43", "DEL-44", "DEL-45", "DEL-46", "DEL-47", "DEL-48", "DEL-49", "DEL-50", "DEL-51",
    "DEL-52", "DEL-53", "DEL-54", "DEL-55", "DEL-56", "DEL-57", "DEL-58", "DEL-59", "DEL-60",
    "DEL-61", "DEL-62", "DEL-63", "DEL-64", "DEL-65", "DEL-66", "DEL-67", "DISP-01", "DISP-02",
    "DISP-03", "DISP-04", "DISP-05", "DISP-06", "DISP-07", "DISP-08", "DISP-09", "DISP-10",
    "DISP-11", "DISP-12", "DISP-13", "DISP-14", "DISP-15", "DISP-16", "DISP-17", "DISP-18",
    "DISP-19", "DISP-20", "DISP-21", "DISP-22", "DISP-23", "DISP-24", "DISP-25", "DISP-26",
    "DISP-27", "DISP-28", "DISP-29", "DISP-30", "DISP-31", "DISP-32", "DISP-33", "DISP-34",
    "DISP-35", "DISP-36", "DISP-37", "DISP-38", "DISP-39", "DISP-40", "DISP-41", "DISP-42",
    "DISP-43", "DISP-44", "DISP-45", "DISP-46", "DISP-47", "DISP-48", "DISP-49", "DISP-50",
    "DISP-51", "DISP-52", "DISP-53", "DISP-54", "DISP-55", "DISP-56", "DISP-57", "DISP-58",
    "ERR-01", "ERR-02", "ERR-03", "ERR-04", "ERR-05", "ERR-06", "ERR-07", "ERR-08", "ERR-09",
    "ERR-10", "ERR-11", "ERR-12", "ERR-13", "ERR-14", "ERR-15", "ERR-16", "ERR-17", "ERR-18",
    "ERR-19", "ERR-20", "ERR-21", "ERR-22", "ERR-23", "ERR-24", "ERR-25", "ERR-26", "ERR-27",
    "ERR-28", "ERR-30", "ERR-31", "ERR-32", "ERR-34", "ERR-35", "ERR-36", "ERR-37", "ERR-38",
    "FAIL-01", "FAIL-02", "FAIL-03", "FAIL-04", "FAIL-05", "FAIL-06", "FAIL-07", "FAIL-08",
    "FAIL-09", "FAIL-10", "FAIL-11", "FAIL-12", "FAIL-13", "FAIL-14", "FAIL-15", "FAIL-16",
    "FAIL-17", "FAIL-18", "FAIL-19", "FAIL-20", "FAIL-21", "FAIL-22", "FAIL-23", "FAIL-24",
    "FAIL-25", "FAIL-29", "FAIL-32", "FAIL-33", "FAIL-34", "FAIL-35", "FAIL-36", "FAIL-38",
    "FAIL-41", "FAIL-42", "FAIL-43", "FAIL-44", "FAIL-45", "FAIL-46", "FAIL-47", "FAIL-48",
    "FAIL-49", "HIVE-02", "HIVE-03", "HIVE-04", "HIVE-05", "HIVE-06", "HIVE-07", "HIVE-08",
    "HIVE-09", "HIVE-10", "HIVE-11", "HIVE-12", "HIVE-13", "HIVE-14", "HIVE-15", "HIVE-16",
    "HIVE-17", "HIVE-18", "HIVE-19", "HIVE-20", "HIVE-21", "HIVE-22", "HIVE-23", "HIVE-24",
    "HIVE-25", "HIVE-26", "INH-01", "INH-02", "INH-03", "INH-04", "INH-05", "INH-06", "INH-07",
    "INH-08", "INH-09", "INH-10", "INH-11", "INH-12", "INH-13", "INH-14", "INH-15", "INH-16",
    "INH-17", "INH-18", "INH-19", "INH-20", "INH-21", "INH-22", "INH-23", "INH-24", "INH-25",
    "INH-26", "INH-27", "INH-28", "INH-29", "INH-30", "INH-31", "INH-32", "INH-33", "INH-34",
    "INH-35", "INH-36", "IOC-001", "IOC-002", "IOC-003", "IOC-004", "IOC-005", "IOC-006",
    "IOC-007", "IOC-008", "IOC-009", "IOC-010", "IOC-011", "IOC-012", "IOC-013", "IOC-014",
    "IOC-015", "IOC-016", "IOC-017", "IOC-018", "IOC-019", "IOC-020", "IOC-021", "IOC-022",
    "IOC-023", "IOC-024", "IOC-025", "IOC-026", "IOC-027", "IOC-028", "IOC-029", "IOC-030",
    "IOC-031", "IOC-032", "IOC-033", "IOC-034", "IOC-035", "IOC-036", "IOC-037", "IOC-038",
    "IOC-039", "IOC-040", "IOC-041", "IOC-042", "IOC-043", "IOC-044", "IOC-045", "IOC-046",
    "IOC-047", "IOC-048", "IOC-049", "IOC-050", "IOC-051", "IOC-052", "IOC-053", "IOC-054",
    "IOC-055", "IOC-056", "IOC-057", "IOC-058", "IOC-059", "IOC-060", "IOC-061", "IOC-062",
    "IOC-063", "IOC-064", "IOC-065", "IOC-066", "IOC-067", "IOC-068", "IOC-069", "IOC-070",
    "IOC-072", "IOC-073", "IOC-074", "IOC-075", "IOC-076", "IOC-077", "IOC-078", "IOC-079",
    "IOC-080", "IOC-082", "IOC-083", "IOC-085", "IOC-086", "IOC-087", "IOC-088", "IOC-089",
    "IOC-090", "IOC-091", "IOC-092", "IOC-093", "IOC-094", "IOC-095", "IOC-096", "IOC-097",
    "IOC-098", "IOC-099", "IOC-100", "IOC-101", "IOC-102", "IOC-103", "IOC-104", "IOC-105",
    "IOC-106", "IOC-107", "IOC-108", "IOC-109", "IOC-110", "IOC-111", "IOC-112", "IOC-113",
    "IOC-114", "IOC-115", "IOC-116", "IOC-117", "IOC-118", "IOC-119", "IOC-120", "IOC-121",
    "IOC-122", "IOC-123", "IOC-124", "IOC-125", "IOC-126", "IOC-127", "IOC-128", "IOC-129",
    "IOC-130", "IOC-131", "IOC-132", "IOC-133", "IOC-134", "IOC-135", "IOC-136", "IOC-137",
    "IOC-138", "IOC-139", "IOC-140", "IOC-141", "IOC-142", "IOC-143", "IOC-144", "IOC-145",
    "IOC-146", "IOC-147", "IOC-148", "IOC-149", "IOC-150", "IOC-151", "IOC-152", "IOC-153",
    "IOC-154", "IOC-155", "IOC-156", "IOC-157", "IOC-158", "IOC-159", "IOC-160", "IOC-161",
    "IOC-162", "IOC-163", "IOC-164", "IOC-165", "IOC-166", "IOC-167", "IOC-168", "IOC-169",
    "IOC-170", "IOC-171", "IOC-172", "IOC-173", "IOC-174", "IOC-175", "IOC-176", "IOC-177",
    "IOC-178", "IOC-179", "IOC-180", "IOC-181", "IOC-182", "IOC-183", "IOC-184", "IOC-185",
    "IOC-186", "IOC-187", "IOC-188", "IOC-189", "IOC-190", "IOC-191", "IOC-192", "IOC-193",
    "IOC-194", "IOC-195", "IOC-196", "IOC-197", "IOC-198", "IOC-199", "IOC-200", "IOC-201",
    "IOC-202", "IOC-203", "IOC-204", "IOC-205", "IOC-206", "KEY-01", "KEY-02", "KEY-03", "KEY-04",
    "KEY-05", "KEY-06", "KEY-07", "KEY-08", "KEY-09", "KEY-10", "KEY-11", "KEY-12", "KEY-13",
    "KEY-14", "KEY-15", "KEY-16", "KEY-17", "KEY-18", "KEY-19", "KEY-20", "KEY-21", "KEY-22",
    "KEY-23", "KEY-24", "KEY-25", "KEY-26", "KEY-27", "KEY-28", "KEY-29", "KEY-30", "KEY-31",
    "KEY-32", "KEY-33", "KEY-34", "KEY-35", "KEY-36", "KEY-37", "KEY-38", "KEY-39", "KEY-40",
    "KEY-41", "KEY-42", "LAUTH-01", "LAUTH-02", "LAUTH-03", "LAUTH-04", "LAUTH-05", "LAUTH-06",
    "LAUTH-07", "LAUTH-08", "LAUTH-09", "LAUTH-10", "LAUTH-11", "LAUTH-12", "LAUTH-13", "LAUTH-14",
    "LAUTH-15", "LAUTH-16", "LAUTH-17", "LAUTH-18", "LAUTH-19", "LAUTH-20", "LAUTH-21", "LAUTH-22",
    "LAUTH-23", "LAUTH-24", "LAUTH-25", "LAUTH-26", "LAUTH-27", "LAUTH-28", "LAYER-01", "LAYER-02",
    "LAYER-03", "LAYER-04", "LAYER-05", "LAYER-06", "LAYER-07", "LAYER-08", "LAYER-09", "LAYER-10",
    "LAYER-11", "LAYER-12", "LAYER-13", "LAYER-14", "LAYER-15", "LAYER-16", "LAYER-17", "LAYER-18",
    "LAYER-19", "LAYER-20", "LAYER-21", "LAYER-22", "LAYER-23", "LAYER-24", "LAYER-25", "LAYER-26",
    "LAYER-27", "LAYER-28", "LAYER-29", "LAYER-30", "LAYER-31", "LAYER-32", "LAYER-33", "LAYER-34",
    "LAYER-35", "LAYER-36", "LAYER-37", "LAYER-38", "LAYER-39", "LAYER-40", "LAYER-41", "LAYER-42",
    "LAYER-44", "LAYER-45", "LAYER-49", "LAYER-50", "LAYER-51", "LAYER-52", "LAYER-53", "LAYER-54",
    "LAYER-55", "LAYER-56", "LAYER-57", "LAYER-58", "LAYER-59", "LAYER-60", "LAYER-61", "LAYER-62",
    "LAYER-63", "LAYER-64", "LAYER-65", "LAYER-66", "LAYER-67", "LAYER-68", "LAYER-69", "LINK-01",
    "LINK-02", "LINK-03", "LINK-04", "LINK-05", "LINK-06", "LINK-07", "LINK-08", "LINK-09",
    "LINK-10", "LINK-11", "LINK-12", "LINK-13", "LINK-14", "LINK-15", "LINK-16", "LINK-17",
    "LINK-18", "LINK-19", "LINK-20", "LINK-21", "LINK-22", "LINK-23", "LINK-24", "LINK-25",
    "LINK-26", "LINK-27", "LINK-28", "LINK-29", "LINK-30", "LINK-31", "LINK-32", "LINK-33",
    "LINK-34", "LINK-35", "LINK-36", "LORE-005", "LORE-006", "LORE-007", "LORE-016", "LORE-017",
    "LORE-023", "LORE-024", "LORE-029", "LORE-030", "LORE-031", "LORE-032", "LORE-033", "LORE-034",
    "LORE-035", "LORE-036", "LORE-037", "LORE-041", "LORE-042", "LORE-043", "LORE-051", "LORE-053",
    "LORE-057", "LORE-061", "LORE-062", "LORE-064", "LORE-066", "LORE-067", "LORE-068", "LORE-071",
    "LORE-072", "LORE-073", "LORE-074", "LORE-075", "LORE-076", "LORE-077", "LORE-078", "LORE-079",
    "LORE-080", "LORE-081", "LORE-082", "LORE-083", "LORE-086", "LORE-087", "LORE-088", "LORE-089",
    "LORE-090", "LORE-091", "LORE-092", "LORE-093", "LORE-094", "LORE-095", "LORE-096", "LORE-097",
    "LORE-098", "LORE-099", "LORE-100", "LORE-101", "LORE-102", "LORE-103", "LORE-104", "LORE-105",
    "LORE-106", "LORE-107", "LORE-108", "LORE-109", "LORE-110", "LORE-111", "LORE-112", "LORE-113",
    "LORE-114", "LORE-116", "LORE-117", "LORE-118", "LORE-119", "LORE-120", "LORE-121", "LORE-122",
    "LORE-123", "LORE-124", "LORE-125", "LORE-126", "LORE-127", "LORE-128", "LORE-129", "LORE-130",
    "LORE-131", "LORE-132", "LORE-133", "LORE-134", "LORE-135", "OP-01", "OP-02", "OP-03", "OP-04",
    "OP-05", "OP-06", "OP-07", "OP-08", "OP-09", "OP-10", "OP-11", "OP-12", "OP-13", "OP-14",
    "OP-15", "OP-16", "OP-17", "OP-18", "OP-19", "OP-20", "OP-21", "OP-22", "OP-23", "OP-24",
    "OP-25", "OP-26", "OP-27", "OP-28", "OP-29", "OP-30", "OP-31", "OP-32", "OP-33", "OP-34",
    "OP-35", "OP-36", "OP-37", "OP-38", "OP-39", "OP-40", "OP-41", "OP-42", "OP-43", "OP-44",
    "OP-45", "OP-46", "OP-47", "OP-48", "OP-49", "OP-50", "OP-51", "OP-52", "OP-53", "OP-54",
    "OP-55", "OP-56", "OP-57", "OP-58", "OP-59", "OP-60", "OP-61", "OP-62", "OP-63", "OP-64",
    "OP-65", "OP-66", "OP-67", "OP-68", "OP-69", "OP-70", "OP-71", "OP-72", "OP-73", "OP-74",
    "OP-75", "OP-76", "OP-77", "OP-78", "OP-79", "OP-80", "OP-81", "PATH-01", "PATH-02", "PATH-03",
    "PATH-04", "PATH-05", "PATH-06", "PATH-07", "PATH-08", "PATH-09", "PATH-10", "PATH-11",
    "PATH-12", "PATH-13", "PATH-14", "PATH-15", "PATH-16", "PATH-17", "PATH-18", "PATH-19",
    "PATH-20", "PATH-21", "PATH-22", "PATH-23", "PRIV-01", "PRIV-02", "PRIV-03", "PRIV-04",
    "PRIV-05", "PRIV-06", "PRIV-07", "PRIV-08", "PRIV-09", "PRIV-10", "PRIV-11", "PRIV-12",
    "PRIV-13", "PRIV-14", "PRIV-15", "PRIV-16", "PRIV-17", "PRIV-18", "PRIV-19", "PRIV-20",
    "PRIV-21", "PRIV-22", "PRIV-23", "REG-01", "REG-02", "REG-03", "REG-04", "REG-05", "REG-06",
    "REG-07", "REG-08", "REG-09", "REG-10", "REG-11", "REG-14", "REG-15", "REG-16", "REG-17",
    "REG-18", "REG-19", "REG-20", "REG-21", "REG-22", "REG-23", "REG-24", "REG-25", "REG-26",
    "REG-27", "REG-28", "REG-29", "REG-30", "REG-31", "REG-32", "REG-33", "REG-34", "REG-35",
    "REG-36", "REG-38", "REG-39", "REG-40", "REG-41", "REG-42", "RES-01", "RES-02", "RES-03",
    "RES-04", "RES-05", "RES-06", "RES-07", "RES-08", "RES-09", "RES-10", "RES-11", "RES-12",
    "RES-13", "RES-14", "RES-15", "RES-16", "RES-17", "RES-18", "RES-19", "RES-20", "RES-21",
    "RES-22", "RES-23", "RES-24", "RES-25", "RES-26", "RES-27", "RES-28", "RES-29", "RES-30",
    "RES-31", "RES-32", "RES-33", "RES-34", "RES-35", "RES-36", "RES-37", "RSI-01", "RSI-02",
    "RSI-03", "RSI-04", "RSI-05", "RSI-06", "RSI-07", "RSI-08", "RSI-09", "RSI-10", "RSI-11",
    "RSI-12", "RSI-13", "RSI-14", "RSI-15", "RSI-16", "RSI-17", "RSI-18", "RSI-19", "RSI-20",
    "RSI-21", "RSI-22", "RSI-23", "RSI-24", "RSI-25", "RSI-26", "RSI-27", "RSI-28", "RSI-29",
    "RSI-30", "RSI-31", "RSI-33", "RSI-34", "RSI-35", "RSI-36", "RSI-37", "RSI-38", "RSI-39",
    "RSI-40", "RSI-41", "RSI-42", "RSI-43", "RSI-44", "RSI-45", "RSI-46", "RSI-47", "RSI-48",
    "RSI-49", "RSI-50", "RSI-51", "RSI-52", "RSI-53", "RSI-54", "RSI-55", "RSI-56", "RSI-57",
    "RSI-58", "RST-01", "RST-02", "RST-03", "RST-04", "RST-05", "RST-06", "RST-07", "RST-08",
    "RST-09", "RST-10", "RST-11", "RST-12", "RST-13", "RST-14", "RST-15", "RST-16", "RST-17",
    "RST-18", "RST-19", "RST-20", "RST-21", "RST-22", "RST-23", "RST-24", "RST-25", "RST-26",
    "RST-27", "RST-28", "RST-29", "RST-30", "RST-31", "RST-32", "RST-33", "RST-34", "RST-35",
    "RST-36", "RST-37", "RST-38", "RST-39", "RST-40", "RST-41", "RST-42", "RST-43", "RST-44",
    "RST-45", "RST-46", "RST-47", "RST-48", "RST-49", "RST-50", "RST-51", "RST-52", "RST-53",
    "RST-54", "RST-55", "RST-56", "RST-57", "RST-58", "RST-59", "RST-60", "RST-61", "RST-62",
    "RST-63", "RST-64", "RST-65", "RST-66", "RST-67", "RST-68", "RST-69", "RST-70", "RST-71",
    "RST-72", "RST-73", "RST-74", "RST-75", "RST-76", "RST-77", "RST-78", "RST-79", "RST-80",
    "RST-81", "RST-82", "RST-83", "RST-84", "RST-85", "RST-86", "RST-87", "RST-88", "RST-89",
    "SD-01", "SD-02", "SD-03", "SD-04", "SD-05", "SD-06", "SD-07", "SD-08", "SD-09", "SD-10",
    "SD-11", "SD-12", "SD-13", "SD-14", "SD-15", "SD-16", "SD-17", "SD-18", "SD-19", "SD-20",
    "SD-21", "SD-22", "SD-23", "SD-24", "SD-25", "SD-26", "SD-27", "SD-28", "SD-29", "SD-30",
    "SD-31", "SD-32", "SD-33", "SD-34", "SD-35", "SD-36", "SD-37", "SD-38", "SD-39", "SD-40",
    "SD-41", "SD-42", "SD-43", "SD-44", "SD-45", "SD-46", "SD-47", "SD-48", "SEC-01", "SEC-02",
    "SEC-03", "SEC-04", "SEC-05", "SEC-06", "SEC-07", "SEC-08", "SEC-09", "SEC-10", "SEC-11",
    "SEC-12", "SEC-13", "SEC-14", "SEC-15", "SEC-16", "SEC-17", "SEC-18", "SEC-19", "SEC-20",
    "SEC-21", "SEC-22", "SEC-23", "SEC-24", "SEC-25", "SEC-26", "SEC-27", "SEC-28", "SEC-29",
    "SEC-30", "SEC-31", "SEC-32", "SEC-33", "SEC-34", "SEC-35", "SEC-36", "SEC-37", "SEC-38",
    "SEC-39", "SEC-40", "SEC-41", "SEC-42", "SEC-43", "SEC-44", "SEC-45", "SEC-46", "SEC-47",
    "SEC-48", "SEC-49", "SEC-50", "SEC-51", "SEC-52", "SEC-53", "SEC-54", "SEC-55", "SEC-56",
    "SEC-57", "SEQ-01", "SEQ-02", "SEQ-03", "SEQ-04", "SEQ-05", "SEQ-06", "SEQ-07", "SEQ-08",
    "SEQ-09", "SEQ-10", "SEQ-11", "SEQ-12", "SEQ-13", "SEQ-14", "SEQ-15", "SEQ-16", "SEQ-17",
    "SEQ-18", "SEQ-19", "SEQ-20", "SEQ-21", "SEQ-22", "SEQ-23", "SEQ-24", "SEQ-25", "SEQ-26",
    "SEQ-27", "SEQ-28", "SEQ-29", "SRC-01", "SRC-02", "SRC-03", "SRC-04", "SRC-05", "SRC-06",
    "SRC-07", "SRC-08", "SRC-09", "SRC-10", "SRC-11", "SRC-12", "SRC-13", "SRC-14", "SRC-15",
    "SRC-16", "SRC-17", "SRC-18", "SRC-19", "SRC-20", "SRC-21", "SRC-22", "SRC-23", "SRC-24",
    "SRC-25", "SRC-26", "SRC-27", "SRC-28", "SRC-29", "SRC-30", "SRC-31", "SRC-32", "SRC-33",
    "SRC-34", "SRC-35", "SRC-36", "SRC-37", "SRC-38", "SRC-39", "SRC-40", "SRC-41", "SRC-42",
    "SRC-43", "SRC-44", "SRC-45", "SRC-46", "SRC-47", "SRC-48", "SRC-49", "SRC-50", "SRC-51",
    "SRC-52", "SRC-53", "SRC-55", "SRC-56", "SRC-57", "SRC-58", "SRC-59", "SRC-60", "SYS-02",
    "SYS-04", "SYS-05", "SYS-06", "SYS-07", "SYS-08", "SYS-09", "SYS-10", "SYS-11", "SYS-12",
    "SYS-13", "SYS-14", "SYS-15", "SYS-16", "SYS-17", "SYS-18", "SYS-19", "SYS-20", "SYS-21",
    "SYS-22", "SYS-23", "SYS-24", "SYS-25", "SYS-26", "SYS-27", "SYS-28", "SYS-29", "SYS-30",
    "SYS-31", "SYS-32", "SYS-33", "SYS-34", "SYS-35", "SYS-36", "SYS-37", "SYS-38", "SYS-39",
    "SYS-40", "SYS-41", "SYS-42", "SYS-43", "SYS-44", "SYS-45", "SYS-46", "SYS-47", "SYS-48",
    "SYS-49", "SYS-50", "SYS-51", "SYS-52", "SYS-53", "SYS-54", "SYS-55", "SYS-56", "SYS-57",
    "SYS-58", "SYS-59", "SYS-60", "SYS-61", "SYS-62", "SYS-63", "SYS-64", "SYS-65", "SYS-66",
    "SYS-67", "SYS-68", "SYS-69", "SYS-70", "SYS-71", "SYS-72", "SYS-73", "SYS-74", "SYS-75",
    "SYS-76", "SYS-77", "SYS-78", "SYS-79", "SYS-80", "SYS-81", "SYS-82", "SYS-83", "SYS-84",
    "SYS-85", "SYS-86", "SYS-87", "SYS-88", "SYS-89", "SYS-90", "SYS-91", "SYS-92", "SYS-93",
    "SYS-94", "SYS-95", "TXN-01", "TXN-02", "TXN-03", "TXN-04", "TXN-05", "TXN-06", "TXN-07",
    "TXN-08", "TXN-09", "TXN-10", "TXN-11", "TXN-12", "TXN-13", "TXN-14", "TXN-15", "TXN-16",
    "TXN-17", "TXN-18", "TXN-19", "TXN-20", "TXN-21", "TXN-22", "TXN-23", "TXN-24", "TXN-25",
    "TXN-26", "TXN-27", "TXN-28", "TXN-29", "TXN-30", "TXN-31", "TXN-32", "TXN-33", "TXN-34",
    "TXN-35", "TXN-36", "TXN-37", "TXN-38", "TXN-39", "TXN-40", "TXN-41", "TXN-42", "TXN-43",
    "TXN-44", "TXN-45", "TXN-46", "TXN-47", "TXN-48", "TXN-49", "TXN-50", "TXN-51", "TXN-52",
    "TXN-53", "TXN-54", "TXN-55", "TXN-56", "TXN-57", "TXN-58", "TXN-59", "TXN-60", "TXN-61",
    "TXN-62", "TXN-63", "TXN-64", "TXN-65", "TXN-66", "TXN-67", "TXN-68", "TXN-69", "TXN-70",
    "TXN-71", "TXN-72", "TXN-73", "TXN-74", "TXN-75", "TXN-76", "TXN-77", "TXN-78", "TXN-79",
    "TXN-80", "TXN-81", "TXN-82", "TXN-83", "TXN-84", "TXN-85", "TXN-86", "TXN-87", "TXN-88",
    "TXN-89", "VAL-01", "VAL-02", "VAL-03", "VAL-04", "VAL-05", "VAL-06", "VAL-07", "VAL-08",
    "VAL-09", "VAL-10", "VAL-11", "VAL-12", "VAL-13", "VAL-14", "VAL-15", "VAL-16", "VAL-17",
    "VAL-18", "VAL-19", "VAL-20", "VAL-21", "VAL-22", "VAL-23", "VAL-24", "VAL-25", "VAL-26",
    "VAL-27", "VAL-28", "VAL-29", "VAL-30", "VAL-31", "VAL-32", "VAL-33", "VAL-34", "VAL-35",
    "VAL-36", "VAL-37", "VAL-38", "VAL-39", "VAL-40", "VAL-41", "VAL-42", "VAL-43", "VAL-44",
    "VAL-45", "VAL-46", "VAL-47", "VAL-48", "VAL-49", "VAL-50", "VAL-51", "VAL-52", "VAL-53",
    "VAL-54", "VAL-55", "VAL-56", "VAL-57", "VAL-58", "VAL-59", "WATCH-01", "WATCH-02", "WATCH-03",
    "WATCH-04", "WATCH-05", "WATCH-06", "WATCH-07", "WATCH-08", "WATCH-09", "WATCH-10", "WATCH-11",
    "WATCH-12", "WATCH-13", "WATCH-14", "WATCH-15", "WATCH-16", "WATCH-17", "WATCH-18", "WATCH-19",
    "WATCH-20", "WATCH-21", "WATCH-22", "WATCH-23", "WATCH-24", "WATCH-25", "WATCH-26", "WATCH-27",
    "WATCH-28", "WATCH-29", "WATCH-30", "WATCH-31", "WATCH-32", "WATCH-33", "WATCH-34", "WATCH-35",
    "WATCH-36", "WATCH-37", "WATCH-38", "WATCH-39", "WATCH-40", "WATCH-41", "WATCH-42", "WATCH-43",
    "WATCH-44", "WATCH-45", "WATCH-46", "WATCH-47", "WATCH-48", "WATCH-49", "WATCH-50", "WATCH-51",
    "WATCH-52", "WATCH-53", "WATCH-54", "WATCH-55", "WATCH-56", "WATCH-57", "WATCH-58", "WATCH-59",
    "WATCH-60", "WATCH-61", "WATCH-62", "WATCH-63", "WATCH-64", "WATCH-65", "WATCH-66", "WIRE-01",
    "WIRE-02", "WIRE-03", "WIRE-04", "WIRE-05", "WIRE-06", "WIRE-07", "WIRE-08", "WIRE-09",
    "WIRE-10", "WIRE-11", "WIRE-12", "WIRE-13", "WIRE-14", "WIRE-15", "WIRE-16", "WIRE-17",
    "WIRE-18", "WIRE-19", "WIRE-20", "WIRE-21", "WIRE-22", "WIRE-23", "WIRE-24", "WIRE-25",
    "WIRE-26", "WIRE-27", "WIRE-28", "WIRE-29", "WIRE-30", "WIRE-31", "WIRE-32", "WIRE-33",
    "WIRE-34", "WIRE-35", "WIRE-36", "WIRE-37", "WIRE-38", "WIRE-39", "WIRE-40", "WIRE-41",
    "WIRE-42", "WIRE-43", "WIRE-44",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_its_bytes_and_fits() {
        assert!(REQUIREMENTS.len() <= WORDS * 128);
        assert!(REQUIREMENTS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn every_id_is_found_at_its_place() {
        for (place, id) in REQUIREMENTS.iter().enumerate() {
            assert_eq!(index_of(id), place, "{id}");
        }
    }

    #[test]
    fn marks_are_kept_and_joined() {
        let mut first = Covered::new();
        covers!(first, "RES-03", "VAL-57");
        let mut second = Covered::new();
        covers!(second, "RES-05");
        first.add(&second);
        assert_eq!(first.iter().collect::<Vec<_>>(), ["RES-03", "RES-05", "VAL-57"]);
        assert!(!first.contains("RES-06"));
    }
}
