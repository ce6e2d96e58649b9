//! Private hives, private layers, and the alias for the caller's own part of Users.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::security::{Token, rights, well_known};
use registry_model::{Environment, Observation, Opening};

use crate::callers::{
    OTHER_SCOPE, SCOPE, alice, changed, in_scopes, register_private, sid, speaking,
};
use crate::world::{OTHER_SOURCE, SOURCE, World, check, open};

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

fn path(text: &str) -> Vec<String> {
    text.split('\\').map(str::to_owned).collect()
}

/// What each of these tokens reads of Machine\k v.
fn read_by(world: &mut World, tokens: &[&Token]) -> Vec<String> {
    let answer = |world: &mut World| {
        let text = world.transcript("get Machine\\k v");
        text.split("-> ").nth(1).unwrap().split(" from").next().unwrap().trim().to_owned()
    };
    tokens.iter().map(|token| speaking(world, token, answer)).collect()
}

/// Machine thrice: for everybody, and in two scopes.
fn three_machines() -> (World, [Token; 5]) {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "MACHINE", SCOPE);
    let third = registry_model::input::SourceId(2);
    register_private(&mut world, third, "machine", OTHER_SCOPE);
    let system = Token::system();
    let tokens = [&[][..], &[SCOPE], &[OTHER_SCOPE], &[SCOPE, OTHER_SCOPE], &[OTHER_SCOPE, SCOPE]];
    let tokens = tokens.map(|scopes| in_scopes(&system, scopes));
    for (token, text) in tokens[..3].iter().zip(["global", "first", "second"]) {
        let lines = format!("create Machine\\k\nset Machine\\k v {text}");
        speaking(&mut world, token, |world| world.transcript(&lines));
    }
    (world, tokens)
}

#[test]
fn scopes_are_tried_in_order_and_before_the_global_hive() {
    let (mut world, tokens) = three_machines();
    let answers = read_by(&mut world, &tokens.each_ref());
    assert_eq!(
        answers,
        ["sz \"global\"", "sz \"first\"", "sz \"second\"", "sz \"first\"", "sz \"second\""]
    );
    let (_, step) = speaking(&mut world, &tokens[4], |world| world.call(open("Machine\\k")));
    for id in ["PRIV-02", "PRIV-05", "PRIV-07"] {
        assert!(step.covered.contains(id), "{id}");
    }
}

#[test]
fn a_private_hive_that_is_down_is_not_passed_over() {
    let (mut world, tokens) = three_machines();
    world.environment(Environment::SourceDown { source: OTHER_SOURCE });
    let answers = read_by(&mut world, &tokens.each_ref());
    let down = "open: EIO";
    assert_eq!(answers, ["sz \"global\"", down, "sz \"second\"", down, "sz \"second\""]);
    assert_eq!(world.state.hives_down_for(&tokens[1]).len(), 1);
    assert_eq!(world.state.hives_down_for(&tokens[2]).len(), 0);
    world.environment(Environment::SourceDown { source: SOURCE });
    assert_eq!(read_by(&mut world, &[&tokens[0], &tokens[2]]), [down, "sz \"second\""]);
}

#[test]
fn a_private_hive_is_nowhere_for_others() {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "Mine", SCOPE);
    let inside = in_scopes(&Token::system(), &[OTHER_SCOPE, SCOPE]);
    speaking(&mut world, &inside, |world| world.transcript("create Mine\\k"));
    let (answer, step) = world.call(open("Mine\\k"));
    assert_eq!(answer, failed(Errno::ENOENT));
    assert!(step.covered.contains("PRIV-03"));
    let outside = world.caller.token.clone();
    let seen = world.state.view(&inside);
    assert!(seen[&path("Mine\\k")].is_some());
    let seen = world.state.view(&outside);
    assert_eq!(seen[&path("Mine")], None);
    assert!(!seen.contains_key(&path("Mine\\k")));
}

