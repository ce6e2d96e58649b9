//! What holds of every mutation.

use super::*;

#[test]
fn a_mutation_that_is_not_answered_in_time_has_told_nothing() {
    for (mutation, delay) in pairs() {
        let scene = Scene::timed_out(mutation, delay);
        if !matches!(mutation, Mutation::CreateEntry | Mutation::CreateKey) {
            assert_eq!(scene.effects(), NOTHING, "{mutation:?} {delay:?}");
        }
        assert!(scene.is_active());
    }
}

#[test]
fn a_late_success_has_the_effects_of_one_in_time() {
    for (mutation, delay) in pairs() {
        let in_time = Scene::new();
        mutation.call(&in_time.client, in_time.key).unwrap();
        let effects = in_time.effects();
        assert_eq!((effects.0.is_empty(), effects.1), (false, 1), "{mutation:?}");
        let scene = Scene::timed_out(mutation, delay);
        scene.machine.other.answer_late();
        assert_eq!(scene.effects(), effects, "{mutation:?} {delay:?}");
    }
}

#[test]
fn a_late_success_sets_the_last_write_time_that_one_in_time_sets() {
    let written = |source: &Source| {
        let times = source.store().keys.values().map(|key| key.last_write_time != 77).collect();
        let times: Vec<bool> = times;
        times.into_iter().filter(|written| *written).count()
    };
    for (mutation, delay) in pairs() {
        let in_time = Scene::new();
        mutation.call(&in_time.client, in_time.key).unwrap();
        let scene = Scene::timed_out(mutation, delay);
        scene.machine.other.answer_late();
        scene.machine.settle();
        let (expected, found) = (written(&in_time.machine.other), written(&scene.machine.other));
        assert_eq!(found, expected, "{mutation:?} {delay:?}");
    }
}

#[test]
fn a_late_refusal_has_no_effects() {
    for mutation in MUTATIONS {
        let scene = Scene::timed_out(mutation, Delay::Stalled);
        refuse(&scene.machine.other, mutation.operation());
        scene.machine.other.answer_late();
        scene.machine.other.store().refusals.clear();
        assert_eq!(scene.effects(), NOTHING, "{mutation:?}");
        assert!(scene.is_active());
    }
}

#[test]
fn a_late_success_with_malformed_data_has_no_effects_and_leaves_the_source_up() {
    for mutation in MUTATIONS {
        let scene = Scene::timed_out(mutation, Delay::Withheld);
        scene.machine.other.answer_malformed();
        let (events, steps) = scene.effects();
        assert_eq!((events, steps), NOTHING, "{mutation:?}");
        assert!(scene.is_active());
    }
}

#[test]
fn a_late_answer_that_is_no_frame_takes_the_source_down() {
    for mutation in MUTATIONS {
        let scene = Scene::timed_out(mutation, Delay::Withheld);
        scene.machine.other.answer_broken();
        scene.machine.settle();
        assert!(!scene.is_active(), "{mutation:?}");
        assert_eq!(scene.client.events(scene.watch), [""; 0]);
    }
}

#[test]
fn a_source_that_dies_with_the_request_ends_the_call_and_all_that_it_retained() {
    for (mutation, delay) in pairs() {
        let mut scene = Scene::timed_out(mutation, delay);
        scene.machine.other.kill();
        scene.machine.other.start(&scene.machine.world, &scene.machine.lcs).unwrap();
        assert_eq!(scene.effects(), (vec!["OVERFLOW".to_owned()], 0), "{mutation:?} {delay:?}");
    }
    for mutation in MUTATIONS {
        let scene = Scene::new();
        scene.machine.other.store().dies_at = Some(mutation.operation());
        assert_eq!(mutation.call(&scene.client, scene.key), Err(Errno::EIO), "{mutation:?}");
    }
}

#[test]
fn a_call_that_has_timed_out_keeps_nobody_from_its_key() {
    for delay in DELAYS {
        for mutation in [Mutation::SetValue, Mutation::SetSecurity, Mutation::Hide] {
            let Scene { client, key, .. } = &Scene::timed_out(mutation, delay);
            let took = elapsed(client, || {
                client.value(*key, "v").unwrap();
                client.set(*key, "w", 3, "").unwrap();
                client.create("Other\\B", "").unwrap();
            });
            assert!(took < 1_000_000, "{mutation:?} {delay:?}");
        }
    }
}

