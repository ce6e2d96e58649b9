//! Twists: what a plan changes in the numbers and bytes of a call before it is made.
//!
//! The call of an action is laid out as always (`typed`); a twist then overwrites a byte, a
//! register or the request code, or spoils a pointer. Knows where each call has its pointers and
//! its transaction fd (PSD-005 §6.2, §11.2, and D-20 for `reg_create_key`), and nothing of what
//! a kernel makes of it.

use crate::address_space::AddressSpace;
use crate::plan::{Action, Handle};
use crate::target::RawCall;
use registry_model::input::Fd;

/// One change. Twists take effect one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Overwrites bytes of the argument structure; what would pass its end is left out.
    Bytes {
        /// Where the first of them stands in the structure, in bytes.
        offset: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Sets an argument of a syscall.
    Register {
        /// Which, from 0 to 5.
        index: u8,
        /// The whole register.
        value: u64,
    },
    /// Sets the number of a syscall.
    Number(u64),
    /// Sets the request code of an ioctl.
    Request(u32),
    /// Sets the direction bits of the request code, from 0 to 3.
    Direction(u8),
    /// Sets the size bits of the request code, from 0 to 0x3FFF.
    Size(u16),
    /// Makes a call other than a syscall by number on another fd.
    Fd(FdReference),
    /// Sets the transaction fd in the argument structure.
    Transaction(FdReference),
    /// Spoils a pointer, or what it points to.
    Pointer {
        /// Which.
        pointer: Pointer,
        /// How.
        fault: PointerFault,
    },
}

/// An fd, by its number or as one of the actor's handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FdReference {
    /// The number.
    Number(Fd),
    /// The fd of a handle.
    Handle(Handle),
}

/// A pointer of a call. `Name`, `Data` and `Layer` are buffers where the call reads, and bytes of
/// the caller's where it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the pointer that the call has under this name")]
pub enum Pointer {
    Argument,
    Path,
    Name,
    Data,
    Layer,
    Buffer,
    Disposition,
}

impl Pointer {
    /// Every pointer with its word.
    pub const ALL: &[(&str, Pointer)] = &[
        ("argument", Pointer::Argument),
        ("path", Pointer::Path),
        ("name", Pointer::Name),
        ("data", Pointer::Data),
        ("layer", Pointer::Layer),
        ("buffer", Pointer::Buffer),
        ("disposition", Pointer::Disposition),
    ];
}

/// How a pointer is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerFault {
    /// It is null.
    Null,
    /// It points to where nothing is mapped.
    Unmapped,
    /// What it points to cannot be written.
    ReadOnly,
    /// The last so many bytes of what it points to are not mapped: the terminator first, where
    /// there is one.
    Cut(u32),
}

/// Where nothing is ever mapped.
const UNMAPPED: u64 = 0x7FFF_0000_0000;

/// Where the call of an action has what twists change.
#[derive(Debug)]
pub struct Layout {
    entry: Entry,
    /// Size of the argument structure in bytes.
    structure_size: u32,
    pointers: &'static [(Pointer, Place)],
    /// Offset of the transaction fd in the structure.
    transaction: Option<u32>,
    /// Offsets of bytes in the structure that are part of no address.
    plain_bytes: &'static [u32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Syscall,
    Ioctl,
    /// Neither, but it has an fd.
    FdAlone,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The argument of an ioctl, or a register.
    Register(usize),
    /// An offset in the argument structure.
    Field(u32),
}

const ARGUMENT: (Pointer, Place) = (Pointer::Argument, Place::Register(0));

