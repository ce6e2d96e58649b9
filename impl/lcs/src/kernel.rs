//! The kernel half as one object: state, turns, tasks, and the way to a source.
//!
//! Every operation is a method on [`Kernel`] in a module of its own; here is what they all use. An
//! operation has a `Kernel` of its own, with the parameters that were in force when it began, so
//! that none can change under it (P-169); the [`Core`] is the same for all.
//! States PSD-005 §7.1 (deadlines) and §10.1 as far as a single request goes (D-83).

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use abi::Errno;
use futures::channel::oneshot;
use rsi::{Guid, Request, Response, Status, TransactionId};

use crate::audit::Rejection;
use crate::configuration::Parameters;
use crate::env::Env;
use crate::layers::LayerTable;
use crate::source::{
    AnyEffect, Connection, Descriptors, DownReason, Inquiry, MalformedResponse, RequestError,
    Supervisor, status_errno,
};
use crate::state::{KeyId, SlotId, State};
use crate::turns::{Place, Share, Turns};

/// The kernel half as one operation has it.
pub struct Kernel<E: Env> {
    core: Arc<Core<E>>,
    /// What was in force when the operation began.
    pub parameters: Arc<Parameters>,
}

/// The kernel half as all operations share it.
pub struct Core<E: Env> {
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
    /// The transaction that the request was to be part of has ended, with what that makes of every
    /// use of it.
    TransactionOver(Errno),
}

impl Failure {
    /// What the caller of the operation gets where the operation has no rule of its own.
    pub const fn errno(self) -> Errno {
        match self {
            Self::Refused(status) => status_errno(status),
            Self::Unanswered(error) => error.errno(),
            Self::TransactionOver(errno) => errno,
        }
    }

    /// Whether the source has been sent the request, is there, and has not answered, so that it may yet.
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Unanswered(RequestError::TimedOut { dispatched: true }))
    }

    /// As [`Failure::errno`], of a request of a creation, whose caller never gets EEXIST (`SYS-64`,
    /// D-92).
    pub const fn creation_errno(self) -> Errno {
        match self.errno() {
            Errno::EEXIST => Errno::EIO,
            errno => errno,
        }
    }
}

impl From<Failure> for Errno {
    fn from(failure: Failure) -> Self {
        failure.errno()
    }
}

impl<E: Env> Deref for Kernel<E> {
    type Target = Core<E>;

    fn deref(&self) -> &Core<E> {
        &self.core
    }
}

impl<E: Env> Core<E> {
    /// The kernel for an operation that begins now.
    pub fn begin_operation(self: &Arc<Self>) -> Arc<Kernel<E>> {
        let parameters = Arc::clone(&self.state().parameters);
        Arc::new(Kernel { core: Arc::clone(self), parameters })
    }

    /// The state; not to be held across a wait.
    pub fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Env> Kernel<E> {
    /// A kernel with no source.
    pub fn new(env: E) -> Arc<Self> {
        let core = Arc::new(Core {
            env,
            turns: Turns::default(),
            state: Mutex::new(State::new()),
            tasks: Mutex::default(),
        });
        core.begin_operation()
    }

    /// The same kernel for another operation, which begins now.
    pub fn begin_operation(&self) -> Arc<Self> {
        self.core.begin_operation()
    }

    /// What all operations share, for whoever must not keep the kernel alive.
    pub fn downgrade(&self) -> Weak<Core<E>> {
        Arc::downgrade(&self.core)
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
    /// later goes to `effect`.
    pub async fn ask(
        &self,
        slot: SlotId,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        self.ask_unchecked(None, slot, request, effect).await
    }

    /// As [`Kernel::ask`] in a transaction, or in none, whatever has become of it.
    pub async fn ask_unchecked(
        &self,
        transaction: Option<TransactionId>,
        slot: SlotId,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        self.wait_for_resumption(slot).await;
        self.send_and_wait(transaction, slot, request, effect).await
    }

    /// As [`Kernel::ask`], for a question about `key`, whose answer may be rejected. It is asked in
    /// the key's transaction, if that goes on.
    pub async fn inquire(
        &self,
        key: KeyId,
        request: Request,
        descriptors: Descriptors,
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        self.wait_for_resumption(key.slot).await;
        let deadline = self.request_deadline();
        let name_length_max = self.parameters.component_length_max();
        let inquiry = Inquiry { hive_index: key.hive_index, descriptors, name_length_max };
        let connection = self.connection(key.slot);
        self.check_not_over(key.transaction)?;
        let within = self.id_at_source(key.transaction);
        let answer = connection.inquire(deadline, within, request, inquiry, effect).await;
        self.check_not_over(key.transaction)?;
        answered(answer)
    }

    /// A resumed source hears first what it has to hear before all else.
    pub async fn wait_for_resumption(&self, slot: SlotId) {
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
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        self.send_and_wait(None, slot, request, effect).await
    }

    async fn send_and_wait(
        &self,
        transaction: Option<TransactionId>,
        slot: SlotId,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Result<Response, Failure> {
        let connection = self.connection(slot);
        let deadline = self.request_deadline();
        let within = self.id_at_source(transaction);
        let answer = connection.request_with_effect(deadline, within, request, effect);
        answered(answer.await)
    }

    /// By when a request that is sent now has to be answered.
    pub fn request_deadline(&self) -> u64 {
        self.env.now().saturating_add(self.parameters.request_timeout_ns())
    }

    /// The newest connection of a slot.
    pub fn connection(&self, slot: SlotId) -> Connection<E> {
        self.state().slot(slot).connection.clone()
    }

    /// Runs a task that [`Kernel::settled`] waits for.
    pub fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let running = Running::new(&self.core);
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
}

/// What an answer means for whoever asked.
pub fn answered(answer: Result<Response, RequestError>) -> Result<Response, Failure> {
    match answer {
        Ok(Response::Failed(status)) => Err(Failure::Refused(status)),
        Ok(response) => Ok(response),
        Err(error) => Err(Failure::Unanswered(error)),
    }
}

/// One task counted as running, also when it is dropped before its end.
struct Running<E: Env>(Arc<Core<E>>);

impl<E: Env> Running<E> {
    fn new(core: &Arc<Core<E>>) -> Self {
        core.tasks().running += 1;
        Self(Arc::clone(core))
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
    pub kernel: Weak<Core<E>>,
    /// The slot that the connection is of.
    pub slot: SlotId,
    /// Which of the slot's connections it is.
    pub incarnation: u64,
}

impl<E: Env> Supervisor for KernelSupervisor<E> {
    fn next_sequence(&self) -> u64 {
        // A kernel that is gone has given out no number that a response could hold.
        self.kernel.upgrade().map_or(0, |kernel| {
            let state = kernel.state();
            state.sequence_gate.first_free(state.next_sequence)
        })
    }

    // A slot asks its connection whether it is Down.
    fn connection_down(&self, _reason: DownReason) {
        if let Some(core) = self.kernel.upgrade() {
            core.begin_operation().lose_transactions(self.slot, self.incarnation);
        }
    }

    fn response_malformed(&self, response: MalformedResponse) {
        let MalformedResponse { id, operation, key, hive_index, malformed } = response;
        // What has no class has no record (D-95).
        let Some(class) = malformed.validation_class() else { return };
        if let Some(core) = self.kernel.upgrade() {
            let kernel = core.begin_operation();
            let (slot, request) = (self.slot, Some(id));
            let operation = Some(operation);
            kernel.audit_rejection(Rejection { slot, hive_index, request, operation, key, class });
        }
    }
}
