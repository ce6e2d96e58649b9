//! Audit events: one msgpack map each, its fields in the order of the specification's tables, its
//! numbers as short as they can be (PSD-005 §3.1, "LCS audit events"; `AUD-*`).
//!
//! An event leaves with the step that it is of. Whether the step goes on without its record is for
//! the step to say.

use std::convert::Infallible;

use abi::Errno;
use abi::value_type::REG_DWORD;
use rmp::encode::{self, ByteBuf, ValueWriteError};
use rsi::{Guid, Operation, RequestId};

use crate::configuration::{CONFIGURATION_PARENT, Definition, Invalid, Parameter};
use crate::env::Env;
use crate::kernel::Kernel;
use crate::resolve::Tie;
use crate::security::{AuditMatch, Decision, OwnerMissing, SecurityDescriptor, Token, decide};
use crate::state::{HiveId, KeyId, SlotId};

const KEY_OPEN_AUDIT: &str = "LCS_KEY_OPEN_AUDIT";
const SELF_CONFIG_INVALID: &str = "LCS_SELF_CONFIG_INVALID";
const SOURCE_VALIDATION_FAILURE: &str = "LCS_SOURCE_VALIDATION_FAILURE";

/// What rule of PSD-005 §3.1 a source's data broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValidationClass {
    /// A key's descriptor that may not be used.
    SecurityDescriptor,
    /// A sequence number that has not been given out.
    FutureSequence,
    /// Equal sequence numbers where they would have to decide.
    SequenceTie,
    /// A layer metadata key's descriptor that may not be used.
    LayerSecurityDescriptor,
}

impl ValidationClass {
    const fn name(self) -> &'static str {
        match self {
            Self::SecurityDescriptor => "malformed_security_descriptor",
            Self::FutureSequence => "future_sequence_number",
            Self::SequenceTie => "duplicate_winning_sequence_tie",
            Self::LayerSecurityDescriptor => "malformed_layer_metadata_security_descriptor",
        }
    }
}

/// What moves the content of a key through a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// `REG_IOC_BACKUP`.
    Backup,
    /// `REG_IOC_RESTORE`.
    Restore,
}

impl Transfer {
    const fn start(self) -> &'static str {
        match self {
            Self::Backup => "LCS_BACKUP_START",
            Self::Restore => "LCS_RESTORE_START",
        }
    }

    const fn complete(self) -> &'static str {
        match self {
            Self::Backup => "LCS_BACKUP_COMPLETE",
            Self::Restore => "LCS_RESTORE_COMPLETE",
        }
    }
}

/// Data of a source that has been rejected, with whatever is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The source.
    pub slot: SlotId,
    /// Which of its hives.
    pub hive_index: Option<usize>,
    /// The request that brought the data.
    pub request: Option<RequestId>,
    /// What was asked, if whoever rejects the data knows.
    pub operation: Option<Operation>,
    /// The key concerned.
    pub key: Option<Guid>,
    /// What is wrong.
    pub class: ValidationClass,
}

impl<E: Env> Kernel<E> {
    /// Decides what an open is granted, and leaves the record that the key's SACL asks for, before
    /// anybody has the fd (`AUD-06`).
    ///
    /// # Errors
    /// EACCES, and EIO when the record cannot be left or there is no owner.
    pub fn decide_open(
        &self,
        token: &Token,
        descriptor: &SecurityDescriptor,
        desired: u32,
        key: KeyId,
    ) -> Result<u32, Errno> {
        let decision = self.decide_on(token, descriptor, desired, key)?;
        if let Some(matched) = decision.audit {
            let payload = key_open_payload(token, key.guid, decision, matched);
            self.env.emit_audit(KEY_OPEN_AUDIT, &payload).map_err(|_| Errno::EIO)?;
        }
        decision.granted
    }

    /// Decides what opens nothing, and so leaves no record of itself (P-102).
    ///
    /// # Errors
    /// EACCES, and EIO when there is no owner.
    pub fn authorize(
        &self,
        token: &Token,
        descriptor: &SecurityDescriptor,
        desired: u32,
        key: KeyId,
    ) -> Result<(), Errno> {
        self.decide_on(token, descriptor, desired, key)?.granted.map(|_| ())
    }

