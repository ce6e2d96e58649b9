//! Deaths of a source at a chosen request, and what its store keeps of them.
//!
//! Goes through `World` as a plan does, without the model: what has to be there afterwards is said
//! here by hand (PSD-005 §10.1; FAIL-01..FAIL-14, KEY-21).

use conformance::plan::{Fault, SourceHive};
use conformance::target::{Target, WorldEvent};
use conformance::typed;
use madsim::runtime::Runtime;
use registry_model::errno::Errno;
use registry_model::input::{Call, Fd, ProcessId};
use registry_model::observation::Observation;
use registry_model::security::Token;
use rsi::{Operation, decode_request};
use sim::{StoreKind, World};

const STORES: [StoreKind; 2] = [StoreKind::Sqlite, StoreKind::Memory];
const KEY_ALL_ACCESS: u32 = 0x000F_003F;
const REG_OPTION_VOLATILE: u32 = 1;
const REG_DWORD: u32 = 4;
const EIO: Observation = Observation::Failed(Errno::EIO);
const ENOENT: Observation = Observation::Failed(Errno::ENOENT);

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

    async fn create(&mut self, path: &str, flags: u32) -> Fd {
        let call = Call::CreateKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags,
            layer: None,
            transaction: -1,
        };
        match self.call(call).await {
            Observation::Opened { fd, .. } => fd,
            other => panic!("{path} was not created: {other:?}"),
        }
    }

    async fn open(&mut self, path: &str) -> Observation {
        let call = Call::OpenKey {
            parent: -1,
            path: path.into(),
            desired_access: KEY_ALL_ACCESS,
            flags: 0,
        };
        self.call(call).await
    }

    async fn set(&mut self, fd: Fd, name: &str, number: u32) -> Observation {
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

    /// The number and the sequence number of a value that is there.
    async fn number(&mut self, fd: Fd, name: &str) -> (u32, u64) {
        match self.get(fd, name).await {
            Observation::Value { data, sequence, .. } => {
                (u32::from_le_bytes(data.try_into().expect("four bytes")), sequence)
            }
            other => panic!("{name} is not there: {other:?}"),
        }
    }

    /// Arms a death at the RSI_SET_VALUE of the next `set`, which must be like one made before.
    async fn die_at_set_value(&mut self, fd: Fd, executed: bool) {
        self.world.take_frames();
        assert_eq!(self.set(fd, "Rehearsal", 0).await, Observation::Done);
        let request = self.requests().position(|operation| operation == Operation::SetValue);
        let request = request.expect("a set sends RSI_SET_VALUE") as u32 + 1;
        self.fault(Fault::KillSourceAt { source: 0, request, executed }).await;
    }

    /// The operations that the source has read since the last time of asking.
    fn requests(&mut self) -> impl Iterator<Item = Operation> {
        let frames = self.world.take_frames().into_iter().filter(|frame| frame.is_request);
        frames.map(|frame| decode_request(&frame.bytes).expect("a request").request.operation())
    }

    async fn fault(&mut self, fault: Fault) -> Vec<WorldEvent> {
        self.world.fault(&fault).await.expect("the world can do this")
    }

    /// Restarts the source and returns the highest sequence number that it has stored.
    async fn restart(&mut self) -> u64 {
        let events = self.fault(Fault::RestartSource { source: 0 }).await;
        match &events[..] {
            [WorldEvent::SourceStarted(started)] if started.refused.is_none() => {
                started.max_sequence
            }
            other => panic!("the source did not resume: {other:?}"),
        }
    }

    /// Says that the source died by itself since the last time of asking, and nothing else.
    fn saw_the_death(&mut self) -> bool {
        matches!(self.world.take_events()[..], [WorldEvent::SourceDown(_)])
    }
}

/// Does something on a machine with each store.
fn on_both_stores(test: impl AsyncFn(Machine) -> Machine) {
    for store in STORES {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async {
            let machine = test(Machine::start(store).await).await;
            machine.world.shut_down().await;
        });
    }
}

