//! Plans of requests made from seeds, aimed at collisions.
//!
//! Few keys, names and layers, so that most requests meet what others left. Swarm style: each seed
//! draws a weight for each feature. The generator keeps a rough belief of which keys exist and
//! which transactions are open; it never asks the model.
//!
//! Not generated: payloads that do not fit their op code, which scripts can send (`raw`), and
//! requests or transactions that name keys of two hives (P-70), and RSI_DROP_KEY in a transaction,
//! since the kernel sends it when the last fd of a key closes (DEL-23).

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::plan::{
    KeyName, PlannedOperation, PlannedRequest, StorePlan, StoreStep, TransactionName,
};
use crate::plan::Text;
use crate::script::store::descriptor_of;

/// What plans make use of beside what every one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// A second hive, with keys in it.
    pub second_hive: bool,
    /// Volatile keys.
    pub volatile_keys: bool,
}

impl Features {
    /// Everything.
    pub const ALL: Features = Features { second_hive: true, volatile_keys: true };
}

/// The plan of a seed: about `requests` requests, with deaths in between.
pub fn plan_of_seed(seed: u64, requests: usize, features: Features) -> StorePlan {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = 1;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    Generator::new(rng, features).plan(requests)
}

/// Keys that a plan names, by the hive that they are in: no request names keys of two hives (P-70).
const KEYS: [&[&str]; 2] = [&["k1", "k2", "k3", "k4"], &["u1", "u2", "u3"]];
const CHILD_NAMES: &[&str] = &["Alpha", "ALPHA", "beta", "Ärger", "äRGER", "straße"];
const VALUE_NAMES: &[&str] = &["Mode", "mode", "", "Größe", "GRÖSSE", "a\\b", "*"];
const LAYERS: &[&str] = &["base", "base", "BASE", "gpo", "GPO", "role-a", "Überlagerung"];
const OWNERS: &[&str] = &["S-1-5-18", "S-1-5-32-544"];
/// Transactions that may be open at once.
const OPEN_MAX: usize = 3;
/// Requests that may be in flight at once.
const IN_FLIGHT_MAX: usize = 3;
/// Longer than the busy timeout, in nanoseconds.
const LONG: u64 = 26_000_000_000;

type Feature = fn(&mut Generator);
/// What a seed weighs, with the highest weight.
const FEATURES: [(Feature, u32); 18] = [
    (Generator::lookup, 6),
    (Generator::enum_children, 4),
    (Generator::create, 12),
    (Generator::create_entry, 3),
    (Generator::create_key, 3),
    (Generator::hide, 4),
    (Generator::delete_entry, 4),
    (Generator::read_key, 4),
    (Generator::write_key, 4),
    (Generator::drop_key, 2),
    (Generator::query, 6),
    (Generator::set_value, 12),
    (Generator::delete_value, 4),
    (Generator::blanket, 5),
    (Generator::delete_layer, 2),
    (Generator::flush, 2),
    (Generator::transaction, 8),
    (Generator::world, 3),
];

struct Generator {
    rng: TestRng,
    features: Features,
    plan: StorePlan,
    /// Transactions that are probably open, each with the hive that it is for.
    open: Vec<(String, usize)>,
    /// Keys that probably exist, by hive.
    existing: [Vec<String>; 2],
    transactions: usize,
    /// Labels whose answers have not been taken.
    labels: Vec<String>,
    label_count: usize,
    sequence: u64,
    /// How many requests in ten carry the id of an open transaction.
    enlisting: u32,
}

impl Generator {
    fn new(rng: TestRng, features: Features) -> Generator {
        let mut generator = Generator {
            rng,
            features,
            plan: StorePlan::default(),
            open: Vec::new(),
            existing: [Vec::new(), Vec::new()],
            transactions: 0,
            labels: Vec::new(),
            label_count: 0,
            sequence: 0,
            enlisting: 0,
        };
        generator.enlisting = generator.rng.random_range(1..7);
        generator
    }

