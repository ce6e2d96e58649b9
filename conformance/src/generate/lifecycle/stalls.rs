//! Sources that stall for a while: calls that time out, and what comes late.
//!
//! Most calls go through fds that were opened before, so that they come as far as the request that matters.

use proptest::prelude::*;

use super::ALL_ACCESS;
use crate::generate::{Generator, HANDLES, KEY_NAMES};
use crate::plan::{Action, Fault, Handle, KeyReference, Step, Text};

/// How far into the calls that follow a stall may begin.
const REQUEST_MAX: u32 = 5;

/// The key about which calls meet a stalled source.
struct Met {
    handle: Handle,
    path: String,
    /// Whether it is the metadata key of a layer.
    is_layer: bool,
}

impl Met {
    fn key(&self) -> KeyReference {
        KeyReference::Handle(self.handle.clone())
    }
}

impl Generator {
    /// A source stalls before or in a call, a few calls meet it, and it answers late or dies.
    pub(in super::super) fn stall(&mut self) {
        let met = self.key_to_meet();
        let source = self.source_of(&met.path);
        if self.down[source] {
            return;
        }
        let (handle, path) = (met.handle.clone(), Text::from(met.path.as_str()));
        let access = ALL_ACCESS;
        self.act(1, Action::Open { handle: handle.clone(), parent: None, path, access, flags: 0 });
        self.remember(handle.clone());
        let transaction = self.chance(3).then(|| self.begin());
        if let Some(transaction) = &transaction
            && self.chance(2)
        {
            self.change_inside(transaction, &met);
        }
        self.begin_stall(source, REQUEST_MAX);
        for _ in 0..self.rng.random_range(1..=3) {
            self.meet_stall(&met, transaction.as_ref());
        }
        if self.chance(6) {
            self.die_over_a_call(source, &met, transaction.as_ref());
        } else {
            self.end_stall(source);
        }
        self.noted_all();
        self.look();
        self.look_at(&met);
        if let Some(transaction) = transaction {
            self.ask_for_state(&transaction);
            self.close_transaction(&transaction);
        }
        self.change();
    }

    /// A transaction of which a change, or the commit, is not answered in time: what its state is then, and
    /// when the answer has come, and what is told of it.
    pub(in super::super) fn stall_inside(&mut self) {
        let met = self.key_to_meet();
        let source = self.source_of(&met.path);
        if self.down[source] {
            return self.get();
        }
        let is_long = !self.chance(3) && self.life.transactions.is_empty();
        if is_long {
            self.lengthen_lifetimes();
        }
        let (handle, path) = (met.handle.clone(), Text::from(met.path.as_str()));
        let (parent, access, flags) = (None, ALL_ACCESS, 0);
        self.act(1, Action::Open { handle: handle.clone(), parent, path, access, flags });
        self.remember(handle);
        self.arm();
        let transaction = self.begin();
        self.change_inside(&transaction, &met);
        let (request, executed, at_commit) = (1, self.chance(2), self.chance(2));
        self.plan.steps.push(Step::Fault(Fault::StallSourceAt { source, request, executed }));
        if at_commit {
            self.commit(&transaction);
        } else {
            let change = self.change_of(met.key());
            self.within(&transaction, 1, change);
        }
        self.ask_for_state(&transaction);
        self.end_stall(source);
        self.ask_for_state(&transaction);
        if !at_commit {
            self.commit(&transaction);
        }
        self.noted_all();
        self.look();
        self.look_at(&met);
        self.close_transaction(&transaction);
        if is_long {
            // A lock that is held for long is waited for longer than this edition follows.
            self.shorten_lifetimes();
        }
    }

    /// A stalled source has something kept by which a key loses its name, or a transaction gets the write lock, and
    /// other changes behind that; and whoever has the key open may close it meanwhile.
    pub(in super::super) fn stall_before_others(&mut self) {
        let met = self.key_to_meet();
        let source = self.source_of(&met.path);
        if self.down[source] || !self.life.transactions.is_empty() {
            return self.get();
        }
        let (handle, path) = (met.handle.clone(), Text::from(met.path.as_str()));
        let (parent, access, flags) = (None, ALL_ACCESS, 0);
        self.act(1, Action::Open { handle: handle.clone(), parent, path, access, flags });
        self.remember(handle);
        self.arm();
        let mut transaction = self.chance(2).then(|| self.lock_in_flight(source, &met));
        let is_long = transaction.is_some();
        if !is_long {
            self.lose_the_name(source, &met);
        }
        for _ in 0..self.rng.random_range(1..=2) {
            let change = self.removal_from(met.key());
            self.act(1, change);
        }
        if let Some(transaction) = &transaction {
            self.commit(transaction);
        }
        if !self.chance(3) {
            let entry = (self.actor, met.handle.clone());
            self.open.retain(|open| *open != entry);
            self.act(1, Action::Close { handle: met.handle.clone() });
        }
        // Where somebody watches, a commit may have been given up before it was sent. What waits for the lock would
        // wait for longer than this edition follows.
        let may_be_open = self.is_anything_watched();
        if let Some(transaction) = transaction.take_if(|_| may_be_open) {
            self.close_transaction(&transaction);
        }
        self.end_stall(source);
        self.noted_all();
        self.look();
        // What has been a change is counted.
        let root = met.path.split('\\').next().unwrap_or_default();
        let key = KeyReference::Path(Text::from(root));
        self.act(3, Action::Info { key, name_capacity: None });
        if let Some(transaction) = transaction {
            self.close_transaction(&transaction);
        }
        if is_long {
            self.shorten_lifetimes();
        }
    }

