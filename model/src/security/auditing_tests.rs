//! Tests of which audit ACEs match an open.

use super::*;
use crate::security::ace_flags::CONTAINER_INHERIT;
use crate::security::fixtures::{changed, sd, staff, token, token_with, user};
use crate::security::rights::{
    DELETE, GENERIC_READ, KEY_NOTIFY, KEY_QUERY_VALUE, KEY_READ, MAXIMUM_ALLOWED,
};
use crate::security::well_known::{EVERYONE, OWNER_RIGHTS, SYSTEM};
use crate::security::{
    GROUP_DENY_ONLY, GROUP_ENABLED, ObjectTypes, SecurityDescriptor, Token, TokenLevel, Verdict,
    check,
};

const BOTH: u8 = SUCCESSFUL_ACCESS | FAILED_ACCESS;

fn audit(mask: u32, sid: &Sid, flags: u8) -> Ace {
    Ace::plain(Effect::Audit, mask, sid, flags)
}

/// Everyone may read a key of SYSTEM, and this is audited.
fn audited(aces: Vec<Ace>) -> SecurityDescriptor {
    let readable = vec![Ace::allow(KEY_READ, &EVERYONE, 0)];
    SecurityDescriptor { sacl: Some(Acl::of_rules(aces)), ..sd(&SYSTEM, Some(readable)) }
}

fn flags(token: &Token, aces: Vec<Ace>, desired: u32) -> u32 {
    check(token, &audited(aces), desired, &mut Covered::new()).sacl_match_flags
}

#[test]
fn the_outcome_decides_which_flag_matters() {
    let cases = [(SUCCESSFUL_ACCESS, 1, 0), (FAILED_ACCESS, 0, 2), (BOTH, 1, 2), (0, 0, 0)];
    for (ace_flags, allowed, denied) in cases {
        let aces = || vec![audit(KEY_READ | DELETE, &EVERYONE, ace_flags)];
        assert_eq!(flags(&token(), aces(), KEY_READ), allowed, "{ace_flags:#x}");
        assert_eq!(flags(&token(), aces(), KEY_READ | DELETE), denied, "{ace_flags:#x}");
    }
}

#[test]
fn the_request_is_compared_and_not_what_is_granted() {
    let aces = || vec![audit(DELETE, &EVERYONE, BOTH)];
    assert_eq!(flags(&token(), aces(), KEY_NOTIFY), 0);
    assert_eq!(flags(&token(), aces(), DELETE), 2);
    assert_eq!(flags(&token(), aces(), DELETE | KEY_NOTIFY), 2);
    let reads = || vec![audit(KEY_QUERY_VALUE, &EVERYONE, BOTH)];
    assert_eq!(flags(&token(), reads(), MAXIMUM_ALLOWED), 0);
    assert_eq!(flags(&token(), reads(), MAXIMUM_ALLOWED | KEY_NOTIFY), 0);
    assert_eq!(flags(&token(), reads(), MAXIMUM_ALLOWED | KEY_QUERY_VALUE), 1);
}

#[test]
fn generic_bits_are_mapped_on_both_sides() {
    assert_eq!(flags(&token(), vec![audit(GENERIC_READ, &EVERYONE, BOTH)], KEY_NOTIFY), 1);
    assert_eq!(flags(&token(), vec![audit(KEY_NOTIFY, &EVERYONE, BOTH)], GENERIC_READ), 1);
}

#[test]
fn deny_only_sids_are_audited() {
    let deny_only = changed(&token_with(GROUP_DENY_ONLY, &[]), |fields| {
        fields.user_deny_only = true;
    });
    for sid in [user(), staff()] {
        assert_eq!(flags(&deny_only, vec![audit(KEY_READ, &sid, BOTH)], KEY_READ), 1, "{sid}");
    }
    let disabled = token_with(0, &[]);
    assert_eq!(flags(&disabled, vec![audit(KEY_READ, &staff(), BOTH)], KEY_READ), 0);
    assert_eq!(flags(&token(), vec![audit(KEY_READ, &SYSTEM, BOTH)], KEY_READ), 0);
}

