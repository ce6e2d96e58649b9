//! Who may create, change, delete and write layers.

use registry_model::errno::Errno;
use registry_model::security::{
    Ace, AceBody, AceKind, Acl, Effect, GROUP_ENABLED, Group, Privilege, SecurityDescriptor, Sid,
    Token, ace_flags, rights, well_known,
};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, Environment, Observation, Step};

use crate::callers::{
    DACL, administrator, alice, changed, descriptor, granting, sid, speaking, with_privilege,
};
use crate::world::{SOURCE, World, open, write};

const LAYERS: &str = "Machine\\System\\Registry\\Layers";

fn failed(errno: Errno) -> Observation {
    Observation::Failed(errno)
}

fn fd(world: &mut World, path: &str) -> i32 {
    match world.call(open(path)).0 {
        Observation::Opened { fd, .. } => fd,
        other => panic!("{path}: {other}"),
    }
}

fn set(world: &mut World, path: &str, descriptor: &SecurityDescriptor) {
    let fd = fd(world, path);
    let descriptor = descriptor.to_bytes().unwrap();
    let call = Call::SetSecurity { fd, security_info: DACL, descriptor, transaction: -1 };
    assert_eq!(world.call(call).0, Observation::Done);
    world.call(Call::Close { fd });
}

/// The layers `mine` and `theirs` at precedence 0, the key Machine\k, and an fd of it.
fn world() -> (World, i32) {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k\nlayer mine 0\nlayer theirs 0");
    let key = fd(&mut world, "Machine\\k");
    (world, key)
}

/// Every call that writes into a layer, with the requirement that its refusal shows.
fn writes(key: i32, layer: &str) -> Vec<(Call, &'static str)> {
    let layer = layer.as_bytes().to_vec();
    let transaction = -1;
    let named = |name: &str| name.as_bytes().to_vec();
    vec![
        (write(key, "v", 1, b"text", &layer), "LAUTH-17"),
        (
            Call::DeleteValue { fd: key, name: named("v"), layer: layer.clone(), transaction },
            "LAUTH-18",
        ),
        (write(key, "v", 0xFFFF, b"", &layer), "LAUTH-20"),
        (Call::BlanketTombstone { fd: key, layer: layer.clone(), set: 1, transaction }, "LAUTH-22"),
        (Call::HideKey { fd: key, layer: layer.clone(), transaction }, "LAUTH-21"),
        (Call::DeleteKey { fd: key, layer, transaction }, "LAUTH-19"),
    ]
}

fn answer(world: &World, call: &Call) -> (Observation, registry_model::Covered) {
    let step = world.steps(call, false).swap_remove(0);
    (step.outcome.example(50).unwrap(), step.covered)
}

#[test]
fn every_write_asks_for_the_layer_beside_the_fd() {
    let (mut world, key) = world();
    set(&mut world, &format!("{LAYERS}\\mine"), &granting(rights::KEY_SET_VALUE));
    speaking(&mut world, &alice(), |world| {
        for (call, id) in writes(key, "theirs") {
            let (answer, covered) = answer(world, &call);
            assert_eq!(answer, failed(Errno::EACCES), "{id}");
            for id in [id, "LAUTH-23", "LAUTH-25", "LAUTH-28"] {
                assert!(covered.contains(id), "{id}: {call:?}");
            }
        }
        for (call, id) in writes(key, "mine") {
            assert_eq!(answer(world, &call).0, Observation::Done, "{id}");
        }
        for (call, id) in writes(key, "nobody's") {
            let (answer, covered) = answer(world, &call);
            assert_eq!(answer, failed(Errno::ENOENT));
            assert!(!covered.contains(id), "{id}");
        }
    });
}

#[test]
fn the_layer_alone_is_not_enough() {
    let (mut world, _) = world();
    set(&mut world, &format!("{LAYERS}\\mine"), &granting(rights::KEY_ALL_ACCESS));
    set(&mut world, "Machine\\k", &granting(rights::KEY_QUERY_VALUE));
    speaking(&mut world, &alice(), |world| {
        let call = Call::OpenKey {
            parent: -1,
            path: b"Machine\\k".to_vec(),
            desired_access: rights::MAXIMUM_ALLOWED,
            flags: 0,
        };
        let Observation::Opened { fd, .. } = world.call(call).0 else { panic!("not opened") };
        for (call, _) in writes(fd, "mine") {
            let (answer, covered) = answer(world, &call);
            assert_eq!(answer, failed(Errno::EACCES));
            assert!(covered.contains("LAUTH-24"));
        }
    });
}

