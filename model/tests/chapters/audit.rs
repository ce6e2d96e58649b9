//! Audit events: of opens, and of responses that were rejected.

use registry_model::audit::{AuditPattern, FieldPattern};
use registry_model::errno::Errno;
use registry_model::input::{DeviceCall, Input};
use registry_model::security::{
    Ace, Acl, Effect, Privilege, SecurityDescriptor, Sid, Token, TokenIdentity, TokenLevel,
    ace_flags, rights, well_known,
};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};
use registry_model::{Call, Environment, Observation, Step};

use crate::callers::{DACL, SACL, alice, changed, granting, speaking, with_privilege};
use crate::world::{SOURCE, World, open, query};

const SUCCESS: u8 = ace_flags::SUCCESSFUL_ACCESS;
const FAILURE: u8 = ace_flags::FAILED_ACCESS;

/// A world with Machine\k, of which alice may read values, and whose SACL has this ACE.
fn audited(sid: &Sid, mask: u32, flags: u8) -> World {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k");
    let ace = Ace::plain(Effect::Audit, mask, sid, flags);
    let sacl = Some(Acl::of_rules(vec![ace]));
    let descriptor = SecurityDescriptor { sacl, ..granting(rights::KEY_QUERY_VALUE) };
    set(&mut world, &descriptor);
    world
}

fn set(world: &mut World, descriptor: &SecurityDescriptor) {
    let mut call = open("Machine\\k");
    if let Call::OpenKey { desired_access, .. } = &mut call {
        *desired_access |= rights::ACCESS_SYSTEM_SECURITY;
    }
    let Observation::Opened { fd, .. } = world.call(call).0 else { panic!("not opened") };
    let descriptor = descriptor.to_bytes().unwrap();
    let call = Call::SetSecurity { fd, security_info: DACL | SACL, descriptor, transaction: -1 };
    assert_eq!(world.call(call).0, Observation::Done);
    world.call(Call::Close { fd });
}

fn asking(path: &str, desired_access: u32) -> Call {
    Call::OpenKey { parent: -1, path: path.as_bytes().to_vec(), desired_access, flags: 0 }
}

fn field<'a>(event: &'a AuditPattern, name: &str) -> &'a FieldPattern {
    &event.fields.iter().find(|(field, _)| *field == name).unwrap().1
}

fn number(number: u32) -> FieldPattern {
    FieldPattern::Unsigned(u64::from(number))
}

fn text(text: &str) -> FieldPattern {
    FieldPattern::Text(text.to_owned())
}

/// What alice's open of Machine\k with this access leaves: whether it succeeds, and the flags of
/// its event, if there is one.
fn flags_of_open(world: &mut World, desired_access: u32) -> (bool, Option<FieldPattern>) {
    let call = asking("Machine\\k", desired_access);
    let (answer, step) = speaking(world, &alice(), |world| world.call(call));
    assert!(step.audit.len() <= 1);
    let flags = step.audit.first().map(|event| field(event, "sacl_match_flags").clone());
    (matches!(answer, Observation::Opened { .. }), flags)
}