    /// A descriptor without an owner is source data that is rejected here, since it is well-formed
    /// for whoever only reads it (`SD-15`, P-91).
    fn decide_on(
        &self,
        token: &Token,
        descriptor: &SecurityDescriptor,
        desired: u32,
        key: KeyId,
    ) -> Result<Decision, Errno> {
        decide(token, descriptor, desired).map_err(|OwnerMissing| {
            self.audit_rejection(Rejection {
                slot: key.slot,
                hive_index: key.hive_index,
                request: None,
                operation: None,
                key: Some(key.guid),
                class: ValidationClass::SecurityDescriptor,
            });
            Errno::EIO
        })
    }

    /// Records that a source's data was rejected.
    pub fn audit_rejection(&self, rejection: Rejection) {
        let Rejection { slot, hive_index, .. } = rejection;
        let hive_name = {
            let state = self.state();
            hive_index.map(|index| state.hive(HiveId { slot, index }).name.clone())
        };
        let payload = rejection_payload(rejection, hive_name.as_deref());
        // The operation fails in any case, and with the same error (`AUD-46`).
        let _ = self.env.emit_audit(SOURCE_VALIDATION_FAILURE, &payload);
    }

    /// Records that what was found for a parameter is not taken, and what number stays. That stays
    /// whether or not the record is kept.
    pub fn audit_configuration(&self, parameter: Parameter, invalid: Invalid, retained: u32) {
        let payload = configuration_payload(parameter, invalid, retained);
        let _ = self.env.emit_audit(SELF_CONFIG_INVALID, &payload);
    }

    /// Records that a transfer begins, which it does not do otherwise (`AUD-42`, `AUD-43`).
    ///
    /// # Errors
    /// EIO.
    pub fn audit_transfer_start(
        &self,
        transfer: Transfer,
        token: &Token,
        key: Guid,
        fd: i32,
    ) -> Result<(), Errno> {
        // An fd that is open has no negative number.
        let payload = transfer_payload(token, key, "fd", fd.unsigned_abs());
        self.env.emit_audit(transfer.start(), &payload).map_err(|_| Errno::EIO)
    }

    /// Records how a transfer has ended, which that does not change (`AUD-44`, `AUD-45`).
    pub fn audit_transfer_end(
        &self,
        transfer: Transfer,
        token: &Token,
        key: Guid,
        result: Result<(), Errno>,
    ) {
        let number = result.map_or_else(|errno| errno as u32, |()| 0);
        let payload = transfer_payload(token, key, "result_errno", number);
        let _ = self.env.emit_audit(transfer.complete(), &payload);
    }

    /// What was resolved from the answer to `operation` on `key`.
    ///
    /// # Errors
    /// EIO for a tie, which is recorded.
    pub fn unless_tied<T>(
        &self,
        key: KeyId,
        operation: Operation,
        resolved: Result<T, Tie>,
    ) -> Result<T, Errno> {
        resolved.map_err(|Tie| {
            self.audit_rejection(Rejection {
                slot: key.slot,
                hive_index: key.hive_index,
                request: None,
                operation: Some(operation),
                key: Some(key.guid),
                class: ValidationClass::SequenceTie,
            });
            Errno::EIO
        })
    }
}

fn key_open_payload(token: &Token, key: Guid, decision: Decision, matched: AuditMatch) -> Vec<u8> {
    let mut map = Map::new(6);
    map.key("caller").caller(token);
    map.key("key_guid").guid(key);
    map.key("requested_access").number(decision.requested);
    map.key("granted_access").number(decision.granted.unwrap_or(0));
    map.key("decision").text(if decision.granted.is_ok() { "allowed" } else { "denied" });
    map.key("sacl_match_flags").number(matched.flags());
    map.into_bytes()
}

fn transfer_payload(token: &Token, key: Guid, field: &str, number: u32) -> Vec<u8> {
    let mut map = Map::new(3);
    map.key("caller").caller(token);
    map.key("key_guid").guid(key);
    map.key(field).number(number);
    map.into_bytes()
}

