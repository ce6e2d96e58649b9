//! Stalls of a source: what it keeps, and what becomes of it.
//!
//! Goes through `World` as a plan does, without the model (PSD-005 §7.1, §10.1).

use std::time::Duration;

use conformance::plan::{Fault, SourceHive};
use conformance::target::{Target, WorldEvent};
use conformance::typed;
use madsim::runtime::Runtime;
use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId, SourceId};
use registry_model::observation::Observation;
use registry_model::security::Token;
use rsi::{Operation, decode_request};
use sim::{StoreKind, World};

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Memory];
const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const REG_DWORD: u32 = 4;
/// RequestTimeoutMs where nothing else is configured.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const ETIMEDOUT: Observation = Observation::Failed(Errno::ETIMEDOUT);
const ENOENT: Observation = Observation::Failed(Errno::ENOENT);
const STALLED: WorldEvent = WorldEvent::SourceStalled(SourceId(0));
const RELEASED: WorldEvent = WorldEvent::SourceReleased(SourceId(0));

/// A world with one source and one process that calls as SYSTEM.
struct Machine {
    world: World,
    process: ProcessId,
    token: Token,
}

impl Machine {
    async fn start(store: StoreKind) -> Machine {
        let mut world = World::new(1, store);
        world.start(&[vec![SourceHive::global("Machine")]]).await.expect("the world starts");
        let process = world.new_process();
        Machine { world, process, token: Token::system() }
    }

    async fn call(&mut self, call: Call) -> Observation {
        let encoded = typed::encode(&call);
        let memory = encoded.memory.clone();
        let answer = self.world.call(self.process, &self.token, encoded.call.clone(), memory).await;
        encoded.decode(answer.0, &answer.1).expect("an answer in good form")
    }

    async fn create(&mut self, path: &str) -> Fd {
        let call = Call::CreateKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags: 0,
            layer: None,
            transaction: -1,
        };
        match self.call(call).await {
            Observation::Opened { fd, .. } => fd,
            other => panic!("{path} was not created: {other:?}"),
        }
    }

    async fn set(&mut self, fd: Fd, name: &str) -> Observation {
        let call = Call::SetValue {
            fd,
            name: name.into(),
            value_type: REG_DWORD,
            data: vec![7, 0, 0, 0],
            layer: Vec::new(),
            transaction: -1,
            expected_sequence: 0,
        };
        self.call(call).await
    }

    async fn get(&mut self, fd: Fd, name: &str) -> Observation {
        let call = Call::QueryValue {
            fd,
            name: name.into(),
            transaction: -1,
            data_capacity: 64,
            layer_capacity: 64,
        };
        self.call(call).await
    }

    /// Lets the source stall at the RSI_SET_VALUE of a `set` of this name, which must be like one made
    /// before, and makes that `set`.
    async fn stall_at_set_value(&mut self, fd: Fd, name: &str, executed: bool) {
        self.world.take_frames();
        assert_eq!(self.set(fd, "Rehearsal").await, Observation::Done);
        let mut requests = self.requests();
        let request = requests.position(|operation| operation == Operation::SetValue);
        let request = request.expect("a set sends RSI_SET_VALUE") as u32 + 1;
        drop(requests);
        let fault = Fault::StallSourceAt { source: 0, request, executed };
        assert_eq!(self.fault(fault).await, []);
        assert_eq!(self.set(fd, name).await, ETIMEDOUT);
        assert_eq!(self.world.take_events(), [STALLED]);
    }

    /// The operations that the source has read since the last time of asking.
    fn requests(&mut self) -> impl Iterator<Item = Operation> {
        let frames = self.world.take_frames().into_iter().filter(|frame| frame.is_request);
        frames.map(|frame| decode_request(&frame.bytes).expect("a request").request.operation())
    }

    async fn fault(&mut self, fault: Fault) -> Vec<WorldEvent> {
        self.world.fault(&fault).await.expect("the fault happens")
    }

    async fn stall(&mut self) -> Vec<WorldEvent> {
        self.fault(Fault::StallSource { source: 0 }).await
    }

    async fn release(&mut self) -> Vec<WorldEvent> {
        self.fault(Fault::ReleaseSource { source: 0 }).await
    }

    async fn kill_and_restart(&mut self) {
        assert_eq!(
            self.fault(Fault::KillSource { source: 0 }).await,
            [WorldEvent::SourceDown(SourceId(0))]
        );
        self.fault(Fault::RestartSource { source: 0 }).await;
    }
}