#[test]
fn a_change_of_the_metadata_keys_sd_counts_from_then_on() {
    let (mut world, key) = world();
    let into_mine = write(key, "v", 1, b"text", b"MINE");
    let by_alice = |world: &mut World| speaking(world, &alice(), |w| answer(w, &into_mine).0);
    assert_eq!(by_alice(&mut world), failed(Errno::EACCES));
    let path = format!("{LAYERS}\\mine");
    for (mask, expected) in [
        (rights::KEY_SET_VALUE, Observation::Done),
        (rights::KEY_ALL_ACCESS & !rights::KEY_SET_VALUE, failed(Errno::EACCES)),
        (rights::KEY_WRITE, Observation::Done),
    ] {
        set(&mut world, &path, &granting(mask));
        assert_eq!(by_alice(&mut world), expected, "{mask:#x}");
    }
    // A death and a boot later it is still so.
    world.transcript("down\nresume");
    assert_eq!(by_alice(&mut world), Observation::Done);
}

#[test]
fn base_is_for_system_and_administrators_until_its_key_says_otherwise() {
    let (mut world, key) = world();
    let into_base = write(key, "v", 1, b"text", b"");
    let bob = changed(&administrator(), |fields| fields.user = sid("S-1-5-21-2"));
    let all = [alice(), bob, Token::system()];
    let answers = |world: &mut World| -> Vec<bool> {
        let may = |token| speaking(world, token, |w| answer(w, &into_base).0 == Observation::Done);
        all.iter().map(may).collect()
    };
    assert_eq!(answers(&mut world), [false, true, true]);
    world.transcript(&format!("create {LAYERS}\\Base"));
    assert_eq!(answers(&mut world), [false, true, true]);
    set(&mut world, &format!("{LAYERS}\\base"), &granting(rights::KEY_SET_VALUE));
    assert_eq!(answers(&mut world), [true, false, true]);
    // The layer outlives its key, and what was last read of it may (P-28).
    world.transcript(&format!("delete {LAYERS}\\base"));
    speaking(&mut world, &alice(), |world| world.call(into_base.clone()));
    assert_eq!(answers(&mut world), [true, false, true]);
    world.transcript("reboot");
    let key = fd(&mut world, "Machine\\k");
    let call = write(key, "v", 1, b"text", b"");
    let answer = speaking(&mut world, &alice(), |world| answer(world, &call).0);
    assert_eq!(answer, failed(Errno::EACCES));
}

/// A world in which base's metadata key has had this SD and is hidden, and the write of a value into base.
fn without_key_of_base(descriptor: &SecurityDescriptor) -> (World, Call) {
    let (mut world, key) = world();
    world.transcript(&format!("layer top 1\ncreate base {LAYERS}\\base"));
    let path = format!("{LAYERS}\\base").split('\\').map(str::to_owned).collect();
    let record = StoredRecord::Descriptor { bytes: descriptor.to_bytes().unwrap() };
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
    world.transcript("down\nresume\nhide $base in top");
    (world, write(key, "v", 1, b"text", b""))
}

/// Puts a key in the place of the Layers key, and, if one is given, an entry below that.
fn lead_elsewhere(world: &mut World, below: Option<StoredRecord>) {
    let mut put = |path: &str, through: Option<&str>, record: StoredRecord| {
        let path = path.split('\\').map(str::to_owned).collect();
        let key = StoredKey { path, through: through.map(str::to_owned) };
        world.environment(Environment::StoreEntry(StoreEntry { key, record }));
    };
    let key = child("Layers", "top", StoredTarget::Key { symlink: false }, 1);
    put("Machine\\System\\Registry", None, key);
    if let Some(below) = below {
        put(LAYERS, Some("top"), below);
    }
    let max_sequence = 0;
    world.environment(Environment::FalseMaximum { source: SOURCE, max_sequence });
    world.transcript("down\nresume");
}

fn child(name: &str, layer: &str, target: StoredTarget, sequence: u64) -> StoredRecord {
    let (name, layer) = (name.to_owned(), layer.to_owned());
    StoredRecord::Child { name, layer, target, sequence: StoredSequence::Number(sequence) }
}

#[test]
fn what_base_has_settled_on_no_other_layers_key_changes() {
    let (mut world, call) = without_key_of_base(&granting(rights::KEY_SET_VALUE));
    let of_alice = |world: &mut World| speaking(world, &alice(), |w| w.steps(&call, false));
    assert_eq!(outcomes(&of_alice(&mut world)), ["ok", "EACCES"]);
    speaking(&mut world, &alice(), |world| world.call(call.clone()));
    assert_eq!(outcomes(&of_alice(&mut world)), ["ok"]);
    lead_elsewhere(&mut world, None);
    assert_eq!(outcomes(&of_alice(&mut world)), ["ok"]);
}