#[test]
fn an_open_says_who_asked_for_what_and_got_what() {
    let mut world = audited(&well_known::EVERYONE, rights::KEY_QUERY_VALUE, SUCCESS | FAILURE);
    let identity = TokenIdentity {
        token_guid: [1; 16],
        true_token_guid: [2; 16],
        process_guid: [3; 16],
        authentication_id: 4,
        token_id: 5,
    };
    let caller = changed(&in_everyone(&alice()), |fields| {
        fields.identity = identity;
        fields.level = TokenLevel::Delegation;
    });
    let call = asking("Machine\\k", rights::KEY_QUERY_VALUE);
    let (_, step) = speaking(&mut world, &caller, |world| world.call(call));
    let bytes = |byte| FieldPattern::Bytes(vec![byte; 16]);
    let [event] = &step.audit[..] else { panic!("{:?}", step.audit) };
    assert_eq!(event.event, "LCS_KEY_OPEN_AUDIT");
    assert!(!event.optional && !event.repeats);
    let names: Vec<&str> = event.fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "caller",
            "key_guid",
            "requested_access",
            "granted_access",
            "decision",
            "sacl_match_flags"
        ]
    );
    let expected = FieldPattern::Map(vec![
        ("effective_token_guid", bytes(1)),
        ("true_token_guid", bytes(2)),
        ("process_guid", bytes(3)),
        ("user_sid", FieldPattern::Bytes(alice().0.user.0.clone())),
        ("authentication_id", number(4)),
        ("token_id", number(5)),
        ("token_type", number(2)),
        ("impersonation_level", number(3)),
        ("integrity_level", number(8192)),
    ]);
    assert_eq!(*field(event, "caller"), expected);
    assert_eq!(*field(event, "requested_access"), number(1));
    assert_eq!(*field(event, "granted_access"), number(1));
    assert_eq!(*field(event, "decision"), text("allowed"));
    assert_eq!(*field(event, "sacl_match_flags"), number(1));

    let call = asking("Machine\\k", rights::KEY_QUERY_VALUE | rights::GENERIC_WRITE);
    let (answer, step) = speaking(&mut world, &caller, |world| world.call(call));
    assert_eq!(answer, Observation::Failed(Errno::EACCES));
    let [event] = &step.audit[..] else { panic!("{:?}", step.audit) };
    assert_eq!(*field(event, "requested_access"), number(rights::KEY_WRITE | 1));
    assert_eq!(*field(event, "granted_access"), number(0));
    assert_eq!(*field(event, "decision"), text("denied"));
    assert_eq!(*field(event, "sacl_match_flags"), number(2));
}

fn in_everyone(token: &Token) -> Token {
    let group = registry_model::security::Group {
        sid: well_known::EVERYONE.clone(),
        attributes: registry_model::security::GROUP_ENABLED,
    };
    changed(token, |fields| fields.groups.push(group))
}

#[test]
fn flags_mask_and_principal_decide_whether_an_event_comes() {
    let user = alice().0.user.clone();
    let both = rights::KEY_QUERY_VALUE | rights::KEY_SET_VALUE;
    let read = rights::KEY_QUERY_VALUE;
    let (one, two) = (Some(number(1)), Some(number(2)));
    for (flags, allowed, denied) in [
        (SUCCESS, one.clone(), None),
        (FAILURE, None, two.clone()),
        (SUCCESS | FAILURE, one, two),
        (0, None, None),
        (SUCCESS | FAILURE | ace_flags::INHERIT_ONLY, None, None),
    ] {
        let mut world = audited(&user, both, flags);
        assert_eq!(flags_of_open(&mut world, read), (true, allowed), "{flags:#x}");
        assert_eq!(flags_of_open(&mut world, both), (false, denied), "{flags:#x}");
    }
    let mut world = audited(&user, rights::KEY_NOTIFY, SUCCESS | FAILURE);
    assert_eq!(flags_of_open(&mut world, read), (true, None));
    let mut world = audited(&well_known::ADMINISTRATORS, both, SUCCESS | FAILURE);
    assert_eq!(flags_of_open(&mut world, read), (true, None));
    // Nothing is asked for by name.
    let mut world = audited(&user, rights::GENERIC_ALL, SUCCESS | FAILURE);
    assert_eq!(flags_of_open(&mut world, rights::MAXIMUM_ALLOWED), (true, None));
    assert_eq!(flags_of_open(&mut world, rights::MAXIMUM_ALLOWED | read), (true, Some(number(1))));
}