fn simulate(test: impl AsyncFn(Machine) -> Machine) {
    for store in STORES {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async {
            let machine = test(Machine::start(store).await).await;
            machine.world.shut_down().await;
        });
    }
}

#[test]
fn a_stalled_source_answers_nothing_until_it_is_released() {
    simulate(async |mut machine| {
        let fd = machine.create("Machine\\A").await;
        assert_eq!(machine.stall().await, [STALLED]);
        let began = machine.world.now();
        assert_eq!(machine.get(fd, "x").await, ETIMEDOUT);
        let elapsed = Duration::from_nanos(machine.world.now() - began);
        assert!(elapsed >= REQUEST_TIMEOUT, "after {elapsed:?}");
        assert_eq!(machine.release().await, [RELEASED]);
        assert_eq!(machine.get(fd, "x").await, ENOENT);
        machine
    });
}

#[test]
fn a_stalled_source_reads_what_comes() {
    simulate(async |mut machine| {
        let fd = machine.create("Machine\\A").await;
        machine.stall().await;
        machine.world.take_frames();
        machine.get(fd, "x").await;
        assert!(machine.requests().count() > 0);
        machine
    });
}

#[test]
fn what_was_kept_is_carried_out_at_the_release() {
    for executed in [false, true] {
        simulate(async |mut machine| {
            let fd = machine.create("Machine\\A").await;
            machine.stall_at_set_value(fd, "x", executed).await;
            assert_eq!(machine.world.raw_entries(), Ok(None), "nobody looks into a stalled source");
            assert_eq!(machine.release().await, [RELEASED]);
            let value = machine.get(fd, "x").await;
            assert!(matches!(value, Observation::Value { .. }), "{value:?}");
            machine
        });
    }
}

#[test]
fn a_death_forgets_what_was_kept_but_not_what_was_carried_out() {
    for executed in [false, true] {
        simulate(async |mut machine| {
            let fd = machine.create("Machine\\A").await;
            machine.stall_at_set_value(fd, "x", executed).await;
            machine.kill_and_restart().await;
            let value = machine.get(fd, "x").await;
            assert_eq!(matches!(value, Observation::Value { .. }), executed, "{value:?}");
            machine
        });
    }
}

#[test]
fn a_death_ends_a_stall() {
    simulate(async |mut machine| {
        let fd = machine.create("Machine\\A").await;
        machine.stall().await;
        machine.kill_and_restart().await;
        assert_eq!(machine.release().await, [], "it is not stalled any more");
        assert_eq!(machine.set(fd, "x").await, Observation::Done);
        machine
    });
}

#[test]
fn a_release_takes_back_a_stall_that_has_not_begun() {
    simulate(async |mut machine| {
        let fd = machine.create("Machine\\A").await;
        machine.fault(Fault::StallSourceAt { source: 0, request: 1, executed: false }).await;
        assert_eq!(machine.release().await, []);
        assert_eq!(machine.set(fd, "x").await, Observation::Done);
        machine
    });
}

#[test]
fn a_dead_source_does_not_stall() {
    simulate(async |mut machine| {
        machine.fault(Fault::KillSource { source: 0 }).await;
        assert_eq!(machine.stall().await, []);
        machine
    });
}

#[test]
fn a_stalled_source_dies_at_an_armed_request_and_carries_nothing_out() {
    simulate(async |mut machine| {
        let fd = machine.create("Machine\\A").await;
        machine.stall().await;
        machine.fault(Fault::KillSourceAt { source: 0, request: 1, executed: true }).await;
        assert_eq!(machine.get(fd, "x").await, Observation::Failed(Errno::EIO));
        assert_eq!(machine.world.take_events(), [WorldEvent::SourceDown(SourceId(0))]);
        machine
    });
}
