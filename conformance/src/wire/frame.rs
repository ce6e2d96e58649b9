//! Frames taken apart, straight from the tables of PSD-005 §11.3.
//!
//! Says whether bytes have the shape of a message and nothing of whether the message is right:
//! names and data stay bytes here. Every length is checked against what is there.

use super::rules::Rule;

/// A 128-bit identifier in wire order.
pub(super) type Guid = [u8; 16];

/// Bytes that do not have the shape of their table, in words.
pub(super) type ShapeError = String;

macro_rules! operations {
    ($($name:ident = $code:literal $text:literal $request:ident $response:ident;)*) => {
        /// An operation of §11.3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {
            $($name,)*
        }

        impl Operation {
            pub(super) const ALL: &[Operation] = &[$(Operation::$name),*];

            pub(super) fn code(self) -> u16 {
                match self { $(Operation::$name => $code,)* }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Operation::$name => $text,)* }
            }

            pub(super) fn request_rule(self) -> Rule {
                match self { $(Operation::$name => Rule::$request,)* }
            }

            pub(super) fn response_rule(self) -> Rule {
                match self { $(Operation::$name => Rule::$response,)* }
            }
        }
    };
}

operations! {
    Lookup = 0x01 "RSI_LOOKUP" LookupRequest LookupResponse;
    CreateEntry = 0x02 "RSI_CREATE_ENTRY" CreateEntryRequest CreateEntryResponse;
    HideEntry = 0x03 "RSI_HIDE_ENTRY" HideEntryRequest HideEntryResponse;
    DeleteEntry = 0x04 "RSI_DELETE_ENTRY" DeleteEntryRequest DeleteEntryResponse;
    EnumChildren = 0x05 "RSI_ENUM_CHILDREN" EnumChildrenRequest EnumChildrenResponse;
    CreateKey = 0x10 "RSI_CREATE_KEY" CreateKeyRequest CreateKeyResponse;
    ReadKey = 0x11 "RSI_READ_KEY" ReadKeyRequest ReadKeyResponse;
    WriteKey = 0x12 "RSI_WRITE_KEY" WriteKeyRequest WriteKeyResponse;
    DropKey = 0x13 "RSI_DROP_KEY" DropKeyRequest DropKeyResponse;
    QueryValues = 0x20 "RSI_QUERY_VALUES" QueryValuesRequest QueryValuesResponse;
    SetValue = 0x21 "RSI_SET_VALUE" SetValueRequest SetValueResponse;
    DeleteValueEntry = 0x22 "RSI_DELETE_VALUE_ENTRY" DeleteValueEntryRequest DeleteValueEntryResponse;
    SetBlanketTombstone = 0x23 "RSI_SET_BLANKET_TOMBSTONE"
        SetBlanketTombstoneRequest SetBlanketTombstoneResponse;
    BeginTransaction = 0x30 "RSI_BEGIN_TRANSACTION" BeginTransactionRequest BeginTransactionResponse;
    CommitTransaction = 0x31 "RSI_COMMIT_TRANSACTION"
        CommitTransactionRequest CommitTransactionResponse;
    AbortTransaction = 0x32 "RSI_ABORT_TRANSACTION" AbortTransactionRequest AbortTransactionResponse;
    Flush = 0x40 "RSI_FLUSH" FlushRequest FlushResponse;
    DeleteLayer = 0x50 "RSI_DELETE_LAYER" DeleteLayerRequest DeleteLayerResponse;
}

impl Operation {
    pub(super) fn from_code(code: u16) -> Option<Operation> {
        Operation::ALL.iter().copied().find(|operation| operation.code() == code)
    }
}

/// Bit 15 of a response's op code.
pub(super) const RESPONSE_BIT: u16 = 0x8000;

/// The fields of a header. A response has no `transaction`; it is 0 there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) total_length: u32,
    pub(super) request_id: u64,
    pub(super) op_code: u16,
    pub(super) transaction: u64,
}

