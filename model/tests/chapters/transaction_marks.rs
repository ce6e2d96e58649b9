//! Marks of transactions: a requirement is shown where its rule decides, and not beside it.

use registry_model::coverage::Covered;
use registry_model::input::{CommitRefusal, Fd};
use registry_model::{Call, Environment, Input, Outcome, Step};

use crate::world::{SOURCE, World, query, write};

const VALUE: u32 = 0x01;
const SD: u32 = 0x04;

/// A key with a watch of this filter, and a transaction that has set one of its values.
fn watched(filter: u32) -> (World, Fd, Covered) {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nopen w Machine\\k\nset $k v old\nbegin t");
    let fd = world.handle("w");
    world.call(Call::Notify { fd, filter, subtree: 0 });
    let covered = set(&mut world, "v", "new");
    let t = world.handle("t");
    (world, t, covered)
}

/// Sets a value of the key in the transaction.
fn set(world: &mut World, name: &str, text: &str) -> Covered {
    let fd = world.handle("k");
    world.call_within("t", write(fd, name, 1, text.as_bytes(), b"")).1.covered
}

fn covered(world: &mut World, call: Call) -> Covered {
    world.call(call).1.covered
}

/// What is shown, of these, if the watch would be told; nothing of them may be if it would not.
fn are_shown_where_somebody_is_concerned(ids: &[&str], act: impl Fn(&mut World, Fd) -> Covered) {
    for (filter, is_concerned) in [(VALUE, true), (SD, false)] {
        let (mut world, t, _) = watched(filter);
        let covered = act(&mut world, t);
        for id in ids {
            assert_eq!(covered.contains(id), is_concerned, "{id}, filter {filter}");
        }
    }
}

fn refuse(world: &mut World, t: Fd) -> Covered {
    let refusal = CommitRefusal::Busy;
    world.environment(Environment::RefusedCommit { source: SOURCE, refusal });
    covered(world, Call::Commit { fd: t })
}

#[test]
fn that_nothing_is_told_shows_where_something_would_have_been() {
    for (filter, is_concerned) in [(VALUE, true), (SD, false)] {
        let (_, _, covered) = watched(filter);
        for id in ["TXN-81", "WATCH-09"] {
            assert_eq!(covered.contains(id), is_concerned, "{id}");
        }
    }
    let ids = ["DISP-46", "WATCH-11", "TXN-35", "TXN-53"];
    are_shown_where_somebody_is_concerned(&ids, |world, t| covered(world, Call::Close { fd: t }));
    are_shown_where_somebody_is_concerned(&["TXN-54"], |world, _| {
        world.wait(31_000_000_000);
        let fd = world.handle("w");
        covered(world, Call::ReadEvents { fd, capacity: 1_000 })
    });
    are_shown_where_somebody_is_concerned(&["TXN-55"], |world, _| {
        let input = Input::Environment(Environment::SourceDown { source: SOURCE });
        world.state.step(&input).swap_remove(0).covered
    });
    are_shown_where_somebody_is_concerned(&["TXN-62", "IOC-190"], refuse);
}

#[test]
fn a_write_that_changes_nothing_effective_would_not_be_told() {
    let (mut world, t, _) = watched(VALUE);
    covered(&mut world, Call::Commit { fd: t });
    world.transcript("begin t");
    let covered = set(&mut world, "v", "new");
    assert!(!covered.contains("TXN-81"));
}

#[test]
fn a_retry_shows_that_the_log_was_kept_by_what_was_in_it() {
    let retried = |world: &mut World, t| {
        refuse(world, t);
        covered(world, Call::Commit { fd: t })
    };
    are_shown_where_somebody_is_concerned(&["TXN-61", "IOC-189"], retried);
    // What is told was written after the refusal.
    let (mut world, t, _) = watched(VALUE);
    covered(&mut world, Call::Commit { fd: t });
    world.transcript("begin t");
    set(&mut world, "v", "new");
    let t = world.handle("t");
    refuse(&mut world, t);
    set(&mut world, "other", "new");
    assert!(!covered(&mut world, Call::Commit { fd: t }).contains("TXN-61"));
}

#[test]
fn a_batch_has_several_events() {
    let (mut world, t, _) = watched(VALUE);
    let one = covered(&mut world, Call::Commit { fd: t });
    world.transcript("begin t");
    set(&mut world, "v", "a");
    set(&mut world, "v", "b");
    let t = world.handle("t");
    let alike = covered(&mut world, Call::Commit { fd: t });
    world.transcript("begin t");
    set(&mut world, "v", "c");
    set(&mut world, "w", "c");
    let t = world.handle("t");
    let two = covered(&mut world, Call::Commit { fd: t });
    let shown = |covered: &Covered| {
        ["TXN-28", "DISP-41", "DISP-42", "DISP-43"].map(|id| covered.contains(id))
    };
    assert_eq!(shown(&one), [false, false, false, false]);
    assert_eq!(shown(&alike), [true, true, false, false]);
    assert_eq!(shown(&two), [true, true, true, false]);
}

