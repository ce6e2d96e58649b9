//! Requests: what the kernel may send.

use registry_model::input::SourceId;

use super::WireMonitor;
use super::connection::{Effect, Sent};
use super::fields;
use super::frame::{self, Guid, Header, Operation, Request};
use super::late::Next;
use super::records::Moment;
use super::rules::{Failure, Rule};
use super::sequences::Calls;
use super::settings;
use super::statuses::Answerable;

impl WireMonitor {
    /// Checks a request and puts it in flight.
    pub(super) fn request(&mut self, source: SourceId, bytes: &[u8]) -> Result<(), Failure> {
        self.registered_connection(source)?;
        let (header, payload) = frame::split_header(bytes, true).ok_or_else(|| {
            Failure::new(Rule::RequestHeader, format!("the message has {} bytes", bytes.len()))
        })?;
        self.held.mark(Rule::RequestHeader);
        let stated = header.total_length as usize;
        self.held.require(Rule::TotalLength, stated == bytes.len(), || {
            format!("total_len is {stated}, and there are {} bytes", bytes.len())
        })?;
        let operation = Operation::from_code(header.op_code).ok_or_else(|| {
            Failure::new(Rule::KnownOpCode, format!("the op code is {:#06x}", header.op_code))
        })?;
        let connection = self.connections.entry(source).or_default();
        connection.accept_id(&mut self.held, header.request_id)?;
        // From here on the request is in flight, right or wrong: an answer to it is no fault.
        let parsed = frame::parse_request(operation, payload)
            .map_err(|shape| Failure::new(operation.request_rule(), shape));
        let effect = parsed.as_ref().map_or(Effect::Nothing, |parsed| effect(parsed, &header));
        let effect = match &parsed {
            Ok(parsed) => self.removal(source, parsed, &header).unwrap_or(effect),
            Err(_) => effect,
        };
        let answerable = parsed.as_ref().map_or_else(
            |_| Answerable::default(),
            |parsed| Answerable::of(parsed, source, &self.transactions, &self.records),
        );
        let moment = parsed.as_ref().map_or_else(
            |_| Moment::default(),
            |parsed| self.records.sent(source, header.transaction, parsed),
        );
        let is_numbered = parsed.as_ref().is_ok_and(|parsed| sequence(parsed).is_some());
        match effect {
            Effect::Touched { transaction: 0, guid, rule } => {
                self.obligations.touched(source, guid, rule);
            }
            // A restore brings its last write times with it.
            Effect::Touched { transaction, .. } if self.transfers.is_restore(transaction) => {}
            Effect::Touched { transaction, guid, rule } => {
                self.transactions.touched(transaction, guid, rule);
            }
            _ => {}
        }
        let transaction = header.transaction;
        let sent_at = self.now;
        let next = parsed.as_ref().ok().and_then(Next::after);
        let sent =
            Sent { operation, effect, is_numbered, next, transaction, answerable, moment, sent_at };
        let connection = self.connections.entry(source).or_default();
        let in_flight_max = self.parameters.in_flight_max();
        connection.sent(&mut self.held, header.request_id, sent, in_flight_max)?;
        let request = parsed?;
        self.held.mark(operation.request_rule());
        self.held.mark(Rule::NoIdentity);
        if is_mutation(&request) {
            self.held.mark(Rule::NoGeneration);
        }
        let is_between = self.is_told_of_calls && !self.call_rules.log.is_recording();
        let kind = (operation, header.transaction);
        let is_cut_off = self.late.takes_commit(&request);
        if !is_cut_off {
            self.call_rules.log.sent(source, header.request_id, kind, &request);
        }
        let located = |failure: Failure| Failure {
            message: format!("{} {}: {}", operation.name(), header.request_id, failure.message),
            ..failure
        };
        self.names(&request).map_err(located)?;
        if is_between {
            let allowed = is_cut_off
                || settings::may_come_between_calls(&request)
                || self.late.takes(source, &request);
            let message = || "no call is under way".to_owned();
            self.held.require(Rule::BetweenCalls, allowed, message).map_err(located)?;
        }
        self.settings.sent(&mut self.held, source, &request);
        self.contents(&request).map_err(located)?;
        let highest = self.sequences.highest();
        self.transfers
            .sent(&mut self.held, header.transaction, &request, highest)
            .map_err(located)?;
        self.transaction(source, &request, &header).map_err(located)?;
        self.sequence_number(source, &request, &header).map_err(located)?;
        self.consequences(source, &request, &header).map_err(located)
    }

