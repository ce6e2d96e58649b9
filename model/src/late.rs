//! What late responses bring: the effects that the kernel has kept for them.
//!
//! States PSD-005 §10.1 ("Request timeout") and §5.1 ("Isolation", what becomes of a retained log), with D-55,
//! D-81, D-93, P-174, P-240 to P-249, P-260 to P-269 and P-615. How a request comes to be late is in `stalls`. Late
//! responses come in the order of their requests, but for those that wait for the write lock that a commit in
//! flight has.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::AuditPattern;
use crate::audit_events::looked_at;
use crate::backup::restored::Restored;
use crate::configuration;
use crate::coverage::{Covered, covers};
use crate::database::{Database, Guid, HiveId, Map};
use crate::deletion::{dropped, orphaned};
use crate::in_flight::Sent;
use crate::input::{Caller, ProcessId, SourceId, UnixTime};
use crate::late_follow::{Due, IsTransaction};
use crate::late_kept::{Rest, carry_out};
use crate::layer_commit::{Telling, committed_late};
use crate::layer_effects;
use crate::layers::{Touched, machine};
use crate::names::FoldedName;
use crate::outcome::Outcome;
use crate::resolution::Viewer;
use crate::security::Token;
use crate::stalls::Stall;
use crate::state::{DescriptionId, Generation, Place, State};
use crate::step::{Step, Work};
use crate::transactions::{Bound, Logged, Mutation, TransactionId, arrived, marks};
use crate::watches;

/// A request in flight whose caller is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) hive: HiveId,
    pub(crate) change: Change,
    /// What the kernel asks for when that has been answered.
    pub(crate) rest: Rest,
    /// What follows in the kernel.
    pub(crate) effect: Option<Effect>,
    /// The transactions whose write locks it waits for (P-65).
    pub(crate) behind: Vec<TransactionId>,
}

/// What the source does when it carries the request out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: it was a question, or something without a trace.
    None,
    /// The hive is like this then. Nothing else changes it before.
    Contents(Box<Database>),
    /// A mutation outside transactions, without its last write time.
    Mutation(Mutation),
    /// The transaction takes the write lock, for a mutation that is refused (P-65).
    Lock(TransactionId),
    /// One more mutation in the transaction.
    Logged(TransactionId, Logged),
    /// A transaction is committed that was like this, with mutations in it that are not answered either.
    Commit(TransactionId, Box<Bound>, Vec<Logged>),
    /// A restore is committed.
    Restore(Box<Restored>),
    /// What the hive is then is durable (P-610).
    Flush,
    /// An orphan is dropped that nobody has open any more (P-365).
    Drop(Guid),
    /// A layer is deleted in all hives of the source, if the request has a slot. Without one it is owed, unless
    /// there is a layer of that name again by then (P-187, P-366).
    Layer { name: FoldedName, sent: Sent, is_forgiven: bool, told: Ends },
}

/// The watches that the deletion of a layer has told of the ends of their own keys as it timed out; nothing until it
/// has told whom it can (P-570).
pub(crate) type Ends = Option<Arc<BTreeSet<DescriptionId>>>;

/// The effects of a mutation in the kernel (FAIL-21 to FAIL-24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The hive before the mutation; what it is when the response comes, if that is not known before.
    pub(crate) since: Option<Box<Database>>,
    pub(crate) about: About,
    pub(crate) place: Arc<Place>,
}

/// What a mutation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Value(Guid, FoldedName),
    Values(Guid),
    Descriptor(Guid),
    Child(Guid, FoldedName),
}

/// With its events, or with OVERFLOW.
const EITHER: [Telling; 2] = [Telling::Exact, Telling::Unknown];

impl About {
    pub(crate) fn of(touched: Touched<'_>) -> About {
        match touched {
            Touched::Value(_, key, name) => About::Value(key, name.clone()),
            Touched::Values(_, key) => About::Values(key),
            Touched::Descriptor(_, key) => About::Descriptor(key),
            Touched::Child(_, parent, name) => About::Child(parent, name.clone()),
        }
    }

    pub(crate) fn touched(&self, hive: HiveId) -> Touched<'_> {
        match self {
            About::Value(key, name) => Touched::Value(hive, *key, name),
            About::Values(key) => Touched::Values(hive, *key),
            About::Descriptor(key) => Touched::Descriptor(hive, *key),
            About::Child(parent, name) => Touched::Child(hive, *parent, name),
        }
    }
}

