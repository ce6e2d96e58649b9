//! The audit events of opens, of backups and restores, of rejected responses and of parameters.
//!
//! States PSD-005 §3.1, "LCS audit events": the payloads of LCS_KEY_OPEN_AUDIT, of those of backups
//! and restores, of
//! LCS_SOURCE_VALIDATION_FAILURE and of LCS_SELF_CONFIG_INVALID with the summary of the caller, with D-95,
//! P-110 to P-112, P-162 and P-163. Does not decide whether anything is to be audited, nor what is
//! malformed or invalid.

use std::collections::BTreeSet;

use crate::audit::{AuditPattern, FieldPattern, SELF_CONFIG_INVALID};
use crate::coverage::{Covered, covers};
use crate::database::{Guid, HiveId};
use crate::errno::Errno;
use crate::input::Fd;
use crate::layers;
use crate::parameters::Parameter;
use crate::responses::{Fault, Malformed};
use crate::security::{Token, TokenLevel};
use crate::state::State;
use crate::values::REG_DWORD;

/// A key was opened, or refused, and its SACL says that this is to be known.
pub(crate) struct KeyOpen {
    pub(crate) key: Guid,
    /// What was asked for, generic bits mapped; MAXIMUM_ALLOWED stays (D-95).
    pub(crate) requested: u32,
    /// What was granted, if anything was.
    pub(crate) granted: Option<u32>,
    pub(crate) sacl_match_flags: u32,
}

/// LCS_KEY_OPEN_AUDIT.
pub(crate) fn key_open(token: &Token, open: &KeyOpen, covered: &mut Covered) -> AuditPattern {
    covers!(covered, "AUD-01", "AUD-02", "AUD-03", "AUD-06", "AUD-10", "AUD-18", "AUD-20");
    covers!(covered, "AUD-21", "AUD-25", "AUD-26", "AUD-28", "AUD-29", "AUD-30", "AUD-31");
    covers!(covered, "AUD-48");
    if open.granted.is_none() {
        covers!(covered, "AUD-27");
    }
    let decision = if open.granted.is_some() { "allowed" } else { "denied" };
    AuditPattern {
        event: "LCS_KEY_OPEN_AUDIT",
        fields: vec![
            ("caller", caller(token, covered)),
            ("key_guid", FieldPattern::Key(open.key)),
            ("requested_access", number(open.requested)),
            ("granted_access", number(open.granted.unwrap_or(0))),
            ("decision", FieldPattern::Text(decision.to_owned())),
            ("sacl_match_flags", number(open.sacl_match_flags)),
        ],
        optional: false,
        repeats: false,
    }
}

/// The summary of the effective token that every event about a caller carries.
fn caller(token: &Token, covered: &mut Covered) -> FieldPattern {
    covers!(covered, "AUD-17", "AUD-22", "AUD-23");
    let fields = &token.0;
    let identity = &fields.identity;
    let guid = |bytes: [u8; 16]| FieldPattern::Bytes(bytes.to_vec());
    let (token_type, level) = match fields.level {
        TokenLevel::Primary => {
            covers!(covered, "AUD-24");
            (1, 0)
        }
        TokenLevel::Anonymous => (2, 0),
        TokenLevel::Identification => (2, 1),
        TokenLevel::Impersonation => (2, 2),
        TokenLevel::Delegation => (2, 3),
    };
    FieldPattern::Map(vec![
        ("effective_token_guid", guid(identity.token_guid)),
        ("true_token_guid", guid(identity.true_token_guid)),
        ("process_guid", guid(identity.process_guid)),
        ("user_sid", FieldPattern::Bytes(fields.user.0.clone())),
        ("authentication_id", FieldPattern::Unsigned(identity.authentication_id)),
        ("token_id", FieldPattern::Unsigned(identity.token_id)),
        ("token_type", number(token_type)),
        ("impersonation_level", number(level)),
        ("integrity_level", number(fields.integrity_level)),
    ])
}

/// Which of the two moves a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Backup,
    Restore,
}

/// LCS_BACKUP_START and LCS_RESTORE_START.
pub(crate) fn transfer_started(
    transfer: Transfer,
    token: &Token,
    (key, fd): (Guid, Fd),
    covered: &mut Covered,
) -> AuditPattern {
    covers!(covered, "AUD-09", "AUD-18", "AUD-20", "AUD-32");
    let event = match transfer {
        Transfer::Backup => BACKUP_START,
        Transfer::Restore => RESTORE_START,
    };
    let fd = FieldPattern::Unsigned(u64::try_from(fd).unwrap_or(0));
    let fields =
        vec![("caller", caller(token, covered)), ("key_guid", FieldPattern::Key(key)), ("fd", fd)];
    AuditPattern { event, fields, optional: false, repeats: false }
}