/// Takes the header off a message. `None` if the message is shorter than one.
pub(super) fn split_header(bytes: &[u8], is_request: bool) -> Option<(Header, &[u8])> {
    let mut reader = Reader { rest: bytes };
    let total_length = reader.u32().ok()?;
    let request_id = reader.u64().ok()?;
    let op_code = reader.u16().ok()?;
    let transaction = if is_request { reader.u64().ok()? } else { 0 };
    Some((Header { total_length, request_id, op_code, transaction }, reader.rest))
}

/// The payload of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Lookup {
        parent: Guid,
        child_name: &'a [u8],
    },
    CreateEntry {
        parent: Guid,
        child_name: &'a [u8],
        layer: &'a [u8],
        child: Guid,
        sequence: u64,
    },
    HideEntry {
        parent: Guid,
        child_name: &'a [u8],
        layer: &'a [u8],
        sequence: u64,
    },
    DeleteEntry {
        parent: Guid,
        child_name: &'a [u8],
        layer: &'a [u8],
    },
    EnumChildren {
        parent: Guid,
    },
    CreateKey {
        guid: Guid,
        name: &'a [u8],
        parent: Guid,
        security_descriptor: &'a [u8],
        volatile_key: u8,
        symlink: u8,
    },
    ReadKey {
        guid: Guid,
    },
    WriteKey {
        guid: Guid,
        field_mask: u32,
        security_descriptor: Option<&'a [u8]>,
        last_write_time: Option<u64>,
    },
    DropKey {
        guid: Guid,
    },
    QueryValues {
        guid: Guid,
        name: &'a [u8],
        query_all: u8,
    },
    SetValue {
        guid: Guid,
        name: &'a [u8],
        layer: &'a [u8],
        value_type: u32,
        data: &'a [u8],
        sequence: u64,
        expected_sequence: u64,
    },
    DeleteValueEntry {
        guid: Guid,
        name: &'a [u8],
        layer: &'a [u8],
    },
    SetBlanketTombstone {
        guid: Guid,
        layer: &'a [u8],
        set: u8,
        sequence: u64,
    },
    BeginTransaction {
        transaction: u64,
        mode: u32,
    },
    CommitTransaction {
        transaction: u64,
    },
    AbortTransaction {
        transaction: u64,
    },
    Flush {
        hive_name: &'a [u8],
    },
    DeleteLayer {
        layer: &'a [u8],
    },
}

/// One layer's path entry in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathEntry<'a> {
    pub(super) layer: &'a [u8],
    pub(super) target_type: u8,
    pub(super) target: Guid,
    pub(super) sequence: u64,
}

/// Metadata of one key in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyMetadata<'a> {
    pub(super) guid: Guid,
    pub(super) security_descriptor: &'a [u8],
    pub(super) volatile_key: u8,
    pub(super) symlink: u8,
    pub(super) last_write_time: u64,
}

/// One value entry in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueEntry<'a> {
    pub(super) name: &'a [u8],
    pub(super) layer: &'a [u8],
    pub(super) value_type: u32,
    pub(super) data: &'a [u8],
    pub(super) sequence: u64,
}

/// What follows the status of a successful response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Success<'a> {
    StatusOnly,
    Entries { entries: Vec<PathEntry<'a>>, metadata: Vec<KeyMetadata<'a>> },
    Children { children: Vec<(&'a [u8], Vec<PathEntry<'a>>)>, metadata: Vec<KeyMetadata<'a>> },
    Key { name: &'a [u8], parent: Guid, metadata: KeyMetadata<'a> },
    Values { entries: Vec<ValueEntry<'a>>, blankets: Vec<(&'a [u8], u64)> },
    Orphans(Vec<Guid>),
}

