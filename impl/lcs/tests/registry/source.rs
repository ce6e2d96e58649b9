//! A source that keeps everything in memory, with knobs for misbehaving.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use lcs::security::{Ace, Acl, SecurityDescriptor, Sid, ace_flag};
use lcs::{Device, HiveRegistration, Lcs, Registration};
use rsi::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, Request, Response, ResponseFrame,
    Status, ValueEntry, decode_request, encode_response,
};

use crate::world::{TestEnv, World};

#[derive(Clone)]
pub struct Key {
    name: Vec<u8>,
    parent: Guid,
    pub sd: Vec<u8>,
    pub volatile_key: bool,
    pub symlink: bool,
    pub last_write_time: u64,
}

/// What a source has stored; it outlives the source.
#[derive(Default)]
pub struct Store {
    pub keys: BTreeMap<Guid, Key>,
    pub entries: BTreeMap<(Guid, String, String), (Vec<u8>, PathEntry)>,
    pub values: BTreeMap<(Guid, String, String), ValueEntry>,
    pub blankets: BTreeMap<(Guid, String), BlanketEntry>,
    /// Requests received, in order.
    pub log: Vec<Operation>,
    /// Answers that are given instead of doing what is asked.
    pub refusals: BTreeMap<Operation, Status>,
    /// Operations whose next request is left lying until it is to be answered late.
    pub stalled: BTreeSet<Operation>,
    /// Operations whose next request is done, and its answer kept back until it is to be late.
    pub withheld: BTreeSet<Operation>,
    /// Whether some requests are left lying, or done and not answered, and which: by lot.
    pub dawdling: Option<u64>,
    /// Operations of which every request is left lying.
    pub ignored: BTreeSet<Operation>,
    /// The source is gone as soon as it reads this operation.
    pub dies_at: Option<Operation>,
    /// What each open transaction sees; none before its first mutation.
    pub transactions: BTreeMap<u64, Option<Content>>,
    /// What each open read-only transaction sees.
    pub snapshots: BTreeMap<u64, Content>,
    /// Transactions that have been committed.
    pub committed: Vec<u64>,
    /// Whether read-only transactions are refused.
    pub no_snapshots: bool,
    /// Whether transactions are refused.
    pub no_transactions: bool,
    /// Each request's transaction, in the order of `log`; 0 for none.
    pub within: Vec<u64>,
}

/// What a transaction works on until it commits.
#[derive(Default)]
pub struct Content {
    keys: BTreeMap<Guid, Key>,
    entries: BTreeMap<(Guid, String, String), (Vec<u8>, PathEntry)>,
    values: BTreeMap<(Guid, String, String), ValueEntry>,
    blankets: BTreeMap<(Guid, String), BlanketEntry>,
}

pub fn folded(name: &[u8]) -> String {
    std::str::from_utf8(name).unwrap().to_lowercase()
}

impl Store {
    pub fn with_roots(roots: &[Guid]) -> Self {
        let mut store = Self::default();
        for root in roots {
            store.keys.insert(*root, Key::new(b"", Guid::NULL, root_descriptor()));
        }
        store
    }

    pub fn max_sequence(&self) -> u64 {
        let paths = self.entries.values().map(|(_, entry)| entry.sequence);
        let values = self.values.values().map(|entry| entry.sequence);
        paths.chain(values).chain(self.blankets.values().map(|b| b.sequence)).max().unwrap_or(0)
    }

    /// What a start does: volatile keys are lost, names without a key, and keys without a name.
    pub fn recover(&mut self) {
        self.transactions.clear();
        self.snapshots.clear();
        let volatile: Vec<Guid> =
            self.keys.iter().filter(|(_, key)| key.volatile_key).map(|(guid, _)| *guid).collect();
        volatile.into_iter().for_each(|guid| self.drop_key(guid));
        let keys = &self.keys;
        self.entries
            .retain(|_, (_, entry)| entry.target.is_none_or(|guid| keys.contains_key(&guid)));
        let named = self.named();
        let orphans: Vec<Guid> = self
            .keys
            .iter()
            .filter(|(guid, key)| key.parent != Guid::NULL && !named.contains(guid))
            .map(|(guid, _)| *guid)
            .collect();
        orphans.into_iter().for_each(|guid| self.drop_key(guid));
    }

