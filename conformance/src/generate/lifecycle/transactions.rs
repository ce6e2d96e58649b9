//! Transactions: bound, read through, committed, left to their deadlines, cut short (PSD-005 §5.1).

use proptest::prelude::*;

use super::super::{Generator, KEY_NAMES, PRECEDENCES};
use crate::plan::{Action, Fault, Handle, KeyReference, Step, Text};

/// The handles of transactions.
const TRANSACTIONS: &[&str] = &["t1", "t2", "t3"];
/// How far from a deadline waiting ends, milliseconds.
const MARGIN_MS: u32 = 1_000;
/// Values and changes of a burst: more events than the shortest burst limit.
const BURST_VALUES: u32 = 20;
const BURST_CHANGES: u32 = 14;
const BURST_MIN: u32 = 256;

/// A transaction that is probably open.
#[derive(Clone, Debug)]
pub(super) struct OpenTransaction {
    actor: usize,
    handle: Handle,
    /// Milliseconds until its deadline.
    left_ms: u32,
}

impl Generator {
    pub(super) fn begin(&mut self) -> Handle {
        let handle = self.handle(TRANSACTIONS);
        self.forget_transaction(&handle);
        let (actor, left_ms) = (self.actor, self.life.settings.lifetime_ms);
        self.act(1, Action::Begin { handle: handle.clone() });
        self.life.transactions.push(OpenTransaction { actor, handle: handle.clone(), left_ms });
        handle
    }

    fn forget_transaction(&mut self, handle: &Handle) {
        let actor = self.actor;
        self.life.transactions.retain(|open| (open.actor, &open.handle) != (actor, handle));
    }

    pub(super) fn within(&mut self, transaction: &Handle, calls: usize, action: Action) {
        let (transaction, action) = (transaction.clone(), Box::new(action));
        self.act(calls, Action::Within { transaction, action });
    }

    /// Changes and reads inside, of one hive.
    pub(super) fn work(&mut self, transaction: &Handle, path: &str) {
        let change = self.change_of(Generator::by_path(path));
        self.within(transaction, 3, change);
        for _ in 0..self.rng.random_range(0..4) {
            let place = self.neighbour(path);
            match self.rng.random_range(0..12) {
                0..4 => {
                    let change = self.change_of(Generator::by_path(&place));
                    self.within(transaction, 3, change);
                }
                4 | 5 => {
                    let read = self.read_of(&place);
                    self.within(transaction, 3, read);
                }
                6 | 7 => {
                    let read = self.read_of(&place);
                    self.act(3, read);
                }
                8 => self.create_inside(transaction, &place),
                9 => self.remove_inside(transaction, &place),
                10 => self.work_elsewhere(transaction, path),
                _ => self.ask_for_state(transaction),
            }
        }
    }

    /// The path itself, or another one of its hive.
    fn neighbour(&mut self, path: &str) -> String {
        let hive = path.split('\\').next().unwrap_or_default().to_owned();
        let other = self.some_path();
        let is_same = other.split('\\').next() == Some(hive.as_str());
        if is_same && self.chance(2) { other } else { path.to_owned() }
    }

    pub(super) fn read_of(&mut self, path: &str) -> Action {
        let key = Generator::by_path(path);
        let name = self.value_name();
        match self.rng.random_range(0..6) {
            0 => Action::Batch { key, capacity: None },
            1 => Action::List { key },
            _ => Action::Get { key, name, data_capacity: None, layer_capacity: None },
        }
    }

    /// A key that exists inside alone is used through its own fd.
    fn create_inside(&mut self, transaction: &Handle, parent: &str) {
        let path = format!("{parent}\\{}", self.pick(KEY_NAMES));
        let handle = Handle("n1".to_owned());
        let layer = Some(self.layer()).filter(|layer| !layer.0.is_empty());
        self.sequence += 1;
        let create = Action::Create {
            handle: Some(handle.clone()),
            parent: None,
            path: Text::from(path.as_str()),
            access: super::ALL_ACCESS,
            flags: 0,
            layer,
        };
        self.within(transaction, 1, create);
        self.noted_place(&path);
        let change = self.change_of(KeyReference::Handle(handle.clone()));
        self.within(transaction, 1, change);
        if self.chance(2) {
            let read = self.read_of(&path);
            self.act(1, read);
        }
        if self.chance(3) {
            let key = KeyReference::Handle(handle.clone());
            let name = self.value_name();
            let get = Action::Get { key, name, data_capacity: None, layer_capacity: None };
            self.within(transaction, 1, get);
        }
        self.act(1, Action::Close { handle });
    }

