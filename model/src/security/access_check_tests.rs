//! Tests of the DACL walk, owners and privileges: each case is a list of ACEs, a token and a request.

use super::*;
use crate::security::ace_flags::INHERIT_ONLY;
use crate::security::fixtures::{access_check, changed, sd, staff, token, token_with, user};
use crate::security::rights::{
    ACCESS_SYSTEM_SECURITY, DELETE, KEY_ALL_ACCESS, KEY_CREATE_SUB_KEY, KEY_NOTIFY,
    KEY_QUERY_VALUE, KEY_READ, KEY_SET_VALUE, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};
use crate::security::well_known::{ADMINISTRATORS, EVERYONE, OWNER_RIGHTS, SYSTEM};
use crate::security::{
    Ace, AceBody, AceKind, Effect, GROUP_DENY_ONLY, GROUP_ENABLED, ObjectTypes, Privilege,
    default_root_sd,
};

/// What the user gets from a key of SYSTEM with these ACEs.
fn check(aces: Vec<Ace>, desired: u32) -> Result<u32, Errno> {
    access_check(&token(), &sd(&SYSTEM, Some(aces)), desired)
}

#[test]
fn zero_and_unknown_bits_must_not_be_asked_for() {
    assert_eq!(check_desired_access(0), Err(Errno::EINVAL));
    for bit in 0..32 {
        let desired = 1 << bit;
        let expected = if desired & 0xF30F_003F == 0 { Err(Errno::EINVAL) } else { Ok(()) };
        assert_eq!(check_desired_access(desired), expected, "{desired:#x}");
        assert_eq!(check_desired_access(desired | KEY_QUERY_VALUE), expected, "{desired:#x}");
    }
}

#[test]
fn a_default_root_serves_system_and_shows_itself_to_users() {
    let root = SecurityDescriptor::parse(&default_root_sd()).unwrap();
    let system = Token::system();
    assert_eq!(access_check(&system, &root, GENERIC_ALL), Ok(KEY_ALL_ACCESS));
    assert_eq!(
        access_check(&system, &root, MAXIMUM_ALLOWED),
        Ok(KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY)
    );
    assert_eq!(access_check(&token(), &root, MAXIMUM_ALLOWED), Ok(KEY_READ));
    assert_eq!(access_check(&token(), &root, KEY_SET_VALUE), Err(Errno::EACCES));
}

#[test]
fn every_requested_right_is_needed() {
    let aces = vec![Ace::allow(KEY_QUERY_VALUE, &EVERYONE, 0)];
    assert_eq!(check(aces.clone(), KEY_QUERY_VALUE), Ok(KEY_QUERY_VALUE));
    assert_eq!(check(aces, KEY_QUERY_VALUE | KEY_NOTIFY), Err(Errno::EACCES));
}

#[test]
fn the_granted_mask_is_the_request_and_no_more() {
    let aces = vec![Ace::allow(KEY_ALL_ACCESS, &EVERYONE, 0)];
    assert_eq!(check(aces.clone(), KEY_NOTIFY), Ok(KEY_NOTIFY));
    assert_eq!(check(aces, GENERIC_READ), Ok(KEY_READ));
}

#[test]
fn generic_bits_in_an_ace_are_mapped() {
    let aces = vec![Ace::allow(GENERIC_READ, &EVERYONE, 0)];
    assert_eq!(check(aces.clone(), KEY_READ), Ok(KEY_READ));
    assert_eq!(check(aces, KEY_SET_VALUE), Err(Errno::EACCES));
}

#[test]
fn the_first_ace_for_a_bit_decides_it() {
    let allow = || Ace::allow(KEY_READ, &EVERYONE, 0);
    let deny = || Ace::deny(KEY_QUERY_VALUE, &user(), 0);
    assert_eq!(check(vec![allow(), deny()], KEY_READ), Ok(KEY_READ));
    assert_eq!(check(vec![deny(), allow()], KEY_READ), Err(Errno::EACCES));
    assert_eq!(check(vec![deny(), allow()], KEY_NOTIFY), Ok(KEY_NOTIFY));
    assert_eq!(check(vec![deny(), allow()], MAXIMUM_ALLOWED), Ok(KEY_READ & !KEY_QUERY_VALUE));
}

