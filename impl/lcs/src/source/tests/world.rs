//! A clock moved by hand, tasks polled one round at a time, and a kernel that takes notes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use abi::Errno;
use futures::executor::{LocalPool, LocalSpawner};
use futures::future::{AbortHandle, Abortable};
use futures::task::LocalSpawnExt;
use rsi::{Guid, Operation, Request, RequestFrame, RequestId, Response, ResponseFrame};

use crate::env::{AuditUnavailable, Env, Task};
use crate::source::{
    AnyEffect, Connection, Descriptors, Device, DownReason, Inquiry, MalformedResponse,
    RequestError, Supervisor,
};

/// A request with a payload of eleven bytes.
pub fn flush() -> Request {
    Request::Flush { hive_name: b"Machine".to_vec() }
}

pub fn lookup() -> Request {
    Request::Lookup { parent: Guid([1; 16]), child_name: b"System".to_vec() }
}

/// Callers, a source's device, and what the kernel was told.
pub struct World {
    pub connection: Connection<Clock>,
    device: Option<Arc<Device<Clock>>>,
    clock: Clock,
    kernel: Arc<Kernel>,
    late: Arc<Mutex<Vec<Response>>>,
    pool: LocalPool,
    spawner: LocalSpawner,
}

/// A task's result, once it has one.
pub struct Pending<T> {
    result: Rc<RefCell<Option<T>>>,
    abort: AbortHandle,
}

impl World {
    pub const NEXT_SEQUENCE: u64 = 50;

    pub fn new(limit: usize) -> Self {
        let clock = Clock::default();
        let kernel = Arc::new(Kernel::default());
        let supervisor: Arc<dyn Supervisor> = kernel.clone();
        let connection = Connection::new(clock.clone(), limit, supervisor);
        let device = Device::new();
        device.attach(connection.clone()).expect("a new device");
        let pool = LocalPool::new();
        let spawner = pool.spawner();
        let late = Arc::default();
        Self { connection, device: Some(Arc::new(device)), clock, kernel, late, pool, spawner }
    }

    pub fn device(&self) -> Arc<Device<Clock>> {
        self.device.clone().expect("not dropped")
    }

    pub fn drop_device(&mut self) {
        self.device = None;
    }

    pub fn call(
        &mut self,
        deadline: u64,
        request: Request,
    ) -> Pending<Result<Response, RequestError>> {
        self.start_call(deadline, request, None)
    }

    /// A call of a reader that judges descriptors itself.
    pub fn call_leaving_descriptors(
        &mut self,
        deadline: u64,
        request: Request,
    ) -> Pending<Result<Response, RequestError>> {
        let connection = self.connection.clone();
        let descriptors = Descriptors::LeftToReader;
        let inquiry = Inquiry { hive_index: None, descriptors, name_length_max: 255 };
        self.start(send(
            async move { connection.inquire(deadline, None, request, inquiry, None).await },
        ))
    }

    /// A call whose late effect notes the response.
    pub fn call_with_effect(
        &mut self,
        deadline: u64,
        request: Request,
    ) -> Pending<Result<Response, RequestError>> {
        let late = Arc::clone(&self.late);
        let effect = move |response| late.lock().expect("not poisoned").push(response);
        self.start_call(deadline, request, Some(Box::new(effect)))
    }

    pub fn start_read(&mut self) -> Pending<Result<Vec<u8>, Errno>> {
        let device = self.device();
        self.start(async move { device.read().await })
    }

    /// The next request, which must be there.
    pub fn read(&mut self) -> RequestFrame {
        self.run();
        let frame = self.device().try_read().expect("a request");
        rsi::decode_request(&frame).expect("well-formed")
    }

    pub fn frame(id: RequestId, operation: Operation, response: Response) -> Vec<u8> {
        rsi::encode_response(&ResponseFrame { id, operation, response })
    }

    /// Writes a response without letting its caller run.
    pub fn answer(
        &self,
        id: RequestId,
        operation: Operation,
        response: Response,
    ) -> Result<(), Errno> {
        self.device().write(&Self::frame(id, operation, response))
    }

