//! The one call that an action on a key is about, and the rights that it takes (PSD-005 §3.1).

use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;

use super::{DATA_CAPACITY, NAME_CAPACITY};
use crate::plan::{Action, Handle, KeyReference};
use crate::sddl;

const KEY_QUERY_VALUE: u32 = 0x0001;
pub(super) const KEY_SET_VALUE: u32 = 0x0002;
pub(super) const KEY_ENUMERATE_SUB_KEYS: u32 = 0x0008;
const DELETE: u32 = 0x0001_0000;
const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;
const WRITE_OWNER: u32 = 0x0008_0000;
const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;

/// The key that an action works on and the rights it needs there.
pub(super) fn key_and_access(action: &Action) -> (&KeyReference, u32) {
    match action {
        Action::Get { key, .. }
        | Action::Batch { key, .. }
        | Action::EnumerateValue { key, .. } => (key, KEY_QUERY_VALUE),
        Action::Update { key, .. } => (key, KEY_QUERY_VALUE | KEY_SET_VALUE),
        Action::Set { key, .. }
        | Action::Unset { key, .. }
        | Action::Blanket { key, .. }
        | Action::Flush { key } => (key, KEY_SET_VALUE),
        Action::EnumerateSubkey { key, .. } | Action::List { key } => (key, KEY_ENUMERATE_SUB_KEYS),
        Action::Info { key, .. } | Action::Changes { key } => (key, READ_CONTROL),
        Action::Delete { key, .. } | Action::Hide { key, .. } => (key, DELETE),
        Action::GetSecurity { key, security_info, .. } => (key, access_to_read(*security_info)),
        Action::SetSecurity { key, security_info, .. } => (key, access_to_change(*security_info)),
        Action::Open { .. }
        | Action::Create { .. }
        | Action::Close { .. }
        | Action::Begin { .. }
        | Action::Commit { .. }
        | Action::TransactionStatus { .. }
        | Action::Within { .. }
        | Action::Watch { .. }
        | Action::Events { .. }
        | Action::Poll { .. }
        | Action::Backup { .. }
        | Action::Restore { .. }
        | Action::Record { .. }
        | Action::Damage { .. }
        | Action::Records { .. }
        | Action::Pass { .. }
        | Action::Become { .. }
        | Action::Revert
        | Action::LayerCreate { .. }
        | Action::LayerSet { .. }
        | Action::LayerDelete { .. }
        | Action::Raw { .. }
        | Action::Ioctl { .. }
        | Action::Syscall { .. }
        | Action::OpenDevice { .. }
        | Action::Register { .. }
        | Action::ReadDevice { .. }
        | Action::WriteDevice { .. }
        | Action::PollDevice { .. }
        | Action::View { .. } => unreachable!("not an action of one call on one key"),
    }
}

/// What it takes to read these components of an SD (PSD-005 §3.1); something even for none.
fn access_to_read(security_info: u32) -> u32 {
    match security_info & sddl::SACL {
        0 => READ_CONTROL,
        _ if security_info == sddl::SACL => ACCESS_SYSTEM_SECURITY,
        _ => READ_CONTROL | ACCESS_SYSTEM_SECURITY,
    }
}

/// What it takes to change these components of an SD; something even for none.
fn access_to_change(security_info: u32) -> u32 {
    let rights = [
        (sddl::OWNER | sddl::GROUP, WRITE_OWNER),
        (sddl::DACL, WRITE_DAC),
        (sddl::SACL, ACCESS_SYSTEM_SECURITY),
    ];
    let needed = rights.iter().filter(|(components, _)| security_info & components != 0);
    match needed.fold(0, |all, (_, right)| all | right) {
        0 => WRITE_DAC,
        access => access,
    }
}

