//! The reference store: how a source answers every request, and what that changes.

mod message;

pub use message::{
    Blanket, Child, Guid, KeyMetadata, Operation, PathEntry, Payload, RegisteredHive, Registration,
    Request, Response, Status, TARGET_GUID, TARGET_HIDDEN, TXN_READ_ONLY, TXN_READ_WRITE,
    ValueEntry,
};
