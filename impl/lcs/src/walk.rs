//! From a path to a key: one lookup a component, resolved through the layers, links followed.
//!
//! States PSD-005 §2.2 (routing), §2.3 (symlinks), §2.4 and §6.2; `LINK-*`, D-02, D-04, D-21,
//! D-29, D-40, D-41. It grants nothing and creates nothing.

use std::collections::VecDeque;

use abi::Errno;
use abi::value_type::REG_LINK;
use rsi::{KeyMetadata, Operation, PathEntry, TransactionId};

use crate::configuration::Parameters;
use crate::env::Env;
use crate::gateway::Lookup;
use crate::kernel::Kernel;
use crate::key_file::Position;
use crate::layers::View;
use crate::mutation::{Change, Scope};
use crate::name::{self, FoldedName};
use crate::security::Token;
use crate::state::KeyId;
use crate::turns::{Place, Share, Turn};

/// Where a walk starts.
pub enum Start {
    /// At the routing table; the first component is a hive.
    Hives,
    /// At an open key.
    Key(Position),
}

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open what is there.
    Open {
        /// A link as last component is itself what is wanted.
        link_itself: bool,
    },
    /// To open what is there, or to create it.
    Create {
        /// The transaction to create it in. What is there is what is committed, but for a walk that
        /// starts from a key which the transaction has made (D-20, D-21, P-153).
        transaction: Option<TransactionId>,
    },
}

/// Where a walk ended. Whatever it holds keeps that end from changing.
pub enum Walked {
    /// At a key.
    Reached(Reached),
    /// Below a key that has no visible child of the last name.
    Missing(Box<Missing>),
}

/// A key at the end of a walk.
pub struct Reached {
    /// The key and the way to it.
    pub position: Position,
    /// What the source said of it.
    pub metadata: KeyMetadata,
    /// The transaction that it was found in, and exists in alone.
    pub within: Option<TransactionId>,
    /// Keeps its name from being deleted or hidden.
    pub hold: Vec<Option<Turn>>,
}

/// A place for a new key at the end of a walk.
pub struct Missing {
    /// The key that is to be the parent.
    pub parent: Position,
    /// What the source said of it, if the walk met it.
    pub parent_metadata: Option<KeyMetadata>,
    /// The name to be.
    pub name: String,
    /// What layers say of the name now.
    pub entries: Vec<PathEntry>,
    /// The transaction in which they said so.
    pub within: Option<TransactionId>,
    /// The mutation that the creation will be.
    pub change: Change,
    /// Keeps others from the name, and readers from the parent's children.
    pub hold: Vec<Option<Turn>>,
}

/// A walk under way.
struct Walk {
    position: Option<Position>,
    metadata: Option<KeyMetadata>,
    /// The transaction that made the keys which it goes over.
    within: Option<TransactionId>,
    ahead: VecDeque<String>,
    links: usize,
    last_was_link: bool,
}

impl<E: Env> Kernel<E> {
    /// Walks a validated path.
    ///
    /// # Errors
    /// ENOENT, EINVAL, ENAMETOOLONG and ELOOP as PSD-005 §6.2 has them, and those of a request.
    pub async fn walk(
        &self,
        view: &View,
        token: &Token,
        start: Start,
        components: Vec<String>,
        purpose: Purpose,
    ) -> Result<Walked, Errno> {
        let mut walk = Walk {
            position: None,
            metadata: None,
            within: None,
            ahead: components.into(),
            links: 0,
            last_was_link: false,
        };
        match start {
            Start::Hives => walk.position = Some(self.enter_hive(&mut walk.ahead, token)?),
            Start::Key(position) => {
                walk.within = self.made_within(&position, purpose);
                walk.position = Some(position);
            }
        }
        // Each turn of the loop consumes a component or one of the links allowed.
        loop {
            let Some(position) = walk.position.take() else { return Err(Errno::ENOENT) };
            let Some(component) = walk.ahead.pop_front() else {
                return self.reach_root(position).await;
            };
            let is_last = walk.ahead.is_empty();
            let child = match self.step(view, &walk, position, component, purpose, is_last).await? {
                Walked::Missing(missing) => return Ok(Walked::Missing(missing)),
                Walked::Reached(child) => child,
            };
            let follow = child.metadata.symlink
                && (!is_last || purpose != Purpose::Open { link_itself: true });
            if !follow && is_last {
                return Ok(Walked::Reached(child));
            }
            let Reached { position, metadata, hold, .. } = child;
            drop(hold);
            if follow {
                walk.links += 1;
                walk.last_was_link |= is_last;
                let key = KeyId { transaction: walk.within, ..position.key() };
                self.follow(view, token, &mut walk, key).await?;
            } else {
                walk.position = Some(position);
                walk.metadata = Some(metadata);
            }
        }
    }

    /// The transaction of a creation, if it is the one that made the key at a position.
    fn made_within(&self, position: &Position, purpose: Purpose) -> Option<TransactionId> {
        let Purpose::Create { transaction } = purpose else { return None };
        let made =
            self.state().created_in(position.key()).filter(|made| Some(*made) == transaction);
        self.key_within(made, position.key()).transaction
    }