fn rejection_payload(rejection: Rejection, hive_name: Option<&str>) -> Vec<u8> {
    let Rejection { slot, request, operation, key, class, .. } = rejection;
    let mut map = Map::new(6);
    map.key("source_slot").number(u64::try_from(slot.0).unwrap_or(u64::MAX));
    match hive_name {
        Some(name) => map.key("hive_name").text(name),
        None => map.key("hive_name").nil(),
    }
    match request {
        Some(RequestId(id)) => map.key("request_id").number(id),
        None => map.key("request_id").nil(),
    }
    match operation {
        Some(operation) => map.key("op_code").number(operation as u16),
        None => map.key("op_code").nil(),
    }
    match key {
        Some(guid) => map.key("key_guid").guid(guid),
        None => map.key("key_guid").nil(),
    }
    map.key("validation_class").text(class.name());
    map.into_bytes()
}

/// Path and name are those of the specification, however they are spelled (P-163).
fn configuration_payload(parameter: Parameter, invalid: Invalid, retained: u32) -> Vec<u8> {
    let Definition { name, min, max, .. } = parameter.definition();
    let (kind, received_type, received_number) = match invalid {
        Invalid::Missing => ("missing", None, None),
        Invalid::WrongType(value_type) => ("wrong_type", Some(value_type), None),
        Invalid::OutOfRange(number) => ("dword_out_of_range", None, Some(number)),
    };
    let mut map = Map::new(9);
    map.key("configuration_parent_path").text(CONFIGURATION_PARENT);
    map.key("configuration_name").text(name);
    map.key("expected_type").number(REG_DWORD);
    map.key("expected_min").number(min);
    map.key("expected_max").number(max);
    map.key("received_kind").text(kind);
    map.key("received_type").number_or_nil(received_type);
    map.key("received_u32").number_or_nil(received_number);
    map.key("retained_value").number(retained);
    map.into_bytes()
}

/// A msgpack map on its way to bytes.
struct Map(ByteBuf);

impl Map {
    fn new(length: u32) -> Self {
        let mut map = Self(ByteBuf::new());
        map.begin(length);
        map
    }

    fn begin(&mut self, length: u32) {
        written(encode::write_map_len(&mut self.0, length));
    }

    /// Names the next field.
    fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self
    }

    fn caller(&mut self, token: &Token) {
        let identity = token.identity;
        self.begin(9);
        self.key("effective_token_guid").guid(identity.token_guid);
        self.key("true_token_guid").guid(identity.true_token_guid);
        self.key("process_guid").guid(identity.process_guid);
        self.key("user_sid").bytes(token.user.as_bytes());
        self.key("authentication_id").number(identity.authentication_id);
        self.key("token_id").number(identity.token_id);
        self.key("token_type").number(token.level.token_type());
        self.key("impersonation_level").number(token.level.impersonation_level());
        self.key("integrity_level").number(token.integrity_level);
    }

    fn guid(&mut self, guid: Guid) {
        self.bytes(&guid.0);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        written(encode::write_bin(&mut self.0, bytes));
    }

    fn text(&mut self, text: &str) {
        written(encode::write_str(&mut self.0, text));
    }

    fn number(&mut self, number: impl Into<u64>) {
        written(encode::write_uint(&mut self.0, number.into()));
    }

    fn number_or_nil(&mut self, number: Option<u32>) {
        match number {
            Some(number) => self.number(number),
            None => self.nil(),
        }
    }

    fn nil(&mut self) {
        match encode::write_nil(&mut self.0) {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0.into_vec()
    }
}

