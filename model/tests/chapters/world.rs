//! A registry that answers as the model expects, driven by lines of text.
//!
//! A line is a verb and its words; `transcript` runs lines and writes what each was answered. A
//! key is given by path, or as `$name` after `open name PATH` or `create name PATH`.

use std::collections::BTreeMap;

use expect_test::Expect;
use registry_model::errno::Errno;
use registry_model::input::{
    Contents, Fd, ProcessId, Registration, SourceId, StreamAccess, WireGuid,
};
use registry_model::security::{Token, rights};
use registry_model::{Call, Caller, DeviceCall, Environment, Input, Observation, State, Step};

pub const SOURCE: SourceId = SourceId(0);
pub const OTHER_SOURCE: SourceId = SourceId(1);

#[derive(Clone)]
pub struct World {
    pub state: State,
    pub caller: Caller,
    handles: BTreeMap<String, Fd>,
    next_fd: Fd,
    pub now: u64,
    /// The transaction fd that calls name, -1 for none.
    transaction: Fd,
    /// The streams of backups, by name.
    pub streams: BTreeMap<String, Vec<u8>>,
}

/// Runs lines in a registry with the hives Machine and Users and compares what was answered.
pub fn check(lines: &str, expected: Expect) {
    expected.assert_eq(&World::with_layers().transcript(lines));
}

impl World {
    /// Two hives of one source, nothing in them.
    pub fn booted() -> World {
        let caller = Caller { process: ProcessId(1), token: Token::system() };
        let mut world = World {
            state: State::new(),
            caller,
            handles: BTreeMap::new(),
            next_fd: 3,
            now: 1_000,
            transaction: -1,
            streams: BTreeMap::new(),
        };
        world.register(SOURCE, &["Machine", "Users"]);
        world
    }

    /// The same, and the Layers key.
    pub fn with_layers() -> World {
        let mut world = World::booted();
        world.transcript(
            "create Machine\\System\ncreate Machine\\System\\Registry\n\
             create Machine\\System\\Registry\\Layers",
        );
        world
    }

    /// The same, in this state and so much later.
    pub fn in_state(&self, state: &State, later: u64) -> World {
        World { state: state.clone(), now: self.now + later, ..self.clone() }
    }

    pub fn handle(&self, name: &str) -> Fd {
        self.handles[name]
    }

    pub fn register(&mut self, source: SourceId, hives: &[&str]) {
        let max_sequence = self.state.stored_maximum(source, hives.iter().copied());
        let hives = hives.iter().map(|&hive| (hive, root_of(hive)));
        let registration = Some(Registration::of_global_hives(hives, max_sequence));
        self.device(source, DeviceCall::Open);
        let contents = Contents::Kept;
        let answer = self.device(source, DeviceCall::Register { registration, contents });
        assert_eq!(answer, Observation::Done);
    }

    /// Everything that may happen on the registration of these hives through an open device.
    pub fn registrations(&self, source: SourceId, hives: &[&str]) -> Vec<Step> {
        let max_sequence = self.state.stored_maximum(source, hives.iter().copied());
        let hives = hives.iter().map(|&hive| (hive, root_of(hive)));
        let registration = Some(Registration::of_global_hives(hives, max_sequence));
        let call = DeviceCall::Register { registration, contents: Contents::Kept };
        let token = self.caller.token.clone();
        self.state.step(&Input::Device { source, token, call, at: self.now })
    }

    /// Makes a call on a source device and answers it as expected.
    pub fn device(&mut self, source: SourceId, call: DeviceCall) -> Observation {
        let token = self.caller.token.clone();
        let input = Input::Device { source, token, call, at: self.now };
        let step = self.state.step(&input).swap_remove(0);
        let answer = step.outcome.example(0).expect("a call has an answer");
        self.state = step.accept(&answer).expect("an example conforms");
        answer
    }

    /// A source with these hives comes back.
    pub fn resume(&mut self, source: SourceId, hives: &[&str]) {
        self.register(source, hives);
    }

    pub fn environment(&mut self, environment: Environment) {
        let steps = self.state.step(&Input::Environment(environment));
        assert_eq!(steps.len(), 1);
        self.state = steps[0].next().clone();
    }

