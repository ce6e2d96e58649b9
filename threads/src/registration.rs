//! The registration message of a source process, read and made again (`abi::source_stream`): a plan may give
//! hives a scope, and a source a false maximum, for which the process has no arguments.

use abi::Structure;
use abi::layout::{SourceHiveEntry, SourceRegisterArgs};
use abi::source_stream::{ARGUMENT_OFFSET, StreamHive, registration_message};
use conformance::plan::SourceHive;
use registry_model::input::RSI_HIVE_PRIVATE;

/// What a source registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The hives with their root GUIDs.
    pub hives: Vec<(SourceHive, [u8; 16])>,
    /// The highest sequence number that it has stored.
    pub max_sequence: u64,
}

impl Registration {
    /// Reads a message of global hives; `None` if it is none.
    pub fn read(message: &[u8]) -> Option<Registration> {
        let part = |start: usize, length: usize| message.get(start..start.checked_add(length)?);
        let args = part(ARGUMENT_OFFSET, SourceRegisterArgs::SIZE);
        let args = SourceRegisterArgs::from_bytes(args?)?;
        let entry = |position: usize| {
            let start = usize::try_from(args.hives_ptr).ok()? + position * SourceHiveEntry::SIZE;
            let entry = SourceHiveEntry::from_bytes(part(start, SourceHiveEntry::SIZE)?)?;
            let start = usize::try_from(entry.name_ptr).ok()?;
            let name = part(start, usize::try_from(entry.name_len).ok()?)?;
            let name = String::from_utf8(name.to_vec()).ok()?;
            Some((SourceHive { name, scope: None }, entry.root_guid))
        };
        let hives = (0..usize::try_from(args.hive_count).ok()?).map(entry);
        Some(Registration { hives: hives.collect::<Option<_>>()?, max_sequence: args.max_sequence })
    }

    /// The message for it.
    pub fn message(&self) -> Vec<u8> {
        let hives: Vec<StreamHive<'_>> = self
            .hives
            .iter()
            .map(|(hive, root)| StreamHive {
                name: hive.name.as_bytes(),
                root_guid: *root,
                flags: hive.scope.map_or(0, |_| RSI_HIVE_PRIVATE),
                scope_guid: hive.scope.unwrap_or_default(),
            })
            .collect();
        registration_message(&hives, self.max_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_without_its_scopes() {
        let hives = [("Machine", None), ("Mine", Some([7; 16]))];
        let hives =
            hives.map(|(name, scope)| (SourceHive { name: name.to_owned(), scope }, [3; 16]));
        let registration = Registration { hives: hives.to_vec(), max_sequence: 77 };
        let message = registration.message();
        let read = Registration::read(&message).expect("a registration");
        assert_eq!(read.max_sequence, 77);
        assert_eq!(read.hives[0], hives[0]);
        assert_eq!(read.hives[1].0, SourceHive::global("Mine"));
        assert_eq!(Registration::read(&message[..message.len() - 1]), None);
    }
}
