//! Symbolic links.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::security::{Privilege, Token, rights};
use registry_model::{Call, Observation, Step};

use crate::callers::{
    DACL, SCOPE, administrator, alice, changed, granting, in_scopes, register_private, speaking,
    with_privilege,
};
use crate::world::{OTHER_SOURCE, World, check, open, write};

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

/// A world with the link Machine\l, open as `link`.
fn world() -> World {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k\nlink Machine\\l\nopen link Machine\\l");
    world
}

/// What following the link comes to when its default value is this.
fn followed(world: &mut World, value_type: u32, data: &[u8]) -> (Observation, Step) {
    let fd = world.handle("link");
    assert_eq!(world.call(write(fd, "", value_type, data, b"")).0, Observation::Done);
    world.call(open("Machine\\l"))
}

#[test]
fn a_target_has_the_form_of_a_path() {
    let mut world = world();
    let long_component = format!("Machine\\{}", "n".repeat(256));
    let deep = format!("Machine{}", "\\n".repeat(512));
    let long = format!("Machine{}", "\\nnnnnnn".repeat(2_100));
    let targets: [(&[u8], &str); 10] = [
        (b"Machine\\k\0", "LINK-18"),
        (b"Machine\\\xFF", "LINK-20"),
        (b"Machine\0\\k", "LINK-21"),
        (b"Machine\\\\k", "LINK-22"),
        (b"", "LINK-22"),
        (b"\\Machine", "LINK-22"),
        (b"Machine\\k\\", "LINK-23"),
        (long_component.as_bytes(), "LINK-24"),
        (long.as_bytes(), "LINK-25"),
        (deep.as_bytes(), "LINK-26"),
    ];
    for (target, id) in targets {
        let (answer, step) = followed(&mut world, 6, target);
        assert_eq!(answer, failed(Errno::EINVAL), "{id}");
        assert!(step.covered.contains(id), "{id}: {:?}", step.covered);
        // Creating is an open first.
        let create = Call::CreateKey {
            parent: -1,
            path: b"Machine\\l".to_vec(),
            desired_access: 1,
            flags: 0,
            layer: None,
            transaction: -1,
        };
        assert_eq!(world.call(create).0, failed(Errno::EINVAL));
    }
    for target in [&b"Machine\\k"[..], b"machine/K"] {
        let (answer, step) = followed(&mut world, 6, target);
        assert!(matches!(answer, Observation::Opened { .. }));
        assert!(step.covered.contains("LINK-12"));
    }
    assert_eq!(followed(&mut world, 1, b"Machine\\k").0, failed(Errno::EINVAL));
    assert_eq!(followed(&mut world, 6, b"k").0, failed(Errno::ENOENT));
    assert_eq!(followed(&mut world, 6, b".\\k").0, failed(Errno::ENOENT));
}

#[test]
fn current_user_in_a_target_is_no_alias() {
    let mut world = world();
    world.transcript("create Users\\S-1-5-18\ncreate Users\\S-1-5-18\\k");
    assert!(matches!(world.call(open("CurrentUser\\k")).0, Observation::Opened { .. }));
    for target in [&b"CurrentUser\\k"[..], b"currentuser/k", b"CURRENTUSER"] {
        let (answer, step) = followed(&mut world, 6, target);
        assert_eq!(answer, failed(Errno::ENOENT));
        assert!(step.covered.contains("LINK-05") && step.covered.contains("HIVE-10"));
    }
}

#[test]
fn sixteen_links_are_followed_and_no_more() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\l0");
    for number in 1..18 {
        let line = format!("link Machine\\l{number}\nopen link Machine\\l{number}");
        world.transcript(&line);
        world.transcript(&format!("target $link Machine\\l{}", number - 1));
    }
    let (answer, step) = world.call(open("Machine\\l16"));
    assert!(matches!(answer, Observation::Opened { .. }));
    assert!(step.covered.contains("LINK-32"));
    assert_eq!(world.call(open("Machine\\l17")).0, failed(Errno::ELOOP));
    // The last of seventeen may be opened as what it is.
    let mut as_link = open("Machine\\l17");
    if let Call::OpenKey { flags, .. } = &mut as_link {
        *flags = 1;
    }
    assert!(matches!(world.call(as_link).0, Observation::Opened { .. }));
    world.transcript("open link Machine\\l1\ntarget $link Machine\\l17");
    assert_eq!(world.call(open("Machine\\l5")).0, failed(Errno::ELOOP));
}

