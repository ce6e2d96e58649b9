//! Arbitrary plans, for the laws of the language.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use registry_model::input::CommitRefusal;
use registry_model::security::{Group, Privilege, Sid, Token, TokenFields, TokenLevel};
use registry_model::store_entry::{
    StoreEntry, StoredKey, StoredRecord, StoredSequence, StoredTarget,
};

use crate::plan::{
    Action, Actor, Fault, Handle, KeyReference, Parallel, Plan, PlannedHive, PlannedRegistration,
    PlannedRoot, RawArgument, SourceHive, Step, Strand, Text,
};
use crate::schedule::Schedule;
use crate::script::words::CAPACITY_MAX;
use crate::sddl;
use crate::source_device::Breach;
use crate::twist::{FdReference, Layout, Pointer, PointerFault, Twist};

/// Any plan whose actors have distinct names and whose faults strike sources that it has.
pub(super) fn plans() -> impl Strategy<Value = Plan> {
    (actors(), vec(vec(hives(), 0..3), 0..3)).prop_flat_map(|(actors, sources)| {
        let actor_count = actors.len().max(1);
        let source_count = sources.len().max(1);
        vec(steps(actor_count, source_count), 0..12).prop_map(move |mut steps| {
            steps.iter_mut().for_each(|step| name_recipient(step, &actors));
            Plan { actors: actors.clone(), sources: sources.clone(), steps }
        })
    })
}

/// Makes an actor of the plan the one that an fd is passed to.
fn name_recipient(step: &mut Step, actors: &[Actor]) {
    let Step::Act { actor, action } = step else { return };
    let mut action = action;
    while let Action::Raw { action: inner, .. } = action {
        action = inner;
    }
    if let Action::Pass { to: Some(name), .. } = action {
        *name = actors.get(*actor).map_or_else(|| "system".to_owned(), |actor| actor.name.clone());
    }
}

fn hives() -> BoxedStrategy<SourceHive> {
    let name = prop_oneof![8 => strings(), 1 => Just("a@b".to_owned())];
    (name, option::of(guids())).prop_map(|(name, scope)| SourceHive { name, scope }).boxed()
}

/// Any action.
pub(super) fn actions() -> BoxedStrategy<Action> {
    prop_oneof![
        8 => prop_oneof![opens(), values(), reads(), others(), security(), devices(), watches()],
        1 => enlisted(),
        1 => twisted(),
        1 => spelled_out(),
    ]
    .boxed()
}