static OPEN: Layout = Layout {
    entry: Entry::Syscall,
    structure_size: 0,
    pointers: &[(Pointer::Path, Place::Register(1))],
    transaction: None,
    plain_bytes: &[],
};
static CREATE: Layout = Layout {
    entry: Entry::Syscall,
    structure_size: 48,
    pointers: &[
        ARGUMENT,
        (Pointer::Path, Place::Field(8)),
        (Pointer::Layer, Place::Field(24)),
        (Pointer::Disposition, Place::Field(40)),
    ],
    transaction: Some(32),
    plain_bytes: &[0, 4, 7, 16, 19, 20, 23, 32, 35, 36, 39],
};
static GET: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 64,
    pointers: &[
        ARGUMENT,
        (Pointer::Name, Place::Field(8)),
        (Pointer::Data, Place::Field(32)),
        (Pointer::Layer, Place::Field(56)),
    ],
    transaction: Some(24),
    plain_bytes: &[0, 1, 4, 7, 16, 19, 20, 24, 27, 28, 40, 47, 48, 51, 52, 55],
};
static SET: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 64,
    pointers: &[
        ARGUMENT,
        (Pointer::Name, Place::Field(8)),
        (Pointer::Data, Place::Field(24)),
        (Pointer::Layer, Place::Field(40)),
    ],
    transaction: Some(48),
    plain_bytes: &[0, 1, 4, 7, 16, 18, 20, 23, 32, 36, 39, 48, 51, 52, 55, 56, 63],
};
static UNSET: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 40,
    pointers: &[ARGUMENT, (Pointer::Name, Place::Field(8)), (Pointer::Layer, Place::Field(24))],
    transaction: Some(32),
    plain_bytes: &[0, 1, 4, 7, 16, 20, 23, 32, 35, 36, 39],
};
static BLANKET: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 24,
    pointers: &[ARGUMENT, (Pointer::Layer, Place::Field(8))],
    transaction: Some(20),
    plain_bytes: &[0, 4, 7, 16, 17, 19, 20, 23],
};
static BATCH: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 24,
    pointers: &[ARGUMENT, (Pointer::Buffer, Place::Field(8))],
    transaction: Some(16),
    plain_bytes: &[0, 1, 4, 7, 16, 19, 20, 23],
};
static VALUE: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 40,
    pointers: &[ARGUMENT, (Pointer::Name, Place::Field(8)), (Pointer::Data, Place::Field(24))],
    transaction: Some(32),
    plain_bytes: &[0, 3, 4, 5, 16, 19, 20, 21, 32, 35, 36, 39],
};
static SUBKEY: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 40,
    pointers: &[ARGUMENT, (Pointer::Name, Place::Field(8))],
    transaction: Some(32),
    plain_bytes: &[0, 3, 4, 5, 16, 23, 24, 31, 32, 35, 36, 39],
};
static INFO: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 64,
    pointers: &[ARGUMENT, (Pointer::Name, Place::Field(8))],
    transaction: None,
    plain_bytes: &[0, 1, 4, 7, 16, 44, 48, 49, 50, 55, 56, 63],
};
static DELETE: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 24,
    pointers: &[ARGUMENT, (Pointer::Layer, Place::Field(8))],
    transaction: Some(16),
    plain_bytes: &[0, 4, 7, 16, 19, 20, 23],
};
static SECURITY: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 16,
    pointers: &[ARGUMENT, (Pointer::Buffer, Place::Field(8))],
    transaction: None,
    plain_bytes: &[0, 1, 3, 4, 5],
};
static SET_SECURITY: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 24,
    pointers: &[ARGUMENT, (Pointer::Data, Place::Field(8))],
    transaction: Some(16),
    plain_bytes: &[0, 1, 3, 4, 5, 16, 19, 20, 23],
};
/// Of a flush and of a commit.
static FLUSH: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 0,
    pointers: &[ARGUMENT],
    transaction: None,
    plain_bytes: &[],
};
static BEGIN: Layout = Layout {
    entry: Entry::Syscall,
    structure_size: 0,
    pointers: &[],
    transaction: None,
    plain_bytes: &[],
};
static STATUS: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 8,
    pointers: &[ARGUMENT],
    transaction: None,
    plain_bytes: &[0, 3, 4, 7],
};
static WATCH: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 8,
    pointers: &[ARGUMENT],
    transaction: None,
    plain_bytes: &[0, 1, 3, 4, 5, 6, 7],
};
/// Of a backup and of a restore.
static STREAM: Layout = Layout {
    entry: Entry::Ioctl,
    structure_size: 4,
    pointers: &[ARGUMENT],
    transaction: None,
    plain_bytes: &[0, 3],
};
static EVENTS: Layout = Layout {
    entry: Entry::FdAlone,
    structure_size: 0,
    pointers: &[(Pointer::Buffer, Place::Register(0))],
    transaction: None,
    plain_bytes: &[],
};
/// Of a close, a pass and a poll.
static FD_ALONE: Layout = Layout {
    entry: Entry::FdAlone,
    structure_size: 0,
    pointers: &[],
    transaction: None,
    plain_bytes: &[],
};