    /// Routes the first component.
    fn enter_hive(&self, ahead: &mut VecDeque<String>, token: &Token) -> Result<Position, Errno> {
        let name = ahead.pop_front().ok_or(Errno::EINVAL)?;
        let state = self.state();
        let id = state.route(&FoldedName::new(&name), token).ok_or(Errno::ENOENT)?;
        let hive = state.hive(id);
        Ok(Position::root(id, hive.root, hive.name.clone()))
    }

    /// The end of a path that is a hive alone, for which there is no lookup.
    async fn reach_root(&self, position: Position) -> Result<Walked, Errno> {
        let metadata = self.read_key(position.key(), None).await?;
        Ok(Walked::Reached(Reached { position, metadata, within: None, hold: Vec::new() }))
    }

    async fn step(
        &self,
        view: &View,
        walk: &Walk,
        position: Position,
        component: String,
        purpose: Purpose,
        is_last: bool,
    ) -> Result<Walked, Errno> {
        let parent = KeyId { transaction: walk.within, ..position.key() };
        let folded = FoldedName::new(&component);
        let creates = match purpose {
            Purpose::Create { transaction } if is_last && !walk.last_was_link => Some(transaction),
            _ => None,
        };
        let mut hold = Vec::new();
        let mut change = None;
        if let Some(transaction) = creates {
            let scope = Scope::Name { parent: parent.guid, name: folded.clone() };
            change = Some(self.begin_change(position.hive(), scope, transaction).await);
            let within = self.key_within(transaction, parent);
            hold.push(self.turn_outside(within, Place::Children(parent), Share::Change).await);
            hold.push(self.turn_outside(within, Place::Name(parent, folded), Share::Alone).await);
        } else {
            hold.push(self.turn_to_read(parent, Place::Name(parent, folded)).await);
        }
        self.env.yield_point("look up a component").await;
        let mut parent_metadata = walk.metadata.clone();
        let learning = change.as_ref().map(|change| &change.known);
        let found = match self.lookup(parent, &component, learning).await {
            Err(Errno::ENOENT) if creates.is_some() => {
                // The parent may have gone since it was met, which a creation has to know.
                parent_metadata = None;
                Lookup::default()
            }
            found => found?,
        };
        let resolved = view.resolve_path(&found.entries);
        match (self.unless_tied(parent, Operation::Lookup, resolved)?, change) {
            (Some(guid), _) => {
                let metadata = found.metadata.into_iter().find(|key| key.guid == guid);
                let metadata = metadata.ok_or(Errno::EIO)?;
                let position = position.child(guid, component);
                let within = walk.within;
                Ok(Walked::Reached(Reached { position, metadata, within, hold }))
            }
            (None, Some(change)) => Ok(Walked::Missing(Box::new(Missing {
                parent: position,
                parent_metadata,
                name: component,
                entries: found.entries,
                within: parent.transaction,
                change,
                hold,
            }))),
            (None, None) => Err(Errno::ENOENT),
        }
    }

    /// Puts a link's target in front of what is left of the path.
    async fn follow(
        &self,
        view: &View,
        token: &Token,
        walk: &mut Walk,
        link: KeyId,
    ) -> Result<(), Errno> {
        if walk.links > self.parameters.symlink_depth_max() {
            return Err(Errno::ELOOP);
        }
        self.env.yield_point("read a link").await;
        let values = {
            let _turn = self.turn_to_read(link, Place::Reading(link)).await;
            self.query_value(link, "", None).await?
        };
        let target = view.resolve_value(&values.entries, &values.blankets);
        let target = self.unless_tied(link, Operation::QueryValues, target)?;
        let target = match target.map(|value| value.content()) {
            Some((REG_LINK, data)) => {
                name::path(data, 0, &self.parameters).map_err(|_| Errno::EINVAL)?
            }
            _ => return Err(Errno::EINVAL),
        };
        let mut ahead: VecDeque<String> = target.into();
        ahead.append(&mut walk.ahead);
        // The depth comes first here (P-195).
        check_depth(&ahead, &self.parameters)?;
        check_expanded(&ahead, &self.parameters)?;
        walk.position = Some(self.enter_hive(&mut ahead, token)?);
        walk.metadata = None;
        walk.within = None;
        walk.ahead = ahead;
        Ok(())
    }
}

fn check_depth(components: &VecDeque<String>, limits: &Parameters) -> Result<(), Errno> {
    if components.len() > limits.key_depth_max() { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The limits of a whole path, once an alias or a link has made it longer (D-02).
pub fn check_expanded<'a, I>(components: I, limits: &Parameters) -> Result<(), Errno>
where
    I: IntoIterator<Item = &'a String>,
    I::IntoIter: ExactSizeIterator,
{
    let components = components.into_iter();
    let count = components.len();
    let length = components.map(String::len).sum::<usize>() + count.saturating_sub(1);
    if length > limits.path_length_max() {
        return Err(Errno::ENAMETOOLONG);
    }
    if count > limits.key_depth_max() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