/// Names that look like words of the language, odd ones and any text at all.
fn strings() -> BoxedStrategy<String> {
    let odd = ["", "=", "@", "@h", "#", "in", "if", "->", "ENOENT", "a:", "link", "hex:00", "[a]"];
    prop_oneof![
        3 => "[a-zA-Z0-9_.-]{1,8}",
        2 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
    .boxed()
}

fn texts() -> BoxedStrategy<Text> {
    prop_oneof![
        3 => strings().prop_map(|text| Text(text.into_bytes())),
        2 => r"Machine(\\[a-zA-Z ]{1,5}){0,3}".prop_map(|text| Text(text.into_bytes())),
        1 => vec(any::<u8>(), 0..12).prop_map(Text),
    ]
    .boxed()
}

fn handles() -> BoxedStrategy<Handle> {
    strings().prop_map(Handle).boxed()
}

fn keys() -> BoxedStrategy<KeyReference> {
    prop_oneof![handles().prop_map(KeyReference::Handle), texts().prop_map(KeyReference::Path),]
        .boxed()
}

fn sids() -> BoxedStrategy<Sid> {
    let well_formed = vec(any::<u32>(), 0..4).prop_map(|sub_authorities| {
        let mut bytes = vec![1, sub_authorities.len() as u8, 0, 0, 0, 0, 0, 5];
        sub_authorities.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes
    });
    prop_oneof![well_formed, vec(any::<u8>(), 0..12)].prop_map(Sid).boxed()
}

/// Well-formed access control lists: those that a text can say, and an ACE of any type and content.
fn acls() -> BoxedStrategy<Vec<u8>> {
    let texts = ["D:", "D:(A;;KA;;;SY)", "D:(D;CI;KR;;;WD)(A;CIIO;KA;;;CO)"];
    let said = prop::sample::select(texts.to_vec())
        .prop_map(|text| sddl::parse_acl(text).unwrap_or_else(|error| panic!("{error:?}")));
    // Types from 0x40 on are recognised by nobody.
    let unrecognised =
        (0x40u8.., any::<u8>(), vec(any::<u32>(), 0..3)).prop_map(|(of, flags, body)| {
            let size = 4 + 4 * body.len() as u16;
            let mut acl = vec![2, 0];
            acl.extend((8 + size).to_le_bytes());
            acl.extend([1, 0, 0, 0, of, flags]);
            acl.extend(size.to_le_bytes());
            acl.extend(body.iter().flat_map(|word| word.to_le_bytes()));
            acl
        });
    prop_oneof![said, unrecognised].boxed()
}

fn tokens() -> BoxedStrategy<Token> {
    let groups = vec((sids(), prop_oneof![Just(4), any::<u32>()]), 0..3);
    let privileges = btree_set(
        prop::sample::select(vec![Privilege::Tcb, Privilege::Security, Privilege::Restore]),
        0..3,
    );
    (
        (sids(), option::of(sids()), option::of(sids())),
        groups,
        privileges,
        option::of(acls()),
        (vec(strings(), 0..2), vec(guids(), 0..2)),
        standings(),
    )
        .prop_map(|((user, owner, group), groups, privileges, default_dacl, lists, standing)| {
            let (layers, scopes) = lists;
            let groups = groups.into_iter().map(|(sid, attributes)| Group { sid, attributes });
            Token(Arc::new(TokenFields {
                owner: owner.unwrap_or_else(|| user.clone()),
                primary_group: group.unwrap_or_else(|| user.clone()),
                user,
                groups: groups.collect(),
                privileges,
                default_dacl,
                private_layers: layers,
                scopes,
                ..standing
            }))
        })
        .boxed()
}

/// What a token says beside SIDs, rights and lists.
fn standings() -> BoxedStrategy<TokenFields> {
    let levels = prop::sample::select(vec![
        TokenLevel::Primary,
        TokenLevel::Anonymous,
        TokenLevel::Identification,
        TokenLevel::Impersonation,
        TokenLevel::Delegation,
    ]);
    let integrity = prop_oneof![Just(8192), Just(4096), any::<u32>()];
    let policy = prop_oneof![2 => Just(0), 1 => any::<u32>()];
    (any::<[bool; 4]>(), integrity, vec(sids(), 0..3), levels, policy)
        .prop_map(|(flags, integrity_level, restricted_sids, level, audit_policy)| {
            let [user_deny_only, no_write_up, write_restricted, confined] = flags;
            TokenFields {
                user_deny_only,
                no_write_up,
                write_restricted,
                confined,
                integrity_level,
                restricted_sids,
                level,
                audit_policy,
                ..TokenFields::clone(&Token::system().0)
            }
        })
        .boxed()
}

fn security() -> BoxedStrategy<Action> {
    let info = || prop_oneof![4 => 0u32..16, 1 => any::<u32>()];
    let sddl = prop::sample::select(vec![
        "O:SYG:BAD:(A;CI;KA;;;SY)(D;;0x3;;;S-1-5-21-7)",
        "D:P",
        "S:AI(AU;SAFA;KR;;;WD)(ML;;NW;;;LW)",
        "O:SYC:0x3",
        "",
    ]);
    let sddl = sddl.prop_map(|text| crate::sddl::parse(text).expect("SDDL"));
    let descriptor = prop_oneof![3 => sddl, 1 => vec(any::<u8>(), 0..24)];
    prop_oneof![
        (keys(), info(), option::of(0..=CAPACITY_MAX)).prop_map(
            |(key, security_info, capacity)| {
                Action::GetSecurity { key, security_info, capacity }
            }
        ),
        (keys(), info(), descriptor).prop_map(|(key, security_info, descriptor)| {
            Action::SetSecurity { key, security_info, descriptor }
        }),
        (handles(), any::<bool>(), handles()).prop_map(|(handle, passes, received)| {
            Action::Pass { handle, to: passes.then(String::new), received }
        }),
        tokens().prop_map(|token| Action::Become { token }),
        Just(Action::Revert),
    ]
    .boxed()
}

fn actors() -> BoxedStrategy<Vec<Actor>> {
    vec((strings(), prop_oneof![4 => tokens(), 1 => Just(Token::system())]), 0..3)
        .prop_map(|actors| {
            let mut names = BTreeSet::new();
            let actors = actors.into_iter().filter(|(name, _)| names.insert(name.clone()));
            actors.map(|(name, token)| Actor { name, token }).collect()
        })
        .boxed()
}

fn steps(actor_count: usize, source_count: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..actor_count, actions()).prop_map(|(actor, action)| Step::Act { actor, action }),
        1 => faults(source_count).prop_map(Step::Fault),
        1 => blocks(actor_count).prop_map(Step::Parallel),
        1 => Just(Step::CompareViews),
    ]
}

