//! Tests of levels, mandatory integrity and restricted tokens.

use super::*;
use crate::coverage::Covered;
use crate::errno::Errno;
use crate::security::ace_flags::{CONTAINER_INHERIT, INHERIT_ONLY};
use crate::security::fixtures::{
    access_check, changed, integrity, sd, staff, token, token_with, user,
};
use crate::security::mandatory::{NO_EXECUTE_UP, NO_READ_UP, NO_WRITE_UP};
use crate::security::rights::{
    DELETE, KEY_NOTIFY, KEY_READ, KEY_SET_VALUE, READ_CONTROL, WRITE_DAC,
};
use crate::security::well_known::{ADMINISTRATORS, EVERYONE, OWNER_RIGHTS, SYSTEM};
use crate::security::{Ace, Acl, GROUP_ENABLED, GROUP_INTEGRITY, Group, Privilege, check};

const LOW: u32 = 4096;
const MEDIUM: u32 = 8192;
const HIGH: u32 = 12288;

/// All that the token can have.
fn maximum(token: &Token, sd: &SecurityDescriptor) -> u32 {
    access_check(token, sd, MAXIMUM_ALLOWED).unwrap()
}

/// Everyone may do everything, but for these labels.
fn labelled(labels: Vec<Ace>) -> SecurityDescriptor {
    let open = vec![Ace::allow(KEY_ALL_ACCESS, &EVERYONE, 0)];
    SecurityDescriptor { sacl: Some(Acl::of_rules(labels)), ..sd(&SYSTEM, Some(open)) }
}

fn at_level(level: u32) -> Token {
    changed(&token(), |fields| fields.integrity_level = level)
}

fn with_level(level: TokenLevel) -> Token {
    changed(&token(), |fields| fields.level = level)
}

#[test]
fn a_token_for_identification_opens_nothing() {
    let open = labelled(Vec::new());
    let deny = Err(Errno::EACCES);
    assert_eq!(access_check(&with_level(TokenLevel::Identification), &open, KEY_READ), deny);
    assert_eq!(access_check(&with_level(TokenLevel::Identification), &open, MAXIMUM_ALLOWED), deny);
    for level in [TokenLevel::Anonymous, TokenLevel::Impersonation, TokenLevel::Delegation] {
        assert_eq!(maximum(&with_level(level), &open), KEY_ALL_ACCESS, "{level:?}");
    }
}

#[test]
fn the_level_is_looked_at_before_the_descriptor() {
    let ownerless = SecurityDescriptor { owner: None, ..labelled(Vec::new()) };
    let identification = with_level(TokenLevel::Identification);
    assert_eq!(access_check(&identification, &ownerless, KEY_READ), Err(Errno::EACCES));
    assert_eq!(access_check(&token(), &ownerless, KEY_READ), Err(Errno::EIO));
}

#[test]
fn below_the_label_only_reading_is_left() {
    let policies = [
        // KEY_WRITE holds READ_CONTROL, so NO_WRITE_UP takes it away (D-38).
        (NO_WRITE_UP, KEY_READ & !READ_CONTROL),
        (0, KEY_READ),
        (NO_EXECUTE_UP | 0x38, KEY_READ),
        (NO_READ_UP, 0),
        (NO_READ_UP | NO_WRITE_UP, 0),
    ];
    for (policy, expected) in policies {
        let sd = labelled(vec![integrity(HIGH, policy, 0)]);
        assert_eq!(maximum(&at_level(MEDIUM), &sd), expected, "{policy:#x}");
        assert_eq!(maximum(&at_level(HIGH), &sd), KEY_ALL_ACCESS, "{policy:#x}");
        assert_eq!(maximum(&at_level(HIGH - 1), &sd), expected, "{policy:#x}");
        assert_eq!(maximum(&at_level(u32::MAX), &sd), KEY_ALL_ACCESS, "{policy:#x}");
    }
}

