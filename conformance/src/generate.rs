//! Plans made from seeds, aimed at collisions.
//!
//! Few names, few layers, mostly equal precedences, the same keys from several handles and
//! actors. Swarm style: each seed draws which features are on and how often (Groce et al.,
//! "Swarm Testing", 2012; here a weight is drawn for each feature instead of a yes or no).
//! The generator keeps a rough belief of what exists, so that most calls succeed; it never asks
//! the model.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use registry_model::errno::Errno;
use registry_model::security::Token;

use crate::plan::{Action, Actor, Fault, Handle, KeyReference, Plan, Step, Text};

/// What a campaign exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Calls and layer changes, with deaths of sources and reboots in between.
    Default,
    /// The same without any fault.
    Calm,
    /// Many more deaths and reboots.
    Crash,
}

impl Profile {
    /// Every profile with its name.
    pub const ALL: &[(&str, Profile)] =
        &[("default", Profile::Default), ("calm", Profile::Calm), ("crash", Profile::Crash)];

    /// The errnos that a campaign of a hundred seeds must have met.
    pub fn reachable_errnos(self) -> Vec<Errno> {
        let mut errnos = vec![
            Errno::ENOENT,
            Errno::EBADF,
            Errno::EAGAIN,
            Errno::EACCES,
            Errno::EINVAL,
            Errno::ENOSPC,
            Errno::ERANGE,
            Errno::ENAMETOOLONG,
            Errno::ENOTEMPTY,
        ];
        if self != Profile::Calm {
            errnos.push(Errno::EIO);
        }
        errnos
    }

    fn fault_weight_max(self) -> u32 {
        match self {
            Profile::Default => 3,
            Profile::Calm => 0,
            Profile::Crash => 20,
        }
    }
}

/// The plan of a seed: about `calls` calls.
pub fn plan_of_seed(seed: u64, profile: Profile, calls: usize) -> Plan {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    Generator::new(rng, profile).plan(calls)
}

/// Plans of any seed, for property tests.
pub fn plans(profile: Profile, calls: usize) -> impl Strategy<Value = Plan> {
    any::<u64>().prop_map(move |seed| plan_of_seed(seed, profile, calls))
}

const KEY_NAMES: &[&str] = &["Alpha", "ALPHA", "beta", "Ärger", "äRGER", "straße", "System"];
const VALUE_NAMES: &[&str] = &["Mode", "mode", "", "Größe", "GRÖSSE", "a\\b"];
const LAYER_NAMES: &[&str] = &["role-a", "Role-A", "role-b", "gpo", "GPO", "Überlagerung", "base"];
const PRECEDENCES: &[u32] = &[0, 0, 0, 0, 0, 1, 5];
const HANDLES: &[&str] = &["h1", "h2", "h3", "h4"];
const ACCESS: &[u32] =
    &[0x000F_003F, 0x000F_003F, 0x000F_003F, 0x0200_0000, 0x0002_0019, 0x0002_0006];

/// The features that a seed weighs.
const FEATURES: usize = 21;
type Feature = fn(&mut Generator);

struct Generator {
    rng: TestRng,
    profile: Profile,
    plan: Plan,
    /// Rough number of calls so far.
    calls: usize,
    /// Paths that probably exist.
    paths: Vec<String>,
    /// Layers that probably exist, base included as the empty name.
    layers: Vec<String>,
    open: Vec<(usize, Handle)>,
    /// Rough value of the sequence counter.
    sequence: u64,
    down: Vec<bool>,
    actor: usize,
    /// The value name of every second access; the first path is met often, too.
    hot_name: usize,
}

impl Generator {
    fn new(rng: TestRng, profile: Profile) -> Generator {
        Generator {
            rng,
            profile,
            plan: Plan::default(),
            calls: 0,
            paths: Vec::new(),
            layers: vec![String::new()],
            open: Vec::new(),
            sequence: 1,
            down: Vec::new(),
            actor: 0,
            hot_name: 0,
        }
    }

    fn plan(mut self, calls: usize) -> Plan {
        self.set_the_stage();
        let weights = self.weights();
        // Every action counts at least one call, so this ends.
        // About a quarter of the calls is not made, since an earlier one of its action fails.
        while self.calls < calls + calls / 3 {
            self.actor = self.rng.random_range(0..self.plan.actors.len());
            let feature = self.draw(&weights);
            feature(&mut self);
        }
        self.restart_all();
        self.plan
    }

