//! Laws of the reference store that hold whatever it is asked.

use expect_test::expect;
use proptest::prelude::*;
use registry_model::store::{Guid, Operation, Outcome, Payload, Request, Response, Store};

use crate::source::*;

const KEYS: [Guid; 5] = [ROOT, OTHER_ROOT, Guid([1; 16]), Guid([2; 16]), Guid([3; 16])];

fn guid() -> impl Strategy<Value = Guid> {
    prop::sample::select(KEYS.to_vec())
}

/// Two keys of one hive: what names keys of two is no request that the kernel sends.
fn two_of_a_hive() -> impl Strategy<Value = (Guid, Guid)> {
    let machine = prop::sample::select(vec![ROOT, key(1), key(2)]);
    let users = prop::sample::select(vec![OTHER_ROOT, key(3)]);
    prop_oneof![(machine.clone(), machine), (users.clone(), users)]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "A", "b", ""])
}

fn layer() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["base", "Base", "lab"])
}

fn change() -> impl Strategy<Value = Operation> {
    let sequence = || 1_u64..100;
    prop_oneof![
        (two_of_a_hive(), name(), layer(), sequence()).prop_map(
            |((parent, child), name, layer, at)| create_entry(parent, name, layer, child, at)
        ),
        (guid(), name(), layer(), sequence())
            .prop_map(|(parent, name, layer, at)| hide_entry(parent, name, layer, at)),
        (guid(), name(), layer())
            .prop_map(|(parent, name, layer)| delete_entry(parent, name, layer)),
        (two_of_a_hive(), name()).prop_map(|((guid, parent), name)| create_key(guid, name, parent)),
        (two_of_a_hive(), name())
            .prop_map(|((guid, parent), name)| create_volatile_key(guid, name, parent)),
        (guid(), 0_u64..50).prop_map(|(guid, time)| write_time(guid, time)),
        prop::sample::select(KEYS[2..].to_vec()).prop_map(drop_key),
        (guid(), name(), layer(), sequence())
            .prop_map(|(guid, name, layer, at)| set(guid, name, layer, "x", at)),
        (guid(), name(), layer(), sequence(), sequence()).prop_map(
            |(guid, name, layer, at, expected)| set_if(guid, name, layer, "y", at, expected)
        ),
        (guid(), name(), layer(), sequence())
            .prop_map(|(guid, name, layer, at)| tombstone(guid, name, layer, at)),
        (guid(), name(), layer()).prop_map(|(guid, name, layer)| delete_value(guid, name, layer)),
        (guid(), layer(), any::<bool>(), sequence())
            .prop_map(|(guid, layer, set, at)| blanket(guid, layer, set, at)),
    ]
}

fn changes() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(change(), 0..40)
}

fn after(operations: &[Operation]) -> Source {
    let mut source = Source::new(&["Machine", "Users"]);
    for operation in operations {
        source.ask(operation.clone());
    }
    source
}

/// All that can be asked about the keys of these tests, and the names of `name`.
fn questions() -> Vec<Operation> {
    let of_key = |guid: &Guid| {
        let guid = *guid;
        let mut questions = vec![read_key(guid), enum_children(guid), query_all(guid)];
        for name in ["a", "b", ""] {
            questions.extend([lookup(guid, name), query(guid, name)]);
        }
        questions
    };
    KEYS.iter().flat_map(of_key).collect()
}

fn view(source: &mut Source) -> Vec<String> {
    questions().into_iter().map(|question| source.ask(question)).collect()
}

/// The sequence numbers of a response.
fn sequences(response: &Response) -> Vec<u64> {
    match response {
        Response::Ok(Payload::Children { children, .. }) => children
            .iter()
            .flat_map(|child| child.entries.iter().map(|entry| entry.sequence))
            .collect(),
        Response::Ok(Payload::Values { entries, blankets }) => {
            let values = entries.iter().map(|entry| entry.sequence);
            values.chain(blankets.iter().map(|blanket| blanket.sequence)).collect()
        }
        _ => Vec::new(),
    }
}

