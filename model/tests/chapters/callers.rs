//! Tokens and security descriptors for the chapters on security.

use registry_model::Observation;
use registry_model::input::{Contents, HiveEntry, HiveName, RSI_HIVE_PRIVATE, Registration};
use registry_model::input::{DeviceCall, SourceId, WireGuid};
use registry_model::security::{
    Ace, Acl, GROUP_ENABLED, Group, Privilege, SecurityDescriptor, Sid, Token, TokenFields, rights,
    well_known,
};

use crate::world::{World, root_of};

pub const OWNER: u32 = 1;
pub const GROUP: u32 = 2;
pub const DACL: u32 = 4;
pub const SACL: u32 = 8;

pub const SCOPE: WireGuid = [1; 16];
pub const OTHER_SCOPE: WireGuid = [2; 16];

pub fn sid(text: &str) -> Sid {
    Sid::parse(text).unwrap()
}

/// An ordinary user.
pub fn alice() -> Token {
    Token::of_user(sid("S-1-5-21-1"))
}

pub fn changed(token: &Token, change: impl FnOnce(&mut TokenFields)) -> Token {
    let mut fields = (*token.0).clone();
    change(&mut fields);
    Token(fields.into())
}

pub fn with_privilege(token: &Token, privilege: Privilege) -> Token {
    changed(token, |fields| {
        fields.privileges.insert(privilege);
    })
}

pub fn administrator() -> Token {
    let group = Group { sid: well_known::ADMINISTRATORS.clone(), attributes: GROUP_ENABLED };
    changed(&alice(), |fields| fields.groups.push(group))
}

pub fn in_scopes(token: &Token, scopes: &[WireGuid]) -> Token {
    changed(token, |fields| fields.scopes = scopes.to_vec())
}

/// An SD of SYSTEM with these rules.
pub fn descriptor(aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor {
        resource_manager_control: 0,
        other_control: 0,
        owner: Some(well_known::SYSTEM.clone()),
        group: None,
        sacl: None,
        dacl: Some(Acl::of_rules(aces)),
    }
}

/// The SD by which SYSTEM has everything and alice these rights.
pub fn granting(mask: u32) -> SecurityDescriptor {
    descriptor(vec![
        Ace::allow(rights::KEY_ALL_ACCESS, &well_known::SYSTEM, 0),
        Ace::allow(mask, &alice().0.user, 0),
    ])
}

/// Makes calls with another token.
pub fn speaking<T>(world: &mut World, token: &Token, calls: impl FnOnce(&mut World) -> T) -> T {
    let former = std::mem::replace(&mut world.caller.token, token.clone());
    let answer = calls(world);
    world.caller.token = former;
    answer
}

/// A source registers a hive in a scope.
pub fn register_private(world: &mut World, source: SourceId, name: &str, scope: WireGuid) {
    let mut root = root_of(name);
    root[15] = scope[0];
    let entry = HiveEntry {
        name: HiveName::Bytes(name.as_bytes().to_vec()),
        padding: [0; 2],
        root,
        flags: RSI_HIVE_PRIVATE,
        scope,
    };
    let max_sequence = world.state.stored_maximum(source, [name]);
    let registration =
        Some(Registration { hive_count: 1, padding: 0, max_sequence, hives: vec![entry] });
    world.device(source, DeviceCall::Open);
    let contents = Contents::Kept;
    let answer = world.device(source, DeviceCall::Register { registration, contents });
    assert_eq!(answer, Observation::Done);
}