fn blocks(actor_count: usize) -> impl Strategy<Value = Parallel> {
    let actions =
        || vec(actions().prop_filter("a call that may overlap", Action::may_overlap), 0..3);
    let strand = (0..actor_count, actions()).prop_map(|(actor, actions)| Strand { actor, actions });
    let schedule = prop_oneof![
        any::<u64>().prop_map(|seed| Schedule::Random { seed }),
        any::<(u32, u64)>().prop_map(|(depth, seed)| Schedule::Pct { depth, seed }),
        Just(Schedule::RoundRobin),
        vec(any::<u32>(), 0..5).prop_map(|picks| Schedule::Replay { picks }),
    ];
    (vec(strand, 0..3), schedule).prop_map(|(strands, schedule)| Parallel { strands, schedule })
}

fn faults(source_count: usize) -> BoxedStrategy<Fault> {
    let source = 0..source_count;
    prop_oneof![
        source.clone().prop_map(|source| Fault::KillSource { source }),
        (source.clone(), 1..=u32::MAX, any::<bool>()).prop_map(|(source, request, executed)| {
            Fault::KillSourceAt { source, request, executed }
        }),
        source.clone().prop_map(|source| Fault::StallSource { source }),
        (source.clone(), 1..=u32::MAX, any::<bool>()).prop_map(|(source, request, executed)| {
            Fault::StallSourceAt { source, request, executed }
        }),
        (source.clone(), select(&Breach::ALL[..]))
            .prop_map(|(source, breach)| Fault::BreakProtocol { source, breach }),
        (source.clone(), select(&Breach::ALL[..]), 1..=u32::MAX, any::<bool>()).prop_map(
            |(source, breach, request, executed)| {
                Fault::BreakProtocolAt { source, breach, request, executed }
            }
        ),
        source.clone().prop_map(|source| Fault::ReleaseSource { source }),
        source.clone().prop_map(|source| Fault::RestartSource { source }),
        (source, vec(hives(), 1..3))
            .prop_map(|(source, hives)| Fault::RestartSourceAs { source, hives }),
        Just(Fault::Reboot),
        any::<u32>().prop_map(|duration_ms| Fault::Wait { duration_ms }),
        store_entries().prop_map(Fault::StoreEntry),
        (0..source_count, any::<bool>()).prop_map(|(source, is_busy)| {
            let refusal = if is_busy { CommitRefusal::Busy } else { CommitRefusal::Failed };
            Fault::RefuseCommit { source, refusal }
        }),
        (0..source_count, any::<bool>())
            .prop_map(|(source, is_supported)| Fault::TransactionSupport { source, is_supported }),
        (0..source_count, any::<bool>())
            .prop_map(|(source, is_supported)| Fault::SnapshotSupport { source, is_supported }),
        (0..source_count, any::<u64>())
            .prop_map(|(source, max_sequence)| Fault::FalseMaximum { source, max_sequence }),
    ]
    .boxed()
}