    pub fn steps(&self, call: &Call, interrupted: bool) -> Vec<Step> {
        self.steps_within(call, 5, interrupted)
    }

    /// Everything that may happen on a call that takes so long.
    pub fn steps_within(&self, call: &Call, duration: u64, interrupted: bool) -> Vec<Step> {
        self.state.step(&Input::Call {
            caller: self.caller.clone(),
            call: call.clone(),
            began: self.now,
            ended: self.now + duration,
            interrupted,
        })
    }

    /// Nothing is called for a while.
    pub fn wait(&mut self, duration: u64) {
        self.now += duration;
    }

    /// Makes a call, answers it as the first step expects, and takes over what follows.
    pub fn call(&mut self, call: Call) -> (Observation, Step) {
        self.now += 10;
        let call = match self.transaction {
            -1 => call,
            transaction => call.within(transaction),
        };
        let step = self.steps(&call, false).swap_remove(0);
        let answer = step.outcome.example(self.next_fd).expect("a call has an answer");
        if let Observation::Opened { .. }
        | Observation::Begun { .. }
        | Observation::StreamOpened { .. } = answer
        {
            self.next_fd += 1;
        }
        self.state = step.accept(&answer).expect("an example conforms");
        (answer, step)
    }

    /// The same in the transaction of this name.
    pub fn call_within(&mut self, name: &str, call: Call) -> (Observation, Step) {
        self.transaction = self.handle(name);
        let called = self.call(call);
        self.transaction = -1;
        called
    }

