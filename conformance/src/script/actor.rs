//! The `actor` line, read and written: a name and a token.

use super::credentials::{self, Bearer};
use super::error::Complaint;
use super::token::word;
use super::words::Words;
use crate::plan::Actor;

/// Takes the words after `actor`.
pub(super) fn parse_actor(words: &mut Words<'_>) -> Result<Actor, Complaint> {
    let name = words.string("the actor's name")?;
    let token = credentials::parse(words, Bearer::Process)?;
    Ok(Actor { name, token })
}

/// The words of an actor line.
pub(super) fn actor_words(actor: &Actor) -> String {
    let name = word(actor.name.as_bytes());
    format!("actor {name} {}", credentials::words(&actor.token, Bearer::Process))
}

/// How an actor line is written.
pub(super) fn usage() -> String {
    format!("write `actor NAME {}`", credentials::USAGE)
}
