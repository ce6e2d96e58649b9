//! A source as its client sees it: request frames in, response frames out, births and deaths.
//!
//! Knows no implementation. A target is a source in this process, or one at the other end of a
//! socket: whoever provides it delivers whole frames (PSD-005 §7.1), which state their length.

use registry_model::store::Registration;

/// The source is not there, or ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone(pub String);

/// One source with its storage, which outlives its process.
pub trait StoreTarget {
    /// The source's clock, Unix nanoseconds.
    fn now(&self) -> u64;

    /// Starts the process, the first time on empty storage, and returns what it registers. A
    /// process that runs is to be stopped before.
    ///
    /// # Errors
    /// Why it does not come up, in words.
    fn start(&mut self, hives: &[String]) -> Result<Registration, String>;

    /// Sends a request.
    ///
    /// # Errors
    /// The process is gone.
    fn send(&mut self, frame: &[u8]) -> Result<(), Gone>;

    /// The next response that comes without anything else being done. A real process gets its
    /// time for this; `None` means that it had enough.
    ///
    /// # Errors
    /// The process is gone.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, Gone>;

    /// Whether responses come in the order in which their requests were carried out. Otherwise
    /// requests that are answered together are judged in every order.
    fn answers_in_order(&self) -> bool {
        false
    }

    /// Lets time go by, in nanoseconds.
    fn pass(&mut self, nanoseconds: u64);

    /// Ends the process at once: nothing is written any more.
    fn kill(&mut self);

    /// Ends the process in good order.
    fn stop(&mut self);
}

/// Makes sources on fresh storage.
pub trait StoreMachine: Sync {
    /// A source that has not been started. `seed` decides whatever it draws at random.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn target(&self, seed: u64) -> Result<Box<dyn StoreTarget + '_>, String>;
}
