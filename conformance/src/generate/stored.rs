//! Records put into stores behind the kernel's back: latent layers, equal numbers, malformed data.
//!
//! Most of them are sound, so that a run goes on; what is malformed is often mended again. Layer
//! metadata and the way to it change only while the source is down, and the numbers in it are
//! always sound: when the kernel would notice otherwise is open (P-41).

use proptest::prelude::*;
use registry_model::names::fold;
use registry_model::security::default_root_sd;
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};

use super::{Generator, KEY_NAMES, LAYER_NAMES, VALUE_NAMES};
use crate::plan::{Action, Fault, KeyReference, Step, Text};

/// A layer that nobody creates, and names that no layer can have.
const ODD_LAYERS: &[&str] = &["ghost", "Ghost", "GHOST", "", "a\\b"];
/// Above every number that a run gives out.
const FUTURE: u64 = 1 << 40;
/// The metadata that a layer has.
const METADATA: &[&str] = &["Precedence", "Enabled", "Owner"];

impl Generator {
    /// Puts one record into a store.
    pub(super) fn store_entry(&mut self) {
        match self.rng.random_range(0..13) {
            0..5 => self.store_value(),
            5 | 6 => self.store_blanket(),
            7..10 => self.store_child(),
            10 => self.store_descriptor(),
            11 => {
                let source = self.rng.random_range(0..self.plan.sources.len());
                self.lose_record(source);
            }
            _ => self.store_while_down(),
        }
    }

    fn store_value(&mut self) {
        let (value_type, data) = match self.rng.random_range(0..16) {
            0 => (12, Vec::new()),
            1 => (0xFFFF, vec![1]),
            2 | 3 => (0xFFFF, Vec::new()),
            _ => self.data(),
        };
        let name = if self.chance(24) { "v\0" } else { self.pick(VALUE_NAMES) }.to_owned();
        let (layer, sequence) = (self.stored_layer(), self.stored_sequence());
        let record = StoredRecord::Value { name, layer, value_type, data, sequence };
        let key = self.stored_path();
        self.store(key.clone(), record);
        self.read_back(&key);
    }

    fn store_blanket(&mut self) {
        let (layer, sequence) = (self.stored_layer(), self.stored_sequence());
        let key = self.stored_path();
        self.store(key.clone(), StoredRecord::Blanket { layer, sequence });
        self.read_back(&key);
    }

    fn store_child(&mut self) {
        let parent = self.stored_path();
        let name = if self.chance(24) { "a\\b" } else { self.pick(KEY_NAMES) }.to_owned();
        if is_on_the_way_to_layers(&format!("{parent}\\{name}")) {
            return;
        }
        let target = match self.rng.random_range(0..8) {
            0 => StoredTarget::Missing,
            1 | 2 => StoredTarget::Hidden,
            3 | 4 => StoredTarget::Key { symlink: false },
            _ => StoredTarget::Of(self.known_layer()),
        };
        let (layer, sequence) = (self.stored_layer(), self.stored_sequence());
        self.store(parent.clone(), StoredRecord::Child { name, layer, target, sequence });
        self.read_back(&parent);
    }

    fn store_descriptor(&mut self) {
        let path = self.stored_path();
        if is_on_the_way_to_layers(&path) {
            return;
        }
        let sound = default_root_sd();
        let length = self.rng.random_range(0..sound.len());
        let bytes = if self.chance(4) { vec![1; 65_536] } else { sound[..length].to_vec() };
        self.store(path.clone(), StoredRecord::Descriptor { bytes });
        self.read_back(&path);
        if !self.chance(4) {
            self.store(path, StoredRecord::Descriptor { bytes: default_root_sd() });
        }
    }

    /// Anything at all while a source is down, layer metadata too. A source without layers
    /// sometimes says less afterwards than it holds.
    fn store_while_down(&mut self) {
        let source = self.rng.random_range(0..self.plan.sources.len());
        if self.down[source] {
            return;
        }
        self.plan.steps.push(Step::Fault(Fault::KillSource { source }));
        let has_layers = self.plan.sources[source].iter().any(|hive| hive.name == "Machine");
        if self.chance(4) {
            self.store_value();
        } else if self.chance(2) {
            self.lose_record(source);
        } else if has_layers {
            self.store_metadata();
        } else {
            let max_sequence = self.rng.random_range(0..self.sequence + 1);
            self.plan.steps.push(Step::Fault(Fault::FalseMaximum { source, max_sequence }));
        }
        let restart = if self.chance(3) { Fault::Reboot } else { Fault::RestartSource { source } };
        if restart == Fault::Reboot {
            self.open.clear();
            self.down.fill(false);
            self.scene.rebooted();
            self.life.rebooted();
        }
        self.calls += 2;
        self.plan.steps.push(Step::Fault(restart));
    }

