//! Transactions: what they bind to, who sees what, how they end, and what a commit does.

mod binding;
mod descriptors;
mod endings;
mod isolation;
mod late_commits;
mod late_timers;
mod layers;
mod watches;

use abi::{
    DACL_SECURITY_INFORMATION, Errno, OWNER_SECURITY_INFORMATION, POLLERR, POLLHUP,
    REG_TXN_ABORTED, REG_TXN_ACTIVE_BOUND, REG_TXN_ACTIVE_UNBOUND, REG_TXN_COMMITTED,
    REG_TXN_SOURCE_DOWN, REG_TXN_TIMED_OUT, ioctl,
};
use lcs::env::Env;
use lcs::security::{Privileges, Token};
use rsi::{Operation, Status};

use crate::client::{Answer, Client, Machine};
use crate::source::root_descriptor;

const ENDED: i64 = POLLERR | POLLHUP;
const LIFETIME_NS: u64 = 30_000_000_000;

fn sleep(client: &Client, duration_ns: u64) {
    client.go(|me| async move {
        let deadline = me.world.env.now() + duration_ns;
        me.world.env.sleep_until(deadline).await;
    });
}

fn state(client: &Client, fd: i32) -> u32 {
    client.status(fd).unwrap().0
}

/// A key to write to, a transaction, and a client whose calls are part of it.
fn prepared(client: &Client) -> (i32, i32, Client) {
    let key = client.make("Machine\\A");
    let transaction = client.begin().unwrap();
    (key, transaction, client.within(transaction))
}

/// A layer, a key of another source than that of its metadata, and a transaction that has written to the
/// key in the layer.
fn writer_on_another_source(client: &Client) -> (i32, i32, i32) {
    let layer = client.layer("gpo", 5);
    let key = client.make("Other\\A");
    let writer = client.begin().unwrap();
    client.within(writer).set(key, "v", 1, "gpo").unwrap();
    (layer, key, writer)
}