impl Effect {
    /// That of a mutation of which nothing has been answered.
    pub(crate) fn of(mutation: &Mutation, place: &Arc<Place>) -> Effect {
        let about = About::of(mutation.touched(place.hive));
        Effect { since: None, about, place: place.clone() }
    }

    /// The state before, as far as it matters for what is to be told.
    fn before(&self, state: &State, hive: HiveId) -> State {
        let mut before = state.clone();
        if let Some(since) = &self.since {
            *before.database_mut(hive) = (**since).clone();
        }
        before
    }

    /// Finds out which keys have lost their last name (FAIL-24). Returns those that nobody has open, which are to
    /// be dropped.
    fn track_orphans(
        &self,
        before: &State,
        state: &mut State,
        hive: HiveId,
        covered: &mut Covered,
    ) -> Vec<Guid> {
        let About::Child(parent, name) = &self.about else { return Vec::new() };
        let entries = before.database(hive).lookup(*parent, name.as_str());
        let former = state.orphans.size();
        let targets = entries.into_iter().flat_map(|all| all.values()).map(|entry| entry.target);
        let unopened: Vec<Guid> =
            targets.filter_map(|target| orphaned(state, hive, target, covered)).collect();
        if state.orphans.size() != former || !unopened.is_empty() {
            covers!(covered, "FAIL-24");
        }
        unopened
    }
}

/// The states in which a mutation has been told of and counted, but for layers and parameters: to each watch
/// as it was, or as something unknown (P-242).
pub(crate) fn told(state: &State, hive: HiveId, effect: &Effect) -> Vec<State> {
    let covered = &mut Covered::new();
    let before = effect.before(state, hive);
    let mut counted = state.clone();
    for key in effect.track_orphans(&before, &mut counted, hive, covered) {
        dropped(&mut counted, hive, key, covered);
    }
    counted.change_generation(hive, Generation::step);
    let touched = effect.about.touched(hive);
    if machine(state) == Some(hive) {
        // What it concerns is not read before the next change (P-241).
        counted.layers_unanswered |= touched.concerns_layers(&before);
        counted.configuration_unread |= configuration::is_read_for(&before, touched, state);
    }
    let mut exact = counted.clone();
    watches::changed(&before, &mut exact, touched, &effect.place, covered);
    let mut unknown = counted;
    watches::changed_somehow(&before, &mut unknown, touched, &effect.place, covered);
    if exact == unknown { vec![exact] } else { vec![exact, unknown] }
}

/// A state on the way through the late responses, with what was emitted and shown by then, and what is to be
/// asked when all of them have come.
#[derive(Clone)]
pub(crate) struct Arriving {
    pub(crate) state: State,
    pub(crate) covered: Covered,
    pub(crate) audit: Vec<AuditPattern>,
    pub(crate) due: Vec<Due>,
}

/// The source has carried out all that it kept, and has answered it (P-241 to P-247).
pub(crate) fn released(state: &State, source: SourceId, at: UnixTime) -> Vec<Step> {
    let mut first = state.clone();
    first.pass_time(at);
    first.enumerations = Map::new_sync();
    let Some(stall) = first.stalls.get(&source).cloned() else { return vec![step_of(first)] };
    first.stalls.remove_mut(&source);
    let mut covered = Covered::new();
    if stall.has_requests() {
        covers!(covered, "RSI-40", "RSI-44", "SRC-04", "SRC-05");
    }
    if stall.late.iter().any(|late| late.change != Change::Flush) {
        covers!(covered, "RSI-41");
    }
    // Questions are among what is answered, and their answers are looked at as ever (P-390).
    let reported = if stall.may_have_requests() { looked_at(&first) } else { None };
    mark_read(&first, source, &stall, &mut covered);
    let audit = reported.into_iter().collect();
    let mut arriving = vec![Arriving { state: first, covered, audit, due: Vec::new() }];
    let ordered = in_order(&stall.late);
    for (index, late) in ordered.iter().enumerate() {
        let later = &ordered[index + 1..];
        if late.is_never_there(later) {
            continue;
        }
        let late = late.without_gone_creations(later);
        let mut next = Vec::new();
        for one in arriving {
            let Ok(all) = late.arrive(one, at) else { return vec![outside(state)] };
            next.extend(all);
        }
        arriving = distinct(next);
    }
    arriving = distinct(arriving.into_iter().flat_map(|one| one.ask(at)).collect());
    for late in ordered.iter().filter(|late| late.creation().is_some()) {
        // Its name is looked up first.
        let untold = if state.is_dying(late.hive) { arriving.clone() } else { Vec::new() };
        let told = arriving.into_iter().flat_map(|one| late.tell_of_creation(one, &EITHER, at));
        arriving = distinct(told.flat_map(|one| one.ask(at)).chain(untold).collect());
    }
    let outcome = || Outcome::Nothing;
    let steps = arriving.into_iter().map(|Arriving { state, covered, audit, .. }| Step {
        outcome: outcome(),
        covered,
        contest: None,
        audit,
        next: State { dying: BTreeSet::new(), ..state },
    });
    steps.collect()
}

