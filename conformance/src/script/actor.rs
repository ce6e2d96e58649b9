//! The `actor` line: a name and a token, read and written.

use std::collections::BTreeSet;
use std::sync::Arc;

use registry_model::security::{
    GROUP_ENABLED, Group, INTEGRITY_SYSTEM, Privilege, Sid, Token, TokenFields,
};

use super::error::Complaint;
use super::token::word;
use super::words::{Words, parse_number};
use super::{data, sid, vocabulary};
use crate::plan::Actor;

/// How an actor line is written.
pub(super) const USAGE: &str = "write `actor NAME system`, or `actor NAME user=SID [owner=SID] [primary_group=SID] \
    [groups=SID[:ATTRIBUTES],...] [privileges=SeTcb,...] [default_dacl=hex:...] [private LAYER] \
    [scope=GUID]`";

/// The word for the token of SYSTEM.
const SYSTEM: &str = "system";

/// What an actor line has said so far.
#[derive(Default)]
struct Said {
    user: Option<Sid>,
    owner: Option<Sid>,
    primary_group: Option<Sid>,
    groups: Option<Vec<Group>>,
    privileges: Option<BTreeSet<Privilege>>,
    default_dacl: Option<Vec<u8>>,
    private_layers: Vec<String>,
    scopes: Vec<[u8; 16]>,
}

/// Takes the words after `actor`. Owner and primary group are the user unless they are given.
pub(super) fn parse_actor(words: &mut Words<'_>) -> Result<Actor, Complaint> {
    let name = words.string("the actor's name")?;
    if words.peek_bare() == Some(SYSTEM) {
        words.expect(SYSTEM)?;
        words.end()?;
        return Ok(Actor { name, token: Token::system() });
    }
    let mut said = Said::default();
    while words.peek().is_some() {
        let (text, span) = words.bare("a part of the token")?;
        match text.split_once('=') {
            None if text == "private" => said.private_layers.push(words.string("a layer")?),
            None => return Err(unknown(text, span)),
            Some((field, value)) => parse_field(&mut said, field, value, span)?,
        }
    }
    let Some(user) = said.user else {
        return Err(words.missing("`user=SID`"));
    };
    let token = Token(Arc::new(TokenFields {
        owner: said.owner.unwrap_or_else(|| user.clone()),
        primary_group: said.primary_group.unwrap_or_else(|| user.clone()),
        groups: said.groups.unwrap_or_default(),
        privileges: said.privileges.unwrap_or_default(),
        default_dacl: said.default_dacl,
        private_layers: said.private_layers,
        scopes: said.scopes,
        // As all actors had it before tokens said it.
        integrity_level: INTEGRITY_SYSTEM,
        ..TokenFields::clone(&Token::of_user(user).0)
    }));
    Ok(Actor { name, token })
}

/// The words of an actor line.
pub(super) fn actor_words(actor: &Actor) -> String {
    let name = word(actor.name.as_bytes());
    if actor.token == Token::system() {
        return format!("actor {name} {SYSTEM}");
    }
    let token = &actor.token.0;
    let mut text = format!("actor {name} user={}", sid::sid_word(&token.user));
    let mut say = |field: &str, value: String| text.push_str(&format!(" {field}{value}"));
    if token.owner != token.user {
        say("owner=", sid::sid_word(&token.owner));
    }
    if token.primary_group != token.user {
        say("primary_group=", sid::sid_word(&token.primary_group));
    }
    if !token.groups.is_empty() {
        say("groups=", token.groups.iter().map(group_word).collect::<Vec<_>>().join(","));
    }
    if !token.privileges.is_empty() {
        let names = token.privileges.iter().map(|p| vocabulary::privilege_word(*p));
        say("privileges=", names.collect::<Vec<_>>().join(","));
    }
    if let Some(dacl) = &token.default_dacl {
        say("default_dacl=hex:", data::hex(dacl));
    }
    for layer in &token.private_layers {
        say("private ", word(layer.as_bytes()));
    }
    for scope in &token.scopes {
        say("scope=", data::hex(scope));
    }
    text
}

fn parse_field(
    said: &mut Said,
    field: &str,
    value: &str,
    span: (usize, usize),
) -> Result<(), Complaint> {
    let is_new = match field {
        "user" => said.user.replace(sid::parse_sid(value, span)?).is_none(),
        "owner" => said.owner.replace(sid::parse_sid(value, span)?).is_none(),
        "primary_group" => said.primary_group.replace(sid::parse_sid(value, span)?).is_none(),
        "groups" => {
            let groups = value.split(',').map(|group| parse_group(group, span));
            said.groups.replace(groups.collect::<Result<_, _>>()?).is_none()
        }
        "privileges" => {
            let privileges = value.split(',').map(|p| vocabulary::parse_privilege(p, span));
            said.privileges.replace(privileges.collect::<Result<_, _>>()?).is_none()
        }
        "default_dacl" => {
            let digits = value.strip_prefix("hex:").ok_or_else(|| unknown(value, span))?;
            said.default_dacl.replace(data::parse_hex(digits, span)?).is_none()
        }
        "scope" => {
            let advice = "write the 16 bytes as 32 hexadecimal digits";
            let scope = data::parse_hex(value, span)?.try_into();
            said.scopes.push(scope.map_err(|_| Complaint::new(span, "no GUID", advice))?);
            true
        }
        _ => return Err(unknown(field, span)),
    };
    if is_new {
        Ok(())
    } else {
        Err(Complaint::new(span, format!("`{field}` is given twice"), "keep one"))
    }
}

fn unknown(text: &str, span: (usize, usize)) -> Complaint {
    Complaint::new(span, format!("`{text}` cannot stand here"), "")
}

/// `SID`, which is enabled, or `SID:0xATTRIBUTES`.
fn group_word(group: &Group) -> String {
    let sid = sid::sid_word(&group.sid);
    if group.attributes == GROUP_ENABLED { sid } else { format!("{sid}:{:#x}", group.attributes) }
}

fn parse_group(text: &str, span: (usize, usize)) -> Result<Group, Complaint> {
    let (sid, attributes) = match text.rsplit_once(':') {
        Some((sid, attributes)) if attributes.starts_with("0x") => {
            (sid, parse_number(attributes, span, "group attributes")?)
        }
        _ => (text, GROUP_ENABLED),
    };
    Ok(Group { sid: sid::parse_sid(sid, span)?, attributes })
}