    fn store_metadata(&mut self) {
        let layer = self.pick(LAYER_NAMES);
        let path = format!("Machine\\System\\Registry\\Layers\\{layer}");
        if self.chance(4) {
            self.store(path, StoredRecord::Descriptor { bytes: vec![1] });
            return;
        }
        let (value_type, data) = match self.rng.random_range(0..4) {
            0 => (1, b"1".to_vec()),
            1 => (4, vec![1]),
            2 => (99, Vec::new()),
            _ => (4, vec![u8::from(self.chance(2)), 0, 0, 0]),
        };
        let name = self.pick(METADATA).to_owned();
        let layer = self.known_layer();
        let sequence = StoredSequence::Number(self.rng.random_range(0..self.sequence));
        self.store(path, StoredRecord::Value { name, layer, value_type, data, sequence });
    }

    fn store(&mut self, path: String, record: StoredRecord) {
        let through = self.chance(4).then(|| self.known_layer());
        let path = path.split('\\').map(str::to_owned).collect();
        let entry = StoreEntry { key: StoredKey { path, through }, record };
        self.calls += 1;
        self.plan.steps.push(Step::Fault(Fault::StoreEntry(entry)));
    }

    /// What a reader makes of it.
    fn read_back(&mut self, path: &str) {
        let key = KeyReference::Path(Text::from(path));
        let name = self.value_name();
        let action = match self.rng.random_range(0..5) {
            0 => Action::Batch { key, capacity: None },
            1 => Action::List { key },
            2 => Action::Info { key, name_capacity: None },
            _ => Action::Get { key, name, data_capacity: None, layer_capacity: None },
        };
        self.act(3, action);
    }

    /// A key record of a hive of this source goes away.
    fn lose_record(&mut self, source: usize) {
        let hives = &self.plan.sources[source];
        let held = |path: &&String| {
            let hive = path.split('\\').next().unwrap_or_default();
            hives.iter().any(|held| held.name == hive) && !is_on_the_way_to_layers(path)
        };
        let paths: Vec<String> = self.paths.iter().filter(held).cloned().collect();
        if !paths.is_empty() {
            let path = paths[self.rng.random_range(0..paths.len())].clone();
            self.store(path, StoredRecord::Lost);
        }
    }

    /// A path that probably exists, in the generator's own spelling.
    pub(super) fn stored_path(&mut self) -> String {
        if self.paths.is_empty() || self.chance(12) {
            return "Machine".to_owned();
        }
        self.paths[self.rng.random_range(0..self.paths.len())].clone()
    }

    fn known_layer(&mut self) -> String {
        let index = self.rng.random_range(0..self.layers.len());
        let layer = self.layers[index].clone();
        if layer.is_empty() { "base".to_owned() } else { layer }
    }

    fn stored_layer(&mut self) -> String {
        if self.chance(3) {
            let odd = if self.chance(4) { ODD_LAYERS.len() } else { 3 };
            return ODD_LAYERS[self.rng.random_range(0..odd)].to_owned();
        }
        self.known_layer()
    }

    /// Mostly a number that was given out, or that of another entry at the same place.
    fn stored_sequence(&mut self) -> StoredSequence {
        match self.rng.random_range(0..16) {
            0 => StoredSequence::Number(FUTURE),
            1 => StoredSequence::Number(0),
            2..6 => StoredSequence::Of(self.known_layer()),
            _ => StoredSequence::Number(self.rng.random_range(1..self.sequence + 2)),
        }
    }
}

/// Whether a refresh of the layers meets the path before it is at any layer.
pub(super) fn is_on_the_way_to_layers(path: &str) -> bool {
    ["machine\\system", "machine\\system\\registry", "machine\\system\\registry\\layers"]
        .contains(&fold(path).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Profile, plan_of_seed};

    fn records(profile: Profile) -> Vec<StoredRecord> {
        let plans = (0..300).map(|seed| plan_of_seed(seed, profile, 200));
        let steps = plans.flat_map(|plan| plan.steps);
        let record = |step| match step {
            Step::Fault(Fault::StoreEntry(entry)) => Some(entry.record),
            _ => None,
        };
        steps.filter_map(record).collect()
    }

    #[test]
    fn every_kind_of_record_is_stored_now_and_then() {
        let records = records(Profile::Default);
        let count =
            |kind: fn(&StoredRecord) -> bool| records.iter().filter(|record| kind(record)).count();
        assert!(count(|record| matches!(record, StoredRecord::Value { .. })) > 100);
        assert!(count(|record| matches!(record, StoredRecord::Blanket { .. })) > 50);
        assert!(count(|record| matches!(record, StoredRecord::Child { .. })) > 50);
        assert!(count(|record| matches!(record, StoredRecord::Descriptor { .. })) > 20);
        assert!(count(|record| matches!(record, StoredRecord::Lost)) > 5);
    }

    #[test]
    fn a_calm_plan_stores_nothing() {
        assert_eq!(records(Profile::Calm), []);
    }
}
