//! Responses: what a source may answer, and what the monitor learns from it.

use std::collections::BTreeSet;

use registry_model::input::SourceId;

use super::WireMonitor;
use super::connection::{Effect, Sent};
use super::fields;
use super::frame::{self, Guid, KeyMetadata, PathEntry, RESPONSE_BIT, Success, ValueEntry};
use super::keys::shown;
use super::records::Moment;
use super::rules::{Failure, Rule};
use super::statuses;

/// The highest status code, RSI_TXN_NOT_SUPPORTED.
const MAX_STATUS: u32 = 9;
/// Target types of a path entry.
const TARGET_GUID: u8 = 0;
const TARGET_HIDDEN: u8 = 1;

impl WireMonitor {
    /// Checks a response and takes its request out of flight.
    pub(super) fn response(&mut self, source: SourceId, bytes: &[u8]) -> Result<(), Failure> {
        self.registered_connection(source)?;
        let (header, payload) = frame::split_header(bytes, false).ok_or_else(|| {
            Failure::new(Rule::ResponseHeader, format!("the message has {} bytes", bytes.len()))
        })?;
        self.held.mark(Rule::ResponseHeader);
        let stated = header.total_length as usize;
        self.held.require(Rule::TotalLength, stated == bytes.len(), || {
            format!("total_len is {stated}, and there are {} bytes", bytes.len())
        })?;
        let connection = self.connections.entry(source).or_default();
        let Sent { operation, effect, is_numbered, next, transaction, answerable, moment, .. } =
            connection.answered(&mut self.held, header.request_id)?;
        let op_code = operation.code() | RESPONSE_BIT;
        self.held.require(Rule::ResponseOpCode, header.op_code == op_code, || {
            format!("{:#06x} answers {}", header.op_code, operation.name())
        })?;
        let (status, success) = frame::parse_response(operation, payload)
            .map_err(|shape| Failure::new(operation.response_rule(), shape))?;
        self.held
            .require(Rule::Status, status <= MAX_STATUS, || format!("the status is {status}"))?;
        if status != 0 {
            self.held.mark(Rule::KnownStatus);
            self.connections.entry(source).or_default().has_failed = true;
            if is_numbered {
                self.sequences.failed();
            }
        }
        self.call_rules.log.answered(source, header.request_id, status, success.as_ref());
        let judged =
            statuses::judge(&mut self.held, &self.records, (operation, answerable, moment), status);
        if !self.seeded.has(source) {
            judged?;
        }
        self.apply((source, moment), &effect, success.is_some());
        if success.is_some() && !self.call_rules.log.is_recording() {
            self.late.succeeded(source, next);
            self.late.answered(&mut self.held, operation, transaction);
        }
        let Some(success) = success else { return Ok(()) };
        self.held.mark(operation.response_rule());
        self.children(source, &effect, &success);
        if let (Effect::Queried { guid, .. }, Success::Values { entries, blankets }, 0) =
            (&effect, &success, transaction)
        {
            self.parameters.returned(*guid, entries, blankets.len());
        }
        let checked = self.success(source, &effect, &success);
        let checked =
            checked.and_then(|()| self.recorded((source, moment), transaction, &effect, &success));
        match checked {
            // Not the source's own doing. What follows in the response is not looked at.
            Err(failure) if self.seeded.excuses(source, failure.rule, payload) => Ok(()),
            checked => checked.map_err(|failure| Failure {
                message: format!("{} {}: {}", operation.name(), header.request_id, failure.message),
                ..failure
            }),
        }
    }

    fn apply(&mut self, (source, moment): (SourceId, Moment), effect: &Effect, succeeded: bool) {
        match effect {
            Effect::EntryCreated { parent, name, layer, child, may_be_gone } if succeeded => {
                self.keys.entry_stored(source, *child, *parent, name, layer);
                if *may_be_gone {
                    self.keys.entry_removed(source, *parent, name, layer);
                }
            }
            Effect::EntryCreated { child, .. } | Effect::EntryEnlisted { child } if !succeeded => {
                self.keys.entry_refused(*child);
            }
            Effect::Touched { transaction: 0, guid, .. } if !succeeded => {
                self.obligations.untouched(source, *guid);
            }
            Effect::Touched { transaction, guid, .. } if !succeeded => {
                self.transactions.untouched(*transaction, *guid);
            }
            Effect::EntryRemoved { transaction, orphan: Some(orphan), .. }
                if succeeded && !self.seeded.has(source) =>
            {
                self.call_rules.orphans.orphaned(source, *transaction, *orphan);
            }
            Effect::EntryRemoved { transaction, parent, .. } if !succeeded => {
                self.transactions.untouched(*transaction, *parent);
            }
            Effect::KeyCreated { guid, flags, parent, name } if succeeded => {
                self.keys.record_stored(source, *guid);
                self.records.created(((source, *guid), moment), *flags, (*parent, name));
            }
            Effect::KeyCreated { guid, .. } => self.call_rules.orphans.was_not_made(*guid),
            Effect::KeyDropped { guid } => self.records.drop_answered((source, *guid)),
            Effect::Began { transaction } => self.transactions.began(*transaction, succeeded),
            Effect::Committed { transaction } => {
                self.transactions.committed(*transaction, succeeded);
                self.call_rules.orphans.committed(*transaction, succeeded);
                if succeeded {
                    self.records.transaction_ended(source, *transaction);
                }
            }
            Effect::Aborted { transaction } => {
                self.records.transaction_ended(source, *transaction);
            }
            _ => {}
        }
    }

