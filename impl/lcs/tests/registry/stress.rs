//! Many callers at once over few names: every call ends, and no answer is one that only a fault
//! explains.

use std::cell::Cell;
use std::rc::Rc;

use abi::layout::{
    BlanketTombstoneArgs, DeleteKeyArgs, EnumSubkeyArgs, QueryKeyInfoArgs, QueryValuesBatchArgs,
};
use abi::{Errno, KEY_ALL_ACCESS, ioctl};
use lcs::Caller;
use lcs::env::Env;
use rsi::Operation;

use crate::client::{Answer, Client, Machine, answer};
use crate::source::Store;
use crate::world::World;

const PATHS: [&str; 10] = [
    "Machine\\A",
    "Machine\\A\\B",
    "Machine\\A\\b",
    "Machine\\System\\Registry\\Layers\\one",
    "Machine\\System\\Registry\\Layers\\Two",
    "Machine\\System\\Registry\\Layers\\One",
    "Machine\\System\\Registry\\Layers\\three",
    "Users\\A",
    "Other\\A",
    "Other\\A\\B",
];
const LAYERS_KEY: &str = "Machine\\System\\Registry\\Layers";
const LAYERS: [&str; 5] = ["", "one", "two", "TWO", "three"];
const NAMES: [&str; 4] = ["", "v", "Precedence", "Enabled"];

fn dice(client: &Client, sides: usize) -> usize {
    let mut bytes = [0; 2];
    client.world.env.random(&mut bytes);
    usize::from(u16::from_le_bytes(bytes)) % sides
}

async fn act(client: &Client, fd: i32) -> Answer<i64> {
    let layer = LAYERS[dice(client, LAYERS.len())];
    let name = NAMES[dice(client, NAMES.len())];
    let (layer_len, layer_ptr) = (layer.len() as u32, client.memory.put(layer.as_bytes()));
    let removal = DeleteKeyArgs { layer_len, layer_ptr, txn_fd: -1, ..DeleteKeyArgs::default() };
    match dice(client, 9) {
        0..=2 => {
            let value = dice(client, 2) as u32;
            let args = client.set_args(name, 4, &value.to_le_bytes(), layer);
            client.ioctl(fd, ioctl::REG_IOC_SET_VALUE, args).await.0
        }
        3 => {
            let set = dice(client, 2) as u8;
            let args = BlanketTombstoneArgs {
                layer_len,
                layer_ptr,
                set,
                txn_fd: -1,
                ..BlanketTombstoneArgs::default()
            };
            client.ioctl(fd, ioctl::REG_IOC_BLANKET_TOMBSTONE, args).await.0
        }
        4 => client.ioctl(fd, ioctl::REG_IOC_DELETE_KEY, removal).await.0,
        5 => client.ioctl(fd, ioctl::REG_IOC_HIDE_KEY, removal).await.0,
        6 => {
            let args = EnumSubkeyArgs { txn_fd: -1, ..EnumSubkeyArgs::default() };
            client.ioctl(fd, ioctl::REG_IOC_ENUM_SUBKEYS, args).await.0
        }
        7 => {
            let args = QueryKeyInfoArgs::default();
            client.ioctl(fd, ioctl::REG_IOC_QUERY_KEY_INFO, args).await.0
        }
        _ => {
            let args = QueryValuesBatchArgs { txn_fd: -1, ..QueryValuesBatchArgs::default() };
            client.ioctl(fd, ioctl::REG_IOC_QUERY_VALUES_BATCH, args).await.0
        }
    }
}

async fn one_round(client: &Client) -> Vec<Errno> {
    let path = PATHS[dice(client, PATHS.len())];
    let opened = if dice(client, 2) == 0 {
        client.open_at(-1, path, KEY_ALL_ACCESS, 0).await
    } else {
        let layer = LAYERS[dice(client, LAYERS.len())];
        client.create_with(client.create_args(path, layer)).await.map(|(fd, _)| fd)
    };
    let fd = match opened {
        Ok(fd) => fd,
        Err(errno) => return vec![errno],
    };
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.extend(act(client, fd).await.err());
    }
    let caller = Caller { process: &client.process, token: &client.token };
    assert_eq!(answer(client.lcs.close(caller, fd).await), Ok(0));
    errors
}

/// Counts of callers that are not done, and of their calls that were not answered in time.
#[derive(Clone, Default)]
struct Counts {
    running: Rc<Cell<usize>>,
    timed_out: Rc<Cell<usize>>,
}

/// Lets six callers loose.
fn let_loose(machine: &Machine, rounds: usize, allowed: &'static [Errno]) -> Counts {
    let counts = Counts::default();
    for _ in 0..6 {
        let client = machine.client();
        let Counts { running, timed_out } = counts.clone();
        running.set(running.get() + 1);
        machine.world.spawn(async move {
            for _ in 0..rounds {
                for errno in one_round(&client).await {
                    assert!(allowed.contains(&errno), "{errno:?}");
                    timed_out.set(timed_out.get() + usize::from(errno == Errno::ETIMEDOUT));
                }
            }
            running.set(running.get() - 1);
        });
    }
    counts
}

