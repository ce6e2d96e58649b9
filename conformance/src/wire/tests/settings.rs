//! What a registration reads of the kernel's settings, and what comes between calls.

use registry_model::input::{Call, ProcessId};
use registry_model::observation::Observation;

use super::*;

const SYSTEM: [u8; 16] = [0x11; 16];
const REGISTRY: [u8; 16] = [0x12; 16];
const LAYERS: [u8; 16] = [0x13; 16];

impl Wire {
    fn of_settings() -> Wire {
        let mut wire = Wire::new();
        wire.monitor.settings_registered(SOURCE, ROOT);
        wire
    }

    fn look_up(&mut self, parent: [u8; 16], name: &str, found: Option<[u8; 16]>) {
        self.send(0x01, payload().guid(parent).bytes(name)).unwrap();
        let answer = match found {
            None => payload().u32(0).u32(0).u32(0),
            Some(key) => {
                let entries = payload().u32(0).u32(1).bytes("base").u8(0).guid(key).u64(1);
                metadata(entries.u32(1), key)
            }
        };
        self.answer(0x01, answer).unwrap();
    }

    /// The rule that the next call finds broken.
    fn overdue(&mut self) -> Result<(), Rule> {
        self.monitor.call_began();
        let answer = Observation::Begun { fd: 3 };
        let judged = self.monitor.call_ended(ProcessId(1), &Call::BeginTransaction, &answer, false);
        judged.map_err(|violation| violation.rule)
    }
}

#[test]
fn a_registration_follows_the_path_to_the_settings_as_far_as_it_goes() {
    assert_eq!(Wire::of_settings().overdue(), Err(Rule::ParametersRead));
    let mut wire = Wire::of_settings();
    wire.look_up(ROOT, "System", None);
    assert_eq!(wire.overdue(), Ok(()));
    let mut wire = Wire::of_settings();
    wire.look_up(ROOT, "System", Some(SYSTEM));
    assert_eq!(wire.overdue(), Err(Rule::ParametersRead));
}

#[test]
fn a_registration_reads_parameters_and_layers_where_they_are() {
    let found = || {
        let mut wire = Wire::of_settings();
        wire.look_up(ROOT, "System", Some(SYSTEM));
        wire.look_up(SYSTEM, "Registry", Some(REGISTRY));
        wire
    };
    let read = |wire: &mut Wire| {
        wire.send(0x20, payload().guid(REGISTRY).bytes("").u8(1)).unwrap();
        wire.answer(0x20, payload().u32(0).u32(0).u32(0)).unwrap();
    };
    let read_layers = |wire: &mut Wire| {
        wire.look_up(REGISTRY, "Layers", Some(LAYERS));
        wire.send(0x05, payload().guid(LAYERS)).unwrap();
        wire.answer(0x05, payload().u32(0).u32(0).u32(0)).unwrap();
    };
    assert_eq!(found().overdue(), Err(Rule::ParametersRead));
    let mut wire = found();
    wire.look_up(REGISTRY, "Layers", Some(LAYERS));
    assert_eq!(wire.overdue(), Err(Rule::ParametersRead));
    let mut wire = found();
    read(&mut wire);
    wire.look_up(REGISTRY, "Layers", Some(LAYERS));
    assert_eq!(wire.overdue(), Err(Rule::LayersRead));
    let mut wire = found();
    read_layers(&mut wire);
    read(&mut wire);
    read(&mut wire);
    assert_eq!(wire.overdue(), Err(Rule::LayersRead), "the layers come after the parameters");
    let mut wire = found();
    read(&mut wire);
    read_layers(&mut wire);
    assert_eq!(wire.overdue(), Err(Rule::LayersRead), "the parameters come once more");
    let mut wire = found();
    read(&mut wire);
    read_layers(&mut wire);
    read(&mut wire);
    assert_eq!(wire.overdue(), Ok(()));
    wire.monitor.connection_opened(SOURCE);
    wire.monitor.registered(SOURCE, 100, &[served(ROOT)]);
    wire.monitor.settings_registered(SOURCE, ROOT);
    assert_eq!(wire.overdue(), Err(Rule::ParametersRead), "so it is at a resumption");
    wire.covers(&["BOOT-06", "BOOT-07", "BOOT-13", "CONF-41"]);
}

#[test]
fn a_source_that_dies_meanwhile_or_was_tampered_with_owes_no_reading() {
    let mut wire = Wire::of_settings();
    wire.monitor.connection_closed(SOURCE);
    assert_eq!(wire.overdue(), Ok(()));
    let mut wire = Wire::of_settings();
    wire.monitor.falsified(SOURCE);
    assert_eq!(wire.overdue(), Ok(()));
}

#[test]
fn nothing_is_changed_between_calls() {
    let between = |op_code: u16, fields: Payload| {
        let mut wire = Wire::new();
        wire.overdue().unwrap();
        wire.send(op_code, fields)
    };
    assert_eq!(between(0x01, payload().guid(ROOT).bytes("a")), Ok(()));
    assert_eq!(between(0x50, payload().bytes("role")), Ok(()));
    assert_eq!(between(0x13, payload().guid(NEW)), Ok(()));
    for (op_code, fields) in [
        (0x02, create_entry(NEW, 101)),
        (0x12, write_time(ROOT)),
        (0x21, set_value(101)),
        (0x23, set_blanket(1, 101)),
    ] {
        assert_eq!(between(op_code, fields), Err(Rule::BetweenCalls));
    }
}

#[test]
fn a_late_write_brings_its_last_write_time_once() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(101)).unwrap();
    wire.overdue().unwrap();
    wire.answer(0x21, payload().u32(0)).unwrap();
    assert_eq!(wire.exchange(0x12, write_time(ROOT), 0), Ok(()));
    assert_eq!(wire.send(0x12, write_time(ROOT)), Err(Rule::BetweenCalls));
}

#[test]
fn a_late_write_that_is_refused_brings_none() {
    let mut wire = Wire::new();
    wire.send(0x21, set_value(101)).unwrap();
    wire.overdue().unwrap();
    wire.answer(0x21, payload().u32(5)).unwrap();
    assert_eq!(wire.send(0x12, write_time(ROOT)), Err(Rule::BetweenCalls));
}

#[test]
fn a_late_entry_brings_its_record() {
    let mut wire = Wire::new();
    wire.send(0x02, create_entry(NEW, 101)).unwrap();
    wire.overdue().unwrap();
    wire.answer(0x02, payload().u32(0)).unwrap();
    assert_eq!(wire.send(0x10, create_key(NEW)), Ok(()));
}

#[test]
fn a_deadline_that_passes_between_calls_aborts() {
    let mut wire = Wire::new();
    wire.overdue().unwrap();
    let begin = payload().u64(9).u32(0);
    assert_eq!(wire.send_to(SOURCE, 0x30, 9, begin), Err(Rule::BetweenCalls));
    let mut wire = Wire::new();
    wire.send_to(SOURCE, 0x30, 9, payload().u64(9).u32(0)).unwrap();
    wire.answer(0x30, payload().u32(0)).unwrap();
    wire.overdue().unwrap();
    assert_eq!(wire.send_to(SOURCE, 0x32, 9, payload().u64(9)), Ok(()));
}
