//! Laws of the access check: what holds for every token, descriptor and request.

use proptest::prelude::*;

use super::acl::{Ace, AceBody, AceKind, Acl, Effect};
use super::fixtures::{access_check, any_descriptor, changed, integrity, sd, staff, token, user};
use super::rights::{KEY_ALL_ACCESS, MAXIMUM_ALLOWED, REG_VALID_MAPPED_ACCESS_MASK};
use super::well_known::{ADMINISTRATORS, EVERYONE, OWNER_RIGHTS, SYSTEM};
use super::{
    GROUP_DENY_ONLY, GROUP_ENABLED, Group, Privilege, SecurityDescriptor, Sid, Token, Verdict,
    check,
};
use crate::coverage::Covered;

fn known_sids() -> Vec<Sid> {
    vec![EVERYONE.clone(), user(), staff(), SYSTEM.clone(), ADMINISTRATORS.clone()]
}

/// Any of few SIDs, so that tokens and descriptors meet.
fn known_sid() -> impl Strategy<Value = Sid> {
    prop::sample::select(known_sids())
}

fn mask() -> impl Strategy<Value = u32> {
    any::<u32>().prop_map(|mask| mask & KEY_ALL_ACCESS)
}

/// An allow or deny ACE, now and then for children or owners alone.
fn rule() -> impl Strategy<Value = Ace> {
    let effect = prop::sample::select(vec![Effect::Allow, Effect::Deny]);
    let sid = prop_oneof![6 => known_sid(), 1 => Just(OWNER_RIGHTS.clone())];
    let flags = prop_oneof![5 => Just(0_u8), 1 => Just(0x08)];
    (effect, mask(), sid, flags)
        .prop_map(|(effect, mask, sid, flags)| Ace::plain(effect, mask, &sid, flags))
}

/// A descriptor with a DACL, sometimes labelled.
fn descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let level = prop::option::of((prop::sample::select(vec![4096, 8192, 12288]), 0_u32..8));
    (known_sid(), prop::collection::vec(rule(), 0..8), level).prop_map(|(owner, rules, level)| {
        let labels = level.map(|(level, policy)| vec![integrity(level, policy, 0)]);
        SecurityDescriptor { sacl: labels.map(Acl::of_rules), ..sd(&owner, Some(rules)) }
    })
}

/// Any token of the kinds that can be evaluated.
fn any_token() -> impl Strategy<Value = Token> {
    let attributes = prop::sample::select(vec![
        0,
        GROUP_ENABLED,
        GROUP_DENY_ONLY,
        GROUP_ENABLED | GROUP_DENY_ONLY,
    ]);
    let group = (known_sid(), attributes).prop_map(|(sid, attributes)| Group { sid, attributes });
    let restricting = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(known_sid(), 1..3),
    ];
    (
        prop::collection::vec(group, 0..4),
        prop::sample::subsequence(Privilege::ALL.to_vec(), 0..=6),
        prop::sample::select(vec![4096, 8192, 12288]),
        restricting,
        any::<[bool; 3]>(),
    )
        .prop_map(|(groups, privileges, level, restricting, [deny_only, writes, policy])| {
            changed(&token(), |fields| {
                fields.groups = groups;
                fields.privileges = privileges.into_iter().collect();
                fields.integrity_level = level;
                fields.restricted_sids = restricting;
                fields.user_deny_only = deny_only;
                fields.write_restricted = writes;
                fields.no_write_up = policy;
            })
        })
}

/// All that the token can have.
fn maximum(token: &Token, sd: &SecurityDescriptor) -> u32 {
    access_check(token, sd, MAXIMUM_ALLOWED).unwrap()
}

fn dacl_of(sd: &SecurityDescriptor) -> Vec<Ace> {
    sd.dacl.as_ref().map(|acl| acl.aces.clone()).unwrap_or_default()
}

fn with_dacl(sd: &SecurityDescriptor, aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor { dacl: Some(Acl::of_rules(aces)), ..sd.clone() }
}

fn effect_of(ace: &Ace) -> Option<Effect> {
    match &ace.body {
        AceBody::Recognised { kind: AceKind::Rule { effect, .. }, .. } => Some(*effect),
        _ => None,
    }
}

fn sid_of(ace: &Ace) -> Option<&Sid> {
    match &ace.body {
        AceBody::Recognised { sid, .. } => Some(sid),
        AceBody::Unrecognised { .. } => None,
    }
}

