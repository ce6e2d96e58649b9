//! The chaos profile: what the lifecycle profile has, and blocks of calls that overlap.
//!
//! A block aims at one key: every strand begins with a change of it, most go on with it, and all have
//! handles of their own. Most blocks have something beside values as well (`beside`), and in some the source of the
//! key dies. What the text leaves open of calls that overlap is not generated (P-447, P-448).

mod beside;

use proptest::prelude::*;

use self::beside::Beside;

use super::{Feature, Generator, KEY_NAMES, VALUE_NAMES};
use crate::plan::{Action, Fault, Handle, KeyReference, Parallel, Step, Strand, Text};
use crate::schedule::Schedule;

/// The handle of the key that a strand aims at, by the strand.
const AIMED: &[&str] = &["p1", "p2", "p3", "p4", "p5"];
/// The handle of another key, by the strand.
const OTHER: &[&str] = &["q1", "q2", "q3", "q4", "q5"];
/// The handle of a transaction, by the strand.
const TRANSACTION: &[&str] = &["b1", "b2", "b3", "b4", "b5"];
/// How many strands a block has, one as likely as another. Fewer overlap with fewer than three mutations of a key on the
/// average.
const STRANDS: &[usize] = &[3, 4, 4, 5, 5, 5];
/// Every kind of event.
const ALL_EVENTS: u32 = 7;
/// Most changes of a block. Each order of them gives watches a queue of its own, and all that agree with what was seen
/// are kept.
const CHANGES_MAX: usize = 7;
/// Requests of a block by which a source dies, if it does.
const FATAL_REQUEST_MAX: u32 = 24;
/// The deepest that a defect is looked for, in ordered steps.
const DEPTH_MAX: u32 = 5;

/// What the strands of a block have in common.
struct Block {
    /// The path of the key that they aim at.
    aim: String,
    /// How much a strand does at most beside its first change. Many orders of many calls give different queues of
    /// events, and each is a state of its own.
    more_max: usize,
    /// The name of the value.
    name: String,
    /// Names of children of the aimed key. Where the block is about such, the other key is the first.
    children: Vec<String>,
    beside: Beside,
    /// Whether the aimed key may go.
    aim_goes: bool,
    /// Whether strands open keys. Then nothing is closed in the block: a call takes its fd last, and may get one
    /// that was in use when it took effect (P-561). Nor does the aimed key go (P-448).
    opens: bool,
}

impl Generator {
    /// The features of the profile.
    pub(super) fn chaotic_features(&self) -> Vec<(u32, u32, Feature)> {
        let mut features = self.watched_features();
        features.push((10, 25, Generator::overlap));
        features
    }

    /// Calls that overlap, and what is to be seen of them afterwards.
    pub(super) fn overlap(&mut self) {
        self.calm_down();
        let acting = self.actor;
        let aim = self.watched_path();
        let beside = self.draw_beside();
        let count = STRANDS[self.rng.random_range(0..STRANDS.len())];
        let children = [self.pick(KEY_NAMES), self.pick(KEY_NAMES)];
        let other = if beside == Beside::Removals || self.chance(2) {
            format!("{aim}\\{}", children[0])
        } else {
            self.some_path()
        };
        let name = if self.chance(3) { self.pick(VALUE_NAMES) } else { VALUE_NAMES[self.hot_name] };
        let aim_goes = beside == Beside::Removals && self.chance(3);
        let opens = match beside {
            Beside::Openings => true,
            Beside::Removals => !aim_goes && self.chance(2),
            Beside::Values | Beside::Security => false,
        };
        let block = Block {
            aim: aim.clone(),
            more_max: match (beside, count) {
                (Beside::Values, _) | (_, 3) => 3,
                (_, 4) => 2,
                _ => 1,
            },
            name: name.to_owned(),
            children: children.map(str::to_owned).to_vec(),
            beside,
            aim_goes,
            opens,
        };
        let mut strands = Vec::new();
        for strand in 0..count {
            self.actor = self.next_actor();
            self.hold(AIMED[strand], &aim);
            self.hold(OTHER[strand], &other);
            strands.push(Strand { actor: self.actor, actions: Vec::new() });
        }
        let watcher = strands[0].actor;
        self.actor = watcher;
        self.set_aimed_value(name);
        if self.chance(2) {
            let subtree = u8::from(self.chance(2));
            let handle = Handle(AIMED[0].to_owned());
            self.act(1, Action::Watch { handle, filter: ALL_EVENTS, subtree });
        }
        // Each strand has one change; whoever is drawn first has more.
        let mut more_changes = CHANGES_MAX - count;
        let first = self.rng.random_range(0..count);
        for index in (first..count).chain(0..first) {
            self.actor = strands[index].actor;
            let actions = self.strand(index, &block, &mut more_changes);
            self.calls += actions.len();
            strands[index].actions = actions;
        }
        let schedule = self.schedule();
        let is_fatal = self.chance(4);
        if is_fatal {
            let (request, executed) =
                (self.rng.random_range(1..=FATAL_REQUEST_MAX), self.chance(2));
            let fault = Fault::KillSourceAt { source: self.source_of(&aim), request, executed };
            self.plan.steps.push(Step::Fault(fault));
        }
        self.plan.steps.push(Step::Parallel(Parallel { strands: strands.clone(), schedule }));
        if is_fatal && !self.chance(4) {
            self.restart_all();
        }
        for (index, strand) in strands.iter().enumerate() {
            self.actor = strand.actor;
            self.let_go_beside(index, &strand.actions);
            self.let_go(index, name);
        }
        self.actor = acting;
        self.noted(&aim);
        self.read_news();
    }