/// What late answers to reads show. Of one that did not ask for a value it is not known of what it was.
fn mark_read(state: &State, source: SourceId, stall: &Stall, covered: &mut Covered) {
    let (viewer, ignored) = (Viewer::global(), &mut Covered::new());
    let mut is_sound = stall.has_read.0 && !state.is_any_seeded(source);
    for (hive, key, name) in stall.values_read.0.iter().filter(|(hive, ..)| state.is_active(*hive))
    {
        let resolver = state.kernel_resolver(*hive, &viewer);
        if !resolver.database.keys.contains_key(key) {
            continue;
        }
        let is_malformed = resolver.effective(*key, name.as_str(), ignored).is_err();
        is_sound |= !is_malformed;
        if is_malformed {
            covers!(covered, "FAIL-29");
        }
    }
    if is_sound {
        covers!(covered, "FAIL-20");
    }
}

fn distinct(all: Vec<Arriving>) -> Vec<Arriving> {
    let mut distinct: Vec<Arriving> = Vec::new();
    for one in all {
        if !distinct.iter().any(|other| other.state == one.state && other.due == one.due) {
            distinct.push(one);
        }
    }
    distinct
}

fn step_of(next: State) -> Step {
    let (covered, audit) = (Covered::new(), Vec::new());
    Step { outcome: Outcome::Nothing, covered, contest: None, audit, next }
}

/// A change that waits for a transaction which nobody has ended: how long it waits is not followed.
fn outside(state: &State) -> Step {
    let words = "a late change that waits for the write lock of an open transaction";
    Step { outcome: Outcome::Outside(words), ..step_of(state.clone()) }
}

/// The requests in the order in which they are carried out: a commit frees the write lock for which those wait
/// that were sent before it.
pub(crate) fn in_order(late: &rpds::VectorSync<Late>) -> Vec<Late> {
    let mut ordered: Vec<Late> = Vec::new();
    for one in late.iter() {
        let Change::Commit(id, ..) = &one.change else {
            ordered.push(one.clone());
            continue;
        };
        let (waiting, others): (Vec<Late>, Vec<Late>) =
            ordered.into_iter().partition(|other| other.behind.contains(id));
        ordered = others;
        ordered.push(one.clone());
        ordered.extend(waiting);
    }
    ordered
}

impl Late {
    /// One that is to be sent.
    pub(crate) fn new(hive: HiveId, change: Change, rest: Rest, effect: Option<Effect>) -> Late {
        Late { hive, change, rest, effect, behind: Vec::new() }
    }

    /// The transactions that have the write locks for which it waits, or will have them when it is its turn
    /// (P-65, P-152, P-263).
    pub(crate) fn holders(&self, state: &State) -> Vec<TransactionId> {
        let mut holders = state.lock_holders_in_turn(self.hive);
        match &self.change {
            Change::Contents(_) | Change::Mutation(_) | Change::Drop(_) | Change::Flush => holders,
            Change::Lock(id) | Change::Logged(id, _) => {
                let is_open = self.locks().is_some() && state.bound(*id).is_some();
                holders.retain(|holder| is_open && holder != id);
                holders
            }
            Change::Layer { sent, .. } => {
                let slot = state.hives.get(&self.hive).map(|hive| hive.slot);
                let slot = slot.filter(|_| *sent != Sent::Never);
                let hives = slot.into_iter().flat_map(|slot| state.hives_of(slot));
                hives.flat_map(|(hive, _)| state.lock_holders_in_turn(hive)).collect()
            }
            // Who has the lock waits for nobody.
            Change::Commit(id, bound, unanswered)
                if !unanswered.is_empty() && bound.contents.is_none() =>
            {
                state.awaited_within(*id, self.hive)
            }
            Change::None | Change::Commit(..) | Change::Restore(_) => Vec::new(),
        }
    }

    /// The transaction that has the write lock of the hive once it is carried out.
    pub(crate) fn locks(&self) -> Option<TransactionId> {
        match &self.change {
            Change::Lock(id) | Change::Logged(id, _) => Some(*id),
            _ => None,
        }
    }

