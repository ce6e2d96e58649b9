//! Tests of what is not evaluated: when an answer hangs on it, and when it does not.

use super::*;
use crate::security::ace_flags::{FAILED_ACCESS, INHERIT_ONLY, SUCCESSFUL_ACCESS};
use crate::security::fixtures::{
    CONDITION, changed, conditional, label, sd, token, token_with, user,
};
use crate::security::rights::{
    ACCESS_SYSTEM_SECURITY, DELETE, KEY_ALL_ACCESS, KEY_NOTIFY, KEY_QUERY_VALUE, KEY_READ,
    KEY_SET_VALUE, WRITE_OWNER,
};
use crate::security::well_known::{EVERYONE, OWNER_RIGHTS, SYSTEM};
use crate::security::{Ace, AceKind, Acl, Effect, GROUP_DENY_ONLY, GROUP_ENABLED, Privilege, Sid};

const BY_CONDITION: Verdict =
    Verdict::Outside("the decision hangs on the condition of a callback ACE");
const BY_TRUST: Verdict = Verdict::Outside("the decision hangs on a process trust label");
const BY_CONFINEMENT: Verdict =
    Verdict::Outside("the decision hangs on the confinement of the token");
const BY_POLICY: Verdict = Verdict::Outside("the decision hangs on a central access policy");

fn verdict(token: &Token, sd: &SecurityDescriptor, desired: u32) -> Verdict {
    check(token, sd, desired, &mut Covered::new()).verdict
}

fn of_aces(aces: Vec<Ace>, desired: u32) -> Verdict {
    verdict(&token(), &sd(&SYSTEM, Some(aces)), desired)
}

#[test]
fn a_condition_that_could_decide_leaves_the_answer_open() {
    let allow = || conditional(Effect::Allow, KEY_NOTIFY, &EVERYONE, 0, CONDITION);
    let deny = || conditional(Effect::Deny, KEY_NOTIFY, &EVERYONE, 0, CONDITION);
    let open = || Ace::allow(KEY_READ, &EVERYONE, 0);
    assert_eq!(of_aces(vec![allow()], KEY_NOTIFY), BY_CONDITION);
    assert_eq!(of_aces(vec![deny(), open()], KEY_NOTIFY), BY_CONDITION);
    assert_eq!(of_aces(vec![deny(), open()], MAXIMUM_ALLOWED), BY_CONDITION);
}

#[test]
fn a_condition_that_cannot_decide_does_not_matter() {
    let allow = |sid: &Sid, flags| conditional(Effect::Allow, KEY_NOTIFY, sid, flags, CONDITION);
    let deny = || conditional(Effect::Deny, KEY_NOTIFY, &EVERYONE, 0, CONDITION);
    let open = || Ace::allow(KEY_READ, &EVERYONE, 0);
    assert_eq!(of_aces(vec![allow(&EVERYONE, 0), open()], KEY_NOTIFY), Verdict::Allowed);
    assert_eq!(of_aces(vec![open(), deny()], KEY_READ), Verdict::Allowed);
    assert_eq!(of_aces(vec![deny(), open()], KEY_QUERY_VALUE), Verdict::Allowed);
    assert_eq!(of_aces(vec![deny()], KEY_NOTIFY), Verdict::Denied);
    assert_eq!(of_aces(vec![allow(&SYSTEM, 0)], KEY_NOTIFY), Verdict::Denied);
    assert_eq!(of_aces(vec![allow(&EVERYONE, INHERIT_ONLY)], KEY_NOTIFY), Verdict::Denied);
    assert_eq!(of_aces(vec![allow(&EVERYONE, 0)], KEY_NOTIFY | DELETE), Verdict::Denied);
}

#[test]
fn an_expression_that_is_unknown_for_certain_only_denies() {
    for code in [&b""[..], b"artx", b"none"] {
        let allow = conditional(Effect::Allow, KEY_NOTIFY, &EVERYONE, 0, code);
        let deny = conditional(Effect::Deny, KEY_NOTIFY, &EVERYONE, 0, code);
        let open = Ace::allow(KEY_READ, &EVERYONE, 0);
        assert_eq!(of_aces(vec![allow], KEY_NOTIFY), Verdict::Denied);
        assert_eq!(of_aces(vec![deny, open], KEY_NOTIFY), Verdict::Denied);
    }
}