#[test]
fn a_reader_waits_for_a_write_no_longer_than_that_waits_itself() {
    let Scene { machine, client, key, .. } = &Scene::new();
    machine.other.store().stalled.insert(Operation::SetValue);
    let (me, args, key) = (client.clone(), client.set_args("v", 4, &[2; 4], ""), *key);
    machine.world.spawn(async move {
        let set = me.ioctl(key, abi::ioctl::REG_IOC_SET_VALUE, args).await.0;
        assert_eq!(set, Err(Errno::ETIMEDOUT));
    });
    machine.world.run_until_stalled();
    let took = elapsed(client, || assert_eq!(client.get(key, "v"), Ok((1, "base".to_owned()))));
    assert!((29_000_000_000..31_000_000_000).contains(&took));
}

#[test]
fn a_reader_waits_for_many_writes_no_longer_than_for_one() {
    let Scene { machine, client, key, .. } = &Scene::new();
    machine.other.store().ignored.insert(Operation::SetValue);
    for _ in 0..3 {
        let (me, args, key) = (client.clone(), client.set_args("v", 4, &[2; 4], ""), *key);
        machine.world.spawn(async move {
            let set = me.ioctl(key, abi::ioctl::REG_IOC_SET_VALUE, args).await.0;
            assert_eq!(set, Err(Errno::ETIMEDOUT));
        });
    }
    machine.world.run_until_stalled();
    let took = elapsed(client, || assert_eq!(client.get(*key, "v"), Ok((1, "base".to_owned()))));
    assert!(took < 31_000_000_000);
    let took = elapsed(client, || assert!(client.open("Other\\A").is_ok()));
    assert!(took < 31_000_000_000);
}

#[test]
fn a_write_that_times_out_consumes_its_number() {
    let Scene { machine, client, key, .. } = &Scene::new();
    let before = client.value(*key, "v").unwrap().sequence;
    machine.other.store().stalled.insert(Operation::SetValue);
    assert_eq!(client.set(*key, "v", 2, ""), Err(Errno::ETIMEDOUT));
    client.set(*key, "v", 3, "").unwrap();
    assert_eq!(client.value(*key, "v").unwrap().sequence, before + 2);
}

#[test]
fn a_late_success_that_others_have_overtaken_is_told_as_overflow() {
    let scene = Scene::timed_out(Mutation::SetValue, Delay::Stalled);
    scene.client.set(scene.key, "v", 3, "").unwrap();
    scene.machine.other.answer_late();
    let (events, steps) = scene.effects();
    assert_eq!(
        (events.as_slice(), steps),
        (["VALUE_SET v @A", "OVERFLOW"].map(str::to_owned).as_slice(), 2)
    );
}

#[test]
fn a_last_write_time_that_is_not_answered_in_time_leaves_the_mutation_told() {
    for delay in DELAYS {
        let scene = Scene::new();
        delay.of(&scene.machine.other, Operation::WriteKey);
        assert_eq!(scene.client.set(scene.key, "v", 2, ""), Err(Errno::ETIMEDOUT));
        let told = (vec!["VALUE_SET v @A".to_owned()], 1);
        assert_eq!(scene.effects(), told);
        scene.machine.other.answer_late();
        assert_eq!(scene.effects(), (Vec::new(), 1));
    }
}

#[test]
fn a_late_answer_to_a_question_or_a_flush_has_no_effects() {
    for operation in [Operation::QueryValues, Operation::ReadKey, Operation::Flush] {
        let Scene { machine, client, key, watch, generation } = &Scene::new();
        machine.other.store().stalled.insert(operation);
        let asked = match operation {
            Operation::QueryValues => client.value(*key, "v").map(|_| ()),
            Operation::ReadKey => client.info(*key).map(|_| ()),
            _ => client.flush(*key),
        };
        assert_eq!(asked, Err(Errno::ETIMEDOUT), "{operation:?}");
        machine.other.answer_late();
        machine.settle();
        assert_eq!(client.events(*watch), [""; 0]);
        assert_eq!(client.generation("Other"), *generation);
    }
}

#[test]
fn late_data_is_judged_like_data_in_time() {
    let Scene { machine, client, key, .. } = &Scene::new();
    machine.other.store().stalled.insert(Operation::ReadKey);
    assert_eq!(client.info(*key).map(|_| ()), Err(Errno::ETIMEDOUT));
    machine.other.store().keys.values_mut().for_each(|key| key.sd = b"none".to_vec());
    machine.world.env.take_audit();
    machine.other.answer_late();
    let events = machine.world.env.take_audit();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["LCS_SOURCE_VALIDATION_FAILURE"]);
}

fn pairs() -> impl Iterator<Item = (Mutation, Delay)> {
    MUTATIONS.into_iter().flat_map(|mutation| DELAYS.map(|delay| (mutation, delay)))
}
