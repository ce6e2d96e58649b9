//! The tokens of actors: their primary tokens, and those that they impersonate with.
//!
//! Gives each token the numbers by which an audit event names its caller (PSD-005 §3.1), each
//! number once in a run, so that an event which names another caller shows.

use std::sync::Arc;

use registry_model::security::{Token, TokenFields, TokenIdentity};

use crate::plan::{Actor, ActorIndex};

/// Kinds of GUIDs that are made here.
const TOKEN: u8 = 0x70;
const PROCESS: u8 = 0x71;

/// The tokens of a run.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    actors: Vec<Holder>,
    /// Tokens made so far.
    made: u64,
}

#[derive(Clone, Debug)]
struct Holder {
    primary: Token,
    /// Whether that is the token of SYSTEM.
    is_system: bool,
    /// `None` while the thread does not impersonate.
    impersonated: Option<Token>,
}

impl Tokens {
    /// The primary tokens of the actors.
    pub(crate) fn of_actors(actors: &[Actor]) -> Tokens {
        let mut tokens = Tokens { actors: Vec::new(), made: 0 };
        for (actor, declared) in actors.iter().enumerate() {
            let primary = tokens.named(actor, &declared.token);
            let is_system = anonymous(&declared.token) == Token::system();
            tokens.actors.push(Holder { primary, is_system, impersonated: None });
        }
        tokens
    }

    /// The token that an actor's calls are made with.
    pub(crate) fn of(&self, actor: ActorIndex) -> &Token {
        let holder = &self.actors[actor];
        holder.impersonated.as_ref().unwrap_or(&holder.primary)
    }

    /// Whether an actor's calls are made with the token of SYSTEM.
    pub(crate) fn is_system(&self, actor: ActorIndex) -> bool {
        let holder = &self.actors[actor];
        holder.impersonated.is_none() && holder.is_system
    }

    /// An actor impersonates.
    pub(crate) fn impersonate(&mut self, actor: ActorIndex, token: &Token) {
        let token = self.named(actor, token);
        self.actors[actor].impersonated = Some(token);
    }

    /// An actor has its primary token again.
    pub(crate) fn revert(&mut self, actor: ActorIndex) {
        self.actors[actor].impersonated = None;
    }

    /// The machine went down: nobody impersonates any more.
    pub(crate) fn rebooted(&mut self) {
        self.actors.iter_mut().for_each(|holder| holder.impersonated = None);
    }

    fn named(&mut self, actor: ActorIndex, token: &Token) -> Token {
        self.made += 1;
        let token_guid = guid(TOKEN, self.made);
        let primary = self.actors.get(actor).map(|holder| &holder.primary.0.identity);
        let identity = TokenIdentity {
            token_guid,
            true_token_guid: primary.map_or(token_guid, |primary| primary.token_guid),
            process_guid: guid(PROCESS, actor as u64),
            authentication_id: 0x1000 + self.made,
            token_id: 0x2000 + self.made,
        };
        Token(Arc::new(TokenFields { identity, ..TokenFields::clone(&token.0) }))
    }
}

/// The token without the numbers that are its own.
pub(crate) fn anonymous(token: &Token) -> Token {
    let identity = TokenIdentity::default();
    Token(Arc::new(TokenFields { identity, ..TokenFields::clone(&token.0) }))
}

fn guid(kind: u8, number: u64) -> [u8; 16] {
    let mut guid = [kind; 16];
    guid[8..].copy_from_slice(&number.to_le_bytes());
    guid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let actor = |name: &str| Actor { name: name.to_owned(), token: Token::system() };
        Tokens::of_actors(&[actor("alice"), actor("bob")])
    }

    #[test]
    fn an_impersonating_thread_keeps_the_numbers_of_its_process() {
        let mut tokens = tokens();
        let primary = tokens.of(1).0.identity;
        tokens.impersonate(1, &Token::system());
        let identity = tokens.of(1).0.identity;
        assert_eq!(identity.true_token_guid, primary.token_guid);
        assert_eq!(identity.process_guid, primary.process_guid);
        assert_ne!(identity.token_guid, primary.token_guid);
        tokens.revert(1);
        assert_eq!(tokens.of(1).0.identity, primary);
    }

    #[test]
    fn two_actors_differ_in_nothing_but_their_numbers() {
        let tokens = tokens();
        assert_ne!(tokens.of(0), tokens.of(1));
        assert_eq!(anonymous(tokens.of(0)), anonymous(tokens.of(1)));
    }
}