    fn drop_key(&mut self, guid: Guid) {
        self.keys.remove(&guid);
        self.entries.retain(|_, (_, entry)| entry.target != Some(guid));
        self.values.retain(|(key, _, _), _| *key != guid);
        self.blankets.retain(|(key, _), _| *key != guid);
    }

    fn metadata<'a>(&self, entries: impl Iterator<Item = &'a PathEntry>) -> Vec<KeyMetadata> {
        let named: BTreeSet<Guid> = entries.filter_map(|entry| entry.target).collect();
        let keys = named.into_iter().filter_map(|guid| Some((guid, self.keys.get(&guid)?)));
        keys.map(|(guid, key)| KeyMetadata {
            guid,
            sd: key.sd.clone(),
            volatile_key: key.volatile_key,
            symlink: key.symlink,
            last_write_time: key.last_write_time,
        })
        .collect()
    }

    fn answer(&mut self, transaction: u64, request: Request) -> Response {
        if let Some(status) = self.refusals.get(&request.operation()) {
            return Response::Failed(*status);
        }
        let done = match request {
            Request::BeginTransaction { .. } if self.no_transactions => {
                Err(Status::TransactionNotSupported)
            }
            Request::BeginTransaction { mode: 1, .. } if self.no_snapshots => {
                Err(Status::TransactionNotSupported)
            }
            Request::BeginTransaction { transaction, mode: 1 } => {
                self.snapshots.insert(transaction, self.content());
                Ok(Response::Done)
            }
            Request::BeginTransaction { transaction, .. } => {
                match self.transactions.insert(transaction, None) {
                    None => Ok(Response::Done),
                    Some(_) => Err(Status::Invalid),
                }
            }
            Request::CommitTransaction { transaction } => self.commit(transaction),
            Request::AbortTransaction { transaction } => {
                self.transactions.remove(&transaction);
                self.snapshots.remove(&transaction);
                Ok(Response::Done)
            }
            request if self.snapshots.contains_key(&transaction) => {
                self.read_snapshot(transaction, request)
            }
            request if transaction != 0 => self.perform_within(transaction, request),
            request if is_mutation(&request) && self.writer().is_some() => {
                Err(Status::TransactionBusy)
            }
            request => self.perform(request),
        };
        done.unwrap_or_else(Response::Failed)
    }

    /// Whether the next request is left lying, or its answer kept back.
    fn dawdles(&mut self) -> (bool, bool) {
        let Some(lot) = &mut self.dawdling else { return (false, false) };
        *lot = lot.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let drawn = *lot >> 58;
        (drawn == 0, drawn == 1)
    }

    /// The transaction that has written.
    fn writer(&self) -> Option<u64> {
        self.transactions.iter().find(|(_, content)| content.is_some()).map(|(id, _)| *id)
    }

    fn commit(&mut self, transaction: u64) -> Result<Response, Status> {
        let mut content = self.transactions.remove(&transaction).ok_or(Status::Invalid)?;
        if let Some(content) = &mut content {
            self.swap(content);
        }
        self.committed.push(transaction);
        Ok(Response::Done)
    }

    fn content(&self) -> Content {
        Content {
            keys: self.keys.clone(),
            entries: self.entries.clone(),
            values: self.values.clone(),
            blankets: self.blankets.clone(),
        }
    }

    fn read_snapshot(&mut self, transaction: u64, request: Request) -> Result<Response, Status> {
        if is_mutation(&request) {
            return Err(Status::Invalid);
        }
        let mut content = self.snapshots.remove(&transaction).ok_or(Status::Invalid)?;
        self.swap(&mut content);
        let result = self.perform(request);
        self.swap(&mut content);
        self.snapshots.insert(transaction, content);
        result
    }

    fn perform_within(&mut self, transaction: u64, request: Request) -> Result<Response, Status> {
        let mut content = self.transactions.remove(&transaction).ok_or(Status::Invalid)?;
        let writes = is_mutation(&request);
        if content.is_none() && writes && self.writer().is_none() {
            content = Some(self.content());
        }
        let result = match &mut content {
            Some(content) => {
                self.swap(content);
                let result = self.perform(request);
                self.swap(content);
                result
            }
            None if writes => Err(Status::TransactionBusy),
            None => self.perform(request),
        };
        self.transactions.insert(transaction, content);
        result
    }

    fn swap(&mut self, content: &mut Content) {
        std::mem::swap(&mut self.keys, &mut content.keys);
        std::mem::swap(&mut self.entries, &mut content.entries);
        std::mem::swap(&mut self.values, &mut content.values);
        std::mem::swap(&mut self.blankets, &mut content.blankets);
    }

    fn need(&self, guid: Guid) -> Result<&Key, Status> {
        self.keys.get(&guid).ok_or(Status::NotFound)
    }

    fn perform(&mut self, request: Request) -> Result<Response, Status> {
        match request {
            Request::Lookup { parent, child_name } => {
                self.need(parent)?;
                let name = folded(&child_name);
                let here = self.entries.iter().filter(|((p, n, _), _)| *p == parent && *n == name);
                let entries: Vec<PathEntry> = here.map(|(_, (_, entry))| entry.clone()).collect();
                let metadata = self.metadata(entries.iter());
                Ok(Response::Lookup { entries, metadata })
            }
            Request::EnumChildren { parent } => {
                self.need(parent)?;
                let mut children: BTreeMap<Vec<u8>, Vec<PathEntry>> = BTreeMap::new();
                for ((p, _, _), (name, entry)) in &self.entries {
                    if *p == parent {
                        children.entry(name.clone()).or_default().push(entry.clone());
                    }
                }
                let metadata = self.metadata(children.values().flatten());
                Ok(Response::EnumChildren { children: children.into_iter().collect(), metadata })
            }
            Request::CreateEntry { parent, child_name, layer, child, sequence } => {
                self.need(parent)?;
                let key = (parent, folded(&child_name), folded(&layer));
                if self.entries.contains_key(&key) {
                    return Err(Status::AlreadyExists);
                }
                let entry = PathEntry { layer, target: Some(child), sequence };
                self.entries.insert(key, (child_name, entry));
                Ok(Response::Done)
            }
            Request::HideEntry { parent, child_name, layer, sequence } => {
                self.need(parent)?;
                let key = (parent, folded(&child_name), folded(&layer));
                let entry = PathEntry { layer, target: None, sequence };
                self.entries.insert(key, (child_name, entry));
                Ok(Response::Done)
            }
            Request::DeleteEntry { parent, child_name, layer } => {
                self.entries.remove(&(parent, folded(&child_name), folded(&layer)));
                Ok(Response::Done)
            }
            Request::CreateKey { guid, name, parent, sd, volatile_key, symlink } => {
                if self.keys.contains_key(&guid) {
                    return Err(Status::AlreadyExists);
                }
                let key = Key { volatile_key, symlink, ..Key::new(&name, parent, sd) };
                self.keys.insert(guid, key);
                Ok(Response::Done)
            }
            Request::ReadKey { guid } => self.need(guid).map(|key| Response::ReadKey {
                name: key.name.clone(),
                parent: key.parent,
                sd: key.sd.clone(),
                volatile_key: key.volatile_key,
                symlink: key.symlink,
                last_write_time: key.last_write_time,
            }),
            Request::WriteKey { guid, sd, last_write_time, .. } => {
                let key = self.keys.get_mut(&guid).ok_or(Status::NotFound)?;
                key.last_write_time = last_write_time.unwrap_or(key.last_write_time);
                key.sd = sd.unwrap_or_else(|| key.sd.clone());
                Ok(Response::Done)
            }
            Request::DropKey { guid } => {
                self.drop_key(guid);
                Ok(Response::Done)
            }
            request => self.perform_on_values(request),
        }
    }

    fn perform_on_values(&mut self, request: Request) -> Result<Response, Status> {
        match request {
            Request::QueryValues { guid, value_name, query_all } => {
                self.need(guid)?;
                let name = folded(&value_name);
                let entries = self.values.iter();
                let entries =
                    entries.filter(|((k, n, _), _)| *k == guid && (query_all || *n == name));
                let blankets = self.blankets.iter().filter(|((k, _), _)| *k == guid);
                Ok(Response::QueryValues {
                    entries: entries.map(|(_, entry)| entry.clone()).collect(),
                    blankets: blankets.map(|(_, blanket)| blanket.clone()).collect(),
                })
            }
            Request::SetValue {
                guid,
                value_name,
                layer,
                value_type,
                data,
                sequence,
                expected_sequence,
            } => {
                self.need(guid)?;
                let key = (guid, folded(&value_name), folded(&layer));
                let current = self.values.get(&key).map(|entry| entry.sequence);
                if expected_sequence != 0 && current != Some(expected_sequence) {
                    return Err(Status::ConditionFailed);
                }
                let entry = ValueEntry { name: value_name, layer, value_type, data, sequence };
                self.values.insert(key, entry);
                Ok(Response::Done)
            }
            Request::DeleteValueEntry { guid, value_name, layer } => {
                self.values.remove(&(guid, folded(&value_name), folded(&layer)));
                Ok(Response::Done)
            }
            Request::SetBlanketTombstone { guid, layer, set, sequence } => {
                self.need(guid)?;
                let key = (guid, folded(&layer));
                if set {
                    self.blankets.insert(key, BlanketEntry { layer, sequence });
                } else {
                    self.blankets.remove(&key);
                }
                Ok(Response::Done)
            }
            Request::DeleteLayer { layer } => {
                let layer = folded(&layer);
                let before: BTreeSet<Guid> = self.named();
                self.entries.retain(|(_, _, l), _| *l != layer);
                self.values.retain(|(_, _, l), _| *l != layer);
                self.blankets.retain(|(_, l), _| *l != layer);
                let after = self.named();
                Ok(Response::DeleteLayer { orphaned: before.difference(&after).copied().collect() })
            }
            Request::Flush { .. } => Ok(Response::Done),
            _ => Err(Status::Invalid),
        }
    }

    fn named(&self) -> BTreeSet<Guid> {
        self.entries.values().filter_map(|(_, entry)| entry.target).collect()
    }
}