/// The call that an action on a handle alone is about, which that fd stands for.
pub(super) fn handle_call(action: &Action, fd: Fd) -> Option<Call> {
    Some(match action {
        Action::Close { .. } => Call::Close { fd },
        Action::Commit { .. } => Call::Commit { fd },
        Action::TransactionStatus { .. } => Call::TransactionStatus { fd },
        Action::Watch { filter, subtree, .. } => {
            Call::Notify { fd, filter: *filter, subtree: *subtree }
        }
        Action::Events { capacity, .. } => {
            Call::ReadEvents { fd, capacity: capacity.unwrap_or(DATA_CAPACITY) }
        }
        Action::Poll { .. } => Call::Poll { fd },
        _ => return None,
    })
}

/// The one call of an action that may overlap with others, or the first of two, with the fds of these
/// handles.
pub(crate) fn overlapping_call(action: &Action, fd_of: &dyn Fn(&Handle) -> Fd) -> Option<Call> {
    if !action.may_overlap() {
        return None;
    }
    Some(match action {
        Action::Within { transaction, action } => {
            overlapping_call(action, fd_of)?.within(fd_of(transaction))
        }
        Action::Begin { .. } => Call::BeginTransaction,
        Action::Open { parent, path, access, flags, .. } => Call::OpenKey {
            parent: parent.as_ref().map_or(-1, fd_of),
            path: path.0.clone(),
            desired_access: *access,
            flags: *flags,
        },
        Action::Create { parent, path, access, flags, layer, .. } => Call::CreateKey {
            parent: parent.as_ref().map_or(-1, fd_of),
            path: path.0.clone(),
            desired_access: *access,
            flags: *flags,
            layer: layer.as_ref().map(|layer| layer.0.clone()),
            transaction: -1,
        },
        Action::Commit { transaction: handle }
        | Action::TransactionStatus { transaction: handle }
        | Action::Watch { handle, .. }
        | Action::Events { handle, .. }
        | Action::Poll { handle }
        | Action::Close { handle } => handle_call(action, fd_of(handle))?,
        _ => match key_and_access(action) {
            (KeyReference::Handle(handle), _) => key_call(action, fd_of(handle)),
            (KeyReference::Path(_), _) => return None,
        },
    })
}

/// The call that follows upon the first one of an action, if that was answered so.
pub(crate) fn second_call(action: &Action, first: &Call, answer: &Observation) -> Option<Call> {
    let (action, Call::QueryValue { fd, .. }) = (action, first) else { return None };
    match (action, answer) {
        (
            Action::Update { name, value_type, data, .. },
            Observation::Value { sequence, layer, .. },
        ) => Some(Call::SetValue {
            fd: *fd,
            name: name.0.clone(),
            value_type: *value_type,
            data: data.clone(),
            layer: layer.clone(),
            transaction: -1,
            expected_sequence: *sequence,
        }),
        _ => None,
    }
}