/// Reads a request's payload, which ends with the last field of its table.
pub(super) fn parse_request(
    operation: Operation,
    payload: &[u8],
) -> Result<Request<'_>, ShapeError> {
    let mut reader = Reader { rest: payload };
    let request = reader.request(operation)?;
    reader.finish()?;
    if let Request::QueryValues { name: [_, ..], query_all: 1, .. } = request {
        return Err("query_all goes with an empty name".to_owned());
    }
    Ok(request)
}

/// Reads a request's payload as a source does, which passes over what follows the last field that
/// it knows (SRC-60). Returns that, too.
pub(super) fn parse_request_and_rest(
    operation: Operation,
    payload: &[u8],
) -> Result<(Request<'_>, &[u8]), ShapeError> {
    let mut reader = Reader { rest: payload };
    let request = reader.request(operation)?;
    Ok((request, reader.rest))
}

/// Reads a response's payload: the status, and the rest if it is 0. A failure has no rest.
pub(super) fn parse_response(
    operation: Operation,
    payload: &[u8],
) -> Result<(u32, Option<Success<'_>>), ShapeError> {
    let mut reader = Reader { rest: payload };
    let status = reader.u32()?;
    let success = if status == 0 { Some(reader.success(operation)?) } else { None };
    reader.finish()?;
    Ok((status, success))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], ShapeError> {
        let left = self.rest.len();
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| format!("a field of {length} bytes has only {left} left"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn guid(&mut self) -> Result<Guid, ShapeError> {
        self.array()
    }

    fn u8(&mut self) -> Result<u8, ShapeError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, ShapeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ShapeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ShapeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A byte that is 0 or 1.
    fn flag(&mut self) -> Result<u8, ShapeError> {
        match self.u8()? {
            flag @ (0 | 1) => Ok(flag),
            other => Err(format!("a flag is {other}")),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], ShapeError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    /// A counted array. The count may claim anything: reading ends with the bytes.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<T, ShapeError>,
    ) -> Result<Vec<T>, ShapeError> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn finish(&self) -> Result<(), ShapeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes follow the last field")),
        }
    }

    fn request(&mut self, operation: Operation) -> Result<Request<'a>, ShapeError> {
        Ok(match operation {
            Operation::Lookup => {
                Request::Lookup { parent: self.guid()?, child_name: self.bytes()? }
            }
            Operation::CreateEntry => Request::CreateEntry {
                parent: self.guid()?,
                child_name: self.bytes()?,
                layer: self.bytes()?,
                child: self.guid()?,
                sequence: self.u64()?,
            },
            Operation::HideEntry => Request::HideEntry {
                parent: self.guid()?,
                child_name: self.bytes()?,
                layer: self.bytes()?,
                sequence: self.u64()?,
            },
            Operation::DeleteEntry => Request::DeleteEntry {
                parent: self.guid()?,
                child_name: self.bytes()?,
                layer: self.bytes()?,
            },
            Operation::EnumChildren => Request::EnumChildren { parent: self.guid()? },
            Operation::CreateKey => Request::CreateKey {
                guid: self.guid()?,
                name: self.bytes()?,
                parent: self.guid()?,
                security_descriptor: self.bytes()?,
                volatile_key: self.flag()?,
                symlink: self.flag()?,
            },
            Operation::ReadKey => Request::ReadKey { guid: self.guid()? },
            Operation::WriteKey => self.write_key()?,
            Operation::DropKey => Request::DropKey { guid: self.guid()? },
            Operation::QueryValues => self.query_values()?,
            Operation::SetValue => Request::SetValue {
                guid: self.guid()?,
                name: self.bytes()?,
                layer: self.bytes()?,
                value_type: self.u32()?,
                data: self.bytes()?,
                sequence: self.u64()?,
                expected_sequence: self.u64()?,
            },
            Operation::DeleteValueEntry => Request::DeleteValueEntry {
                guid: self.guid()?,
                name: self.bytes()?,
                layer: self.bytes()?,
            },
            Operation::SetBlanketTombstone => Request::SetBlanketTombstone {
                guid: self.guid()?,
                layer: self.bytes()?,
                set: self.flag()?,
                sequence: self.u64()?,
            },
            Operation::BeginTransaction => self.begin_transaction()?,
            Operation::CommitTransaction => Request::CommitTransaction { transaction: self.u64()? },
            Operation::AbortTransaction => Request::AbortTransaction { transaction: self.u64()? },
            Operation::Flush => Request::Flush { hive_name: self.bytes()? },
            Operation::DeleteLayer => Request::DeleteLayer { layer: self.bytes()? },
        })
    }

    fn write_key(&mut self) -> Result<Request<'a>, ShapeError> {
        let guid = self.guid()?;
        let field_mask = self.u32()?;
        let security_descriptor = if field_mask & 1 != 0 { Some(self.bytes()?) } else { None };
        let last_write_time = if field_mask & 2 != 0 { Some(self.u64()?) } else { None };
        if field_mask & !3 != 0 {
            // The size of an unknown field is unknown; the mask is judged elsewhere.
            self.rest = &[];
        }
        Ok(Request::WriteKey { guid, field_mask, security_descriptor, last_write_time })
    }

    fn query_values(&mut self) -> Result<Request<'a>, ShapeError> {
        let (guid, name, query_all) = (self.guid()?, self.bytes()?, self.flag()?);
        Ok(Request::QueryValues { guid, name, query_all })
    }

    fn begin_transaction(&mut self) -> Result<Request<'a>, ShapeError> {
        match (self.u64()?, self.u32()?) {
            (transaction, mode @ (0 | 1)) => Ok(Request::BeginTransaction { transaction, mode }),
            (_, mode) => Err(format!("mode {mode} is unknown")),
        }
    }

    fn success(&mut self, operation: Operation) -> Result<Success<'a>, ShapeError> {
        Ok(match operation {
            Operation::Lookup => Success::Entries {
                entries: self.list(Reader::path_entry)?,
                metadata: self.list(Reader::key_metadata)?,
            },
            Operation::EnumChildren => Success::Children {
                children: self
                    .list(|reader| Ok((reader.bytes()?, reader.list(Reader::path_entry)?)))?,
                metadata: self.list(Reader::key_metadata)?,
            },
            Operation::ReadKey => {
                let (name, parent) = (self.bytes()?, self.guid()?);
                Success::Key { name, parent, metadata: self.metadata_of([0; 16])? }
            }
            Operation::QueryValues => Success::Values {
                entries: self.list(Reader::value_entry)?,
                blankets: self.list(|reader| Ok((reader.bytes()?, reader.u64()?)))?,
            },
            Operation::DeleteLayer => Success::Orphans(self.list(Reader::guid)?),
            _ => Success::StatusOnly,
        })
    }

    fn path_entry(&mut self) -> Result<PathEntry<'a>, ShapeError> {
        Ok(PathEntry {
            layer: self.bytes()?,
            target_type: self.u8()?,
            target: self.guid()?,
            sequence: self.u64()?,
        })
    }

    fn key_metadata(&mut self) -> Result<KeyMetadata<'a>, ShapeError> {
        let guid = self.guid()?;
        self.metadata_of(guid)
    }

    fn metadata_of(&mut self, guid: Guid) -> Result<KeyMetadata<'a>, ShapeError> {
        let security_descriptor = self.bytes()?;
        let (volatile_key, symlink) = (self.flag()?, self.flag()?);
        let last_write_time = self.u64()?;
        Ok(KeyMetadata { guid, security_descriptor, volatile_key, symlink, last_write_time })
    }

    fn value_entry(&mut self) -> Result<ValueEntry<'a>, ShapeError> {
        Ok(ValueEntry {
            name: self.bytes()?,
            layer: self.bytes()?,
            value_type: self.u32()?,
            data: self.bytes()?,
            sequence: self.u64()?,
        })
    }
}