#[test]
fn other_principals_do_not_matter() {
    let aces = vec![
        Ace::deny(KEY_READ, &ADMINISTRATORS, 0),
        Ace::allow(KEY_SET_VALUE, &SYSTEM, 0),
        Ace::allow(KEY_READ, &EVERYONE, 0),
    ];
    assert_eq!(check(aces, MAXIMUM_ALLOWED), Ok(KEY_READ));
}

#[test]
fn group_attributes_decide_what_a_group_matches() {
    let allow = sd(&SYSTEM, Some(vec![Ace::allow(KEY_NOTIFY, &staff(), 0)]));
    let deny = sd(
        &SYSTEM,
        Some(vec![Ace::deny(KEY_NOTIFY, &staff(), 0), Ace::allow(KEY_NOTIFY, &EVERYONE, 0)]),
    );
    for (attributes, allowed, denied) in [
        (GROUP_ENABLED, true, true),
        (0, false, false),
        (GROUP_DENY_ONLY, false, true),
        (GROUP_ENABLED | GROUP_DENY_ONLY, false, true),
    ] {
        let token = token_with(attributes, &[]);
        assert_eq!(access_check(&token, &allow, KEY_NOTIFY).is_ok(), allowed, "{attributes:#x}");
        assert_eq!(access_check(&token, &deny, KEY_NOTIFY).is_err(), denied, "{attributes:#x}");
    }
}

#[test]
fn inherit_only_aces_do_not_apply() {
    let aces = vec![
        Ace::deny(KEY_NOTIFY, &EVERYONE, INHERIT_ONLY),
        Ace::allow(KEY_NOTIFY, &EVERYONE, 0),
        Ace::allow(DELETE, &EVERYONE, INHERIT_ONLY),
    ];
    assert_eq!(check(aces, MAXIMUM_ALLOWED), Ok(KEY_NOTIFY));
}

#[test]
fn a_null_dacl_grants_everything_but_the_sacl() {
    let null = sd(&SYSTEM, None);
    assert_eq!(access_check(&token(), &null, MAXIMUM_ALLOWED), Ok(KEY_ALL_ACCESS));
    assert_eq!(access_check(&token(), &null, ACCESS_SYSTEM_SECURITY), Err(Errno::EACCES));
}

#[test]
fn an_empty_dacl_grants_only_what_the_owner_has_anyway() {
    assert_eq!(check(Vec::new(), READ_CONTROL), Err(Errno::EACCES));
    let own = sd(&user(), Some(Vec::new()));
    assert_eq!(access_check(&token(), &own, MAXIMUM_ALLOWED), Ok(READ_CONTROL | WRITE_DAC));
    assert_eq!(access_check(&token(), &own, KEY_QUERY_VALUE), Err(Errno::EACCES));
}

#[test]
fn a_denial_does_not_take_the_owners_rights() {
    let own = sd(&user(), Some(vec![Ace::deny(KEY_ALL_ACCESS, &EVERYONE, 0)]));
    assert_eq!(access_check(&token(), &own, WRITE_DAC), Ok(WRITE_DAC));
}

#[test]
fn a_group_owns_whatever_its_attributes_are() {
    let of_staff = sd(&staff(), Some(Vec::new()));
    for attributes in [GROUP_ENABLED, GROUP_DENY_ONLY, 0] {
        let token = token_with(attributes, &[]);
        assert_eq!(access_check(&token, &of_staff, READ_CONTROL), Ok(READ_CONTROL));
    }
}

#[test]
fn owner_rights_replace_the_implicit_rights() {
    let own = |aces| sd(&user(), Some(aces));
    let restricted = own(vec![Ace::allow(READ_CONTROL, &OWNER_RIGHTS, 0)]);
    assert_eq!(access_check(&token(), &restricted, MAXIMUM_ALLOWED), Ok(READ_CONTROL));
    let expanded = own(vec![Ace::allow(DELETE, &OWNER_RIGHTS, 0)]);
    assert_eq!(access_check(&token(), &expanded, MAXIMUM_ALLOWED), Ok(DELETE));
    let suppressed = own(vec![
        Ace::deny(READ_CONTROL | WRITE_DAC, &OWNER_RIGHTS, 0),
        Ace::allow(KEY_READ, &user(), 0),
    ]);
    assert_eq!(access_check(&token(), &suppressed, MAXIMUM_ALLOWED), Ok(KEY_READ & !READ_CONTROL));
}

