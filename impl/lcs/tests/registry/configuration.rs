//! Self-configuration: what is followed and when, what is reported, and whom a number binds.

mod following;
mod loading;
mod users;

use abi::Errno;
use abi::value_type::REG_BINARY;
use lcs::env::Env;
use rmp::Marker;
use rmp::decode::{self, Bytes};

use crate::client::{Answer, Client, Machine};

const REGISTRY: &str = "Machine\\System\\Registry";

/// What was reported since the last time of asking: `MaxKeyDepth dword_out_of_range 31, 512 stays`.
fn reports(machine: &Machine) -> Vec<String> {
    let events = machine.world.env.take_audit();
    let mut reports: Vec<String> = events
        .iter()
        .filter(|(name, _)| name == "LCS_SELF_CONFIG_INVALID")
        .map(|(_, payload)| in_words(payload))
        .collect();
    reports.sort();
    reports
}

fn in_words(payload: &[u8]) -> String {
    let mut bytes = Bytes::new(payload);
    let fields = decode::read_map_len(&mut bytes).unwrap();
    let fields: Vec<(String, String)> =
        (0..fields).map(|_| (text(&mut bytes), scalar(&mut bytes))).collect();
    let field = |name: &str| &fields.iter().find(|(field, _)| field == name).unwrap().1;
    assert_eq!(field("configuration_parent_path"), REGISTRY);
    let received = format!("{}{}", field("received_type"), field("received_u32"));
    let (name, kind) = (field("configuration_name"), field("received_kind"));
    format!("{name} {kind} {received}, {} stays", field("retained_value"))
}

fn text(bytes: &mut Bytes<'_>) -> String {
    let (text, tail) = decode::read_str_from_slice(bytes.remaining_slice()).unwrap();
    let text = text.to_owned();
    *bytes = Bytes::new(tail);
    text
}

/// A text, a number, or nothing for nil.
fn scalar(bytes: &mut Bytes<'_>) -> String {
    match Marker::from_u8(bytes.remaining_slice()[0]) {
        Marker::FixStr(_) | Marker::Str8 => text(bytes),
        Marker::Null => {
            decode::read_nil(bytes).unwrap();
            String::new()
        }
        _ => decode::read_int::<u64, _>(bytes).unwrap().to_string(),
    }
}

/// Writes so many bytes.
fn set_bytes(client: &Client, fd: i32, length: usize) -> Answer<()> {
    client.set_with(fd, client.set_args("v", REG_BINARY, &vec![7; length], ""))
}

/// Whether MaxValueSize is 4096 rather than its default.
fn is_small(client: &Client, fd: i32) -> bool {
    match set_bytes(client, fd, 4097) {
        Ok(()) => false,
        Err(errno) => {
            assert_eq!(errno, Errno::ENOSPC);
            true
        }
    }
}

/// A machine whose Registry key is there, with what that reports taken away; the key, and another.
fn prepared() -> (Machine, Client, i32, i32) {
    let machine = Machine::new();
    let client = machine.client();
    let (registry, other) = (client.make(REGISTRY), client.make("Other\\A"));
    assert_eq!(reports(&machine).len(), 19);
    (machine, client, registry, other)
}

fn sleep(client: &Client, duration_ms: u64) {
    client.go(move |me| async move {
        let deadline = me.world.env.now() + duration_ms * 1_000_000;
        me.world.env.sleep_until(deadline).await;
    });
}