fn only_answer(store: &Store, operation: Operation) -> (Response, Store) {
    let answers = store.answer(&Request::new(operation), 0, 0);
    let response = answers[0].outcome.example();
    (response, answers[0].next().clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_idempotent_changes_nothing_the_second_time(
        before in changes(),
        operation in change(),
    ) {
        let source = after(&before);
        let (first, once) = only_answer(&source.store, operation.clone());
        let (second, twice) = only_answer(&once, operation.clone());
        let repeatable = matches!(
            operation,
            Operation::HideEntry { .. }
                | Operation::DeleteEntry { .. }
                | Operation::WriteKey { .. }
                | Operation::DropKey { .. }
                | Operation::DeleteValueEntry { .. }
                | Operation::SetBlanketTombstone { .. }
        );
        if repeatable {
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(&once, &twice);
        }
        if let Response::Failed(_) = second {
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn an_aborted_transaction_changes_nothing(before in changes(), within in changes()) {
        let mut source = after(&before);
        let original = view(&mut source);
        source.ask_in(7, begin(7));
        for operation in within {
            source.ask_in(7, operation);
        }
        prop_assert_eq!(&original, &view(&mut source));
        source.ask_in(7, abort(7));
        prop_assert_eq!(original, view(&mut source));
    }

    #[test]
    fn a_commit_equals_the_same_changes_without_a_transaction(
        before in changes(),
        within in changes(),
    ) {
        let mut plain = after(&before);
        let mut source = after(&before);
        source.ask_in(7, begin(7));
        for operation in within {
            if source.ask_in(7, operation.clone()) != "INVALID" {
                plain.ask(operation);
            }
        }
        source.ask_in(7, commit(7));
        prop_assert_eq!(view(&mut plain), view(&mut source));
    }

    #[test]
    fn a_restart_after_a_restart_changes_nothing(before in changes()) {
        let mut source = after(&before);
        source.restart();
        let once = source.store.clone();
        source.restart();
        prop_assert_eq!(once, source.store);
    }

    #[test]
    fn a_restart_keeps_every_persistent_key_that_an_entry_names(before in changes()) {
        let mut source = after(&before);
        let mut expected = Vec::new();
        for guid in KEYS {
            let (Response::Ok(Payload::Children { children, metadata }), _) =
                only_answer(&source.store, enum_children(guid)) else { continue };
            // What is made below a volatile key is volatile, be there a persistent one of its GUID later (P-332).
            let makes_volatile = |change: &Operation| {
                matches!(change, Operation::CreateKey { guid: of, volatile_key: 1, .. } if *of == guid)
            };
            let parent_was_volatile = before.iter().any(makes_volatile);
            let named = children.iter().flat_map(|child| &child.entries).map(|entry| entry.target);
            let named: Vec<Guid> = named.collect();
            let kept = metadata.iter().filter(|key| {
                key.volatile_key == 0 && !parent_was_volatile && named.contains(&key.guid)
            });
            expected.extend(kept.map(|key| (read_key(key.guid), query_all(key.guid))));
        }
        let before: Vec<_> = expected
            .iter()
            .map(|(key, values)| (source.ask(key.clone()), source.ask(values.clone())))
            .collect();
        source.restart();
        for ((key, values), (key_before, values_before)) in expected.into_iter().zip(before) {
            prop_assert_eq!(source.ask(key), key_before);
            prop_assert_eq!(source.ask(values), values_before);
        }
    }

    #[test]
    fn the_highest_sequence_number_is_above_all_that_a_restart_shows(before in changes()) {
        let mut source = after(&before);
        let highest = source.start().max_sequence();
        source.restart();
        for guid in KEYS {
            for question in [enum_children(guid), query_all(guid)] {
                let (response, _) = only_answer(&source.store, question);
                prop_assert!(sequences(&response).iter().all(|sequence| *sequence <= highest));
            }
        }
    }

    #[test]
    fn case_variants_are_one_name(before in changes(), guid in guid(), name in "[a-cA-C]{1,3}") {
        let source = after(&before);
        let upper = name.to_uppercase();
        for (one, other) in [
            (lookup(guid, &name), lookup(guid, &upper)),
            (query(guid, &name), query(guid, &upper)),
        ] {
            prop_assert_eq!(
                only_answer(&source.store, one).0,
                only_answer(&source.store, other).0
            );
        }
    }

    #[test]
    fn a_lookup_shows_what_the_enumeration_shows(before in changes(), guid in guid()) {
        let source = after(&before);
        let (Response::Ok(Payload::Children { children, .. }), _) =
            only_answer(&source.store, enum_children(guid)) else { return Ok(()) };
        for name in ["a", "b", ""] {
            let of_name = children.iter().filter(|child| child.name.eq_ignore_ascii_case(name.as_bytes()));
            let mut listed: Vec<_> = of_name.flat_map(|child| child.entries.clone()).collect();
            listed.sort();
            let (Response::Ok(Payload::Entries { entries, .. }), _) =
                only_answer(&source.store, lookup(guid, name)) else { panic!("the parent is there") };
            prop_assert_eq!(listed, entries);
        }
    }

    #[test]
    fn a_deleted_layer_leaves_nothing_behind(before in changes()) {
        let mut source = after(&before);
        source.ask(delete_layer("LAB"));
        for guid in KEYS {
            for question in [enum_children(guid), query_all(guid)] {
                let answer = source.ask(question);
                prop_assert!(!answer.contains("layer \"lab\""), "{}", answer);
            }
        }
        prop_assert_eq!(source.ask(delete_layer("lab")), "ok");
    }

    #[test]
    fn reads_change_nothing(before in changes()) {
        let source = after(&before);
        for question in questions() {
            for answer in source.store.answer(&Request::new(question), 0, 0) {
                prop_assert_eq!(answer.next(), &source.store);
                if let Outcome::Failed(_) = answer.outcome { continue }
                prop_assert!(answer.accept(&Response::Ok(Payload::StatusOnly)).is_err());
            }
        }
    }
}

#[test]
fn what_is_made_below_a_volatile_key_is_gone_after_a_restart_though_a_persistent_one_has_its_guid()
{
    let (parent, child) = (key(1), key(2));
    let mut source = after(&[
        create_key(child, "a", ROOT),
        create_volatile_key(parent, "a", ROOT),
        create_entry(parent, "a", "base", child, 1),
        drop_key(parent),
        create_key(parent, "a", ROOT),
    ]);
    let expected = expect![[r#"
        ok; name "a" parent root; key k2 sd "sd" volatile 0 symlink 0 last written 1000000000
        NOT_FOUND"#]];
    let before = source.ask(read_key(child));
    source.restart();
    expected.assert_eq(&format!("{before}\n{}", source.ask(read_key(child))));
}