impl Layout {
    /// Where the call of an action has its parts; `None` for an action that is not about one call.
    pub fn of(action: &Action) -> Option<&'static Layout> {
        Some(match action {
            Action::Open { .. } => &OPEN,
            Action::Create { .. } => &CREATE,
            Action::Get { .. } => &GET,
            Action::Set { .. } => &SET,
            Action::Unset { .. } => &UNSET,
            Action::Blanket { .. } => &BLANKET,
            Action::Batch { .. } => &BATCH,
            Action::EnumerateValue { .. } => &VALUE,
            Action::EnumerateSubkey { .. } => &SUBKEY,
            Action::Info { .. } => &INFO,
            Action::Delete { .. } | Action::Hide { .. } => &DELETE,
            Action::Flush { .. } | Action::Commit { .. } => &FLUSH,
            Action::GetSecurity { .. } => &SECURITY,
            Action::SetSecurity { .. } => &SET_SECURITY,
            Action::Begin { .. } => &BEGIN,
            Action::TransactionStatus { .. } => &STATUS,
            Action::Watch { .. } => &WATCH,
            Action::Events { .. } => &EVENTS,
            Action::Backup { .. } | Action::Restore { .. } => &STREAM,
            Action::Close { .. } | Action::Pass { .. } | Action::Poll { .. } => &FD_ALONE,
            Action::Within { action, .. } => return Layout::of(action),
            Action::List { .. }
            | Action::Changes { .. }
            | Action::LayerCreate { .. }
            | Action::LayerSet { .. }
            | Action::LayerDelete { .. }
            | Action::View { .. }
            | Action::Record { .. }
            | Action::Damage { .. }
            | Action::Records { .. }
            | Action::Become { .. }
            | Action::Revert
            | Action::Raw { .. }
            | Action::Ioctl { .. }
            | Action::Syscall { .. }
            | Action::OpenDevice { .. }
            | Action::Register { .. }
            | Action::ReadDevice { .. }
            | Action::WriteDevice { .. }
            | Action::PollDevice { .. }
            | Action::Update { .. } => return None,
        })
    }

    /// Whether the call has what a twist changes.
    pub fn has(&self, twist: &Twist) -> bool {
        match twist {
            Twist::Bytes { .. } => self.structure_size > 0,
            Twist::Register { index, .. } => self.entry == Entry::Syscall && *index < 6,
            Twist::Number(_) => self.entry == Entry::Syscall,
            Twist::Request(_) => self.entry == Entry::Ioctl,
            Twist::Direction(direction) => self.entry == Entry::Ioctl && *direction < 4,
            Twist::Size(size) => self.entry == Entry::Ioctl && *size < 0x4000,
            Twist::Fd(_) => self.entry != Entry::Syscall,
            Twist::Transaction(_) => self.transaction.is_some(),
            Twist::Pointer { pointer, .. } => self.place(*pointer).is_some(),
        }
    }

    /// The pointers that the call has.
    pub fn pointers(&self) -> impl Iterator<Item = Pointer> {
        self.pointers.iter().map(|(pointer, _)| *pointer)
    }

    /// Offsets of some bytes in the argument structure that are part of no address: of every
    /// length, number and padding, at its ends.
    pub fn plain_bytes(&self) -> &'static [u32] {
        self.plain_bytes
    }

    /// Twists a call that was laid out for an action of this layout. `fd_of` knows the handles.
    pub fn apply(
        &self,
        twist: &Twist,
        call: &mut RawCall,
        memory: &mut AddressSpace,
        fd_of: &dyn Fn(&FdReference) -> Fd,
    ) {
        match (twist, &mut *call) {
            (Twist::Bytes { offset, bytes }, _) => {
                let room = self.structure_size.saturating_sub(*offset) as usize;
                let fitting = &bytes[..bytes.len().min(room)];
                memory.patch(self.structure(call).wrapping_add(u64::from(*offset)), fitting);
            }
            (Twist::Register { index, value }, RawCall::Syscall { arguments, .. }) => {
                if let Some(register) = arguments.get_mut(usize::from(*index)) {
                    *register = *value;
                }
            }
            (Twist::Number(new), RawCall::Syscall { number, .. }) => *number = *new,
            (Twist::Request(new), RawCall::Ioctl { request, .. }) => *request = *new,
            (Twist::Direction(direction), RawCall::Ioctl { request, .. }) => {
                *request = *request & !(3 << 30) | u32::from(direction & 3) << 30;
            }
            (Twist::Size(size), RawCall::Ioctl { request, .. }) => {
                *request = *request & !(0x3FFF << 16) | u32::from(size & 0x3FFF) << 16;
            }
            (
                Twist::Fd(new),
                RawCall::Ioctl { fd, .. }
                | RawCall::Read { fd, .. }
                | RawCall::Poll { fd }
                | RawCall::Close { fd }
                | RawCall::TakeStream { fd, .. }
                | RawCall::Pass { fd, .. },
            ) => {
                *fd = fd_of(new);
            }
            (Twist::Transaction(new), _) => {
                if let Some(offset) = self.transaction {
                    let address = self.structure(call).wrapping_add(u64::from(offset));
                    memory.patch(address, &fd_of(new).to_le_bytes());
                }
            }
            (Twist::Pointer { pointer, fault }, _) => self.spoil(*pointer, *fault, call, memory),
            _ => {}
        }
    }

    fn place(&self, pointer: Pointer) -> Option<Place> {
        self.pointers.iter().find(|(known, _)| *known == pointer).map(|(_, place)| *place)
    }

    /// The address of the argument structure.
    fn structure(&self, call: &RawCall) -> u64 {
        register(call, 0)
    }

    fn spoil(
        &self,
        pointer: Pointer,
        fault: PointerFault,
        call: &mut RawCall,
        memory: &mut AddressSpace,
    ) {
        let Some(place) = self.place(pointer) else { return };
        let target = match place {
            Place::Register(index) => register(call, index),
            Place::Field(offset) => {
                let address = self.structure(call).wrapping_add(u64::from(offset));
                let bytes = memory.read(address, 8).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map_or(0, u64::from_le_bytes)
            }
        };
        match fault {
            PointerFault::Null => self.point(place, 0, call, memory),
            PointerFault::Unmapped => self.point(place, UNMAPPED, call, memory),
            PointerFault::ReadOnly => memory.make_read_only(target),
            PointerFault::Cut(length) => memory.cut(target, length as usize),
        }
    }

    fn point(&self, place: Place, to: u64, call: &mut RawCall, memory: &mut AddressSpace) {
        match (place, call) {
            (Place::Register(_), RawCall::Ioctl { argument, .. }) => *argument = to,
            (Place::Register(index), RawCall::Syscall { arguments, .. }) => arguments[index] = to,
            (Place::Register(_), RawCall::Read { buffer, .. }) => *buffer = to,
            (
                Place::Register(_),
                RawCall::Poll { .. }
                | RawCall::Close { .. }
                | RawCall::Pass { .. }
                | RawCall::OpenStream { .. }
                | RawCall::TakeStream { .. },
            ) => {}
            (Place::Field(offset), call) => {
                let address = self.structure(call).wrapping_add(u64::from(offset));
                memory.patch(address, &to.to_le_bytes());
            }
        }
    }
}