    /// Actors, sources, a small tree and a few layers.
    fn set_the_stage(&mut self) {
        for name in ["alice", "bob"].iter().take(self.rng.random_range(1..=2)) {
            self.plan.actors.push(Actor { name: (*name).to_owned(), token: Token::system() });
        }
        let hives = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.plan.sources = match self.rng.random_range(0..4) {
            0 => vec![hives(&["Machine"]), hives(&["Users"])],
            1 => vec![hives(&["Machine"])],
            _ => vec![hives(&["Machine", "Users"])],
        };
        self.down = vec![false; self.plan.sources.len()];
        self.hot_name = self.rng.random_range(0..VALUE_NAMES.len());
        for _ in 0..self.rng.random_range(1..=3) {
            self.create_key();
        }
        for _ in 0..self.rng.random_range(2..=4) {
            self.create_layer();
        }
    }

    fn weights(&mut self) -> Vec<(u32, Feature)> {
        let fault_max = self.profile.fault_weight_max();
        let table: [(u32, u32, Feature); FEATURES] = [
            (20, 50, Generator::get),
            (20, 50, Generator::set),
            (0, 8, Generator::tombstone),
            (0, 8, Generator::unset),
            (0, 8, Generator::blanket),
            (0, 6, Generator::batch),
            (0, 4, Generator::enumerate),
            (0, 4, Generator::list),
            (0, 4, Generator::info),
            (2, 10, Generator::create_key),
            (0, 5, Generator::delete_key),
            (0, 4, Generator::hide_key),
            (2, 8, Generator::open_handle),
            (0, 3, Generator::close_handle),
            (1, 5, Generator::create_layer),
            (0, 6, Generator::change_layer),
            (0, 4, Generator::delete_layer),
            (0, 4, Generator::set_if),
            (0, 4, Generator::bad_call),
            (0, 1, Generator::compare_or_flush),
            (0, fault_max, Generator::fault),
        ];
        table
            .into_iter()
            .map(|(low, high, feature)| (self.rng.random_range(low..=high), feature))
            .collect()
    }

