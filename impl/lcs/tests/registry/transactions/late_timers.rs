//! Lifetimes that are over by the clock while their timers have not come to run: nobody can tell.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

const TIMED_OUT: Answer<(u32, u32)> = Ok((REG_TXN_TIMED_OUT, Errno::ETIMEDOUT as u32));

#[test]
fn a_source_that_goes_down_after_the_lifetime_leaves_the_transaction_timed_out() {
    let mut machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    machine.world.env.pass(LIFETIME_NS);
    machine.source.kill();
    assert_eq!(client.status(transaction), TIMED_OUT);
    assert_eq!(within.get(key, "v"), Err(Errno::ETIMEDOUT));
}

#[test]
fn the_deletion_of_a_layer_after_the_lifetime_leaves_its_writer_timed_out() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let other = client.make("Other\\A");
    let writer = client.begin().unwrap();
    client.within(writer).set(other, "v", 1, "gpo").unwrap();
    machine.world.env.pass(LIFETIME_NS);
    client.delete(gpo, "").unwrap();
    assert_eq!(client.status(writer), TIMED_OUT);
    assert_eq!(machine.other.count(Operation::AbortTransaction), 1);
}

#[test]
fn one_whose_lifetime_is_over_takes_no_place_on_its_source() {
    let machine = Machine::new();
    let client = machine.client();
    let key = client.make("Machine\\A");
    // The source refuses what all but the first change, and they stay bound.
    for _ in 0..16 {
        let transaction = client.begin().unwrap();
        let _ = client.within(transaction).set(key, "v", 1, "");
    }
    machine.world.env.pass(LIFETIME_NS);
    let next = client.begin().unwrap();
    client.within(next).set(key, "v", 2, "").unwrap();
}

#[test]
fn a_mutation_that_is_answered_after_the_lifetime_is_timed_out() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    machine.source.store().stalled.insert(Operation::SetValue);
    let args = within.set_args("v", abi::value_type::REG_DWORD, &[0; 4], "");
    let answer = later(&machine, async move {
        within.ioctl(key, ioctl::REG_IOC_SET_VALUE, args).await.0.map(|_| ())
    });
    machine.world.env.pass(LIFETIME_NS);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(answer.take(), Some(Err(Errno::ETIMEDOUT)));
    assert_eq!(client.status(transaction), TIMED_OUT);
}

#[test]
fn a_commit_that_is_answered_after_the_lifetime_is_timed_out_and_has_its_effects() {
    let machine = Machine::new();
    let client = machine.client();
    let (key, transaction, within) = prepared(&client);
    within.set(key, "v", 1, "").unwrap();
    let before = client.generation("Machine");
    machine.source.store().stalled.insert(Operation::CommitTransaction);
    let answer = later(&machine, async move { within.commit_now(transaction).await });
    machine.world.env.pass(LIFETIME_NS);
    machine.source.answer_late();
    machine.settle();
    assert_eq!(answer.take(), Some(Err(Errno::ETIMEDOUT)));
    assert_eq!(client.status(transaction), TIMED_OUT);
    assert_eq!(machine.source.count(Operation::AbortTransaction), 0);
    assert_eq!(client.get(key, "v"), Ok((1, "base".to_owned())));
    assert_eq!(client.generation("Machine"), before + 1);
}

/// Begins a call that its source lies on. Its answer, when it is there.
fn later(
    machine: &Machine,
    call: impl Future<Output = Answer<()>> + 'static,
) -> Rc<RefCell<Option<Answer<()>>>> {
    let answer = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&answer);
    machine.world.spawn(async move {
        let answered = call.await;
        *slot.borrow_mut() = Some(answered);
    });
    machine.world.run_until_stalled();
    assert!(answer.borrow().is_none());
    answer
}
