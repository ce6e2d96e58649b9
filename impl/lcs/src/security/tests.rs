//! Security: access evaluation, descriptors and inheritance, each rule by itself.

use abi::{
    ACCESS_SYSTEM_SECURITY, DELETE, Errno, GENERIC_ALL, GENERIC_EXECUTE, GENERIC_READ,
    GENERIC_WRITE, KEY_ALL_ACCESS, KEY_CREATE_SUB_KEY, KEY_QUERY_VALUE, KEY_READ, KEY_SET_VALUE,
    KEY_WRITE, MAXIMUM_ALLOWED, READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};

use super::ace_flag::{
    CONTAINER_INHERIT, INHERIT_ONLY, INHERITED, NO_PROPAGATE_INHERIT, OBJECT_INHERIT,
};
use super::*;

const DENIED: Result<u32, Errno> = Err(Errno::EACCES);

fn alice() -> Sid {
    "S-1-5-21-1-2-3-1001".parse().expect("well-formed")
}

fn bob() -> Sid {
    "S-1-5-21-1-2-3-1002".parse().expect("well-formed")
}

/// Owned by SYSTEM, with this DACL.
fn descriptor(aces: Vec<Ace>) -> SecurityDescriptor {
    SecurityDescriptor { dacl: Some(Acl::new(aces)), ..default_base_layer_sd() }
}

fn label(flags: u8, policy: u32, level: &str) -> Ace {
    Ace::basic(ace_type::MANDATORY_LABEL, flags, policy, level.parse().expect("well-formed"))
}

mod desired_access {
    use super::*;

    #[test]
    fn zero_and_unknown_bits_are_invalid() {
        for desired in [0, 0x0010_0000, 0x40 | KEY_READ, 0x0400_0000] {
            assert_eq!(validate_desired_access(desired), Err(Errno::EINVAL), "{desired:#x}");
        }
    }

    #[test]
    fn maximum_allowed_alone_and_generic_bits_are_valid() {
        for desired in [MAXIMUM_ALLOWED, GENERIC_EXECUTE, GENERIC_ALL | ACCESS_SYSTEM_SECURITY] {
            assert_eq!(validate_desired_access(desired), Ok(()), "{desired:#x}");
        }
    }
}

mod walk {
    use super::*;

