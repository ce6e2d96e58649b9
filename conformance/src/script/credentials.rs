//! Tokens as text: those of the `actor` line and of `become`.

use std::collections::BTreeSet;
use std::sync::Arc;

use registry_model::limits::Limits;
use registry_model::security::{
    Acl, GROUP_ENABLED, Group, Privilege, Sid, Token, TokenFields, TokenLevel,
};

use super::error::Complaint;
use super::token::word;
use super::words::{Words, parse_number};
use super::{descriptor, device, sid, vocabulary};

/// How a token is written.
pub(super) const USAGE: &str = "system|user=SID [user_deny_only] [owner=SID] [primary_group=SID] \
    [groups=SID[:ATTRIBUTES],...] [privileges=SeTcb,...] [default_dacl=D:(...)|hex:...] \
    [integrity=untrusted|low|medium|high|system|N] [no_write_up=0] [restricted=SID,...] \
    [write_restricted] [confined] [level=anonymous|identification|impersonation|delegation] \
    [audit_policy=N] [private LAYER] [scope=GUID]";

/// The word for the token of SYSTEM.
const SYSTEM: &str = "system";

/// Who has a token, which decides the level that it has if nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    /// A process: a primary token.
    Process,
    /// A thread that impersonates.
    Thread,
}

impl Bearer {
    fn level(self) -> TokenLevel {
        match self {
            Bearer::Process => TokenLevel::Primary,
            Bearer::Thread => TokenLevel::Impersonation,
        }
    }

    /// The token of SYSTEM at the level of this bearer.
    fn system(self) -> Token {
        let fields = TokenFields::clone(&Token::system().0);
        Token(Arc::new(TokenFields { level: self.level(), ..fields }))
    }
}

/// Takes the words of a token to the end of the line. What is not said is as in
/// [`Token::of_user`], at the bearer's level.
pub(super) fn parse(words: &mut Words<'_>, bearer: Bearer) -> Result<Token, Complaint> {
    if words.peek_bare() == Some(SYSTEM) {
        words.expect(SYSTEM)?;
        words.end()?;
        return Ok(bearer.system());
    }
    let mut said = Said::default();
    while words.peek().is_some() {
        let (text, span) = words.bare("a part of the token")?;
        match text.split_once('=') {
            None => parse_word(&mut said, text, span, words)?,
            Some((field, value)) => said.field(field, value, span)?,
        }
    }
    let Some(user) = said.user else {
        return Err(words.missing("`user=SID`"));
    };
    let usual = Token::of_user(user.clone());
    Ok(Token(Arc::new(TokenFields {
        owner: said.owner.unwrap_or_else(|| user.clone()),
        primary_group: said.primary_group.unwrap_or(user),
        groups: said.groups.unwrap_or_default(),
        privileges: said.privileges.unwrap_or_default(),
        default_dacl: said.default_dacl,
        private_layers: said.private_layers,
        scopes: said.scopes,
        user_deny_only: said.user_deny_only,
        integrity_level: said.integrity.unwrap_or(usual.0.integrity_level),
        no_write_up: said.no_write_up.unwrap_or(usual.0.no_write_up),
        restricted_sids: said.restricted.unwrap_or_default(),
        write_restricted: said.write_restricted,
        confined: said.confined,
        audit_policy: said.audit_policy.unwrap_or_default(),
        level: said.level.unwrap_or(bearer.level()),
        ..TokenFields::clone(&usual.0)
    })))
}

/// The words of a token.
pub(super) fn words(token: &Token, bearer: Bearer) -> String {
    if *token == bearer.system() {
        return SYSTEM.to_owned();
    }
    let token = &token.0;
    let mut text = format!("user={}", sid::sid_word(&token.user));
    let mut say = |field: &str, value: String| text.push_str(&format!(" {field}{value}"));
    let mut flag = |is: bool, word: &str| {
        if is {
            say(word, String::new());
        }
    };
    flag(token.user_deny_only, "user_deny_only");
    flag(token.write_restricted, "write_restricted");
    flag(token.confined, "confined");
    flag(!token.no_write_up, "no_write_up=0");
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
        say("default_dacl=", descriptor::acl_word(dacl));
    }
    if token.integrity_level != Token::of_user(token.user.clone()).0.integrity_level {
        say("integrity=", vocabulary::integrity_word(token.integrity_level));
    }
    if !token.restricted_sids.is_empty() {
        let sids: Vec<String> = token.restricted_sids.iter().map(sid::sid_word).collect();
        say("restricted=", sids.join(","));
    }
    if token.level != bearer.level() {
        say("level=", vocabulary::level_word(token.level).to_owned());
    }
    if token.audit_policy != 0 {
        say("audit_policy=", format!("{:#x}", token.audit_policy));
    }
    for layer in &token.private_layers {
        say("private ", word(layer.as_bytes()));
    }
    for scope in &token.scopes {
        say("scope=", device::guid_word(scope));
    }
    text
}

