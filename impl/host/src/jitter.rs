//! Pauses of threads at random, for orders of calls that a system hardly ever comes to by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::source::operating_system_random;

/// One pause is as many times this long as a random number below [`PAUSES`] says: about what a call to a source
/// takes, so that a whole one of another thread fits in.
const PAUSE: Duration = Duration::from_micros(100);
const PAUSES: u32 = 8;

/// Whether threads pause.
#[derive(Debug, Default)]
pub(crate) struct Jitter(AtomicBool);

impl Jitter {
    pub(crate) fn set(&self, is_on: bool) {
        self.0.store(is_on, Ordering::Relaxed);
    }

    /// If it is on: goes on at once in half of all cases, else lets others run, and sleeps in half of those.
    pub(crate) fn pause(&self) {
        let mut byte = [0];
        if self.0.load(Ordering::Relaxed) {
            operating_system_random(&mut byte);
        }
        match self.chosen(byte[0]) {
            Pause::None => {}
            Pause::Others => thread::yield_now(),
            Pause::Sleep(duration) => thread::sleep(duration),
        }
    }

    /// The pause that a random byte stands for.
    fn chosen(&self, byte: u8) -> Pause {
        match byte % 4 {
            _ if !self.0.load(Ordering::Relaxed) => Pause::None,
            0 | 1 => Pause::None,
            2 => Pause::Others,
            _ => Pause::Sleep(PAUSE * (u32::from(byte) / 4 % PAUSES)),
        }
    }
}

/// What a thread does before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    None,
    Others,
    Sleep(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(jitter: &Jitter, is_counted: impl Fn(Pause) -> bool) -> usize {
        (0..=u8::MAX).filter(|byte| is_counted(jitter.chosen(*byte))).count()
    }

    #[test]
    fn a_quarter_of_the_pauses_sleep_and_a_quarter_let_others_run() {
        let jitter = Jitter::default();
        jitter.set(true);
        assert_eq!(count(&jitter, |pause| pause == Pause::None), 128);
        assert_eq!(count(&jitter, |pause| pause == Pause::Others), 64);
        assert_eq!(count(&jitter, |pause| pause == Pause::Sleep(PAUSE * 7)), 8);
    }

    #[test]
    fn nobody_pauses_while_it_is_off() {
        let jitter = Jitter::default();
        assert_eq!(count(&jitter, |pause| pause != Pause::None), 0);
        jitter.set(true);
        assert_ne!(count(&jitter, |pause| pause != Pause::None), 0);
        jitter.set(false);
        assert_eq!(count(&jitter, |pause| pause != Pause::None), 0);
    }
}