    /// Nothing is armed, stalled, dead or left open that would end calls in the middle of a block.
    fn calm_down(&mut self) {
        for source in 0..self.plan.sources.len() {
            self.plan.steps.push(Step::Fault(Fault::ReleaseSource { source }));
            self.plan.steps.push(Step::Fault(Fault::RestartSource { source }));
            self.down[source] = false;
        }
        self.close_transactions();
        self.look_around();
    }

    /// Looks at what a stall since the last block may have changed. What nobody has looked at may be in many states,
    /// and a block would begin in each.
    fn look_around(&mut self) {
        let steps = self.plan.steps.iter().rev();
        let mut since = steps.take_while(|step| !matches!(step, Step::Parallel(_)));
        let is_stall = |step: &Step| {
            matches!(step, Step::Fault(Fault::StallSource { .. } | Fault::StallSourceAt { .. }))
        };
        if since.any(is_stall) {
            self.plan.steps.push(Step::CompareViews);
            self.read_news();
        }
    }

    /// Opens a key, or creates it where nothing is to be seen.
    fn hold(&mut self, handle: &str, path: &str) {
        self.open_or_create(&Handle(handle.to_owned()), path);
    }

    fn set_aimed_value(&mut self, name: &str) {
        let (key, name) = (aimed(0), Text::from(name));
        let (layer, (value_type, data)) = (self.layer(), self.fresh_data());
        self.sequence += 1;
        self.act(1, Action::Set { key, name, value_type, data, layer, expected_sequence: 0 });
    }

    /// One change and something more, of which up to `more_changes` are changes.
    fn strand(&mut self, index: usize, block: &Block, more_changes: &mut usize) -> Vec<Action> {
        let name = &block.name;
        if self.chance(4) && !block.opens {
            return self.transaction_strand(index, name);
        }
        let mut actions = vec![self.change_of_aim(index, name)];
        let count = self.rng.random_range(1..=block.more_max);
        for _ in 0..count {
            let action = match *more_changes {
                0 => self.watch_aim(index, name),
                _ => self.anything(index, block, &actions),
            };
            *more_changes -= usize::from(is_change(&action));
            actions.push(action);
        }
        actions
    }

    fn anything(&mut self, index: usize, block: &Block, before: &[Action]) -> Action {
        if block.beside != Beside::Values && self.chance(2) {
            return self.beside(index, block, before);
        }
        match self.rng.random_range(0..12) {
            0..4 => self.change_of_aim(index, &block.name),
            4..10 => self.watch_aim(index, &block.name),
            _ => self.change_of_other(index, &block.name),
        }
    }

    /// Something that changes nothing.
    fn watch_aim(&mut self, index: usize, name: &str) -> Action {
        let watched = Handle(AIMED[0].to_owned());
        match self.rng.random_range(0..6) {
            0 if index == 0 => Action::Events { handle: watched, capacity: None },
            1 if index == 0 => Action::Poll { handle: watched },
            _ => self.read_of_aim(index, name),
        }
    }

    /// A transaction from its beginning to its end.
    fn transaction_strand(&mut self, index: usize, name: &str) -> Vec<Action> {
        let handle = Handle(TRANSACTION[index].to_owned());
        let within =
            |action| Action::Within { transaction: handle.clone(), action: Box::new(action) };
        let mut actions = vec![Action::Begin { handle: handle.clone() }];
        for _ in 0..self.rng.random_range(1..=2) {
            actions.push(within(self.plain_change_of_aim(index, name)));
        }
        if self.chance(2) {
            actions.push(within(self.read_of_aim(index, name)));
        }
        if self.chance(3) {
            actions.push(self.read_of_aim(index, name));
        }
        if !self.chance(5) {
            actions.push(Action::Commit { transaction: handle.clone() });
        }
        if self.chance(3) {
            actions.push(Action::TransactionStatus { transaction: handle.clone() });
        }
        actions.push(Action::Close { handle });
        actions
    }

    fn change_of_aim(&mut self, index: usize, name: &str) -> Action {
        if !self.chance(3) {
            return self.plain_change_of_aim(index, name);
        }
        let (key, name, (value_type, data)) = (aimed(index), Text::from(name), self.fresh_data());
        self.sequence += 1;
        Action::Update { key, name, value_type, data }
    }