    /// The first mutation of a transaction may be what is not answered.
    fn lock_in_flight(&mut self, source: usize, met: &Met) -> Handle {
        self.lengthen_lifetimes();
        let transaction = self.begin();
        let (request, executed) = (self.rng.random_range(2..=4), self.chance(2));
        self.plan.steps.push(Step::Fault(Fault::StallSourceAt { source, request, executed }));
        self.calls += 1;
        let change = self.change_of(met.key());
        self.within(&transaction, 1, change);
        transaction
    }

    /// The deletion of the key may be what is not answered, or has made an orphan of it before.
    fn lose_the_name(&mut self, source: usize, met: &Met) {
        let (key, layer) = (met.key(), Text::from(""));
        let delete = Action::Delete { key, layer };
        if self.chance(3) {
            self.act(1, delete);
            self.plan.steps.push(Step::Fault(Fault::StallSource { source }));
        } else {
            self.begin_stall(source, REQUEST_MAX);
            self.act(1, delete);
        }
        self.calls += 1;
    }

    /// What a call may ask for before anything else.
    fn removal_from(&mut self, key: KeyReference) -> Action {
        let layer = Text::from("");
        match self.rng.random_range(0..3) {
            0 => Action::Unset { key, name: self.value_name(), layer },
            1 => Action::Blanket { key, layer, set: 0 },
            _ => {
                self.sequence += 1;
                Action::Blanket { key, layer, set: 1 }
            }
        }
    }

    fn key_to_meet(&mut self) -> Met {
        let handle = Handle(self.pick(HANDLES).to_owned());
        let is_layer = self.chance(4);
        let path = if is_layer {
            format!("Machine\\System\\Registry\\Layers\\{}", self.some_layer())
        } else {
            self.watched_path()
        };
        Met { handle, path, is_layer }
    }

    /// The source stalls at once, or at one of the next requests.
    pub(super) fn begin_stall(&mut self, source: usize, request_max: u32) {
        let (request, executed) = (self.rng.random_range(1..=request_max), self.chance(2));
        let fault = if self.chance(3) {
            Fault::StallSource { source }
        } else {
            Fault::StallSourceAt { source, request, executed }
        };
        self.plan.steps.push(Step::Fault(fault));
        self.calls += 1;
    }

    /// One call of those that need the source, or wait for it, or do not.
    fn meet_stall(&mut self, met: &Met, transaction: Option<&Handle>) {
        match (self.rng.random_range(0..12), transaction) {
            (0..4, Some(transaction)) => self.change_inside(transaction, met),
            (4..6, Some(transaction)) => self.commit(transaction),
            (6, _) => self.act(1, Action::Flush { key: met.key() }),
            (7, _) => {
                let read = self.read_of(&met.path);
                self.act(3, read);
            }
            (8, _) => self.switch_some_layer(),
            _ => {
                let change = self.change_through(met);
                self.act(1, change);
            }
        }
    }

    fn change_inside(&mut self, transaction: &Handle, met: &Met) {
        let change = self.change_through(met);
        self.within(transaction, 1, change);
    }

    /// A change that asks little before it comes to what matters.
    fn change_through(&mut self, met: &Met) -> Action {
        let (key, layer) = (met.key(), self.layer());
        match self.rng.random_range(0..8) {
            0 => Action::Delete { key, layer },
            1 => {
                self.sequence += 1;
                Action::Hide { key, layer }
            }
            2 | 3 => {
                self.sequence += 1;
                let (handle, parent) = (None, Some(met.handle.clone()));
                let path = Text::from(self.pick(KEY_NAMES));
                let layer = Some(layer).filter(|layer| !layer.0.is_empty());
                let access = ALL_ACCESS;
                Action::Create { handle, parent, path, access, flags: 0, layer }
            }
            4..7 if met.is_layer => {
                self.sequence += 1;
                let name = Text::from(if self.chance(2) { "Enabled" } else { "Precedence" });
                let data = u32::from(self.chance(2)).to_le_bytes().to_vec();
                let layer = Text::from("");
                Action::Set { key, name, value_type: 4, data, layer, expected_sequence: 0 }
            }
            _ => self.change_of(key),
        }
    }

    /// What has become of the key: of its values, and of the fd.
    fn look_at(&mut self, met: &Met) {
        let (key, name) = (met.key(), self.value_name());
        self.act(1, Action::Get { key, name, data_capacity: None, layer_capacity: None });
        if self.chance(3) {
            // Whether it is an orphan shows where its name would go.
            let (key, layer) = (met.key(), Text::from(""));
            self.act(1, Action::Delete { key, layer });
        }
    }

    pub(super) fn switch_some_layer(&mut self) {
        let layer = self.some_layer();
        self.switch_layer(&layer);
    }

    /// The source goes while a call waits for it, and comes back.
    fn die_over_a_call(&mut self, source: usize, met: &Met, transaction: Option<&Handle>) {
        let (request, executed) = (self.rng.random_range(1..=2), false);
        let death = Fault::KillSourceAt { source, request, executed };
        let death = self.maybe_a_breach(death, 3);
        self.plan.steps.push(Step::Fault(death));
        self.meet_stall(met, transaction);
        // It may not have been asked for anything.
        self.plan.steps.push(Step::Fault(Fault::KillSource { source }));
        self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        self.calls += 3;
    }

    /// The source answers everything, or is gone and comes back.
    pub(super) fn end_stall(&mut self, source: usize) {
        self.calls += 1;
        if !self.chance(6) {
            return self.plan.steps.push(Step::Fault(Fault::ReleaseSource { source }));
        }
        let death = self.maybe_a_breach(Fault::KillSource { source }, 2);
        self.plan.steps.push(Step::Fault(death));
        self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
    }
}
