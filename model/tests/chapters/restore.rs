//! Restore: what it brings, what is refused, and what is told of it.

use expect_test::expect;
use registry_model::backup::stream::{HIDDEN, Record};
use registry_model::errno::Errno;
use registry_model::input::{CommitRefusal, Fd, StreamAccess};
use registry_model::security::Privilege;
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Input, Observation, Step};

use crate::callers::{alice, changed, speaking, with_privilege};
use crate::stream_records;
use crate::world::{SOURCE, World, check, errno, write};

#[test]
fn a_restore_brings_back_what_there_was() {
    check(
        "layer Over 5
         create Machine\\k
         set Machine\\k v one
         set Machine\\k w two in Over
         create Machine\\k\\a
         set Machine\\k\\a x deep
         create Machine\\k\\b
         hide Machine\\k\\b in Over
         backup Machine\\k s
         set Machine\\k v other
         unset Machine\\k w in Over
         delete Machine\\k\\a
         create Machine\\k\\c
         get Machine\\k v
         restore Machine\\k s
         view Machine\\k
         get Machine\\k v
         get Machine\\k w",
        expect![[r#"
            layer Over 5
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v one
              -> ok
            set Machine\k w two in Over
              -> ok
            create Machine\k\a
              -> created
            set Machine\k\a x deep
              -> ok
            create Machine\k\b
              -> created
            hide Machine\k\b in Over
              -> ok
            backup Machine\k s
              -> ok
            set Machine\k v other
              -> ok
            unset Machine\k w in Over
              -> ok
            delete Machine\k\a
              -> ok
            create Machine\k\c
              -> created
            get Machine\k v
              -> sz "other" from base, sequence 13
            restore Machine\k s
              -> ok
            view Machine\k
              -> 
                 Machine\k v=one@base w=two@Over
                 Machine\k\a x=deep@base
                 Machine\k\b absent
            get Machine\k v
              -> sz "one" from base, sequence 22
            get Machine\k w
              -> sz "two" from Over, sequence 23
        "#]],
    );
}

#[test]
fn a_restore_into_another_key_needs_guids_that_are_free() {
    check(
        "create Machine\\k
         create Machine\\k\\a
         backup Machine\\k s
         create Machine\\other
         restore Machine\\other s
         delete Machine\\k\\a
         restore Machine\\other s
         view Machine\\other
         create Users\\u
         restore Users\\u s",
        expect![[r#"
            create Machine\k
              -> created
            create Machine\k\a
              -> created
            backup Machine\k s
              -> ok
            create Machine\other
              -> created
            restore Machine\other s
              -> EEXIST
            delete Machine\k\a
              -> ok
            restore Machine\other s
              -> ok
            view Machine\other
              -> 
                 Machine\other
                 Machine\other\a
            create Users\u
              -> created
            restore Users\u s
              -> EEXIST
        "#]],
    );
}

#[test]
fn a_key_that_is_part_of_its_own_backup_is_in_use() {
    check(
        "create Machine\\k
         create Machine\\k\\a
         backup Machine\\k s
         restore Machine\\k\\a s",
        expect![[r#"
            create Machine\k
              -> created
            create Machine\k\a
              -> created
            backup Machine\k s
              -> ok
            restore Machine\k\a s
              -> EEXIST
        "#]],
    );
}

#[test]
fn descendants_that_are_made_again_go_on_and_others_are_gone() {
    check(
        "create Machine\\k
         create a Machine\\k\\a
         backup Machine\\k s
         set $a v 1
         create b Machine\\k\\b
         set $b v 1
         restore Machine\\k s
         get $a v
         set $a v 2
         get Machine\\k\\a v
         get $b v
         set $b v 2
         close $b
         create Machine\\k\\b
         backup Machine\\k t",
        expect![[r#"
            create Machine\k
              -> created
            create a Machine\k\a
              -> created
            backup Machine\k s
              -> ok
            set $a v 1
              -> ok
            create b Machine\k\b
              -> created
            set $b v 1
              -> ok
            restore Machine\k s
              -> ok
            get $a v
              -> ENOENT
            set $a v 2
              -> ok
            get Machine\k\a v
              -> sz "2" from base, sequence 15
            get $b v
              -> ENOENT
            set $b v 2
              -> ENOENT
            close $b
              -> ok
            create Machine\k\b
              -> created
            backup Machine\k t
              -> ok
        "#]],
    );
}

#[test]
fn an_open_orphan_keeps_its_guid() {
    check(
        "create Machine\\k
         create a Machine\\k\\a
         backup Machine\\k s
         delete $a
         restore Machine\\k s
         close $a
         restore Machine\\k s
         view Machine\\k",
        expect![[r#"
            create Machine\k
              -> created
            create a Machine\k\a
              -> created
            backup Machine\k s
              -> ok
            delete $a
              -> ok
            restore Machine\k s
              -> EEXIST
            close $a
              -> ok
            restore Machine\k s
              -> ok
            view Machine\k
              -> 
                 Machine\k
                 Machine\k\a
        "#]],
    );
}

#[test]
fn layer_metadata_in_the_stream_defines_its_layer() {
    check(
        "layer Over 5
         create Machine\\k
         set Machine\\k v base
         backup Machine\\System s
         backup Machine\\k k
         set Machine\\k v over in Over
         backup Machine\\k t
         delete Machine\\System\\Registry\\Layers\\Over
         layers
         restore Machine\\k t
         get Machine\\k v
         restore Machine\\System s
         layers
         get Machine\\k v",
        expect![[r#"
            layer Over 5
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v base
              -> ok
            backup Machine\System s
              -> ok
            backup Machine\k k
              -> ok
            set Machine\k v over in Over
              -> ok
            backup Machine\k t
              -> ok
            delete Machine\System\Registry\Layers\Over
              -> ok
            layers
              -> base 0
            restore Machine\k t
              -> ok
            get Machine\k v
              -> sz "base" from base, sequence 16
            restore Machine\System s
              -> ok
            layers
              -> base 0, Over 5
            get Machine\k v
              -> sz "over" from Over, sequence 17
        "#]],
    );
}

#[test]
fn parameters_in_the_stream_come_into_force() {
    let mut world = World::with_layers();
    world.transcript(
        "dword Machine\\System\\Registry MaxPathComponentLength 100
         backup Machine\\System s
         dword Machine\\System\\Registry MaxPathComponentLength 200",
    );
    assert_eq!(world.state.limits().max_path_component_length, 200);
    let answer = world.transcript("restore Machine\\System s");
    assert_eq!(answer, "restore Machine\\System s\n  -> ok\n");
    assert_eq!(world.state.limits().max_path_component_length, 100);
}

/// A world with a backup `s` of Machine\k, and the fd of that.
fn backed_up() -> (World, Fd) {
    let mut world = World::with_layers();
    world.transcript(
        "create k Machine\\k\nset $k v one\ncreate Machine\\k\\a\nbackup $k s\nset $k v two",
    );
    let fd = world.handle("k");
    (world, fd)
}

fn input(world: &mut World) -> Fd {
    let bytes = world.streams["s"].clone();
    world.stream(StreamAccess::Read, &bytes)
}

fn restoring(world: &mut World, fd: Fd) -> Vec<Step> {
    let input = input(world);
    world.steps(&Call::Restore { fd, input }, false)
}

fn outcomes(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.outcome.to_string()).collect()
}

#[test]
fn refusals_come_in_their_order() {
    let (mut world, key) = backed_up();
    world.transcript("create o Machine\\o\ndelete $o");
    let (orphan, input) = (world.handle("o"), input(&mut world));
    let output = world.stream(StreamAccess::Write, &[]);
    let answer = |world: &World, fd, input| {
        let step = world.steps(&Call::Restore { fd, input }, false).swap_remove(0);
        (errno(&step.outcome.example(0).unwrap()), step.audit.len())
    };
    assert_eq!(answer(&world, 999, input), (Some(Errno::EBADF), 0));
    for wrong in [999, key, output] {
        assert_eq!(answer(&world, orphan, wrong), (Some(Errno::EBADF), 0));
    }
    assert_eq!(answer(&world, orphan, input), (Some(Errno::ENOENT), 0));
    speaking(&mut world, &with_privilege(&alice(), Privilege::Backup), |world| {
        assert_eq!(answer(world, key, output), (Some(Errno::EPERM), 0));
    });
    assert_eq!(answer(&world, key, input), (None, 2));
    let unsupported = Environment::TransactionSupport { source: SOURCE, is_supported: false };
    world.environment(unsupported);
    assert_eq!(answer(&world, key, input), (Some(Errno::ENOTSUP), 0));
    world.transcript("down");
    assert_eq!(answer(&world, key, input), (Some(Errno::EIO), 0));
}

#[test]
fn a_backup_needs_no_transactions_for_writing() {
    let (mut world, _) = backed_up();
    world.environment(Environment::TransactionSupport { source: SOURCE, is_supported: false });
    assert_eq!(world.transcript("backup $k t"), "backup $k t\n  -> ok\n");
}

#[test]
fn a_restore_counts_as_a_bound_transaction() {
    let (mut world, key) = backed_up();
    world.transcript(
        "dword Machine\\System\\Registry MaxBoundTransactionsPerSource 1
         create Users\\u
         begin t
         set Users\\u v 1 with t",
    );
    assert_eq!(outcomes(&restoring(&mut world, key))[0], "EBUSY");
    assert_eq!(restoring(&mut world, key)[0].audit.len(), 0);
}

#[test]
fn a_backup_waits_for_the_volatile_data_of_every_hive() {
    let (mut world, fd) = backed_up();
    let output = world.stream(StreamAccess::Write, &[]);
    let backing = |world: &World| {
        let call = Call::Backup { fd, output };
        outcomes(&world.steps_within(&call, 26_000_000_000, false))
    };
    world.transcript("create u Users\\u\nbegin t\nset $u v 1 with t");
    assert_eq!(backing(&world), ["ok"]);
    world.transcript("commit $t\nvolatile Users\\w\nbegin t\nset $u v 2 with t");
    assert_eq!(backing(&world), ["ok", "EBUSY"]);
}

#[test]
fn a_restore_waits_for_the_write_lock() {
    let (mut world, fd) = backed_up();
    world.transcript("begin t\nset $k v 3 with t");
    let input = input(&mut world);
    let call = Call::Restore { fd, input };
    assert_eq!(outcomes(&world.steps(&call, false)), ["no answer yet: the write lock is taken"]);
    let late = world.steps_within(&call, 26_000_000_000, false);
    assert_eq!(outcomes(&late)[0], "EBUSY");
    assert_eq!(late[0].audit.len(), 2);
}

#[test]
fn a_refused_commit_rolls_everything_back() {
    for (refusal, errno) in [(CommitRefusal::Busy, "EBUSY"), (CommitRefusal::Failed, "EIO")] {
        let (mut world, key) = backed_up();
        world.environment(Environment::RefusedCommit { source: SOURCE, refusal });
        let steps = restoring(&mut world, key);
        assert_eq!(outcomes(&steps), [errno]);
        let before: Vec<_> = world.state.raw().collect();
        assert_eq!(steps[0].next().raw().collect::<Vec<_>>(), before);
        assert!(steps[0].next().next_sequence() > world.state.next_sequence());
    }
}

#[test]
fn watches_above_and_within_overflow() {
    let (mut world, fd) = backed_up();
    world.transcript("open a Machine\\k\\a\nopen r Machine");
    world.transcript("create Machine\\z\nopen z Machine\\z");
    let root = world.handle("r");
    for (fd, subtree) in [(fd, 0), (world.handle("a"), 0), (root, 1), (world.handle("z"), 1)] {
        assert_eq!(world.call(Call::Notify { fd, filter: 4, subtree }).0, Observation::Done);
    }
    let restored = restoring(&mut world, fd).swap_remove(0);
    world.state = restored.next().clone();
    let events = |world: &World, fd| {
        let step = world.steps(&Call::ReadEvents { fd, capacity: 100 }, false).swap_remove(0);
        step.outcome.example(0).unwrap()
    };
    let told = [fd, world.handle("a"), root].map(|fd| events(&world, fd));
    let Observation::Events(bytes) = &told[0] else { panic!("{}", told[0]) };
    assert_eq!(bytes.len(), 8);
    assert!(told.iter().all(|event| event == &told[0]));
    assert_eq!(events(&world, world.handle("z")), Observation::Failed(Errno::EAGAIN));
}

#[test]
fn a_restore_is_one_step_of_the_generation() {
    let (mut world, fd) = backed_up();
    let generation = |world: &mut World| {
        let call = Call::QueryKeyInfo { fd, name_capacity: 100 };
        match world.call(call).0 {
            Observation::KeyInfo(info) => (info.hive_generation, info.last_write_time),
            other => panic!("{other}"),
        }
    };
    let (before, changed_at) = generation(&mut world);
    world.transcript("restore $k s");
    let (after, restored_at) = generation(&mut world);
    assert_eq!(after, before + 1);
    assert!(restored_at < changed_at, "the time is that of the stream");
}

#[test]
fn a_death_of_the_source_leaves_all_or_nothing() {
    let (mut world, fd) = backed_up();
    let input = input(&mut world);
    let before: Vec<_> = world.state.raw().collect();
    let steps = world.steps(&Call::Restore { fd, input }, true);
    assert_eq!(steps[0].outcome.to_string(), "ok");
    let after: Vec<_> = steps[0].next().raw().collect();
    let (mut nothing, mut all) = (0, 0);
    for step in &steps[1..] {
        assert_eq!(step.outcome.to_string(), "EIO");
        let raw: Vec<_> = step.next().raw().collect();
        assert!(raw == before || raw == after);
        nothing += usize::from(raw == before);
        all += usize::from(raw == after);
    }
    assert!(nothing > 0 && all > 0);
}

#[test]
fn a_stream_is_read_once() {
    let (mut world, fd) = backed_up();
    let input = input(&mut world);
    assert_eq!(world.call(Call::Restore { fd, input }).0, Observation::Done);
    assert_eq!(world.call(Call::Restore { fd, input }).0, Observation::Failed(Errno::EINVAL));
    let cut = world.streams["s"][..100].to_vec();
    let cut = world.stream(StreamAccess::Read, &cut);
    for _ in 0..2 {
        let answer = world.call(Call::Restore { fd, input: cut }).0;
        assert_eq!(answer, Observation::Failed(Errno::EINVAL));
    }
}

/// Whether malformed data may be reported in the course of a call.
fn may_report(step: &Step) -> bool {
    step.audit.iter().any(|event| event.event == "LCS_SOURCE_VALIDATION_FAILURE" && event.optional)
}

#[test]
fn malformed_entries_in_the_way_fail_it_and_descriptors_do_not() {
    let path = ["Machine", "k", "a"].map(str::to_owned).to_vec();
    let put = |world: &mut World, record| {
        let key = StoredKey { path: path.clone(), through: None };
        world.environment(Environment::StoreEntry(StoreEntry { key, record }));
    };
    let (mut world, fd) = backed_up();
    put(&mut world, StoredRecord::Descriptor { bytes: vec![1] });
    let steps = restoring(&mut world, fd);
    assert_eq!(outcomes(&steps), ["ok"]);
    assert!(may_report(&steps[0]), "a bad descriptor may be reported");
    let (mut world, fd) = backed_up();
    let (name, layer) = ("v".to_owned(), "base".to_owned());
    let sequence = StoredSequence::Number(1);
    put(&mut world, StoredRecord::Value { name, layer, value_type: 77, data: vec![], sequence });
    let steps = restoring(&mut world, fd);
    assert_eq!(outcomes(&steps), ["EIO"]);
    let events: Vec<&str> = steps[0].audit.iter().map(|event| event.event).collect();
    let rejection = "LCS_SOURCE_VALIDATION_FAILURE";
    assert_eq!(events, ["LCS_RESTORE_START", rejection, rejection, "LCS_RESTORE_COMPLETE"]);
    let optional: Vec<bool> = steps[0].audit.iter().map(|event| event.optional).collect();
    assert_eq!(optional, [false, true, true, false]);
}

#[test]
fn a_restored_precedence_above_zero_needs_the_privilege() {
    let mut world = World::with_layers();
    world.transcript("layer Over 0\nopen l Machine\\System\\Registry\\Layers\nbackup $l zero");
    world.transcript("layer Over 5\nbackup $l five\nopen s Machine\\System\nbackup $s above");
    world.transcript("open o Machine\\System\\Registry\\Layers\\Over\nbackup $o itself");
    let caller = changed(&world.caller.token.clone(), |fields| {
        fields.privileges.remove(&Privilege::Tcb);
    });
    world.transcript("dword Machine\\System\\Registry\\Layers\\Over Precedence 0");
    speaking(&mut world, &caller, |world| {
        let text = world
            .transcript("restore $l five\nrestore $s above\nrestore $o itself\nrestore $l zero");
        expect![[r#"
            restore $l five
              -> EPERM
            restore $s above
              -> EPERM
            restore $o itself
              -> EPERM
            restore $l zero
              -> ok
        "#]]
        .assert_eq(&text);
    });
}

#[test]
fn a_target_is_opened_by_its_fd_alone() {
    let (mut world, fd) = backed_up();
    let input = input(&mut world);
    let caller = with_privilege(&alice(), Privilege::Restore);
    let answer = speaking(&mut world, &caller, |world| world.call(Call::Restore { fd, input }).0);
    assert_eq!(answer, Observation::Done);
}

#[test]
fn restored_numbers_that_tie_are_malformed_data() {
    let mut world = World::with_layers();
    world.transcript(
        "layer Over 0\nlayer Other 0\ncreate k Machine\\k
         set $k v one\nset $k v two in Over\nbackup $k s",
    );
    let tied = stream_records::changed(&world.streams["s"], |record| {
        if let Record::Value(line) = record {
            line.sequence = 5;
        }
    });
    world.streams.insert("tied".to_owned(), tied);
    world.transcript("restore $k tied");
    let fd = world.handle("k");
    assert_eq!(world.call(Call::Notify { fd, filter: 7, subtree: 0 }).0, Observation::Done);
    assert_eq!(world.transcript("get $k v"), "get $k v\n  -> EIO\n");
    let step = world.call(write(fd, "v", 1, b"three", b"Other")).1;
    assert_eq!(step.outcome.to_string(), "ok");
    assert!(may_report(&step), "who looks for what to tell meets the tie");
}

#[test]
fn numbers_in_their_order_leave_nothing_to_report() {
    let (mut world, fd) = backed_up();
    world.transcript("restore $k s");
    assert_eq!(world.call(Call::Notify { fd, filter: 7, subtree: 0 }).0, Observation::Done);
    let step = world.call(write(fd, "v", 1, b"three", b"")).1;
    assert!(!may_report(&step));
}

#[test]
fn whether_an_orphan_that_was_closed_under_a_lock_is_there_is_open() {
    let (mut world, fd) = backed_up();
    world.transcript("open a Machine\\k\\a\ndelete $a\ncreate Machine\\z");
    world.transcript("begin t\nset Machine\\z v 1 with t\nclose $a\ncommit $t");
    let steps = restoring(&mut world, fd);
    assert_eq!(outcomes(&steps), ["ok", "EEXIST"]);
    let before: Vec<_> = world.state.raw().collect();
    assert_eq!(steps[1].next().raw().collect::<Vec<_>>(), before);
}

#[test]
fn an_orphan_that_nobody_dropped_keeps_its_guid() {
    let mut world = World::with_layers();
    world.transcript(
        "create k Machine\\k\ncreate Machine\\k\\p\ncreate Machine\\k\\p\\c\nbackup $k s
         open p Machine\\k\\p\nhide $p\nclose $p",
    );
    // Made again, the key has c below it, until an entry hides that: nobody learns that it has lost its name.
    let mut records = stream_records::records(&world.streams["s"]);
    records.remove(5);
    let Some(Record::PathEntry(line)) = records.get_mut(5) else { panic!("{records:?}") };
    line.child = HIDDEN;
    world.streams.insert("hidden".to_owned(), stream_records::stream(&records));
    assert_eq!(world.transcript("restore $k hidden"), "restore $k hidden\n  -> ok\n");
    let fd = world.handle("k");
    assert_eq!(outcomes(&restoring(&mut world, fd)), ["EEXIST"]);
}

#[test]
fn an_orphan_whose_drop_a_disk_may_have_refused_is_there_or_not() {
    let (mut world, restored) = backed_up();
    world.transcript("open a Machine\\k\\a\ndelete $a");
    let close = Call::Close { fd: world.handle("a") };
    let mut after: Vec<String> = world
        .steps(&close, true)
        .iter()
        .flat_map(|step| outcomes(&restoring(&mut world.in_state(step.next(), 0), restored)))
        .collect();
    after.sort();
    after.dedup();
    assert_eq!(after, ["EEXIST", "ok"]);
}

#[test]
fn an_orphan_that_was_closed_at_a_stalled_source_is_gone_when_that_has_answered() {
    let (mut world, fd) = backed_up();
    world.transcript("open a Machine\\k\\a\ndelete $a");
    world.environment(Environment::SourceStalled { source: SOURCE });
    world.transcript("close $a");
    let at = world.now;
    world.environment(Environment::SourceReleased {
        source: SOURCE,
        at,
        dying: Default::default(),
    });
    assert_eq!(outcomes(&restoring(&mut world, fd)), ["ok"]);
    // A source that goes instead purges it before it registers again.
    world.transcript("down\nresume");
    assert_eq!(outcomes(&restoring(&mut world, fd)), ["ok"]);
}

/// Whether both events are due, or neither.
fn is_told_of(step: &Step) -> bool {
    let due: Vec<_> = step.audit.iter().map(|due| (due.event, due.optional)).collect();
    let both = [("LCS_RESTORE_START", false), ("LCS_RESTORE_COMPLETE", false)];
    assert!(due.is_empty() || due == both, "{due:?}");
    !due.is_empty()
}

#[test]
fn a_restore_that_has_not_started_has_no_event_and_reads_nothing() {
    let (mut world, fd) = backed_up();
    let input = input(&mut world);
    let call = Call::Restore { fd, input };
    let mut stalling = world.clone();
    stalling.environment(Environment::SourceStalls { source: SOURCE });
    let late = stalling.steps_within(&call, 30_000_000_000, false);
    for steps in [world.steps(&call, true), late] {
        let again = |step: &Step| {
            let down = Input::Environment(Environment::SourceDown { source: SOURCE });
            let mut world = world.in_state(step.next().step(&down)[0].next(), 0);
            world.transcript("resume");
            outcomes(&world.steps(&call, false)) == ["ok"]
        };
        let (told, untold): (Vec<&Step>, Vec<&Step>) =
            steps[1..].iter().partition(|step| is_told_of(step));
        assert!(!untold.is_empty() && untold.iter().all(|step| again(step)));
        // It has started, and has read nothing, or something.
        assert!(told.iter().any(|step| again(step)) && told.iter().any(|step| !again(step)));
    }
}

/// Whether a step has shown a requirement.
fn shows(step: &Step, id: &str) -> bool {
    step.covered.iter().any(|shown| shown == id)
}

#[test]
fn what_a_teardown_removes_is_shown_where_something_goes() {
    let (mut world, fd) = backed_up();
    let ids = ["RST-01", "IOC-160", "RST-26", "RST-27", "RST-28", "RST-29"];
    let shown = |world: &mut World| {
        let step = restoring(world, fd).swap_remove(0);
        ids.into_iter().filter(|id| shows(&step, id)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&mut world), [""; 0]);
    let with = |lines: &str| {
        let mut world = world.clone();
        world.transcript(lines);
        shown(&mut world)
    };
    assert_eq!(with("create Machine\\k\\b"), ["RST-01", "IOC-160", "RST-26", "RST-29"]);
    assert_eq!(with("set Machine\\k\\a v 1"), ["RST-01", "IOC-160", "RST-27"]);
    assert_eq!(with("blanket $k on"), ["RST-01", "IOC-160", "RST-28"]);
}

#[test]
fn a_target_that_is_gone_is_missed_with_the_stream_read_or_not() {
    let (mut world, fd) = backed_up();
    world.transcript("volatile Machine\\w\nopen w Machine\\w\ndown\nresume");
    let (gone, input) = (world.handle("w"), input(&mut world));
    let steps = world.steps(&Call::Restore { fd: gone, input }, false);
    assert_eq!(outcomes(&steps), ["ENOENT", "ENOENT"]);
    let next = steps.iter().map(|step| {
        let world = world.in_state(step.next(), 0);
        outcomes(&world.steps(&Call::Restore { fd, input }, false))
    });
    assert_eq!(next.collect::<Vec<_>>(), [["EINVAL"], ["ok"]]);
}
