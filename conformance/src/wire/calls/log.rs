//! The requests of the call that is under way, with what its rules need of each.

use registry_model::input::SourceId;

use crate::wire::frame::{Guid, Operation, PathEntry, Request, Success};

/// Requests kept of one call. A call of more is not judged: a refresh of many layers sends one
/// request or more for each.
const REQUESTS_MAX: usize = 4096;

/// One request and its answer.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Logged {
    pub(super) source: SourceId,
    request_id: u64,
    pub(super) operation: Operation,
    /// The transaction that its header names.
    pub(super) transaction: u64,
    /// The key that it is about; of a path entry, the parent.
    pub(super) key: Guid,
    /// Name of the child, the value or the hive.
    pub(super) name: Vec<u8>,
    pub(super) layer: Vec<u8>,
    pub(super) details: Details,
    /// `None` while there is no answer.
    pub(super) answer: Option<Answered>,
}

/// What only some operations have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Details {
    None,
    /// RSI_CREATE_ENTRY.
    Child(Guid),
    /// RSI_CREATE_KEY.
    Flags {
        volatile_key: u8,
        symlink: u8,
    },
    /// RSI_WRITE_KEY.
    Fields {
        has_last_write_time: bool,
        has_security_descriptor: bool,
    },
    /// RSI_QUERY_VALUES.
    Query {
        query_all: u8,
    },
    /// RSI_SET_VALUE.
    Value {
        value_type: u32,
        data: Vec<u8>,
        expected_sequence: u64,
    },
    /// RSI_SET_BLANKET_TOMBSTONE.
    Blanket {
        set: u8,
    },
    /// RSI_BEGIN_TRANSACTION.
    Begin {
        id: u64,
        mode: u32,
    },
    /// RSI_COMMIT_TRANSACTION and RSI_ABORT_TRANSACTION.
    End {
        id: u64,
    },
}

/// What of an answer is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: u32,
    /// For a lookup: the key, if its entries name one and no more.
    pub(super) only_key: Option<Guid>,
    /// For a lookup: every key that its entries name.
    pub(super) keys: Vec<Guid>,
    /// Those of them that are links.
    pub(super) links: Vec<Guid>,
}

impl Logged {
    pub(super) fn succeeded(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status == 0)
    }

    pub(super) fn status(&self) -> Option<u32> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    /// The transaction that it begins or ends.
    pub(super) fn transaction_id(&self) -> Option<u64> {
        match self.details {
            Details::Begin { id, .. } | Details::End { id } => Some(id),
            _ => None,
        }
    }

    /// Whether it begins or ends a transaction.
    pub(super) fn is_transactional(&self) -> bool {
        self.transaction_id().is_some()
    }

    /// Whether it reads, and so changes nothing.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self.operation,
            Operation::Lookup
                | Operation::EnumChildren
                | Operation::ReadKey
                | Operation::QueryValues
        )
    }

    /// Whether it changes anything that a source keeps, times and dropped keys included.
    pub(super) fn is_change(&self) -> bool {
        !self.is_read() && !self.is_transactional()
    }

    /// Keys that it or its answer names beside the one that it is about.
    pub(super) fn named_keys(&self) -> impl Iterator<Item = Guid> {
        let child = match self.details {
            Details::Child(child) => Some(child),
            _ => None,
        };
        let found = self.answer.iter().flat_map(|answer| answer.keys.iter().copied());
        child.into_iter().chain(found)
    }

    /// Whether it gives a key another SD.
    pub(super) fn has_security_descriptor(&self) -> bool {
        matches!(self.details, Details::Fields { has_security_descriptor: true, .. })
    }

    /// Whether it changes what a source has, apart from times and from dropping what is gone.
    pub(super) fn is_mutation(&self) -> bool {
        self.has_security_descriptor()
            || matches!(
                self.operation,
                Operation::CreateEntry
                    | Operation::HideEntry
                    | Operation::DeleteEntry
                    | Operation::CreateKey
                    | Operation::SetValue
                    | Operation::DeleteValueEntry
                    | Operation::SetBlanketTombstone
                    | Operation::DeleteLayer
            )
    }
}

/// The requests of one call, in order. Empty between calls.
#[derive(Clone, Debug, Default)]
pub(in crate::wire) struct Log {
    requests: Vec<Logged>,
    is_recording: bool,
    has_overflowed: bool,
}

impl Log {
    pub(super) fn begin(&mut self) {
        *self = Log { is_recording: true, ..Log::default() };
    }

    /// Records no more until the next call begins.
    pub(in crate::wire) fn stop(&mut self) {
        *self = Log::default();
    }

