//! Signals that ask the process to end (PSD-006 §2.1; LORE-039): SIGTERM, SIGINT, SIGHUP.
//!
//! The handler runs on a thread of its own and ends the stream, which ends the request loop; the
//! databases are then closed as at any other end.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the end has been asked for, and what is to be ended.
pub struct Termination(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    was_asked_for: bool,
    stream: Option<UnixStream>,
}

impl Termination {
    /// Watches for the signals from now on.
    ///
    /// # Errors
    /// If the system gives no handler.
    pub fn watch() -> Result<Termination, ctrlc::Error> {
        let state = Arc::<Mutex<State>>::default();
        let handler = Termination(Arc::clone(&state));
        ctrlc::set_handler(move || handler.ask())?;
        Ok(Termination(state))
    }

    /// Has this stream ended by a signal, one that has come already included.
    ///
    /// # Errors
    /// If the system gives no descriptor.
    pub fn ends(&self, stream: &UnixStream) -> io::Result<()> {
        let stream = stream.try_clone()?;
        let mut state = self.state();
        if state.was_asked_for {
            end(&stream);
        }
        state.stream = Some(stream);
        Ok(())
    }

    /// Whether a signal has come.
    pub fn was_asked_for(&self) -> bool {
        self.state().was_asked_for
    }

    fn ask(&self) {
        let mut state = self.state();
        state.was_asked_for = true;
        state.stream.iter().for_each(end);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(stream: &UnixStream) {
    // Fails where the other side has ended it already.
    let _ = stream.shutdown(Shutdown::Both);
}
