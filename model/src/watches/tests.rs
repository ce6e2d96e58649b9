//! A small registry to watch: two sources, calls by path and fd, and events in words.

mod arming;
mod deaths;
mod direct;
mod layers;
mod subtrees;
mod unanswered;

use crate::errno::Errno;
use crate::input::{
    Call, Caller, Contents, DeviceCall, Environment, Fd, Input, ProcessId, Registration, SourceId,
};
use crate::limits::Limits;
use crate::observation::Observation;
use crate::outcome::Outcome;
use crate::security::{Token, rights};
use crate::state::State;
use crate::step::Step;
use crate::values::{REG_DWORD, REG_TOMBSTONE};
use crate::watches::{REG_NOTIFY_ALL, describe};

const ALICE: ProcessId = ProcessId(1);
const BOB: ProcessId = ProcessId(2);
const ROOMY: u32 = 100_000;

/// The registry with `Machine` behind source 1 and `Users` behind source 2.
struct World {
    state: State,
    next_fd: Fd,
    time: u64,
}

impl World {
    fn new() -> World {
        let mut world = World { state: State::new(), next_fd: 3, time: 1 };
        world.register(1);
        world.register(2);
        for path in ["System", "System\\Registry", "System\\Registry\\Layers"] {
            world.create(&format!("Machine\\{path}"));
        }
        world
    }

    fn with_limits(change: impl FnOnce(&mut Limits)) -> World {
        let mut world = World::new();
        change(&mut world.state.limits);
        world
    }

    fn register(&mut self, source: u32) {
        let name = if source == 1 { "Machine" } else { "Users" };
        let id = SourceId(source);
        let max_sequence = self.state.stored_maximum(id, [name]);
        let hive = [(name, [source as u8; 16])];
        let registration = Some(Registration::of_global_hives(hive, max_sequence));
        self.device(id, DeviceCall::Open);
        self.device(id, DeviceCall::Register { registration, contents: Contents::Kept });
    }

    fn device(&mut self, source: SourceId, call: DeviceCall) {
        self.time += 1;
        let at = self.time;
        let input = Input::Device { source, token: Token::system(), call, at };
        let step = self.state.step(&input).remove(0);
        assert!(matches!(step.outcome, Outcome::Done), "{}", step.outcome);
        self.state = step.next().clone();
    }

    fn die(&mut self, source: u32) {
        let input = Input::Environment(Environment::SourceDown { source: SourceId(source) });
        self.state = self.state.step(&input).remove(0).next().clone();
    }

    /// All steps of a call.
    fn steps(&mut self, process: ProcessId, call: Call, interrupted: bool) -> Vec<Step> {
        self.time += 1;
        let caller = Caller { process, token: Token::system() };
        let (began, ended) = (self.time, self.time);
        self.state.step(&Input::Call { caller, call, began, ended, interrupted })
    }

    /// A call with one answer.
    fn call_as(&mut self, process: ProcessId, call: Call) -> Observation {
        let steps = self.steps(process, call, false);
        let [step] = &steps[..] else { panic!("{} steps", steps.len()) };
        let answer = step.outcome.example(self.next_fd).unwrap();
        let is_new = |answer: &Observation| {
            matches!(answer, Observation::Opened { .. } | Observation::Begun { .. })
        };
        if is_new(&answer) || matches!(answer, Observation::Passed { .. }) {
            self.next_fd += 1;
        }
        self.state = step.accept(&answer).unwrap();
        answer
    }

    fn call(&mut self, call: Call) -> Observation {
        self.call_as(ALICE, call)
    }

    fn done(&mut self, call: Call) {
        let text = format!("{call:?}");
        assert_eq!(self.call(call), Observation::Done, "{text}");
    }

    fn opened(&mut self, call: Call) -> Fd {
        let text = format!("{call:?}");
        match self.call(call) {
            Observation::Opened { fd, .. } => fd,
            other => panic!("{text}: {other}"),
        }
    }

    fn open(&mut self, path: &str) -> Fd {
        self.open_below(-1, path)
    }

    fn open_below(&mut self, parent: Fd, path: &str) -> Fd {
        let (path, desired_access) = (path.into(), rights::KEY_ALL_ACCESS);
        self.opened(Call::OpenKey { parent, path, desired_access, flags: 0 })
    }

    fn begin(&mut self) -> Fd {
        match self.call(Call::BeginTransaction) {
            Observation::Begun { fd } => fd,
            other => panic!("{other}"),
        }
    }

    fn create(&mut self, path: &str) -> Fd {
        self.create_in(path, "base")
    }

    fn create_in(&mut self, path: &str, layer: &str) -> Fd {
        self.opened(create(path, layer))
    }