    /// Puts a request in flight whose sender is not to be judged.
    pub(super) fn unjudged_request(&mut self, source: SourceId, bytes: &[u8]) {
        let Some((header, payload)) = frame::split_header(bytes, true) else { return };
        let Some(operation) = Operation::from_code(header.op_code) else { return };
        let mut sent = Sent {
            operation,
            effect: Effect::Nothing,
            is_numbered: false,
            next: None,
            transaction: header.transaction,
            answerable: Answerable::default(),
            moment: Moment::default(),
            sent_at: None,
        };
        let Ok((parsed, _)) = frame::parse_request_and_rest(operation, payload) else {
            let connection = self.connections.entry(source).or_default();
            connection.unjudged(&mut self.held, header.request_id, sent);
            return;
        };
        if let Request::DropKey { guid } = parsed {
            self.keys.dropped_by_client(guid);
        }
        let number = sequence(&parsed);
        sent.effect = effect(&parsed, &header);
        sent.answerable = Answerable::of(&parsed, source, &self.transactions, &self.records);
        sent.moment = self.records.sent(source, header.transaction, &parsed);
        let connection = self.connections.entry(source).or_default();
        connection.unjudged(&mut self.held, header.request_id, sent);
        if let Some((_, number)) = number {
            self.sequences.foreign(number);
        }
        self.held.mark(Rule::RequestHeader);
        self.held.mark(operation.request_rule());
    }

