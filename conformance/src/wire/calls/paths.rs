//! Opens and creations: their walks, and what they make (PSD-005 §2.3, §6.2, §7.2).

use registry_model::errno::Errno;
use registry_model::input::{Fd, ProcessId, SourceId};
use registry_model::observation::Observation;

use super::asked::Creation;
use super::log::{Details, Logged};
use super::{CallRules, Ended, OpenKey, errno_of, layer_agrees};
use crate::wire::fields;
use crate::wire::frame::{Guid, Operation};
use crate::wire::rules::{Failure, Held, Rule};

/// `REG_OPTION_VOLATILE`.
const CREATE_VOLATILE: u32 = 1;
/// `REG_OPTION_CREATE_LINK`.
const CREATE_LINK: u32 = 2;
/// `RSI_NOT_FOUND`.
const NOT_FOUND: u32 = 1;
/// `RSI_ALREADY_EXISTS`.
const ALREADY_EXISTS: u32 = 2;
/// `REG_CREATED_NEW`.
const CREATED_NEW: u32 = 1;

impl CallRules {
    pub(super) fn path_call(
        &mut self,
        held: &mut Held,
        ended: &Ended<'_>,
        (process, parent): (ProcessId, Option<(ProcessId, Fd)>),
        (path, access): (&[u8], u32),
        creation: Option<Creation<'_>>,
    ) -> Result<(), Failure> {
        ended.encoding(held, &[path])?;
        let components: Vec<&[u8]> = path.split(|byte| b"\\/".contains(byte)).collect();
        if components.iter().any(|component| component.is_empty()) {
            ended.silent(held, Rule::PathBeforeSource)?;
        }
        let below_hive = if parent.is_some() { &components[..] } else { &components[1..] };
        if let Some(creation) = &creation {
            creation_refused(held, ended, below_hive.len(), creation)?;
        }
        let steps = steps(ended, creation.is_some());
        self.chain(held, &steps, below_hive)?;
        statuses(held, ended, below_hive.len(), creation.is_some())?;
        if creation.is_some() {
            record_after_entry(held, ended)?;
        }
        let from = match parent {
            // Where an fd that is not known begins is not known either.
            Some(parent) => self.open_keys.get(&parent).cloned().map(Some),
            None => Some(None),
        };
        let followed_link = ended.follows_links();
        if let Some(from) = &from {
            self.walk(held, ended, from.as_ref(), (&steps, below_hive.len()))?;
        }
        let Observation::Opened { fd, disposition } = ended.observation else { return Ok(()) };
        self.open_keys.remove(&(process, *fd));
        let Some(from) = from else { return Ok(()) };
        let created = *disposition == Some(CREATED_NEW);
        if let (true, Some(creation)) = (created, &creation) {
            key_created(held, ended, creation)?;
        }
        if !followed_link {
            let opened = opened(ended, from.as_ref(), &components, access, created);
            self.open_keys.insert((process, *fd), opened);
        }
        Ok(())
    }

    /// Each step of a walk begins where the one before has led to: below the key that was found, or,
    /// after a link, at a hive root. Up to the first link the names are those of the path.
    fn chain(
        &self,
        held: &mut Held,
        steps: &[&Logged],
        below_hive: &[&[u8]],
    ) -> Result<(), Failure> {
        let broken = |step: &Logged, what: &str| {
            Err(Failure::new(Rule::Walk, format!("{} {what}", step.operation.name())))
        };
        let is_lookup = |step: &&&Logged| step.operation == Operation::Lookup;
        let named: Vec<_> = steps.iter().take_while(is_lookup).collect();
        for (position, lookup) in named.iter().enumerate() {
            match below_hive.get(position) {
                Some(part) if fields::may_be_same(&lookup.name, part) => {}
                Some(_) => return broken(lookup, "asks for another name than the path has"),
                None => return broken(lookup, "goes on behind the end of the path"),
            }
        }
        for pair in steps.windows(2) {
            let (before, step) = (pair[0], pair[1]);
            let answer = before.answer.as_ref();
            let follows = match (before.operation, step.operation) {
                (Operation::Lookup, Operation::Lookup) => {
                    answer.is_some_and(|answer| answer.keys.contains(&step.key))
                }
                (Operation::Lookup, _) => {
                    answer.is_some_and(|answer| answer.links.contains(&step.key))
                }
                (_, Operation::Lookup) => self.roots.contains(&(step.key, step.source)),
                _ => false,
            };
            if !follows {
                return broken(step, "does not go on where the walk was");
            }
            if step.operation == Operation::QueryValues {
                let is_default =
                    step.name.is_empty() && step.details == Details::Query { query_all: 0 };
                held.require(Rule::LinkAsked, is_default, || {
                    "a link is asked for other values than its default".to_owned()
                })?;
            }
        }
        Ok(())
    }