#[test]
fn that_the_key_of_base_is_not_below_another_layers_key_is_seen_once_that_can_be_read() {
    let (mut world, key) = world();
    world.transcript(&format!("layer top 1\ncreate {LAYERS}\\base"));
    set(&mut world, &format!("{LAYERS}\\base"), &granting(rights::KEY_SET_VALUE));
    let call = write(key, "v", 1, b"text", b"");
    let of_alice = |world: &mut World| speaking(world, &alice(), |w| w.steps(&call, false));
    let number = world.state.next_sequence() + 1;
    let future = child("x", "unknown", StoredTarget::Hidden, number);
    lead_elsewhere(&mut world, Some(future));
    assert_eq!(outcomes(&of_alice(&mut world)), ["ok"]);
    speaking(&mut world, &alice(), |world| {
        for _ in 0..3 {
            assert_eq!(world.call(call.clone()).0, Observation::Done);
        }
    });
    world.transcript(&format!("create {LAYERS}\\other in mine"));
    assert_eq!(outcomes(&of_alice(&mut world)), ["ok", "EACCES"]);
}

fn outcomes(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.outcome.to_string()).collect()
}

#[test]
fn the_last_sd_of_base_may_be_one_that_serves_no_decision() {
    let ownerless = SecurityDescriptor { owner: None, ..granting(rights::KEY_SET_VALUE) };
    let (mut world, call) = without_key_of_base(&ownerless);
    let of_system = world.steps(&call, false);
    assert_eq!(outcomes(&of_system), ["ok", "EIO"]);
    for step in &of_system {
        // Whoever notices the missing owner may report it.
        assert_eq!(step.audit.len(), 1, "{}", step.outcome);
        assert!(step.audit.iter().all(|event| event.optional));
    }
    let of_alice = speaking(&mut world, &alice(), |world| world.steps(&call, false));
    assert_eq!(outcomes(&of_alice), ["EIO", "EACCES"]);
}

#[test]
fn what_either_sd_of_base_leaves_unjudged_has_no_outcome() {
    let condition = Some(b"artx\x04\x01\0\0\0\0\0\0\0\x03\x02\0".to_vec());
    let kind = AceKind::Rule { effect: Effect::Allow, object: None, condition };
    let (mask, sid) = (rights::KEY_SET_VALUE, alice().0.user.clone());
    let ace = Ace { flags: 0, body: AceBody::Recognised { kind, mask, sid } };
    let dacl = Some(Acl::of_rules(vec![ace]));
    let (mut world, call) = without_key_of_base(&SecurityDescriptor { dacl, ..granting(0) });
    let steps = speaking(&mut world, &alice(), |world| world.steps(&call, false));
    let [outcome] = &outcomes(&steps)[..] else { panic!("{:?}", outcomes(&steps)) };
    assert!(outcome.starts_with("outside this edition"), "{outcome}");
}

#[test]
fn precedence_above_zero_needs_the_privilege_whatever_the_layer() {
    let (mut world, _) = world();
    let path = format!("{LAYERS}\\mine");
    set(&mut world, &path, &granting(rights::KEY_ALL_ACCESS));
    let metadata = fd(&mut world, &path);
    let dword = |name: &str, number: u32, layer: &str| {
        write(metadata, name, 4, &number.to_le_bytes(), layer.as_bytes())
    };
    speaking(&mut world, &alice(), |world| {
        for name in ["Precedence", "PRECEDENCE", "precedence"] {
            let (answer, covered) = answer(world, &dword(name, 1, "mine"));
            assert_eq!(answer, failed(Errno::EPERM));
            assert!(covered.contains("LAUTH-10"));
            assert_eq!(covered.contains("LAUTH-11"), name != "Precedence");
        }
        // The gate comes after the layer's own check, and only for a number above zero.
        assert_eq!(answer(world, &dword("Precedence", 1, "theirs")).0, failed(Errno::EACCES));
        assert_eq!(answer(world, &dword("Precedence", 0, "mine")).0, Observation::Done);
        assert_eq!(answer(world, &dword("Enabled", 0, "mine")).0, Observation::Done);
    });
    let privileged = with_privilege(&alice(), Privilege::Tcb);
    let answered =
        speaking(&mut world, &privileged, |world| answer(world, &dword("Precedence", 1, "mine")).0);
    assert_eq!(answered, Observation::Done);
    // No request is sent for it: a source that is Down is not noticed.
    world.transcript("down");
    let answered =
        speaking(&mut world, &alice(), |world| answer(world, &dword("Precedence", 1, "mine")).0);
    assert_eq!(answered, failed(Errno::EPERM));
}