/// Whether a restriction may take what the DACL grants and would leave what a privilege grants.
fn grants_twice(token: &Token) -> bool {
    token.has_privilege(Privilege::TakeOwnership) && !token.0.restricted_sids.is_empty()
}

proptest! {
    #[test]
    fn one_more_allow_ace_takes_no_right_away(
        token in any_token(),
        sd in descriptor(),
        mask in mask(),
        sid in known_sid(),
        place in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!grants_twice(&token));
        let mut aces = dacl_of(&sd);
        aces.insert(place.index(aces.len() + 1), Ace::allow(mask, &sid, 0));
        let (before, after) = (maximum(&token, &sd), maximum(&token, &with_dacl(&sd, aces)));
        prop_assert_eq!(before & !after, 0);
    }

    #[test]
    fn one_more_deny_ace_gives_no_right(
        token in any_token(),
        sd in descriptor(),
        mask in mask(),
        sid in known_sid(),
        place in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!grants_twice(&token));
        let mut aces = dacl_of(&sd);
        aces.insert(place.index(aces.len() + 1), Ace::deny(mask, &sid, 0));
        let (before, after) = (maximum(&token, &sd), maximum(&token, &with_dacl(&sd, aces)));
        prop_assert_eq!(after & !before, 0);
    }

    #[test]
    fn the_order_within_a_run_of_one_kind_does_not_matter(
        token in any_token(),
        sd in descriptor(),
        seed in any::<u64>(),
    ) {
        let mut aces = dacl_of(&sd);
        for run in aces.chunk_by_mut(|one, next| effect_of(one) == effect_of(next)) {
            run.rotate_left(seed as usize % run.len());
            if seed.is_multiple_of(2) {
                run.reverse();
            }
        }
        prop_assert_eq!(maximum(&token, &with_dacl(&sd, aces)), maximum(&token, &sd));
    }

    #[test]
    fn who_is_only_everyone_gets_what_is_for_everyone(sd in descriptor()) {
        let nobody = Sid::parse("S-1-5-7").unwrap();
        let everyone = vec![Group { sid: EVERYONE.clone(), attributes: GROUP_ENABLED }];
        let token = changed(&Token::of_user(nobody), |fields| fields.groups = everyone);
        prop_assume!(sd.owner.as_ref() != Some(&*EVERYONE));
        let mut aces = dacl_of(&sd);
        aces.retain(|ace| sid_of(ace) == Some(&*EVERYONE));
        prop_assert_eq!(maximum(&token, &with_dacl(&sd, aces)), maximum(&token, &sd));
    }

    #[test]
    fn the_maximum_is_what_single_requests_get(token in any_token(), sd in descriptor()) {
        let rights = (0..32).map(|bit| 1 << bit).filter(|bit| bit & REG_VALID_MAPPED_ACCESS_MASK != 0);
        let single = rights.filter_map(|right| access_check(&token, &sd, right).ok());
        prop_assert_eq!(single.fold(0, |all, right| all | right), maximum(&token, &sd));
    }

    #[test]
    fn a_request_is_granted_where_it_is_part_of_the_maximum(
        token in any_token(),
        sd in descriptor(),
        desired in mask(),
    ) {
        let granted = access_check(&token, &sd, desired).ok();
        let expected = (maximum(&token, &sd) & desired == desired).then_some(desired);
        prop_assert_eq!(granted, expected);
    }

    #[test]
    fn a_restriction_gives_no_right(token in any_token(), sd in descriptor()) {
        let free = changed(&token, |fields| fields.restricted_sids = Vec::new());
        prop_assert_eq!(maximum(&token, &sd) & !maximum(&free, &sd), 0);
    }

    #[test]
    fn less_integrity_gives_no_right(token in any_token(), sd in descriptor()) {
        prop_assume!(!grants_twice(&token));
        let lower = changed(&token, |fields| fields.integrity_level = 0);
        prop_assert_eq!(maximum(&lower, &sd) & !maximum(&token, &sd), 0);
    }

    #[test]
    fn any_descriptor_gets_an_answer(
        token in any_token(),
        sd in any_descriptor(),
        desired in any::<u32>(),
        confined in any::<bool>(),
    ) {
        let token = changed(&token, |fields| fields.confined = confined);
        let check = check(&token, &sd, desired, &mut Covered::new());
        prop_assert_eq!(check.verdict == Verdict::Malformed, sd.owner.is_none());
        if check.verdict != Verdict::Allowed {
            prop_assert_eq!(check.granted, 0);
        }
        prop_assert!(check.sacl_match_flags <= 2);
    }
}
