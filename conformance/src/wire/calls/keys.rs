//! Operations on key fds (PSD-005 §2.5, §2.8, §6.3, §7.3).

use registry_model::errno::Errno;
use registry_model::input::{Fd, ProcessId};
use registry_model::observation::Observation;

use super::asked::{KeyOperation, Write};
use super::log::{Details, Logged};
use super::{CallRules, Ended, OpenKey, changes, errno_of, layer_agrees, security};
use crate::wire::fields::{self, LINK, TOMBSTONE};
use crate::wire::frame::{Guid, Operation};
use crate::wire::rules::{Failure, Held, Rule};

/// The highest ordinary type code, `REG_QWORD`.
const TYPE_MAX: u32 = 11;
const KEY_SET_VALUE: u32 = 0x0002;
/// Access that is not spelled out right by right: generic rights and `MAXIMUM_ALLOWED`.
const ACCESS_NOT_CONCRETE: u32 = 0xF200_0000;
/// `RSI_CAS_FAILED`.
const CONDITION_FAILED: u32 = 8;
/// `RSI_TOO_LARGE`.
const TOO_LARGE: u32 = 5;
/// How many components the path of a layer's metadata key has.
const METADATA_DEPTH: usize = 5;

impl CallRules {
    pub(super) fn key_call(
        &mut self,
        held: &mut Held,
        ended: &Ended<'_>,
        place: (ProcessId, Fd),
        operation: &KeyOperation<'_>,
    ) -> Result<(), Failure> {
        strings(held, ended, operation)?;
        if let KeyOperation::Set(write) = operation {
            data_before_source(held, ended, write)?;
        }
        let mut unknown = None;
        let is_close = matches!(operation, KeyOperation::Close);
        if is_close {
            unknown = self.open_keys.remove(&place);
        }
        let open = if is_close { unknown.as_mut() } else { self.open_keys.get_mut(&place) };
        let Some(open) = open else { return Ok(()) };
        statuses(held, ended, operation)?;
        match operation {
            KeyOperation::Query { .. } | KeyOperation::Batch | KeyOperation::EnumerateValue => {
                values_read(held, ended, open, operation)
            }
            KeyOperation::EnumerateSubkey | KeyOperation::Info => {
                key_read(held, ended, open, operation)
            }
            KeyOperation::Notify => Ok(()),
            KeyOperation::Set(write) => value_set(held, ended, open, write),
            KeyOperation::Unset { name, layer } => value_unset(held, ended, open, name, layer),
            KeyOperation::Blanket { layer, set } => blanket(held, ended, open, layer, *set),
            KeyOperation::Delete { layer } => key_removed(held, ended, open, layer, true),
            KeyOperation::Hide { layer } => key_removed(held, ended, open, layer, false),
            KeyOperation::GetSecurity { security_info } => {
                security::read(held, ended, open, *security_info)
            }
            KeyOperation::SetSecurity { security_info } => {
                security::changed(held, ended, open, *security_info)
            }
            KeyOperation::Pass { to } => {
                let passed = open.clone();
                ended.silent(held, Rule::PassedSilently)?;
                if let Observation::Passed { fd } = ended.observation {
                    self.open_keys.insert((*to, *fd), passed);
                }
                return Ok(());
            }
            KeyOperation::Flush => flushed(held, ended, open),
            KeyOperation::Close => closed(held, ended, open),
        }?;
        changes::judge(held, ended, open, operation)
    }
}

fn strings(
    held: &mut Held,
    ended: &Ended<'_>,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    match operation {
        KeyOperation::Query { name } => ended.encoding(held, &[name]),
        KeyOperation::Set(Write { name, layer, .. }) | KeyOperation::Unset { name, layer } => {
            ended.encoding(held, &[name, layer])
        }
        KeyOperation::Blanket { layer, .. }
        | KeyOperation::Delete { layer }
        | KeyOperation::Hide { layer } => ended.encoding(held, &[layer]),
        _ => Ok(()),
    }
}

fn data_before_source(
    held: &mut Held,
    ended: &Ended<'_>,
    write: &Write<'_>,
) -> Result<(), Failure> {
    match write.value_type {
        0..=TYPE_MAX => Ok(()),
        TOMBSTONE if write.data.is_empty() => Ok(()),
        TOMBSTONE => ended.silent(held, Rule::TombstoneBeforeSource),
        _ => ended.silent(held, Rule::TypeBeforeSource),
    }
}

