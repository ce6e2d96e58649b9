//! The plans of the security profile: what they have in them, and what they keep out.

use std::collections::BTreeMap;

use super::*;
use crate::generate::plan_of_seed;
use crate::plan::{Fault, Plan, Step};
use crate::script::{parse, print};
use registry_model::security::TokenLevel;
use registry_model::store_entry::StoredRecord;

const SEEDS: u64 = 300;

fn plans(profile: Profile) -> impl Iterator<Item = Plan> {
    (0..SEEDS).map(move |seed| plan_of_seed(seed, profile, 200))
}

/// The action itself where it is twisted.
fn plain(action: &Action) -> &Action {
    match action {
        Action::Raw { action, .. } => action,
        action => action,
    }
}

fn actions(plan: &Plan) -> impl Iterator<Item = &Action> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Act { action, .. } => Some(plain(action)),
        _ => None,
    })
}

/// Every SD of a plan, set or stored.
fn descriptors(plan: &Plan) -> Vec<Vec<u8>> {
    let set = actions(plan).filter_map(|action| match action {
        Action::SetSecurity { descriptor, .. } => Some(descriptor.clone()),
        _ => None,
    });
    let stored = plan.steps.iter().filter_map(|step| match step {
        Step::Fault(Fault::StoreEntry(entry)) => match &entry.record {
            StoredRecord::Descriptor { bytes } => Some(bytes.clone()),
            _ => None,
        },
        _ => None,
    });
    set.chain(stored).collect()
}

fn texts(plan: &Plan) -> Vec<String> {
    descriptors(plan).iter().filter_map(|bytes| crate::sddl::print(bytes)).collect()
}

fn tokens(plan: &Plan) -> Vec<registry_model::security::Token> {
    let impersonated = actions(plan).filter_map(|action| match action {
        Action::Become { token } => Some(token.clone()),
        _ => None,
    });
    plan.actors.iter().map(|actor| actor.token.clone()).chain(impersonated).collect()
}

