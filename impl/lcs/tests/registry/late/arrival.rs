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

#[test]
fn a_mutation_is_told_of_once_and_is_one_step() {
    for mutation in MUTATIONS {
        let scene = Rc::new(Scene::new());
        Delay::Withheld.of(&scene.machine.other, mutation.operation());
        deliver(&scene, 1);
        assert_eq!(mutation.call(&scene.client, scene.key), Ok(()), "{mutation:?}");
        let at_once = Scene::new();
        assert_eq!(mutation.call(&at_once.client, at_once.key), Ok(()), "{mutation:?}");
        assert_eq!(scene.effects(), at_once.effects(), "{mutation:?}");
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