#[test]
fn without_a_label_the_object_is_medium() {
    let unlabelled = sd(&SYSTEM, Some(vec![Ace::allow(KEY_ALL_ACCESS, &EVERYONE, 0)]));
    for sd in [unlabelled, labelled(Vec::new())] {
        assert_eq!(maximum(&at_level(MEDIUM), &sd), KEY_ALL_ACCESS);
        assert_eq!(maximum(&at_level(MEDIUM - 1), &sd), KEY_READ & !READ_CONTROL);
        assert_eq!(access_check(&at_level(LOW), &sd, KEY_SET_VALUE), Err(Errno::EACCES));
    }
}

#[test]
fn the_first_label_that_is_not_inherit_only_counts() {
    let sd = labelled(vec![
        integrity(HIGH, NO_WRITE_UP, INHERIT_ONLY | CONTAINER_INHERIT),
        integrity(LOW, NO_WRITE_UP, 0),
        integrity(HIGH, NO_READ_UP, 0),
    ]);
    assert_eq!(maximum(&at_level(LOW), &sd), KEY_ALL_ACCESS);
    let only_inherited = labelled(vec![integrity(HIGH, NO_WRITE_UP, INHERIT_ONLY)]);
    assert_eq!(maximum(&at_level(MEDIUM), &only_inherited), KEY_ALL_ACCESS);
    assert_eq!(maximum(&at_level(LOW), &only_inherited), KEY_READ & !READ_CONTROL);
}

#[test]
fn a_token_without_the_policy_has_no_label_above_it() {
    let sd = labelled(vec![integrity(HIGH, NO_READ_UP | NO_WRITE_UP, 0)]);
    let free = changed(&at_level(LOW), |fields| fields.no_write_up = false);
    assert_eq!(maximum(&free, &sd), KEY_ALL_ACCESS);
}

#[test]
fn groups_say_nothing_of_integrity() {
    let sd = labelled(vec![integrity(HIGH, NO_READ_UP, 0)]);
    let label = Group { sid: Sid::from_parts(16, &[HIGH]), attributes: GROUP_INTEGRITY | 0x44 };
    let token = changed(&at_level(LOW), |fields| fields.groups.push(label));
    assert_eq!(maximum(&token, &sd), 0);
}

#[test]
fn owners_have_no_implicit_rights_below_the_label() {
    let own = SecurityDescriptor {
        owner: Some(user()),
        ..labelled(vec![integrity(HIGH, NO_READ_UP | NO_WRITE_UP, 0)])
    };
    assert_eq!(maximum(&at_level(MEDIUM), &own), 0);
    let own = SecurityDescriptor { dacl: None, ..own };
    assert_eq!(maximum(&at_level(MEDIUM), &own), 0);
}

#[test]
fn integrity_takes_nothing_that_a_privilege_gives() {
    let sd = labelled(vec![integrity(HIGH, NO_READ_UP | NO_WRITE_UP, 0)]);
    let with = token_with(GROUP_ENABLED, &[Privilege::Security]);
    assert_eq!(maximum(&with, &sd), ACCESS_SYSTEM_SECURITY);
}

#[test]
fn ownership_is_not_taken_below_the_label() {
    let sd = labelled(vec![integrity(HIGH, 0, 0)]);
    let with = token_with(GROUP_ENABLED, &[Privilege::TakeOwnership]);
    assert_eq!(access_check(&with, &sd, WRITE_OWNER), Err(Errno::EACCES));
    let both = token_with(GROUP_ENABLED, &[Privilege::TakeOwnership, Privilege::Relabel]);
    assert_eq!(access_check(&both, &sd, WRITE_OWNER), Ok(WRITE_OWNER));
}

#[test]
fn relabelling_lets_the_dacl_grant_write_owner() {
    let label = || vec![integrity(HIGH, NO_READ_UP | NO_WRITE_UP, 0)];
    let with = token_with(GROUP_ENABLED, &[Privilege::Relabel]);
    assert_eq!(maximum(&with, &labelled(label())), WRITE_OWNER);
    let closed = SecurityDescriptor { dacl: Some(Acl::of_rules(vec![])), ..labelled(label()) };
    assert_eq!(maximum(&with, &closed), 0);
}

