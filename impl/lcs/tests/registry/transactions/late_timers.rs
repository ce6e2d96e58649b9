//! Lifetimes that are over by the clock while their timers have not come to run: nobody can tell.

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
    let (gpo, _, writer) = writer_on_another_source(&client);
    machine.world.env.pass(LIFETIME_NS);
    client.delete(gpo, "").unwrap();
    assert_eq!(client.status(writer), TIMED_OUT);
    assert_eq!(machine.other.count(Operation::AbortTransaction), 1);
}