impl Key {
    pub fn new(name: &[u8], parent: Guid, sd: Vec<u8>) -> Self {
        let name = name.to_vec();
        Self { name, parent, sd, volatile_key: false, symlink: false, last_write_time: 77 }
    }
}

fn is_mutation(request: &Request) -> bool {
    !matches!(
        request,
        Request::Lookup { .. }
            | Request::EnumChildren { .. }
            | Request::ReadKey { .. }
            | Request::QueryValues { .. }
    )
}

/// What a hive root is made with.
pub fn root_descriptor() -> Vec<u8> {
    let allow = |mask, sid| Ace::allow(ace_flag::CONTAINER_INHERIT, mask, sid);
    SecurityDescriptor {
        reserved: 0,
        control: 0,
        owner: Some(Sid::SYSTEM),
        group: Some(Sid::SYSTEM),
        sacl: None,
        dacl: Some(Acl::new(vec![
            allow(abi::KEY_ALL_ACCESS, Sid::SYSTEM),
            allow(abi::KEY_ALL_ACCESS, Sid::ADMINISTRATORS),
            allow(abi::KEY_READ, Sid::AUTHENTICATED_USERS),
        ])),
    }
    .to_bytes()
}

/// What is still to be answered.
enum Late {
    /// A request that has not been looked at.
    Request(Vec<u8>),
    /// The answer to one that has been done.
    Answer(Vec<u8>),
}