    fn plain_change_of_aim(&mut self, index: usize, name: &str) -> Action {
        let (key, name, layer) = (aimed(index), Text::from(name), self.layer());
        match self.rng.random_range(0..10) {
            0 => Action::Unset { key, name, layer },
            1 => Action::Blanket { key, layer, set: u8::from(self.chance(2)) },
            kind => {
                let tombstone = (0xFFFF, Vec::new());
                let (value_type, data) = if kind == 2 { tombstone } else { self.fresh_data() };
                self.sequence += 1;
                Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
            }
        }
    }

    fn read_of_aim(&mut self, index: usize, name: &str) -> Action {
        let (key, name) = (aimed(index), Text::from(name));
        match self.rng.random_range(0..4) {
            0 => Action::Batch { key, capacity: None },
            _ => Action::Get { key, name, data_capacity: None, layer_capacity: None },
        }
    }

    /// Something about the other key, so that strands do not only meet at one.
    fn change_of_other(&mut self, index: usize, name: &str) -> Action {
        let (key, name) = (other(index), Text::from(name));
        if self.chance(2) {
            return Action::Get { key, name, data_capacity: None, layer_capacity: None };
        }
        let (layer, (value_type, data)) = (self.layer(), self.fresh_data());
        self.sequence += 1;
        Action::Set { key, name, value_type, data, layer, expected_sequence: 0 }
    }

    fn schedule(&mut self) -> Schedule {
        let seed = u64::from(self.rng.random_range(0..=u32::MAX));
        match self.rng.random_range(0..8) {
            0 => Schedule::RoundRobin,
            1..4 => Schedule::Pct { depth: self.rng.random_range(1..=DEPTH_MAX), seed },
            _ => Schedule::Random { seed },
        }
    }

    /// What a strand sees afterwards, and the end of its handles.
    fn let_go(&mut self, index: usize, name: &str) {
        let handle = Handle(AIMED[index].to_owned());
        if index == 0 {
            self.act(1, Action::Events { handle: handle.clone(), capacity: None });
        }
        if self.chance(3) {
            let read = self.read_of_aim(index, name);
            self.act(1, read);
        }
        self.act(1, Action::Close { handle });
        self.act(1, Action::Close { handle: Handle(OTHER[index].to_owned()) });
    }
}

/// Whether watches may be told of an action.
fn is_change(action: &Action) -> bool {
    matches!(
        action,
        Action::Set { .. }
            | Action::Update { .. }
            | Action::Unset { .. }
            | Action::Blanket { .. }
            | Action::SetSecurity { .. }
            | Action::Delete { .. }
            | Action::Hide { .. }
            | Action::Create { .. }
    )
}

fn other(index: usize) -> KeyReference {
    KeyReference::Handle(Handle(OTHER[index].to_owned()))
}

fn aimed(index: usize) -> KeyReference {
    KeyReference::Handle(Handle(AIMED[index].to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, plan_of_seed};
    use super::*;

    fn blocks() -> Vec<Parallel> {
        let steps = (0..20).flat_map(|seed| plan_of_seed(seed, Profile::Chaos, 200).steps);
        steps
            .filter_map(|step| match step {
                Step::Parallel(parallel) => Some(parallel),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_in_a_block_may_overlap() {
        let blocks = blocks();
        assert!(blocks.len() > 20, "{}", blocks.len());
        let actions =
            blocks.iter().flat_map(|block| &block.strands).flat_map(|strand| &strand.actions);
        assert!(actions.into_iter().all(Action::may_overlap));
    }

    #[test]
    fn a_block_has_no_more_changes_than_can_be_kept_in_every_order() {
        let changes = |strand: &Strand| {
            let commits = strand.actions.iter().filter(|a| matches!(a, Action::Commit { .. }));
            strand.actions.iter().filter(|action| is_change(action)).count() + commits.count()
        };
        let of_block = |block: &Parallel| block.strands.iter().map(changes).sum::<usize>();
        assert_eq!(blocks().iter().map(of_block).max(), Some(CHANGES_MAX));
    }

    #[test]
    fn what_a_stall_may_have_changed_is_looked_at_before_a_block() {
        let is_stall = |step: &Step| {
            matches!(step, Step::Fault(Fault::StallSource { .. } | Fault::StallSourceAt { .. }))
        };
        let mut looked = 0;
        for plan in (0..20).map(|seed| plan_of_seed(seed, Profile::Chaos, 200)) {
            for before in plan.steps.split(|step| matches!(step, Step::Parallel(_))).rev().skip(1) {
                let Some(stall) = before.iter().rposition(is_stall) else { continue };
                let look = before.iter().rposition(|step| *step == Step::CompareViews);
                assert!(look.is_some_and(|look| look > stall), "{before:?}");
                looked += 1;
            }
        }
        assert!(looked > 5, "{looked}");
    }

    #[test]
    fn a_transaction_of_a_block_ends_in_it() {
        for strand in blocks().iter().flat_map(|block| &block.strands) {
            let began = strand.actions.iter().filter(|a| matches!(a, Action::Begin { .. })).count();
            let is_close =
                |a: &&Action| matches!(a, Action::Close { handle } if handle.0.starts_with('b'));
            let closed = strand.actions.iter().filter(is_close).count();
            assert_eq!(began, closed);
        }
    }
}