    #[test]
    fn an_allow_ace_grants_exactly_what_was_asked() {
        let sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &sd, KEY_READ), Ok(KEY_READ));
        assert_eq!(access_check(&Token::user(alice()), &sd, GENERIC_READ), Ok(KEY_READ));
        assert_eq!(access_check(&Token::user(bob()), &sd, KEY_QUERY_VALUE), DENIED);
    }

    #[test]
    fn one_missing_right_denies_all() {
        let sd = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &sd, KEY_READ | KEY_SET_VALUE), DENIED);
    }

    #[test]
    fn the_first_ace_that_names_a_bit_settles_it() {
        let allow = Ace::allow(0, KEY_READ, alice());
        let deny = Ace::deny(0, KEY_QUERY_VALUE, alice());
        let token = Token::user(alice());
        let allow_first = descriptor(vec![allow.clone(), deny.clone()]);
        let deny_first = descriptor(vec![deny, allow]);
        assert_eq!(access_check(&token, &allow_first, KEY_READ), Ok(KEY_READ));
        assert_eq!(access_check(&token, &deny_first, KEY_READ), DENIED);
        assert_eq!(access_check(&token, &deny_first, READ_CONTROL), Ok(READ_CONTROL));
    }

    #[test]
    fn a_deny_only_group_denies_and_does_not_allow() {
        let mut token = Token::user(alice());
        let attributes = group_attribute::USE_FOR_DENY_ONLY;
        token.groups = vec![Group { sid: Sid::ADMINISTRATORS, attributes }];
        let allowing = descriptor(vec![Ace::allow(0, KEY_READ, Sid::ADMINISTRATORS)]);
        let denying = descriptor(vec![
            Ace::deny(0, KEY_READ, Sid::ADMINISTRATORS),
            Ace::allow(0, KEY_READ, alice()),
        ]);
        assert_eq!(access_check(&token, &allowing, KEY_READ), DENIED);
        assert_eq!(access_check(&token, &denying, KEY_READ), DENIED);
    }

    #[test]
    fn an_inherit_only_ace_has_no_effect() {
        let flags = CONTAINER_INHERIT | INHERIT_ONLY;
        let sd = descriptor(vec![Ace::allow(flags, KEY_ALL_ACCESS, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &sd, KEY_READ), DENIED);
    }

    #[test]
    fn a_null_dacl_grants_every_right_of_a_key_but_the_sacl() {
        let sd = SecurityDescriptor { dacl: None, ..descriptor(vec![]) };
        let token = Token::user(alice());
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(KEY_ALL_ACCESS));
        assert_eq!(access_check(&token, &sd, ACCESS_SYSTEM_SECURITY), DENIED);
    }

    #[test]
    fn an_empty_dacl_leaves_the_owner_its_implicit_rights() {
        let sd = SecurityDescriptor { owner: Some(alice()), ..descriptor(vec![]) };
        let owned = READ_CONTROL | WRITE_DAC;
        assert_eq!(access_check(&Token::user(alice()), &sd, MAXIMUM_ALLOWED), Ok(owned));
        assert_eq!(access_check(&Token::user(bob()), &sd, MAXIMUM_ALLOWED), Ok(0));
        assert_eq!(access_check(&Token::user(bob()), &sd, READ_CONTROL), DENIED);
    }

    #[test]
    fn generic_bits_of_an_ace_are_mapped() {
        let sd = descriptor(vec![Ace::allow(0, GENERIC_ALL, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &sd, DELETE), Ok(DELETE));
    }

    #[test]
    fn an_unevaluated_condition_denies_and_does_not_allow() {
        let callback = |kind| Ace::basic(kind, 0, KEY_QUERY_VALUE, alice());
        let allowing = descriptor(vec![callback(ace_type::ALLOWED_CALLBACK)]);
        let denying =
            descriptor(vec![callback(ace_type::DENIED_CALLBACK), Ace::allow(0, KEY_READ, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &allowing, KEY_QUERY_VALUE), DENIED);
        assert_eq!(access_check(&Token::user(alice()), &denying, KEY_QUERY_VALUE), DENIED);
    }
}

mod maximum_allowed {
    use super::*;

    #[test]
    fn alone_it_succeeds_with_nothing() {
        assert_eq!(access_check(&Token::user(bob()), &descriptor(vec![]), MAXIMUM_ALLOWED), Ok(0));
    }

    #[test]
    fn with_a_right_it_adds_whatever_else_is_granted() {
        let sd = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
        let token = Token::user(alice());
        let desired = MAXIMUM_ALLOWED | KEY_QUERY_VALUE;
        assert_eq!(access_check(&token, &sd, desired), Ok(KEY_READ));
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED | DELETE), DENIED);
    }

    #[test]
    fn execute_alone_succeeds_with_nothing() {
        assert_eq!(access_check(&Token::user(bob()), &descriptor(vec![]), GENERIC_EXECUTE), Ok(0));
    }
}

mod ownership {
    use super::*;

    fn owned(aces: Vec<Ace>) -> SecurityDescriptor {
        SecurityDescriptor { owner: Some(alice()), ..descriptor(aces) }
    }

    #[test]
    fn no_deny_ace_takes_the_implicit_rights() {
        let sd = owned(vec![Ace::deny(0, KEY_ALL_ACCESS, alice())]);
        assert_eq!(access_check(&Token::user(alice()), &sd, WRITE_DAC), Ok(WRITE_DAC));
    }

    #[test]
    fn an_owner_rights_ace_replaces_the_implicit_rights() {
        let sd = owned(vec![
            Ace::allow(0, READ_CONTROL, Sid::OWNER_RIGHTS),
            Ace::allow(0, KEY_QUERY_VALUE, alice()),
        ]);
        let expected = READ_CONTROL | KEY_QUERY_VALUE;
        assert_eq!(access_check(&Token::user(alice()), &sd, MAXIMUM_ALLOWED), Ok(expected));
        assert_eq!(access_check(&Token::user(bob()), &sd, MAXIMUM_ALLOWED), Ok(0));
    }