fn store_entries() -> BoxedStrategy<StoreEntry> {
    let sequence = || {
        prop_oneof![
            any::<u64>().prop_map(StoredSequence::Number),
            strings().prop_map(StoredSequence::Of),
        ]
    };
    let target = prop_oneof![
        Just(StoredTarget::Hidden),
        Just(StoredTarget::Missing),
        any::<bool>().prop_map(|symlink| StoredTarget::Key { symlink }),
        strings().prop_map(StoredTarget::Of),
    ];
    let record = prop_oneof![
        (strings(), strings(), typed_data(), sequence()).prop_map(
            |(name, layer, (value_type, data), sequence)| StoredRecord::Value {
                name,
                layer,
                value_type,
                data,
                sequence
            }
        ),
        (strings(), sequence())
            .prop_map(|(layer, sequence)| StoredRecord::Blanket { layer, sequence }),
        (strings(), strings(), target, sequence()).prop_map(|(name, layer, target, sequence)| {
            StoredRecord::Child { name, layer, target, sequence }
        }),
        vec(any::<u8>(), 0..9).prop_map(|bytes| StoredRecord::Descriptor { bytes }),
        Just(StoredRecord::Lost),
    ];
    let path = vec(r"[^\\/]{0,5}", 1..4);
    (path, option::of(strings()), record)
        .prop_map(|(path, through, record)| {
            let key = StoredKey { path, through };
            StoreEntry { key, record }
        })
        .boxed()
}

fn opens() -> BoxedStrategy<Action> {
    let access = || prop_oneof![any::<u32>(), Just(0), Just(0x2_0019), Just(0xF_003F), Just(3)];
    let flags = || prop_oneof![0u32..4, any::<u32>()];
    let place = || (option::of(handles()), texts());
    prop_oneof![
        (handles(), place(), access(), flags()).prop_map(
            |(handle, (parent, path), access, flags)| {
                Action::Open { handle, parent, path, access, flags }
            }
        ),
        (option::of(handles()), place(), access(), flags(), option::of(texts())).prop_map(
            |(handle, (parent, path), access, flags, layer)| {
                Action::Create { handle, parent, path, access, flags, layer }
            }
        ),
        handles().prop_map(|handle| Action::Close { handle }),
    ]
    .boxed()
}

/// Data of every type, well-formed for it or not.
fn typed_data() -> BoxedStrategy<(u32, Vec<u8>)> {
    let value_type = prop_oneof![8 => 0u32..13, 1 => Just(0xFFFF), 1 => any::<u32>()];
    let data = prop_oneof![
        vec(any::<u8>(), 0..10),
        vec(any::<u8>(), 4),
        vec(any::<u8>(), 8),
        "[a-z ]{0,6}".prop_map(String::into_bytes),
        "([a-z]{0,2}\0){1,3}\0".prop_map(String::into_bytes),
        (any::<u8>(), 60usize..70).prop_map(|(byte, length)| vec![byte; length]),
    ];
    (value_type, data).boxed()
}

fn values() -> BoxedStrategy<Action> {
    prop_oneof![
        (keys(), texts(), typed_data(), texts(), prop_oneof![Just(0), any::<u64>()]).prop_map(
            |(key, name, (value_type, data), layer, expected_sequence)| Action::Set {
                key,
                name,
                value_type,
                data,
                layer,
                expected_sequence,
            }
        ),
        (keys(), texts(), texts()).prop_map(|(key, name, layer)| Action::Unset {
            key,
            name,
            layer
        }),
        (keys(), texts(), prop_oneof![0u8..2, any::<u8>()])
            .prop_map(|(key, layer, set)| Action::Blanket { key, layer, set }),
        (keys(), texts(), typed_data()).prop_map(|(key, name, (value_type, data))| {
            Action::Update { key, name, value_type, data }
        }),
    ]
    .boxed()
}