/// As [`let_loose`], until all are done.
fn loose(machine: &Machine, rounds: usize, allowed: &'static [Errno]) {
    let Counts { running, .. } = let_loose(machine, rounds, allowed);
    machine.world.run_until_stalled();
    // Nothing here waits for time, so whoever is not done waits for ever.
    assert_eq!(running.get(), 0, "calls wait for each other");
}

const USUAL: &[Errno] = &[Errno::ENOENT, Errno::ENOTEMPTY, Errno::ERANGE];

#[test]
fn calls_at_once_all_end_and_see_nothing_half_done() {
    let mut deletions = 0;
    for seed in 0..40 {
        let machine = Machine::in_world(World::with_seed(seed));
        machine.client().make(LAYERS_KEY);
        loose(&machine, 60, USUAL);
        deletions += machine.source.count(Operation::DeleteLayer);
        check_whole(&machine, seed);
    }
    assert!(deletions > 40, "{deletions}");
}

/// Nothing is half done, and nothing is left of what is gone.
fn check_whole(machine: &Machine, seed: u64) {
    let client = machine.client();
    let root = client.open("Other").unwrap();
    let mut known = vec!["base", "one", "two", "three"];
    known.retain(|layer| client.unset(root, "", layer) != Err(Errno::ENOENT));
    check_layers(&known, &machine.source.store(), seed);
    check_layers(&known, &machine.other.store(), seed);
    let source = machine.source.store();
    for (_, entry) in source.entries.values() {
        assert!(entry.target.is_none_or(|guid| source.keys.contains_key(&guid)), "seed {seed}");
    }
    // Everything is closed, so no key is left without a name.
    let named: Vec<_> = source.entries.values().filter_map(|(_, entry)| entry.target).collect();
    let roots = source.keys.len() - source.keys.keys().filter(|k| named.contains(k)).count();
    assert_eq!(roots, 2, "seed {seed}");
}

/// No entry of a layer comes to a source after the layer's deletion.
fn check_layers(known: &[&str], store: &Store, seed: u64) {
    let paths = store.entries.keys().map(|(_, _, layer)| layer);
    let values = store.values.keys().map(|(_, _, layer)| layer);
    for layer in paths.chain(values).chain(store.blankets.keys().map(|(_, layer)| layer)) {
        assert!(known.contains(&layer.as_str()), "seed {seed}: {layer} in {known:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_requests() {
    let run = || {
        let machine = Machine::in_world(World::with_seed(7));
        machine.client().make(LAYERS_KEY);
        loose(&machine, 30, USUAL);
        machine.source.store().log.clone()
    };
    assert_eq!(run(), run());
}

#[test]
fn calls_at_once_all_end_when_their_source_dies_and_comes_back() {
    const FATAL: [Operation; 8] = [
        Operation::Lookup,
        Operation::CreateEntry,
        Operation::CreateKey,
        Operation::WriteKey,
        Operation::DeleteEntry,
        Operation::DeleteLayer,
        Operation::QueryValues,
        Operation::DropKey,
    ];
    for seed in 0..60 {
        let mut machine = Machine::in_world(World::with_seed(seed));
        machine.client().make(LAYERS_KEY);
        machine.source.store().dies_at = Some(FATAL[seed as usize % FATAL.len()]);
        loose(&machine, 20, &[Errno::ENOENT, Errno::ENOTEMPTY, Errno::ERANGE, Errno::EIO]);
        machine.source.store().dies_at = None;
        machine.restart();
        loose(&machine, 20, USUAL);
    }
}

#[test]
fn calls_at_once_all_end_and_leave_nothing_half_done_when_answers_are_late() {
    const LATE: &[Errno] =
        &[Errno::ENOENT, Errno::ENOTEMPTY, Errno::ERANGE, Errno::ETIMEDOUT, Errno::EIO];
    let mut count = 0;
    for seed in 0..40 {
        let machine = Machine::in_world(World::with_seed(seed));
        machine.client().make(LAYERS_KEY);
        for source in [&machine.source, &machine.other] {
            source.store().dawdling = Some(seed);
        }
        let Counts { running, timed_out } = let_loose(&machine, 20, LATE);
        let client = machine.client();
        // Each call sends a bounded number of requests, and each of them has its time.
        for _ in 0..100_000 {
            client.go(|me| async move {
                let later = me.world.env.now() + 40_000_000_000;
                me.world.env.sleep_until(later).await;
            });
            let lot = dice(&client, 64);
            machine.source.answer_one(lot);
            machine.other.answer_one(lot);
            if running.get() == 0 {
                break;
            }
        }
        assert_eq!(running.get(), 0, "seed {seed}: calls wait for each other");
        for source in [&machine.source, &machine.other] {
            source.store().dawdling = None;
        }
        while machine.source.answer_one(0) || machine.other.answer_one(0) {
            machine.world.run_until_stalled();
        }
        machine.settle();
        check_whole(&machine, seed);
        count += timed_out.get();
    }
    assert!(count > 200, "{count}");
}