#[test]
fn inherit_only_owner_rights_replace_nothing() {
    let own = sd(&user(), Some(vec![Ace::deny(READ_CONTROL, &OWNER_RIGHTS, INHERIT_ONLY)]));
    assert_eq!(access_check(&token(), &own, READ_CONTROL), Ok(READ_CONTROL));
}

#[test]
fn owner_rights_concern_the_owner_alone() {
    assert_eq!(check(vec![Ace::allow(KEY_READ, &OWNER_RIGHTS, 0)], MAXIMUM_ALLOWED), Ok(0));
}

#[test]
fn the_sacl_is_for_the_security_privilege() {
    let aces = || Some(vec![Ace::allow(ACCESS_SYSTEM_SECURITY, &EVERYONE, 0)]);
    let denied = sd(&SYSTEM, Some(vec![Ace::deny(ACCESS_SYSTEM_SECURITY, &EVERYONE, 0)]));
    let with = token_with(GROUP_ENABLED, &[Privilege::Security]);
    let check =
        |token: &Token, sd: &SecurityDescriptor| access_check(token, sd, ACCESS_SYSTEM_SECURITY);
    assert_eq!(check(&token(), &sd(&SYSTEM, aces())), Err(Errno::EACCES));
    assert_eq!(check(&with, &denied), Ok(ACCESS_SYSTEM_SECURITY));
    assert_eq!(access_check(&with, &denied, MAXIMUM_ALLOWED), Ok(ACCESS_SYSTEM_SECURITY));
}

#[test]
fn take_ownership_overrules_denials_of_write_owner() {
    let with = token_with(GROUP_ENABLED, &[Privilege::TakeOwnership]);
    let denied = sd(&SYSTEM, Some(vec![Ace::deny(KEY_ALL_ACCESS, &EVERYONE, 0)]));
    assert_eq!(access_check(&with, &denied, WRITE_OWNER), Ok(WRITE_OWNER));
    assert_eq!(access_check(&with, &denied, MAXIMUM_ALLOWED), Ok(WRITE_OWNER));
    assert_eq!(access_check(&with, &denied, WRITE_DAC), Err(Errno::EACCES));
    assert_eq!(access_check(&token(), &denied, WRITE_OWNER), Err(Errno::EACCES));
}

#[test]
fn backup_and_restore_privileges_open_nothing() {
    let with = token_with(GROUP_ENABLED, &[Privilege::Backup, Privilege::Restore, Privilege::Tcb]);
    let closed = sd(&SYSTEM, Some(Vec::new()));
    assert_eq!(access_check(&with, &closed, MAXIMUM_ALLOWED), Ok(0));
}

#[test]
fn maximum_allowed_alone_succeeds_with_nothing() {
    assert_eq!(check(Vec::new(), MAXIMUM_ALLOWED), Ok(0));
    assert_eq!(check(Vec::new(), GENERIC_EXECUTE), Ok(0));
}

#[test]
fn maximum_allowed_does_not_excuse_specific_rights() {
    let aces = vec![Ace::allow(KEY_READ, &EVERYONE, 0)];
    let check = |desired| check(aces.clone(), desired | MAXIMUM_ALLOWED);
    assert_eq!(check(KEY_NOTIFY), Ok(KEY_READ));
    assert_eq!(check(KEY_CREATE_SUB_KEY), Err(Errno::EACCES));
}

#[test]
fn object_aces_are_like_basic_ones_and_unknown_conditions_only_deny() {
    let ace = |effect, object: bool, condition: bool, mask| {
        let object = object.then_some(ObjectTypes {
            other_flags: 0,
            object_type: Some([7; 16]),
            inherited_object_type: None,
        });
        let kind = AceKind::Rule { effect, object, condition: condition.then(Vec::new) };
        Ace { flags: 0, body: AceBody::Recognised { kind, mask, sid: EVERYONE.clone() } }
    };
    let aces = vec![
        ace(Effect::Allow, true, false, KEY_NOTIFY),
        ace(Effect::Allow, false, true, KEY_SET_VALUE),
        ace(Effect::Deny, false, true, KEY_QUERY_VALUE),
        ace(Effect::Audit, false, false, DELETE),
        Ace { flags: 0, body: AceBody::Unrecognised { ace_type: 0x7F, bytes: vec![0xFF; 16] } },
        Ace::allow(KEY_QUERY_VALUE | KEY_CREATE_SUB_KEY, &EVERYONE, 0),
    ];
    assert_eq!(check(aces, MAXIMUM_ALLOWED), Ok(KEY_NOTIFY | KEY_CREATE_SUB_KEY));
}

