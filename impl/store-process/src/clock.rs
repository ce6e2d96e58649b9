//! The time of day that never goes back, as a store wants it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock set once by the system's, and steady from then on.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_unix_ns: u64,
}

impl Clock {
    /// A clock set by the system's now.
    pub fn new() -> Clock {
        // A system clock before 1970 counts as 1970.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { start: Instant::now(), start_unix_ns: nanoseconds(unix) }
    }

    /// Unix nanoseconds.
    pub fn now(&self) -> u64 {
        self.start_unix_ns.saturating_add(nanoseconds(self.start.elapsed()))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