    #[test]
    fn an_inherit_only_owner_rights_ace_replaces_nothing() {
        let sd = owned(vec![Ace::deny(INHERIT_ONLY, WRITE_DAC, Sid::OWNER_RIGHTS)]);
        assert_eq!(access_check(&Token::user(alice()), &sd, WRITE_DAC), Ok(WRITE_DAC));
    }

    #[test]
    fn a_conditional_owner_rights_ace_suppresses_the_implicit_rights() {
        let kind = ace_type::ALLOWED_CALLBACK;
        let sd = owned(vec![Ace::basic(kind, 0, WRITE_DAC, Sid::OWNER_RIGHTS)]);
        assert_eq!(access_check(&Token::user(alice()), &sd, WRITE_DAC), DENIED);
    }

    #[test]
    fn a_deny_only_owner_is_still_the_owner() {
        let mut token = Token::user(alice());
        token.user_deny_only = true;
        assert_eq!(access_check(&token, &owned(vec![]), WRITE_DAC), Ok(WRITE_DAC));
    }

    #[test]
    fn a_deny_only_user_is_no_owner_by_a_group_of_the_same_sid() {
        let mut token = Token::user(alice());
        token.user_deny_only = true;
        token.groups = vec![Group::enabled(alice())];
        let rights = |ace: Ace| access_check(&token, &owned(vec![ace]), KEY_QUERY_VALUE);
        assert_eq!(rights(Ace::allow(0, KEY_READ, alice())), DENIED);
        assert_eq!(rights(Ace::allow(0, KEY_READ, Sid::OWNER_RIGHTS)), DENIED);
        let denied = vec![
            Ace::deny(0, KEY_SET_VALUE, Sid::OWNER_RIGHTS),
            Ace::allow(0, KEY_SET_VALUE, bob()),
        ];
        token.groups.push(Group::enabled(bob()));
        assert_eq!(access_check(&token, &owned(denied), KEY_SET_VALUE), Ok(KEY_SET_VALUE));
    }
}

mod privileges {
    use super::*;

    fn with(privileges: Privileges) -> Token {
        Token { privileges, ..Token::user(alice()) }
    }

    #[test]
    fn only_security_grants_the_sacl() {
        let sd = descriptor(vec![Ace::allow(0, ACCESS_SYSTEM_SECURITY, alice())]);
        let desired = ACCESS_SYSTEM_SECURITY;
        assert_eq!(access_check(&with(Privileges::NONE), &sd, desired), DENIED);
        let denying = descriptor(vec![Ace::deny(0, ACCESS_SYSTEM_SECURITY, alice())]);
        assert_eq!(access_check(&with(Privileges::SECURITY), &denying, desired), Ok(desired));
    }

    #[test]
    fn take_ownership_overrides_a_deny_ace() {
        let sd = descriptor(vec![Ace::deny(0, WRITE_OWNER, alice())]);
        let token = with(Privileges::TAKE_OWNERSHIP);
        assert_eq!(access_check(&token, &sd, WRITE_OWNER), Ok(WRITE_OWNER));
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(WRITE_OWNER));
    }

    #[test]
    fn take_ownership_yields_to_a_mandatory_label() {
        let mut sd = descriptor(vec![]);
        sd.sacl = Some(Acl::new(vec![label(0, 2, "S-1-16-12288")]));
        assert_eq!(access_check(&with(Privileges::TAKE_OWNERSHIP), &sd, WRITE_OWNER), DENIED);
        let both = with(Privileges::TAKE_OWNERSHIP | Privileges::RELABEL);
        assert_eq!(access_check(&both, &sd, WRITE_OWNER), Ok(WRITE_OWNER));
    }

    #[test]
    fn backup_and_restore_add_nothing() {
        let token = with(Privileges::BACKUP | Privileges::RESTORE | Privileges::TCB);
        assert_eq!(access_check(&token, &descriptor(vec![]), MAXIMUM_ALLOWED), Ok(0));
    }
}

mod integrity {
    use super::*;

    fn low() -> Token {
        Token { integrity_level: 4096, ..Token::user(alice()) }
    }

    fn labelled(aces: Vec<Ace>) -> SecurityDescriptor {
        let mut sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        sd.sacl = Some(Acl::new(aces));
        sd
    }

