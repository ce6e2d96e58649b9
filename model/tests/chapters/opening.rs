//! Opening and creating keys.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::input::ProcessId;
use registry_model::security::rights;
use registry_model::{Call, Observation};

use crate::world::{World, check, errno, open};

#[test]
fn names_are_matched_without_case_and_kept_as_stored() {
    check(
        "create Machine\\Alpha
         create MACHINE\\alpha
         open x machine/ALPHA
         info $x",
        expect![[r#"
            create Machine\Alpha
              -> created
            create MACHINE\alpha
              -> opened
            open x machine/ALPHA
              -> opened
            info $x
              -> key "ALPHA": 0 subkeys, 0 values, longest subkey name 0, longest value name 0, largest value 0, SD 120 bytes, volatile 0, symlink 0, written 1075, generation 4
        "#]],
    );
}

#[test]
fn only_the_last_component_is_created() {
    check(
        "create Machine\\a\\b
         create Nowhere
         create Nowhere\\a
         open Machine\\a",
        expect![[r#"
            create Machine\a\b
              -> ENOENT
            create Nowhere
              -> ENOENT
            create Nowhere\a
              -> ENOENT
            open Machine\a
              -> ENOENT
        "#]],
    );
}

#[test]
fn a_volatile_parent_has_volatile_children_only() {
    check(
        "volatile Machine\\v
         create Machine\\v\\a
         volatile Machine\\v\\a",
        expect![[r#"
            volatile Machine\v
              -> created
            create Machine\v\a
              -> EINVAL
            volatile Machine\v\a
              -> created
        "#]],
    );
}

#[test]
fn a_layer_gets_its_own_key_only_where_nothing_is_visible() {
    check(
        "layer low 0
         layer high 5
         create Machine\\k in low
         set Machine\\k v base
         create Machine\\k in high
         hide Machine\\k in high
         create Machine\\k
         create Machine\\k in low
         create Machine\\k in high
         view Machine\\k",
        expect![[r#"
            layer low 0
              -> created, ok
            layer high 5
              -> created, ok
            create Machine\k in low
              -> created
            set Machine\k v base
              -> ok
            create Machine\k in high
              -> opened
            hide Machine\k in high
              -> ok
            create Machine\k
              -> created
            create Machine\k in low
              -> ENOENT
            create Machine\k in high
              -> created
            view Machine\k
              -> 
                 Machine\k
        "#]],
    );
}

#[test]
fn symlinks_lead_to_their_target() {
    check(
        "create Machine\\target
         create Machine\\target\\below
         link Machine\\ln
         open Machine\\ln
         open link Machine\\ln
         target $link Machine\\target
         open Machine\\ln\\below
         create Machine\\ln\\new
         open Machine\\target\\new
         target $link Machine\\gone
         create Machine\\ln
         target $link Machine\\ln
         open Machine\\ln
         target $link Machine\\
         open Machine\\ln",
        expect![[r#"
            create Machine\target
              -> created
            create Machine\target\below
              -> created
            link Machine\ln
              -> created
            open Machine\ln
              -> EINVAL
            open link Machine\ln
              -> opened
            target $link Machine\target
              -> ok
            open Machine\ln\below
              -> opened
            create Machine\ln\new
              -> created
            open Machine\target\new
              -> opened
            target $link Machine\gone
              -> ok
            create Machine\ln
              -> ENOENT
            target $link Machine\ln
              -> ok
            open Machine\ln
              -> ELOOP
            target $link Machine\
              -> ok
            open Machine\ln
              -> EINVAL
        "#]],
    );
}

#[test]
fn an_open_checks_its_arguments_in_order() {
    let world = World::with_layers();
    let call = |parent, path: &[u8], desired_access, flags| {
        let call = Call::OpenKey { parent, path: path.to_vec(), desired_access, flags };
        let steps = world.steps(&call, false);
        errno(&steps[0].outcome.example(9).unwrap())
    };
    let all = rights::KEY_ALL_ACCESS;
    assert_eq!(call(77, b"", 0, 0), Some(Errno::EINVAL));
    assert_eq!(call(77, b"\\a", all, 0), Some(Errno::EINVAL));
    assert_eq!(call(77, b"a", all, 2), Some(Errno::EINVAL));
    assert_eq!(call(77, b"a", all, 0), Some(Errno::EBADF));
    assert_eq!(call(-2, b"a", all, 0), Some(Errno::EBADF));
    assert_eq!(call(-1, b"Gone\\a", all, 0), Some(Errno::ENOENT));
    assert_eq!(call(-1, b"Machine", all, 0), None);
}

#[test]
fn a_transaction_argument_is_refused() {
    let world = World::with_layers();
    let create = |path: &str, transaction| {
        let call = Call::CreateKey {
            parent: -1,
            path: path.as_bytes().to_vec(),
            desired_access: rights::KEY_ALL_ACCESS,
            flags: 0,
            layer: None,
            transaction,
        };
        errno(&world.steps(&call, false)[0].outcome.example(9).unwrap())
    };
    assert_eq!(create("Machine\\new", -2), Some(Errno::EINVAL));
    assert_eq!(create("Machine\\new", 3), Some(Errno::EBADF));
    assert_eq!(create("Machine\\System", 3), None);
}

#[test]
fn a_new_fd_must_not_be_open_already() {
    let mut world = World::booted();
    let (first, _) = world.call(open("Machine"));
    let step = world.steps(&open("Machine"), false).swap_remove(0);
    assert!(step.accept(&first).is_err());
    let negative = Observation::Opened { fd: -1, disposition: None };
    assert!(step.accept(&negative).is_err());
    world.caller.process = ProcessId(2);
    let step = world.steps(&open("Machine"), false).swap_remove(0);
    assert!(step.accept(&first).is_ok());
}

#[test]
fn a_mismatch_says_what_was_expected() {
    let world = World::booted();
    let step = world.steps(&open("Machine"), false).swap_remove(0);
    let mismatch = step.accept(&Observation::Failed(Errno::ENOENT)).unwrap_err();
    expect![[r#"
        expected: a new fd
        got:      ENOENT"#]]
    .assert_eq(&mismatch.to_string());
}