    fn remove_inside(&mut self, transaction: &Handle, path: &str) {
        let (key, layer) = (Generator::by_path(path), self.layer());
        self.sequence += 1;
        let action = if self.chance(2) {
            Action::Hide { key, layer }
        } else {
            Action::Delete { key, layer }
        };
        self.within(transaction, 3, action);
        self.noted_place(path);
    }

    /// What is of another hive is refused.
    fn work_elsewhere(&mut self, transaction: &Handle, path: &str) {
        let hive = path.split('\\').next().unwrap_or_default().to_owned();
        let is_other = |other: &&String| !other.starts_with(&format!("{hive}\\"));
        let Some(other) = self.paths.iter().find(is_other).cloned() else { return };
        let action = if self.chance(2) {
            self.read_of(&other)
        } else {
            self.change_of(Generator::by_path(&other))
        };
        self.within(transaction, 3, action);
    }

    pub(super) fn ask_for_state(&mut self, transaction: &Handle) {
        let action = if self.chance(2) {
            Action::TransactionStatus { transaction: transaction.clone() }
        } else {
            Action::Poll { handle: transaction.clone() }
        };
        self.act(1, action);
    }

    pub(super) fn commit(&mut self, transaction: &Handle) {
        self.act(1, Action::Commit { transaction: transaction.clone() });
        self.noted_all_of_machine();
    }

    fn noted_all_of_machine(&mut self) {
        for path in self.paths.clone() {
            if self.chance(2) {
                self.noted(&path);
            }
        }
    }

    pub(super) fn close_transaction(&mut self, transaction: &Handle) {
        self.forget_transaction(transaction);
        self.act(1, Action::Close { handle: transaction.clone() });
    }

    /// Closes every transaction that is probably open.
    pub(in super::super) fn close_transactions(&mut self) {
        let acting = self.actor;
        for open in std::mem::take(&mut self.life.transactions) {
            self.actor = open.actor;
            self.act(1, Action::Close { handle: open.handle });
        }
        self.actor = acting;
    }

    /// One transaction, to its end.
    pub(in super::super) fn transact(&mut self) {
        let transaction = self.begin();
        let path = self.watched_path();
        if self.chance(6) {
            let read = self.read_of(&path);
            self.within(&transaction, 3, read);
        }
        self.work(&transaction, &path);
        self.noted(&path);
        if self.chance(4) {
            return self.abandon(&transaction);
        }
        self.commit(&transaction);
        self.look();
        if self.chance(4) {
            self.ask_for_state(&transaction);
        }
        if self.chance(8) {
            let again = if self.chance(2) {
                Action::Commit { transaction: transaction.clone() }
            } else {
                let action = Box::new(self.read_of(&path));
                Action::Within { transaction: transaction.clone(), action }
            };
            self.act(3, again);
        }
        self.close_transaction(&transaction);
    }

    fn abandon(&mut self, transaction: &Handle) {
        if self.chance(8) {
            // A copy of the fd keeps it alive.
            let received = Handle("t9".to_owned());
            let pass =
                Action::Pass { handle: transaction.clone(), to: None, received: received.clone() };
            self.act(1, pass);
            self.close_transaction(transaction);
            self.act(1, Action::TransactionStatus { transaction: received.clone() });
            self.act(1, Action::Close { handle: received });
            return;
        }
        self.close_transaction(transaction);
        self.look();
    }

    /// Two transactions with keys in common, of one hive or of two.
    pub(in super::super) fn transact_twice(&mut self) {
        let (one, path) = (self.begin(), self.watched_path());
        self.work(&one, &path);
        let other_path = if self.chance(2) { path.clone() } else { self.some_path() };
        let other = self.begin();
        if other == one {
            return self.close_transaction(&other);
        }
        if self.chance(3) {
            self.work(&other, &other_path);
        } else {
            let read = self.read_of(&other_path);
            self.within(&other, 3, read);
        }
        let (first, second) = if self.chance(2) { (one, other) } else { (other, one) };
        for transaction in [first, second] {
            if !self.chance(4) {
                self.commit(&transaction);
            }
            self.look();
            self.close_transaction(&transaction);
        }
    }

    /// Lets time pass.
    fn wait(&mut self, duration_ms: u32) {
        self.calls += 1;
        self.plan.steps.push(Step::Fault(Fault::Wait { duration_ms }));
        for open in &mut self.life.transactions {
            open.left_ms = open.left_ms.saturating_sub(duration_ms);
        }
    }