    pub fn run(&mut self) {
        self.pool.run_until_stalled();
    }

    pub fn outcome<T: Clone>(&mut self, pending: &Pending<T>) -> Option<T> {
        self.run();
        pending.result.borrow().clone()
    }

    /// Drops a task where it stands.
    pub fn abandon<T>(&mut self, pending: Pending<T>) {
        pending.abort.abort();
        self.run();
    }

    /// Moves the clock and lets everybody notice.
    pub fn advance_to(&mut self, now: u64) {
        self.set_clock(now);
        self.run();
    }

    /// Moves the clock; timers fire when tasks run next.
    pub fn set_clock(&mut self, now: u64) {
        self.run();
        self.clock.set(now);
    }

    pub fn late_responses(&self) -> Vec<Response> {
        self.late.lock().expect("not poisoned").clone()
    }

    pub fn downs(&self) -> Vec<DownReason> {
        self.kernel.downs.lock().expect("not poisoned").clone()
    }

    pub fn reports(&self) -> Vec<MalformedResponse> {
        self.kernel.reports.lock().expect("not poisoned").clone()
    }

    fn start_call(
        &mut self,
        deadline: u64,
        request: Request,
        effect: Option<AnyEffect>,
    ) -> Pending<Result<Response, RequestError>> {
        let connection = self.connection.clone();
        let call =
            async move { connection.request_with_effect(deadline, None, request, effect).await };
        self.start(send(call))
    }

    fn start<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> Pending<T> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        let (abort, registration) = AbortHandle::new_pair();
        let task = async move {
            // An aborted task has no result.
            *slot.borrow_mut() = Abortable::new(future, registration).await.ok();
        };
        self.spawner.spawn_local(task).expect("the pool lives");
        self.run();
        Pending { result, abort }
    }
}

/// Callers run on any thread.
fn send<F: Future + Send>(future: F) -> F {
    future
}

#[derive(Default)]
struct Kernel {
    downs: Mutex<Vec<DownReason>>,
    reports: Mutex<Vec<MalformedResponse>>,
}

impl Supervisor for Kernel {
    fn next_sequence(&self) -> u64 {
        World::NEXT_SEQUENCE
    }

    fn connection_down(&self, reason: DownReason) {
        self.downs.lock().expect("not poisoned").push(reason);
    }

    fn response_malformed(&self, response: MalformedResponse) {
        self.reports.lock().expect("not poisoned").push(response);
    }
}

/// Time in nanoseconds, with those who wait for it.
#[derive(Clone, Default)]
pub struct Clock(Arc<Mutex<ClockState>>);

#[derive(Default)]
struct ClockState {
    now: u64,
    sleepers: BTreeMap<u64, Vec<Waker>>,
}

impl Clock {
    fn set(&self, now: u64) {
        let mut state = self.0.lock().expect("not poisoned");
        state.now = now;
        let later = state.sleepers.split_off(&(now + 1));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        due.into_values().flatten().for_each(Waker::wake);
    }
}

impl Env for Clock {
    fn now(&self) -> u64 {
        self.0.lock().expect("not poisoned").now
    }

    fn sleep_until(&self, deadline: u64) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.clone();
        poll_fn(move |context| {
            let mut state = clock.0.lock().expect("not poisoned");
            if state.now >= deadline {
                return Poll::Ready(());
            }
            state.sleepers.entry(deadline).or_default().push(context.waker().clone());
            Poll::Pending
        })
    }

    fn spawn(&self, task: Task) {
        // A connection spawns nothing; a task that came here would be run on the spot.
        futures::executor::block_on(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn emit_audit(&self, _event: &str, _payload: &[u8]) -> Result<(), AuditUnavailable> {
        Ok(())
    }

    fn yield_point(&self, _label: &'static str) -> impl Future<Output = ()> + Send {
        let ready: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async {});
        ready
    }
}
