//! What calls which overlap have sent, and with which sequence numbers, as far as a message can be told to be a
//! call's: by what it writes. It makes the search for an order much shorter.

use std::collections::BTreeSet;

use registry_model::input::Call;
use registry_model::observation::Observation;
use registry_model::store::Operation;

use super::block::Made;
use crate::linearizability::registry::Number;
use crate::target::Frame;
use crate::wire::codec;

/// The requests that sources have read.
pub(super) struct Requests(Vec<Operation>);

impl Requests {
    /// Those among these frames.
    pub(super) fn of(frames: &[Frame]) -> Requests {
        let requests = frames.iter().filter(|frame| frame.is_request);
        let decoded = requests.filter_map(|frame| codec::decode_request(&frame.bytes).ok());
        Requests(decoded.map(|(_, request)| request.operation).collect())
    }

    /// Whether a source may have been asked to change something for a call.
    pub(super) fn may_have_changed(&self, call: &Call) -> bool {
        match call {
            Call::QueryValue { .. }
            | Call::QueryValuesBatch { .. }
            | Call::GetSecurity { .. }
            | Call::OpenKey { .. }
            | Call::Notify { .. }
            | Call::ReadEvents { .. }
            | Call::Poll { .. }
            | Call::BeginTransaction
            | Call::TransactionStatus { .. } => false,
            Call::SetValue { .. }
            | Call::DeleteValue { .. }
            | Call::BlanketTombstone { .. }
            | Call::CreateKey { .. }
            | Call::DeleteKey { .. }
            | Call::HideKey { .. }
            | Call::SetSecurity { .. }
            | Call::Commit { .. } => self.0.iter().any(|operation| {
                may_be_of(operation, call) || binds(operation) && call.transaction() != -1
            }),
            _ => true,
        }
    }

    /// What is known of the sequence number of a call. If nothing that was sent may be its, its number was not sent. What
    /// has failed may have sent nothing, and what is like it another call of the block.
    pub(super) fn number_of_call(&self, made: &Made, block: &[Made]) -> Number {
        let of = |made: &Made| -> BTreeSet<u64> {
            let own = self.0.iter().filter(|operation| may_be_of(operation, &made.call));
            own.filter_map(number_of).collect()
        };
        let numbers = of(made);
        let has_failed = matches!(made.answer, Ok(Observation::Failed(_)));
        let mut others = block.iter().filter(|other| !std::ptr::eq(*other, made));
        if numbers.is_empty() || has_failed && others.any(|other| !of(other).is_disjoint(&numbers))
        {
            return Number::Unsent(numbers);
        }
        Number::Sent(numbers)
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

/// Whether a transaction is bound by this.
fn binds(operation: &Operation) -> bool {
    matches!(operation, Operation::BeginTransaction { .. })
}

/// Whether a call may have sent this: names are compared where their spelling is the caller's own.
fn may_be_of(operation: &Operation, call: &Call) -> bool {
    match (operation, call) {
        (
            Operation::SetValue { name, value_type, data, .. },
            Call::SetValue { name: own_name, value_type: own_type, data: own_data, .. },
        ) => (name, value_type, data) == (own_name, own_type, own_data),
        // A HIDDEN entry makes room first (D-24).
        (
            Operation::CreateEntry { child_name, .. } | Operation::DeleteEntry { child_name, .. },
            Call::CreateKey { path, .. },
        ) => path.rsplit(|byte| b"\\/".contains(byte)).next() == Some(child_name),
        (Operation::SetBlanketTombstone { set, .. }, Call::BlanketTombstone { set: own, .. }) => {
            set == own
        }
        (Operation::DeleteValueEntry { name, .. }, Call::DeleteValue { name: own, .. }) => {
            name == own
        }
        (Operation::WriteKey { security_descriptor: Some(_), .. }, Call::SetSecurity { .. })
        | (Operation::HideEntry { .. }, Call::HideKey { .. })
        | (Operation::DeleteEntry { .. }, Call::DeleteKey { .. })
        | (Operation::CommitTransaction { .. }, Call::Commit { .. }) => true,
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
            Operation::CreateEntry { parent, child_name, layer, child, sequence }
        };
        let requests = Requests(vec![entry("a", 4), entry("b", 5), entry("a", 6)]);
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
            requests.number_of_call(&made, &[])
        };
        assert_eq!(numbers("x\\a"), Number::Sent(BTreeSet::from([4, 6])));
        assert_eq!(numbers("x/b"), Number::Sent(BTreeSet::from([5])));
        assert_eq!(numbers("ab"), Number::any());
    }

    #[test]
    fn what_nobody_has_read_has_changed_nothing() {
        let delete = |name: &str| {
            let (name, layer) = (name.as_bytes().to_vec(), Vec::new());
            Call::DeleteValue { fd: 3, name, layer, transaction: -1 }
        };
        let (guid, layer) = (Guid([1; 16]), b"base".to_vec());
        let removal = Operation::DeleteValueEntry { guid, name: b"v".to_vec(), layer };
        let requests = Requests(vec![removal]);
        assert!(requests.may_have_changed(&delete("v")));
        assert!(!requests.may_have_changed(&delete("w")));
        assert!(!requests.may_have_changed(&Call::Poll { fd: 3 }));
    }

    #[test]
    fn what_has_failed_may_have_sent_nothing_of_what_another_has() {
        let (value_type, data, layer) = (4, vec![1; 4], Vec::new());
        let requests = {
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
            Requests(vec![operation])
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
        let own = BTreeSet::from([7]);
        assert_eq!(requests.number_of_call(&block[0], &block), Number::Unsent(own.clone()));
        assert_eq!(requests.number_of_call(&block[1], &block), Number::Sent(own.clone()));
        assert_eq!(requests.number_of_call(&block[0], &block[..1]), Number::Sent(own));
    }
}