#[test]
fn a_plan_prints_and_parses_back_to_itself() {
    for seed in 0..60 {
        let plan = plan_of_seed(seed, Profile::Security, 120);
        let text = print(&plan);
        let read = parse(&text, "plan").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(read.plan, plan, "seed {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_secured_plan_twice() {
    let plan = |seed| plan_of_seed(seed, Profile::Security, 200);
    assert_eq!(plan(3), plan(3));
    assert_ne!(plan(3), plan(4));
}

/// What must occur, by name, as words in the printed plan.
const WORDS: &[&str] = &[
    "\nalice: become ",
    ": revert",
    ": pass ",
    ": dup ",
    "level=identification",
    "level=anonymous",
    "level=delegation",
    "user_deny_only",
    "write_restricted",
    " restricted=",
    "integrity=low",
    "integrity=untrusted",
    "no_write_up=0",
    "privileges=SeTcb",
    "privileges=SeSecurity",
    "privileges=SeTakeOwnership",
    "privileges=SeBackup,SeRestore",
    "default_dacl=",
    " private ",
    " scope=",
    "@",
    "CurrentUser",
    "maximum",
    "system_security",
    "generic_all",
    "generic_execute",
    " link \"",
    "raw ",
];

#[test]
fn every_kind_of_word_occurs() {
    let text: String = plans(Profile::Security).map(|plan| print(&plan)).collect();
    for word in WORDS {
        assert!(text.contains(word), "{word:?} does not occur");
    }
}

#[test]
fn every_kind_of_descriptor_occurs() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for plan in plans(Profile::Security) {
        for bytes in descriptors(&plan) {
            let text = crate::sddl::print(&bytes).unwrap_or_default();
            let mut count = |name, is: bool| *counts.entry(name).or_default() += usize::from(is);
            count("without a text", text.is_empty());
            count("empty DACL", text.ends_with("D:"));
            count("null DACL", text.contains("O:") && !text.contains("D:"));
            count("owner rights", text.contains(";;;OW)"));
            count("creator owner", text.contains(";;;CO)"));
            count("creator group", text.contains(";;;CG)"));
            count("deny first", text.contains("D:(D;"));
            count("deny later", text.contains("(D;CI;") && text.contains(")(D;"));
            count("inherit-only", text.contains(";CIIO;"));
            count("not propagated", text.contains(";CINP;"));
            count("generic", text.contains(";GA;"));
            count("label", text.contains("(ML;"));
            count("audit", text.contains("(AU;SAFA;"));
            count("kept", text.contains("(hex:"));
            let rights = [";0x100000;", ";0x2000000;", ";0x200000;"];
            count("not allowed", rights.iter().any(|mask| text.contains(mask)));
            count("long", bytes.len() > 60_000);
        }
    }
    for (name, count) in counts {
        assert!(count > 5, "{name} occurs {count} times");
    }
}

#[test]
fn links_lead_everywhere() {
    let mut targets: Vec<Vec<u8>> = Vec::new();
    let (mut created, mut opened, mut chains) = (0, 0, 0);
    for plan in plans(Profile::Security) {
        let mut hops = 0;
        for action in actions(&plan) {
            match action {
                Action::Create { flags, path, .. } if flags & 2 != 0 => {
                    created += 1;
                    hops += usize::from(path.0.starts_with(b"Machine\\Hop"));
                }
                Action::Open { flags: 1, .. } => opened += 1,
                Action::Set { value_type: 6, data, name, .. } if name.0.is_empty() => {
                    targets.push(data.clone());
                }
                _ => {}
            }
        }
        chains += usize::from(hops > 16);
    }
    assert!(created > 1_000 && opened > 300 && chains > 10, "{created}, {opened}, {chains}");
    let leads = |name: &str, is: fn(&[u8]) -> bool| {
        assert!(targets.iter().any(|target| is(target)), "no link leads to {name}");
    };
    leads("a hive", |target| target == b"Machine");
    leads("the alias", |target| target.starts_with(b"CurrentUser"));
    leads("a link", |target| target.ends_with(b"Link"));
    leads("a home", |target| target.starts_with(b"Users\\S-1-5"));
    leads("a private hive", |target| target.starts_with(b"Mine\\"));
    leads("a path with slashes", |target| target.contains(&b'/'));
    leads("a path with a null byte", |target| target.ends_with(b"\0"));
    leads("a path with an empty name", |target| target.ends_with(b"\\"));
    leads("a path that is no text", |target| target.contains(&0xFF));
    leads("nothing", <[u8]>::is_empty);
    leads("a name too long", |target| target.len() > 255);
}

#[test]
fn private_hives_shadow_global_ones_and_stand_beside_them() {
    let private = |name: &str| {
        plans(Profile::Security)
            .filter(|plan| {
                plan.sources.iter().flatten().any(|hive| hive.scope.is_some() && hive.name == name)
            })
            .count()
    };
    for name in ["Machine", "Users", "Mine"] {
        assert!(private(name) > 10, "{name}");
    }
}

/// The types of ACEs that may decide something which this edition leaves aside.
fn is_outside(ace_type: &str) -> bool {
    let number = u8::from_str_radix(ace_type, 16).unwrap_or(0);
    matches!(number, 0x03 | 0x07..=0x10 | 0x12..=0x14)
}

#[test]
fn nothing_is_decided_by_what_is_outside_this_edition() {
    for plan in plans(Profile::Security) {
        assert!(tokens(&plan).iter().all(|token| !token.0.confined));
        for text in texts(&plan) {
            for (at, _) in text.match_indices("(hex:") {
                let ace = &text[at + 5..];
                // Inherit-only, and inherited by nobody.
                assert!(!is_outside(&ace[..2]) || &ace[2..4] == "08", "{text}");
            }
        }
    }
}

#[test]
fn only_system_impersonates_above_itself_and_comes_back() {
    for plan in plans(Profile::Security) {
        let mut is_system = true;
        for step in &plan.steps {
            match step {
                Step::Act { actor: 0, action: Action::Become { .. } } => is_system = false,
                Step::Act { actor: 0, action: Action::Revert } => is_system = true,
                _ => {}
            }
        }
        assert!(is_system, "the plan's SYSTEM is left as another");
        let levels = tokens(&plan).iter().map(|token| token.0.level).collect::<Vec<_>>();
        let primary = &levels[..plan.actors.len()];
        assert!(primary.iter().all(|level| *level == TokenLevel::Primary));
    }
}

#[test]
fn the_other_profiles_know_nothing_of_security() {
    for (_, profile) in Profile::ALL.iter().filter(|(_, profile)| *profile != Profile::Security) {
        for plan in plans(*profile).take(50) {
            // Watches see SDs change, their fds change hands, and watchers carry private layers.
            let is_lifecycle = matches!(profile, Profile::Lifecycle | Profile::Chaos);
            let system = registry_model::security::Token::system();
            assert!(plan.actors.iter().all(|actor| {
                let mut fields = actor.token.0.as_ref().clone();
                if is_lifecycle {
                    fields.private_layers.clear();
                }
                fields == *system.0
            }));
            assert!(actions(&plan).all(|action| match action {
                Action::SetSecurity { .. } | Action::Pass { .. } => is_lifecycle,
                Action::GetSecurity { .. } | Action::Become { .. } => false,
                _ => true,
            }));
        }
    }
}