#[test]
fn a_set_that_was_carried_out_before_the_death_is_there_after_the_restart() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        assert_eq!(machine.set(fd, "x", 1).await, Observation::Done);
        machine.die_at_set_value(fd, true).await;
        assert_eq!(machine.set(fd, "x", 2).await, EIO);
        assert!(machine.saw_the_death());
        assert_eq!(machine.get(fd, "x").await, EIO);
        machine.restart().await;
        assert_eq!(machine.number(fd, "x").await.0, 2);
        machine
    });
}

#[test]
fn a_set_that_was_not_carried_out_before_the_death_never_happened() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        assert_eq!(machine.set(fd, "x", 1).await, Observation::Done);
        machine.die_at_set_value(fd, false).await;
        assert_eq!(machine.set(fd, "x", 2).await, EIO);
        assert!(machine.saw_the_death());
        machine.restart().await;
        assert_eq!(machine.number(fd, "x").await.0, 1);
        assert_eq!(machine.set(fd, "x", 3).await, Observation::Done);
        assert_eq!(machine.number(fd, "x").await.0, 3);
        machine
    });
}

#[test]
fn the_fatal_request_is_the_last_that_is_read_and_is_never_answered() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        machine.die_at_set_value(fd, true).await;
        assert_eq!(machine.set(fd, "x", 2).await, EIO);
        let frames = machine.world.take_frames();
        let last = frames.last().expect("frames crossed");
        assert!(last.is_request, "the last frame is a response");
        let request = decode_request(&last.bytes).expect("a request").request;
        assert_eq!(request.operation(), Operation::SetValue);
        machine
    });
}

#[test]
fn an_armed_death_that_was_not_reached_is_gone_with_the_process() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        machine.fault(Fault::KillSourceAt { source: 0, request: 1, executed: true }).await;
        machine.fault(Fault::KillSource { source: 0 }).await;
        machine.restart().await;
        assert_eq!(machine.set(fd, "x", 1).await, Observation::Done);
        assert_eq!(machine.world.take_events(), []);
        machine
    });
}

#[test]
fn volatile_keys_end_with_the_process_and_the_others_stay() {
    on_both_stores(async |mut machine| {
        let kept = machine.create("Machine\\Kept", 0).await;
        let volatile = machine.create("Machine\\Volatile", REG_OPTION_VOLATILE).await;
        assert_eq!(machine.set(kept, "x", 1).await, Observation::Done);
        assert_eq!(machine.set(volatile, "x", 2).await, Observation::Done);
        machine.fault(Fault::KillSource { source: 0 }).await;
        assert_eq!(machine.open("Machine\\Volatile").await, EIO);
        machine.restart().await;
        assert_eq!(machine.open("Machine\\Volatile").await, ENOENT);
        assert!(matches!(machine.open("Machine\\Kept").await, Observation::Opened { .. }));
        assert_eq!(machine.number(kept, "x").await.0, 1);
        machine
    });
}

#[test]
fn a_kill_loses_neither_values_nor_the_highest_sequence_number() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        for number in 0..20 {
            assert_eq!(machine.set(fd, &format!("x{number}"), number).await, Observation::Done);
        }
        let mut before = Vec::new();
        for number in 0..20 {
            before.push(machine.number(fd, &format!("x{number}")).await);
        }
        let highest = before.iter().map(|(_, sequence)| *sequence).max();
        machine.fault(Fault::KillSource { source: 0 }).await;
        assert_eq!(Some(machine.restart().await), highest);
        let mut after = Vec::new();
        for number in 0..20 {
            after.push(machine.number(fd, &format!("x{number}")).await);
        }
        assert_eq!(before, after);
        machine
    });
}

#[test]
fn sequence_numbers_rise_over_a_reboot() {
    on_both_stores(async |mut machine| {
        let fd = machine.create("Machine\\A", 0).await;
        assert_eq!(machine.set(fd, "x", 1).await, Observation::Done);
        let (_, before) = machine.number(fd, "x").await;
        machine.fault(Fault::Reboot).await;
        machine.process = machine.world.new_process();
        let Observation::Opened { fd, .. } = machine.open("Machine\\A").await else {
            panic!("the key is gone");
        };
        assert_eq!(machine.number(fd, "x").await, (1, before));
        assert_eq!(machine.set(fd, "x", 2).await, Observation::Done);
        assert!(machine.number(fd, "x").await.1 > before);
        machine
    });
}