    #[test]
    fn an_unlabelled_key_is_medium_and_keeps_its_write_rights_from_below() {
        let sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        let readable = KEY_READ & !KEY_WRITE;
        assert_eq!(access_check(&low(), &sd, MAXIMUM_ALLOWED), Ok(readable));
        let medium = Token::user(alice());
        assert_eq!(access_check(&medium, &sd, MAXIMUM_ALLOWED), Ok(KEY_ALL_ACCESS));
    }

    #[test]
    fn no_read_up_takes_the_read_rights() {
        let sd = labelled(vec![label(0, 1, "S-1-16-8192")]);
        assert_eq!(access_check(&low(), &sd, MAXIMUM_ALLOWED), Ok(0));
    }

    #[test]
    fn the_first_label_that_is_not_inherit_only_counts() {
        let sd = labelled(vec![
            label(INHERIT_ONLY, 3, "S-1-16-16384"),
            label(0, 2, "S-1-16-4096"),
            label(0, 2, "S-1-16-16384"),
        ]);
        assert_eq!(access_check(&low(), &sd, KEY_SET_VALUE), Ok(KEY_SET_VALUE));
    }

    #[test]
    fn a_token_without_the_policy_is_not_limited() {
        let token = Token { no_write_up: false, ..low() };
        let sd = labelled(vec![label(0, 3, "S-1-16-16384")]);
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(KEY_ALL_ACCESS));
    }
}

mod restricted {
    use super::*;

    #[test]
    fn both_passes_must_grant() {
        let token = Token { restricted_sids: vec![bob()], ..Token::user(alice()) };
        let sd = descriptor(vec![
            Ace::allow(0, KEY_ALL_ACCESS, alice()),
            Ace::allow(0, KEY_QUERY_VALUE, bob()),
        ]);
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(KEY_QUERY_VALUE));
    }

    #[test]
    fn write_restriction_covers_the_write_rights_only() {
        let token =
            Token { restricted_sids: vec![bob()], write_restricted: true, ..Token::user(alice()) };
        let sd = descriptor(vec![
            Ace::allow(0, KEY_ALL_ACCESS, alice()),
            Ace::allow(0, KEY_CREATE_SUB_KEY, bob()),
        ]);
        let expected = KEY_ALL_ACCESS & !KEY_WRITE | KEY_CREATE_SUB_KEY;
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(expected));
    }

    #[test]
    fn privileges_pass_the_restriction() {
        let token = Token {
            restricted_sids: vec![bob()],
            privileges: Privileges::TAKE_OWNERSHIP,
            ..Token::user(alice())
        };
        let sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        assert_eq!(access_check(&token, &sd, MAXIMUM_ALLOWED), Ok(0));
        let empty = descriptor(vec![]);
        assert_eq!(access_check(&token, &empty, WRITE_OWNER), Ok(WRITE_OWNER));
    }

    #[test]
    fn the_restricted_owner_keeps_its_rights_only_when_listed() {
        let sd = SecurityDescriptor { owner: Some(alice()), ..descriptor(vec![]) };
        let mut token = Token { restricted_sids: vec![bob()], ..Token::user(alice()) };
        assert_eq!(access_check(&token, &sd, WRITE_DAC), DENIED);
        token.restricted_sids.push(alice());
        assert_eq!(access_check(&token, &sd, WRITE_DAC), Ok(WRITE_DAC));
    }
}

mod inheriting {
    use super::*;

    fn child(aces: Vec<Ace>) -> SecurityDescriptor {
        inherit(&descriptor(aces), &creator()).expect("short")
    }

    fn creator() -> Token {
        let default_dacl = Some(Acl::new(vec![Ace::allow(0, GENERIC_READ, alice())]));
        Token { primary_group: bob(), default_dacl, ..Token::user(alice()) }
    }

    fn aces(descriptor: &SecurityDescriptor) -> &[Ace] {
        descriptor.dacl.as_ref().map_or(&[], |acl| &acl.aces)
    }

