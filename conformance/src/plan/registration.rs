//! What a plan registers through a source device: hives good and bad, field by field.

use super::Text;

/// The argument of one `REG_SRC_REGISTER` (PSD-005 §11.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedRegistration {
    /// The entries that the argument points to.
    pub hives: Vec<PlannedHive>,
    /// `max_sequence`.
    pub max_sequence: u64,
    /// `hive_count`, where it is not the number of entries.
    pub hive_count: Option<u32>,
    /// `_pad`.
    pub padding: u32,
    /// The request code, where it is not that of `REG_SRC_REGISTER`.
    pub request: Option<u32>,
    /// Whether the argument points to nothing that is mapped.
    pub is_unmapped: bool,
}

/// One `reg_src_hive_entry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedHive {
    /// The name.
    pub name: Text,
    /// Whether `name_ptr` points to nothing that is mapped.
    pub is_name_unmapped: bool,
    /// `root_guid`.
    pub root: PlannedRoot,
    /// `flags`.
    pub flags: u32,
    /// `scope_guid`.
    pub scope: [u8; 16],
    /// `_pad0` and `_pad1`.
    pub padding: [u32; 2],
}

/// The root GUID that a registration gives to a hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedRoot {
    /// These bytes.
    Guid([u8; 16]),
    /// The root GUID by which a hive of this name was last registered; the null GUID if none was.
    Of(String),
}

impl PlannedHive {
    /// A global hive without faults.
    pub fn global(name: &str, root: PlannedRoot) -> PlannedHive {
        PlannedHive {
            name: Text::from(name),
            is_name_unmapped: false,
            root,
            flags: 0,
            scope: [0; 16],
            padding: [0; 2],
        }
    }
}