/// The first status other than success, if nothing was changed before, is what the caller gets.
fn statuses(
    held: &mut Held,
    ended: &Ended<'_>,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    if matches!(operation, KeyOperation::Close) {
        return Ok(());
    }
    let Some(first) = ended.requests.first() else { return Ok(()) };
    if ended.may_be_cut_off() || ended.is_begin_refused {
        return Ok(());
    }
    for (position, request) in ended.requests.iter().enumerate() {
        if request.is_mutation() && request.succeeded() {
            return time_status(held, ended, &ended.requests[position..]);
        }
        let Some((rule, errno)) = request.status().and_then(errno_of) else { continue };
        // What is looked for on behalf of watches alone fails no call (P-142, P-312).
        if is_for_watches(operation, ended, position) && ended.failed() != Some(errno) {
            continue;
        }
        // What watches are told may be looked for in vain. But nothing goes on after a failure that
        // the caller is told of.
        let is_last = position + 1 == ended.requests.len() && ended.failed().is_some();
        let is_own = request.key == first.key && request.operation != Operation::Lookup;
        if !(is_own || is_last) {
            return Ok(());
        }
        return held.require(rule, ended.failed() == Some(errno), || {
            format!("the caller was told {:?} and not {errno}", ended.observation)
        });
    }
    if !matches!(ended.observation, Observation::Failed(_)) {
        held.mark(Rule::StatusOk);
    }
    Ok(())
}

/// Whether a request looks at values although the operation does not need them: all do but the first one
/// of a write (P-44).
fn is_for_watches(operation: &KeyOperation<'_>, ended: &Ended<'_>, position: usize) -> bool {
    let is_look = |request: &Logged| request.operation == Operation::QueryValues;
    let needs_one = match operation {
        KeyOperation::Set(_) => true,
        KeyOperation::Unset { .. } | KeyOperation::Blanket { .. } => false,
        _ => return false,
    };
    let is_first = !ended.requests[..position].iter().any(is_look);
    is_look(&ended.requests[position]) && !(needs_one && is_first)
}

/// After a change, the status of the last write time that goes with it is what the caller gets.
fn time_status(held: &mut Held, ended: &Ended<'_>, requests: &[Logged]) -> Result<(), Failure> {
    if ended.is_done() {
        held.mark(Rule::StatusOk);
    }
    let Some((change, after)) = requests.split_first() else { return Ok(()) };
    let is_time = |of: &&Logged| of.operation == Operation::WriteKey && of.key == change.key;
    let refused = after.iter().find(is_time).and_then(Logged::status).and_then(errno_of);
    let Some((rule, errno)) = refused else { return Ok(()) };
    held.require(rule, ended.failed() == Some(errno), || {
        format!("the caller was told {:?} of a last write time and not {errno}", ended.observation)
    })
}

/// Every request about the key of an fd has the same GUID; none resolves a path.
pub(super) fn same_key(
    held: &mut Held,
    open: &mut OpenKey,
    request: &Logged,
) -> Result<(), Failure> {
    let known: Guid = *open.key.get_or_insert(request.key);
    let source = *open.source.get_or_insert(request.source);
    held.require(Rule::KeyByGuid, known == request.key && source == request.source, || {
        format!("{} is about another key than the fd", request.operation.name())
    })
}

fn values_read(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    let Some(request) = ended.requests.first() else { return Ok(()) };
    same_key(held, open, request)?;
    let (rule, asks) = match (operation, &request.details) {
        (KeyOperation::Query { name }, Details::Query { query_all: 0 }) => {
            (Rule::QueryAsksOnce, fields::may_be_same(name, &request.name))
        }
        (KeyOperation::Query { .. }, _) => (Rule::QueryAsksOnce, false),
        (_, Details::Query { query_all: 1 }) => (Rule::ReadAsksForAll, true),
        _ => (Rule::ReadAsksForAll, false),
    };
    held.require(rule, asks && ended.requests.len() == 1, || {
        format!("{} requests, the first {}", ended.requests.len(), request.operation.name())
    })
}

fn key_read(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    operation: &KeyOperation<'_>,
) -> Result<(), Failure> {
    let is_lookup = |request: &&Logged| request.operation == Operation::Lookup;
    if ended.requests.iter().any(|request| is_lookup(&request)) {
        return Err(Failure::new(Rule::KeyByGuid, "a read through an fd resolves a path"));
    }
    let is_info = matches!(operation, KeyOperation::Info);
    match ended.observation {
        Observation::KeyInfo(_) if is_info => {
            held.require(Rule::InfoFromSource, !ended.requests.is_empty(), || {
                "nothing was asked for".to_owned()
            })?;
        }
        Observation::EnumeratedSubkey { .. } => {
            let children = ended.first(Operation::EnumChildren);
            let children = children.filter(|request| open.key.is_none_or(|key| key == request.key));
            held.require(Rule::ChildrenFromSource, children.is_some(), || {
                "the children were not asked for".to_owned()
            })?;
            if ended.count(Operation::ReadKey) == 0 {
                held.mark(Rule::NoReadPerChild);
            }
        }
        _ => {}
    }
    Ok(())
}