    fn draw(&mut self, weights: &[(u32, Feature)]) -> Feature {
        let total: u32 = weights.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.random_range(0..total);
        for (weight, feature) in weights {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *feature,
            }
        }
        unreachable!("the draw is below the total")
    }

    // What actions are made of.

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.random_range(0..from.len())]
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_range(0..one_in) == 0
    }

    fn path(&mut self) -> Text {
        if self.paths.is_empty() || self.chance(20) {
            return Text::from(self.fresh_path().as_str());
        }
        // Early paths are met more often than late ones.
        let limit = self.rng.random_range(0..self.paths.len()) + 1;
        let mut path = self.paths[self.rng.random_range(0..limit)].clone();
        if self.chance(8) {
            path = path.to_uppercase();
        }
        if self.chance(15) {
            path = path.replace('\\', "/");
        }
        Text::from(path.as_str())
    }

    /// A path one step below a hive root or a path that probably exists.
    fn fresh_path(&mut self) -> String {
        let users = self.plan.sources.iter().flatten().any(|hive| hive == "Users");
        let parent = if self.paths.is_empty() || self.chance(3) {
            if users && self.chance(5) { "Users".to_owned() } else { "Machine".to_owned() }
        } else {
            self.paths[self.rng.random_range(0..self.paths.len())].clone()
        };
        let deep = parent.split('\\').count() >= 4;
        let parent = if deep { "Machine".to_owned() } else { parent };
        format!("{parent}\\{}", self.pick(KEY_NAMES))
    }

    fn value_name(&mut self) -> Text {
        if self.chance(2) {
            return Text::from(VALUE_NAMES[self.hot_name]);
        }
        Text::from(self.pick(VALUE_NAMES))
    }

    /// A layer that probably exists; base is the empty name or, sometimes, its own.
    fn layer(&mut self) -> Text {
        if self.chance(30) {
            return Text::from(self.pick(LAYER_NAMES));
        }
        let index = self.rng.random_range(0..self.layers.len());
        Text::from(self.layers[index].as_str())
    }

    fn key(&mut self) -> KeyReference {
        let mine: Vec<Handle> = self
            .open
            .iter()
            .filter(|(actor, _)| *actor == self.actor)
            .map(|(_, handle)| handle.clone())
            .collect();
        if self.chance(3) && !self.paths.is_empty() {
            return KeyReference::Path(Text::from(self.paths[0].as_str()));
        }
        if mine.is_empty() || self.chance(2) {
            return KeyReference::Path(self.path());
        }
        KeyReference::Handle(mine[self.rng.random_range(0..mine.len())].clone())
    }

    fn data(&mut self) -> (u32, Vec<u8>) {
        match self.rng.random_range(0..4) {
            0 => (1, b"text\0".to_vec()),
            1 => (4, self.rng.random_range(0..4u32).to_le_bytes().to_vec()),
            2 => (11, self.rng.random_range(0..4u64).to_le_bytes().to_vec()),
            _ => {
                let kind = self.rng.random_range(0..=11);
                let length = self.rng.random_range(0..20);
                (kind, (0..length).map(|_| self.rng.random_range(0..=255)).collect())
            }
        }
    }

    fn act(&mut self, calls: usize, action: Action) {
        self.calls += calls;
        self.plan.steps.push(Step::Act { actor: self.actor, action });
    }

    // The features, in the order of the table.

    fn get(&mut self) {
        let (key, name) = (self.key(), self.value_name());
        let data_capacity = self.chance(12).then(|| self.rng.random_range(0..6));
        let layer_capacity = self.chance(12).then(|| self.rng.random_range(0..6));
        self.act(3, Action::Get { key, name, data_capacity, layer_capacity });
    }

    fn set(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let (value_type, data) = self.data();
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    fn tombstone(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let data = if self.chance(10) { vec![1] } else { Vec::new() };
        self.sequence += 1;
        let action =
            Action::Set { key, name, value_type: 0xFFFF, data, layer, expected_sequence: 0 };
        self.act(3, action);
    }

    fn unset(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        self.act(3, Action::Unset { key, name, layer });
    }

    fn blanket(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        let set = match self.rng.random_range(0..20) {
            0 => 2,
            1..=8 => 0,
            _ => 1,
        };
        self.sequence += u64::from(set == 1);
        self.act(3, Action::Blanket { key, layer, set });
    }

    fn batch(&mut self) {
        let key = self.key();
        let capacity = self.chance(5).then(|| self.rng.random_range(0..40));
        self.act(3, Action::Batch { key, capacity });
    }

    fn enumerate(&mut self) {
        let key = self.key();
        let index = self.rng.random_range(0..4);
        let name_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        let data_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        let action = if self.chance(2) {
            Action::EnumerateValue { key, index, name_capacity, data_capacity }
        } else {
            Action::EnumerateSubkey { key, index, name_capacity }
        };
        self.act(3, action);
    }

    fn list(&mut self) {
        let key = self.key();
        self.act(5, Action::List { key });
    }

    fn info(&mut self) {
        let key = self.key();
        let name_capacity = self.chance(5).then(|| self.rng.random_range(0..6));
        self.act(3, Action::Info { key, name_capacity });
    }

    fn create_key(&mut self) {
        let path = self.fresh_path();
        let layer = (!self.chance(3)).then(|| self.layer()).filter(|layer| !layer.0.is_empty());
        let flags = u32::from(self.chance(8));
        let handle = (!self.chance(3)).then(|| Handle(self.pick(HANDLES).to_owned()));
        if let Some(handle) = &handle {
            self.remember(handle.clone());
        }
        let access = ACCESS[self.rng.random_range(0..ACCESS.len())];
        self.sequence += 1;
        if !self.paths.contains(&path) {
            self.paths.push(path.clone());
        }
        let path = Text::from(path.as_str());
        self.act(2, Action::Create { handle, parent: None, path, access, flags, layer });
    }

    fn delete_key(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        self.act(3, Action::Delete { key: key.clone(), layer });
        self.often_create_again(&key);
    }

    fn hide_key(&mut self) {
        let (key, layer) = (self.key(), self.layer());
        self.sequence += 1;
        self.act(3, Action::Hide { key: key.clone(), layer });
        self.often_create_again(&key);
    }

    /// A key that was deleted or hidden by its path often comes back at once, mostly in another
    /// layer.
    fn often_create_again(&mut self, key: &KeyReference) {
        let KeyReference::Path(path) = key else { return };
        if self.chance(3) {
            return;
        }
        let (path, layer) = (path.clone(), Some(self.layer()).filter(|layer| !layer.0.is_empty()));
        self.sequence += 1;
        let create =
            Action::Create { handle: None, parent: None, path, access: 1, flags: 0, layer };
        self.act(2, create);
    }

    fn open_handle(&mut self) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let parents: Vec<Handle> = self
            .open
            .iter()
            .filter(|(actor, open)| *actor == self.actor && *open != handle)
            .map(|(_, open)| open.clone())
            .collect();
        let relative = !parents.is_empty() && self.chance(5);
        let (parent, path) = if relative {
            let parent = parents[self.rng.random_range(0..parents.len())].clone();
            (Some(parent), Text::from(self.pick(KEY_NAMES)))
        } else {
            (None, self.path())
        };
        let access = ACCESS[self.rng.random_range(0..ACCESS.len())];
        self.remember(handle.clone());
        if relative && self.chance(3) {
            let layer = Some(self.layer()).filter(|layer| !layer.0.is_empty());
            let handle = Some(handle);
            self.act(2, Action::Create { handle, parent, path, access, flags: 0, layer });
        } else {
            self.act(2, Action::Open { handle, parent, path, access, flags: 0 });
        }
    }

    fn remember(&mut self, handle: Handle) {
        let entry = (self.actor, handle);
        if !self.open.contains(&entry) {
            self.open.push(entry);
        }
    }

    fn close_handle(&mut self) {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let entry = (self.actor, handle.clone());
        self.open.retain(|open| *open != entry);
        self.act(1, Action::Close { handle });
    }

    fn create_layer(&mut self) {
        let name = self.pick(LAYER_NAMES).to_owned();
        if !self.layers.contains(&name) {
            self.layers.push(name.clone());
        }
        let precedence = if self.chance(3) {
            None
        } else {
            Some(PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())])
        };
        let enabled = self.chance(8).then_some(0);
        self.sequence += 2;
        let name = Text::from(name.as_str());
        self.act(4, Action::LayerCreate { name, precedence, enabled });
    }

    /// A change of precedence or of enabled state, mostly by values in base, sometimes by
    /// values in another layer, sometimes of the wrong type or range.
    fn change_layer(&mut self) {
        let name = self.layer();
        let precedence = PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())];
        let (value, number) = if self.chance(2) {
            ("Precedence", precedence)
        } else {
            ("Enabled", u32::from(!self.chance(3)))
        };
        self.sequence += 1;
        if !self.chance(4) {
            let precedence = (value == "Precedence").then_some(number);
            let enabled = (value == "Enabled").then_some(number);
            self.act(3, Action::LayerSet { name, precedence, enabled });
            return;
        }
        let mut path = b"Machine\\System\\Registry\\Layers\\".to_vec();
        path.extend(&name.0);
        let key = KeyReference::Path(Text(path));
        let layer = self.layer();
        let (name, data) = (Text::from(value), number.to_le_bytes().to_vec());
        let action = match self.rng.random_range(0..6) {
            0 => Action::Set { key, name, value_type: 1, data, layer, expected_sequence: 0 },
            1 => {
                let data = vec![7, 0, 0, 0];
                Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 }
            }
            2 => Action::Unset { key, name, layer },
            3 => Action::Blanket { key, layer, set: 1 },
            _ => Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 },
        };
        self.act(3, action);
    }

    /// Deletes or hides a layer's metadata key.
    fn delete_layer(&mut self) {
        let name = self.layer();
        if self.chance(4) {
            let mut path = b"Machine\\System\\Registry\\Layers\\".to_vec();
            path.extend(&name.0);
            let key = KeyReference::Path(Text(path));
            let layer = self.layer();
            self.act(3, Action::Hide { key, layer });
        } else {
            self.act(3, Action::LayerDelete { name });
        }
    }

    /// A conditional write, aimed at the sequence number of a write just before it.
    fn set_if(&mut self) {
        let (key, name, layer) = (self.key(), self.value_name(), self.layer());
        let (value_type, data) = self.data();
        let back = self.rng.random_range(0..6);
        let expected_sequence = self.sequence.saturating_sub(back).max(1);
        self.sequence += 1;
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence });
    }

    /// A call that is wrong in itself.
    fn bad_call(&mut self) {
        let key = self.key();
        let handle = Handle("wrong".to_owned());
        let open = |path: Text, access, flags| Action::Open {
            handle: Handle("wrong".to_owned()),
            parent: None,
            path,
            access,
            flags,
        };
        let set = |key, name, value_type, data, layer| Action::Set {
            key,
            name,
            value_type,
            data,
            layer,
            expected_sequence: 0,
        };
        let name = Text::from("Mode");
        let base = Text::default();
        let action = match self.rng.random_range(0..16) {
            0 => open(Text::from("Machine\\\\Alpha"), 0x0002_0019, 0),
            1 => open(Text::from("Machine\\Alpha\\"), 0x0002_0019, 0),
            2 => open(Text::from("Nowhere\\Alpha"), 0x0002_0019, 0),
            3 => open(Text(b"Machine\\\xFF".to_vec()), 0x0002_0019, 0),
            4 => open(self.path(), 0, 0),
            5 => open(self.path(), 0x0010_0000, 0),
            6 => open(self.path(), 0x0002_0019, 2),
            7 => open(Text::from(format!("Machine\\{}", "n".repeat(256)).as_str()), 1, 0),
            8 => set(key, name, 12, vec![1], base),
            9 => set(key, Text("v".repeat(256).into_bytes()), 1, vec![1], base),
            10 => set(key, Text(vec![b'v', 0]), 1, vec![1], base),
            11 => set(key, name, 1, vec![1], Text::from("no such layer")),
            12 => set(key, name, 1, vec![1], Text::from("bad\\layer")),
            13 if self.chance(4) => set(key, name, 3, vec![0; 1_048_577], base),
            14 => Action::Delete { key: KeyReference::Path(Text::from("Machine")), layer: base },
            _ => Action::Close { handle },
        };
        self.act(2, action);
    }

    fn compare_or_flush(&mut self) {
        if self.chance(2) {
            let key = self.key();
            self.act(3, Action::Flush { key });
        } else {
            self.calls += 1;
            self.plan.steps.push(Step::CompareViews);
        }
    }

    fn fault(&mut self) {
        self.calls += 1;
        let source = self.rng.random_range(0..self.plan.sources.len());
        let fault = if self.down[source] {
            self.down[source] = false;
            Fault::RestartSource { source }
        } else {
            match self.rng.random_range(0..5) {
                0 => {
                    self.open.clear();
                    self.down.fill(false);
                    Fault::Reboot
                }
                1 | 2 => {
                    self.down[source] = true;
                    Fault::KillSource { source }
                }
                _ => {
                    self.down[source] = true;
                    let request = self.rng.random_range(1..20);
                    let executed = self.chance(2);
                    Fault::KillSourceAt { source, request, executed }
                }
            }
        };
        self.plan.steps.push(Step::Fault(fault));
        // A dead source makes everything fail; most come back soon.
        if self.down[source] && !self.chance(5) {
            for _ in 0..self.rng.random_range(0..6) {
                self.get();
            }
            self.down[source] = false;
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        }
    }

    fn restart_all(&mut self) {
        for source in 0..self.plan.sources.len() {
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_twice() {
        assert_eq!(plan_of_seed(7, Profile::Default, 200), plan_of_seed(7, Profile::Default, 200));
        assert_ne!(plan_of_seed(7, Profile::Default, 200), plan_of_seed(8, Profile::Default, 200));
    }

    #[test]
    fn a_calm_plan_has_no_deaths() {
        for seed in 0..50 {
            let plan = plan_of_seed(seed, Profile::Calm, 100);
            assert!(plan.steps.iter().all(|step| matches!(
                step,
                Step::Act { .. } | Step::CompareViews | Step::Fault(Fault::RestartSource { .. })
            )));
        }
    }
}