#[test]
fn an_fd_of_a_private_hive_needs_no_scope() {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "Mine", SCOPE);
    let inside = in_scopes(&Token::system(), &[SCOPE]);
    speaking(&mut world, &inside, |world| world.transcript("create Mine\\k\nopen m Mine"));
    let answer = world.transcript("open $m\\k");
    assert!(answer.contains("opened"), "{answer}");
}

#[test]
fn views_follow_the_scopes_of_their_token() {
    let (world, tokens) = three_machines();
    for (token, text) in tokens.iter().zip(["global", "first", "second", "first", "second"]) {
        let view = world.state.view(token);
        let machines: Vec<_> =
            view.keys().filter(|path| path[0].eq_ignore_ascii_case("machine")).collect();
        let key = machines.iter().find(|path| path.len() == 2 && path[1] == "k").unwrap();
        let value = &view[*key].as_ref().unwrap().values["v"];
        assert_eq!(value.data, text.as_bytes());
        let spelled: std::collections::BTreeSet<_> = machines.iter().map(|path| &path[0]).collect();
        assert_eq!(spelled.len(), 1);
        assert_eq!(world.state.opening(key, token, rights::KEY_READ), Opening::Opens);
        assert!(world.state.raw_for(token).count() > 2);
    }
    assert_eq!(world.state.known_paths(), world.state.known_paths_for(&Token::system()));
}

#[test]
fn one_process_keeps_hives_of_one_name_in_two_scopes() {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "Mine", SCOPE);
    world.environment(Environment::Reboot);
    world.register(SOURCE, &["Machine", "Users"]);
    register_private(&mut world, OTHER_SOURCE, "Mine", OTHER_SCOPE);
    let [first, second] = [SCOPE, OTHER_SCOPE].map(|scope| in_scopes(&Token::system(), &[scope]));
    speaking(&mut world, &second, |world| world.transcript("create Mine\\second"));
    world.environment(Environment::Reboot);
    register_private(&mut world, OTHER_SOURCE, "Mine", SCOPE);
    assert_eq!(world.state.view(&first).get(&path("Mine\\second")), None);
    world.environment(Environment::Reboot);
    register_private(&mut world, OTHER_SOURCE, "Mine", OTHER_SCOPE);
    assert!(world.state.view(&second)[&path("Mine\\second")].is_some());
}

#[test]
fn only_the_global_machine_hive_has_layers() {
    let mut world = World::with_layers();
    register_private(&mut world, OTHER_SOURCE, "Machine", SCOPE);
    let inside = in_scopes(&alice(), &[SCOPE]);
    // Alice owns nothing there: SYSTEM makes it, and she may write all of it.
    let system = in_scopes(&Token::system(), &[SCOPE]);
    speaking(&mut world, &system, |world| {
        world.transcript(
            "create Machine\\System\ncreate Machine\\System\\Registry
             create Machine\\System\\Registry\\Layers\nlayer mine 5",
        )
    });
    assert_eq!(world.transcript("layers"), "layers\n  -> base 0\n");
    let answer = speaking(&mut world, &inside, |world| world.transcript("open Machine"));
    assert!(answer.contains("EACCES"), "{answer}");
}

