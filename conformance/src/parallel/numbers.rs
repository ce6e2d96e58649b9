//! The sequence numbers that calls which overlap have sent, as far as a message can be told to be a call's:
//! by what it writes. It makes the search for an order much shorter.

use std::collections::BTreeSet;

use registry_model::input::Call;
use registry_model::store::Operation;

use crate::target::Frame;
use crate::wire::codec;

/// What was sent with a number.
pub(super) struct Numbered(Vec<(Operation, u64)>);

impl Numbered {
    /// What these frames carry.
    pub(super) fn of(frames: &[Frame]) -> Numbered {
        let requests = frames.iter().filter(|frame| frame.is_request);
        let decoded = requests.filter_map(|frame| codec::decode_request(&frame.bytes).ok());
        let numbered = decoded.filter_map(|(_, request)| {
            let number = number_of(&request.operation)?;
            Some((request.operation, number))
        });
        Numbered(numbered.collect())
    }

    /// The numbers of what may be this call's; `None` if nothing may be, so that its number was not sent.
    pub(super) fn of_call(&self, call: &Call) -> Option<BTreeSet<u64>> {
        let own = self.0.iter().filter(|(operation, _)| may_be_of(operation, call));
        let numbers: BTreeSet<u64> = own.map(|(_, number)| *number).collect();
        Some(numbers).filter(|numbers| !numbers.is_empty())
    }
}

fn number_of(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::SetValue { sequence, .. }
        | Operation::CreateEntry { sequence, .. }
        | Operation::HideEntry { sequence, .. }
        | Operation::SetBlanketTombstone { sequence, set: 1, .. } => Some(*sequence),
        _ => None,
    }
}

/// Whether a call may have sent this: names are compared where their spelling is the caller's own.
fn may_be_of(operation: &Operation, call: &Call) -> bool {
    match (operation, call) {
        (
            Operation::SetValue { name, value_type, data, .. },
            Call::SetValue { name: own_name, value_type: own_type, data: own_data, .. },
        ) => (name, value_type, data) == (own_name, own_type, own_data),
        (Operation::CreateEntry { child_name, .. }, Call::CreateKey { path, .. }) => {
            path.rsplit(|byte| b"\\/".contains(byte)).next() == Some(child_name)
        }
        (Operation::SetBlanketTombstone { .. }, Call::BlanketTombstone { set: 1, .. })
        | (Operation::HideEntry { .. }, Call::HideKey { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::store::Guid;

    use super::*;

    #[test]
    fn a_creation_has_the_numbers_of_entries_of_its_name() {
        let entry = |name: &str, sequence| {
            let (child_name, layer) = (name.as_bytes().to_vec(), b"base".to_vec());
            let (parent, child) = (Guid([1; 16]), Guid([2; 16]));
            let operation = Operation::CreateEntry { parent, child_name, layer, child, sequence };
            (operation, sequence)
        };
        let numbered = Numbered(vec![entry("a", 4), entry("b", 5), entry("a", 6)]);
        let create = |path: &str| Call::CreateKey {
            parent: 3,
            path: path.as_bytes().to_vec(),
            desired_access: 1,
            flags: 0,
            layer: None,
            transaction: -1,
        };
        assert_eq!(numbered.of_call(&create("x\\a")), Some(BTreeSet::from([4, 6])));
        assert_eq!(numbered.of_call(&create("x/b")), Some(BTreeSet::from([5])));
        assert_eq!(numbered.of_call(&create("ab")), None);
    }
}
