//! Opens and creations: their walks, and what they make (PSD-005 §2.3, §6.2, §7.2).

use registry_model::errno::Errno;
use registry_model::input::{Fd, ProcessId, SourceId};
use registry_model::observation::Observation;

use super::asked::Creation;
use super::log::{Details, Logged};
use super::{CallRules, Ended, OpenKey, layer_agrees};
use crate::wire::fields;
use crate::wire::frame::{Guid, Operation};
use crate::wire::rules::{Failure, Held, Rule};

/// `REG_OPTION_VOLATILE`.
const CREATE_VOLATILE: u32 = 1;
/// `REG_OPTION_CREATE_LINK`.
const CREATE_LINK: u32 = 2;
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
        let Observation::Opened { fd, disposition } = ended.observation else { return Ok(()) };
        self.open_keys.remove(&(process, *fd));
        let from = match parent {
            Some(parent) => match self.open_keys.get(&parent) {
                Some(known) => Some(known.clone()),
                None => return Ok(()),
            },
            None => None,
        };
        let followed_link = ended.follows_links();
        if !followed_link {
            self.walk(held, ended, from.as_ref(), below_hive)?;
        }
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

    /// One lookup for each component below the hive or the parent, in order, and from where the
    /// walk begins.
    fn walk(
        &mut self,
        held: &mut Held,
        ended: &Ended<'_>,
        from: Option<&OpenKey>,
        below_hive: &[&[u8]],
    ) -> Result<(), Failure> {
        let mut lookups: Vec<&Logged> =
            ended.walk().filter(|request| request.operation == Operation::Lookup).collect();
        // What a transaction has at the place is looked at once more, under its id (D-20).
        if let [.., outside, inside] = lookups[..]
            && lookups.len() > below_hive.len()
            && inside.transaction != 0
            && (outside.key, &outside.name) == (inside.key, &inside.name)
        {
            lookups.pop();
        }
        let agrees = lookups.len() == below_hive.len()
            && lookups
                .iter()
                .zip(below_hive)
                .all(|(lookup, part)| fields::may_be_same(&lookup.name, part));
        let shown = || format!("{} lookups for {} components", lookups.len(), below_hive.len());
        let Some(first) = lookups.first() else {
            return if agrees { Ok(()) } else { Err(Failure::new(Rule::Walk, shown())) };
        };
        held.require(Rule::Walk, agrees, shown)?;
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

/// A creation that is refused for its layer or for access asks the source for nothing but the
/// walk (D-23); only the access check of the new key comes after.
fn creation_refused(
    held: &mut Held,
    ended: &Ended<'_>,
    walk_length: usize,
    creation: &Creation<'_>,
) -> Result<(), Failure> {
    if ended.follows_links() {
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
