//! Transactions: binding, isolation, commit and abort.

use expect_test::expect;
use registry_model::input::{CommitRefusal, ProcessId};
use registry_model::store_entry::{StoreEntry, StoredKey, StoredRecord, StoredSequence};
use registry_model::{Call, Environment, Errno, Observation};

use crate::stalls::lengths_of_events;
use crate::world::{OTHER_SOURCE, SOURCE, World, check, errno, open};

#[test]
fn a_commit_makes_everything_visible_together() {
    check(
        "create k Machine\\k
         begin t
         set $k a 1 with t
         set $k b 2 with t
         get $k a
         get $k a with t
         batch $k with t
         commit $t
         batch $k
         status $t
         poll $t
         set $k a 3 with t
         get $k a with t
         commit $t",
        expect![[r#"
            create k Machine\k
              -> created
            begin t
              -> begun
            set $k a 1 with t
              -> ok
            set $k b 2 with t
              -> ok
            get $k a
              -> ENOENT
            get $k a with t
              -> sz "1" from base, sequence 5
            batch $k with t
              -> 2 values: "a" = sz "1", "b" = sz "2"
            commit $t
              -> ok
            batch $k
              -> 2 values: "a" = sz "1", "b" = sz "2"
            status $t
              -> transaction state 2, errno 0
            poll $t
              -> terminal
            set $k a 3 with t
              -> EINVAL
            get $k a with t
              -> EINVAL
            commit $t
              -> EINVAL
        "#]],
    );
}

#[test]
fn an_abort_leaves_nothing_but_a_gap_in_the_numbers() {
    check(
        "create k Machine\\k
         set $k v old
         begin t
         set $k v new with t
         create $k\\c with t
         close $t
         get $k v
         open $k\\c
         set $k v newer
         get $k v",
        expect![[r#"
            create k Machine\k
              -> created
            set $k v old
              -> ok
            begin t
              -> begun
            set $k v new with t
              -> ok
            create $k\c with t
              -> created
            close $t
              -> ok
            get $k v
              -> sz "old" from base, sequence 5
            open $k\c
              -> ENOENT
            set $k v newer
              -> ok
            get $k v
              -> sz "newer" from base, sequence 8
        "#]],
    );
}

#[test]
fn reads_bind_nothing_and_a_mutation_binds_to_its_hive() {
    check(
        "create k Machine\\k
         create u Users\\u
         set $u v x
         begin t
         get $k v with t
         get $u v with t
         status $t
         unset $u v with t
         status $t
         get $u v with t
         get $k v with t
         set $k v x with t
         batch $k with t
         delete $k with t
         commit $t
         get $u v",
        expect![[r#"
            create k Machine\k
              -> created
            create u Users\u
              -> created
            set $u v x
              -> ok
            begin t
              -> begun
            get $k v with t
              -> ENOENT
            get $u v with t
              -> sz "x" from base, sequence 6
            status $t
              -> transaction state 0, errno 0
            unset $u v with t
              -> ok
            status $t
              -> transaction state 1, errno 0
            get $u v with t
              -> ENOENT
            get $k v with t
              -> EXDEV
            set $k v x with t
              -> EXDEV
            batch $k with t
              -> EXDEV
            delete $k with t
              -> EXDEV
            commit $t
              -> ok
            get $u v
              -> ENOENT
        "#]],
    );
}

#[test]
fn a_key_made_in_a_transaction_is_reached_by_its_own_fd_and_transaction_alone() {
    check(
        "begin t
         create k Machine\\k with t
         open Machine\\k
         get $k v
         set $k v x
         set $k v x with t
         get $k v with t
         create Machine\\k with t
         create Machine\\k\\c with t
         create c $k\\c with t
         create $k\\c with t
         create $k\\c
         open $k\\c
         set $c w y with t
         subkeys Machine with t
         subkeys $k with t
         info $k
         commit $t
         open Machine\\k
         get Machine\\k v
         get Machine\\k\\c w",
        expect![[r#"
            begin t
              -> begun
            create k Machine\k with t
              -> created
            open Machine\k
              -> ENOENT
            get $k v
              -> ENOENT
            set $k v x
              -> ENOENT
            set $k v x with t
              -> ok
            get $k v with t
              -> sz "x" from base, sequence 5
            create Machine\k with t
              -> ENOENT
            create Machine\k\c with t
              -> ENOENT
            create c $k\c with t
              -> created
            create $k\c with t
              -> opened
            create $k\c
              -> ENOENT
            open $k\c
              -> ENOENT
            set $c w y with t
              -> ok
            subkeys Machine with t
              -> subkey "k" (1 subkeys, 1 values, written 1125)
            subkeys $k with t
              -> subkey "c" (0 subkeys, 1 values, written 1215)
            info $k
              -> ENOENT
            commit $t
              -> ok
            open Machine\k
              -> opened
            get Machine\k v
              -> sz "x" from base, sequence 5
            get Machine\k\c w
              -> sz "y" from base, sequence 8
        "#]],
    );
}

#[test]
fn a_key_whose_transaction_is_aborted_is_gone() {
    check(
        "begin t
         create k Machine\\k with t
         close $t
         get $k v
         set $k v x
         create $k\\c
         flush $k
         close $k
         open Machine\\k",
        expect![[r#"
            begin t
              -> begun
            create k Machine\k with t
              -> created
            close $t
              -> ok
            get $k v
              -> ENOENT
            set $k v x
              -> ENOENT
            create $k\c
              -> ENOENT
            flush $k
              -> ok
            close $k
              -> ok
            open Machine\k
              -> ENOENT
        "#]],
    );
}

#[test]
fn deletion_and_hiding_take_place_inside_first() {
    check(
        "create k Machine\\k
         create c $k\\c
         begin t
         delete $k with t
         delete $c with t
         subkeys $k with t
         subkeys $k
         delete $k with t
         open Machine\\k\\c
         commit $t
         open Machine\\k
         set $k v x
         create $k\\d
         close $k
         create h Machine\\h
         begin s
         hide $h with s
         open Machine\\h
         commit $s
         open Machine\\h",
        expect![[r#"
            create k Machine\k
              -> created
            create c $k\c
              -> created
            begin t
              -> begun
            delete $k with t
              -> ENOTEMPTY
            delete $c with t
              -> ok
            subkeys $k with t
              -> ENOENT
            subkeys $k
              -> subkey "c" (0 subkeys, 0 values, written 1085)
            delete $k with t
              -> ok
            open Machine\k\c
              -> opened
            commit $t
              -> ok
            open Machine\k
              -> ENOENT
            set $k v x
              -> ok
            create $k\d
              -> ENOENT
            close $k
              -> ok
            create h Machine\h
              -> created
            begin s
              -> begun
            hide $h with s
              -> ok
            open Machine\h
              -> opened
            commit $s
              -> ok
            open Machine\h
              -> ENOENT
        "#]],
    );
}

#[test]
fn an_orphan_whose_fd_is_closed_before_the_commit_is_dropped_by_it() {
    // Below a key that is gone nothing can be deleted any more.
    let setup = "create k Machine\\k\ncreate c $k\\c\nbegin t\nhide $k with t\n";
    let mut kept = World::with_layers();
    kept.transcript(setup);
    assert!(kept.transcript("commit $t\ndelete $c").ends_with("ok\n"));
    let mut dropped = World::with_layers();
    dropped.transcript(setup);
    assert!(dropped.transcript("close $k\ncommit $t\ndelete $c").ends_with("ENOENT\n"));
}

#[test]
fn the_generation_takes_one_step_at_the_commit() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\ninfo $k");
    let generation = |world: &mut World| {
        let fd = world.handle("k");
        match world.call(Call::QueryKeyInfo { fd, name_capacity: 100 }).0 {
            Observation::KeyInfo(info) => info.hive_generation,
            other => panic!("{other}"),
        }
    };
    let before = generation(&mut world);
    world.transcript("begin t\nset $k a 1 with t\nset $k b 1 with t\nunset $k c with t");
    assert_eq!(generation(&mut world), before);
    world.transcript("commit $t");
    assert_eq!(generation(&mut world), before + 1);
}

#[test]
fn a_conditional_write_looks_at_what_the_transaction_has() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k v a\nbegin t\nset $k v b with t");
    let (fd, transaction) = (world.handle("k"), world.handle("t"));
    let write = |expected_sequence| Call::SetValue {
        fd,
        name: b"v".to_vec(),
        value_type: 1,
        data: b"c".to_vec(),
        layer: Vec::new(),
        transaction,
        expected_sequence,
    };
    assert_eq!(errno(&world.call(write(5)).0), Some(Errno::EAGAIN));
    assert_eq!(world.call(write(6)).0, Observation::Done);
}

#[test]
fn another_hive_of_the_same_source_is_another_hive() {
    check(
        "create k Machine\\k
         create u Users\\u
         begin t
         set $k v x with t
         set $u v x with t
         hide $u with t
         blanket $u on with t
         create $u\\c with t
         unset $u v with t
         values $u with t
         subkeys $u with t
         status $t",
        expect![[r#"
            create k Machine\k
              -> created
            create u Users\u
              -> created
            begin t
              -> begun
            set $k v x with t
              -> ok
            set $u v x with t
              -> EXDEV
            hide $u with t
              -> EXDEV
            blanket $u on with t
              -> EXDEV
            create $u\c with t
              -> EXDEV
            unset $u v with t
              -> EXDEV
            values $u with t
              -> EXDEV
            subkeys $u with t
              -> EXDEV
            status $t
              -> transaction state 1, errno 0
        "#]],
    );
}

#[test]
fn a_transaction_of_a_source_that_goes_down_is_lost() {
    check(
        "create k Machine\\k
         begin t
         begin u
         set $k v x with t
         down
         status $t
         status $u
         poll $t
         poll $u
         get $k v with t
         set $k v y with t
         commit $t
         set $k v y with u
         status $u
         resume
         get $k v
         get $k v with t
         set $k v y with u
         commit $u
         get $k v",
        expect![[r#"
            create k Machine\k
              -> created
            begin t
              -> begun
            begin u
              -> begun
            set $k v x with t
              -> ok
            down
              -> ok
            status $t
              -> transaction state 5, errno 5
            status $u
              -> transaction state 0, errno 0
            poll $t
              -> terminal
            poll $u
              -> nothing
            get $k v with t
              -> EIO
            set $k v y with t
              -> EIO
            commit $t
              -> EIO
            set $k v y with u
              -> EIO
            status $u
              -> transaction state 0, errno 0
            resume
              -> ok
            get $k v
              -> ENOENT
            get $k v with t
              -> EIO
            set $k v y with u
              -> ok
            commit $u
              -> ok
            get $k v
              -> sz "y" from base, sequence 6
        "#]],
    );
}

#[test]
fn a_source_without_transactions_binds_none() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Roles"]);
    let source = OTHER_SOURCE;
    world.environment(Environment::TransactionSupport { source, is_supported: false });
    expect![[r#"
        create r Roles\r
          -> created
        begin t
          -> begun
        set $r v x with t
          -> ENOTSUP
        blanket $r off with t
          -> ENOTSUP
        create $r\c with t
          -> ENOTSUP
        hide $r with t
          -> ENOTSUP
        status $t
          -> transaction state 0, errno 0
        commit $t
          -> EINVAL
        set Machine\System v x with t
          -> ok
        set $r v x
          -> ok
        get $r v
          -> sz "x" from base, sequence 7
    "#]]
    .assert_eq(&world.transcript(
        "create r Roles\\r
         begin t
         set $r v x with t
         blanket $r off with t
         create $r\\c with t
         hide $r with t
         status $t
         commit $t
         set Machine\\System v x with t
         set $r v x
         get $r v",
    ));
}

#[test]
fn a_refused_commit_can_be_retried() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nbegin t\nset $k v x with t");
    for refusal in [CommitRefusal::Busy, CommitRefusal::Failed] {
        world.environment(Environment::RefusedCommit { source: SOURCE, refusal });
        world.transcript("commit $t");
    }
    let source = SOURCE;
    world.environment(Environment::RefusedCommit { source, refusal: CommitRefusal::Busy });
    expect![[r#"
        commit $t
          -> EBUSY
        status $t
          -> transaction state 1, errno 0
        poll $t
          -> nothing
        get $k v
          -> ENOENT
        get $k v with t
          -> sz "x" from base, sequence 5
        commit $t
          -> ok
        get $k v
          -> sz "x" from base, sequence 5
    "#]]
    .assert_eq(&world.transcript(
        "commit $t
         status $t
         poll $t
         get $k v
         get $k v with t
         commit $t
         get $k v",
    ));
}

#[test]
fn fds_of_one_kind_are_not_fds_of_the_other() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nbegin t");
    let (key, transaction) = (world.handle("k"), world.handle("t"));
    let mut answer = |call| errno(&world.call(call).0);
    assert_eq!(answer(Call::Commit { fd: key }), Some(Errno::ENOTTY));
    assert_eq!(answer(Call::TransactionStatus { fd: key }), Some(Errno::ENOTTY));
    assert_eq!(answer(Call::Flush { fd: transaction }), Some(Errno::ENOTTY));
    assert_eq!(answer(Call::Commit { fd: 77 }), Some(Errno::EBADF));
    assert_eq!(answer(Call::ReadEvents { fd: transaction, capacity: 8 }), Some(Errno::EINVAL));
    let query = |txn_fd| Call::QueryValue {
        fd: key,
        name: b"v".to_vec(),
        transaction: txn_fd,
        data_capacity: 0,
        layer_capacity: 0,
    };
    assert_eq!(answer(query(key)), Some(Errno::EBADF));
    assert_eq!(answer(query(77)), Some(Errno::EBADF));
    assert_eq!(answer(query(-2)), Some(Errno::EINVAL));
    let relative =
        Call::OpenKey { parent: transaction, path: b"a".to_vec(), desired_access: 1, flags: 0 };
    assert_eq!(answer(relative), Some(Errno::EBADF));
}

#[test]
fn a_passed_fd_keeps_the_transaction_open() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nbegin t\nset $k v x with t");
    let fd = world.handle("t");
    let to = ProcessId(1);
    let Observation::Passed { fd: copy } = world.call(Call::Pass { fd, to }).0 else {
        panic!("not passed");
    };
    world.call(Call::Close { fd });
    assert_eq!(world.call(Call::Commit { fd: copy }).0, Observation::Done);
    assert!(world.transcript("get $k v").contains("sz \"x\""));
    assert_eq!(errno(&world.call(Call::Commit { fd }).0), Some(Errno::EBADF));
}

#[test]
fn as_many_are_bound_to_a_source_as_may_be() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\ncreate u Users\\u\nset $u v x");
    for number in 0..17 {
        world.transcript(&format!("begin t{number}\nset $k v x with t{number}"));
    }
    let next = world.state.next_sequence();
    expect![[r#"
        status $t0
          -> transaction state 1, errno 0
        status $t1
          -> transaction state 1, errno 0
        status $t16
          -> transaction state 0, errno 0
        get $u v with t16
          -> sz "x" from base, sequence 6
        set $u v y with t16
          -> EBUSY
        unset $u v with t16
          -> EBUSY
        close $t3
          -> ok
        set $u v y with t16
          -> ok
        status $t16
          -> transaction state 1, errno 0
    "#]]
    .assert_eq(&world.transcript(
        "status $t0
         status $t1
         status $t16
         get $u v with t16
         set $u v y with t16
         unset $u v with t16
         close $t3
         set $u v y with t16
         status $t16",
    ));
    assert_eq!(world.state.next_sequence(), next + 2);
}

#[test]
fn a_transaction_takes_so_many_mutations_and_no_more() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nbegin t");
    for _ in 0..4096 {
        world.transcript("unset $k v with t");
    }
    assert!(world.transcript("unset $k v with t").contains("ENOMEM"));
    assert!(world.transcript("get $k v with t").contains("ENOENT"));
    assert!(world.transcript("commit $t").contains("ok"));
}

#[test]
fn what_exists_already_is_opened_whatever_the_transaction_is() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k\nbegin t\ncommit $t");
    assert!(world.transcript("create Machine\\k with nobody").contains("opened"));
    assert!(world.transcript("create Machine\\n with nobody").contains("EBADF"));
    assert_eq!(errno(&world.call(open("Machine\\n")).0), Some(Errno::ENOENT));
}

#[test]
fn what_could_not_be_read_within_a_transaction_may_be_told_as_overflow() {
    let told = |within: &str, between: &str| {
        let mut world = World::with_layers();
        world.transcript("layer gpo 5\ncreate k Machine\\k\ncreate Users\\o\nset $k v x in gpo");
        let fd = world.handle("k");
        world.call(Call::Notify { fd, filter: 7, subtree: 0 });
        let record = StoredRecord::Value {
            name: "v".to_owned(),
            layer: "base".to_owned(),
            value_type: 1,
            data: b"stored".to_vec(),
            sequence: StoredSequence::Number(world.state.next_sequence()),
        };
        let path = vec!["Machine".to_owned(), "k".to_owned()];
        let entry = StoreEntry { key: StoredKey { path, through: None }, record };
        world.environment(Environment::StoreEntry(entry));
        let lines = format!("begin t\n{within} with t\n{between}");
        let answers = world.transcript(&lines);
        assert!(!answers.contains("EIO"), "{answers}");
        let steps = world.steps(&Call::Commit { fd: world.handle("t") }, false);
        let worlds: Vec<World> = steps.iter().map(|step| world.in_state(step.next(), 0)).collect();
        lengths_of_events(&worlds)
    };
    let (unset, others) = ("unset $k v in gpo", "set Users\\o w x");
    let (overflow, of_value) = (8, 9);
    // Others have taken the number of what was stored, or nobody has.
    assert_eq!(told(unset, others), [overflow, of_value]);
    assert_eq!(told(unset, ""), [overflow]);
    // Its own number is what makes it readable: it may have been asked for before or after that was taken.
    assert_eq!(told("blanket $k on in gpo", ""), [overflow, of_value]);
    // Nothing was to be read.
    assert_eq!(told("set $k w x", others), [of_value]);
}