    pub fn transcript(&mut self, lines: &str) -> String {
        let mut text = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let answer = self.line(line);
            text.push_str(&format!("{line}\n  -> {answer}\n"));
        }
        text
    }

    fn line(&mut self, line: &str) -> String {
        // At the end of a line, `with name` names a transaction.
        let (line, transaction) = line.split_once(" with ").map_or((line, -1), |(line, name)| {
            (line, self.handles.get(name).copied().unwrap_or(1_000))
        });
        self.transaction = transaction;
        let answer = self.plain_line(line);
        self.transaction = -1;
        answer
    }

    fn plain_line(&mut self, line: &str) -> String {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let layer = match words.iter().position(|word| *word == "in") {
            Some(at) => {
                let layer = words.get(at + 1).copied().unwrap_or_default();
                words.truncate(at);
                layer
            }
            None => "",
        };
        let layer = layer.as_bytes().to_vec();
        match words[..] {
            ["open", name, path] => self.open_as(name, path),
            ["open", path] => self.open_as("", path),
            ["create", path] => self.create("", path, layer, 0),
            ["create", name, path] => self.create(name, path, layer, 0),
            ["volatile", path] => self.create("", path, layer, 1),
            ["link", path] => self.create("", path, layer, 2),
            ["close", name] => {
                let fd = self.handles.remove(&name[1..]).expect("a handle");
                self.say(Call::Close { fd })
            }
            ["begin", name] => match self.call(Call::BeginTransaction).0 {
                Observation::Begun { fd } => {
                    self.handles.insert(name.to_owned(), fd);
                    "begun".to_owned()
                }
                failed => failed.to_string(),
            },
            ["commit", name] => {
                let fd = self.handle(&name[1..]);
                self.say(Call::Commit { fd })
            }
            ["status", name] => {
                let fd = self.handle(&name[1..]);
                self.say(Call::TransactionStatus { fd })
            }
            ["poll", name] => {
                let fd = self.handle(&name[1..]);
                self.say(Call::Poll { fd })
            }
            ["wait", seconds] => {
                self.wait(seconds.parse::<u64>().expect("a number") * 1_000_000_000);
                "ok".to_owned()
            }
            ["values", key] => self.on(key, |fd| Call::EnumValues {
                fd,
                index: 0,
                name_capacity: 100,
                data_capacity: 100,
                transaction: -1,
            }),
            ["subkeys", key] => self.on(key, |fd| Call::EnumSubkeys {
                fd,
                index: 0,
                name_capacity: 100,
                transaction: -1,
            }),
            ["get", key, name] => self.on(key, |fd| query(fd, name)),
            ["set", key, name, text] => {
                self.on(key, |fd| write(fd, name, 1, text.as_bytes(), &layer))
            }
            ["dword", key, name, number] => {
                let number: u32 = number.parse().expect("a number");
                self.on(key, |fd| write(fd, name, 4, &number.to_le_bytes(), &layer))
            }
            ["target", key, path] => self.on(key, |fd| write(fd, "", 6, path.as_bytes(), &layer)),
            ["tombstone", key, name] => self.on(key, |fd| write(fd, name, 0xFFFF, &[], &layer)),
            ["unset", key, name] => self.on(key, |fd| Call::DeleteValue {
                fd,
                name: value_name(name),
                layer: layer.clone(),
                transaction: -1,
            }),
            ["blanket", key, on] => self.on(key, |fd| Call::BlanketTombstone {
                fd,
                layer: layer.clone(),
                set: u8::from(on == "on"),
                transaction: -1,
            }),
            ["batch", key] => {
                self.on(key, |fd| Call::QueryValuesBatch { fd, capacity: 10_000, transaction: -1 })
            }
            ["info", key] => self.on(key, |fd| Call::QueryKeyInfo { fd, name_capacity: 100 }),
            ["delete", key] => {
                self.on(key, |fd| Call::DeleteKey { fd, layer: layer.clone(), transaction: -1 })
            }
            ["hide", key] => {
                self.on(key, |fd| Call::HideKey { fd, layer: layer.clone(), transaction: -1 })
            }
            ["flush", key] => self.on(key, |fd| Call::Flush { fd }),
            ["backup", key, name] => {
                let output = self.stream(StreamAccess::Write, &[]);
                let answer = self.on(key, |fd| Call::Backup { fd, output });
                let taken = self.call(Call::TakeStream { fd: output }).0;
                let Observation::Stream(bytes) = taken else { panic!("{taken}") };
                self.streams.insert(name.to_owned(), bytes);
                self.say(Call::Close { fd: output });
                answer
            }
            ["restore", key, name] => {
                let contents = self.streams[name].clone();
                let input = self.stream(StreamAccess::Read, &contents);
                let answer = self.on(key, |fd| Call::Restore { fd, input });
                self.say(Call::Close { fd: input });
                answer
            }
            ["layer", name, precedence] => self.layer(name, precedence),
            ["view", path] => self.view(path),
            ["layers"] => self.layers(),
            ["private", name] => {
                let mut fields = (*self.caller.token.0).clone();
                fields.private_layers = vec![name.to_owned()];
                self.caller.token = Token(fields.into());
                "ok".to_owned()
            }
            ["down"] => self.happens(Environment::SourceDown { source: SOURCE }),
            ["resume"] => {
                self.resume(SOURCE, &["Machine", "Users"]);
                "ok".to_owned()
            }
            ["reboot"] => {
                self.handles.clear();
                self.environment(Environment::Reboot);
                self.register(SOURCE, &["Machine", "Users"]);
                "ok".to_owned()
            }
            _ => panic!("no such line: {line}"),
        }
    }

    /// Opens a stream.
    pub fn stream(&mut self, access: StreamAccess, contents: &[u8]) -> Fd {
        match self.call(Call::OpenStream { access, contents: contents.into() }).0 {
            Observation::StreamOpened { fd } => fd,
            other => panic!("{other}"),
        }
    }

    fn happens(&mut self, environment: Environment) -> String {
        self.environment(environment);
        "ok".to_owned()
    }

    fn say(&mut self, call: Call) -> String {
        self.call(call).0.to_string()
    }

    /// Opens a key by path unless it is a handle, makes the call, and closes what it opened.
    fn on(&mut self, key: &str, call: impl FnOnce(Fd) -> Call) -> String {
        if let Some(name) = key.strip_prefix('$') {
            let fd = self.handles[name];
            return self.say(call(fd));
        }
        match self.call(open(key)).0 {
            Observation::Opened { fd, .. } => {
                let answer = self.say(call(fd));
                self.say(Call::Close { fd });
                answer
            }
            failed => format!("open: {failed}"),
        }
    }

    fn open_as(&mut self, name: &str, path: &str) -> String {
        let (parent, path) = self.start(path);
        let call = Call::OpenKey {
            parent,
            path: path.into_bytes(),
            desired_access: rights::KEY_ALL_ACCESS,
            flags: u32::from(name == "link"),
        };
        self.keep(name, call)
    }

    fn create(&mut self, name: &str, path: &str, layer: Vec<u8>, flags: u32) -> String {
        let (parent, path) = self.start(path);
        let call = Call::CreateKey {
            parent,
            path: path.into_bytes(),
            desired_access: rights::KEY_ALL_ACCESS,
            flags,
            layer: (!layer.is_empty()).then_some(layer),
            transaction: -1,
        };
        self.keep(name, call)
    }

    /// `$name\path` is relative.
    fn start(&self, path: &str) -> (Fd, String) {
        match path.strip_prefix('$').and_then(|path| path.split_once('\\')) {
            Some((name, path)) => (self.handles[name], path.to_owned()),
            None => (-1, path.to_owned()),
        }
    }

    /// Keeps the fd under a name, or closes it if it has none.
    fn keep(&mut self, name: &str, call: Call) -> String {
        let (answer, _) = self.call(call);
        if let Observation::Opened { fd, disposition } = answer {
            if name.is_empty() {
                self.say(Call::Close { fd });
            } else {
                self.handles.insert(name.to_owned(), fd);
            }
            return match disposition {
                Some(1) => "created".to_owned(),
                _ => "opened".to_owned(),
            };
        }
        answer.to_string()
    }

    fn layer(&mut self, name: &str, precedence: &str) -> String {
        let path = format!("Machine\\System\\Registry\\Layers\\{name}");
        let created = self.create("", &path, Vec::new(), 0);
        let set = self.line(&format!("dword {path} Precedence {precedence}"));
        format!("{created}, {set}")
    }

    pub fn layers(&self) -> String {
        let layers = self.state.layers();
        let layers: Vec<String> = layers
            .iter()
            .map(|layer| {
                let enabled = if layer.enabled { "" } else { " disabled" };
                format!("{} {}{enabled}", layer.name, layer.precedence)
            })
            .collect();
        layers.join(", ")
    }

    fn view(&self, path: &str) -> String {
        let view = self.state.view(&self.caller.token);
        let mut text = String::new();
        for (known, key) in &view {
            let known = known.join("\\");
            if !known.to_lowercase().starts_with(&path.to_lowercase()) {
                continue;
            }
            match key {
                None => text.push_str(&format!("\n     {known} absent")),
                Some(key) => {
                    text.push_str(&format!("\n     {known}"));
                    for (name, value) in &key.values {
                        let data = String::from_utf8_lossy(&value.data).into_owned();
                        text.push_str(&format!(" {name}={data}@{}", value.layer));
                    }
                }
            }
        }
        text
    }
}