#[test]
fn a_conditional_ace_replaces_the_implicit_rights_whatever_it_gives() {
    let aces = vec![conditional(Effect::Allow, KEY_NOTIFY, &OWNER_RIGHTS, 0, CONDITION)];
    let own = sd(&user(), Some(aces));
    assert_eq!(verdict(&token(), &own, crate::security::rights::READ_CONTROL), Verdict::Denied);
    assert_eq!(verdict(&token(), &own, KEY_NOTIFY), BY_CONDITION);
}

#[test]
fn ownership_by_privilege_does_not_hide_a_condition() {
    // Granted by condition, WRITE_OWNER is lost to the second pass; by privilege, it is kept.
    let aces = vec![
        conditional(Effect::Allow, WRITE_OWNER, &user(), 0, CONDITION),
        conditional(Effect::Allow, WRITE_OWNER, &EVERYONE, 0, CONDITION),
    ];
    let with = token_with(GROUP_ENABLED, &[Privilege::TakeOwnership]);
    let restricted = changed(&with, |fields| fields.restricted_sids = vec![EVERYONE.clone()]);
    assert_eq!(verdict(&with, &sd(&SYSTEM, Some(aces.clone())), WRITE_OWNER), Verdict::Allowed);
    assert_eq!(verdict(&restricted, &sd(&SYSTEM, Some(aces)), WRITE_OWNER), BY_CONDITION);
}

#[test]
fn ownership_by_privilege_and_a_right_by_condition_may_come_together() {
    // WRITE_OWNER is lost where its condition holds, and the other right where its own does not.
    let aces = vec![
        conditional(Effect::Allow, WRITE_OWNER, &user(), 0, CONDITION),
        conditional(Effect::Allow, KEY_NOTIFY, &user(), 0, CONDITION),
        Ace::allow(KEY_NOTIFY, &EVERYONE, 0),
    ];
    let with = token_with(GROUP_DENY_ONLY, &[Privilege::TakeOwnership]);
    let restricted = changed(&with, |fields| {
        fields.groups.clear();
        fields.restricted_sids = vec![EVERYONE.clone()];
    });
    let both = WRITE_OWNER | KEY_NOTIFY;
    assert_eq!(verdict(&restricted, &sd(&SYSTEM, Some(aces)), both), BY_CONDITION);
}

/// Everyone may read, and this is in the SACL.
fn readable_with(ace: Ace) -> SecurityDescriptor {
    let aces = vec![Ace::allow(KEY_READ | KEY_SET_VALUE, &EVERYONE, 0)];
    SecurityDescriptor { sacl: Some(Acl::of_rules(vec![ace])), ..sd(&SYSTEM, Some(aces)) }
}

#[test]
fn a_trust_label_matters_where_it_forbids_something() {
    let trust = |parts: [u32; 2], flags| {
        let sid = Sid::from_parts(19, &parts);
        readable_with(label(AceKind::ProcessTrustLabel, KEY_READ, &sid, flags))
    };
    let protected = trust([512, 1024], 0);
    assert_eq!(verdict(&token(), &protected, KEY_READ), Verdict::Allowed);
    assert_eq!(verdict(&token(), &protected, KEY_SET_VALUE), BY_TRUST);
    assert_eq!(verdict(&token(), &protected, DELETE), Verdict::Denied);
    let with = token_with(GROUP_ENABLED, &[Privilege::Security, Privilege::TakeOwnership]);
    assert_eq!(verdict(&with, &protected, ACCESS_SYSTEM_SECURITY), BY_TRUST);
    assert_eq!(verdict(&with, &protected, WRITE_OWNER), BY_TRUST);
    assert_eq!(verdict(&token(), &trust([0, 0], 0), KEY_SET_VALUE), Verdict::Allowed);
    assert_eq!(verdict(&token(), &trust([512, 0], INHERIT_ONLY), KEY_SET_VALUE), Verdict::Allowed);
}

#[test]
fn a_confined_token_gets_at_most_what_the_dacl_gives_anyone() {
    let privileges = [Privilege::Security];
    let confined =
        changed(&token_with(GROUP_ENABLED, &privileges), |fields| fields.confined = true);
    let open = sd(&SYSTEM, Some(vec![Ace::allow(KEY_READ, &EVERYONE, 0)]));
    assert_eq!(verdict(&confined, &open, KEY_READ), BY_CONFINEMENT);
    assert_eq!(verdict(&confined, &open, DELETE), Verdict::Denied);
    assert_eq!(verdict(&confined, &open, ACCESS_SYSTEM_SECURITY), Verdict::Denied);
    let own = sd(&user(), Some(Vec::new()));
    assert_eq!(verdict(&confined, &own, crate::security::rights::READ_CONTROL), Verdict::Denied);
    let null = check(&confined, &sd(&SYSTEM, None), MAXIMUM_ALLOWED, &mut Covered::new());
    assert_eq!((null.verdict, null.granted), (Verdict::Allowed, KEY_ALL_ACCESS));
}