    /// A transaction is used shortly before its deadline, and after.
    pub(in super::super) fn outlive(&mut self) {
        if self.life.settings.lifetime_ms > 2 * MARGIN_MS && self.chance(2) {
            self.shorten_lifetimes();
        }
        let transaction = self.begin();
        let path = self.watched_path();
        let is_bound = !self.chance(4);
        if is_bound {
            let change = self.change_of(Generator::by_path(&path));
            self.within(&transaction, 3, change);
        }
        let lifetime_ms = self.life.settings.lifetime_ms;
        self.wait(lifetime_ms.saturating_sub(MARGIN_MS));
        self.ask_for_state(&transaction);
        if self.chance(2) {
            let change = self.change_of(Generator::by_path(&path));
            self.within(&transaction, 3, change);
        }
        if self.chance(4) {
            self.commit(&transaction);
            self.look();
        }
        self.wait(2 * MARGIN_MS);
        self.act(1, Action::TransactionStatus { transaction: transaction.clone() });
        match self.rng.random_range(0..4) {
            0 => self.act(1, Action::Commit { transaction: transaction.clone() }),
            1 => {
                let read = self.read_of(&path);
                self.within(&transaction, 3, read);
            }
            2 => {
                let change = self.change_of(Generator::by_path(&path));
                self.within(&transaction, 3, change);
            }
            _ => self.act(1, Action::Poll { handle: transaction.clone() }),
        }
        self.close_transaction(&transaction);
        self.change();
    }

    /// The source dies before, at or after a commit, or at a change inside.
    pub(in super::super) fn commit_and_die(&mut self) {
        let transaction = self.begin();
        let path = self.watched_path();
        let source = self.source_of(&path);
        if self.down[source] {
            return self.close_transaction(&transaction);
        }
        self.work(&transaction, &path);
        let (request, executed) = (self.rng.random_range(1..=3), self.chance(2));
        let fault = match self.rng.random_range(0..4) {
            0 => Fault::KillSource { source },
            _ => Fault::KillSourceAt { source, request, executed },
        };
        let fault = self.maybe_a_breach(fault, 4);
        self.plan.steps.push(Step::Fault(fault));
        if self.chance(4) {
            let change = self.change_of(Generator::by_path(&path));
            self.within(&transaction, 3, change);
        }
        self.commit(&transaction);
        self.ask_for_state(&transaction);
        // It is down by now, or never.
        self.plan.steps.push(Step::Fault(Fault::KillSource { source }));
        self.calls += 3;
        self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        self.noted_all();
        if self.chance(2) {
            let read = self.read_of(&path);
            self.within(&transaction, 3, read);
        }
        self.close_transaction(&transaction);
        self.look();
        let read = self.read_of(&path);
        self.act(3, read);
    }

    /// More transactions than a source may have bound.
    pub(in super::super) fn bind_too_many(&mut self) {
        self.set_parameter_to("MaxBoundTransactionsPerSource", 1);
        let mut paths: Vec<String> = vec![self.watched_path()];
        let first = paths[0].split('\\').next().unwrap_or_default().to_owned();
        let is_other = |path: &&String| !path.starts_with(&format!("{first}\\"));
        paths.extend(self.paths.iter().find(is_other).cloned());
        let one = self.begin();
        let change = self.change_of(Generator::by_path(&paths[0]));
        self.within(&one, 3, change);
        let other = self.begin();
        if other != one {
            let path = paths.last().cloned().unwrap_or_default();
            let change = self.change_of(Generator::by_path(&path));
            self.within(&other, 3, change);
            self.ask_for_state(&other);
            self.close_transaction(&one);
            let change = self.change_of(Generator::by_path(&path));
            self.within(&other, 3, change);
            self.noted(&path);
            self.commit(&other);
            self.look();
        }
        self.close_transaction(&other);
        self.set_parameter_to("MaxBoundTransactionsPerSource", 16);
    }

