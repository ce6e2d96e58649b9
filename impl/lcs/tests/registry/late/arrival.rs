//! What an answer does as it arrives, before the caller who waits for it comes to run: the order of
//! answers is the order of events (PSD-005 §4.1, §5.1).

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::*;

/// POLLIN.
const READABLE: i64 = 1;

/// Has the source's withheld answers delivered once there are `count`, and notes what the watch has
/// then, while nobody else runs.
fn deliver(scene: &Rc<Scene>, count: usize) -> Rc<Cell<Option<i64>>> {
    let (scene, polled) = (Rc::clone(scene), Rc::new(Cell::new(None)));
    let noted = Rc::clone(&polled);
    let world = Rc::clone(&scene.client.world);
    world.spawn(async move {
        poll_fn(|context| {
            if scene.machine.other.late_count() == count {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        scene.machine.other.answer_late();
        noted.set(scene.client.poll(scene.watch).ok());
    });
    polled
}

#[test]
fn a_mutation_is_told_of_as_its_answer_arrives() {
    for mutation in MUTATIONS {
        let scene = Rc::new(Scene::new());
        Delay::Withheld.of(&scene.machine.other, mutation.operation());
        let polled = deliver(&scene, 1);
        assert_eq!(mutation.call(&scene.client, scene.key), Ok(()), "{mutation:?}");
        // A key that has no record yet is not there.
        let readable = if matches!(mutation, Mutation::CreateEntry) { 0 } else { READABLE };
        assert_eq!(polled.get(), Some(readable), "{mutation:?}");
    }
}

/// What a watch above the scene's key hears of a mutation.
fn told_of(mutation: Mutation) -> Vec<String> {
    let told: &[&str] = match mutation {
        Mutation::SetValue => &["VALUE_SET v @A"],
        Mutation::DeleteValue | Mutation::SetBlanket => &["VALUE_DELETED v @A"],
        Mutation::SetSecurity => &["SD_CHANGED @A"],
        Mutation::Hide | Mutation::Delete => &["SUBKEY_DELETED A @", "KEY_DELETED @A"],
        Mutation::CreateEntry | Mutation::CreateKey => &["SUBKEY_CREATED New @A"],
    };
    told.iter().copied().map(str::to_owned).collect()
}

#[test]
fn a_mutation_is_told_of_once_and_is_one_step() {
    for mutation in MUTATIONS {
        let scene = Rc::new(Scene::new());
        Delay::Withheld.of(&scene.machine.other, mutation.operation());
        deliver(&scene, 1);
        assert_eq!(mutation.call(&scene.client, scene.key), Ok(()), "{mutation:?}");
        assert_eq!(scene.effects(), (told_of(mutation), 1), "{mutation:?}");
    }
}

#[test]
fn a_commit_is_told_of_as_its_answer_arrives() {
    let scene = Rc::new(Scene::new());
    let transaction = scene.client.begin().unwrap();
    scene.client.within(transaction).set(scene.key, "v", 2, "").unwrap();
    Delay::Withheld.of(&scene.machine.other, Operation::CommitTransaction);
    let polled = deliver(&scene, 1);
    assert_eq!(scene.client.commit(transaction), Ok(()));
    assert_eq!(polled.get(), Some(READABLE));
    assert_eq!(scene.effects(), (vec!["VALUE_SET v @A".to_owned()], 1));
}

/// A commit whose answer is on its way when the lifetime of its transaction is over, and its caller with
/// `ETIMEDOUT` gone: the source has carried it out, and nobody is told of that yet.
fn committed_as_its_lifetime_ends(scene: &Scene) -> i32 {
    let Scene { machine, client, key, .. } = scene;
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    within.set(*key, "v", 2, "").unwrap();
    within.create("Other\\A\\New", "").unwrap();
    Delay::Withheld.of(&machine.other, Operation::CommitTransaction);
    assert_eq!(client.commit(transaction), Err(Errno::ETIMEDOUT));
    transaction
}

#[test]
fn a_commit_that_its_lifetime_has_overtaken_is_told_of_once_as_its_answer_arrives() {
    for is_closed in [false, true] {
        let scene = Scene::new();
        let Scene { machine, client, key, watch, .. } = &scene;
        let transaction = committed_as_its_lifetime_ends(&scene);
        if is_closed {
            client.close(transaction).unwrap();
        }
        assert_eq!(scene.effects(), NOTHING);
        machine.other.answer_late();
        assert_eq!(client.poll(*watch), Ok(READABLE));
        client.set(*key, "w", 3, "").unwrap();
        let told = ["VALUE_SET v @A", "SUBKEY_CREATED New @A", "VALUE_SET w @A"];
        assert_eq!(scene.effects(), (told.map(str::to_owned).to_vec(), 2));
        client.set(*key, "w", 4, "").unwrap();
        assert_eq!(scene.effects(), (vec!["VALUE_SET w @A".to_owned()], 3));
    }
}

#[test]
fn a_commit_that_others_have_overtaken_is_told_of_once_as_overflow() {
    let scene = Scene::new();
    let Scene { machine, client, key, .. } = &scene;
    committed_as_its_lifetime_ends(&scene);
    client.set(*key, "v", 5, "").unwrap();
    assert_eq!(scene.effects(), (vec!["VALUE_SET v @A".to_owned()], 1));
    machine.other.answer_late();
    assert_eq!(scene.effects(), (vec!["OVERFLOW".to_owned()], 2));
    client.set(*key, "w", 3, "").unwrap();
    assert_eq!(scene.effects(), (vec!["VALUE_SET w @A".to_owned()], 3));
}

#[test]
fn a_commit_whose_source_goes_before_its_answer_is_never_told_of() {
    let mut scene = Scene::new();
    committed_as_its_lifetime_ends(&scene);
    scene.machine.restart_other();
    let returned = (vec!["OVERFLOW".to_owned()], 0);
    assert_eq!(scene.effects(), returned);
    scene.client.set(scene.key, "w", 3, "").unwrap();
    assert_eq!(scene.effects(), (vec!["VALUE_SET w @A".to_owned()], 1));
}

/// A write that puts back what was there before a commit is a change, though its caller may have read
/// before the commit and goes on only after it.
#[test]
fn what_was_read_before_a_commit_is_not_what_the_next_write_changes() {
    for seed in 0..16 {
        let scene = Rc::new(Scene::with_seed(seed));
        let transaction = scene.client.begin().unwrap();
        scene.client.within(transaction).set(scene.key, "v", 2, "").unwrap();
        let mut store = scene.machine.other.store();
        store.withheld.extend([Operation::QueryValues, Operation::CommitTransaction]);
        drop(store);
        deliver(&scene, 2);
        let (client, key) = (scene.client.clone(), scene.key);
        let args = client.set_args("v", abi::value_type::REG_DWORD, &1_u32.to_le_bytes(), "");
        let written = Rc::new(Cell::new(None));
        let noted = Rc::clone(&written);
        scene.client.world.spawn(async move {
            let (result, _) = client.ioctl(key, abi::ioctl::REG_IOC_SET_VALUE, args).await;
            noted.set(Some(result.map(|_| ())));
        });
        assert_eq!(scene.client.commit(transaction), Ok(()));
        scene.machine.settle();
        scene.client.world.run_until_stalled();
        assert_eq!(written.get(), Some(Ok(())));
        let twice = vec!["VALUE_SET v @A".to_owned(); 2];
        assert_eq!(scene.effects(), (twice, 2), "seed {seed}");
    }
}