#[test]
fn a_creation_is_audited_on_the_new_key_and_not_on_its_parent() {
    let mut world = World::with_layers();
    world.transcript("create Machine\\k");
    let ace = |flags| Ace::plain(Effect::Audit, rights::GENERIC_ALL, &well_known::SYSTEM, flags);
    let sacl = |flags| Some(Acl::of_rules(vec![ace(flags)]));
    let create = |name: &str| Call::CreateKey {
        parent: -1,
        path: format!("Machine\\k\\{name}").into_bytes(),
        desired_access: rights::KEY_READ,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    let audits = |world: &mut World, name: &str| world.call(create(name)).1.audit.len();
    let plain = SecurityDescriptor { sacl: sacl(SUCCESS), ..granting(0) };
    set(&mut world, &plain);
    assert_eq!(audits(&mut world, "a"), 0);
    let inheritable = ace_flags::CONTAINER_INHERIT | SUCCESS;
    set(&mut world, &SecurityDescriptor { sacl: sacl(inheritable), ..granting(0) });
    assert_eq!(audits(&mut world, "b"), 1);
    // It is there now: an open like any.
    assert_eq!(audits(&mut world, "b"), 1);
}

fn put(world: &mut World, path: &str, record: StoredRecord) {
    let path = path.split('\\').map(str::to_owned).collect();
    let entry = StoreEntry { key: StoredKey { path, through: None }, record };
    world.environment(Environment::StoreEntry(entry));
}

fn value(layer: &str, sequence: StoredSequence) -> StoredRecord {
    StoredRecord::Value {
        name: "v".to_owned(),
        layer: layer.to_owned(),
        value_type: 1,
        data: b"stored".to_vec(),
        sequence,
    }
}

/// The classes of the one event of a read of the value `v` of Machine\k that is EIO.
fn classes_of_read(world: &mut World) -> (FieldPattern, bool) {
    world.transcript("open k Machine\\k");
    let (answer, step) = world.call(query(world.handle("k"), "v"));
    assert_eq!(answer, Observation::Failed(Errno::EIO));
    let [event] = &step.audit[..] else { panic!("{:?}", step.audit) };
    assert_eq!(event.event, "LCS_SOURCE_VALIDATION_FAILURE");
    assert_eq!(*field(event, "source_slot"), FieldPattern::Slot(0));
    let hive = FieldPattern::OneOf(vec![text("Machine"), FieldPattern::Nil]);
    assert_eq!(*field(event, "hive_name"), hive);
    (field(event, "validation_class").clone(), event.optional)
}

#[test]
fn a_rejected_response_is_reported_with_its_class() {
    let world = || {
        let mut world = World::with_layers();
        world.transcript("create Machine\\k\nset Machine\\k v text\nlayer role 0");
        world
    };
    let mut future = world();
    put(&mut future, "Machine\\k", value("unknown", StoredSequence::Number(u64::MAX)));
    assert_eq!(classes_of_read(&mut future), (text("future_sequence_number"), false));
    let mut tie = world();
    put(&mut tie, "Machine\\k", value("role", StoredSequence::Of("base".to_owned())));
    assert_eq!(classes_of_read(&mut tie), (text("duplicate_winning_sequence_tie"), false));
    let mut other = world();
    put(&mut other, "Machine\\k", value("bad\\name", StoredSequence::Number(0)));
    assert!(classes_of_read(&mut other).1);
}

fn child(layer: &str, target: StoredTarget) -> StoredRecord {
    let sequence = StoredSequence::Number(1);
    StoredRecord::Child { name: "c".to_owned(), layer: layer.to_owned(), target, sequence }
}

/// Whether the one event of this call, which is EIO, may come more than once.
fn repeats(world: &mut World, call: Call) -> bool {
    let (answer, step) = world.call(call);
    assert_eq!(answer, Observation::Failed(Errno::EIO));
    let [event] = &step.audit[..] else { panic!("{:?}", step.audit) };
    event.repeats
}

#[test]
fn one_sd_that_two_layers_name_is_one_fault() {
    for (children, expected) in [(1, false), (2, true)] {
        let mut world = World::with_layers();
        world.transcript("create Machine\\k\nlayer role 0\nlayer gpo 1\nopen k Machine\\k");
        put(&mut world, "Machine\\k", child("base", StoredTarget::Key { symlink: false }));
        let record = StoredRecord::Descriptor { bytes: vec![1] };
        put(&mut world, "Machine\\k\\c", record);
        put(&mut world, "Machine\\k", child("role", StoredTarget::Of("base".to_owned())));
        if children > 1 {
            put(&mut world, "Machine\\k", child("gpo", StoredTarget::Missing));
        }
        assert_eq!(repeats(&mut world, asking("Machine\\k\\c", 1)), expected);
        let fd = world.handle("k");
        let call = Call::EnumSubkeys { fd, index: 0, name_capacity: 100, transaction: -1 };
        assert_eq!(repeats(&mut world, call), expected);
    }
}

#[test]
fn one_blanket_tombstone_over_several_values_is_one_fault() {
    let mut world = World::with_layers();
    world.transcript("create k Machine\\k\nset $k v text\nset $k w text\nlayer role 0");
    let sequence = StoredSequence::Number(u64::MAX);
    put(&mut world, "Machine\\k", StoredRecord::Blanket { layer: "role".to_owned(), sequence });
    let batch = Call::QueryValuesBatch { fd: world.handle("k"), capacity: 100, transaction: -1 };
    assert!(!repeats(&mut world, batch.clone()));
    put(&mut world, "Machine\\k", value("role", StoredSequence::Number(u64::MAX)));
    assert!(repeats(&mut world, batch));
}

/// A world with the layer `role`, whose metadata key has lost its SD.
fn bad_metadata() -> World {
    let mut world = World::with_layers();
    world.transcript("layer role 0\nopen role Machine\\System\\Registry\\Layers\\role");
    let record = StoredRecord::Descriptor { bytes: vec![1] };
    put(&mut world, "Machine\\System\\Registry\\Layers\\role", record);
    world
}

fn required(step: &Step) -> Vec<FieldPattern> {
    let is_failure = |event: &&AuditPattern| event.event == "LCS_SOURCE_VALIDATION_FAILURE";
    let events = step.audit.iter().filter(is_failure).filter(|event| !event.optional);
    events.map(|event| field(event, "validation_class").clone()).collect()
}

#[test]
fn a_refresh_reports_the_sd_of_a_metadata_key() {
    let mut world = bad_metadata();
    let fd = world.handle("role");
    let call = crate::world::write(fd, "Precedence", 4, &[0; 4], b"");
    let (answer, step) = world.call(call);
    assert_eq!(answer, Observation::Failed(Errno::EIO));
    let class = "malformed_layer_metadata_security_descriptor";
    assert_eq!(required(&step), [text(class)]);
    assert!(step.audit.iter().all(|event| event.repeats));
}

/// The source of the world dies and comes back.
fn resumption(world: &mut World) -> Step {
    world.environment(Environment::SourceDown { source: SOURCE });
    world.device(SOURCE, DeviceCall::Open);
    let max_sequence = world.state.stored_maximum(SOURCE, ["Machine", "Users"]);
    let hives = ["Machine", "Users"].map(|hive| (hive, crate::world::root_of(hive)));
    let registration = registry_model::input::Registration::of_global_hives(hives, max_sequence);
    let call = DeviceCall::Register {
        registration: Some(registration),
        contents: registry_model::input::Contents::Kept,
    };
    let token = world.caller.token.clone();
    world.state.step(&Input::Device { source: SOURCE, token, call, at: 9_000 }).swap_remove(0)
}

#[test]
fn a_registration_reports_the_sds_that_it_makes_the_kernel_read() {
    assert_eq!(required(&resumption(&mut bad_metadata())).len(), 1);
}

#[test]
fn a_registration_after_which_no_layers_key_is_found_reports_no_sd() {
    let mut world = bad_metadata();
    let record = StoredRecord::Child {
        name: "Layers".to_owned(),
        layer: "bad\\name".to_owned(),
        target: StoredTarget::Hidden,
        sequence: StoredSequence::Number(0),
    };
    put(&mut world, "Machine\\System\\Registry", record);
    let step = resumption(&mut world);
    assert_eq!(required(&step), []);
    assert!(!step.audit.is_empty());
}

#[test]
fn the_open_of_a_new_layers_key_is_reported_after_the_refresh() {
    let mut world = World::with_layers();
    let sacl = |flags| {
        let ace = Ace::plain(Effect::Audit, rights::GENERIC_ALL, &well_known::SYSTEM, flags);
        Some(Acl::of_rules(vec![ace]))
    };
    let inheritable = ace_flags::CONTAINER_INHERIT | SUCCESS;
    let layers = SecurityDescriptor { sacl: sacl(inheritable), ..granting(0) };
    let record = StoredRecord::Descriptor { bytes: layers.to_bytes().unwrap() };
    put(&mut world, "Machine\\System\\Registry\\Layers", record);
    let create = Call::CreateKey {
        parent: -1,
        path: b"Machine\\System\\Registry\\Layers\\new".to_vec(),
        desired_access: rights::KEY_READ,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    let step = world.call(create).1;
    let events: Vec<(&str, bool)> = step.audit.iter().map(|e| (e.event, e.optional)).collect();
    let expected = [("LCS_SOURCE_VALIDATION_FAILURE", true), ("LCS_KEY_OPEN_AUDIT", false)];
    assert_eq!(events, expected);
}

#[test]
fn a_call_that_may_have_been_cut_short_may_have_left_no_event() {
    let mut world = audited(&alice().0.user, rights::KEY_QUERY_VALUE, SUCCESS);
    let call = asking("Machine\\k", rights::KEY_QUERY_VALUE);
    let steps = speaking(&mut world, &alice(), |world| world.steps(&call, true));
    let optional: Vec<bool> = steps.iter().map(|step| step.audit[0].optional).collect();
    assert_eq!(optional, [false, true]);
}

#[test]
fn what_is_not_judged_has_no_outcome() {
    let mut world = audited(&alice().0.user, rights::KEY_QUERY_VALUE, SUCCESS);
    let confined = changed(&with_privilege(&Token::system(), Privilege::Tcb), |fields| {
        fields.confined = true;
    });
    let create = Call::CreateKey {
        parent: -1,
        path: b"Machine\\new".to_vec(),
        desired_access: 1,
        flags: 0,
        layer: None,
        transaction: -1,
    };
    world.transcript("open k Machine\\k");
    let fd = world.handle("k");
    for call in [open("Machine\\k"), create, crate::world::write(fd, "v", 1, b"", b"")] {
        let steps = speaking(&mut world, &confined, |world| world.steps(&call, true));
        assert_eq!(steps.len(), 1);
        assert!(steps[0].outcome.to_string().starts_with("outside this edition"));
        assert_eq!(steps[0].outcome.example(7), None);
    }
}

#[test]
fn a_commit_reports_each_bad_sd_that_it_has_read() {
    let mut world = bad_metadata();
    world.transcript("layer other 0\nopen other Machine\\System\\Registry\\Layers\\other");
    let record = StoredRecord::Descriptor { bytes: vec![1] };
    put(&mut world, "Machine\\System\\Registry\\Layers\\other", record);
    world.transcript("begin t");
    let own = world.handle("t");
    for name in ["role", "other"] {
        let mut write = crate::world::write(world.handle(name), "Enabled", 4, &[0; 4], b"");
        if let Call::SetValue { transaction, .. } = &mut write {
            *transaction = own;
        }
        assert_eq!(world.call(write).0, Observation::Done);
    }
    let (answer, step) = world.call(Call::Commit { fd: own });
    assert_eq!(answer, Observation::Done);
    let class = "malformed_layer_metadata_security_descriptor";
    assert_eq!(required(&step), [text(class)]);
    let keys: Vec<&FieldPattern> = step
        .audit
        .iter()
        .flat_map(|event| &event.fields)
        .map(|(_, field)| field)
        .filter(|field| matches!(field, FieldPattern::EachOf(_)))
        .collect();
    assert!(matches!(keys[..], [FieldPattern::EachOf(keys)] if keys.len() == 2), "{keys:?}");
}

#[test]
fn a_bad_layer_name_hides_no_number_of_the_future() {
    for (number, expected) in [(0, false), (u64::MAX, true)] {
        let mut world = World::with_layers();
        world.transcript("create k Machine\\k");
        put(&mut world, "Machine\\k", value("a\\b", StoredSequence::Number(number)));
        let call = query(world.handle("k"), "v");
        assert_eq!(repeats(&mut world, call), expected);
    }
}