#[test]
fn layers_redirect_a_link_and_what_they_break_they_mend() {
    check(
        "create Machine\\a
         set Machine\\a v in-a
         create Machine\\b
         set Machine\\b v in-b
         link Machine\\l
         open link Machine\\l
         target $link Machine\\a
         get Machine\\l v
         layer high 1
         target $link Machine\\b in high
         get Machine\\l v
         set $link @ Machine\\b in high
         get Machine\\l v
         unset $link @ in high
         get Machine\\l v
         tombstone $link @ in high
         get Machine\\l v
         delete Machine\\System\\Registry\\Layers\\high
         get Machine\\l v",
        expect![[r#"
            create Machine\a
              -> created
            set Machine\a v in-a
              -> ok
            create Machine\b
              -> created
            set Machine\b v in-b
              -> ok
            link Machine\l
              -> created
            open link Machine\l
              -> opened
            target $link Machine\a
              -> ok
            get Machine\l v
              -> sz "in-a" from base, sequence 5
            layer high 1
              -> created, ok
            target $link Machine\b in high
              -> ok
            get Machine\l v
              -> sz "in-b" from base, sequence 7
            set $link @ Machine\b in high
              -> ok
            get Machine\l v
              -> open: EINVAL
            unset $link @ in high
              -> ok
            get Machine\l v
              -> sz "in-a" from base, sequence 5
            tombstone $link @ in high
              -> ok
            get Machine\l v
              -> open: EINVAL
            delete Machine\System\Registry\Layers\high
              -> ok
            get Machine\l v
              -> sz "in-a" from base, sequence 5
        "#]],
    );
}

#[test]
fn a_link_in_a_path_leads_on_and_a_dangling_one_creates_nothing() {
    check(
        "create Users\\a
         create Users\\a\\b
         link Machine\\l
         open link Machine\\l
         target $link Users\\a
         open Machine\\l\\b
         create Machine\\l\\c
         open Users\\a\\c
         open x Machine\\l\\b
         info $x
         target $link Users\\nothing
         create Machine\\l
         create Machine\\l\\d
         delete $link
         open Machine\\l
         open Users\\a",
        expect![[r#"
            create Users\a
              -> created
            create Users\a\b
              -> created
            link Machine\l
              -> created
            open link Machine\l
              -> opened
            target $link Users\a
              -> ok
            open Machine\l\b
              -> opened
            create Machine\l\c
              -> created
            open Users\a\c
              -> opened
            open x Machine\l\b
              -> opened
            info $x
              -> key "b": 0 subkeys, 0 values, longest subkey name 0, longest value name 0, largest value 0, SD 120 bytes, volatile 0, symlink 0, written 1095, generation 3
            target $link Users\nothing
              -> ok
            create Machine\l
              -> ENOENT
            create Machine\l\d
              -> ENOENT
            delete $link
              -> ok
            open Machine\l
              -> ENOENT
            open Users\a
              -> opened
        "#]],
    );
}

#[test]
fn the_target_is_what_is_asked_for_access() {
    let mut world = world();
    followed(&mut world, 6, b"Machine\\k");
    let link = world.handle("link");
    let nothing = granting(0).to_bytes().unwrap();
    let to_alice = granting(rights::KEY_QUERY_VALUE).to_bytes().unwrap();
    let set =
        |fd, descriptor| Call::SetSecurity { fd, security_info: DACL, descriptor, transaction: -1 };
    let query = |flags| Call::OpenKey {
        parent: -1,
        path: b"Machine\\l".to_vec(),
        desired_access: rights::KEY_QUERY_VALUE,
        flags,
    };
    world.transcript("open k Machine\\k");
    let key = world.handle("k");
    world.call(set(link, nothing.clone()));
    world.call(set(key, to_alice.clone()));
    speaking(&mut world, &alice(), |world| {
        assert!(matches!(world.call(query(0)).0, Observation::Opened { .. }));
        assert_eq!(world.call(query(1)).0, failed(Errno::EACCES));
    });
    world.call(set(link, to_alice));
    world.call(set(key, nothing));
    speaking(&mut world, &alice(), |world| {
        assert_eq!(world.call(query(0)).0, failed(Errno::EACCES));
        assert!(matches!(world.call(query(1)).0, Observation::Opened { .. }));
    });
}

#[test]
fn creating_a_link_takes_a_right_and_a_privilege() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\p\nopen p Machine\\p");
    let parent = world.handle("p");
    let create = Call::CreateKey {
        parent: -1,
        path: b"Machine\\p\\l".to_vec(),
        desired_access: rights::MAXIMUM_ALLOWED,
        flags: 2,
        layer: None,
        transaction: -1,
    };
    let privileged = with_privilege(&alice(), Privilege::Tcb);
    let mut answers = Vec::new();
    for mask in [rights::KEY_CREATE_SUB_KEY, rights::KEY_CREATE_SUB_KEY | rights::KEY_CREATE_LINK] {
        let descriptor = granting(mask).to_bytes().unwrap();
        let security_info = DACL;
        world.call(Call::SetSecurity { fd: parent, security_info, descriptor, transaction: -1 });
        for token in [alice(), privileged.clone(), administrator()] {
            let step = speaking(&mut world, &token, |world| world.steps(&create, false));
            answers.push(step[0].outcome.to_string());
        }
    }
    // What comes after the right and the privilege is who may write into base.
    assert_eq!(answers[..3], ["EACCES", "EACCES", "EACCES"]);
    assert_eq!(answers[3..5], ["EPERM", "EACCES"]);
    assert!(answers[5].contains("created"), "{}", answers[5]);
    let step =
        speaking(&mut world, &privileged, |world| world.steps(&create, false).swap_remove(0));
    assert!(step.covered.contains("LINK-03") && step.covered.contains("IOC-014"));
}

#[test]
fn whoever_follows_a_link_does_so_among_their_own_hives() {
    let mut world = world();
    register_private(&mut world, OTHER_SOURCE, "Users", SCOPE);
    followed(&mut world, 6, b"Users\\k");
    world.transcript("create Users\\k\nset Users\\k v global");
    let inside = in_scopes(&Token::system(), &[SCOPE]);
    assert_eq!(
        speaking(&mut world, &inside, |world| world.call(open("Machine\\l")).0),
        failed(Errno::ENOENT)
    );
    let seen = speaking(&mut world, &inside, |world| {
        world.transcript("create Users\\k\nset Users\\k v private");
        world.transcript("get Machine\\l v")
    });
    assert!(seen.contains("private"), "{seen}");
    assert!(world.transcript("get Machine\\l v").contains("global"));
    let path = ["Machine", "l"].map(str::to_owned);
    let view = world.state.view(&changed(&inside, |_| {}));
    assert!(view[&path.to_vec()].as_ref().is_some_and(|key| key.symlink));
}

#[test]
fn an_expanded_path_is_measured_again() {
    let mut world = world();
    let long = format!("\\{}", "n".repeat(200));
    let target = format!("Machine{}", long.repeat(80));
    followed(&mut world, 6, target.as_bytes());
    let path = format!("Machine\\l{}", long.repeat(2));
    assert_eq!(world.call(open(&path)).0, failed(Errno::ENAMETOOLONG));
    let target = format!("Machine{}", "\\n".repeat(500));
    followed(&mut world, 6, target.as_bytes());
    let deep = |levels| format!("Machine\\l{}", "\\n".repeat(levels));
    assert_eq!(world.call(open(&deep(11))).0, failed(Errno::ENOENT));
    assert_eq!(world.call(open(&deep(12))).0, failed(Errno::EINVAL));
}