#[test]
fn a_descriptor_without_owner_fails_closed() {
    let ownerless = SecurityDescriptor { owner: None, ..sd(&SYSTEM, None) };
    assert_eq!(access_check(&token(), &ownerless, KEY_READ), Err(Errno::EIO));
}

#[test]
fn a_deny_only_user_is_denied_and_not_allowed() {
    let deny_only = changed(&token(), |fields| fields.user_deny_only = true);
    let allow = sd(&SYSTEM, Some(vec![Ace::allow(KEY_NOTIFY, &user(), 0)]));
    let deny = vec![Ace::deny(KEY_NOTIFY, &user(), 0), Ace::allow(KEY_READ, &EVERYONE, 0)];
    let deny = sd(&SYSTEM, Some(deny));
    assert_eq!(access_check(&token(), &allow, KEY_NOTIFY), Ok(KEY_NOTIFY));
    assert_eq!(access_check(&deny_only, &allow, KEY_NOTIFY), Err(Errno::EACCES));
    assert_eq!(access_check(&deny_only, &deny, MAXIMUM_ALLOWED), Ok(KEY_READ & !KEY_NOTIFY));
}

#[test]
fn a_deny_only_owner_has_the_implicit_rights_and_no_owner_rights() {
    let deny_only = changed(&token(), |fields| fields.user_deny_only = true);
    let own = |aces| sd(&user(), Some(aces));
    assert_eq!(
        access_check(&deny_only, &own(Vec::new()), MAXIMUM_ALLOWED),
        Ok(READ_CONTROL | WRITE_DAC)
    );
    let aces = vec![
        Ace::deny(KEY_NOTIFY, &OWNER_RIGHTS, 0),
        Ace::allow(KEY_READ, &EVERYONE, 0),
        Ace::allow(DELETE, &OWNER_RIGHTS, 0),
    ];
    assert_eq!(access_check(&deny_only, &own(aces), MAXIMUM_ALLOWED), Ok(KEY_READ));
}

#[test]
fn the_result_says_what_was_asked_and_what_is_granted() {
    let open = sd(&SYSTEM, Some(vec![Ace::allow(KEY_ALL_ACCESS, &EVERYONE, 0)]));
    let check = |desired| super::check(&token(), &open, desired, &mut Covered::new());
    let expected = |requested, granted| Check {
        verdict: Verdict::Allowed,
        requested,
        granted,
        sacl_match_flags: 0,
    };
    assert_eq!(check(GENERIC_READ), expected(KEY_READ, KEY_READ));
    let requested = KEY_READ | MAXIMUM_ALLOWED;
    assert_eq!(check(GENERIC_READ | MAXIMUM_ALLOWED), expected(requested, KEY_ALL_ACCESS));
    let denied = super::check(
        &token(),
        &sd(&SYSTEM, Some(Vec::new())),
        GENERIC_READ | DELETE,
        &mut Covered::new(),
    );
    let requested = KEY_READ | DELETE;
    assert_eq!(denied, Check { verdict: Verdict::Denied, requested, granted: 0, ..denied });
}

#[test]
fn the_branches_that_decide_are_marked() {
    let aces = vec![
        Ace::allow(KEY_READ, &EVERYONE, 0),
        Ace::deny(KEY_NOTIFY, &user(), 0),
        Ace::deny(DELETE, &EVERYONE, INHERIT_ONLY),
    ];
    let mut covered = Covered::new();
    let outcome = super::check(&token(), &sd(&SYSTEM, Some(aces)), GENERIC_READ, &mut covered);
    assert_eq!(outcome.verdict, Verdict::Allowed);
    for id in ["SEC-20", "ACC-06", "ACC-16", "ACC-17", "ACC-18", "ACC-27"] {
        assert!(covered.contains(id), "{id}");
    }
    for id in ["ACC-08", "ACC-10", "ACC-19", "ACC-55"] {
        assert!(!covered.contains(id), "{id}");
    }
}