fn restricted_to(sids: &[Sid]) -> Token {
    changed(&token(), |fields| fields.restricted_sids = sids.to_vec())
}

#[test]
fn a_restricted_token_gets_what_both_passes_grant() {
    let sd = sd(
        &SYSTEM,
        Some(vec![Ace::allow(KEY_READ, &user(), 0), Ace::allow(KEY_NOTIFY | DELETE, &staff(), 0)]),
    );
    assert_eq!(maximum(&token(), &sd), KEY_READ | DELETE);
    assert_eq!(maximum(&restricted_to(&[staff()]), &sd), KEY_NOTIFY | DELETE);
    assert_eq!(maximum(&restricted_to(std::slice::from_ref(&*ADMINISTRATORS)), &sd), 0);
    assert_eq!(maximum(&restricted_to(&[staff(), user()]), &sd), KEY_READ | DELETE);
}

#[test]
fn the_second_pass_sees_denials_of_restricting_sids_alone() {
    let sd = sd(
        &SYSTEM,
        Some(vec![
            Ace::deny(KEY_NOTIFY, &SYSTEM, 0),
            Ace::deny(DELETE, &user(), 0),
            Ace::allow(KEY_ALL_ACCESS, &EVERYONE, 0),
        ]),
    );
    let restricted = restricted_to(&[EVERYONE.clone(), SYSTEM.clone()]);
    assert_eq!(maximum(&restricted, &sd), KEY_ALL_ACCESS & !DELETE & !KEY_NOTIFY);
}

#[test]
fn a_write_restriction_concerns_what_writing_maps_to() {
    let sd = sd(&SYSTEM, Some(vec![Ace::allow(KEY_ALL_ACCESS, &user(), 0)]));
    let token = changed(&restricted_to(&[staff()]), |fields| fields.write_restricted = true);
    assert_eq!(maximum(&token, &sd), KEY_ALL_ACCESS & !KEY_WRITE);
}

#[test]
fn privileges_pass_the_restriction() {
    let closed = sd(&SYSTEM, Some(Vec::new()));
    let privileges = [Privilege::Security, Privilege::TakeOwnership];
    let token = changed(&token_with(GROUP_ENABLED, &privileges), |fields| {
        fields.restricted_sids = vec![staff()];
    });
    assert_eq!(maximum(&token, &closed), ACCESS_SYSTEM_SECURITY | WRITE_OWNER);
}

#[test]
fn ownership_passes_only_with_a_restricting_owner() {
    let own = sd(&user(), Some(Vec::new()));
    assert_eq!(maximum(&restricted_to(&[staff()]), &own), 0);
    assert_eq!(maximum(&restricted_to(&[user()]), &own), READ_CONTROL | WRITE_DAC);
    let aces = vec![Ace::allow(DELETE, &OWNER_RIGHTS, 0), Ace::allow(KEY_NOTIFY, &EVERYONE, 0)];
    let own = sd(&user(), Some(aces));
    assert_eq!(maximum(&restricted_to(std::slice::from_ref(&*EVERYONE)), &own), KEY_NOTIFY);
    assert_eq!(maximum(&restricted_to(&[user()]), &own), DELETE);
}

#[test]
fn a_null_dacl_grants_in_both_passes() {
    assert_eq!(maximum(&restricted_to(&[staff()]), &sd(&SYSTEM, None)), KEY_ALL_ACCESS);
}

#[test]
fn a_label_that_could_not_be_parsed_fails_closed() {
    let mut bad = labelled(vec![integrity(LOW, NO_WRITE_UP, 0)]);
    if let Some(super::super::AceBody::Recognised { sid, .. }) =
        bad.sacl.as_mut().map(|acl| &mut acl.aces[0].body)
    {
        *sid = SYSTEM.clone();
    }
    let check = check(&token(), &bad, KEY_READ, &mut Covered::new());
    assert_eq!(check.verdict, Verdict::Malformed);
}