fn reads() -> BoxedStrategy<Action> {
    let capacity = || option::of(0..=CAPACITY_MAX);
    prop_oneof![
        (keys(), texts(), capacity(), capacity()).prop_map(
            |(key, name, data_capacity, layer_capacity)| Action::Get {
                key,
                name,
                data_capacity,
                layer_capacity
            }
        ),
        (keys(), capacity()).prop_map(|(key, capacity)| Action::Batch { key, capacity }),
        (keys(), any::<u32>(), capacity(), capacity()).prop_map(
            |(key, index, name_capacity, data_capacity)| Action::EnumerateValue {
                key,
                index,
                name_capacity,
                data_capacity
            }
        ),
        (keys(), any::<u32>(), capacity()).prop_map(|(key, index, name_capacity)| {
            Action::EnumerateSubkey { key, index, name_capacity }
        }),
        keys().prop_map(|key| Action::List { key }),
        keys().prop_map(|key| Action::Changes { key }),
        (keys(), capacity()).prop_map(|(key, name_capacity)| Action::Info { key, name_capacity }),
        texts().prop_map(|path| Action::View { path }),
    ]
    .boxed()
}

fn watches() -> BoxedStrategy<Action> {
    let number = || prop_oneof![3 => 0u32..8, 1 => any::<u32>()];
    prop_oneof![
        (handles(), number(), prop_oneof![3 => 0u8..2, 1 => any::<u8>()])
            .prop_map(|(handle, filter, subtree)| Action::Watch { handle, filter, subtree }),
        (handles(), option::of(0..=CAPACITY_MAX))
            .prop_map(|(handle, capacity)| Action::Events { handle, capacity }),
        handles().prop_map(|handle| Action::Poll { handle }),
        handles().prop_map(|handle| Action::Begin { handle }),
        handles().prop_map(|transaction| Action::Commit { transaction }),
        handles().prop_map(|transaction| Action::TransactionStatus { transaction }),
    ]
    .boxed()
}

/// Actions in a transaction, where they can be in one.
fn enlisted() -> BoxedStrategy<Action> {
    let simple = prop_oneof![opens(), values(), reads(), others(), security()];
    (handles(), simple)
        .prop_map(|(transaction, action)| match action.takes_transaction() {
            true => Action::Within { transaction, action: Box::new(action) },
            false => action,
        })
        .boxed()
}

fn guids() -> BoxedStrategy<[u8; 16]> {
    let small = any::<u16>().prop_map(|number| super::device::guid_of(u32::from(number)));
    prop_oneof![any::<[u8; 16]>(), small].boxed()
}

fn devices() -> BoxedStrategy<Action> {
    prop_oneof![
        handles().prop_map(|device| Action::OpenDevice { device }),
        handles().prop_map(|device| Action::ReadDevice { device }),
        handles().prop_map(|device| Action::PollDevice { device }),
        (handles(), vec(any::<u8>(), 0..20))
            .prop_map(|(device, bytes)| Action::WriteDevice { device, bytes }),
        (handles(), registrations())
            .prop_map(|(device, registration)| Action::Register { device, registration }),
    ]
    .boxed()
}

