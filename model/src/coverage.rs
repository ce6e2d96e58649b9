//! Which requirements a step applied.
//!
//! A branch that decides something marks the ids of the requirements that decide it with
//! `covers!`. A mark costs one bit.

use std::fmt;

/// Marks requirements by their ids: `covers!(covered, "RES-03")`. An id that is not in the list
/// does not compile.
macro_rules! covers {
    ($covered:expr, $($id:literal),+ $(,)?) => {{
        $(
            const {
                // Evaluated at compile time: an unknown id is a compile error.
                assert!($crate::coverage::index_of($id) < $crate::coverage::REQUIREMENTS.len());
            }
            $covered.mark(const { $crate::coverage::index_of($id) });
        )+
    }};
}
pub(crate) use covers;

const WORDS: usize = 3;

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
        self.iter().any(|marked| marked == id)
    }

    /// The ids, in the order of [`REQUIREMENTS`].
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + '_ {
        REQUIREMENTS
            .iter()
            .enumerate()
            .filter(|(index, _)| self.0[index / 128] >> (index % 128) & 1 == 1)
            .map(|(_, id)| *id)
    }
}

impl fmt::Debug for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The place of an id in the list, or the length of the list.
pub(crate) const fn index_of(id: &str) -> usize {
    let mut index = 0;
    while index < REQUIREMENTS.len() {
        if same(REQUIREMENTS[index].as_bytes(), id.as_bytes()) {
            return index;
        }
        index += 1;
    }
    index
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// The ids that some branch of the model marks.
pub const REQUIREMENTS: &[&str] = &[
    "BOOT-24", "BUF-14", "BUF-15", "BUF-16", "BUF-17", "BUF-21", "CONV-13", "CONV-14", "CONV-29",
    "CONV-44", "CONV-45", "CONV-46", "DEL-01", "DEL-03", "DEL-04", "DEL-07", "DEL-09", "DEL-10",
    "DEL-11", "DEL-12", "DEL-13", "DEL-21", "DEL-23", "DEL-24", "DEL-34", "DEL-35", "DEL-36",
    "DEL-37", "DEL-38", "DEL-45", "DEL-46", "DEL-49", "DEL-51", "DEL-62", "DEL-66", "ERR-01",
    "ERR-03", "ERR-10", "ERR-12", "ERR-13", "ERR-16", "ERR-19", "ERR-22", "ERR-24", "ERR-25",
    "ERR-27", "ERR-28", "FAIL-01", "FAIL-02", "FAIL-03", "FAIL-11", "FAIL-15", "FAIL-43",
    "HIVE-16", "HIVE-21", "HIVE-22", "HIVE-23", "HIVE-24", "IOC-014", "IOC-017", "IOC-021",
    "IOC-023", "IOC-029", "IOC-030", "IOC-033", "IOC-034", "IOC-038", "IOC-039", "IOC-040",
    "IOC-041", "IOC-044", "IOC-045", "IOC-046", "IOC-047", "IOC-048", "IOC-049", "IOC-051",
    "IOC-052", "IOC-054", "IOC-055", "IOC-057", "IOC-059", "IOC-062", "IOC-063", "IOC-066",
    "IOC-067", "IOC-068", "IOC-069", "IOC-072", "IOC-073", "IOC-075", "IOC-078", "IOC-079",
    "IOC-082", "IOC-091", "IOC-095", "IOC-098", "IOC-101", "IOC-105", "IOC-144", "IOC-145",
    "IOC-206", "KEY-05", "KEY-07", "KEY-15", "KEY-22", "LAUTH-01", "LAUTH-04", "LAUTH-10",
    "LAUTH-11", "LAUTH-18", "LAUTH-19", "LAUTH-21", "LAUTH-22", "LAUTH-23", "LAUTH-24", "LAYER-05",
    "LAYER-06", "LAYER-07", "LAYER-08", "LAYER-11", "LAYER-12", "LAYER-13", "LAYER-16", "LAYER-17",
    "LAYER-18", "LAYER-19", "LAYER-20", "LAYER-21", "LAYER-30", "LAYER-32", "LAYER-38", "LAYER-53",
    "LAYER-55", "LAYER-56", "LAYER-59", "LAYER-62", "LAYER-65", "LAYER-67", "LINK-01", "LINK-02",
    "LINK-08", "LINK-09", "LINK-11", "LINK-13", "LINK-18", "LINK-20", "LINK-22", "LINK-23",
    "LINK-31", "PATH-12", "PATH-13", "PATH-16", "PATH-18", "REG-06", "REG-16", "REG-17", "REG-18",
    "REG-41", "RES-03", "RES-05", "RES-06", "RES-07", "RES-09", "RES-10", "RES-11", "RES-12",
    "RES-13", "RES-14", "RES-15", "RES-16", "RES-17", "RES-18", "RES-19", "RES-20", "RES-21",
    "RES-22", "RES-24", "RES-25", "RES-28", "RES-29", "RES-30", "RES-35", "RES-36", "SEQ-04",
    "SEQ-05", "SEQ-08", "SEQ-13", "SEQ-15", "SEQ-21", "SRC-28", "SYS-15", "SYS-17", "SYS-25",
    "SYS-28", "SYS-29", "SYS-33", "SYS-39", "SYS-41", "SYS-42", "SYS-43", "SYS-45", "SYS-48",
    "SYS-53", "SYS-54", "SYS-55", "SYS-58", "SYS-59", "SYS-60", "SYS-61", "SYS-63", "SYS-64",
    "SYS-65", "SYS-66", "SYS-68", "SYS-69", "SYS-72", "SYS-75", "SYS-78", "SYS-81", "SYS-82",
    "SYS-83", "SYS-84", "VAL-15", "VAL-20", "VAL-21", "VAL-25", "VAL-28", "VAL-29", "VAL-30",
    "VAL-40", "VAL-42", "VAL-45", "VAL-46", "VAL-48", "VAL-53", "VAL-54", "VAL-55", "VAL-57",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_within_each_prefix_and_fits() {
        assert!(REQUIREMENTS.len() <= WORDS * 128);
        let number = |id: &str| -> (String, u32) {
            let (prefix, number) = id.split_once('-').unwrap();
            (prefix.to_owned(), number.parse().unwrap())
        };
        assert!(REQUIREMENTS.windows(2).all(|pair| number(pair[0]) < number(pair[1])));
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
