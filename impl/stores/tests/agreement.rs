//! Random requests, kills and restarts: the memory store and the SQLite store answer alike, and
//! hold alike what they hold.
//!
//! Responses are compared as sets of entries, since order is free (SRC-10). A case has volatile
//! keys or transactions but not both: SQLite's volatile store makes readers wait for a
//! transaction (LORE-070), and the memory store does not.

mod support;

use proptest::prelude::*;
use rsi::{Guid, Request, Response};
use support::*;

/// Few and alike, so that requests meet.
const NAMES: [&str; 7] = ["a", "a", "A", "A", "b", "ß", ""];
const LAYERS: [&str; 5] = ["base", "base", "BASE", "gpo", "GPO"];

#[derive(Clone, Debug)]
enum Act {
    /// Within the transaction of that number, or none.
    Request(u64, Request),
    Wait(u64),
    Restart,
    Kill,
}

/// Number 0 stands for the root; the first few are there from the beginning.
fn any_guid() -> impl Strategy<Value = Guid> {
    prop_oneof![4 => 0..2_u8, 1 => 2..5_u8].prop_map(guid)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(&NAMES[..]).prop_map(Into::into)
}

fn layer() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(&LAYERS[..]).prop_map(Into::into)
}

fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![1..6_u64, Just(1 << 63), Just(u64::MAX - 1)]
}

fn read() -> BoxedStrategy<Request> {
    prop_oneof![
        (any_guid(), name())
            .prop_map(|(parent, child_name)| Request::Lookup { parent, child_name }),
        any_guid().prop_map(|parent| Request::EnumChildren { parent }),
        any_guid().prop_map(|guid| Request::ReadKey { guid }),
        (any_guid(), name(), any::<bool>()).prop_map(|(guid, value_name, query_all)| {
            Request::QueryValues { guid, value_name, query_all }
        }),
    ]
    .boxed()
}

fn path_write(volatile: bool) -> BoxedStrategy<Request> {
    prop_oneof![
        3 => (any_guid(), name(), layer(), any_guid(), sequence()).prop_map(
            |(parent, child_name, layer, child, sequence)| Request::CreateEntry {
                parent, child_name, layer, child, sequence
            }
        ),
        1 => (any_guid(), name(), layer(), sequence()).prop_map(
            |(parent, child_name, layer, sequence)| Request::HideEntry {
                parent, child_name, layer, sequence
            }
        ),
        1 => (any_guid(), name(), layer()).prop_map(
            |(parent, child_name, layer)| Request::DeleteEntry { parent, child_name, layer }
        ),
        3 => (any_guid(), name(), any_guid(), any::<bool>(), any::<bool>()).prop_map(
            move |(guid, name, parent, volatile_key, symlink)| Request::CreateKey {
                guid, name, parent, sd: vec![1, 2], volatile_key: volatile && volatile_key, symlink
            }
        ),
        1 => (any_guid(), any::<Option<Vec<u8>>>(), any::<Option<u64>>(), 0..8_u32).prop_map(
            |(guid, sd, last_write_time, fields)| Request::WriteKey {
                guid, sd, last_write_time, undefined_fields: fields & 4
            }
        ),
        1 => any_guid().prop_map(|guid| Request::DropKey { guid }),
    ]
    .boxed()
}

fn value_write() -> BoxedStrategy<Request> {
    prop_oneof![
        4 => (any_guid(), name(), layer(), prop::bool::weighted(0.2), sequence(),
              prop_oneof![3 => Just(0), 1 => sequence()])
            .prop_map(|(guid, value_name, layer, tombstone, sequence, expected_sequence)| {
                let value_type = if tombstone { 0xFFFF } else { 3 };
                let data = vec![7; 3];
                Request::SetValue {
                    guid, value_name, layer, value_type, data, sequence, expected_sequence
                }
            }),
        1 => (any_guid(), name(), layer()).prop_map(
            |(guid, value_name, layer)| Request::DeleteValueEntry { guid, value_name, layer }
        ),
        2 => (any_guid(), layer(), any::<bool>(), sequence()).prop_map(
            |(guid, layer, set, sequence)| Request::SetBlanketTombstone {
                guid, layer, set, sequence
            }
        ),
        1 => layer().prop_map(|layer| Request::DeleteLayer { layer }),
        1 => Just(flush("machine")),
    ]
    .boxed()
}