    /// Learns which keys are below which.
    fn children(&mut self, source: SourceId, effect: &Effect, success: &Success<'_>) {
        let Effect::Children { parent, name } = effect else { return };
        let parent = *parent;
        let is_key = |entry: &&PathEntry<'_>| entry.target != [0; 16];
        match success {
            Success::Entries { entries, .. } => {
                self.settings.found(parent, entries);
                self.parameters.named(name.as_deref().unwrap_or_default(), entries);
                let keys = entries.iter().filter(is_key).map(|entry| entry.target);
                self.hives.below(source, parent, keys);
            }
            Success::Children { children, .. } => {
                for (name, entries) in children {
                    self.parameters.named(name, entries);
                }
                let entries = children.iter().flat_map(|(_, entries)| entries);
                let keys = entries.filter(is_key).map(|entry| entry.target);
                self.hives.below(source, parent, keys);
            }
            _ => {}
        }
    }

    fn success(
        &mut self,
        source: SourceId,
        effect: &Effect,
        success: &Success<'_>,
    ) -> Result<(), Failure> {
        match success {
            Success::StatusOnly => Ok(()),
            Success::Entries { entries, metadata } => {
                let found = if entries.is_empty() { Rule::NoEntries } else { Rule::EntriesListed };
                self.held.mark(found);
                let guids = self.path_entries(entries)?;
                self.metadata(Rule::LookupMetadata, source, &guids, metadata)
            }
            Success::Children { children, metadata } => {
                let mut guids = BTreeSet::new();
                once(Rule::ChildOnce, children.iter().map(|(name, _)| *name))?;
                let places: Vec<_> = children
                    .iter()
                    .flat_map(|(name, entries)| entries.iter().map(move |entry| (*name, entry)))
                    .map(|(name, entry)| (fields::spelled(name), fields::spelled(entry.layer)))
                    .collect();
                once(Rule::LayerOnce, places.into_iter())?;
                for (name, entries) in children {
                    fields::key_name(&mut self.held, name)?;
                    guids.extend(self.path_entries(entries)?);
                }
                self.metadata(Rule::ChildrenMetadata, source, &guids, metadata)
            }
            Success::Key { parent, metadata, .. } => {
                if let Effect::KeyRead { guid } = effect
                    && self.keys.is_root(*guid)
                {
                    self.held.require(Rule::RootParent, *parent == [0; 16], || {
                        format!("the parent of a root is {}", shown(*parent))
                    })?;
                }
                fields::security_descriptor(&mut self.held, metadata.security_descriptor)
            }
            Success::Values { entries, blankets } => {
                once(Rule::ValueOnce, blankets.iter().map(|(layer, _)| fields::spelled(layer)))?;
                let place = |entry: &ValueEntry<'_>| {
                    (fields::spelled(entry.name), fields::spelled(entry.layer))
                };
                once(Rule::ValueOnce, entries.iter().map(place))?;
                for (layer, sequence) in blankets {
                    fields::layer_name(&mut self.held, layer)?;
                    self.sequences.stored(&mut self.held, *sequence)?;
                }
                if entries.windows(2).any(|pair| pair[0].name == pair[1].name) {
                    self.held.mark(Rule::Unresolved);
                }
                entries.iter().try_for_each(|entry| self.value_entry(effect, entry))
            }
            Success::Orphans(guids) => {
                let distinct: BTreeSet<_> = guids.iter().collect();
                let sound = distinct.len() == guids.len()
                    && !guids.iter().any(|guid| *guid == [0; 16] || self.keys.is_root(*guid));
                self.held.require(Rule::Orphans, sound, || {
                    guids.iter().map(|guid| shown(*guid)).collect::<Vec<_>>().join(" ")
                })?;
                self.keys.orphaned(guids);
                Ok(())
            }
        }
    }

    /// Compares what a source says of keys with what it said before, and learns from it.
    fn recorded(
        &mut self,
        (source, moment): (SourceId, Moment),
        transaction: u64,
        effect: &Effect,
        success: &Success<'_>,
    ) -> Result<(), Failure> {
        if transaction != 0 {
            return Ok(());
        }
        if let Success::Orphans(guids) = success
            && !self.seeded.has(source)
        {
            for guid in guids {
                self.call_rules.orphans.orphaned(source, 0, *guid);
            }
        }
        let (records, held) = (&mut self.records, &mut self.held);
        match success {
            Success::Entries { metadata, .. } | Success::Children { metadata, .. } => {
                metadata.iter().try_for_each(|key| {
                    let flags = (key.volatile_key, key.symlink);
                    records.returned(held, ((source, key.guid), moment), flags)
                })
            }
            Success::Key { name, parent, metadata } => {
                let Effect::KeyRead { guid } = *effect else { return Ok(()) };
                let flags = (metadata.volatile_key, metadata.symlink);
                let place = (source, guid);
                records.returned(held, (place, moment), flags)?;
                if self.keys.is_root(guid) {
                    return Ok(());
                }
                records.read(held, (place, moment), (*parent, name))
            }
            _ => Ok(()),
        }
    }

    /// Checks path entries and returns the GUIDs that they name.
    fn path_entries(&mut self, entries: &[PathEntry<'_>]) -> Result<BTreeSet<Guid>, Failure> {
        if entries.len() > 1 {
            self.held.mark(Rule::Unresolved);
        }
        once(Rule::LayerOnce, entries.iter().map(|entry| fields::spelled(entry.layer)))?;
        let mut guids = BTreeSet::new();
        for entry in entries {
            fields::layer_name(&mut self.held, entry.layer)?;
            self.layer_kept(entry.layer);
            let sound = match entry.target_type {
                TARGET_GUID => entry.target != [0; 16],
                TARGET_HIDDEN => entry.target == [0; 16],
                _ => false,
            };
            self.held.require(Rule::PathEntry, sound, || {
                format!("target type {} with {}", entry.target_type, shown(entry.target))
            })?;
            self.sequences.stored(&mut self.held, entry.sequence)?;
            if entry.target_type == TARGET_GUID {
                guids.insert(entry.target);
            }
        }
        Ok(guids)
    }

    fn metadata(
        &mut self,
        rule: Rule,
        source: SourceId,
        guids: &BTreeSet<Guid>,
        metadata: &[KeyMetadata<'_>],
    ) -> Result<(), Failure> {
        let described: BTreeSet<_> = metadata.iter().map(|key| key.guid).collect();
        let mut missing = guids.difference(&described);
        let agrees = described.is_subset(guids)
            && described.len() == metadata.len()
            && missing.all(|guid| self.keys.is_unrecorded(source, *guid));
        if !agrees {
            let (count, named) = (metadata.len(), guids.len());
            let message = format!("{count} records do not match the {named} keys named");
            return Err(Failure::new(rule, message));
        }
        if !metadata.is_empty() {
            self.held.mark(rule);
        }
        for key in metadata {
            fields::security_descriptor(&mut self.held, key.security_descriptor)?;
            self.keys.returned(source, key.guid, key.volatile_key == 1);
        }
        Ok(())
    }

    /// No request tells a source of a layer before entries name it.
    fn layer_kept(&mut self, layer: &[u8]) {
        if !layer.eq_ignore_ascii_case(b"base") {
            self.held.mark(Rule::LayerKept);
        }
    }

    fn value_entry(&mut self, effect: &Effect, entry: &ValueEntry<'_>) -> Result<(), Failure> {
        fields::value_name(&mut self.held, entry.name)?;
        fields::layer_name(&mut self.held, entry.layer)?;
        self.layer_kept(entry.layer);
        fields::typed_data(&mut self.held, entry.value_type, entry.data)?;
        self.sequences.stored(&mut self.held, entry.sequence)?;
        let Effect::Queried { name: Some(name), .. } = effect else { return Ok(()) };
        let matches = name.is_empty() == entry.name.is_empty()
            && (name.is_empty() || fields::may_be_same(name, entry.name));
        if !matches {
            let (asked, got) = (name.escape_ascii(), entry.name.escape_ascii());
            let message = format!("asked for {asked:?}, got {got:?}");
            return Err(Failure::new(Rule::QueriedName, message));
        }
        if name.is_empty() {
            self.held.mark(Rule::QueriedName);
        }
        Ok(())
    }
}

/// Requires that nothing comes twice.
fn once<T: Ord>(rule: Rule, what: impl ExactSizeIterator<Item = T>) -> Result<(), Failure> {
    let count = what.len();
    if count < 2 {
        return Ok(());
    }
    let distinct: BTreeSet<T> = what.collect();
    if distinct.len() == count {
        return Ok(());
    }
    Err(Failure::new(rule, format!("{count} entries are of {} places", distinct.len())))
}
