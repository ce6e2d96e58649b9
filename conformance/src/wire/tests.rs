//! The monitor against frames written by hand, against frames that break one rule each, and
//! against arbitrary bytes.

mod answers;
mod calls;
mod golden;
mod kernel;
mod records;
mod roots;
mod settings;
mod source;
mod timeouts;
mod transcript;
mod transfers;

use proptest::prelude::*;
use registry_model::input::SourceId;

use super::*;
use crate::target::Frame;

const SOURCE: SourceId = SourceId(0);
const OTHER: SourceId = SourceId(1);
const ROOT: [u8; 16] = [1; 16];
const NEW: [u8; 16] = [2; 16];

/// The fields of a payload, in the order of their table.
#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    fn u8(mut self, field: u8) -> Payload {
        self.0.push(field);
        self
    }
    fn u32(mut self, field: u32) -> Payload {
        self.0.extend(field.to_le_bytes());
        self
    }
    fn u64(mut self, field: u64) -> Payload {
        self.0.extend(field.to_le_bytes());
        self
    }
    fn guid(mut self, field: [u8; 16]) -> Payload {
        self.0.extend(field);
        self
    }
    fn bytes(mut self, field: impl AsRef<[u8]>) -> Payload {
        self.0.extend((field.as_ref().len() as u32).to_le_bytes());
        self.0.extend(field.as_ref());
        self
    }
}

fn payload() -> Payload {
    Payload::default()
}

fn message(id: u64, op_code: u16, transaction: Option<u64>, payload: &[u8]) -> Vec<u8> {
    let length = 14 + transaction.map_or(0, |_| 8) + payload.len();
    let mut bytes = (length as u32).to_le_bytes().to_vec();
    bytes.extend(id.to_le_bytes());
    bytes.extend(op_code.to_le_bytes());
    bytes.extend(transaction.map(u64::to_le_bytes).into_iter().flatten());
    bytes.extend(payload);
    bytes
}

/// A self-relative security descriptor without parts.
fn security_descriptor() -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[0] = 1;
    bytes[3] = 0x80;
    bytes
}

/// A hive of its own for each root.
fn served(root: [u8; 16]) -> ServedRoot {
    ServedRoot::new(&format!("Hive{}", root[0]), None, root)
}

/// A monitor with a source that has registered, and frames with running ids.
#[derive(Clone)]
struct Wire {
    monitor: WireMonitor,
    last_id: u64,
}

impl Wire {
    fn new() -> Wire {
        Wire::of(WireMonitor::new())
    }

    fn of(mut monitor: WireMonitor) -> Wire {
        monitor.connection_opened(SOURCE);
        monitor.registered(SOURCE, 100, &[served(ROOT)]);
        Wire { monitor, last_id: 0 }
    }

    fn frame(&mut self, source: SourceId, is_request: bool, bytes: Vec<u8>) -> Result<(), Rule> {
        let frame = Frame { source, is_request, bytes };
        self.monitor.observe(&frame).map_err(|violation| violation.rule)
    }

    fn send_to(
        &mut self,
        source: SourceId,
        op_code: u16,
        transaction: u64,
        payload: Payload,
    ) -> Result<(), Rule> {
        self.last_id += 1;
        let bytes = message(self.last_id, op_code, Some(transaction), &payload.0);
        self.frame(source, true, bytes)
    }

    fn send(&mut self, op_code: u16, payload: Payload) -> Result<(), Rule> {
        self.send_to(SOURCE, op_code, 0, payload)
    }

    /// The last request is answered.
    fn answer(&mut self, op_code: u16, payload: Payload) -> Result<(), Rule> {
        let bytes = message(self.last_id, op_code | 0x8000, None, &payload.0);
        self.frame(SOURCE, false, bytes)
    }

    /// A request that the source answers with this status and nothing else.
    fn exchange(&mut self, op_code: u16, payload: Payload, status: u32) -> Result<(), Rule> {
        self.send(op_code, payload)?;
        self.answer(op_code, super::tests::payload().u32(status))
    }

    fn covers(&self, ids: &[&str]) {
        let covered = self.monitor.covered();
        let missing: Vec<_> = ids.iter().filter(|id| !covered.contains(**id)).collect();
        assert!(missing.is_empty(), "not covered: {missing:?}");
    }

    fn covers_none_of(&self, ids: &[&str]) {
        let covered = self.monitor.covered();
        assert!(!ids.iter().any(|id| covered.contains(id)), "covered too early: {ids:?}");
    }
}

