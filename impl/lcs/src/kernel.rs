//! The kernel half as one object: state, turns, tasks, and the way to a source.
//!
//! Every operation is a method on [`Kernel`] in a module of its own; here is what they all use.
//! States PSD-005 §7.1 (deadlines) and §10.1 as far as a single request goes (D-83).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use abi::Errno;
use futures::channel::oneshot;
use rsi::{Guid, Request, Response, Status};

use crate::audit::Rejection;
use crate::env::Env;
use crate::layers::LayerTable;
use crate::limits::REQUEST_TIMEOUT_NS;
use crate::source::{
    Connection, Descriptors, DownReason, Inquiry, LateEffect, MalformedResponse, RequestError,
    Supervisor, status_errno,
};
use crate::state::{KeyId, SlotId, State};
use crate::turns::{Place, Share, Turns};

/// See the module.
pub struct Kernel<E: Env> {
    /// The world outside.
    pub env: E,
    /// Who may touch what.
    pub turns: Turns,
    state: Mutex<State<E>>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    running: usize,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Why a request did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The source said no.
    Refused(Status),
    /// No usable answer came.
    Unanswered(RequestError),
}

impl Failure {
    /// What the caller of the operation gets where the operation has no rule of its own.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Refused(status) => status_errno(status),
            Self::Unanswered(error) => error.errno(),
        }
    }
}

impl From<Failure> for Errno {
    fn from(failure: Failure) -> Self {
        failure.errno()
    }
}

impl<E: Env> Kernel<E> {
    /// A kernel with no source.
    pub fn new(env: E) -> Arc<Self> {
        Arc::new(Self {
            env,
            turns: Turns::default(),
            state: Mutex::new(State::new()),
            tasks: Mutex::default(),
        })
    }

    /// The state; not to be held across a wait.
    pub fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The layer table of this moment.
    pub fn layers(&self) -> Arc<LayerTable> {
        Arc::clone(&self.state().layers)
    }

    /// Whether `table` is no longer the published one.
    pub fn is_stale(&self, table: &Arc<LayerTable>) -> bool {
        !Arc::ptr_eq(&self.state().layers, table)
    }

    /// A new key's identity.
    pub fn new_guid(&self) -> Guid {
        let mut bytes = [0; 16];
        self.env.random(&mut bytes);
        // Version 4 and the RFC 4122 variant, in the layout that GUIDs have in memory.
        bytes[7] = bytes[7] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Guid(bytes)
    }

    /// Sends a request and waits for its answer, at most RequestTimeoutMs. A response that comes
    /// later goes to `late_effect`.
    pub async fn ask(
        &self,
        slot: SlotId,
        request: Request,
        late_effect: Option<LateEffect>,
    ) -> Result<Response, Failure> {
        self.wait_for_resumption(slot).await;
        self.ask_at_once(slot, request, late_effect).await
    }

    /// As [`Kernel::ask`], for a question about `key`, whose answer may be rejected.
    pub async fn inquire(
        &self,
        key: KeyId,
        request: Request,
        descriptors: Descriptors,
    ) -> Result<Response, Failure> {
        self.wait_for_resumption(key.slot).await;
        let deadline = self.env.now().saturating_add(REQUEST_TIMEOUT_NS);
        let inquiry = Inquiry { hive_index: key.hive_index, descriptors };
        answered(self.connection(key.slot).inquire(deadline, request, inquiry).await)
    }

    /// A resumed source hears first what it has to hear before all else.
    async fn wait_for_resumption(&self, slot: SlotId) {
        let resumption = {
            let state = self.state();
            let place = Place::Resumption(slot);
            state.slot(slot).resuming.then(|| self.turns.take(place, Share::Read))
        };
        if let Some(turn) = resumption {
            drop(turn.await);
        }
    }

    /// As [`Kernel::ask`], also ahead of what a resumed source has to hear first.
    pub async fn ask_at_once(
        &self,
        slot: SlotId,
        request: Request,
        late_effect: Option<LateEffect>,
    ) -> Result<Response, Failure> {
        let connection = self.connection(slot);
        let deadline = self.env.now().saturating_add(REQUEST_TIMEOUT_NS);
        answered(connection.request_with_late_effect(deadline, None, request, late_effect).await)
    }

    /// The newest connection of a slot.
    pub fn connection(&self, slot: SlotId) -> Connection<E> {
        self.state().slot(slot).connection.clone()
    }

    /// Runs a task that [`Kernel::settled`] waits for.
    pub fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let running = Running::new(self);
        self.env.spawn(Box::pin(async move {
            task.await;
            drop(running);
        }));
    }

    /// Completes once no task of the kernel's own is running.
    pub async fn settled(&self) {
        loop {
            let receiver = {
                let mut tasks = self.tasks();
                if tasks.running == 0 {
                    return;
                }
                let (sender, receiver) = oneshot::channel();
                tasks.waiting.push(sender);
                receiver
            };
            // Answered or not, the count is looked at again.
            let _ = receiver.await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answered(answer: Result<Response, RequestError>) -> Result<Response, Failure> {
    match answer {
        Ok(Response::Failed(status)) => Err(Failure::Refused(status)),
        Ok(response) => Ok(response),
        Err(error) => Err(Failure::Unanswered(error)),
    }
}

/// One task counted as running, also when it is dropped before its end.
struct Running<E: Env>(Arc<Kernel<E>>);

impl<E: Env> Running<E> {
    fn new(kernel: &Arc<Kernel<E>>) -> Self {
        kernel.tasks().running += 1;
        Self(Arc::clone(kernel))
    }
}

impl<E: Env> Drop for Running<E> {
    fn drop(&mut self) {
        let waiting = {
            let mut tasks = self.0.tasks();
            tasks.running -= 1;
            if tasks.running == 0 { std::mem::take(&mut tasks.waiting) } else { Vec::new() }
        };
        for sender in waiting {
            // Whoever stopped waiting needs no answer.
            let _ = sender.send(());
        }
    }
}

/// What a connection may ask of the kernel. It holds no reference that would keep a kernel alive.
pub struct KernelSupervisor<E: Env> {
    /// The kernel.
    pub kernel: Weak<Kernel<E>>,
    /// The slot that the connection is of.
    pub slot: SlotId,
}

impl<E: Env> Supervisor for KernelSupervisor<E> {
    fn next_sequence(&self) -> u64 {
        // A kernel that is gone has given out no number that a response could hold.
        self.kernel.upgrade().map_or(0, |kernel| kernel.state().next_sequence)
    }

    // A slot asks its connection whether it is Down.
    fn connection_down(&self, _reason: DownReason) {}

    fn response_malformed(&self, response: MalformedResponse) {
        let MalformedResponse { id, operation, key, hive_index, malformed } = response;
        // What has no class has no record (D-95).
        let Some(class) = malformed.validation_class() else { return };
        if let Some(kernel) = self.kernel.upgrade() {
            let (slot, request) = (self.slot, Some(id));
            let operation = Some(operation);
            kernel.audit_rejection(Rejection { slot, hive_index, request, operation, key, class });
        }
    }
}
