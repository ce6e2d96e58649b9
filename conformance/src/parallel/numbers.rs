//! The sequence numbers that calls which overlap have sent, as far as a message can be told to be a call's:
//! by what it writes. It makes the search for an order much shorter.

use std::collections::BTreeSet;

use registry_model::input::Call;
use registry_model::observation::Observation;
use registry_model::store::Operation;

use super::block::Made;
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

    /// The numbers of what may be this call's; `None` if nothing may be, so that its number was not sent. What
    /// has failed may have sent nothing, and what is like it another call of the block.
    pub(super) fn of_call(&self, made: &Made, block: &[Made]) -> Option<BTreeSet<u64>> {
        let of = |made: &Made| -> BTreeSet<u64> {
            let own = self.0.iter().filter(|(operation, _)| may_be_of(operation, &made.call));
            own.map(|(_, number)| *number).collect()
        };
        let numbers = of(made);
        let has_failed = matches!(made.answer, Ok(Observation::Failed(_)));
        let others = block.iter().filter(|other| !std::ptr::eq(*other, made));
        let is_of_others = || others.into_iter().any(|other| !of(other).is_disjoint(&numbers));
        Some(numbers.clone()).filter(|_| !numbers.is_empty() && !(has_failed && is_of_others()))
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
    use registry_model::errno::Errno;
    use registry_model::store::Guid;

    use super::*;

    /// A call that was answered so.
    fn made(call: Call, answer: Observation) -> Made {
        let answer = Ok(answer);
        Made { strand: 0, actor: 0, call, answer, invoked: 0, returned: 0, began: 0, ended: 0 }
    }

    #[test]
    fn a_creation_has_the_numbers_of_entries_of_its_name() {
        let entry = |name: &str, sequence| {
            let (child_name, layer) = (name.as_bytes().to_vec(), b"base".to_vec());
            let (parent, child) = (Guid([1; 16]), Guid([2; 16]));
            let operation = Operation::CreateEntry { parent, child_name, layer, child, sequence };
            (operation, sequence)
        };
        let numbered = Numbered(vec![entry("a", 4), entry("b", 5), entry("a", 6)]);
        let numbers = |path: &str| {
            let path = path.as_bytes().to_vec();
            let (layer, transaction) = (None, -1);
            let call = Call::CreateKey {
                parent: 3,
                path,
                desired_access: 1,
                flags: 0,
                layer,
                transaction,
            };
            let made = made(call, Observation::Done);
            numbered.of_call(&made, &[])
        };
        assert_eq!(numbers("x\\a"), Some(BTreeSet::from([4, 6])));
        assert_eq!(numbers("x/b"), Some(BTreeSet::from([5])));
        assert_eq!(numbers("ab"), None);
    }

    #[test]
    fn what_has_failed_may_have_sent_nothing_of_what_another_has() {
        let (value_type, data, layer) = (4, vec![1; 4], Vec::new());
        let numbered = {
            let (guid, name, data) = (Guid([1; 16]), b"v".to_vec(), data.clone());
            let (layer, sequence, expected_sequence) = (b"base".to_vec(), 7, 0);
            let operation = Operation::SetValue {
                guid,
                name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            };
            Numbered(vec![(operation, 7)])
        };
        let call = Call::SetValue {
            fd: 3,
            name: b"v".to_vec(),
            value_type,
            data,
            layer,
            transaction: 5,
            expected_sequence: 0,
        };
        let failed = made(call.clone(), Observation::Failed(Errno::EBUSY));
        let block = [failed, made(call, Observation::Done)];
        assert_eq!(numbered.of_call(&block[0], &block), None);
        assert_eq!(numbered.of_call(&block[1], &block), Some(BTreeSet::from([7])));
        assert_eq!(numbered.of_call(&block[0], &block[..1]), Some(BTreeSet::from([7])));
    }
}
