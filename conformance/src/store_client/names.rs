//! What the names of a plan mean: GUIDs of keys and ids of transactions, and back.

use std::collections::BTreeMap;

use registry_model::store::{Guid, Operation, Registration, Request};
use xxhash_rust::xxh3::xxh3_128;

use super::plan::{KeyName, PlannedOperation, PlannedRequest, StoreStep, TransactionName};
use crate::wire::codec;

/// The names of a plan, once its source has registered.
#[derive(Clone, Debug, Default)]
pub struct Names {
    hives: Vec<String>,
    roots: Vec<Guid>,
    /// The names of GUIDs that are no roots.
    keys: BTreeMap<Guid, String>,
    /// Ids in the order in which the plan first names its transactions, from 1.
    transactions: BTreeMap<String, u64>,
}

impl Names {
    /// The names of the steps of a plan with these hives.
    pub fn of(hives: Vec<String>, steps: &[StoreStep]) -> Names {
        let mut names = Names { hives, ..Names::default() };
        for step in steps {
            let StoreStep::Send { request, .. } = step else { continue };
            for key in request.operation.keys() {
                if let KeyName::Named(name) = key {
                    names.keys.insert(guid_of(name), name.clone());
                }
            }
            let in_payload = match &request.operation {
                PlannedOperation::Begin { transaction, .. }
                | PlannedOperation::Commit { transaction }
                | PlannedOperation::Abort { transaction } => Some(transaction),
                _ => None,
            };
            for name in in_payload.into_iter().chain(&request.transaction) {
                if let TransactionName::Named(name) = name {
                    let next = names.transactions.len() as u64 + 1;
                    names.transactions.entry(name.clone()).or_insert(next);
                }
            }
        }
        names
    }

    /// Learns the roots of the hives.
    pub fn registered(&mut self, registration: &Registration) {
        let root = |name: &String| {
            let mut hives = registration.hives.iter();
            hives.find(|hive| hive.name == name.as_bytes()).map_or(Guid::ZERO, |hive| hive.root)
        };
        self.roots = self.hives.iter().map(root).collect();
    }