fn register(call: &RawCall, index: usize) -> u64 {
    match call {
        RawCall::Ioctl { argument, .. } => *argument,
        RawCall::Syscall { arguments, .. } => arguments.get(index).copied().unwrap_or(0),
        RawCall::Read { buffer, .. } | RawCall::TakeStream { buffer, .. } => *buffer,
        RawCall::Poll { .. }
        | RawCall::Close { .. }
        | RawCall::Pass { .. }
        | RawCall::OpenStream { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use registry_model::input::Call;

    use super::*;
    use crate::typed;

    fn twisted(layout: &Layout, call: &Call, twist: Twist) -> (RawCall, AddressSpace) {
        let typed::Encoded { mut call, mut memory, .. } = typed::encode(call);
        layout.apply(&twist, &mut call, &mut memory, &|_| 77);
        (call, memory)
    }

    fn get() -> Call {
        let name = b"name".to_vec();
        Call::QueryValue { fd: 3, name, transaction: -1, data_capacity: 8, layer_capacity: 8 }
    }

    fn structure(call: &RawCall, memory: &AddressSpace) -> Vec<u8> {
        memory.read(register(call, 0), 64).unwrap().to_vec()
    }

    #[test]
    fn a_pointer_is_found_in_the_structure() {
        let null = Twist::Pointer { pointer: Pointer::Layer, fault: PointerFault::Null };
        let (call, memory) = twisted(&GET, &get(), null);
        assert_eq!(structure(&call, &memory)[56..], [0; 8]);
        assert_ne!(structure(&call, &memory)[32..40], [0; 8]);
    }

    #[test]
    fn what_a_pointer_points_to_is_cut_or_protected() {
        let address = |bytes: &[u8]| u64::from_le_bytes(bytes[32..40].try_into().unwrap());
        let cut = Twist::Pointer { pointer: Pointer::Data, fault: PointerFault::Cut(3) };
        let (call, memory) = twisted(&GET, &get(), cut);
        let data = address(&structure(&call, &memory));
        assert!(memory.is_writable(data, 5) && !memory.is_writable(data, 6));
        let protect = Twist::Pointer { pointer: Pointer::Data, fault: PointerFault::ReadOnly };
        let (call, memory) = twisted(&GET, &get(), protect);
        let data = address(&structure(&call, &memory));
        assert!(memory.read(data, 8).is_ok() && !memory.is_writable(data, 1));
    }

    #[test]
    fn parts_of_a_request_code_are_set_alone() {
        let request = |twist| match twisted(&GET, &get(), twist).0 {
            RawCall::Ioctl { request, .. } => request,
            other => panic!("{other:?}"),
        };
        assert_eq!(request(Twist::Size(40)), 0xC028_5200);
        assert_eq!(request(Twist::Direction(1)), 0x4040_5200);
        assert_eq!(request(Twist::Request(7)), 7);
    }

    #[test]
    fn bytes_beyond_the_structure_are_left_out() {
        let twist = Twist::Bytes { offset: 62, bytes: vec![9; 5] };
        let (call, memory) = twisted(&GET, &get(), twist);
        assert_eq!(structure(&call, &memory)[62..], [9, 9]);
    }

    #[test]
    fn the_buffer_of_a_descriptor_is_found_in_both_directions() {
        let null = |pointer| Twist::Pointer { pointer, fault: PointerFault::Null };
        let get = Call::GetSecurity { fd: 3, security_info: 4, capacity: 8 };
        let descriptor = vec![1; 20];
        let set = Call::SetSecurity { fd: 3, security_info: 4, descriptor, transaction: -1 };
        let cases = [(&SECURITY, get, Pointer::Buffer), (&SET_SECURITY, set, Pointer::Data)];
        for (layout, call, pointer) in cases {
            let length = u64::from(layout.structure_size);
            let read = |(call, memory): (RawCall, AddressSpace)| {
                memory.read(register(&call, 0), length).unwrap()[8..16].to_vec()
            };
            assert_eq!(read(twisted(layout, &call, null(pointer))), [0; 8]);
            assert_ne!(read(twisted(layout, &call, Twist::Fd(FdReference::Number(1)))), [0; 8]);
        }
    }

    #[test]
    fn a_transaction_stands_where_each_structure_has_it() {
        let twist = Twist::Transaction(FdReference::Number(77));
        let (call, memory) = twisted(&GET, &get(), twist.clone());
        assert_eq!(structure(&call, &memory)[24..28], [77, 0, 0, 0]);
        assert!(GET.has(&twist) && !INFO.has(&twist) && !OPEN.has(&twist));
    }
}