    fn names(&mut self, request: &Request<'_>) -> Result<(), Failure> {
        let held = &mut self.held;
        match *request {
            Request::Lookup { child_name, .. } => fields::key_name(held, child_name),
            Request::CreateEntry { child_name, layer, .. }
            | Request::HideEntry { child_name, layer, .. }
            | Request::DeleteEntry { child_name, layer, .. } => {
                fields::key_name(held, child_name)?;
                fields::layer_name(held, layer)
            }
            Request::CreateKey { name, .. } => fields::key_name(held, name),
            Request::Flush { hive_name } => fields::key_name(held, hive_name),
            Request::QueryValues { name, .. } => fields::value_name(held, name),
            Request::SetValue { name, layer, .. } => {
                fields::value_name(held, name)?;
                fields::layer_name(held, layer)?;
                held.mark(Rule::WriteNamesLayer);
                Ok(())
            }
            Request::DeleteValueEntry { name, layer, .. } => {
                fields::value_name(held, name)?;
                fields::layer_name(held, layer)
            }
            Request::SetBlanketTombstone { layer, .. } => fields::layer_name(held, layer),
            Request::DeleteLayer { layer } => {
                fields::layer_name(held, layer)?;
                held.require(Rule::BaseLayer, !is_base(layer), || "the layer is base".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn contents(&mut self, request: &Request<'_>) -> Result<(), Failure> {
        let held = &mut self.held;
        match *request {
            Request::CreateKey { security_descriptor, .. } => {
                fields::security_descriptor(held, security_descriptor)?;
                held.mark(Rule::NewSecurityDescriptor);
                Ok(())
            }
            Request::WriteKey { field_mask, security_descriptor, .. } => {
                held.require(Rule::WriteKeyMask, (1..=3).contains(&field_mask), || {
                    format!("the field mask is {field_mask:#x}")
                })?;
                security_descriptor.map_or(Ok(()), |bytes| fields::security_descriptor(held, bytes))
            }
            Request::SetValue { value_type, data, .. } => {
                fields::typed_data(held, value_type, data)
            }
            _ => Ok(()),
        }
    }

    fn transaction(
        &mut self,
        source: SourceId,
        request: &Request<'_>,
        header: &Header,
    ) -> Result<(), Failure> {
        let held = &mut self.held;
        let (Request::BeginTransaction { transaction: id, .. }
        | Request::CommitTransaction { transaction: id }
        | Request::AbortTransaction { transaction: id }) = *request
        else {
            let is_mutation = is_mutation(request);
            if header.transaction != 0 {
                let is_restore = self.transfers.is_restore(header.transaction);
                let may_enlist = match request {
                    // What a restore tears down it drops at once (§9.1).
                    Request::DropKey { .. } => is_restore,
                    _ => !matches!(request, Request::DeleteLayer { .. } | Request::Flush { .. }),
                };
                held.require(Rule::NeverEnlisted, may_enlist, || {
                    format!("it carries {}", header.transaction)
                })?;
            }
            self.transactions.enlisted(held, source, header.transaction, is_mutation)?;
            if is_mutation && !self.transfers.is_restore(header.transaction) {
                self.transactions.mutated(header.transaction, request);
            }
            return Ok(());
        };
        held.require(Rule::TransactionHeader, id == header.transaction, || {
            format!("the header has {}, the payload {id}", header.transaction)
        })?;
        match *request {
            Request::BeginTransaction { mode, .. } => {
                self.transactions.begin(held, source, id, mode)
            }
            Request::CommitTransaction { .. } => self.transactions.commit(held, source, id),
            _ => {
                self.keys.aborted(id);
                self.late.aborted(held, id);
                self.transactions.abort(held, source, id)
            }
        }
    }

    fn sequence_number(
        &mut self,
        source: SourceId,
        request: &Request<'_>,
        header: &Header,
    ) -> Result<(), Failure> {
        if let Request::SetBlanketTombstone { set: 0, sequence, .. } = *request {
            return self.held.require(Rule::BlanketRemoval, sequence == 0, || {
                format!("a removal has the sequence number {sequence}")
            });
        }
        match sequence(request) {
            Some((_, number)) if self.transfers.is_restore(header.transaction) => {
                let floor = self.transfers.floor(header.transaction).unwrap_or_default();
                self.sequences.restored(&mut self.held, source, floor, number)
            }
            Some((rule, number)) => self.sequences.take(&mut self.held, source, rule, number),
            None => Ok(()),
        }
    }

    fn consequences(
        &mut self,
        source: SourceId,
        request: &Request<'_>,
        header: &Header,
    ) -> Result<(), Failure> {
        if let Some(key) = key_of(request) {
            self.roots.asked(&mut self.held, source, key)?;
            if let Some(root) = self.hives.only_root_of(source, key) {
                self.roots.asked_below(&mut self.held, source, (root, key))?;
            }
            if let (Some(root), id @ 1..) = (self.hives.root_of(source, key), header.transaction) {
                self.transactions.in_hive(&mut self.held, id, root)?;
            }
        }
        if let Request::DropKey { guid } = *request {
            self.hives.forget(source, guid);
        }
        let held = &mut self.held;
        match *request {
            Request::CreateEntry { parent, child_name, layer, child, .. } => {
                self.hives.below(source, parent, [child]);
                self.parameters.renamed(child_name, layer, Some(child));
                if self.transfers.is_restore(header.transaction) {
                    return Ok(());
                }
                let place = (source, header.transaction);
                self.keys.entry_created(held, place, child, parent, child_name)
            }
            Request::CreateKey { guid, parent, volatile_key, .. }
                if self.transfers.is_restore(header.transaction) =>
            {
                self.keys.key_restored(held, (source, guid), parent, volatile_key == 1)
            }
            Request::CreateKey { guid, name, parent, volatile_key, .. } => {
                let place = (source, header.transaction);
                self.keys.key_created(held, place, guid, (parent, name), volatile_key == 1)
            }
            Request::HideEntry { parent, child_name, layer, .. }
            | Request::DeleteEntry { parent, child_name, layer } => {
                self.keys.entry_removed(source, parent, child_name, layer);
                self.parameters.renamed(child_name, layer, None);
                Ok(())
            }
            Request::DeleteLayer { layer } => {
                self.keys.layer_removed(source, layer);
                self.obligations.layer_deleted(source, layer);
                Ok(())
            }
            Request::DropKey { guid } if self.transfers.is_restore(header.transaction) => {
                self.keys.key_torn_down(held, guid)
            }
            Request::DropKey { guid } => {
                self.obligations.untouched(source, guid);
                if self.call_rules.orphans.dropped(guid) {
                    held.mark(Rule::OrphanDropped);
                }
                self.keys.key_dropped(held, (source, guid))
            }
            Request::WriteKey { guid, last_write_time: Some(_), security_descriptor, .. } => {
                match header.transaction {
                    0 => self.obligations.time_written(held, source, guid),
                    id => self.transactions.untouched(id, guid),
                }
                if security_descriptor.is_some() {
                    held.mark(Rule::SecurityTouchesKey);
                }
                Ok(())
            }
            Request::SetValue { guid, name, value_type, data, .. } => {
                self.parameters.written(name, value_type, data);
                self.key_in_use((source, guid))
            }
            Request::QueryValues { guid, .. }
            | Request::DeleteValueEntry { guid, .. }
            | Request::SetBlanketTombstone { guid, .. } => self.key_in_use((source, guid)),
            _ => Ok(()),
        }
    }

    /// What the success of a request means that takes an entry away.
    fn removal(&self, source: SourceId, request: &Request<'_>, header: &Header) -> Option<Effect> {
        let (Request::DeleteEntry { parent, child_name, layer }
        | Request::HideEntry { parent, child_name, layer, .. }) = *request
        else {
            return None;
        };
        if self.transfers.is_restore(header.transaction) {
            return None;
        }
        let orphan = self.keys.named_only(source, parent, child_name, layer);
        Some(Effect::EntryRemoved { transaction: header.transaction, parent, orphan })
    }

    /// A call that overlaps a drop may still hold a GUID from its walk; one alone cannot.
    fn key_in_use(&mut self, place: (SourceId, Guid)) -> Result<(), Failure> {
        let in_use = self.calls == Calls::Concurrent || !self.keys.is_dropped(place);
        self.held.require(Rule::DroppedKey, in_use, || {
            format!("{} has been dropped", super::keys::shown(place.1))
        })
    }
}

/// The stored key that a request is about, or below which it looks.
fn key_of(request: &Request<'_>) -> Option<Guid> {
    match *request {
        Request::Lookup { parent, .. }
        | Request::CreateEntry { parent, .. }
        | Request::HideEntry { parent, .. }
        | Request::DeleteEntry { parent, .. }
        | Request::EnumChildren { parent } => Some(parent),
        Request::ReadKey { guid }
        | Request::QueryValues { guid, .. }
        | Request::SetValue { guid, .. }
        | Request::DeleteValueEntry { guid, .. }
        | Request::SetBlanketTombstone { guid, .. } => Some(guid),
        _ => None,
    }
}

/// The sequence number that a request takes, and the rule that says so.
fn sequence(request: &Request<'_>) -> Option<(Rule, u64)> {
    match *request {
        Request::CreateEntry { sequence, .. } => Some((Rule::EntrySequence, sequence)),
        Request::HideEntry { sequence, .. } => Some((Rule::HideSequence, sequence)),
        Request::SetValue { sequence, .. } => Some((Rule::ValueSequence, sequence)),
        Request::SetBlanketTombstone { set: 1, sequence, .. } => {
            Some((Rule::BlanketSequence, sequence))
        }
        _ => None,
    }
}

fn effect(request: &Request<'_>, header: &Header) -> Effect {
    let in_transaction = header.transaction != 0;
    let touched = |guid, rule| Effect::Touched { transaction: header.transaction, guid, rule };
    match *request {
        Request::CreateEntry { child, .. } if in_transaction => Effect::EntryEnlisted { child },
        Request::CreateEntry { parent, child_name, layer, child, .. } => {
            let (name, layer) = (child_name.to_vec(), layer.to_vec());
            Effect::EntryCreated { parent, name, layer, child, may_be_gone: false }
        }
        Request::SetValue { guid, .. } => touched(guid, Rule::SetTouchesKey),
        Request::DeleteValueEntry { guid, .. } => touched(guid, Rule::DeleteTouchesKey),
        Request::WriteKey { guid, field_mask: 1, .. } => touched(guid, Rule::SecurityTouchesKey),
        Request::SetBlanketTombstone { guid, .. } if in_transaction => {
            touched(guid, Rule::BlanketTouchesKey)
        }
        Request::CreateKey { guid, name, parent, volatile_key, symlink, .. } if !in_transaction => {
            let flags = (volatile_key, symlink);
            Effect::KeyCreated { guid, flags, parent, name: name.to_vec() }
        }
        Request::DropKey { guid } if !in_transaction => Effect::KeyDropped { guid },
        Request::Lookup { parent, child_name } => {
            Effect::Children { parent, name: Some(child_name.to_vec()) }
        }
        Request::EnumChildren { parent } => Effect::Children { parent, name: None },
        Request::QueryValues { guid, name, query_all } => {
            Effect::Queried { guid, name: (query_all == 0).then(|| name.to_vec()) }
        }
        Request::ReadKey { guid } => Effect::KeyRead { guid },
        Request::BeginTransaction { transaction, .. } => Effect::Began { transaction },
        Request::CommitTransaction { transaction } => Effect::Committed { transaction },
        Request::AbortTransaction { transaction } => Effect::Aborted { transaction },
        _ => Effect::Nothing,
    }
}

fn is_mutation(request: &Request<'_>) -> bool {
    !matches!(
        request,
        Request::Lookup { .. }
            | Request::EnumChildren { .. }
            | Request::ReadKey { .. }
            | Request::QueryValues { .. }
            | Request::Flush { .. }
    )
}

/// Whether a layer name folds to `base`. Beside ASCII letters only U+017F folds into it.
fn is_base(layer: &[u8]) -> bool {
    std::str::from_utf8(layer)
        .is_ok_and(|layer| layer.replace('\u{17f}', "s").eq_ignore_ascii_case("base"))
}