    /// Whether a call is under way.
    pub(in crate::wire) fn is_recording(&self) -> bool {
        self.is_recording
    }

    /// Ends the recording. `None` if it was not complete.
    pub(super) fn end(&mut self) -> Option<Vec<Logged>> {
        let log = std::mem::take(self);
        (log.is_recording && !log.has_overflowed).then_some(log.requests)
    }

    /// A request was sent.
    pub(in crate::wire) fn sent(
        &mut self,
        source: SourceId,
        request_id: u64,
        (operation, transaction): (Operation, u64),
        request: &Request<'_>,
    ) {
        if !self.is_recording {
            return;
        }
        if self.requests.len() == REQUESTS_MAX {
            self.has_overflowed = true;
            return;
        }
        let (key, name, layer) = place(request);
        let (name, layer, answer) = (name.to_vec(), layer.to_vec(), None);
        let details = details(request);
        self.requests.push(Logged {
            source,
            request_id,
            operation,
            transaction,
            key,
            name,
            layer,
            details,
            answer,
        });
    }

    /// A request was answered.
    pub(in crate::wire) fn answered(
        &mut self,
        source: SourceId,
        request_id: u64,
        status: u32,
        success: Option<&Success<'_>>,
    ) {
        let is_asked = |of: &&mut Logged| of.source == source && of.request_id == request_id;
        let Some(request) = self.requests.iter_mut().rev().find(is_asked) else { return };
        let mut answer = Answered { status, only_key: None, keys: Vec::new(), links: Vec::new() };
        if let Some(Success::Entries { entries, metadata }) = success {
            let is_key = |entry: &&PathEntry<'_>| entry.target != [0; 16];
            answer.only_key = only_key(entries);
            answer.keys = entries.iter().filter(is_key).map(|entry| entry.target).collect();
            let links = metadata.iter().filter(|key| key.symlink == 1);
            answer.links = links.map(|key| key.guid).collect();
        }
        request.answer = Some(answer);
    }
}

fn only_key(entries: &[PathEntry<'_>]) -> Option<Guid> {
    match entries {
        [entry] if entry.target != [0; 16] => Some(entry.target),
        _ => None,
    }
}

/// The key, the name and the layer that a request is about.
fn place<'a>(request: &Request<'a>) -> (Guid, &'a [u8], &'a [u8]) {
    const NONE: &[u8] = &[];
    match *request {
        Request::Lookup { parent, child_name } => (parent, child_name, NONE),
        Request::CreateEntry { parent, child_name, layer, .. }
        | Request::HideEntry { parent, child_name, layer, .. }
        | Request::DeleteEntry { parent, child_name, layer } => (parent, child_name, layer),
        Request::EnumChildren { parent } => (parent, NONE, NONE),
        Request::CreateKey { guid, name, .. } | Request::QueryValues { guid, name, .. } => {
            (guid, name, NONE)
        }
        Request::ReadKey { guid } | Request::WriteKey { guid, .. } | Request::DropKey { guid } => {
            (guid, NONE, NONE)
        }
        Request::SetValue { guid, name, layer, .. }
        | Request::DeleteValueEntry { guid, name, layer } => (guid, name, layer),
        Request::SetBlanketTombstone { guid, layer, .. } => (guid, NONE, layer),
        Request::Flush { hive_name } => ([0; 16], hive_name, NONE),
        Request::DeleteLayer { layer } => ([0; 16], NONE, layer),
        Request::BeginTransaction { .. }
        | Request::CommitTransaction { .. }
        | Request::AbortTransaction { .. } => ([0; 16], NONE, NONE),
    }
}

fn details(request: &Request<'_>) -> Details {
    match *request {
        Request::CreateEntry { child, .. } => Details::Child(child),
        Request::CreateKey { volatile_key, symlink, .. } => {
            Details::Flags { volatile_key, symlink }
        }
        Request::WriteKey { last_write_time, security_descriptor, .. } => Details::Fields {
            has_last_write_time: last_write_time.is_some(),
            has_security_descriptor: security_descriptor.is_some(),
        },
        Request::QueryValues { query_all, .. } => Details::Query { query_all },
        Request::SetValue { value_type, data, expected_sequence, .. } => {
            Details::Value { value_type, data: data.to_vec(), expected_sequence }
        }
        Request::SetBlanketTombstone { set, .. } => Details::Blanket { set },
        Request::BeginTransaction { transaction: id, mode } => Details::Begin { id, mode },
        Request::CommitTransaction { transaction: id }
        | Request::AbortTransaction { transaction: id } => Details::End { id },
        _ => Details::None,
    }
}