#[test]
fn a_central_policy_may_take_what_no_privilege_gives() {
    let policy = |flags| readable_with(label(AceKind::ScopedPolicy, 0, &SYSTEM, flags));
    assert_eq!(verdict(&token(), &policy(0), KEY_READ), BY_POLICY);
    assert_eq!(verdict(&token(), &policy(0), DELETE), Verdict::Denied);
    assert_eq!(verdict(&token(), &policy(INHERIT_ONLY), KEY_READ), Verdict::Allowed);
    let with = token_with(GROUP_ENABLED, &[Privilege::Security]);
    assert_eq!(verdict(&with, &policy(0), ACCESS_SYSTEM_SECURITY), Verdict::Allowed);
}

#[test]
fn a_central_policy_may_cost_a_restricted_token_the_ownership() {
    // By a rule's DACL that grants it to the user, who is no restricting SID.
    let policy = readable_with(label(AceKind::ScopedPolicy, 0, &SYSTEM, 0));
    let with = token_with(GROUP_ENABLED, &[Privilege::TakeOwnership]);
    assert_eq!(verdict(&with, &policy, WRITE_OWNER), Verdict::Allowed);
    let restricted = |writes| {
        changed(&with, |fields| {
            fields.restricted_sids = vec![EVERYONE.clone()];
            fields.write_restricted = writes;
        })
    };
    assert_eq!(verdict(&restricted(false), &policy, WRITE_OWNER), BY_POLICY);
    assert_eq!(verdict(&restricted(true), &policy, WRITE_OWNER), Verdict::Allowed);
}

#[test]
fn what_no_event_tells_of_does_not_hang_on_an_audit_condition() {
    let audited = readable_with(conditional(
        Effect::Audit,
        KEY_SET_VALUE,
        &EVERYONE,
        SUCCESSFUL_ACCESS,
        CONDITION,
    ));
    let alone =
        |desired| crate::security::verdict(&token(), &audited, desired, &mut Covered::new());
    assert_eq!(alone(KEY_SET_VALUE), Verdict::Allowed);
    assert_eq!(alone(DELETE), Verdict::Denied);
}

#[test]
fn the_condition_of_an_audit_ace_leaves_auditing_open() {
    let audit = |flags, sid: &Sid, code| {
        readable_with(conditional(Effect::Audit, KEY_READ, sid, flags, code))
    };
    let hangs = Verdict::Outside("auditing hangs on the condition of a callback ACE");
    assert_eq!(verdict(&token(), &audit(SUCCESSFUL_ACCESS, &EVERYONE, CONDITION), KEY_READ), hangs);
    let other = audit(SUCCESSFUL_ACCESS, &SYSTEM, CONDITION);
    assert_eq!(verdict(&token(), &other, KEY_READ), Verdict::Allowed);
    let failures = audit(FAILED_ACCESS, &EVERYONE, CONDITION);
    assert_eq!(verdict(&token(), &failures, KEY_READ), Verdict::Allowed);
    let unknown = audit(SUCCESSFUL_ACCESS, &EVERYONE, b"none");
    let fired = check(&token(), &unknown, KEY_READ, &mut Covered::new());
    assert_eq!((fired.verdict, fired.sacl_match_flags), (Verdict::Allowed, 1));
}

#[test]
fn an_open_answer_marks_and_grants_nothing() {
    let aces = vec![conditional(Effect::Allow, KEY_NOTIFY, &EVERYONE, 0, CONDITION)];
    let mut covered = Covered::new();
    let open = check(&token(), &sd(&SYSTEM, Some(aces)), KEY_NOTIFY, &mut covered);
    assert_eq!((open.granted, open.sacl_match_flags), (0, 0));
    assert_eq!(covered, Covered::new());
}

#[test]
fn resource_attributes_decide_nothing_by_themselves() {
    let claim = crate::security::fixtures::claim_of_nothing();
    let attribute = readable_with(label(AceKind::ResourceAttribute { claim }, 0, &EVERYONE, 0));
    assert_eq!(verdict(&token(), &attribute, KEY_READ), Verdict::Allowed);
}