fn create_entry(guid: [u8; 16], sequence: u64) -> Payload {
    payload().guid(ROOT).bytes("Name").bytes("base").guid(guid).u64(sequence)
}

fn create_key(guid: [u8; 16]) -> Payload {
    create_key_below(ROOT, guid, 0)
}

fn create_key_below(parent: [u8; 16], guid: [u8; 16], volatile_key: u8) -> Payload {
    payload()
        .guid(guid)
        .bytes("Name")
        .guid(parent)
        .bytes(security_descriptor())
        .u8(volatile_key)
        .u8(0)
}

fn set_value(sequence: u64) -> Payload {
    payload().guid(ROOT).bytes("v").bytes("base").u32(1).bytes("data").u64(sequence).u64(0)
}

fn write_time(guid: [u8; 16]) -> Payload {
    payload().guid(guid).u32(2).u64(7)
}

fn set_blanket(set: u8, sequence: u64) -> Payload {
    payload().guid(ROOT).bytes("base").u8(set).u64(sequence)
}

/// One key's metadata as LOOKUP and ENUM_CHILDREN return it.
fn metadata(payload: Payload, guid: [u8; 16]) -> Payload {
    payload.guid(guid).bytes(security_descriptor()).u8(0).u8(0).u64(7)
}

/// What a frame of any of the operations may look like, right or wrong.
fn any_frame() -> impl Strategy<Value = Frame> {
    let codes = frame::Operation::ALL.iter().map(|operation| operation.code()).collect::<Vec<_>>();
    let field = prop_oneof![
        any::<u8>().prop_map(|n| vec![n % 3]),
        (0..4_u32).prop_map(|n| n.to_le_bytes().to_vec()),
        any::<u64>().prop_map(|n| n.to_le_bytes().to_vec()),
        (0..4_u8).prop_map(|n| vec![n; 16]),
        "[a-c]{0,3}".prop_map(|name| payload().bytes(name).0),
        Just(payload().bytes(security_descriptor()).0),
        any::<Vec<u8>>(),
    ];
    let fields = prop::collection::vec(field, 0..9);
    let code = prop::sample::select(codes);
    (code, 0..40_u64, any::<bool>(), any::<bool>(), fields, 0..6_u64).prop_map(
        |(code, id, is_request, to_other, fields, transaction)| {
            let transaction = if transaction == 0 { 1 } else { 0 };
            let op_code = if is_request { code } else { code | 0x8000 };
            let source = if to_other { OTHER } else { SOURCE };
            let bytes = message(id, op_code, is_request.then_some(transaction), &fields.concat());
            Frame { source, is_request, bytes }
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_judged_without_panic(
        bytes in any::<Vec<u8>>(),
        is_request: bool,
        source in 0..2_u32,
    ) {
        let mut wire = Wire::new();
        let _ = wire.frame(SourceId(source), is_request, bytes);
    }

    #[test]
    fn histories_of_almost_right_frames_are_judged_without_panic(
        frames in prop::collection::vec(any_frame(), 0..60),
        concurrent: bool,
    ) {
        let monitor =
            if concurrent { WireMonitor::for_concurrent_calls() } else { WireMonitor::new() };
        let mut wire = Wire::of(monitor);
        wire.monitor.connection_opened(OTHER);
        wire.monitor.registered(OTHER, 3, &[]);
        for frame in &frames {
            let _ = wire.monitor.observe(frame);
            let _ = wire.monitor.quiescent();
        }
    }
}

#[test]
fn a_violation_says_who_did_what_and_which_requirements_it_breaks() {
    let mut wire = Wire::new();
    let bytes = message(1, 0x21, Some(0), &set_value(100).0);
    let frame = Frame { source: SOURCE, is_request: true, bytes };
    let violation = wire.monitor.observe(&frame).unwrap_err();
    let expected = "the kernel, to source 0: a new sequence number is above what the sources \
        reported: RSI_SET_VALUE 1: 100 is not above the reported maximum 100 \
        [SEQ-13, REG-06, BOOT-12, SEQ-15]";
    assert_eq!(violation.to_string(), expected);
}

#[test]
fn every_requirement_of_a_rule_is_in_the_catalogue() {
    for rule in Rule::ALL {
        for id in rule.covers().iter().chain(rule.cites()) {
            let is_decision = id.starts_with("D-");
            assert!(is_decision || crate::requirements::describe(id).is_some(), "{id} of {rule:?}");
        }
    }
}
