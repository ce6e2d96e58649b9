//! Requests that are not answered in time, and what their answers do when they come (PSD-005 §7.1,
//! §10.1; P-260..P-269).

mod arrival;
mod creations;
mod deletions;
mod layers;
mod mutations;
mod slots;
mod transactions;

use abi::{DACL_SECURITY_INFORMATION, Errno, REG_NOTIFY_ALL};
use lcs::env::Env;
use lcs::security::{Acl, SecurityDescriptor};
use rsi::{Operation, Status};

use crate::client::{Answer, Client, Machine};
use crate::source::{Source, root_descriptor};
use crate::world::World;

/// How an answer is kept back.
#[derive(Clone, Copy, Debug)]
enum Delay {
    /// The source looks at the request only then.
    Stalled,
    /// The source has done it at once.
    Withheld,
}

const DELAYS: [Delay; 2] = [Delay::Stalled, Delay::Withheld];

impl Delay {
    fn of(self, source: &Source, operation: Operation) {
        let mut store = source.store();
        match self {
            Self::Stalled => store.stalled.insert(operation),
            Self::Withheld => store.withheld.insert(operation),
        };
    }
}

/// A mutating call, and the request of it that is told of.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    SetValue,
    DeleteValue,
    SetBlanket,
    SetSecurity,
    Hide,
    Delete,
    /// Of which the path entry is late.
    CreateEntry,
    /// Of which the key's record is.
    CreateKey,
}

const MUTATIONS: [Mutation; 8] = [
    Mutation::SetValue,
    Mutation::DeleteValue,
    Mutation::SetBlanket,
    Mutation::SetSecurity,
    Mutation::Hide,
    Mutation::Delete,
    Mutation::CreateEntry,
    Mutation::CreateKey,
];

impl Mutation {
    fn operation(self) -> Operation {
        match self {
            Self::SetValue => Operation::SetValue,
            Self::DeleteValue => Operation::DeleteValueEntry,
            Self::SetBlanket => Operation::SetBlanketTombstone,
            Self::SetSecurity => Operation::WriteKey,
            Self::Hide => Operation::HideEntry,
            Self::Delete => Operation::DeleteEntry,
            Self::CreateEntry => Operation::CreateEntry,
            Self::CreateKey => Operation::CreateKey,
        }
    }

    fn call(self, client: &Client, key: i32) -> Answer<()> {
        match self {
            Self::SetValue => client.set(key, "v", 2, ""),
            Self::DeleteValue => client.unset(key, "v", ""),
            Self::SetBlanket => client.blanket(key, "gpo", true),
            Self::SetSecurity => {
                let sd = SecurityDescriptor::parse(&root_descriptor()).unwrap();
                let sd = SecurityDescriptor { dacl: Some(Acl::new(Vec::new())), ..sd };
                client.set_security(key, DACL_SECURITY_INFORMATION, &sd.to_bytes())
            }
            Self::Hide => client.hide(key, "gpo"),
            Self::Delete => client.delete(key, ""),
            Self::CreateEntry | Self::CreateKey => client.create("Other\\A\\New", "").map(|_| ()),
        }
    }
}

/// A key with a value, and a watch above it.
struct Scene {
    machine: Machine,
    client: Client,
    key: i32,
    watch: i32,
    generation: u64,
}

impl Scene {
    fn new() -> Self {
        Self::of(Machine::new())
    }

    fn with_seed(seed: u64) -> Self {
        Self::of(Machine::in_world(World::with_seed(seed)))
    }

    fn of(machine: Machine) -> Self {
        let client = machine.client();
        client.layer("gpo", 5);
        let key = client.make("Other\\A");
        client.set(key, "v", 1, "").unwrap();
        let watch = client.open("Other").unwrap();
        client.notify(watch, REG_NOTIFY_ALL, true).unwrap();
        let generation = client.generation("Other");
        Self { machine, client, key, watch, generation }
    }

    /// A mutation of which the answer has not come in time.
    fn timed_out(mutation: Mutation, delay: Delay) -> Self {
        let scene = Self::new();
        delay.of(&scene.machine.other, mutation.operation());
        assert_eq!(mutation.call(&scene.client, scene.key), Err(Errno::ETIMEDOUT), "{mutation:?}");
        scene
    }

    /// Lets transactions live for longer than requests are waited for.
    fn make_transactions_last(&self) {
        let registry = self.client.make("Machine\\System\\Registry");
        self.client.set(registry, "TransactionTimeoutMs", 600_000, "").unwrap();
    }

    /// What watchers have heard, and how many steps the generation has taken.
    fn effects(&self) -> (Vec<String>, u64) {
        self.machine.settle();
        (self.client.events(self.watch), self.client.generation("Other") - self.generation)
    }

    /// Whether the source is still connected.
    fn is_active(&self) -> bool {
        self.client.flush(self.watch).is_ok()
    }
}

const NOTHING: (Vec<String>, u64) = (Vec::new(), 0);

fn refuse(source: &Source, operation: Operation) {
    source.store().refusals.insert(operation, Status::StorageError);
}

fn elapsed(client: &Client, work: impl FnOnce()) -> u64 {
    let started = client.world.env.now();
    work();
    client.world.env.now() - started
}