    #[test]
    fn container_inherit_aces_are_copied_in_order_and_marked() {
        let sd = child(vec![
            Ace::deny(CONTAINER_INHERIT, DELETE, bob()),
            Ace::allow(0, KEY_ALL_ACCESS, bob()),
            Ace::allow(CONTAINER_INHERIT | OBJECT_INHERIT, GENERIC_READ, Sid::EVERYONE),
        ]);
        let flags = CONTAINER_INHERIT | INHERITED;
        assert_eq!(
            aces(&sd),
            [
                Ace::deny(flags, DELETE, bob()),
                Ace::allow(flags | OBJECT_INHERIT, KEY_READ, Sid::EVERYONE),
            ]
        );
        assert_eq!(
            sd.control,
            control::OWNER_DEFAULTED | control::GROUP_DEFAULTED | control::DACL_AUTO_INHERITED
        );
    }

    #[test]
    fn an_inherit_only_ace_takes_effect_on_the_child() {
        let sd = child(vec![Ace::allow(CONTAINER_INHERIT | INHERIT_ONLY, KEY_READ, bob())]);
        assert_eq!(aces(&sd), [Ace::allow(CONTAINER_INHERIT | INHERITED, KEY_READ, bob())]);
    }

    #[test]
    fn no_propagate_ends_the_inheritance_at_the_child() {
        let flags = CONTAINER_INHERIT | OBJECT_INHERIT | NO_PROPAGATE_INHERIT | INHERIT_ONLY;
        let sd = child(vec![Ace::allow(flags, KEY_READ, bob())]);
        assert_eq!(aces(&sd), [Ace::allow(INHERITED, KEY_READ, bob())]);
    }

    #[test]
    fn creator_placeholders_are_replaced_once() {
        let sd = child(vec![
            Ace::allow(CONTAINER_INHERIT, KEY_READ, Sid::CREATOR_OWNER),
            Ace::allow(CONTAINER_INHERIT, KEY_READ, Sid::CREATOR_GROUP),
        ]);
        let flags = CONTAINER_INHERIT | INHERITED;
        assert_eq!(
            aces(&sd),
            [Ace::allow(flags, KEY_READ, alice()), Ace::allow(flags, KEY_READ, bob())]
        );
    }

    #[test]
    fn object_inherit_alone_is_not_inheritable_and_the_default_dacl_is_taken() {
        let sd = child(vec![Ace::allow(OBJECT_INHERIT, KEY_ALL_ACCESS, bob())]);
        assert_eq!(aces(&sd), [Ace::allow(0, KEY_READ, alice())]);
        assert_eq!(
            sd.control,
            control::OWNER_DEFAULTED | control::GROUP_DEFAULTED | control::DACL_DEFAULTED
        );
    }

    #[test]
    fn without_a_default_dacl_the_dacl_is_null() {
        let sd = inherit(&descriptor(vec![]), &Token::user(alice())).expect("short");
        assert_eq!(sd.dacl, None);
        assert_eq!(sd.control & control::DACL_DEFAULTED, 0);
    }

    #[test]
    fn owner_and_group_are_the_tokens() {
        let sd = child(vec![]);
        assert_eq!((sd.owner, sd.group), (Some(alice()), Some(bob())));
    }

    #[test]
    fn a_sacl_is_inherited_by_the_same_flags_and_otherwise_absent() {
        let mut parent = descriptor(vec![]);
        parent.sacl = Some(Acl::new(vec![
            label(CONTAINER_INHERIT, 2, "S-1-16-4096"),
            label(0, 2, "S-1-16-12288"),
        ]));
        let sd = inherit(&parent, &creator()).expect("short");
        let expected = label(CONTAINER_INHERIT | INHERITED, 2, "S-1-16-4096");
        assert_eq!(sd.sacl.map(|acl| acl.aces), Some(vec![expected]));
        assert_ne!(sd.control & control::SACL_AUTO_INHERITED, 0);
        assert_eq!(child(vec![]).sacl, None);
    }

