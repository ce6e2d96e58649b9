//! The lifecycle profile: watches, transactions and the kernel's own settings on a small tree.
//!
//! Few keys and names meet watches on them and above them, and most changes are followed by reading
//! the events of a watch that has probably seen them. Transactions overlap in their keys and end in
//! every way that there is. A rough belief of which fds are armed and which transactions are open
//! keeps most calls successful.

mod changes;
mod refusals;
mod settings;
mod stalls;
mod streams;
#[cfg(test)]
mod tests;
mod transactions;
mod watches;

use std::sync::Arc;

use proptest::prelude::*;
use registry_model::security::{Token, TokenFields};

use super::{Feature, Generator, HANDLES, LAYER_NAMES, Profile, VALUE_NAMES};
use crate::plan::{Action, Actor, Handle, KeyReference, SourceHive, Text};
use settings::Settings;
use transactions::OpenTransaction;
use watches::Watched;

/// All rights to a registry key.
pub(super) const ALL_ACCESS: u32 = 0x000F_003F;
/// The tree that every plan starts with, as far as it has the hives.
const TREE: &[&str] =
    &["Machine\\Alpha", "Machine\\Alpha\\beta", "Machine\\Alpha\\beta\\Ärger", "Users\\Alpha"];

/// Layers that watchers may carry; they are private while they are disabled.
const PRIVATE_LAYERS: &[&str] = &["role-a", "role-b", "gpo", "Überlagerung"];

/// What the lifecycle profile knows of a run; empty in the others.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    watched: Vec<Watched>,
    /// Transactions that are probably open.
    transactions: Vec<OpenTransaction>,
    settings: Settings,
    /// Streams that a backup has probably filled, with the path of its key.
    streams: Vec<(String, String)>,
    /// Numbers the data of writes that have to differ from those before.
    written: u32,
}

impl Lifecycle {
    /// Every fd is gone.
    pub(super) fn rebooted(&mut self) {
        self.watched.clear();
        self.transactions.clear();
    }
}

impl Generator {
    /// Actors, sources, a small tree with values in several layers, and the first watches.
    pub(super) fn set_the_watched_stage(&mut self) {
        for name in ["alice", "bob"].iter().take(self.rng.random_range(1..=2)) {
            let token = self.token_of_watcher();
            self.plan.actors.push(Actor { name: (*name).to_owned(), token });
        }
        let hives = |names: &[&str]| names.iter().map(|name| SourceHive::global(name)).collect();
        self.plan.sources = match self.rng.random_range(0..6) {
            0 => vec![hives(&["Machine"])],
            1 | 2 => vec![hives(&["Machine"]), hives(&["Users"])],
            _ => vec![hives(&["Machine", "Users"])],
        };
        self.down = vec![false; self.plan.sources.len()];
        self.hot_name = self.rng.random_range(0..VALUE_NAMES.len());
        let has_users = self.plan.sources.iter().flatten().any(|hive| hive.name == "Users");
        let tree = TREE.iter().filter(|path| has_users || path.starts_with("Machine"));
        self.paths.extend(tree.map(|path| (*path).to_owned()));
        for path in self.paths.clone() {
            let handle = self.chance(2).then(|| Handle(self.pick(HANDLES).to_owned()));
            if let Some(handle) = &handle {
                self.remember(handle.clone());
            }
            let (path, access) = (Text::from(path.as_str()), ALL_ACCESS);
            self.sequence += 1;
            self.act(
                2,
                Action::Create { handle, parent: None, path, access, flags: 0, layer: None },
            );
        }
        for _ in 0..self.rng.random_range(2..=4) {
            self.create_layer();
        }
        self.make_layers_private();
        if self.chance(2) {
            self.shorten_lifetimes();
        }
        for _ in 0..self.rng.random_range(1..=3) {
            self.arm();
        }
        for path in self.paths.clone().into_iter().take(3) {
            for _ in 0..2 {
                self.set_hot_value(&path);
            }
        }
    }

    /// SYSTEM, at times with private layers: these decide what it reads, and nothing of what it is told.
    fn token_of_watcher(&mut self) -> Token {
        let system = Token::system();
        if !self.chance(3) {
            return system;
        }
        let first = self.rng.random_range(0..PRIVATE_LAYERS.len());
        let last = self.rng.random_range(first..PRIVATE_LAYERS.len());
        let private_layers =
            PRIVATE_LAYERS[first..=last].iter().map(|layer| (*layer).to_owned()).collect();
        Token(Arc::new(TokenFields { private_layers, ..TokenFields::clone(&system.0) }))
    }

