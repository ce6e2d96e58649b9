//! Waiting on the calling thread: whoever wakes it, whether it looks by then or sleeps, is not missed.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use futures::channel::oneshot;
use futures::stream::StreamExt;
use host::block_on;

/// Far longer than a wake takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `wait` comes to, on a thread of its own, so that a wake that is missed fails the test.
fn in_time<T: Send + 'static>(wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(wait()));
    receiver.recv_timeout(PATIENCE).expect("the thread was never woken")
}

#[test]
fn what_is_there_is_not_waited_for() {
    assert_eq!(in_time(|| block_on(async { 7 })), 7);
}

#[test]
fn a_thread_that_sleeps_is_woken() {
    let (sender, receiver) = oneshot::channel();
    let waiting = thread::spawn(move || in_time(|| block_on(receiver)));
    thread::sleep(Duration::from_millis(50));
    sender.send(7).unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(7));
}

#[test]
fn a_wake_from_within_the_future_counts() {
    let mut polls = 0;
    let polled = in_time(move || {
        block_on(std::future::poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { std::task::Poll::Ready(polls) } else { std::task::Poll::Pending }
        }))
    });
    assert_eq!(polled, 3);
}

#[test]
fn no_wake_of_two_threads_that_take_turns_is_missed() {
    const TURNS: u32 = 2_000;
    let (to_there, mut there) = unbounded();
    let (to_here, mut here) = unbounded();
    let other = thread::spawn(move || {
        while let Some(turn) = block_on(there.next()) {
            // Now and then long enough for the other side to fall asleep.
            if turn % 500 == 0 {
                thread::sleep(Duration::from_millis(2));
            }
            to_here.unbounded_send(turn).unwrap();
        }
    });
    let answered = in_time(move || {
        (0..TURNS)
            .map(|turn| {
                to_there.unbounded_send(turn).unwrap();
                u32::from(block_on(here.next()) == Some(turn))
            })
            .sum::<u32>()
    });
    assert_eq!(answered, TURNS);
    other.join().unwrap();
}