    #[test]
    fn generic_bits_of_every_ace_of_a_sacl_are_mapped() {
        let attribute =
            |mask| Ace::basic(ace_type::RESOURCE_ATTRIBUTE, CONTAINER_INHERIT, mask, Sid::EVERYONE);
        let policy =
            |mask| Ace::basic(ace_type::SCOPED_POLICY_ID, CONTAINER_INHERIT, mask, alice());
        let mut parent = descriptor(vec![]);
        parent.sacl = Some(Acl::new(vec![
            label(CONTAINER_INHERIT, GENERIC_READ | 2, "S-1-16-4096"),
            attribute(GENERIC_ALL),
            policy(GENERIC_WRITE),
        ]));
        let sd = inherit(&parent, &creator()).expect("short");
        let mut expected = vec![
            label(CONTAINER_INHERIT, KEY_READ | 2, "S-1-16-4096"),
            attribute(KEY_ALL_ACCESS),
            policy(KEY_WRITE),
        ];
        expected.iter_mut().for_each(|ace| ace.flags |= INHERITED);
        assert_eq!(sd.sacl.map(|acl| acl.aces), Some(expected));
    }

    #[test]
    fn a_descriptor_beyond_its_limit_is_refused() {
        let ace = Ace::allow(CONTAINER_INHERIT, KEY_READ, "S-1-5-5-1-2".parse().expect("a SID"));
        let parent = descriptor(vec![ace; 2400]);
        assert_eq!(inherit(&parent, &creator()), Err(DescriptorTooLong));
    }
}

mod gates {
    use super::*;

    fn sacl(ace: Ace) -> SecurityDescriptor {
        let mut sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        sd.sacl = Some(Acl::new(vec![ace]));
        sd
    }

    #[test]
    fn identification_is_denied_everything_and_other_levels_are_not() {
        use TokenLevel::{Anonymous, Delegation, Identification, Impersonation, Primary};
        let sd = sacl(Ace::basic(ace_type::AUDIT, 0xC0, KEY_READ, alice()));
        let at = |level| Token { level, ..Token::user(alice()) };
        for level in [Primary, Anonymous, Impersonation, Delegation] {
            assert_eq!(access_check(&at(level), &sd, KEY_READ), Ok(KEY_READ), "{level:?}");
        }
        let decision = decide(&at(Identification), &sd, KEY_READ).expect("an owner");
        assert_eq!((decision.granted, decision.audit), (DENIED, None));
        assert_eq!(access_check(&at(Identification), &sd, MAXIMUM_ALLOWED), DENIED);
    }

    #[test]
    fn a_trust_label_leaves_what_its_mask_says_and_takes_privileges_too() {
        let trust = |mask, sid: &str| {
            let sid = sid.parse().expect("well-formed");
            sacl(Ace::basic(ace_type::PROCESS_TRUST_LABEL, 0, mask, sid))
        };
        let privileges = Privileges::SECURITY | Privileges::TAKE_OWNERSHIP;
        let token = Token { privileges, ..Token::user(alice()) };
        let maximum = |sd| access_check(&token, &sd, MAXIMUM_ALLOWED);
        let all = KEY_ALL_ACCESS | ACCESS_SYSTEM_SECURITY;
        assert_eq!(maximum(trust(GENERIC_READ, "S-1-19-512-1024")), Ok(KEY_READ));
        assert_eq!(maximum(trust(0, "S-1-19-0-1")), Ok(0));
        assert_eq!(maximum(trust(0, "S-1-19-0-0")), Ok(all));
    }

    #[test]
    fn a_central_policy_leaves_what_the_recovery_policy_grants() {
        let policy = |flags| sacl(Ace::basic(ace_type::SCOPED_POLICY_ID, flags, 0, bob()));
        let mut token = Token::user(alice());
        assert_eq!(access_check(&token, &policy(0), KEY_READ), DENIED);
        assert_eq!(access_check(&token, &policy(INHERIT_ONLY), KEY_READ), Ok(KEY_READ));
        let owned = SecurityDescriptor { owner: Some(alice()), ..policy(0) };
        assert_eq!(access_check(&token, &owned, KEY_ALL_ACCESS), Ok(KEY_ALL_ACCESS));
        token.groups.push(Group::enabled(Sid::ADMINISTRATORS));
        assert_eq!(access_check(&token, &policy(0), KEY_READ), Ok(KEY_READ));
    }