    fn set(&mut self, fd: Fd, name: &str, number: u32) {
        self.done(set(fd, name, number, ""));
    }

    fn set_in(&mut self, fd: Fd, name: &str, number: u32, layer: &str) {
        self.done(set(fd, name, number, layer));
    }

    fn delete_value(&mut self, fd: Fd, name: &str, layer: &str) {
        let (name, layer) = (name.into(), layer.into());
        self.done(Call::DeleteValue { fd, name, layer, transaction: -1 });
    }

    fn tombstone(&mut self, fd: Fd, name: &str, layer: &str) {
        self.done(Call::SetValue {
            fd,
            name: name.into(),
            value_type: REG_TOMBSTONE,
            data: Vec::new(),
            layer: layer.into(),
            transaction: -1,
            expected_sequence: 0,
        });
    }

    fn blanket(&mut self, fd: Fd, layer: &str, set: u8) {
        self.done(Call::BlanketTombstone { fd, layer: layer.into(), set, transaction: -1 });
    }

    fn delete_key(&mut self, fd: Fd, layer: &str) {
        self.done(Call::DeleteKey { fd, layer: layer.into(), transaction: -1 });
    }

    fn hide_key(&mut self, fd: Fd, layer: &str) {
        self.done(Call::HideKey { fd, layer: layer.into(), transaction: -1 });
    }

    fn set_owner(&mut self, fd: Fd, owner: &crate::security::Sid) {
        let descriptor = crate::security::SecurityDescriptor {
            owner: Some(owner.clone()),
            ..(*self.descriptor(fd)).clone()
        };
        self.done(Call::SetSecurity {
            fd,
            security_info: crate::security::OWNER_SECURITY_INFORMATION,
            descriptor: descriptor.to_bytes().unwrap(),
            transaction: -1,
        });
    }

    fn descriptor(&self, fd: Fd) -> std::sync::Arc<crate::security::SecurityDescriptor> {
        let open = self.state.open_keys.get(&(ALICE, fd)).unwrap();
        let record = self.state.database(open.hive()).keys.get(&open.key()).unwrap();
        record.descriptor.clone().unwrap()
    }

    fn close(&mut self, fd: Fd) {
        self.done(Call::Close { fd });
    }

    fn pass(&mut self, fd: Fd, to: ProcessId) -> Fd {
        match self.call(Call::Pass { fd, to }) {
            Observation::Passed { fd } => fd,
            other => panic!("{other}"),
        }
    }

    fn watch(&mut self, fd: Fd) {
        self.notify(fd, REG_NOTIFY_ALL, 0);
    }

    fn watch_subtree(&mut self, fd: Fd) {
        self.notify(fd, REG_NOTIFY_ALL, 1);
    }

    fn notify(&mut self, fd: Fd, filter: u32, subtree: u8) {
        self.done(Call::Notify { fd, filter, subtree });
    }

    /// Everything that is queued, and nothing is left.
    fn events(&mut self, fd: Fd) -> String {
        self.events_as(ALICE, fd)
    }

    fn events_as(&mut self, process: ProcessId, fd: Fd) -> String {
        match self.call_as(process, Call::ReadEvents { fd, capacity: ROOMY }) {
            Observation::Events(bytes) => describe(&bytes),
            Observation::Failed(Errno::EAGAIN) => "nothing".to_owned(),
            other => other.to_string(),
        }
    }

    /// A layer with this precedence.
    fn layer(&mut self, name: &str, precedence: u32) -> Fd {
        let fd = self.create(&format!("Machine\\System\\Registry\\Layers\\{name}"));
        self.set(fd, "Precedence", precedence);
        fd
    }

    /// A watch on the key at a path, which is there from now on.
    fn watched(&mut self, path: &str) -> Fd {
        let fd = self.create(path);
        self.watch(fd);
        fd
    }
}

fn create(path: &str, layer: &str) -> Call {
    Call::CreateKey {
        parent: -1,
        path: path.into(),
        desired_access: rights::KEY_ALL_ACCESS,
        flags: 0,
        layer: Some(layer.into()),
        transaction: -1,
    }
}

fn set(fd: Fd, name: &str, number: u32, layer: &str) -> Call {
    set_within(fd, name, number, layer, -1)
}

fn set_within(fd: Fd, name: &str, number: u32, layer: &str, transaction: Fd) -> Call {
    Call::SetValue {
        fd,
        name: name.into(),
        value_type: REG_DWORD,
        data: number.to_le_bytes().to_vec(),
        layer: layer.into(),
        transaction,
        expected_sequence: 0,
    }
}