    fn plan(mut self, requests: usize) -> StorePlan {
        let weights: Vec<u32> =
            FEATURES.iter().map(|(_, highest)| self.rng.random_range(0..=*highest)).collect();
        let total: u32 = weights.iter().sum::<u32>().max(1);
        if !self.features.second_hive {
            self.plan.hives = vec!["Machine".to_owned()];
        }
        self.create();
        self.create();
        // Every feature adds a step.
        while self.plan.steps.len() < requests {
            let mut left = self.rng.random_range(0..total);
            let mut chosen: Feature = Generator::set_value;
            for ((feature, _), weight) in FEATURES.iter().zip(&weights) {
                if left < *weight {
                    chosen = *feature;
                    break;
                }
                left -= weight;
            }
            chosen(&mut self);
        }
        self.plan.steps.extend([StoreStep::Compare, StoreStep::Start]);
        self.plan
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.random_range(0..from.len())]
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.rng.random_range(0..many) == 0
    }

    /// The hive of the next request, mostly the first.
    fn hive(&mut self) -> usize {
        usize::from(self.one_in(4) && self.features.second_hive)
    }

    fn key(&mut self) -> KeyName {
        let hive = self.hive();
        self.key_in(hive)
    }

    fn key_in(&mut self, hive: usize) -> KeyName {
        match self.rng.random_range(0..40) {
            0 => KeyName::Nil,
            1..=16 => KeyName::Root(hive),
            _ => self.named_key(hive),
        }
    }

    /// A key that mostly exists.
    fn named_key(&mut self, hive: usize) -> KeyName {
        let count = self.existing[hive].len();
        if count == 0 || self.one_in(8) {
            return self.any_key(hive);
        }
        KeyName::Named(self.existing[hive][self.rng.random_range(0..count)].clone())
    }

    /// A key that may exist or not.
    fn any_key(&mut self, hive: usize) -> KeyName {
        KeyName::Named(self.pick(KEYS[hive]).to_owned())
    }

    fn now_exists(&mut self, hive: usize, key: &KeyName) {
        if let KeyName::Named(name) = key
            && !self.existing[hive].contains(name)
        {
            self.existing[hive].push(name.clone());
        }
    }

    fn parent(&mut self) -> KeyName {
        let hive = self.hive();
        self.parent_in(hive)
    }

    /// A key that others are below: mostly a root or the first that exists.
    fn parent_in(&mut self, hive: usize) -> KeyName {
        match self.existing[hive].first() {
            Some(first) if self.rng.random_range(0..3) == 0 => KeyName::Named(first.clone()),
            _ => self.key_in(hive),
        }
    }

    fn child_name(&mut self) -> Text {
        match self.rng.random_range(0..100) {
            0 => Text(vec![0xFF, b'x']),
            1 => Text::from(""),
            _ => Text::from(self.pick(CHILD_NAMES)),
        }
    }

    fn value_name(&mut self) -> Text {
        if self.one_in(100) { Text(vec![b'x', 0xC3]) } else { Text::from(self.pick(VALUE_NAMES)) }
    }

    fn layer(&mut self) -> Text {
        if self.one_in(100) { Text(vec![0x80]) } else { Text::from(self.pick(LAYERS)) }
    }

    fn sequence(&mut self) -> u64 {
        if self.sequence > 0 && self.one_in(10) {
            return self.rng.random_range(1..=self.sequence);
        }
        self.sequence += self.rng.random_range(1..4u64);
        self.sequence
    }

    /// Sends a request, perhaps in a transaction, perhaps without waiting for the answer.
    fn send(&mut self, operation: PlannedOperation) {
        let hive = hive_of(&operation);
        let open: Vec<String> = self
            .open
            .iter()
            .filter(|(_, of)| hive.is_none_or(|hive| hive == *of))
            .map(|(name, _)| name.clone())
            .collect();
        let transaction = if !open.is_empty() && self.rng.random_range(0..10) < self.enlisting {
            let index = self.rng.random_range(0..open.len());
            Some(TransactionName::Named(open[index].clone()))
        } else if self.one_in(200) {
            Some(TransactionName::Number(999))
        } else {
            None
        };
        self.send_by(operation, transaction);
    }

    fn send_by(&mut self, operation: PlannedOperation, transaction: Option<TransactionName>) {
        let trailing = if self.one_in(50) { vec![7; 3] } else { Vec::new() };
        let request = PlannedRequest { operation, transaction, trailing };
        let is_labelled = self.labels.len() < IN_FLIGHT_MAX && self.one_in(8);
        let label = is_labelled.then(|| {
            self.label_count += 1;
            format!("r{}", self.label_count)
        });
        self.labels.extend(label.clone());
        self.plan.steps.push(StoreStep::Send { label, request });
    }

    fn lookup(&mut self) {
        let (parent, name) = (self.parent(), self.child_name());
        self.send(PlannedOperation::Lookup { parent, name });
    }

    fn enum_children(&mut self) {
        let parent = self.parent();
        self.send(PlannedOperation::EnumChildren { parent });
    }

    /// A path entry and the record of its key, as the kernel creates them.
    fn create(&mut self) {
        let hive = self.hive();
        let (parent, name, layer) = (self.parent_in(hive), self.child_name(), self.layer());
        let (child, sequence) = (self.any_key(hive), self.sequence());
        let volatile_key = self.one_in(4) && self.features.volatile_keys;
        self.now_exists(hive, &child);
        let entry = PlannedOperation::CreateEntry {
            parent: parent.clone(),
            name: name.clone(),
            layer,
            child: child.clone(),
            sequence,
        };
        self.send_by(entry, None);
        self.send_by(self.record(child, parent, name, volatile_key, false), None);
    }

    fn record(
        &self,
        key: KeyName,
        parent: KeyName,
        name: Text,
        volatile_key: bool,
        symlink: bool,
    ) -> PlannedOperation {
        let security_descriptor = descriptor_of(OWNERS[0]);
        PlannedOperation::CreateKey {
            key,
            parent,
            name,
            security_descriptor,
            volatile_key,
            symlink,
        }
    }

    fn create_entry(&mut self) {
        let hive = self.hive();
        let (parent, name, layer) = (self.parent_in(hive), self.child_name(), self.layer());
        let (child, sequence) = (self.named_key(hive), self.sequence());
        self.send(PlannedOperation::CreateEntry { parent, name, layer, child, sequence });
    }

    fn create_key(&mut self) {
        let hive = self.hive();
        let (key, parent) = (self.any_key(hive), self.parent_in(hive));
        let name = self.child_name();
        self.now_exists(hive, &key);
        let volatile_key = self.one_in(3) && self.features.volatile_keys;
        let symlink = self.one_in(3);
        let operation = self.record(key, parent, name, volatile_key, symlink);
        self.send(operation);
    }

    fn hide(&mut self) {
        let (parent, name, layer) = (self.parent(), self.child_name(), self.layer());
        let sequence = self.sequence();
        self.send(PlannedOperation::HideEntry { parent, name, layer, sequence });
    }

    fn delete_entry(&mut self) {
        let (parent, name, layer) = (self.parent(), self.child_name(), self.layer());
        self.send(PlannedOperation::DeleteEntry { parent, name, layer });
    }

    fn read_key(&mut self) {
        let key = self.key();
        self.send(PlannedOperation::ReadKey { key });
    }

    fn write_key(&mut self) {
        let key = self.key();
        let owner = self.pick(OWNERS);
        let security_descriptor = self.one_in(2).then(|| descriptor_of(owner));
        let time = self.rng.random_range(1..1_000_000u64);
        let last_write_time = (!self.one_in(3)).then_some(time);
        let undefined_mask_bits = if self.one_in(12) { 4 } else { 0 };
        self.send(PlannedOperation::WriteKey {
            key,
            security_descriptor,
            last_write_time,
            undefined_mask_bits,
        });
    }

    fn drop_key(&mut self) {
        let hive = self.hive();
        let key = self.any_key(hive);
        if let KeyName::Named(name) = &key {
            self.existing[hive].retain(|existing| existing != name);
        }
        self.send_by(PlannedOperation::DropKey { key }, None);
    }

    fn query(&mut self) {
        let key = self.key();
        let name = if self.one_in(2) { Some(self.value_name()) } else { None };
        self.send(PlannedOperation::QueryValues { key, name });
    }

    fn set_value(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let sequence = self.sequence();
        let (value_type, data) = match self.rng.random_range(0..8) {
            0 | 1 => (0xFFFF, Vec::new()),
            2 => (1, b"text".to_vec()),
            3 => (3, Vec::new()),
            _ => (4, vec![self.rng.random_range(0..3u8), 0, 0, 0]),
        };
        let expected_sequence = match self.rng.random_range(0..5) {
            0 => self.rng.random_range(1..=sequence),
            1 => sequence.saturating_sub(1),
            _ => 0,
        };
        self.send(PlannedOperation::SetValue {
            key,
            name,
            layer,
            value_type,
            data,
            sequence,
            expected_sequence,
        });
    }

    fn delete_value(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        self.send(PlannedOperation::DeleteValueEntry { key, name, layer });
    }

    fn blanket(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        let set = !self.one_in(3);
        let sequence = if set { self.sequence() } else { 0 };
        self.send(PlannedOperation::SetBlanketTombstone { key, layer, set, sequence });
    }

    fn delete_layer(&mut self) {
        let layer = self.layer();
        self.send(PlannedOperation::DeleteLayer { layer });
    }

    fn flush(&mut self) {
        let hive = self.pick(&["Machine", "Users", "users", "Nobody"]);
        self.send(PlannedOperation::Flush { hive: Text::from(hive) });
    }

    /// Begins a transaction, or ends one.
    fn transaction(&mut self) {
        if self.open.is_empty() || (self.open.len() < OPEN_MAX && self.one_in(2)) {
            self.transactions += 1;
            let name = format!("t{}", self.transactions);
            let hive = self.hive();
            self.open.push((name.clone(), hive));
            let mode = if self.one_in(4) { 1 } else { 0 };
            let transaction = TransactionName::Named(name);
            self.send_by(PlannedOperation::Begin { transaction, mode }, None);
            return;
        }
        let index = self.rng.random_range(0..self.open.len());
        let transaction = TransactionName::Named(self.open.remove(index).0);
        let operation = if self.one_in(3) {
            PlannedOperation::Abort { transaction }
        } else {
            PlannedOperation::Commit { transaction }
        };
        self.send_by(operation, None);
    }

    /// Takes an answer, lets time pass, or ends and starts the source.
    fn world(&mut self) {
        if !self.labels.is_empty() && !self.one_in(4) {
            let label = self.labels.remove(0);
            self.plan.steps.push(StoreStep::Await { label });
            return;
        }
        match self.rng.random_range(0..6) {
            0 => self.end(StoreStep::Kill),
            1 => self.end(StoreStep::Stop),
            2 => self.plan.steps.push(StoreStep::Pass { nanoseconds: LONG }),
            3 => self.plan.steps.push(StoreStep::Compare),
            _ => self.plan.steps.push(StoreStep::Pass { nanoseconds: 1_000_000 }),
        }
    }

    fn end(&mut self, ending: StoreStep) {
        self.plan.steps.extend([ending, StoreStep::Start]);
        self.open.clear();
        self.labels.clear();
    }
}

/// The hive that a request is about, by the keys that it names; `None` if it names none.
fn hive_of(operation: &PlannedOperation) -> Option<usize> {
    operation.keys().into_iter().find_map(|key| match key {
        KeyName::Root(hive) => Some(*hive),
        KeyName::Named(name) => KEYS.iter().position(|keys| keys.contains(&name.as_str())),
        KeyName::Nil | KeyName::Literal(_) => None,
    })
}