    /// Whether anybody can name what it changes.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self.change, Change::Drop(_) | Change::Flush)
    }

    /// The same where the hives are given something besides.
    pub(crate) fn over(&self, given: impl Fn(HiveId, &Database) -> Database) -> Late {
        let mut late = self.clone();
        if let Change::Contents(contents) = &mut late.change {
            **contents = given(self.hive, contents);
        }
        if let Some(since) = late.effect.as_mut().and_then(|effect| effect.since.as_mut()) {
            **since = given(self.hive, since);
        }
        late
    }

    /// The response comes.
    ///
    /// # Errors
    ///
    /// If the request waits for a lock that a transaction may have which is still open.
    pub(crate) fn arrive(&self, arriving: Arriving, at: UnixTime) -> Result<Vec<Arriving>, ()> {
        let Arriving { mut state, covered, audit, mut due } = arriving;
        if !self.holders(&state).is_empty() {
            if let Change::Drop(_) | Change::Flush = self.change {
                // It may be left for the source's next start (P-156); or be refused (P-65).
                return Ok(vec![Arriving { state, covered, audit, due }]);
            }
            return Err(());
        }
        let found = state.clone();
        match &self.change {
            Change::None => {}
            Change::Contents(_) | Change::Mutation(_) | Change::Drop(_) => {
                carry_out(&self.change, Some(&self.rest), &mut state, self.hive, at);
            }
            Change::Lock(id) => state.take_lock(*id, at),
            Change::Flush => state.is_durable(self.hive),
            Change::Logged(id, logged) => {
                let states = state.take_late(*id, logged, at).into_iter();
                let entered =
                    |state| Arriving { state, covered, audit: audit.clone(), due: due.clone() };
                return Ok(states.map(entered).collect());
            }
            Change::Commit(id, bound, unanswered) => {
                let arrived =
                    |work: &mut Work<'_>| due.extend(arrived(work, *id, bound, unanswered));
                let all = by_the_kernel(state, covered, audit, at, arrived);
                return Ok(all.into_iter().map(|one| one.with(&due)).collect());
            }
            Change::Restore(restored) => {
                let arrived = |work: &mut Work<'_>| due.extend(restored.arrived(work));
                let all = by_the_kernel(state, covered, audit, at, arrived);
                return Ok(all.into_iter().map(|one| one.with(&due)).collect());
            }
            Change::Layer { name, sent, is_forgiven, told } => {
                let mut all = Vec::new();
                if *sent != Sent::Surely {
                    let mut state = state.clone();
                    if !is_forgiven {
                        layer_effects::owe_in(&mut state, self.hive, name);
                    }
                    let (audit, due) = (audit.clone(), due.clone());
                    all.push(Arriving { state, covered, audit, due });
                }
                if *sent != Sent::Never {
                    let arriving = Arriving { state, covered, audit, due };
                    all.push(self.delete_layer((name, told), arriving));
                }
                return Ok(all);
            }
        }
        state.enumerations = Map::new_sync();
        let Some(effect) = &self.effect else {
            return Ok(vec![Arriving { state, covered, audit, due }]);
        };
        let is_refused = match &self.change {
            Change::Mutation(mutation) => !mutation.finds_its_key(found.database(self.hive)),
            _ => false,
        };
        if is_refused {
            // A refusal has no effects. A source may have nothing against a removal (P-09, P-46).
            let mut one = Arriving { state: found.clone(), covered, audit, due };
            if matches!(self.change, Change::Mutation(Mutation::DeleteValue { .. })) {
                let mut state = found;
                state.change_generation(self.hive, Generation::step);
                return Ok(vec![one.clone(), Arriving { state, ..one }]);
            }
            covers!(one.covered, "FAIL-18");
            if let Change::Mutation(mutation) = &self.change {
                let logged = Logged::new(mutation.clone(), effect.place.clone());
                if marks::would_be_told(&found, self.hive, [&logged].into_iter()) {
                    covers!(one.covered, "FAIL-19");
                }
            }
            return Ok(vec![one]);
        }
        due.extend(self.rest.time(self.hive));
        due.extend(self.written_in_vain(&found));
        let arriving = Arriving { state, covered, audit, due };
        if self.creation().is_some() {
            return Ok(vec![arriving]);
        }
        let before = effect.before(&found, self.hive);
        Ok(self.follow(effect, (&before, &EITHER), arriving, at))
    }

    /// The record of a late creation is there, as the last of all that was in flight (P-380).
    pub(crate) fn tell_of_creation(
        &self,
        mut arriving: Arriving,
        tellings: &[Telling],
        at: UnixTime,
    ) -> Vec<Arriving> {
        let (Some(effect), Some(creation)) = (&self.effect, self.creation()) else {
            return vec![arriving];
        };
        if !creation.is_named(&arriving.state) {
            creation.drop(&mut arriving.state);
            return vec![arriving];
        }
        let before = creation.without(&arriving.state);
        self.follow(effect, (&before, tellings), arriving, at)
    }

    /// The effects of a mutation that is done.
    fn follow(
        &self,
        effect: &Effect,
        (before, tellings): (&State, &[Telling]),
        arriving: Arriving,
        at: UnixTime,
    ) -> Vec<Arriving> {
        let mut shows = Covered::new();
        covers!(shows, "FAIL-21");
        let tellings = if arriving.state.watches.is_empty() { &tellings[..1] } else { tellings };
        let (touched, place) = (effect.about.touched(self.hive), &effect.place);
        let mut all = Vec::new();
        for &telling in tellings {
            let Arriving { state, covered, audit, due } = &arriving;
            let mut due = due.clone();
            let told = by_the_kernel(state.clone(), *covered, audit.clone(), at, |work| {
                let mut covered = work.covered;
                let unopened =
                    effect.track_orphans(before, &mut work.state, self.hive, &mut covered);
                due.extend(unopened.into_iter().map(|key| Due::Drop(self.hive, key)));
                work.covered = covered;
                committed_late(work, before, touched, place, telling);
            });
            due.push(Due::refresh(before, &[touched], IsTransaction::No));
            all.extend(told.into_iter().map(|one| one.with(&due)));
        }
        for told in &mut all {
            told.covered.add(&shows);
            if told.state.watches != arriving.state.watches {
                covers!(told.covered, "FAIL-22");
            }
        }
        all
    }

    /// The deletion of a layer has been answered: the response names the orphans. Where there is a layer of that
    /// name again it may have lost entries (P-264); where there is none, no view changes any more (P-318).
    fn delete_layer(&self, (name, told): (&FoldedName, &Ends), mut arriving: Arriving) -> Arriving {
        let Arriving { state, covered, due, .. } = &mut arriving;
        let before = state.clone();
        let Some(slot) = state.hives.get(&self.hive).map(|hive| hive.slot) else { return arriving };
        let hives: Vec<HiveId> = state.hives_of(slot).map(|(hive, _)| hive).collect();
        let unopened = layer_effects::orphaned_at_source(state, slot, name, covered);
        if state.orphans != before.orphans || !unopened.is_empty() {
            covers!(covered, "FAIL-24");
        }
        due.extend(unopened.into_iter().map(|(hive, key)| Due::Drop(hive, key)));
        let is_there_again = state.layers.contains_key(name);
        let counted = if is_there_again { Generation::step } else { Generation::uncertain };
        for hive in &hives {
            state.change_generation(*hive, counted);
        }
        state.enumerations = Map::new_sync();
        if is_there_again {
            watches::unknown(&before, state, &hives);
        }
        let none = BTreeSet::new();
        let were_told = told.as_ref().map_or(&none, |told| &**told);
        watches::orphaned_late(&before, state, &hives, were_told, covered);
        if state.watches != before.watches {
            covers!(covered, "FAIL-22");
        }
        arriving
    }
}

impl Arriving {
    pub(crate) fn at(state: State, covered: Covered, audit: Vec<AuditPattern>) -> Arriving {
        Arriving { state, covered, audit, due: Vec::new() }
    }

    fn with(self, due: &[Due]) -> Arriving {
        Arriving { due: due.to_vec(), ..self }
    }
}

/// Something that the kernel does for nobody.
pub(crate) fn by_the_kernel(
    state: State,
    covered: Covered,
    audit: Vec<AuditPattern>,
    at: UnixTime,
    action: impl FnOnce(&mut Work<'_>),
) -> Vec<Arriving> {
    let nobody = Caller { process: ProcessId(u32::MAX), token: Token::system() };
    let mut work = Work::of_the_kernel(&state, &nobody, at);
    action(&mut work);
    let steps = work.into_steps(Ok(Outcome::Nothing));
    steps
        .into_iter()
        .map(|step| {
            let mut covered = covered;
            covered.add(&step.covered);
            let audit = audit.iter().cloned().chain(step.audit).collect();
            Arriving { state: step.next, covered, audit, due: Vec::new() }
        })
        .collect()
}
