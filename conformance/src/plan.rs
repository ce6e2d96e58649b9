//! A plan: what the actors of one run do, and what happens to the world, as data.
//!
//! A plan says nothing of outcomes. It names keys by symbolic handles or by paths, so that the
//! same plan runs against any target. Its text form is the script language (`script`); its
//! meaning, call by call, is in `expand`.

mod fault;
mod parallel;
mod registration;
mod source_hive;

pub use fault::Fault;
pub use parallel::{Parallel, STRANDS_MAX, Strand};
pub use registration::{PlannedHive, PlannedRegistration, PlannedRoot};
use registry_model::input::StreamAccess;
use registry_model::security::Token;
pub use source_hive::SourceHive;

use crate::streams::{Damage, PlannedRecord};
use crate::twist::{FdReference, Twist};

/// A byte string in a plan: mostly UTF-8, but a plan may say malformed things too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub Vec<u8>);

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }
}

/// A handle of an actor, or of a source device, which all actors share: a name in a script, such as
/// `h`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub String);

/// Position of an actor in `Plan::actors`.
pub type ActorIndex = usize;

/// A whole plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Who acts. A plan without actors has one, `system`, with the token of SYSTEM.
    pub actors: Vec<Actor>,
    /// The hives of each source, in order of registration. Empty means one source with `Machine`
    /// and `Users`.
    pub sources: Vec<Vec<SourceHive>>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether the sources of the plan can register at all.
    ///
    /// # Errors
    /// Which source cannot and why, in words.
    pub fn check_sources(&self) -> Result<(), String> {
        source_hive::check(&self.sources)
    }

    /// The plan with its defaults written out: at least one actor and one source.
    pub fn with_defaults(&self) -> Plan {
        let mut plan = self.clone();
        if plan.actors.is_empty() {
            plan.actors.push(Actor { name: "system".to_owned(), token: Token::system() });
        }
        if plan.sources.is_empty() {
            plan.sources.push(["Machine", "Users"].map(SourceHive::global).to_vec());
        }
        plan
    }
}

/// Someone who makes calls: one process, of one thread, with a primary token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The name in scripts and reports.
    pub name: String,
    /// The primary token.
    pub token: Token,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An actor does something.
    Act {
        /// Who.
        actor: ActorIndex,
        /// What.
        action: Action,
    },
    /// Actors do things at the same time.
    Parallel(Parallel),
    /// Something happens to the world.
    Fault(Fault),
    /// The effective views of every actor are dumped through calls and compared.
    CompareViews,
}

/// A key that an action works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyReference {
    /// A key held open.
    Handle(Handle),
    /// A key opened by this absolute path for the action, with the rights that the action needs,
    /// and closed after it.
    Path(Text),
}