fn value_set(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    write: &Write<'_>,
) -> Result<(), Failure> {
    refused(held, ended, open, write.layer)?;
    let position = ended.requests.iter().position(|of| of.operation == Operation::SetValue);
    let Some(position) = position else {
        let asked = ended.first(Operation::QueryValues).is_some_and(Logged::succeeded);
        if asked && ended.failed() == Some(Errno::ENOSPC) && !ended.is_begin_refused {
            held.mark(Rule::CapBeforeWrite);
        }
        return held.require(Rule::WriteSent, !ended.is_done(), || "no write was sent".to_owned());
    };
    let request = &ended.requests[position];
    same_key(held, open, request)?;
    written(held, request, write)?;
    let is_question = |of: &Logged| {
        of.operation == Operation::QueryValues && fields::may_be_same(&of.name, write.name)
    };
    let was_asked = ended.requests[..position].iter().any(is_question);
    held.require(Rule::CapAsked, was_asked, || "the layers of the name were not asked for".into())?;
    if ended.failed() == Some(Errno::ENOSPC) && request.status() != Some(TOO_LARGE) {
        return Err(Failure::new(Rule::CapBeforeWrite, "a write over the layer cap was sent"));
    }
    if write.expected_sequence != 0 && ended.failed() == Some(Errno::EAGAIN) {
        held.require(Rule::ConditionAtSource, request.status() == Some(CONDITION_FAILED), || {
            "the source did not refuse the condition".to_owned()
        })?;
    }
    let reads_metadata =
        |of: &Logged| of.operation == Operation::QueryValues && of.key == request.key;
    if is_metadata(open) && ended.requests[position..].iter().any(reads_metadata) {
        held.mark(Rule::MetadataRead);
    }
    Ok(())
}

/// RSI_SET_VALUE says what the caller said.
fn written(held: &mut Held, request: &Logged, write: &Write<'_>) -> Result<(), Failure> {
    let Details::Value { value_type, ref data, expected_sequence } = request.details else {
        return Ok(());
    };
    let agrees = fields::may_be_same(&request.name, write.name)
        && value_type == write.value_type
        && data.as_slice() == write.data;
    held.require(Rule::WriteSent, agrees, || {
        format!("{} bytes of type {value_type:#x} were sent", data.len())
    })?;
    if value_type == TOMBSTONE {
        held.mark(Rule::TombstoneSent);
    }
    if value_type == LINK && request.name.is_empty() {
        held.mark(Rule::LinkTargetSent);
    }
    layer_agrees(held, Rule::WriteInBase, write.layer, request)?;
    let condition_agrees = expected_sequence == write.expected_sequence;
    let shown = || format!("the condition is {expected_sequence}");
    if write.expected_sequence != 0 {
        return held.require(Rule::ConditionPassed, condition_agrees, shown);
    }
    if condition_agrees { Ok(()) } else { Err(Failure::new(Rule::ConditionPassed, shown())) }
}

fn value_unset(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    name: &[u8],
    layer: &[u8],
) -> Result<(), Failure> {
    refused(held, ended, open, layer)?;
    if !ended.is_done() {
        return Ok(());
    }
    let request = ended
        .first(Operation::DeleteValueEntry)
        .filter(|request| fields::may_be_same(&request.name, name))
        .ok_or_else(|| Failure::new(Rule::ValueRemovalSent, "no removal was sent"))?;
    held.mark(Rule::ValueRemovalSent);
    same_key(held, open, request)?;
    layer_agrees(held, Rule::RemovalInBase, layer, request)
}

fn blanket(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &mut OpenKey,
    layer: &[u8],
    set: u8,
) -> Result<(), Failure> {
    refused(held, ended, open, layer)?;
    if !ended.is_done() {
        return Ok(());
    }
    let request = ended
        .first(Operation::SetBlanketTombstone)
        .filter(|request| request.details == Details::Blanket { set })
        .ok_or_else(|| Failure::new(Rule::BlanketSent, "no such blanket tombstone was sent"))?;
    held.mark(Rule::BlanketSent);
    same_key(held, open, request)?;
    layer_agrees(held, Rule::BlanketInBase, layer, request)?;
    touched(held, ended, Rule::BlanketTouchesKey, request.key)
}