const BACKUP_START: &str = "LCS_BACKUP_START";
const RESTORE_START: &str = "LCS_RESTORE_START";
const BACKUP_COMPLETE: &str = "LCS_BACKUP_COMPLETE";
const RESTORE_COMPLETE: &str = "LCS_RESTORE_COMPLETE";

/// LCS_BACKUP_COMPLETE and LCS_RESTORE_COMPLETE; the result is that of the step (see [`completed_with`]).
pub(crate) fn transfer_completed(
    transfer: Transfer,
    token: &Token,
    key: Guid,
    covered: &mut Covered,
) -> AuditPattern {
    covers!(covered, "AUD-33");
    let event = match transfer {
        Transfer::Backup => BACKUP_COMPLETE,
        Transfer::Restore => RESTORE_COMPLETE,
    };
    let fields = vec![
        ("caller", caller(token, covered)),
        ("key_guid", FieldPattern::Key(key)),
        (RESULT, number(0)),
    ];
    AuditPattern { event, fields, optional: false, repeats: false }
}

/// Whether it tells of the beginning or the end of a transfer.
pub(crate) fn is_of_transfer(event: &AuditPattern) -> bool {
    let events = [BACKUP_START, BACKUP_COMPLETE, RESTORE_START, RESTORE_COMPLETE];
    events.contains(&event.event)
}

const RESULT: &str = "result_errno";

/// Puts the result of a call into the event that tells of its end, if this is one.
pub(crate) fn completed_with(event: &mut AuditPattern, errno: Option<Errno>) {
    if !matches!(event.event, BACKUP_COMPLETE | RESTORE_COMPLETE) {
        return;
    }
    for (_, result) in event.fields.iter_mut().filter(|(name, _)| *name == RESULT) {
        *result = number(errno.map_or(0, |errno| errno.number().unsigned_abs()));
    }
}

/// LCS_SOURCE_VALIDATION_FAILURE for a response that failed a call. Malformed data outside the
/// classes of the text may be reported or not (D-95); of a response with several faults, each may
/// be (P-111).
pub(crate) fn rejection(
    state: &State,
    hive: HiveId,
    malformed: Malformed,
    covered: &mut Covered,
) -> AuditPattern {
    let key = match malformed.key() {
        Some(key) => one_of(vec![FieldPattern::Key(key), FieldPattern::Nil]),
        None => FieldPattern::GuidOrNil,
    };
    let is_metadata = malformed.has(Fault::Descriptor)
        && malformed.key().is_none_or(|key| layers::is_metadata_key(state, hive, key));
    let optional = malformed.has(Fault::Other);
    let classes = CLASSES
        .iter()
        .filter(|(fault, class)| {
            optional || malformed.has(*fault) || is_metadata && *class == METADATA_CLASS
        })
        .map(|(_, class)| text(class));
    mark(malformed, covered);
    let classes = one_of(classes.collect());
    let repeats = malformed.is_several();
    failure(hive_fields(state, [hive]), key, classes, optional, repeats)
}

/// LCS_SOURCE_VALIDATION_FAILURE where the kernel looks for itself at hives that hold malformed data,
/// or may: how often, and at what, is its own business (P-112).
pub(crate) fn looked_at(state: &State) -> Option<AuditPattern> {
    let seeded = |hive: &HiveId| state.is_active(*hive) && state.may_be_malformed(*hive);
    let hives: Vec<HiveId> = state.hives.keys().copied().filter(seeded).collect();
    if hives.is_empty() {
        return None;
    }
    let classes = one_of(CLASSES.iter().map(|(_, class)| text(class)).collect());
    Some(failure(hive_fields(state, hives), FieldPattern::GuidOrNil, classes, true, true))
}

/// The same where a refresh has surely met bad SDs of metadata keys, of which each is reported at least once,
/// in any order (LAYER-49, P-316).
pub(crate) fn bad_metadata(
    state: &State,
    hive: HiveId,
    keys: &[Guid],
    covered: &mut Covered,
) -> AuditPattern {
    covers!(covered, "AUD-15", "AUD-34", "AUD-38", "LAYER-49", "SRC-42", "SRC-48");
    let keys: BTreeSet<Guid> = keys.iter().copied().collect();
    let key = FieldPattern::EachOf(keys.into_iter().collect());
    failure(hive_fields(state, [hive]), key, text(METADATA_CLASS), false, true)
}