#[test]
fn inherit_only_aces_do_not_fire() {
    let inherit_only = INHERIT_ONLY | CONTAINER_INHERIT | BOTH;
    assert_eq!(flags(&token(), vec![audit(KEY_READ, &EVERYONE, inherit_only)], KEY_READ), 0);
}

#[test]
fn owner_rights_audit_the_owner() {
    let owned_by = |owner: Sid| SecurityDescriptor {
        owner: Some(owner),
        ..audited(vec![audit(KEY_READ, &OWNER_RIGHTS, BOTH)])
    };
    let flags = |sd| check(&token(), &sd, KEY_READ, &mut Covered::new()).sacl_match_flags;
    assert_eq!(flags(owned_by(user())), 1);
    assert_eq!(flags(owned_by(SYSTEM.clone())), 0);
}

#[test]
fn entries_are_judged_on_their_own_in_any_order() {
    let aces = vec![
        audit(KEY_NOTIFY, &SYSTEM, BOTH),
        audit(KEY_NOTIFY, &EVERYONE, FAILED_ACCESS),
        audit(DELETE, &EVERYONE, BOTH),
        audit(KEY_NOTIFY, &user(), SUCCESSFUL_ACCESS),
    ];
    let reversed = aces.iter().rev().cloned().collect();
    assert_eq!(flags(&token(), aces, KEY_NOTIFY), 1);
    assert_eq!(flags(&token(), reversed, KEY_NOTIFY), 1);
}

#[test]
fn an_object_type_keeps_no_open_from_being_audited() {
    let kind = AceKind::Rule {
        effect: Effect::Audit,
        object: Some(ObjectTypes {
            other_flags: 0,
            object_type: Some([1; 16]),
            inherited_object_type: None,
        }),
        condition: None,
    };
    let body = AceBody::Recognised { kind, mask: KEY_READ, sid: EVERYONE.clone() };
    assert_eq!(flags(&token(), vec![Ace { flags: BOTH, body }], KEY_READ), 1);
}

#[test]
fn alarms_and_rules_in_a_sacl_and_audits_in_a_dacl_audit_nothing() {
    let others = vec![
        Ace::plain(Effect::Alarm, KEY_READ, &EVERYONE, BOTH),
        Ace::plain(Effect::Allow, KEY_READ, &EVERYONE, BOTH),
        Ace::plain(Effect::Deny, KEY_READ, &EVERYONE, BOTH),
    ];
    assert_eq!(flags(&token(), others, KEY_READ), 0);
    let dacl = vec![audit(KEY_READ, &EVERYONE, BOTH), Ace::allow(KEY_READ, &EVERYONE, 0)];
    let check = check(&token(), &sd(&SYSTEM, Some(dacl)), KEY_READ, &mut Covered::new());
    assert_eq!((check.verdict, check.sacl_match_flags), (Verdict::Allowed, 0));
}

#[test]
fn a_refusal_by_level_is_not_audited() {
    let identification = changed(&token(), |fields| fields.level = TokenLevel::Identification);
    assert_eq!(flags(&identification, vec![audit(KEY_READ, &EVERYONE, BOTH)], KEY_READ), 0);
}

#[test]
fn auditing_decides_nothing() {
    let verdict = |aces, desired| {
        check(&token_with(GROUP_ENABLED, &[]), &audited(aces), desired, &mut Covered::new()).verdict
    };
    let aces = || vec![audit(KEY_READ | DELETE, &EVERYONE, BOTH)];
    for desired in [KEY_READ, DELETE, MAXIMUM_ALLOWED] {
        assert_eq!(verdict(aces(), desired), verdict(Vec::new(), desired));
    }
}
