//! A plan of a client of one source: requests, deaths and the passing of time, as data.
//!
//! A plan says nothing of outcomes. Keys and transactions have symbolic names, so that one plan
//! runs against any store. Its text form is `script::store`; what a key name means is decided by
//! `names` once the source has registered.

use crate::plan::{SourceHive, Text};

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePlan {
    /// The hives of the source. Empty means `Machine` and `Users`.
    pub hives: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<StoreStep>,
}

impl StorePlan {
    /// The hives that the source is started with.
    pub fn hive_names(&self) -> Vec<String> {
        if self.hives.is_empty() {
            return vec!["Machine".to_owned(), "Users".to_owned()];
        }
        self.hives.clone()
    }

    /// Whether a source can register these hives at all.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn check_hives(&self) -> Result<(), String> {
        let hives = self.hive_names().iter().map(|name| SourceHive::global(name)).collect();
        let plan = crate::plan::Plan { sources: vec![hives], ..Default::default() };
        plan.check_sources()
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreStep {
    /// A request is sent. Without a label its answer is waited for.
    Send {
        /// What a later `Await` calls it.
        label: Option<String>,
        /// The request.
        request: PlannedRequest,
    },
    /// The answer of a request that was sent with a label is waited for.
    Await {
        /// The label.
        label: String,
    },
    /// Time goes by.
    Pass {
        /// How much, in nanoseconds.
        nanoseconds: u64,
    },
    /// The source dies.
    Kill,
    /// The source stops cleanly.
    Stop,
    /// The source starts, after a clean stop if it runs.
    Start,
    /// Every entry is read by requests and compared with the model's.
    Compare,
}

/// A key in a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyName {
    /// The root of the hive at this position.
    Root(usize),
    /// A GUID that follows from the name.
    Named(String),
    /// The null GUID.
    Nil,
    /// These bytes, in wire order.
    Literal([u8; 16]),
}

/// A transaction in a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionName {
    /// An id that follows from the name; the same one for the same name.
    Named(String),
    /// This id.
    Number(u64),
}

/// A request in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRequest {
    /// What it asks for.
    pub operation: PlannedOperation,
    /// The transaction of the header. `None`: 0, and for `Begin`, `Commit` and `Abort` the id of
    /// the payload (D-94).
    pub transaction: Option<TransactionName>,
    /// Bytes after the last field (SRC-60).
    pub trailing: Vec<u8>,
}

/// What a request asks for (PSD-005 §7.2), with the fields of its table (§11.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the tables")]
pub enum PlannedOperation {
    Lookup {
        parent: KeyName,
        name: Text,
    },
    CreateEntry {
        parent: KeyName,
        name: Text,
        layer: Text,
        child: KeyName,
        sequence: u64,
    },
    HideEntry {
        parent: KeyName,
        name: Text,
        layer: Text,
        sequence: u64,
    },
    DeleteEntry {
        parent: KeyName,
        name: Text,
        layer: Text,
    },
    EnumChildren {
        parent: KeyName,
    },
    CreateKey {
        key: KeyName,
        parent: KeyName,
        name: Text,
        security_descriptor: Vec<u8>,
        volatile_key: bool,
        symlink: bool,
    },
    ReadKey {
        key: KeyName,
    },
    WriteKey {
        key: KeyName,
        security_descriptor: Option<Vec<u8>>,
        last_write_time: Option<u64>,
        /// Bits of the mask beside 0 and 1, which follow from the fields.
        undefined_mask_bits: u32,
    },
    DropKey {
        key: KeyName,
    },
    QueryValues {
        key: KeyName,
        /// `None` asks for all values.
        name: Option<Text>,
    },
    SetValue {
        key: KeyName,
        name: Text,
        layer: Text,
        value_type: u32,
        data: Vec<u8>,
        sequence: u64,
        /// 0 writes without a condition.
        expected_sequence: u64,
    },
    DeleteValueEntry {
        key: KeyName,
        name: Text,
        layer: Text,
    },
    SetBlanketTombstone {
        key: KeyName,
        layer: Text,
        set: bool,
        sequence: u64,
    },
    Begin {
        transaction: TransactionName,
        /// 0 for read-write, 1 for read-only; a plan may say other numbers too.
        mode: u32,
    },
    Commit {
        transaction: TransactionName,
    },
    Abort {
        transaction: TransactionName,
    },
    Flush {
        hive: Text,
    },
    DeleteLayer {
        layer: Text,
    },
    /// An op code with a payload that need not be what the code asks for.
    Raw {
        op_code: u16,
        payload: Vec<u8>,
    },
}

impl PlannedOperation {
    /// Whether the answer has more than a status.
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            PlannedOperation::Lookup { .. }
                | PlannedOperation::EnumChildren { .. }
                | PlannedOperation::ReadKey { .. }
                | PlannedOperation::QueryValues { .. }
                | PlannedOperation::DeleteLayer { .. }
        )
    }

    /// The keys that it names.
    pub fn keys(&self) -> Vec<&KeyName> {
        match self {
            PlannedOperation::Lookup { parent, .. }
            | PlannedOperation::HideEntry { parent, .. }
            | PlannedOperation::DeleteEntry { parent, .. }
            | PlannedOperation::EnumChildren { parent } => vec![parent],
            PlannedOperation::CreateEntry { parent, child, .. } => vec![parent, child],
            PlannedOperation::CreateKey { key, parent, .. } => vec![key, parent],
            PlannedOperation::ReadKey { key }
            | PlannedOperation::WriteKey { key, .. }
            | PlannedOperation::DropKey { key }
            | PlannedOperation::QueryValues { key, .. }
            | PlannedOperation::SetValue { key, .. }
            | PlannedOperation::DeleteValueEntry { key, .. }
            | PlannedOperation::SetBlanketTombstone { key, .. } => vec![key],
            _ => Vec::new(),
        }
    }
}