/// What an actor does: one call, or a few that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `reg_open_key` into a handle. A handle that is open already is closed first.
    Open {
        /// Receives the fd.
        handle: Handle,
        /// The handle that a relative path starts from.
        parent: Option<Handle>,
        /// The path.
        path: Text,
        /// The access asked for.
        access: u32,
        /// The flags.
        flags: u32,
    },
    /// `reg_create_key` into a handle. A handle that is open already is closed first.
    Create {
        /// Receives the fd; `None` closes it again at once.
        handle: Option<Handle>,
        /// The handle that a relative path starts from.
        parent: Option<Handle>,
        /// The path.
        path: Text,
        /// The access asked for.
        access: u32,
        /// The flags.
        flags: u32,
        /// The layer; `None` is a null pointer.
        layer: Option<Text>,
    },
    /// Reads the effective value. `None` means buffers that are large enough.
    Get {
        /// The key.
        key: KeyReference,
        /// The value's name.
        name: Text,
        /// Length of the data buffer.
        data_capacity: Option<u32>,
        /// Length of the layer name buffer.
        layer_capacity: Option<u32>,
    },
    /// Writes a value entry, or a tombstone.
    Set {
        /// The key. A path that does not exist yet is created in base, prefix by prefix.
        key: KeyReference,
        /// The value's name.
        name: Text,
        /// The type code.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
        /// The layer; empty means base.
        layer: Text,
        /// The condition; 0 for none.
        expected_sequence: u64,
    },
    /// Reads the effective value and replaces it in its layer, on the condition that the entry is still
    /// the one that was read. What cannot be read is not written.
    Update {
        /// The key.
        key: KeyReference,
        /// The value's name.
        name: Text,
        /// The type code.
        value_type: u32,
        /// The data.
        data: Vec<u8>,
    },
    /// Removes a layer's entry for a value.
    Unset {
        /// The key.
        key: KeyReference,
        /// The value's name.
        name: Text,
        /// The layer; empty means base.
        layer: Text,
    },
    /// Sets or removes a blanket tombstone.
    Blanket {
        /// The key.
        key: KeyReference,
        /// The layer; empty means base.
        layer: Text,
        /// 1 sets, 0 removes.
        set: u8,
    },
    /// Reads all effective values in one call. `None` means a buffer that is large enough.
    Batch {
        /// The key.
        key: KeyReference,
        /// Length of the buffer.
        capacity: Option<u32>,
    },
    /// Reads the value at a position.
    EnumerateValue {
        /// The key.
        key: KeyReference,
        /// The position.
        index: u32,
        /// Length of the name buffer.
        name_capacity: Option<u32>,
        /// Length of the data buffer.
        data_capacity: Option<u32>,
    },
    /// Reads the subkey at a position.
    EnumerateSubkey {
        /// The key.
        key: KeyReference,
        /// The position.
        index: u32,
        /// Length of the name buffer.
        name_capacity: Option<u32>,
    },
    /// Reads all subkeys by their positions, up to the first ENOENT.
    List {
        /// The key.
        key: KeyReference,
    },
    /// Reads key metadata.
    Info {
        /// The key.
        key: KeyReference,
        /// Length of the name buffer.
        name_capacity: Option<u32>,
    },
    /// Reads key metadata and compares its last write time and the generation of its hive with
    /// those of the same actor's former look at the key under the same reference.
    Changes {
        /// The key.
        key: KeyReference,
    },
    /// Removes a layer's path entry.
    Delete {
        /// The key.
        key: KeyReference,
        /// The layer; empty means base.
        layer: Text,
    },
    /// Creates a HIDDEN path entry.
    Hide {
        /// The key.
        key: KeyReference,
        /// The layer; empty means base.
        layer: Text,
    },
    /// Flushes the hive.
    Flush {
        /// The key.
        key: KeyReference,
    },
    /// Reads the SD.
    GetSecurity {
        /// The key.
        key: KeyReference,
        /// Which components.
        security_info: u32,
        /// Length of the buffer; `None` means one that is large enough.
        capacity: Option<u32>,
    },
    /// Replaces components of the SD.
    SetSecurity {
        /// The key.
        key: KeyReference,
        /// Which components.
        security_info: u32,
        /// The SD that has them.
        descriptor: Vec<u8>,
    },
    /// Sends a handle's fd to an actor, or makes another one of it. A handle that is open already
    /// under the new name is closed first.
    Pass {
        /// The handle.
        handle: Handle,
        /// The name of the actor that gets an fd; `None` for the one who acts.
        to: Option<String>,
        /// The handle that receives it there.
        received: Handle,
    },
    /// The actor's thread impersonates: calls are made with this token from here on.
    Become {
        /// The token.
        token: Token,
    },
    /// The actor's thread has the primary token again.
    Revert,
    /// Closes a handle, or a source device if one is open under this name.
    Close {
        /// The handle.
        handle: Handle,
    },
    /// Opens the source device. A device that is open already under this name is closed first.
    OpenDevice {
        /// Receives the device.
        device: Handle,
    },
    /// Registers hives. A source that is accepted serves them from a store in memory that goes
    /// with it and has nothing in it at first but their roots.
    Register {
        /// The device.
        device: Handle,
        /// The argument.
        registration: PlannedRegistration,
    },
    /// Reads from a device without waiting. The source itself takes every request before that.
    ReadDevice {
        /// The device.
        device: Handle,
    },
    /// Writes to a device what answers no request.
    WriteDevice {
        /// The device.
        device: Handle,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Asks what a device is ready for.
    PollDevice {
        /// The device.
        device: Handle,
    },
    /// `reg_begin_transaction` into a handle. A handle that is open already is closed first.
    Begin {
        /// Receives the fd.
        handle: Handle,
    },
    /// Commits a transaction.
    Commit {
        /// The transaction.
        transaction: Handle,
    },
    /// Reads the state of a transaction.
    TransactionStatus {
        /// The transaction.
        transaction: Handle,
    },
    /// Does another action whose calls carry the fd of a transaction; the opening, closing and
    /// creating of what leads to a key given by path do not.
    Within {
        /// The transaction.
        transaction: Handle,
        /// The action, which has to have room for it (`takes_transaction`).
        action: Box<Action>,
    },
    /// Arms a key handle, or disarms it.
    Watch {
        /// The key.
        handle: Handle,
        /// The kinds of events; 0 disarms.
        filter: u32,
        /// 1 for a subtree watch, 0 for a direct one.
        subtree: u8,
    },
    /// Reads watch events without waiting.
    Events {
        /// The key.
        handle: Handle,
        /// Length of the buffer; `None` means one that is large enough for most.
        capacity: Option<u32>,
    },
    /// Asks what a key or a transaction is ready for, without waiting.
    Poll {
        /// The key or the transaction.
        handle: Handle,
    },
    /// Backs a key up. The stream has from then on what was written, if anything was.
    Backup {
        /// The key.
        key: KeyReference,
        /// The name of the stream.
        stream: String,
        /// How the stream is opened; only one that can be written will do.
        access: StreamAccess,
    },
    /// Restores a key from a stream, an empty one if nothing has filled it.
    Restore {
        /// The key.
        key: KeyReference,
        /// The name of the stream.
        stream: String,
        /// How the stream is opened; only one that can be read will do.
        access: StreamAccess,
    },
    /// Puts a record behind what a stream has.
    Record {
        /// The name of the stream.
        stream: String,
        /// The record.
        record: PlannedRecord,
    },
    /// Damages a stream.
    Damage {
        /// The name of the stream.
        stream: String,
        /// How.
        damage: Damage,
        /// Whether it has a sound TRAILER afterwards.
        is_sealed: bool,
    },
    /// Lists the records of a stream, without a call.
    Records {
        /// The name of the stream.
        stream: String,
    },
    /// Creates a layer's metadata key in base and sets its values: the key first, then those
    /// of `Precedence` and `Enabled` that are given.
    LayerCreate {
        /// The layer's name.
        name: Text,
        /// The value `Precedence`.
        precedence: Option<u32>,
        /// The value `Enabled`.
        enabled: Option<u32>,
    },
    /// Sets values of a layer's metadata key in base.
    LayerSet {
        /// The layer's name.
        name: Text,
        /// The value `Precedence`.
        precedence: Option<u32>,
        /// The value `Enabled`.
        enabled: Option<u32>,
    },
    /// Deletes a layer's metadata key from base.
    LayerDelete {
        /// The layer's name.
        name: Text,
    },
    /// Dumps the effective view below a path and compares it; the text form lists it.
    View {
        /// Where to begin.
        path: Text,
    },
    /// Does another action whose call is changed in its numbers and bytes before it is made. The
    /// opening and closing of a key given by path are not changed.
    Raw {
        /// The changes, which the call has to have room for (`twist::Layout::has`).
        twists: Vec<Twist>,
        /// The action; one that is about a single call (`twist::Layout::of`).
        action: Box<Action>,
    },
    /// An ioctl, number by number.
    Ioctl {
        /// The fd.
        fd: FdReference,
        /// The request code.
        request: u32,
        /// The bytes that its argument points to; `None` for an argument of 0.
        structure: Option<Vec<u8>>,
    },
    /// A syscall, number by number. What it opens is closed again at once.
    Syscall {
        /// The number.
        number: u64,
        /// Its first arguments, at most six; the others are 0.
        arguments: Vec<RawArgument>,
    },
}

impl Action {
    /// Whether the calls of an action have a field for a transaction.
    pub fn takes_transaction(&self) -> bool {
        matches!(
            self,
            Action::Create { .. }
                | Action::Get { .. }
                | Action::Set { .. }
                | Action::Unset { .. }
                | Action::Blanket { .. }
                | Action::Batch { .. }
                | Action::EnumerateValue { .. }
                | Action::EnumerateSubkey { .. }
                | Action::List { .. }
                | Action::Delete { .. }
                | Action::Hide { .. }
                | Action::SetSecurity { .. }
        )
    }
}

/// An argument of a syscall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawArgument {
    /// The whole register.
    Number(u64),
    /// The fd of a handle.
    Handle(Handle),
    /// The address of these bytes, which can be written.
    Bytes(Vec<u8>),
    /// The address of this string, ended by a null byte.
    String(Text),
}