    /// One lookup for each component below the hive or the parent, and from where the walk begins.
    fn walk(
        &mut self,
        held: &mut Held,
        ended: &Ended<'_>,
        from: Option<&OpenKey>,
        (steps, length): (&[&Logged], usize),
    ) -> Result<(), Failure> {
        let is_whole =
            matches!(ended.observation, Observation::Opened { .. }) && !ended.follows_links();
        if is_whole {
            let shown = || format!("{} lookups for {length} components", steps.len());
            if steps.len() != length {
                return Err(Failure::new(Rule::Walk, shown()));
            }
            if length > 0 {
                held.mark(Rule::Walk);
            }
        }
        let Some(first) = steps.first() else { return Ok(()) };
        match from {
            None => {
                let is_root = self.roots.contains(&(first.key, first.source));
                held.require(Rule::Routed, is_root, || {
                    "the walk does not begin at a root of its source".to_owned()
                })?;
                let is_other =
                    |(key, of): (&Guid, &SourceId)| *of == first.source && *key != first.key;
                if self.walked.iter().any(is_other) {
                    held.mark(Rule::SeveralHives);
                }
                self.walked.insert(first.key, first.source);
                Ok(())
            }
            Some(parent) => {
                let same_source = parent.source.is_none_or(|source| source == first.source);
                let same_key = parent.key.is_none_or(|key| key == first.key);
                held.require(Rule::RelativeWalk, same_source && same_key, || {
                    "the walk does not begin at the parent's key".to_owned()
                })
            }
        }
    }
}

/// The lookups and the questions for links of a walk. What a transaction has at the place of a key
/// that is to be created is looked at once more, under its id (D-20, P-189); that is no step.
fn steps<'a>(ended: &'a Ended<'_>, is_creation: bool) -> Vec<&'a Logged> {
    let is_step = |of: &&Logged| matches!(of.operation, Operation::Lookup | Operation::QueryValues);
    let mut steps: Vec<&Logged> = ended.walk().filter(is_step).collect();
    let found_it = matches!(ended.observation, Observation::Opened { disposition, .. }
        if *disposition != Some(CREATED_NEW));
    if let [.., outside, inside] = steps[..]
        && is_creation
        && !found_it
        && (outside.transaction, outside.operation) == (0, Operation::Lookup)
        && (inside.transaction != 0, inside.operation) == (true, Operation::Lookup)
        && (outside.key, &outside.name) == (inside.key, &inside.name)
    {
        steps.pop();
    }
    steps
}

/// What a source refuses of a walk or of a creation is what the caller is told (§7.3).
fn statuses(
    held: &mut Held,
    ended: &Ended<'_>,
    walk_length: usize,
    is_creation: bool,
) -> Result<(), Failure> {
    let is_refused = |of: &Logged| of.status().is_some_and(|status| status != 0);
    let Some(position) = ended.requests.iter().position(is_refused) else { return Ok(()) };
    if ended.may_be_cut_off() || ended.is_begin_refused {
        return Ok(());
    }
    let request = &ended.requests[position];
    let status = request.status().unwrap_or_default();
    let is_judged = match request.operation {
        Operation::CreateEntry => status != ALREADY_EXISTS,
        Operation::CreateKey => true,
        Operation::Lookup if is_creation => {
            status != NOT_FOUND && position < walk_length && !ended.follows_links()
        }
        _ => !is_creation,
    };
    let mapped = match (request.operation, status) {
        (Operation::CreateKey, ALREADY_EXISTS) => Some((Rule::StatusStorageError, Errno::EIO)),
        // reg_create_key never returns EEXIST (§7.3).
        (_, ALREADY_EXISTS) if is_creation => None,
        _ => errno_of(status),
    };
    let Some((rule, errno)) = mapped.filter(|_| is_judged) else { return Ok(()) };
    held.require(rule, ended.failed() == Some(errno), || {
        let name = request.operation.name();
        format!("the caller was told {:?} of {name} and not {errno}", ended.observation)
    })
}