/// A source process: a store, the hives it serves, and its device while it runs.
pub struct Source {
    pub store: Arc<Mutex<Store>>,
    hives: Vec<HiveRegistration>,
    device: Option<Rc<Device<TestEnv>>>,
    late: Arc<Mutex<Vec<Late>>>,
}

pub fn hive(name: &str, root: u8) -> HiveRegistration {
    HiveRegistration { name: name.into(), root: Guid([root; 16]), flags: 0, scope: Guid::NULL }
}

impl Source {
    pub fn new(hives: Vec<HiveRegistration>) -> Self {
        let roots: Vec<Guid> = hives.iter().map(|hive| hive.root).collect();
        let store = Arc::new(Mutex::new(Store::with_roots(&roots)));
        Self { store, hives, device: None, late: Arc::default() }
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    /// Starts the source process and registers it.
    pub fn start(&mut self, world: &World, lcs: &Lcs<TestEnv>) -> Result<(), abi::Errno> {
        let token = Arc::new(lcs::security::Token::system());
        let device = Rc::new(lcs.open_device(&token)?);
        self.store().recover();
        let max_sequence = self.store().max_sequence();
        device.register(&Registration { hives: self.hives.clone(), max_sequence })?;
        self.late.lock().unwrap().clear();
        let (serving, store, late) =
            (Rc::clone(&device), Arc::clone(&self.store), Arc::clone(&self.late));
        world.spawn(async move { serve(&serving, &store, &late).await });
        self.device = Some(device);
        Ok(())
    }

    pub fn kill(&mut self) {
        if let Some(device) = self.device.take() {
            device.close();
        }
    }

    /// How many answers are due.
    pub fn late_count(&self) -> usize {
        self.late.lock().unwrap().len()
    }

    /// Answers what was left lying, in order.
    pub fn answer_late(&self) {
        self.store().stalled.clear();
        self.answer_first();
    }

    /// As [`Source::answer_late`]; what is to be left lying next is left.
    pub fn answer_first(&self) {
        for response in self.late_answers() {
            self.device.as_ref().unwrap().write(&response).unwrap();
        }
    }

    /// Answers one of those that were left lying, by lot; false if there is none.
    pub fn answer_one(&self, lot: usize) -> bool {
        let mut late = self.late.lock().unwrap();
        if late.is_empty() {
            return false;
        }
        let index = lot % late.len();
        let one = late.remove(index);
        let rest = std::mem::replace(&mut *late, vec![one]);
        drop(late);
        self.answer_first();
        let mut late = self.late.lock().unwrap();
        let new = std::mem::replace(&mut *late, rest);
        late.extend(new);
        true
    }

    /// Answers what was left lying with data that no source may send.
    pub fn answer_malformed(&self) {
        for mut response in self.late_answers() {
            response.push(0);
            response[0] += 1;
            self.device.as_ref().unwrap().write(&response).unwrap();
        }
    }

    /// Answers what was left lying with half a frame.
    pub fn answer_broken(&self) {
        for response in self.late_answers() {
            let half = &response[..response.len() - 1];
            assert_eq!(self.device.as_ref().unwrap().write(half), Err(abi::Errno::EINVAL));
        }
    }

    fn late_answers(&self) -> Vec<Vec<u8>> {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        let answer = |late| match late {
            Late::Request(frame) => respond(&mut self.store(), &frame),
            Late::Answer(response) => response,
        };
        late.into_iter().map(answer).collect()
    }

    pub fn count(&self, operation: Operation) -> usize {
        self.store().log.iter().filter(|logged| **logged == operation).count()
    }
}

async fn serve(device: &Device<TestEnv>, store: &Mutex<Store>, late: &Mutex<Vec<Late>>) {
    while let Ok(frame) = device.read().await {
        let request = decode_request(&frame).unwrap();
        let operation = request.request.operation();
        let mut store = store.lock().unwrap();
        store.log.push(operation);
        store.within.push(request.transaction.map_or(0, |transaction| transaction.0));
        if store.dies_at == Some(operation) {
            drop(store);
            return device.close();
        }
        let (is_stalled, is_withheld) = store.dawdles();
        let is_stalled = is_stalled || store.ignored.contains(&operation);
        if store.stalled.remove(&operation) || is_stalled {
            late.lock().unwrap().push(Late::Request(frame));
            continue;
        }
        let response = respond(&mut store, &frame);
        if store.withheld.remove(&operation) || is_withheld {
            late.lock().unwrap().push(Late::Answer(response));
            continue;
        }
        drop(store);
        device.write(&response).unwrap();
    }
}

fn respond(store: &mut Store, frame: &[u8]) -> Vec<u8> {
    let request = decode_request(frame).unwrap();
    let operation = request.request.operation();
    let transaction = request.transaction.map_or(0, |transaction| transaction.0);
    let response = store.answer(transaction, request.request);
    encode_response(&ResponseFrame { id: request.id, operation, response })
}