#[test]
fn precedence_elsewhere_is_a_value_like_any() {
    let (mut world, key) = world();
    set(&mut world, &format!("{LAYERS}\\mine"), &granting(rights::KEY_SET_VALUE));
    speaking(&mut world, &alice(), |world| {
        let call = write(key, "Precedence", 4, &7_u32.to_le_bytes(), b"mine");
        let (answer, covered) = answer(world, &call);
        assert_eq!(answer, Observation::Done);
        assert!(covered.contains("LAUTH-15"));
    });
}

#[test]
fn a_layer_is_created_by_the_right_on_the_layers_key_and_deleted_by_that_on_its_own() {
    let (mut world, _) = world();
    set(&mut world, &format!("{LAYERS}\\mine"), &granting(rights::KEY_SET_VALUE));
    let create = Call::CreateKey {
        parent: -1,
        path: format!("{LAYERS}\\new").into_bytes(),
        desired_access: rights::MAXIMUM_ALLOWED,
        flags: 0,
        layer: Some(b"mine".to_vec()),
        transaction: -1,
    };
    let (refused, covered) = speaking(&mut world, &alice(), |world| answer(world, &create));
    assert_eq!(refused, failed(Errno::EACCES));
    assert!(covered.contains("LAUTH-01"));
    set(&mut world, LAYERS, &granting(rights::KEY_CREATE_SUB_KEY));
    let (created, covered) = speaking(&mut world, &alice(), |world| answer(world, &create));
    assert!(matches!(created, Observation::Opened { .. }));
    assert!(covered.contains("LAUTH-02"));

    let path = format!("{LAYERS}\\theirs");
    set(&mut world, &path, &granting(rights::KEY_ALL_ACCESS & !rights::DELETE));
    let delete = |world: &mut World| {
        let call = Call::OpenKey {
            parent: -1,
            path: path.clone().into_bytes(),
            desired_access: rights::MAXIMUM_ALLOWED,
            flags: 0,
        };
        let Observation::Opened { fd, .. } = world.call(call).0 else { panic!("not opened") };
        let layer = b"mine".to_vec();
        answer(world, &Call::DeleteKey { fd, layer, transaction: -1 })
    };
    let (refused, covered) = speaking(&mut world, &alice(), delete);
    assert_eq!(refused, failed(Errno::EACCES));
    assert!(covered.contains("LAUTH-07"));
    set(&mut world, &path, &granting(rights::DELETE));
    assert_eq!(speaking(&mut world, &alice(), delete).0, Observation::Done);
}

#[test]
fn administrators_are_shown_by_the_ace_of_base_that_they_alone_have() {
    let ids = ["IOC-019", "CONV-02"];
    let group = |sid: &Sid| Group { sid: sid.clone(), attributes: GROUP_ENABLED };
    let system = &well_known::SYSTEM;
    let of_system = changed(&alice(), |fields| fields.groups.push(group(system)));
    let of_both = changed(&administrator(), |fields| fields.groups.push(group(system)));
    for (token, lines, is_shown) in [
        (administrator(), "layer base 0", true),
        // By what a restore has given.
        (
            administrator(),
            "layer base 0\nbackup Machine\\System b\nrestore Machine\\System b",
            false,
        ),
        // By what is compiled in, which inherits nothing.
        (administrator(), "", false),
        // By the ACE of SYSTEM as well, or alone.
        (of_both, "layer base 0", false),
        (of_system, "layer base 0", false),
        (Token::system(), "layer base 0", false),
    ] {
        let (mut world, key) = world();
        world.transcript(lines);
        speaking(&mut world, &token, |world| {
            let (answer, covered) = answer(world, &write(key, "v", 1, b"text", b""));
            assert_eq!(answer, Observation::Done);
            assert_eq!(ids.map(|id| covered.contains(id)), [is_shown; 2], "{lines}: {token:?}");
        });
    }
}

#[test]
fn what_a_call_has_put_above_base_descends_from_nobody() {
    for path in ["Machine", LAYERS, &format!("{LAYERS}\\base")] {
        let (mut world, key) = world();
        let inherits = ace_flags::CONTAINER_INHERIT | ace_flags::INHERITED;
        let aces = [&*well_known::SYSTEM, &*well_known::ADMINISTRATORS]
            .map(|sid| Ace::allow(rights::KEY_ALL_ACCESS, sid, inherits));
        let by_call = descriptor(aces.into());
        if path.ends_with("base") {
            world.transcript("layer base 0");
        }
        set(&mut world, path, &SecurityDescriptor { other_control: 0x0400, ..by_call });
        world.transcript("layer base 0");
        speaking(&mut world, &administrator(), |world| {
            let (answer, covered) = answer(world, &write(key, "v", 1, b"text", b""));
            assert_eq!(answer, Observation::Done, "{path}");
            assert!(!covered.contains("IOC-019"), "{path}");
        });
    }
}