    /// The roots and every key that the plan names, in order.
    pub fn known_keys(&self) -> impl Iterator<Item = Guid> + '_ {
        self.roots.iter().chain(self.keys.keys()).copied()
    }

    /// The hives of the plan.
    pub fn hives(&self) -> &[String] {
        &self.hives
    }

    /// The GUID that a name means; the null GUID for a root that was not registered.
    pub fn guid(&self, key: &KeyName) -> Guid {
        match key {
            KeyName::Root(hive) => self.roots.get(*hive).copied().unwrap_or(Guid::ZERO),
            KeyName::Named(name) => guid_of(name),
            KeyName::Nil => Guid::ZERO,
            KeyName::Literal(bytes) => Guid(*bytes),
        }
    }

    /// The name that means a GUID.
    pub fn key(&self, guid: Guid) -> KeyName {
        let root = self.roots.iter().position(|root| *root == guid && guid != Guid::ZERO);
        if let Some(hive) = root {
            return KeyName::Root(hive);
        }
        match self.keys.get(&guid) {
            Some(name) => KeyName::Named(name.clone()),
            None if guid == Guid::ZERO => KeyName::Nil,
            None => KeyName::Literal(guid.0),
        }
    }

    fn transaction(&self, name: &TransactionName) -> u64 {
        match name {
            TransactionName::Named(name) => self.transactions.get(name).copied().unwrap_or(0),
            TransactionName::Number(number) => *number,
        }
    }

    /// The request that a planned one means.
    pub fn request(&self, planned: &PlannedRequest) -> Request {
        let operation = self.operation(&planned.operation);
        let own = match operation {
            Operation::BeginTransaction { transaction, .. }
            | Operation::CommitTransaction { transaction }
            | Operation::AbortTransaction { transaction } => transaction,
            _ => 0,
        };
        let transaction = planned.transaction.as_ref().map_or(own, |name| self.transaction(name));
        let request = Request { transaction, operation, trailing: planned.trailing.clone() };
        if !codec::is_malformed(&request) {
            return request;
        }
        // Raw bytes may still be what their op code asks for.
        let read = codec::decode_request(&codec::encode_request(0, &request));
        read.map_or(request, |(_, read)| read)
    }

    fn operation(&self, planned: &PlannedOperation) -> Operation {
        match planned {
            PlannedOperation::Lookup { parent, name } => {
                Operation::Lookup { parent: self.guid(parent), child_name: name.0.clone() }
            }
            PlannedOperation::CreateEntry { parent, name, layer, child, sequence } => {
                Operation::CreateEntry {
                    parent: self.guid(parent),
                    child_name: name.0.clone(),
                    layer: layer.0.clone(),
                    child: self.guid(child),
                    sequence: *sequence,
                }
            }
            PlannedOperation::HideEntry { parent, name, layer, sequence } => Operation::HideEntry {
                parent: self.guid(parent),
                child_name: name.0.clone(),
                layer: layer.0.clone(),
                sequence: *sequence,
            },
            PlannedOperation::DeleteEntry { parent, name, layer } => Operation::DeleteEntry {
                parent: self.guid(parent),
                child_name: name.0.clone(),
                layer: layer.0.clone(),
            },
            PlannedOperation::EnumChildren { parent } => {
                Operation::EnumChildren { parent: self.guid(parent) }
            }
            PlannedOperation::Begin { transaction, mode } => Operation::BeginTransaction {
                transaction: self.transaction(transaction),
                mode: *mode,
            },
            PlannedOperation::Commit { transaction } => {
                Operation::CommitTransaction { transaction: self.transaction(transaction) }
            }
            PlannedOperation::Abort { transaction } => {
                Operation::AbortTransaction { transaction: self.transaction(transaction) }
            }
            PlannedOperation::Flush { hive } => Operation::Flush { hive_name: hive.0.clone() },
            PlannedOperation::DeleteLayer { layer } => {
                Operation::DeleteLayer { layer: layer.0.clone() }
            }
            PlannedOperation::Raw { op_code, payload } => {
                Operation::Malformed { op_code: *op_code, payload: payload.clone() }
            }
            _ => self.record_operation(planned),
        }
    }

    /// Operations on key records and values.
    fn record_operation(&self, planned: &PlannedOperation) -> Operation {
        match planned {
            PlannedOperation::CreateKey {
                key,
                parent,
                name,
                security_descriptor,
                volatile_key,
                symlink,
            } => Operation::CreateKey {
                guid: self.guid(key),
                name: name.0.clone(),
                parent: self.guid(parent),
                security_descriptor: security_descriptor.clone(),
                volatile_key: u8::from(*volatile_key),
                symlink: u8::from(*symlink),
            },
            PlannedOperation::ReadKey { key } => Operation::ReadKey { guid: self.guid(key) },
            PlannedOperation::WriteKey {
                key,
                security_descriptor,
                last_write_time,
                undefined_mask_bits,
            } => Operation::WriteKey {
                guid: self.guid(key),
                security_descriptor: security_descriptor.clone(),
                last_write_time: *last_write_time,
                undefined_mask_bits: *undefined_mask_bits,
            },
            PlannedOperation::DropKey { key } => Operation::DropKey { guid: self.guid(key) },
            PlannedOperation::QueryValues { key, name } => Operation::QueryValues {
                guid: self.guid(key),
                name: name.as_ref().map_or_else(Vec::new, |name| name.0.clone()),
                query_all: u8::from(name.is_none()),
            },
            PlannedOperation::SetValue {
                key,
                name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            } => Operation::SetValue {
                guid: self.guid(key),
                name: name.0.clone(),
                layer: layer.0.clone(),
                value_type: *value_type,
                data: data.clone(),
                sequence: *sequence,
                expected_sequence: *expected_sequence,
            },
            PlannedOperation::DeleteValueEntry { key, name, layer } => {
                Operation::DeleteValueEntry {
                    guid: self.guid(key),
                    name: name.0.clone(),
                    layer: layer.0.clone(),
                }
            }
            PlannedOperation::SetBlanketTombstone { key, layer, set, sequence } => {
                Operation::SetBlanketTombstone {
                    guid: self.guid(key),
                    layer: layer.0.clone(),
                    set: u8::from(*set),
                    sequence: *sequence,
                }
            }
            other => unreachable!("{other:?} is in `operation`"),
        }
    }
}

/// The GUID that a name means: never null, the same in every run.
fn guid_of(name: &str) -> Guid {
    Guid(xxh3_128(name.as_bytes()).max(1).to_le_bytes())
}
