//! Many calls share one connection: a response that a source withholds keeps only its own call
//! waiting (PSD-005 §7.1, §10.1).
//!
//! The kernel half runs under the simulator as in a world, but the source is one of this file: it
//! keeps back the answers to RSI_SET_VALUE of one value until the test hands them in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conformance::target::RawCall;
use conformance::typed;
use lcs::security::Token;
use lcs::{Caller, Device, HiveRegistration, Lcs, Process, Registration};
use madsim::runtime::{Handle, Runtime};
use madsim::task::{self, JoinHandle};
use madsim::time;
use registry_model::errno::Errno;
use registry_model::input::{Call, Fd};
use registry_model::observation::Observation;
use rsi::{Guid, Request, decode_request, encode_response};
use sim::{CallMemory, Clock, Randomness, SimEnv};
use stores::{MemoryConfig, MemoryDisk, MemoryStore, Store};

const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const REG_DWORD: u32 = 4;
/// The value whose responses the source keeps back.
const WITHHELD: &str = "Withheld";
/// How long a call waits for its source (RequestTimeoutMs).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A kernel half with one source.
struct Machine {
    lcs: Lcs<SimEnv>,
    device: Arc<Device<SimEnv>>,
    /// Responses that the source has ready and does not give.
    withheld: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Machine {
    /// The kernel has read its parameters and layers when this returns: until then a change waits for the
    /// others, since it may be one of them.
    async fn start() -> Machine {
        let clock = Clock::start();
        let randomness = Randomness::of_seed(1);
        let stream = randomness.clone();
        let store = MemoryStore::open(MemoryConfig {
            hives: vec!["Machine".to_owned()],
            disk: MemoryDisk::new(),
            random: Box::new(move |bytes| stream.fill(bytes)),
            now: clock.now(),
        });
        let kernel = Handle::current().create_node().name("kernel").build();
        let lcs = Lcs::new(SimEnv::new(clock.clone(), randomness, kernel));
        let device = lcs.open_device(&Arc::new(Token::system())).expect("SYSTEM may");
        let hives = store.hives().iter().map(|hive| HiveRegistration {
            name: hive.name.clone().into_bytes(),
            root: hive.root,
            flags: 0,
            scope: Guid::NULL,
        });
        let registration =
            Registration { hives: hives.collect(), max_sequence: store.max_sequence() };
        device.register(&registration).expect("a good registration");
        let device = Arc::new(device);
        let withheld = Arc::default();
        let node = Handle::current().create_node().name("source").build();
        drop(node.spawn(serve(Arc::clone(&device), store, clock, Arc::clone(&withheld))));
        lcs.settled().await;
        Machine { lcs, device, withheld }
    }

    fn client(&self) -> Client {
        let process = Arc::new(self.lcs.new_process());
        Client { lcs: self.lcs.clone(), process, token: Arc::new(Token::system()) }
    }

    /// Waits until the source has this many responses that it keeps back.
    async fn withheld(&self, count: usize) {
        for _ in 0..1_000 {
            if lock(&self.withheld).len() == count {
                return;
            }
            time::sleep(Duration::from_micros(10)).await;
        }
        panic!("{} responses are withheld, not {count}", lock(&self.withheld).len());
    }

    /// Hands the withheld responses in.
    fn release(&self) {
        for response in lock(&self.withheld).drain(..) {
            self.device.write(&response).expect("the kernel takes the response");
        }
    }
}

/// Answers every request, but for what is to be withheld.
async fn serve(
    device: Arc<Device<SimEnv>>,
    mut store: MemoryStore,
    clock: Clock,
    withheld: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    while let Ok(bytes) = device.read().await {
        let frame = decode_request(&bytes).expect("the kernel sends good requests");
        let is_withheld = matches!(
            &frame.request,
            Request::SetValue { value_name, .. } if value_name == WITHHELD.as_bytes()
        );
        store.submit(frame, clock.now());
        while let Some(response) = store.poll(clock.now()) {
            let bytes = encode_response(&response);
            if is_withheld {
                lock(&withheld).push(bytes);
            } else {
                device.write(&bytes).expect("the kernel takes the response");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process with one thread, as SYSTEM.
#[derive(Clone)]
struct Client {
    lcs: Lcs<SimEnv>,
    process: Arc<Process<SimEnv>>,
    token: Arc<Token>,
}

impl Client {
    async fn call(&self, call: Call) -> Observation {
        let encoded = typed::encode(&call);
        let memory = CallMemory::new(encoded.memory.clone());
        let caller = Caller { process: &self.process, token: &self.token };
        let result = match encoded.call {
            RawCall::Syscall { number, arguments } => {
                self.lcs.syscall(caller, number, arguments, &memory).await
            }
            RawCall::Ioctl { fd, request, argument } => {
                self.lcs.ioctl(caller, fd, request, argument, &memory).await
            }
            RawCall::Read { .. }
            | RawCall::Poll { .. }
            | RawCall::Pass { .. }
            | RawCall::OpenStream { .. }
            | RawCall::TakeStream { .. } => {
                unreachable!("no test here reads events, polls or passes an fd, or has streams")
            }
            RawCall::Close { fd } => self.lcs.close(caller, fd).await,
        };
        encoded.decode(result, &memory.into_inner()).expect("an answer in good form")
    }

    async fn create(&self, path: &str) -> Fd {
        let call = Call::CreateKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags: 0,
            layer: None,
            transaction: -1,
        };
        opened(self.call(call).await)
    }

    async fn open(&self, path: &str) -> Fd {
        let call = Call::OpenKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags: 0,
        };
        opened(self.call(call).await)
    }

    async fn set(&self, fd: Fd, name: &str, number: u32) -> Observation {
        let call = Call::SetValue {
            fd,
            name: name.into(),
            value_type: REG_DWORD,
            data: number.to_le_bytes().to_vec(),
            layer: Vec::new(),
            transaction: -1,
            expected_sequence: 0,
        };
        self.call(call).await
    }

    async fn get(&self, fd: Fd, name: &str) -> u32 {
        let call = Call::QueryValue {
            fd,
            name: name.into(),
            transaction: -1,
            data_capacity: 64,
            layer_capacity: 64,
        };
        match self.call(call).await {
            Observation::Value { data, .. } => {
                u32::from_le_bytes(data.try_into().expect("four bytes"))
            }
            other => panic!("{name} has no value: {other:?}"),
        }
    }

    /// Sets the withheld value in a task of its own.
    fn set_withheld(&self, fd: Fd, number: u32) -> JoinHandle<Observation> {
        let client = self.clone();
        task::spawn(async move { client.set(fd, WITHHELD, number).await })
    }
}

fn opened(answer: Observation) -> Fd {
    match answer {
        Observation::Opened { fd, .. } => fd,
        other => panic!("the key does not open: {other:?}"),
    }
}

fn simulate(test: impl Future<Output = ()>) {
    Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(test);
}

/// Opens, reads and writes as a process does that knows nothing of the call that waits.
async fn use_another_key(client: &Client) {
    let fd = client.create("Machine\\Other").await;
    assert_eq!(client.set(fd, "x", 7).await, Observation::Done);
    let again = client.open("Machine\\other").await;
    assert_eq!(client.get(again, "X").await, 7);
}

#[test]
fn a_withheld_response_keeps_only_its_own_call_waiting() {
    simulate(async {
        let machine = Machine::start().await;
        let (first, second) = (machine.client(), machine.client());
        let fd = first.create("Machine\\Held").await;
        let call = first.set_withheld(fd, 1);
        machine.withheld(1).await;
        let began = time::Instant::now();
        use_another_key(&second).await;
        assert!(began.elapsed() < Duration::from_secs(1), "the second process waited");
        assert!(!call.is_finished());
        machine.release();
        assert_eq!(call.await.expect("the call ends"), Observation::Done);
        assert_eq!(second.get(second.open("Machine\\Held").await, WITHHELD).await, 1);
    });
}

#[test]
fn the_process_that_waits_may_call_from_another_thread() {
    simulate(async {
        let machine = Machine::start().await;
        let client = machine.client();
        let fd = client.create("Machine\\Held").await;
        let call = client.set_withheld(fd, 1);
        machine.withheld(1).await;
        use_another_key(&client).await;
        assert!(!call.is_finished());
        machine.release();
        assert_eq!(call.await.expect("the call ends"), Observation::Done);
    });
}

#[test]
fn many_calls_may_wait_and_are_answered_in_any_order() {
    simulate(async {
        let machine = Machine::start().await;
        let client = machine.client();
        let mut calls = Vec::new();
        for number in 0..10 {
            let fd = client.create(&format!("Machine\\Held{number}")).await;
            calls.push((fd, number, client.set_withheld(fd, number)));
        }
        machine.withheld(10).await;
        use_another_key(&machine.client()).await;
        lock(&machine.withheld).reverse();
        machine.release();
        for (fd, number, call) in calls {
            assert_eq!(call.await.expect("the call ends"), Observation::Done);
            assert_eq!(client.get(fd, WITHHELD).await, number);
        }
    });
}

#[test]
fn a_response_that_never_comes_ends_its_call_after_thirty_seconds() {
    simulate(async {
        let machine = Machine::start().await;
        let (first, second) = (machine.client(), machine.client());
        let fd = first.create("Machine\\Held").await;
        let began = time::Instant::now();
        let call = first.set_withheld(fd, 1);
        let timed_out = Observation::Failed(Errno::ETIMEDOUT);
        assert_eq!(call.await.expect("the call ends"), timed_out);
        let elapsed = began.elapsed();
        assert!(elapsed >= REQUEST_TIMEOUT, "after {elapsed:?}");
        assert!(elapsed < REQUEST_TIMEOUT + Duration::from_secs(1), "after {elapsed:?}");
        // The source stays, and so does its connection.
        use_another_key(&second).await;
        assert_eq!(first.set(fd, "x", 2).await, Observation::Done);
    });
}

#[test]
fn a_response_after_the_timeout_is_taken_and_the_source_stays() {
    simulate(async {
        let machine = Machine::start().await;
        let client = machine.client();
        let fd = client.create("Machine\\Held").await;
        let call = client.set_withheld(fd, 1);
        let timed_out = Observation::Failed(Errno::ETIMEDOUT);
        assert_eq!(call.await.expect("the call ends"), timed_out);
        machine.release();
        machine.lcs.settled().await;
        // It was carried out after all, and nobody may be told otherwise.
        assert_eq!(client.get(fd, WITHHELD).await, 1);
        use_another_key(&client).await;
    });
}