    #[test]
    fn only_a_null_dacl_opens_anything_to_a_confined_token() {
        let privileges = Privileges::SECURITY | Privileges::TAKE_OWNERSHIP;
        let token = Token { confined: true, privileges, ..Token::user(alice()) };
        let sd = descriptor(vec![Ace::allow(0, KEY_ALL_ACCESS, alice())]);
        let owned = SecurityDescriptor { owner: Some(alice()), ..sd };
        assert_eq!(access_check(&token, &owned, MAXIMUM_ALLOWED), Ok(0));
        let open = SecurityDescriptor { dacl: None, ..owned };
        assert_eq!(access_check(&token, &open, MAXIMUM_ALLOWED), Ok(KEY_ALL_ACCESS));
    }
}

mod auditing {
    use super::*;

    const SUCCESS: u8 = ace_flag::SUCCESSFUL_ACCESS;
    const FAILURE: u8 = ace_flag::FAILED_ACCESS;

    fn audited(ace: Ace, desired: u32) -> Option<AuditMatch> {
        let mut sd = descriptor(vec![Ace::allow(0, KEY_READ, alice())]);
        sd.sacl = Some(Acl::new(vec![ace]));
        decide(&Token::user(alice()), &sd, desired).expect("an owner").audit
    }

    fn audit(flags: u8, mask: u32, sid: Sid) -> Ace {
        Ace::basic(ace_type::AUDIT, flags, mask, sid)
    }

    #[test]
    fn the_flags_of_an_ace_say_which_outcome_it_matches() {
        let ace = |flags| audit(flags, KEY_ALL_ACCESS, alice());
        assert_eq!(audited(ace(SUCCESS), KEY_READ), Some(AuditMatch::Success));
        assert_eq!(audited(ace(SUCCESS), DELETE), None);
        assert_eq!(audited(ace(FAILURE), KEY_READ), None);
        assert_eq!(audited(ace(FAILURE), DELETE), Some(AuditMatch::Failure));
        assert_eq!(audited(ace(SUCCESS | FAILURE), DELETE), Some(AuditMatch::Failure));
        assert_eq!(audited(ace(SUCCESS | FAILURE | INHERIT_ONLY), DELETE), None);
        assert_eq!(audited(ace(0), DELETE), None);
    }

    #[test]
    fn an_ace_matches_what_was_asked_and_not_what_was_granted() {
        let ace = |mask| audit(SUCCESS | FAILURE, mask, alice());
        assert_eq!(audited(ace(GENERIC_READ), KEY_QUERY_VALUE), Some(AuditMatch::Success));
        assert_eq!(audited(ace(KEY_SET_VALUE), KEY_READ), None);
        assert_eq!(audited(ace(KEY_ALL_ACCESS), MAXIMUM_ALLOWED), None);
        let with_maximum = MAXIMUM_ALLOWED | KEY_QUERY_VALUE;
        assert_eq!(audited(ace(KEY_QUERY_VALUE), with_maximum), Some(AuditMatch::Success));
    }

    #[test]
    fn an_ace_sees_deny_only_groups_and_the_owner() {
        let attributes = group_attribute::USE_FOR_DENY_ONLY;
        let mut token = Token::user(alice());
        token.groups = vec![
            Group { sid: Sid::ADMINISTRATORS, attributes },
            Group { sid: Sid::EVERYONE, attributes: 0 },
        ];
        let matched = |owner, sid| {
            let mut sd = SecurityDescriptor { owner: Some(owner), ..descriptor(vec![]) };
            sd.sacl = Some(Acl::new(vec![audit(FAILURE, KEY_ALL_ACCESS, sid)]));
            decide(&token, &sd, KEY_READ).expect("an owner").audit.is_some()
        };
        assert!(matched(bob(), Sid::ADMINISTRATORS));
        assert!(!matched(bob(), Sid::EVERYONE));
        assert!(!matched(bob(), bob()));
        assert!(matched(alice(), Sid::OWNER_RIGHTS));
        assert!(!matched(bob(), Sid::OWNER_RIGHTS));
    }

    #[test]
    fn object_and_conditional_aces_match_and_alarm_aces_do_not() {
        let of = |kind| audited(Ace::basic(kind, SUCCESS, KEY_READ, alice()), KEY_READ);
        assert_eq!(of(ace_type::AUDIT_OBJECT), Some(AuditMatch::Success));
        assert_eq!(of(ace_type::AUDIT_CALLBACK), Some(AuditMatch::Success));
        assert_eq!(of(ace_type::ALARM), None);
    }
}