fn act(volatile: bool) -> BoxedStrategy<Act> {
    let request = prop_oneof![3 => read(), 4 => path_write(volatile), 3 => value_write()];
    let transaction = if volatile { Just(0).boxed() } else { (0..4_u64).boxed() };
    let mut acts = vec![
        (30, (transaction, request).prop_map(|(id, request)| Act::Request(id, request)).boxed()),
        (1, Just(Act::Restart).boxed()),
        (1, Just(Act::Kill).boxed()),
    ];
    if !volatile {
        let control = (1..4_u64, 0..5_u8).prop_map(|(id, kind)| {
            let request = match kind {
                0 | 1 => begin(id),
                2 => begin_snapshot(id),
                3 => commit(id),
                _ => abort(id),
            };
            Act::Request(id, request)
        });
        acts.push((8, control.boxed()));
        acts.push((1, (1..30_u64).prop_map(|seconds| Act::Wait(seconds * 1_000_000_000)).boxed()));
    }
    prop::strategy::Union::new_weighted(acts).boxed()
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    any::<bool>().prop_flat_map(|volatile| prop::collection::vec(act(volatile), 1..60))
}

/// What a driver answers to an act, free of order.
fn perform(driver: &mut Driver, act: Act) -> Vec<(u64, Response)> {
    match act {
        Act::Request(transaction, request) => {
            let request = with_root(driver.root(), request);
            driver.submit(transaction, request);
        }
        Act::Wait(nanoseconds) => driver.now += nanoseconds,
        Act::Restart => driver.restart(),
        Act::Kill => driver.kill(),
    }
    let mut responses = driver.drain();
    for (_, response) in &mut responses {
        sort(response);
    }
    responses
}

fn sort(response: &mut Response) {
    match response {
        Response::Lookup { entries, metadata } => {
            entries.sort_by(|a, b| a.layer.cmp(&b.layer));
            metadata.sort_by_key(|key| key.guid);
        }
        Response::EnumChildren { children, metadata } => {
            for (_, entries) in &mut *children {
                entries.sort_by(|a, b| a.layer.cmp(&b.layer));
            }
            metadata.sort_by_key(|key| key.guid);
        }
        Response::QueryValues { entries, blankets } => {
            entries.sort_by(|a, b| (&a.name, &a.layer).cmp(&(&b.name, &b.layer)));
            blankets.sort_by(|a, b| a.layer.cmp(&b.layer));
        }
        _ => {}
    }
}

/// Puts the root in the place of number 0.
fn with_root(root: Guid, mut request: Request) -> Request {
    match &mut request {
        Request::Lookup { parent: at, .. }
        | Request::CreateEntry { parent: at, .. }
        | Request::HideEntry { parent: at, .. }
        | Request::DeleteEntry { parent: at, .. }
        | Request::EnumChildren { parent: at }
        | Request::CreateKey { parent: at, .. }
        | Request::ReadKey { guid: at }
        | Request::WriteKey { guid: at, .. }
        | Request::DropKey { guid: at }
        | Request::QueryValues { guid: at, .. }
        | Request::SetValue { guid: at, .. }
        | Request::DeleteValueEntry { guid: at, .. }
        | Request::SetBlanketTombstone { guid: at, .. }
            if *at == guid(0) =>
        {
            *at = root;
        }
        _ => {}
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_stores_agree(acts in acts()) {
        let mut memory = Driver::new(memory(&["Machine"]));
        let mut sqlite = Driver::new(sqlite(&["Machine"]));
        for driver in [&mut memory, &mut sqlite] {
            let root = driver.root();
            driver.key(root, "a", guid(1), 1, false);
            driver.key(guid(1), "a", guid(2), 2, false);
        }
        for act in acts {
            let expected = perform(&mut memory, act.clone());
            prop_assert_eq!(perform(&mut sqlite, act), expected);
        }
        prop_assert_eq!(sqlite.raw(), memory.raw());
        prop_assert_eq!(sqlite.store().next_wake(), memory.store().next_wake());
        memory.kill();
        sqlite.kill();
        prop_assert_eq!(sqlite.raw(), memory.raw());
        prop_assert_eq!(sqlite.store().max_sequence(), memory.store().max_sequence());
    }
}