pub fn open(path: &str) -> Call {
    Call::OpenKey {
        parent: -1,
        path: path.as_bytes().to_vec(),
        desired_access: rights::KEY_ALL_ACCESS,
        flags: 0,
    }
}

pub fn create(path: &str) -> Call {
    Call::CreateKey {
        parent: -1,
        path: path.as_bytes().to_vec(),
        desired_access: rights::READ_CONTROL,
        flags: 0,
        layer: None,
        transaction: -1,
    }
}

pub fn query(fd: Fd, name: &str) -> Call {
    Call::QueryValue {
        fd,
        name: value_name(name),
        transaction: -1,
        data_capacity: 1_000,
        layer_capacity: 1_000,
    }
}

pub fn write(fd: Fd, name: &str, value_type: u32, data: &[u8], layer: &[u8]) -> Call {
    Call::SetValue {
        fd,
        name: value_name(name),
        value_type,
        data: data.to_vec(),
        layer: layer.to_vec(),
        transaction: -1,
        expected_sequence: 0,
    }
}

/// The default value is written as `@`.
fn value_name(name: &str) -> Vec<u8> {
    if name == "@" { Vec::new() } else { name.as_bytes().to_vec() }
}

/// The errno that a call fails with, if it fails.
pub fn errno(answer: &Observation) -> Option<Errno> {
    match answer {
        Observation::Failed(errno) => Some(*errno),
        _ => None,
    }
}

/// The root GUID by which every source of these tests registers a hive.
pub fn root_of(hive: &str) -> WireGuid {
    let mut guid = [0; 16];
    for (byte, name) in guid.iter_mut().zip(hive.bytes()) {
        *byte = name.to_ascii_lowercase();
    }
    guid
}