fn registrations() -> BoxedStrategy<PlannedRegistration> {
    let padding = || prop_oneof![3 => Just(0), 1 => any::<u32>()];
    let root =
        prop_oneof![guids().prop_map(PlannedRoot::Guid), strings().prop_map(PlannedRoot::Of)];
    let flags = prop_oneof![0u32..3, any::<u32>()];
    let hive = (texts(), any::<bool>(), root, flags, guids(), (padding(), padding())).prop_map(
        |(name, is_name_unmapped, root, flags, scope, (first, second))| PlannedHive {
            name,
            is_name_unmapped,
            root,
            flags,
            scope,
            padding: [first, second],
        },
    );
    let number = || option::of(any::<u32>());
    (vec(hive, 0..3), any::<u64>(), number(), padding(), number(), any::<bool>())
        .prop_map(|(hives, max_sequence, hive_count, padding, request, is_unmapped)| {
            PlannedRegistration { hives, max_sequence, hive_count, padding, request, is_unmapped }
        })
        .boxed()
}

fn others() -> BoxedStrategy<Action> {
    let number = || option::of(any::<u32>());
    prop_oneof![
        (keys(), texts()).prop_map(|(key, layer)| Action::Delete { key, layer }),
        (keys(), texts()).prop_map(|(key, layer)| Action::Hide { key, layer }),
        keys().prop_map(|key| Action::Flush { key }),
        (texts(), number(), number()).prop_map(|(name, precedence, enabled)| {
            Action::LayerCreate { name, precedence, enabled }
        }),
        (texts(), number(), number()).prop_map(|(name, precedence, enabled)| Action::LayerSet {
            name,
            precedence,
            enabled
        }),
        texts().prop_map(|name| Action::LayerDelete { name }),
    ]
    .boxed()
}

fn fd_references() -> BoxedStrategy<FdReference> {
    prop_oneof![any::<i32>().prop_map(FdReference::Number), handles().prop_map(FdReference::Handle)]
        .boxed()
}

fn twists() -> BoxedStrategy<Twist> {
    let pointers: Vec<Pointer> = Pointer::ALL.iter().map(|(_, pointer)| *pointer).collect();
    let faults = prop_oneof![
        Just(PointerFault::Null),
        Just(PointerFault::Unmapped),
        Just(PointerFault::ReadOnly),
        any::<u32>().prop_map(PointerFault::Cut),
    ];
    prop_oneof![
        (any::<u32>(), vec(any::<u8>(), 0..5))
            .prop_map(|(offset, bytes)| Twist::Bytes { offset, bytes }),
        (0u8..6, any::<u64>()).prop_map(|(index, value)| Twist::Register { index, value }),
        any::<u64>().prop_map(Twist::Number),
        any::<u32>().prop_map(Twist::Request),
        (0u8..4).prop_map(Twist::Direction),
        (0u16..0x4000).prop_map(Twist::Size),
        fd_references().prop_map(Twist::Fd),
        fd_references().prop_map(Twist::Transaction),
        (prop::sample::select(pointers), faults)
            .prop_map(|(pointer, fault)| Twist::Pointer { pointer, fault }),
    ]
    .boxed()
}

/// Actions about one call with the twists that fit them, of some.
fn twisted() -> BoxedStrategy<Action> {
    let simple =
        prop_oneof![opens(), values(), reads(), others(), security(), watches(), enlisted()];
    (simple, vec(twists(), 0..4))
        .prop_map(|(action, mut twists)| match Layout::of(&action) {
            None => action,
            Some(layout) => {
                twists.retain(|twist| layout.has(twist));
                Action::Raw { twists, action: Box::new(action) }
            }
        })
        .boxed()
}

fn spelled_out() -> BoxedStrategy<Action> {
    let bytes = || vec(any::<u8>(), 0..12);
    let argument = prop_oneof![
        any::<u64>().prop_map(RawArgument::Number),
        handles().prop_map(RawArgument::Handle),
        bytes().prop_map(RawArgument::Bytes),
        texts().prop_map(RawArgument::String),
    ];
    prop_oneof![
        (fd_references(), any::<u32>(), option::of(bytes()))
            .prop_map(|(fd, request, structure)| Action::Ioctl { fd, request, structure }),
        (any::<u64>(), vec(argument, 0..7))
            .prop_map(|(number, arguments)| Action::Syscall { number, arguments }),
    ]
    .boxed()
}