/// What the words have said so far.
#[derive(Default)]
struct Said {
    user: Option<Sid>,
    user_deny_only: bool,
    owner: Option<Sid>,
    primary_group: Option<Sid>,
    groups: Option<Vec<Group>>,
    privileges: Option<BTreeSet<Privilege>>,
    default_dacl: Option<Vec<u8>>,
    integrity: Option<u32>,
    no_write_up: Option<bool>,
    restricted: Option<Vec<Sid>>,
    write_restricted: bool,
    confined: bool,
    level: Option<TokenLevel>,
    audit_policy: Option<u32>,
    private_layers: Vec<String>,
    scopes: Vec<[u8; 16]>,
}

fn parse_word(
    said: &mut Said,
    text: &str,
    span: (usize, usize),
    words: &mut Words<'_>,
) -> Result<(), Complaint> {
    match text {
        "private" => {
            said.private_layers.push(words.string("a layer")?);
            let most = Limits::default().max_private_layers_per_token;
            few(said.private_layers.len(), most, span)?;
        }
        "user_deny_only" => said.user_deny_only = true,
        "write_restricted" => said.write_restricted = true,
        "confined" => said.confined = true,
        _ => return Err(unknown(text, span)),
    }
    Ok(())
}

impl Said {
    fn field(&mut self, field: &str, value: &str, span: (usize, usize)) -> Result<(), Complaint> {
        let is_new = match field {
            "user" => once(&mut self.user, sid::parse_sid(value, span)?),
            "owner" => once(&mut self.owner, sid::parse_sid(value, span)?),
            "primary_group" => once(&mut self.primary_group, sid::parse_sid(value, span)?),
            "groups" => {
                let groups = value.split(',').map(|group| parse_group(group, span));
                once(&mut self.groups, groups.collect::<Result<_, _>>()?)
            }
            "privileges" => {
                let privileges = value.split(',').map(|p| vocabulary::parse_privilege(p, span));
                once(&mut self.privileges, privileges.collect::<Result<_, _>>()?)
            }
            "default_dacl" => {
                let bytes = descriptor::parse_acl(value, span)?;
                if Acl::parse(&bytes).is_err() {
                    let advice = "a token's default DACL is well formed, whatever it says";
                    return Err(Complaint::new(span, "no access control list", advice));
                }
                once(&mut self.default_dacl, bytes)
            }
            "integrity" => once(&mut self.integrity, vocabulary::parse_integrity(value, span)?),
            "no_write_up" => {
                let number: u8 = parse_number(value, span, "0 or 1")?;
                once(&mut self.no_write_up, number != 0)
            }
            "restricted" => {
                let sids = value.split(',').map(|sid| sid::parse_sid(sid, span));
                once(&mut self.restricted, sids.collect::<Result<_, _>>()?)
            }
            "level" => once(&mut self.level, vocabulary::parse_level(value, span)?),
            "audit_policy" => {
                let policy = parse_number(value, span, "a policy mask")?;
                once(&mut self.audit_policy, policy)
            }
            "scope" => {
                self.scopes.push(device::parse_guid(value, span)?);
                few(self.scopes.len(), Limits::default().max_scope_guids_per_token, span)?;
                true
            }
            _ => return Err(unknown(field, span)),
        };
        if is_new {
            return Ok(());
        }
        Err(Complaint::new(span, format!("`{field}` is given twice"), "keep one"))
    }
}

/// A token with more than there may be is made by nobody (P-133).
fn few(count: usize, most: u32, span: (usize, usize)) -> Result<(), Complaint> {
    if count <= most as usize {
        return Ok(());
    }
    Err(Complaint::new(span, format!("a token has at most {most} of these"), "leave some out"))
}

/// Whether nothing was there before.
fn once<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_none()
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