/// Writing into memory cannot fail.
fn written<T>(result: Result<T, ValueWriteError<Infallible>>) {
    match result {
        Ok(_) => {}
        Err(
            ValueWriteError::InvalidMarkerWrite(never) | ValueWriteError::InvalidDataWrite(never),
        ) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use abi::{KEY_READ, MAXIMUM_ALLOWED};

    use super::*;
    use crate::security::{Sid, TokenIdentity, TokenLevel};

    /// The bytes of a field's name.
    fn name(name: &str) -> Vec<u8> {
        let length = u8::try_from(name.len()).expect("short");
        assert!(length < 32, "a fixstr");
        [&[0xA0 | length], name.as_bytes()].concat()
    }

    fn guid(name_of_field: &str, byte: u8) -> Vec<u8> {
        [name(name_of_field), vec![0xC4, 16], vec![byte; 16]].concat()
    }

    fn field(name_of_field: &str, value: &[u8]) -> Vec<u8> {
        [name(name_of_field), value.to_vec()].concat()
    }

    #[test]
    fn a_key_open_has_its_fields_in_order_and_in_their_shortest_form() {
        let token = Token {
            level: TokenLevel::Delegation,
            identity: TokenIdentity {
                token_guid: Guid([1; 16]),
                true_token_guid: Guid([2; 16]),
                process_guid: Guid([3; 16]),
                authentication_id: 0x1_0000_0000,
                token_id: 7,
            },
            ..Token::user(Sid::SYSTEM)
        };
        let requested = KEY_READ | MAXIMUM_ALLOWED;
        let audit = Some(AuditMatch::Failure);
        let decision = Decision { requested, granted: Err(Errno::EACCES), audit };
        let payload = key_open_payload(&token, Guid([9; 16]), decision, AuditMatch::Failure);
        let sid = [&[0xC4, 12][..], Sid::SYSTEM.as_bytes()].concat();
        let expected = [
            vec![0x86],
            field("caller", &[0x89]),
            guid("effective_token_guid", 1),
            guid("true_token_guid", 2),
            guid("process_guid", 3),
            field("user_sid", &sid),
            field("authentication_id", &[0xCF, 0, 0, 0, 1, 0, 0, 0, 0]),
            field("token_id", &[7]),
            field("token_type", &[2]),
            field("impersonation_level", &[3]),
            field("integrity_level", &[0xCD, 0x20, 0]),
            guid("key_guid", 9),
            field("requested_access", &[0xCE, 0x02, 0x02, 0, 0x19]),
            field("granted_access", &[0]),
            field("decision", &name("denied")),
            field("sacl_match_flags", &[2]),
        ];
        assert_eq!(payload, expected.concat());
    }

    #[test]
    fn an_invalid_parameter_has_what_was_expected_found_and_retained() {
        let expected = |kind: &str, received_type: u8, received_number: &[u8]| {
            let fields = [
                vec![0x89],
                field("configuration_parent_path", b"\xB7Machine\\System\\Registry"),
                field("configuration_name", b"\xABMaxKeyDepth"),
                field("expected_type", &[4]),
                field("expected_min", &[32]),
                field("expected_max", &[0xCD, 0x10, 0]),
                field("received_kind", &name(kind)),
                field("received_type", &[received_type]),
                field("received_u32", received_number),
                field("retained_value", &[0xCD, 2, 0]),
            ];
            fields.concat()
        };
        let payload = |invalid| configuration_payload(Parameter::MaxKeyDepth, invalid, 512);
        assert_eq!(payload(Invalid::Missing), expected("missing", 0xC0, &[0xC0]));
        assert_eq!(payload(Invalid::WrongType(1)), expected("wrong_type", 1, &[0xC0]));
        assert_eq!(payload(Invalid::OutOfRange(31)), expected("dword_out_of_range", 0xC0, &[31]));
    }

    #[test]
    fn what_is_not_known_of_a_rejection_is_nil() {
        let rejection = Rejection {
            slot: SlotId(2),
            hive_index: None,
            request: None,
            operation: Some(Operation::Lookup),
            key: None,
            class: ValidationClass::SequenceTie,
        };
        let op_code = Operation::Lookup as u8;
        let class = b"\xBEduplicate_winning_sequence_tie";
        let expected = [
            vec![0x86],
            field("source_slot", &[2]),
            field("hive_name", &[0xC0]),
            field("request_id", &[0xC0]),
            field("op_code", &[op_code]),
            field("key_guid", &[0xC0]),
            field("validation_class", class),
        ];
        assert_eq!(rejection_payload(rejection, None), expected.concat());
        let known =
            Rejection { request: Some(RequestId(200)), key: Some(Guid([5; 16])), ..rejection };
        let expected = [
            vec![0x86],
            field("source_slot", &[2]),
            field("hive_name", &name("Machine")),
            field("request_id", &[0xCC, 200]),
            field("op_code", &[op_code]),
            guid("key_guid", 5),
            field("validation_class", class),
        ];
        assert_eq!(rejection_payload(known, Some("Machine")), expected.concat());
    }
}