/// The record of a new key is sent after its entry (D-23).
fn record_after_entry(held: &mut Held, ended: &Ended<'_>) -> Result<(), Failure> {
    let records = ended.requests.iter().enumerate();
    for (position, record) in records.filter(|(_, of)| of.operation == Operation::CreateKey) {
        let is_entry = |of: &Logged| of.details == Details::Child(record.key);
        let follows = ended.requests[..position].iter().any(is_entry);
        held.require(Rule::EntryBeforeKey, follows, || {
            "a record was sent without its entry before it".to_owned()
        })?;
    }
    Ok(())
}

/// A creation that is refused for its layer or for access asks the source for nothing but the
/// walk (D-23); only the access check of the new key comes after.
fn creation_refused(
    held: &mut Held,
    ended: &Ended<'_>,
    walk_length: usize,
    creation: &Creation<'_>,
) -> Result<(), Failure> {
    if ended.follows_links() || ended.is_begin_refused {
        return Ok(());
    }
    let walked_all = ended.count(Operation::Lookup) == walk_length;
    let entry = ended.first(Operation::CreateEntry);
    if entry.is_some_and(|entry| entry.status() == Some(ALREADY_EXISTS)) {
        let is_retry = ended.requests.iter().rposition(|of| of.operation == Operation::Lookup)
            > ended.requests.iter().position(|of| of.operation == Operation::CreateEntry);
        held.require(Rule::CreationRetried, is_retry, || "no lookup followed".to_owned())?;
    }
    let Some(Errno::EACCES | Errno::EPERM | Errno::ENOENT) = ended.failed() else {
        return Ok(());
    };
    if entry.is_some() || !walked_all || walk_length == 0 {
        return Ok(());
    }
    let sent_none = !ended.requests.iter().any(Logged::is_mutation);
    held.require(Rule::AuthorizedFirst, sent_none, || {
        "a refused creation changed something".into()
    })?;
    if ended.failed() == Some(Errno::ENOENT) && !creation.layer.is_empty() {
        held.mark(Rule::AbsentLayer);
    }
    Ok(())
}

/// A new key has an entry in the layer that was asked for, and the flags.
fn key_created(held: &mut Held, ended: &Ended<'_>, creation: &Creation<'_>) -> Result<(), Failure> {
    let missing = || Failure::new(Rule::CreationSent, "no entry and key record were sent");
    let entry = ended.first(Operation::CreateEntry).ok_or_else(missing)?;
    let record = ended.first(Operation::CreateKey).ok_or_else(missing)?;
    held.mark(Rule::CreationSent);
    layer_agrees(held, Rule::CreationInBase, creation.layer, entry)?;
    let flag = |bit: u32| u8::from(creation.flags & bit != 0);
    let expected = (flag(CREATE_VOLATILE), flag(CREATE_LINK));
    let Details::Flags { volatile_key, symlink } = record.details else { return Err(missing()) };
    let shown = || format!("volatile {volatile_key}, symlink {symlink}");
    held.require(Rule::FlagsAsAsked, (volatile_key, symlink) == expected, shown)?;
    if volatile_key == 1 {
        held.mark(Rule::CreatedVolatile);
    }
    if symlink == 1 {
        held.mark(Rule::CreatedLink);
    }
    Ok(())
}

fn opened(
    ended: &Ended<'_>,
    from: Option<&OpenKey>,
    components: &[&[u8]],
    access: u32,
    created: bool,
) -> OpenKey {
    let mut path = from.map_or_else(Vec::new, |parent| parent.path.clone());
    path.extend(components.iter().map(|component| component.to_vec()));
    let first_source = ended.requests.first().map(|request| request.source);
    let source = from.and_then(|parent| parent.source).or(first_source);
    let walked = ended.requests.iter().rfind(|request| request.operation == Operation::Lookup);
    let key = if created {
        ended.first(Operation::CreateKey).map(|record| record.key)
    } else {
        match walked {
            Some(lookup) => lookup.answer.as_ref().and_then(|answer| answer.only_key),
            None => ended.first(Operation::ReadKey).map(|request| request.key),
        }
    };
    OpenKey { path, access, source, key }
}
