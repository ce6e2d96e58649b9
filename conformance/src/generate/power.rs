//! Power losses, between calls and in the middle of what is written in several steps; disks that refuse, and
//! sources that are slow. What makes a power loss tell are writes that were committed or flushed just before, and
//! writes that were not.

use proptest::prelude::*;
use registry_model::input::StreamAccess;

use super::{Generator, LAYER_NAMES};
use crate::plan::{Action, DiskFault, Fault, Handle, Keep, KeyReference, PowerLoss, Step, Text};

/// The most changes and syncs of a disk before its power fails: a call makes a few.
const IO_MAX: u32 = 24;

impl Generator {
    /// A few writes of one key, half of them made durable, and then the power fails.
    pub(super) fn lose_power(&mut self) {
        let key = KeyReference::Path(self.path());
        for _ in 0..self.rng.random_range(0..3) {
            self.write(&key);
        }
        match self.rng.random_range(0..4) {
            0 => self.act(3, Action::Flush { key: key.clone() }),
            1 | 2 => self.commit_writes(&key),
            _ => {}
        }
        for _ in 0..self.rng.random_range(0..2) {
            self.write(&key);
        }
        let loss = self.power_loss();
        self.end_with(loss);
    }

    /// The power fails in the middle of a change; if there was too little of it, afterwards.
    pub(super) fn lose_power_within(&mut self) {
        if self.down.contains(&true) {
            return self.lose_power();
        }
        let source = self.rng.random_range(0..self.plan.sources.len());
        let (io, loss) = (self.rng.random_range(1..IO_MAX), self.power_loss());
        let key = KeyReference::Path(self.path());
        let stream = "saved".to_owned();
        let is_restore = self.chance(5);
        if is_restore {
            let access = StreamAccess::ReadWrite;
            self.act(3, Action::Backup { key: key.clone(), stream: stream.clone(), access });
        }
        let layer = Text::from(self.pick(LAYER_NAMES));
        let change = self.rng.random_range(0..6);
        if change == 2 && !is_restore {
            self.fill_layer(&key, &layer);
        }
        let armed = Fault::PowerLossAt { source, io, loss };
        self.plan.steps.push(Step::Fault(armed));
        match change {
            _ if is_restore => {
                self.act(3, Action::Restore { key, stream, access: StreamAccess::Read });
            }
            0 | 1 => self.commit_writes(&key),
            2 => self.act(3, Action::LayerDelete { name: layer }),
            3 => self.create_key(),
            4 => self.act(3, Action::Flush { key }),
            _ => {
                for _ in 0..3 {
                    self.write(&key);
                }
            }
        }
        self.end_with(loss);
    }

    /// A layer has a key, a value and a blanket tombstone to lose.
    fn fill_layer(&mut self, key: &KeyReference, layer: &Text) {
        let (name, path, (value_type, data)) = (layer.clone(), self.fresh_path(), self.data());
        self.sequence += 5;
        self.act(4, Action::LayerCreate { name, precedence: None, enabled: None });
        let (key, name, in_layer) = (key.clone(), self.value_name(), layer.clone());
        let set = Action::Set {
            key: key.clone(),
            name,
            value_type,
            data,
            layer: in_layer,
            expected_sequence: 0,
        };
        self.act(3, set);
        let create = Action::Create {
            handle: None,
            parent: None,
            path: Text::from(path.as_str()),
            access: 1,
            flags: 0,
            layer: Some(layer.clone()),
        };
        self.act(2, create);
        self.act(3, Action::Blanket { key, layer: layer.clone(), set: 1 });
    }

    /// A disk refuses a change, or every one that needs room; in the end it does not any more.
    pub(super) fn trouble_a_disk(&mut self) {
        if self.down.contains(&true) {
            return self.lose_power();
        }
        let source = self.rng.random_range(0..self.plan.sources.len());
        let is_full = self.chance(3);
        let io = self.rng.random_range(1..IO_MAX);
        let fault = if is_full { DiskFault::Full } else { DiskFault::FailsAt { io } };
        self.happens_to_disk(source, fault);
        let key = KeyReference::Path(self.path());
        for _ in 0..self.rng.random_range(2..6) {
            match self.rng.random_range(0..6) {
                0 => self.create_key(),
                1 => self.get(),
                2 => self.commit_writes(&key),
                3 => self.delete_key(),
                _ => self.write(&key),
            }
        }
        self.happens_to_disk(source, DiskFault::Heals);
        if is_full {
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
        }
    }

    /// A source takes its time over a few calls.
    pub(super) fn dawdle(&mut self) {
        let source = self.rng.random_range(0..self.plan.sources.len());
        let delay_ms = self.rng.random_range(1..400);
        self.calls += 1;
        self.plan.steps.push(Step::Fault(Fault::SlowSource { source, delay_ms }));
        let key = KeyReference::Path(self.path());
        self.write(&key);
        self.get();
        self.create_layer();
        self.plan.steps.push(Step::Fault(Fault::SlowSource { source, delay_ms: 0 }));
    }

    fn happens_to_disk(&mut self, source: usize, fault: DiskFault) {
        self.calls += 1;
        self.plan.steps.push(Step::Fault(Fault::Disk { source, fault }));
    }

    fn write(&mut self, key: &KeyReference) {
        let (name, layer) = (self.value_name(), self.layer());
        let (value_type, data) = self.data();
        self.sequence += 1;
        let key = key.clone();
        self.act(3, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    /// Writes that are there together or not at all.
    fn commit_writes(&mut self, key: &KeyReference) {
        let transaction = Handle("t".to_owned());
        self.act(1, Action::Begin { handle: transaction.clone() });
        for _ in 0..self.rng.random_range(1..4) {
            let (name, layer) = (self.value_name(), self.layer());
            let (value_type, data) = self.data();
            self.sequence += 1;
            let key = key.clone();
            let action = Action::Set { key, name, value_type, data, layer, expected_sequence: 0 };
            let (transaction, action) = (transaction.clone(), Box::new(action));
            self.act(3, Action::Within { transaction, action });
        }
        self.act(1, Action::Commit { transaction: transaction.clone() });
        self.act(1, Action::Close { handle: transaction });
    }

    fn power_loss(&mut self) -> PowerLoss {
        let keep = Keep::ALL[self.rng.random_range(0..Keep::ALL.len())];
        PowerLoss { keep, torn: self.chance(2), chance: self.rng.random_range(0..1 << 20) }
    }

    fn end_with(&mut self, loss: PowerLoss) {
        self.calls += 1;
        self.open.clear();
        self.late.clear();
        self.down.fill(false);
        self.plan.steps.push(Step::Fault(Fault::PowerLoss(loss)));
        self.plan.steps.push(Step::CompareViews);
    }
}
