//! The numbers of operations and statuses (PSD-005 §7.2, §7.3, §11.1).

use crate::message::{Operation, Request, Status};

impl Operation {
    /// Every operation, in the order of the codes.
    pub const ALL: [Operation; 18] = [
        Self::Lookup,
        Self::CreateEntry,
        Self::HideEntry,
        Self::DeleteEntry,
        Self::EnumChildren,
        Self::CreateKey,
        Self::ReadKey,
        Self::WriteKey,
        Self::DropKey,
        Self::QueryValues,
        Self::SetValue,
        Self::DeleteValueEntry,
        Self::SetBlanketTombstone,
        Self::BeginTransaction,
        Self::CommitTransaction,
        Self::AbortTransaction,
        Self::Flush,
        Self::DeleteLayer,
    ];

    /// The code in a request's header.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The operation with this code, without the response bit.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.code() == code)
    }

    /// Whether the operation may change what the source stores (§7.2).
    #[must_use]
    pub const fn is_mutation(self) -> bool {
        match self {
            Self::CreateEntry
            | Self::HideEntry
            | Self::DeleteEntry
            | Self::CreateKey
            | Self::WriteKey
            | Self::DropKey
            | Self::SetValue
            | Self::DeleteValueEntry
            | Self::SetBlanketTombstone
            | Self::CommitTransaction
            | Self::DeleteLayer => true,
            Self::Lookup
            | Self::EnumChildren
            | Self::ReadKey
            | Self::QueryValues
            | Self::BeginTransaction
            | Self::AbortTransaction
            | Self::Flush => false,
        }
    }
}

impl Status {
    /// Every status but RSI_OK, in the order of the codes.
    pub const ALL: [Status; 9] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::StorageError,
        Self::NotEmpty,
        Self::TooLarge,
        Self::TransactionBusy,
        Self::Invalid,
        Self::ConditionFailed,
        Self::TransactionNotSupported,
    ];

    /// The code at the head of a response's payload.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The status with this code; none for RSI_OK and for unknown codes.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

impl Request {
    /// The operation that is asked.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Lookup { .. } => Operation::Lookup,
            Self::CreateEntry { .. } => Operation::CreateEntry,
            Self::HideEntry { .. } => Operation::HideEntry,
            Self::DeleteEntry { .. } => Operation::DeleteEntry,
            Self::EnumChildren { .. } => Operation::EnumChildren,
            Self::CreateKey { .. } => Operation::CreateKey,
            Self::ReadKey { .. } => Operation::ReadKey,
            Self::WriteKey { .. } => Operation::WriteKey,
            Self::DropKey { .. } => Operation::DropKey,
            Self::QueryValues { .. } => Operation::QueryValues,
            Self::SetValue { .. } => Operation::SetValue,
            Self::DeleteValueEntry { .. } => Operation::DeleteValueEntry,
            Self::SetBlanketTombstone { .. } => Operation::SetBlanketTombstone,
            Self::BeginTransaction { .. } => Operation::BeginTransaction,
            Self::CommitTransaction { .. } => Operation::CommitTransaction,
            Self::AbortTransaction { .. } => Operation::AbortTransaction,
            Self::DeleteLayer { .. } => Operation::DeleteLayer,
            Self::Flush { .. } => Operation::Flush,
        }
    }
}