    /// A layer is created, deleted or re-weighted inside; it counts from the commit on.
    pub(in super::super) fn transact_on_layers(&mut self) {
        let transaction = self.begin();
        let layer = self.some_layer();
        let metadata = format!("Machine\\System\\Registry\\Layers\\{layer}");
        let path = self.watched_path();
        match self.rng.random_range(0..4) {
            0 => self.create_layer_inside(&transaction),
            1 => {
                let (key, layer) = (Generator::by_path(&metadata), Text::default());
                self.within(&transaction, 3, Action::Delete { key, layer });
            }
            _ => {
                let is_precedence = self.chance(2);
                let number = match is_precedence {
                    true => PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())],
                    false => u32::from(self.chance(2)),
                };
                let name = if is_precedence { "Precedence" } else { "Enabled" };
                let set = dword(Generator::by_path(&metadata), name, number);
                self.sequence += 1;
                self.within(&transaction, 3, set);
            }
        }
        let layer = Text::from(layer.as_str());
        if self.chance(2) {
            let (name, (value_type, data)) = (self.value_name(), self.fresh_data());
            let key = Generator::by_path(&path);
            self.sequence += 1;
            let set = Action::Set { key, name, value_type, data, layer, expected_sequence: 0 };
            if self.chance(2) { self.within(&transaction, 3, set) } else { self.act(3, set) }
        }
        let read = self.read_of(&path);
        self.within(&transaction, 3, read);
        if self.chance(5) {
            return self.abandon(&transaction);
        }
        self.commit(&transaction);
        self.noted_all();
        self.look();
        self.close_transaction(&transaction);
        let read = self.read_of(&path);
        self.act(3, read);
    }

    fn create_layer_inside(&mut self, transaction: &Handle) {
        let layer = self.pick(&["tx-a", "tx-b"]).to_owned();
        let handle = Handle("n2".to_owned());
        self.sequence += 2;
        let create = Action::Create {
            handle: Some(handle.clone()),
            parent: None,
            path: Text::from(format!("Machine\\System\\Registry\\Layers\\{layer}").as_str()),
            access: super::ALL_ACCESS,
            flags: 0,
            layer: None,
        };
        self.within(transaction, 1, create);
        let precedence = PRECEDENCES[self.rng.random_range(0..PRECEDENCES.len())];
        let set = dword(KeyReference::Handle(handle.clone()), "Precedence", precedence);
        self.within(transaction, 1, set);
        self.act(1, Action::Close { handle });
        if !self.layers.contains(&layer) {
            self.layers.push(layer);
        }
    }

    /// A transaction that others meet later.
    pub(in super::super) fn leave_open(&mut self) {
        let transaction = self.begin();
        if self.chance(2) {
            let path = self.some_path();
            let read = self.read_of(&path);
            self.within(&transaction, 3, read);
        }
        if self.chance(4) {
            // Not what a transaction can do.
            self.act(1, Action::Watch { handle: transaction, filter: 7, subtree: 0 });
        }
    }

    /// One of the transactions that were left open goes on, or ends.
    pub(in super::super) fn use_open(&mut self) {
        let count = self.life.transactions.len();
        if count == 0 {
            return self.transact();
        }
        let open = self.life.transactions[self.rng.random_range(0..count)].clone();
        self.actor = open.actor;
        if open.left_ms > 0 {
            let path = self.watched_path();
            self.work(&open.handle, &path);
            self.commit(&open.handle);
            self.look();
        } else {
            self.ask_for_state(&open.handle);
        }
        self.close_transaction(&open.handle);
    }

    /// One commit with more events than a burst may have.
    pub(in super::super) fn burst(&mut self) {
        self.set_parameter_to("MaxTransactionWatchEventBurst", BURST_MIN);
        let path = self.watched_path();
        let (handle, layer) = (Handle("k3".to_owned()), self.some_layer());
        self.open_or_create(&handle, &path);
        for number in 0..BURST_VALUES {
            self.write_fresh(&handle, Text::from(format!("v{number}").as_str()));
        }
        self.act(1, Action::Watch { handle: handle.clone(), filter: 7, subtree: 0 });
        let transaction = self.begin();
        for number in 0..BURST_CHANGES + self.rng.random_range(0..2) {
            let key = KeyReference::Handle(handle.clone());
            let (layer, set) = (Text::from(layer.as_str()), u8::from(number % 2 == 0));
            self.sequence += u64::from(set);
            self.within(&transaction, 1, Action::Blanket { key, layer, set });
        }
        self.commit(&transaction);
        self.act(1, Action::Events { handle: handle.clone(), capacity: None });
        self.close_transaction(&transaction);
        self.act(1, Action::Close { handle });
    }
}

fn dword(key: KeyReference, name: &str, number: u32) -> Action {
    Action::Set {
        key,
        name: Text::from(name),
        value_type: 4,
        data: number.to_le_bytes().to_vec(),
        layer: Text::default(),
        expected_sequence: 0,
    }
}
