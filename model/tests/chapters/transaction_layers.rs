//! Transactions and layers: what is published when, and what a deletion aborts.

use expect_test::expect;
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, DeviceCall, Environment, Errno, Outcome, Step};

use crate::world::{OTHER_SOURCE, SOURCE, World, check};

#[test]
fn a_layer_made_in_a_transaction_is_published_whole_by_its_commit() {
    check(
        "begin t
         create a Machine\\System\\Registry\\Layers\\a with t
         dword $a Precedence 7 with t
         set Machine\\System v x in a with t
         set Machine\\System v x in a
         layers
         commit $t
         layers
         set Machine\\System v x in a",
        expect![[r#"
            begin t
              -> begun
            create a Machine\System\Registry\Layers\a with t
              -> created
            dword $a Precedence 7 with t
              -> ok
            set Machine\System v x in a with t
              -> ENOENT
            set Machine\System v x in a
              -> ENOENT
            layers
              -> base 0
            commit $t
              -> ok
            layers
              -> a 7, base 0
            set Machine\System v x in a
              -> ok
        "#]],
    );
}

#[test]
fn precedence_stays_what_it_was_until_the_commit() {
    check(
        "layer a 1
         layer b 2
         create k Machine\\k
         set $k v low in a
         set $k v high in b
         open m Machine\\System\\Registry\\Layers\\a
         begin t
         dword $m Precedence 9 with t
         get $m Precedence with t
         get $m Precedence
         get $k v with t
         get $k v
         commit $t
         get $k v",
        expect![[r#"
            layer a 1
              -> created, ok
            layer b 2
              -> created, ok
            create k Machine\k
              -> created
            set $k v low in a
              -> ok
            set $k v high in b
              -> ok
            open m Machine\System\Registry\Layers\a
              -> opened
            begin t
              -> begun
            dword $m Precedence 9 with t
              -> ok
            get $m Precedence with t
              -> dword 9 from base, sequence 11
            get $m Precedence
              -> dword 1 from base, sequence 5
            get $k v with t
              -> sz "high" from b, sequence 10
            get $k v
              -> sz "high" from b, sequence 10
            commit $t
              -> ok
            get $k v
              -> sz "low" from a, sequence 9
        "#]],
    );
}

#[test]
fn bad_metadata_does_not_fail_a_commit() {
    check(
        "layer a 1
         open m Machine\\System\\Registry\\Layers\\a
         begin t
         set $m Precedence much with t
         commit $t
         layers
         status $t",
        expect![[r#"
            layer a 1
              -> created, ok
            open m Machine\System\Registry\Layers\a
              -> opened
            begin t
              -> begun
            set $m Precedence much with t
              -> ok
            commit $t
              -> ok
            layers
              -> a 1, base 0
            status $t
              -> transaction state 2, errno 0
        "#]],
    );
}

#[test]
fn a_commit_that_took_place_is_no_failure_whatever_its_refresh_and_its_parameters_meet() {
    let mut world = World::with_layers();
    world.transcript(
        "layer a 1
         open m Machine\\System\\Registry\\Layers\\a
         open r Machine\\System\\Registry
         begin t
         set $m Precedence much with t
         dword $r MaxValueSize 5000 with t
         dword $r MaxKeyDepth 64 with t",
    );
    let fd = world.handle("t");
    let failed: Vec<Step> = world
        .steps(&Call::Commit { fd }, true)
        .into_iter()
        .filter(|step| matches!(step.outcome, Outcome::Failed(_)))
        .collect();
    assert!(!failed.is_empty());
    for step in failed {
        world.state = step.next().clone();
        let status = &world.steps(&Call::TransactionStatus { fd }, false)[0];
        let state = status.outcome.to_string();
        assert_eq!(state, "transaction state 1, errno 0");
    }
}

#[test]
fn the_end_of_a_layer_aborts_whoever_has_written_into_it() {
    let mut world = World::with_layers();
    world.register(OTHER_SOURCE, &["Roles"]);
    expect![[r#"
        layer a 1
          -> created, ok
        layer b 1
          -> created, ok
        create r Roles\r
          -> created
        create u Users\u
          -> created
        begin t
          -> begun
        set $r v x in a with t
          -> ok
        get $r v with t
          -> sz "x" from a, sequence 10
        delete Machine\System\Registry\Layers\a
          -> ok
        get $r v with t
          -> EINVAL
        set $r v y with t
          -> EINVAL
        commit $t
          -> EINVAL
        status $t
          -> transaction state 3, errno 22
        poll $t
          -> terminal
        layers
          -> b 1, base 0
        get $r v
          -> ENOENT
    "#]]
    .assert_eq(&world.transcript(
        "layer a 1
         layer b 1
         create r Roles\\r
         create u Users\\u
         begin t
         set $r v x in a with t
         get $r v with t
         delete Machine\\System\\Registry\\Layers\\a
         get $r v with t
         set $r v y with t
         commit $t
         status $t
         poll $t
         layers
         get $r v",
    ));
}

/// A world whose source has refused to delete the layer `a`, for the transaction `t`.
fn with_a_refused_deletion() -> World {
    let mut world = World::with_layers();
    world.transcript("layer a 1\ncreate u Users\\u\nset $u v x in a");
    world.transcript("open m Machine\\System\\Registry\\Layers\\a\nbegin t\nset $u w y with t");
    let fd = world.handle("m");
    let call = Call::DeleteKey { fd, layer: Vec::new(), transaction: -1 };
    assert!(matches!(world.steps(&call, false)[..], [Step { outcome: Outcome::Waits, .. }]));
    let steps = world.steps_within(&call, 26_000_000_000, false);
    assert_eq!(steps.len(), 1);
    assert!(matches!(steps[0].outcome, Outcome::Failed(Errno::EIO)));
    world.state = steps[0].next().clone();
    world
}

#[test]
fn a_refused_deletion_is_owed_until_the_source_resumes() {
    let mut world = with_a_refused_deletion();
    world.transcript("commit $t\ndown\nresume\nlayer a 1");
    expect![[r#"
        get $u v
          -> ENOENT
        get $u w
          -> sz "y" from base, sequence 8
    "#]]
    .assert_eq(&world.transcript("get $u v\nget $u w"));
}

/// What the source has of the layer once it was refused, changed as these lines do, and has resumed.
fn kept_after(lines: &str) -> String {
    let mut world = with_a_refused_deletion();
    world.transcript("commit $t");
    world.transcript(lines);
    let record = StoredRecord::Value {
        name: "n".to_owned(),
        layer: "a".to_owned(),
        value_type: 1,
        data: b"y".to_vec(),
        sequence: StoredSequence::Number(1),
    };
    let path = ["Users", "u"].map(str::to_owned).to_vec();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
    world.transcript("down\nresume\nlayer a 1");
    world.transcript("get $u n")
}

#[test]
fn a_later_deletion_that_is_carried_out_is_the_end_of_a_refused_one() {
    // A layer that cannot be published, and so has not taken up what is owed.
    let unpublished = "begin s\ncreate b Machine\\System\\Registry\\Layers\\a with s
         set $b Precedence much with s\ncommit $s\ndelete $b";
    assert!(kept_after("").contains("ENOENT"));
    assert!(kept_after(unpublished).contains("sz \"y\" from a"), "{}", kept_after(unpublished));
}

#[test]
fn others_make_the_deletion_of_a_layer_wait() {
    let mut world = with_a_refused_deletion();
    expect![[r#"
        layers
          -> base 0
        commit $t
          -> ok
        layer a 1
          -> created, ok
        get $u v
          -> sz "x" from a, sequence 7
        set $u n y in a
          -> ok
        down
          -> ok
        resume
          -> ok
        get $u v
          -> sz "x" from a, sequence 7
        get $u n
          -> sz "y" from a, sequence 11
    "#]]
    .assert_eq(&world.transcript(
        "layers
         commit $t
         layer a 1
         get $u v
         set $u n y in a
         down
         resume
         get $u v
         get $u n",
    ));
}

#[test]
fn a_layer_that_a_transaction_deletes_goes_at_the_commit() {
    check(
        "layer a 1
         create k Machine\\k
         set $k v low
         set $k v high in a
         open m Machine\\System\\Registry\\Layers\\a
         begin t
         set $k w z in a with t
         delete $m with t
         get $k v with t
         layers
         commit $t
         layers
         batch $k
         status $t",
        expect![[r#"
            layer a 1
              -> created, ok
            create k Machine\k
              -> created
            set $k v low
              -> ok
            set $k v high in a
              -> ok
            open m Machine\System\Registry\Layers\a
              -> opened
            begin t
              -> begun
            set $k w z in a with t
              -> ok
            delete $m with t
              -> ok
            get $k v with t
              -> sz "high" from a, sequence 8
            layers
              -> a 1, base 0
            commit $t
              -> ok
            layers
              -> base 0
            batch $k
              -> 1 values: "v" = sz "low"
            status $t
              -> transaction state 2, errno 0
        "#]],
    );
}

#[test]
fn a_precedence_above_zero_needs_the_privilege_in_a_transaction_too() {
    let mut world = World::with_layers();
    let mut fields = (*world.caller.token.0).clone();
    world.transcript("begin t\ncreate a Machine\\System\\Registry\\Layers\\a with t");
    fields.privileges = Default::default();
    world.caller.token = registry_model::security::Token(fields.into());
    expect![[r#"
        dword $a Precedence 0 with t
          -> ok
        dword $a Precedence 1 with t
          -> EPERM
        dword $a Precedence 1
          -> EPERM
    "#]]
    .assert_eq(&world.transcript(
        "dword $a Precedence 0 with t
         dword $a Precedence 1 with t
         dword $a Precedence 1",
    ));
}

/// A world in which SYSTEM has no privilege any more, after these lines.
fn unprivileged_after(mut world: World, lines: &str) -> World {
    world.transcript(lines);
    let mut fields = (*world.caller.token.0).clone();
    fields.privileges = Default::default();
    world.caller.token = registry_model::security::Token(fields.into());
    world
}

#[test]
fn a_precedence_below_a_layers_key_of_the_same_transaction_needs_the_privilege() {
    let mut world = unprivileged_after(
        World::booted(),
        "create Machine\\System\ncreate Machine\\System\\Registry\nbegin t
         create layers Machine\\System\\REGISTRY\\Layers with t\ncreate x $layers\\x with t
         create y $x\\y with t",
    );
    expect![[r#"
        dword $x Precedence 9 with t
          -> EPERM
        dword $x Precedence 0 with t
          -> ok
        dword $layers Precedence 9 with t
          -> ok
        dword $y Precedence 9 with t
          -> ok
    "#]]
    .assert_eq(&world.transcript(
        "dword $x Precedence 9 with t
         dword $x Precedence 0 with t
         dword $layers Precedence 9 with t
         dword $y Precedence 9 with t",
    ));
}

#[test]
fn an_orphaned_metadata_key_keeps_its_gate() {
    let role = "Machine\\System\\Registry\\Layers\\role";
    let lines = format!("layer role 1\nopen role {role}\ndelete $role");
    let mut world = unprivileged_after(World::with_layers(), &lines);
    assert_eq!(
        world.transcript("dword $role Precedence 9"),
        "dword $role Precedence 9\n  -> EPERM\n"
    );
}

#[test]
fn a_deletion_at_a_registration_waits_for_the_locks_of_other_sources() {
    for (waited, endings) in [("wait 1", 1), ("wait 10", 2)] {
        let mut world = World::with_layers();
        world.register(OTHER_SOURCE, &["Roles"]);
        world.transcript("layer a 1\nlayer b 1\ncreate r Roles\\r\nset $r v x in a\nbegin t");
        world.transcript(&format!("set $r w y with t\n{waited}\ndown"));
        let record = StoredRecord::Child {
            name: "a".to_owned(),
            layer: "b".to_owned(),
            target: StoredTarget::Hidden,
            sequence: StoredSequence::Number(1),
        };
        let path = ["Machine", "System", "Registry", "Layers"].map(str::to_owned).to_vec();
        let entry = StoreEntry { key: StoredKey { path, through: None }, record };
        world.environment(Environment::StoreEntry(entry));
        world.device(SOURCE, DeviceCall::Open);
        let steps = world.registrations(SOURCE, &["Machine", "Users"]);
        assert_eq!(steps.len(), endings, "{waited}");
        let mut stored = Vec::new();
        for step in steps {
            world.state = step.next().clone();
            assert_eq!(world.transcript("layers"), "layers\n  -> b 1, base 0\n");
            stored.push(world.state.stored_maximum(OTHER_SOURCE, ["Roles"]));
        }
        // Where the transaction has ended, the value is gone, and its number with it.
        assert_eq!(stored.windows(2).filter(|pair| pair[0] > pair[1]).count(), endings - 1);
    }
}