#[test]
fn what_others_change_in_between_shows_that_a_batch_is_in_one_piece() {
    let mut world = World::with_layers();
    world.transcript("layer gpo 5\ncreate k Users\\k\nset $k v x in gpo\nopen w Users\\k\nbegin t");
    let fd = world.handle("w");
    world.call(Call::Notify { fd, filter: VALUE, subtree: 0 });
    set(&mut world, "a", "x");
    world.transcript("dword Machine\\System\\Registry\\Layers\\gpo Enabled 0");
    set(&mut world, "b", "x");
    let t = world.handle("t");
    assert!(covered(&mut world, Call::Commit { fd: t }).contains("DISP-43"));
}

#[test]
fn precedence_shows_by_who_wins() {
    let mut world = World::with_layers();
    world.transcript(
        "layer low 5\nlayer high 10\ncreate k Machine\\k\nset $k v low in low\nset $k v high in high
         set $k own low in low\nopen l Machine\\System\\Registry\\Layers\\high\nbegin t
         dword $l Precedence 1 with t",
    );
    let fd = world.handle("k");
    let t = world.handle("t");
    let shown = |covered: Covered| ["TXN-71", "TXN-73"].map(|id| covered.contains(id));
    let inside =
        |world: &mut World, name: &str| shown(world.call_within("t", query(fd, name)).1.covered);
    let outside = |world: &mut World, name: &str| shown(covered(world, query(fd, name)));
    assert_eq!(inside(&mut world, "v"), [true, false]);
    assert_eq!(inside(&mut world, "own"), [false, false]);
    assert_eq!(outside(&mut world, "v"), [false, false]);
    assert!(!covered(&mut world, Call::Commit { fd: t }).contains("TXN-73"));
    assert_eq!(outside(&mut world, "own"), [false, false]);
    assert_eq!(outside(&mut world, "v"), [false, true]);
}

#[test]
fn only_what_was_bound_frees_a_place_by_its_end() {
    let mut world = World::with_layers();
    world.transcript(
        "create k Machine\\k\ndword Machine\\System\\Registry MaxBoundTransactionsPerSource 1
         begin u\nwait 31\nbegin t",
    );
    assert!(!set(&mut world, "v", "a").contains("TXN-89"));
    let t = world.handle("t");
    world.call(Call::Commit { fd: t });
    world.transcript("begin t");
    assert!(set(&mut world, "v", "b").contains("TXN-89"));
}

#[test]
fn the_beginning_of_a_lifetime_shows_where_the_bind_came_later() {
    let ends = |lines: &str| {
        let mut world = World::with_layers();
        world.transcript("create k Machine\\k\nbegin t");
        world.transcript(lines);
        let fd = world.handle("t");
        covered(&mut world, Call::TransactionStatus { fd }).contains("TXN-43")
    };
    assert!(ends("wait 31"));
    assert!(ends("wait 20\nset $k v x with t\nwait 11"));
    assert!(!ends("set $k v x with t\nwait 31"));
    assert!(!ends("wait 1\nset $k v x with t\nwait 40"));
}

#[test]
fn only_a_subtree_watch_could_be_told_of_its_own_key_twice() {
    for subtree in [0, 1] {
        let mut world = World::with_layers();
        world.transcript("create k Machine\\k");
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: VALUE, subtree });
        let covered = covered(&mut world, write(fd, "v", 1, b"x", b""));
        assert_eq!(covered.contains("DISP-37"), subtree == 1);
    }
}

/// Asserts that these are shown by the endings that succeed, of which there are both, and by no other.
fn are_shown_by_success(ids: &[&str], steps: &[Step]) {
    let is_done = |step: &Step| matches!(step.outcome, Outcome::Done);
    assert!(steps.iter().any(is_done) && !steps.iter().all(is_done), "{steps:?}");
    for step in steps {
        for id in ids {
            assert_eq!(step.covered.contains(id), is_done(step), "{id}: {}", step.outcome);
        }
    }
}

#[test]
fn a_call_that_ends_otherwise_shows_nothing_of_what_it_would_have_done() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k v old");
    let fd = world.handle("k");
    let set = write(fd, "v", 1, b"new", b"");
    are_shown_by_success(&["IOC-036", "KEY-27", "SEQ-22"], &world.steps(&set, true));
    world.transcript("begin t\nset $k w new with t");
    let transaction = world.handle("t");
    let flush = world.steps_within(&Call::Flush { fd }, 26_000_000_000, false);
    are_shown_by_success(&["IOC-145", "IOC-146"], &flush);
    world.wait(29_999_999_990);
    let Call::SetValue { fd, name, value_type, data, layer, expected_sequence, .. } = set else {
        panic!("a write is one");
    };
    let set = Call::SetValue { fd, name, value_type, data, layer, transaction, expected_sequence };
    are_shown_by_success(&["IOC-036", "IOC-002"], &world.steps(&set, false));
}
