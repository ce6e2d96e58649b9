//! Transactions and layers: what is published when, and what a deletion aborts.

use expect_test::expect;
use registry_model::{Call, Errno, Outcome, Step};

use crate::world::{OTHER_SOURCE, World, check};

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

#[test]
fn others_make_the_deletion_of_a_layer_wait() {
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
    expect![[r#"
        layers
          -> base 0
        commit $t
          -> ok
        layer a 1
          -> created, ok
        get $u v
          -> sz "x" from a, sequence 7
        down
          -> ok
        resume
          -> ok
        get $u v
          -> ENOENT
    "#]]
    .assert_eq(&world.transcript(
        "layers
         commit $t
         layer a 1
         get $u v
         down
         resume
         get $u v",
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