/// The call of an action of one call on one key, or the first of two, through this fd and in no transaction.
pub(super) fn key_call(action: &Action, fd: Fd) -> Call {
    let transaction = -1;
    match action {
        Action::Get { name, data_capacity, layer_capacity, .. } => Call::QueryValue {
            fd,
            name: name.0.clone(),
            transaction,
            data_capacity: data_capacity.unwrap_or(DATA_CAPACITY),
            layer_capacity: layer_capacity.unwrap_or(NAME_CAPACITY),
        },
        Action::Update { name, .. } => Call::QueryValue {
            fd,
            name: name.0.clone(),
            transaction,
            data_capacity: DATA_CAPACITY,
            layer_capacity: NAME_CAPACITY,
        },
        Action::Set { name, value_type, data, layer, expected_sequence, .. } => Call::SetValue {
            fd,
            name: name.0.clone(),
            value_type: *value_type,
            data: data.clone(),
            layer: layer.0.clone(),
            transaction,
            expected_sequence: *expected_sequence,
        },
        Action::Unset { name, layer, .. } => {
            Call::DeleteValue { fd, name: name.0.clone(), layer: layer.0.clone(), transaction }
        }
        Action::Blanket { layer, set, .. } => {
            Call::BlanketTombstone { fd, layer: layer.0.clone(), set: *set, transaction }
        }
        Action::Batch { capacity, .. } => {
            Call::QueryValuesBatch { fd, capacity: capacity.unwrap_or(DATA_CAPACITY), transaction }
        }
        Action::EnumerateValue { index, name_capacity, data_capacity, .. } => Call::EnumValues {
            fd,
            index: *index,
            name_capacity: name_capacity.unwrap_or(NAME_CAPACITY),
            data_capacity: data_capacity.unwrap_or(DATA_CAPACITY),
            transaction,
        },
        Action::EnumerateSubkey { index, name_capacity, .. } => Call::EnumSubkeys {
            fd,
            index: *index,
            name_capacity: name_capacity.unwrap_or(NAME_CAPACITY),
            transaction,
        },
        Action::Info { name_capacity, .. } => {
            Call::QueryKeyInfo { fd, name_capacity: name_capacity.unwrap_or(NAME_CAPACITY) }
        }
        Action::Changes { .. } => Call::QueryKeyInfo { fd, name_capacity: NAME_CAPACITY },
        Action::Delete { layer, .. } => Call::DeleteKey { fd, layer: layer.0.clone(), transaction },
        Action::Hide { layer, .. } => Call::HideKey { fd, layer: layer.0.clone(), transaction },
        Action::GetSecurity { security_info, capacity, .. } => Call::GetSecurity {
            fd,
            security_info: *security_info,
            capacity: capacity.unwrap_or(DATA_CAPACITY),
        },
        Action::SetSecurity { security_info, descriptor, .. } => Call::SetSecurity {
            fd,
            security_info: *security_info,
            descriptor: descriptor.clone(),
            transaction,
        },
        Action::Flush { .. } => Call::Flush { fd },
        _ => unreachable!("not an action of one call on one key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Text;
    use crate::script::parse;
    use crate::twist::{FdReference, Layout, Twist};
    use crate::typed;

    /// What each line of a script does.
    fn actions(text: &str) -> Vec<Action> {
        let script = parse(text, "test.lcs").unwrap_or_else(|error| panic!("{error}"));
        let step = |step| match step {
            crate::plan::Step::Act { action, .. } => action,
            other => panic!("not an action: {other:?}"),
        };
        script.plan.steps.into_iter().map(step).collect()
    }

    const ON_A_KEY: &str = r#"
        get @h x
        set @h x dword 1 in gpo
        unset @h x
        blanket @h
        unblanket @h
        batch @h
        value @h 0
        subkey @h 0
        delete @h
        hide @h in gpo
        set-security @h "D:"
        info @h
        security @h
        flush @h
    "#;

    #[test]
    fn a_transaction_is_carried_where_the_structure_has_its_field() {
        for action in actions(ON_A_KEY) {
            let plain = typed::encode(&key_call(&action, 3));
            let carried = typed::encode(&key_call(&action, 3).within(77));
            let layout = Layout::of(&action).expect("an action of one call");
            let (mut call, mut memory) = (plain.call, plain.memory);
            let twist = Twist::Transaction(FdReference::Number(77));
            assert_eq!(layout.has(&twist), action.takes_transaction(), "{action:?}");
            layout.apply(&twist, &mut call, &mut memory, &|_| 77);
            assert_eq!((call, memory), (carried.call, carried.memory), "{action:?}");
        }
    }

    #[test]
    fn only_actions_on_handles_are_calls_on_handles() {
        let actions = actions("watch h off\nevents h\npoll h\ncommit h\nstatus h\nclose h\n");
        let calls: Vec<_> = actions.iter().filter_map(|action| handle_call(action, 5)).collect();
        assert_eq!(
            calls,
            [
                Call::Notify { fd: 5, filter: 0, subtree: 0 },
                Call::ReadEvents { fd: 5, capacity: DATA_CAPACITY },
                Call::Poll { fd: 5 },
                Call::Commit { fd: 5 },
                Call::TransactionStatus { fd: 5 },
                Call::Close { fd: 5 },
            ]
        );
        let open = Action::Open {
            handle: Handle("h".to_owned()),
            parent: None,
            path: Text::from("Machine"),
            access: 1,
            flags: 0,
        };
        assert_eq!(handle_call(&open, 5), None);
    }
}