/// What a deletion and the hiding of a key send.
fn key_removed(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &OpenKey,
    layer: &[u8],
    is_deletion: bool,
) -> Result<(), Failure> {
    if open.is_root() {
        return ended.silent(held, Rule::RootKept);
    }
    refused(held, ended, open, layer)?;
    if !ended.is_done() {
        return Ok(());
    }
    let (operation, rule, base) = if is_deletion {
        (Operation::DeleteEntry, Rule::DeletionSent, Rule::DeletionInBase)
    } else {
        (Operation::HideEntry, Rule::HidingSent, Rule::HidingInBase)
    };
    let request = ended
        .first(operation)
        .filter(|request| fields::may_be_same(&request.name, open.name()))
        .ok_or_else(|| Failure::new(rule, "the entry of the fd's name was not named"))?;
    held.mark(rule);
    layer_agrees(held, base, layer, request)?;
    if let Some(deletion) = ended.first(Operation::DeleteLayer)
        && is_metadata(open)
        && fields::may_be_same(&deletion.layer, open.name())
    {
        held.mark(Rule::LayerDeletionSent);
    }
    if is_deletion {
        let counts = [Operation::DeleteEntry, Operation::DeleteValueEntry];
        let [entries, values] = counts.map(|operation| ended.count(operation));
        held.require(Rule::OneEntryRemoved, entries == 1, || format!("{entries} entries"))?;
        held.require(Rule::ValuesKept, values == 0, || format!("{values} values"))?;
        return touched(held, ended, Rule::DeletionTouchesParent, request.key);
    }
    Ok(())
}

/// Requires that the last write time of a key was sent. Within a transaction it is due by the
/// commit.
fn touched(held: &mut Held, ended: &Ended<'_>, rule: Rule, key: Guid) -> Result<(), Failure> {
    if ended.is_enlisted {
        return Ok(());
    }
    let is_touch = |request: &Logged| {
        let has_time = matches!(request.details, Details::Fields { has_last_write_time: true, .. });
        request.key == key && has_time
    };
    held.require(rule, ended.requests.iter().any(is_touch), || {
        "the last write time was not sent".to_owned()
    })
}

fn flushed(held: &mut Held, ended: &Ended<'_>, open: &OpenKey) -> Result<(), Failure> {
    if !ended.is_done() {
        return Ok(());
    }
    let hive = open.path.first().map_or(&[][..], Vec::as_slice);
    let flushes = ended.requests.iter().filter(|request| {
        request.operation == Operation::Flush
            && fields::may_be_same(&request.name, hive)
            && open.source.is_none_or(|source| source == request.source)
    });
    held.require(Rule::FlushSent, flushes.count() == 1, || "the hive was not flushed once".into())?;
    held.require(Rule::FlushConfirmed, ended.requests.iter().all(Logged::succeeded), || {
        "the call returned before the source confirmed".to_owned()
    })
}

/// The last close of an orphan drops it; a hive root is never dropped.
fn closed(held: &mut Held, ended: &Ended<'_>, open: &mut OpenKey) -> Result<(), Failure> {
    if open.is_root() {
        return ended.silent(held, Rule::RootClosed);
    }
    for request in ended.requests {
        let is_drop = request.operation == Operation::DropKey;
        held.require(Rule::DropAtClose, is_drop, || {
            format!("a close sent {}", request.operation.name())
        })?;
        same_key(held, open, request)?;
    }
    Ok(())
}

/// A call that is refused for its layer changes nothing at the source.
fn refused(
    held: &mut Held,
    ended: &Ended<'_>,
    open: &OpenKey,
    layer: &[u8],
) -> Result<(), Failure> {
    let rule = match ended.failed() {
        _ if ended.is_begin_refused => return Ok(()),
        Some(Errno::ENOENT) if !layer.is_empty() && ended.requests.is_empty() => Rule::AbsentLayer,
        Some(Errno::EACCES) => Rule::AccessBeforeMutation,
        _ => return Ok(()),
    };
    if let Some(mutation) = ended.requests.iter().find(|request| request.is_mutation()) {
        return Err(Failure::new(rule, format!("{} was sent", mutation.operation.name())));
    }
    let has_right = open.access & ACCESS_NOT_CONCRETE == 0 && open.access & KEY_SET_VALUE != 0;
    if rule == Rule::AbsentLayer || has_right {
        held.mark(rule);
    }
    Ok(())
}

/// Whether an fd stands for what may be a layer's metadata key.
fn is_metadata(open: &OpenKey) -> bool {
    let parents: [&[u8]; METADATA_DEPTH - 1] = [b"Machine", b"System", b"Registry", b"Layers"];
    open.path.len() == METADATA_DEPTH
        && open.path.iter().zip(parents).all(|(part, name)| part.eq_ignore_ascii_case(name))
}