#[test]
fn current_user_is_the_callers_part_of_users() {
    check(
        "create CurrentUser
         create currentuser\\k
         set CURRENTUSER/k v mine
         get Users\\S-1-5-18\\k v
         open x CurrentUser\\k
         info $x
         create Machine\\CurrentUser
         open Machine\\CurrentUser
         open u Users
         open $u\\CurrentUser
         open CurrentUser\\\\k
         open CurrentUser\\",
        expect![[r#"
            create CurrentUser
              -> created
            create currentuser\k
              -> created
            set CURRENTUSER/k v mine
              -> ok
            get Users\S-1-5-18\k v
              -> sz "mine" from base, sequence 6
            open x CurrentUser\k
              -> opened
            info $x
              -> key "k": 0 subkeys, 1 values, longest subkey name 0, longest value name 1, largest value 4, SD 120 bytes, volatile 0, symlink 0, written 1125, generation 3
            create Machine\CurrentUser
              -> created
            open Machine\CurrentUser
              -> opened
            open u Users
              -> opened
            open $u\CurrentUser
              -> ENOENT
            open CurrentUser\\k
              -> EINVAL
            open CurrentUser\
              -> EINVAL
        "#]],
    );
}

#[test]
fn current_user_goes_by_the_effective_token_and_its_private_hives() {
    let mut world = World::with_layers();
    world.transcript("create Users\\S-1-5-21-1\ncreate Users\\S-1-5-18");
    let open_alias = |world: &mut World| world.call(open("CurrentUser")).0;
    // What alice is refused is her own key, which SYSTEM made; nothing is missing.
    assert_eq!(speaking(&mut world, &alice(), open_alias), failed(Errno::EACCES));
    let bob = changed(&alice(), |fields| fields.user = sid("S-1-5-21-2"));
    assert_eq!(speaking(&mut world, &bob, open_alias), failed(Errno::ENOENT));
    register_private(&mut world, OTHER_SOURCE, "Users", SCOPE);
    let system = in_scopes(&Token::system(), &[SCOPE]);
    assert_eq!(speaking(&mut world, &system, open_alias), failed(Errno::ENOENT));
    world.environment(Environment::SourceDown { source: OTHER_SOURCE });
    assert_eq!(speaking(&mut world, &system, open_alias), failed(Errno::EIO));
}

#[test]
fn an_alias_is_measured_when_it_is_expanded() {
    let mut world = World::with_layers();
    let deep = |levels| format!("CurrentUser{}", "\\n".repeat(levels));
    assert_eq!(world.call(open(&deep(510))).0, failed(Errno::ENOENT));
    assert_eq!(world.call(open(&deep(511))).0, failed(Errno::EINVAL));
    // `CurrentUser` is shorter than `Users\` with this user.
    let user = sid("S-1-5-21-4294967295-4294967295-4294967295-4294967295");
    let caller = changed(&Token::system(), |fields| fields.user = user.clone());
    let long = |length| format!("\\{}", "n".repeat(length));
    let long = format!("CurrentUser{}{}", long(200).repeat(81), long(80));
    assert!(long.len() <= 16_383 && long.len() + user.to_string().len() > 16_388);
    let answer = speaking(&mut world, &caller, |world| world.call(open(&long)).0);
    assert_eq!(answer, failed(Errno::ENAMETOOLONG));
}

#[test]
fn a_disabled_layer_is_there_for_those_who_carry_it() {
    let mut world = World::with_layers();
    world.transcript(
        "create Machine\\k\nset Machine\\k v base\nlayer low 0\nlayer trial 5\nlayer high 9
         set Machine\\k v trial in trial\nset Machine\\k w high in high
         set Machine\\k w trial in trial
         create Machine\\t in trial
         dword Machine\\System\\Registry\\Layers\\trial Enabled 0",
    );
    let carrying = |names: &[&str]| {
        changed(&Token::system(), |fields| {
            fields.private_layers = names.iter().map(|name| (*name).to_owned()).collect();
        })
    };
    for (names, expected) in [
        (&[][..], ["base", "high"]),
        (&["trial"], ["trial", "high"]),
        (&["unknown", "TRIAL"], ["trial", "high"]),
        (&["high"], ["base", "high"]),
    ] {
        let token = carrying(names);
        let view = world.state.view(&token);
        let values = &view[&path("Machine\\k")].as_ref().unwrap().values;
        assert_eq!([&values["v"].data, &values["w"].data], expected.map(str::as_bytes));
        assert_eq!(view[&path("Machine\\t")].is_some(), expected[0] == "trial");
        let answers = speaking(&mut world, &token, |world| {
            world.transcript("get Machine\\k v\nget Machine\\k w\nopen Machine\\t")
        });
        assert!(expected.iter().all(|text| answers.contains(text)), "{answers}");
    }
    let (_, step) =
        speaking(&mut world, &carrying(&["trial", "low"]), |world| world.call(open("Machine\\t")));
    for id in ["PRIV-13", "PRIV-14", "PRIV-16"] {
        assert!(step.covered.contains(id), "{id}");
    }
    assert_eq!(*well_known::SYSTEM, Token::system().0.user);
}