/// Why the value of a parameter is not used (§8.2 "Validation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is none.
    Missing,
    /// It is no REG_DWORD of four bytes but has this type (P-162).
    WrongType(u32),
    /// It is this number.
    OutOfRange(u32),
}

/// LCS_SELF_CONFIG_INVALID.
pub(crate) fn self_config_invalid(
    parameter: &Parameter,
    refused: Refused,
    retained: u32,
    covered: &mut Covered,
) -> AuditPattern {
    covers!(covered, "AUD-09", "AUD-16", "AUD-18", "AUD-20", "AUD-39", "CONF-30");
    let (kind, received_type, received_number) = match refused {
        Refused::Missing => {
            covers!(covered, "AUD-40", "AUD-41", "CONF-29");
            ("missing", None, None)
        }
        Refused::WrongType(value_type) => {
            covers!(covered, "AUD-41", "CONF-28");
            ("wrong_type", Some(value_type), None)
        }
        Refused::OutOfRange(number) => {
            covers!(covered, "AUD-40", "CONF-27", "CONF-31");
            ("dword_out_of_range", None, Some(number))
        }
    };
    let number_or_nil = |received: Option<u32>| received.map_or(FieldPattern::Nil, number);
    AuditPattern {
        event: SELF_CONFIG_INVALID,
        fields: vec![
            ("configuration_parent_path", text("Machine\\System\\Registry")),
            ("configuration_name", text(parameter.name)),
            ("expected_type", number(REG_DWORD)),
            ("expected_min", number(parameter.minimum)),
            ("expected_max", number(parameter.maximum)),
            ("received_kind", text(kind)),
            ("received_type", number_or_nil(received_type)),
            ("received_u32", number_or_nil(received_number)),
            ("retained_value", number(retained)),
        ],
        optional: false,
        repeats: false,
    }
}

const METADATA_CLASS: &str = "malformed_layer_metadata_security_descriptor";

/// The validation classes, with what each is about.
const CLASSES: [(Fault, &str); 4] = [
    (Fault::Descriptor, "malformed_security_descriptor"),
    (Fault::FutureSequence, "future_sequence_number"),
    (Fault::Tie, "duplicate_winning_sequence_tie"),
    (Fault::MetadataDescriptor, METADATA_CLASS),
];

fn mark(malformed: Malformed, covered: &mut Covered) {
    if malformed.has(Fault::Other) {
        return;
    }
    covers!(covered, "AUD-09", "AUD-15", "AUD-34", "SRC-42", "SRC-55");
    if malformed.has(Fault::Descriptor) {
        covers!(covered, "AUD-35", "SEC-41");
    }
    if malformed.has(Fault::FutureSequence) {
        covers!(covered, "AUD-36", "SRC-46");
    }
    if malformed.has(Fault::Tie) {
        covers!(covered, "AUD-37");
    }
}

type Fields = Vec<(&'static str, FieldPattern)>;

/// The source slot and the name of any of these hives.
fn hive_fields(state: &State, hives: impl IntoIterator<Item = HiveId>) -> Fields {
    let hives: Vec<_> = hives.into_iter().filter_map(|hive| state.hives.get(&hive)).collect();
    let slots = hives.iter().map(|hive| FieldPattern::Slot(hive.slot.0)).collect();
    let names = hives.iter().map(|hive| text(hive.name.spelling()));
    let names = names.chain([FieldPattern::Nil]).collect();
    vec![("source_slot", one_of(slots)), ("hive_name", one_of(names))]
}

fn failure(
    mut fields: Fields,
    key: FieldPattern,
    classes: FieldPattern,
    optional: bool,
    repeats: bool,
) -> AuditPattern {
    fields.extend([
        ("request_id", FieldPattern::UnsignedOrNil),
        ("op_code", FieldPattern::UnsignedOrNil),
        ("key_guid", key),
        ("validation_class", classes),
    ]);
    AuditPattern { event: "LCS_SOURCE_VALIDATION_FAILURE", fields, optional, repeats }
}

fn number(number: u32) -> FieldPattern {
    FieldPattern::Unsigned(u64::from(number))
}

fn text(text: &str) -> FieldPattern {
    FieldPattern::Text(text.to_owned())
}

fn one_of(mut choices: Vec<FieldPattern>) -> FieldPattern {
    choices.dedup();
    match choices.len() {
        1 => choices.remove(0),
        _ => FieldPattern::OneOf(choices),
    }
}
