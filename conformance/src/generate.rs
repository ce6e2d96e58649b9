//! Plans made from seeds, aimed at collisions.
//!
//! Few names, few layers, mostly equal precedences, the same keys from several handles and
//! actors. Swarm style: each seed draws which features are on and how often (Groce et al.,
//! "Swarm Testing", 2012; here a weight is drawn for each feature instead of a yes or no).
//! The generator keeps a rough belief of what exists, so that most calls succeed; it never asks
//! the model.

mod breaches;
mod chaos;
mod features;
mod lifecycle;
pub mod on_threads;
mod power;
mod registrations;
mod security;
mod stored;
mod twists;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use registry_model::errno::Errno;
use registry_model::security::Token;

use crate::plan::{Action, Actor, Handle, KeyReference, Plan, SourceHive, Step, Text};
use crate::statistics::Sight;

/// What a campaign exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Calls and layer changes, with deaths of sources and reboots in between.
    Default,
    /// The same without any fault.
    Calm,
    /// Many more deaths and reboots, and power losses, and disks that fail.
    Crash,
    /// Callers with different rights, SDs that change, layers that only some may write, links,
    /// private layers and hives. Faults are rare.
    Security,
    /// Watches, transactions and the kernel's own settings. Faults are rare.
    Lifecycle,
    /// What the lifecycle profile has, and blocks of calls that overlap.
    Chaos,
}

impl Profile {
    /// Every profile with its name.
    pub const ALL: &[(&str, Profile)] = &[
        ("default", Profile::Default),
        ("calm", Profile::Calm),
        ("crash", Profile::Crash),
        ("security", Profile::Security),
        ("lifecycle", Profile::Lifecycle),
        ("chaos", Profile::Chaos),
    ];

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
            Errno::EFAULT,
            Errno::ENOTTY,
        ];
        if self != Profile::Calm {
            errnos.push(Errno::EIO);
        }
        if self == Profile::Security {
            errnos.extend([Errno::EPERM, Errno::ELOOP]);
        }
        if matches!(self, Profile::Lifecycle | Profile::Chaos) {
            errnos.extend([Errno::EXDEV, Errno::ETIMEDOUT, Errno::EBUSY]);
        }
        errnos
    }

    /// What a campaign of a hundred seeds must have seen.
    pub fn sights(self) -> &'static [Sight] {
        match self {
            Profile::Lifecycle => Sight::OF_LIFE,
            Profile::Chaos => Sight::ALL,
            _ => &[],
        }
    }

    /// How often records are put into stores behind the kernel's back.
    fn stored_weight_max(self) -> u32 {
        match self {
            Profile::Default | Profile::Crash => 6,
            Profile::Security => 3,
            Profile::Lifecycle | Profile::Chaos => 1,
            Profile::Calm => 0,
        }
    }

    fn fault_weight_max(self) -> u32 {
        match self {
            Profile::Default => 3,
            Profile::Calm => 0,
            Profile::Crash => 20,
            Profile::Security | Profile::Lifecycle | Profile::Chaos => 1,
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
    /// Late hives whose source is probably connected, with the name of its device.
    late: Vec<(usize, Handle)>,
    /// Devices opened so far.
    devices: usize,
    /// The value name of every second access; the first path is met often, too.
    hot_name: usize,
    /// What the security profile knows beyond that.
    scene: security::Scene,
    /// What the lifecycle profile knows beyond that.
    life: lifecycle::Lifecycle,
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
            late: Vec::new(),
            devices: 0,
            hot_name: 0,
            scene: security::Scene::default(),
            life: lifecycle::Lifecycle::default(),
        }
    }

    fn plan(mut self, calls: usize) -> Plan {
        match self.profile {
            Profile::Security => self.set_the_secured_stage(),
            Profile::Lifecycle | Profile::Chaos => self.set_the_watched_stage(),
            _ => self.set_the_stage(),
        }
        let weights = self.weights();
        // Every action counts at least one call, so this ends.
        // About a quarter of the calls is not made, since an earlier one of its action fails.
        while self.calls < calls + calls / 3 {
            self.actor = self.next_actor();
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
        let hives = |names: &[&str]| names.iter().map(|name| SourceHive::global(name)).collect();
        self.plan.sources = match self.rng.random_range(0..4) {
            0 => vec![hives(&["Machine"]), hives(&["Users"])],
            1 => vec![hives(&["Machine"])],
            2 if self.chance(2) => vec![hives(&["Users"]), hives(&["Machine"])],
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
        let table = match self.profile {
            Profile::Security => self.secured_features(),
            Profile::Lifecycle => self.watched_features(),
            Profile::Chaos => self.chaotic_features(),
            _ => self.features(),
        };
        table
            .into_iter()
            .map(|(low, high, feature)| (self.rng.random_range(low..=high), feature))
            .collect()
    }

    /// The features with the lowest and the highest weight that a seed may give.
    fn features(&self) -> Vec<(u32, u32, Feature)> {
        let fault_max = self.profile.fault_weight_max();
        let mut table: Vec<(u32, u32, Feature)> = vec![
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
            (0, fault_max.min(2), Generator::delete_layer_while_down),
            (0, 12, Generator::raw_call),
            (0, self.profile.stored_weight_max(), Generator::store_entry),
            (0, fault_max.min(4), Generator::register),
            (0, fault_max.min(4), Generator::register_wrongly),
            (0, fault_max.min(2), Generator::lose_device),
        ];
        if self.profile == Profile::Crash {
            table.push((0, 8, Generator::lose_power));
            table.push((0, 8, Generator::lose_power_within));
            table.push((0, 3, Generator::trouble_a_disk));
            table.push((0, 2, Generator::dawdle));
        }
        table
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
        if let Some(path) = self.secured_path() {
            return Text::from(path.as_str());
        }
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

    /// A hive that is there from the start, or was registered late.
    fn hive(&mut self) -> String {
        let late: Vec<usize> = self.late.iter().map(|(group, _)| *group).collect();
        if !late.is_empty() && self.chance(3) {
            let group = late[self.rng.random_range(0..late.len())];
            let names = registrations::LATE_HIVES[group];
            return names[self.rng.random_range(0..names.len())].to_owned();
        }
        let users = self.plan.sources.iter().flatten().any(|hive| hive.name == "Users");
        if users && self.chance(5) { "Users".to_owned() } else { "Machine".to_owned() }
    }

    /// A path one step below a hive root or a path that probably exists.
    fn fresh_path(&mut self) -> String {
        let parent = if self.paths.is_empty() || self.chance(3) {
            self.hive()
        } else {
            self.paths[self.rng.random_range(0..self.paths.len())].clone()
        };
        let deep = parent.split('\\').count() >= 4;
        let parent = if deep { "Machine".to_owned() } else { parent };
        format!("{parent}\\{}", self.pick(KEY_NAMES))
    }

    fn value_name(&mut self) -> Text {
        if self.chance(2) || self.profile == Profile::Security && self.chance(2) {
            return Text::from(VALUE_NAMES[self.hot_name]);
        }
        Text::from(self.pick(VALUE_NAMES))
    }

    /// A layer that probably exists; base is the empty name or, sometimes, its own.
    fn layer(&mut self) -> Text {
        if let Some(layer) = self.secured_layer() {
            return Text::from(layer.as_str());
        }
        if self.chance(30) {
            return Text::from(self.pick(LAYER_NAMES));
        }
        let index = self.rng.random_range(0..self.layers.len());
        Text::from(self.layers[index].as_str())
    }

    fn key(&mut self) -> KeyReference {
        if let Some(key) = self.secured_key() {
            return key;
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Fault;

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