    /// Disables some layers that watchers carry: only these see them now.
    fn make_layers_private(&mut self) {
        let carried = self.plan.actors.iter().flat_map(|actor| &actor.token.0.private_layers);
        let carried: Vec<String> = carried.cloned().collect();
        for name in carried {
            if self.chance(2) {
                let (name, precedence) = (Text::from(name.as_str()), self.rng.random_range(1..=4));
                let precedence = Some(precedence);
                self.act(4, Action::LayerCreate { name, precedence, enabled: Some(0) });
            }
        }
    }

    /// The features with the lowest and the highest weight that a seed may give.
    pub(super) fn watched_features(&self) -> Vec<(u32, u32, Feature)> {
        vec![
            (20, 40, Generator::get),
            (0, 3, Generator::batch),
            (0, 3, Generator::enumerate),
            (0, 3, Generator::list),
            (0, 4, Generator::info),
            (1, 4, Generator::create_key),
            (1, 4, Generator::open_handle),
            (0, 2, Generator::close_handle),
            (1, 4, Generator::create_layer),
            (1, 3, Generator::bad_call),
            (0, 1, Generator::compare_or_flush),
            (0, 1, Generator::fault),
            (1, 5, Generator::raw_call),
            (0, Profile::Lifecycle.stored_weight_max(), Generator::store_entry),
            (0, 1, Generator::register),
            (0, 1, Generator::lose_device),
            (25, 50, Generator::change),
            (2, 8, Generator::change_place),
            (1, 5, Generator::change_of_layer),
            (0, 2, Generator::restart),
            (3, 8, Generator::arm),
            (1, 4, Generator::rearm),
            (1, 3, Generator::disarm_unread),
            (1, 3, Generator::poll_watch),
            (0, 2, Generator::pass_watch),
            (0, 2, Generator::close_watch),
            (0, 2, Generator::mistake_key),
            (1, 4, Generator::orphan),
            (1, 4, Generator::reappear),
            (1, 3, Generator::overflow),
            (0, 2, Generator::watch_deeply),
            (0, 1, Generator::burst),
            (4, 10, Generator::transact),
            (1, 4, Generator::transact_twice),
            (2, 5, Generator::outlive),
            (0, 3, Generator::commit_and_die),
            (1, 3, Generator::refuse_commit),
            (0, 1, Generator::lose_transactions),
            (0, 4, Generator::stall),
            (0, 3, Generator::stall_inside),
            (0, 3, Generator::stall_before_others),
            (1, 3, Generator::bind_too_many),
            (1, 3, Generator::transact_on_layers),
            (0, 3, Generator::leave_open),
            (0, 3, Generator::use_open),
            (2, 6, Generator::set_parameter),
            (1, 3, Generator::meet_limit),
            (0, 2, Generator::unset_parameter),
            (0, 1, Generator::lose_parameters),
            (1, 3, Generator::back_up_and_restore),
            (0, 2, Generator::back_up_something),
            (0, 2, Generator::restore_something),
            (0, 3, Generator::transfer_at_a_stalling_source),
        ]
    }

    /// Writes the name that most calls are about, in some layer.
    fn set_hot_value(&mut self, path: &str) {
        let (key, name) = (KeyReference::Path(Text::from(path)), VALUE_NAMES[self.hot_name]);
        let (layer, (value_type, data)) = (self.layer(), self.data());
        self.sequence += 1;
        let name = Text::from(name);
        self.act(1, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    fn handle(&mut self, names: &[&str]) -> Handle {
        Handle(self.pick(names).to_owned())
    }

    /// Data that differs from every other.
    pub(super) fn fresh_data(&mut self) -> (u32, Vec<u8>) {
        self.life.written += 1;
        (4, self.life.written.to_le_bytes().to_vec())
    }

    /// A layer of the plan by its name, base excepted if there is another.
    fn some_layer(&mut self) -> String {
        let named: Vec<String> =
            self.layers.iter().filter(|layer| !layer.is_empty()).cloned().collect();
        match named.len() {
            0 => self.pick(LAYER_NAMES).to_owned(),
            count => named[self.rng.random_range(0..count)].clone(),
        }
    }

    /// A path that probably exists, in the generator's own spelling.
    pub(super) fn some_path(&mut self) -> String {
        let few = self.paths.len().min(TREE.len() + 2);
        self.paths[self.rng.random_range(0..few)].clone()
    }

    fn by_path(path: &str) -> KeyReference {
        KeyReference::Path(Text::from(path))
    }

    /// The position of the source that serves a path.
    pub(super) fn source_of(&self, path: &str) -> usize {
        let hive = path.split('\\').next().unwrap_or_default();
        let serves = |hives: &Vec<SourceHive>| hives.iter().any(|served| served.name == hive);
        self.plan.sources.iter().position(serves).unwrap_or(0)
    }
}
