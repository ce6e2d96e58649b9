//! The harness's tokens as the kernel half wants them.

use std::sync::Arc;

use lcs::AttachmentLimits;
use lcs::security::{Acl, Group, Privileges, Sid, Token, TokenIdentity, TokenLevel};
use registry_model::security::{
    Privilege, Token as ModelToken, TokenIdentity as ModelIdentity, TokenLevel as ModelLevel,
};
use rsi::Guid;

/// The harness's tokens that were met, with the kernel half's form of each.
#[derive(Default)]
pub struct Tokens(Vec<(ModelToken, Arc<Token>)>);

impl Tokens {
    /// The kernel half's form of a token, the same each time.
    ///
    /// # Panics
    /// At a token that is not well formed; plans have none.
    pub fn of(&mut self, token: &ModelToken) -> Arc<Token> {
        if let Some((_, known)) = self.0.iter().find(|(model, _)| model == token) {
            return Arc::clone(known);
        }
        let converted = convert(token).expect("a plan's tokens are well formed");
        let converted = Arc::new(converted);
        self.0.push((token.clone(), Arc::clone(&converted)));
        converted
    }
}

/// The same token in the implementation's terms.
///
/// # Errors
/// What part of the token the implementation does not take, in words.
fn convert(token: &ModelToken) -> Result<Token, String> {
    let fields = &token.0;
    let groups = fields
        .groups
        .iter()
        .map(|group| Ok(Group { sid: sid(&group.sid.0)?, attributes: group.attributes }))
        .collect::<Result<Vec<Group>, String>>()?;
    let privileges =
        fields.privileges.iter().fold(Privileges::NONE, |set, one| set | privilege(*one));
    let default_dacl =
        match &fields.default_dacl {
            Some(bytes) => Some(Acl::parse_prefix(bytes).map_err(|error| {
                format!("the default DACL of the token is malformed: {error:?}")
            })?),
            None => None,
        };
    let token = Token {
        user: sid(&fields.user.0)?,
        user_deny_only: fields.user_deny_only,
        owner: sid(&fields.owner.0)?,
        primary_group: sid(&fields.primary_group.0)?,
        groups,
        privileges,
        default_dacl,
        integrity_level: fields.integrity_level,
        no_write_up: fields.no_write_up,
        restricted_sids: fields
            .restricted_sids
            .iter()
            .map(|restricting| sid(&restricting.0))
            .collect::<Result<Vec<Sid>, String>>()?,
        write_restricted: fields.write_restricted,
        private_layers: fields.private_layers.clone(),
        scopes: fields.scopes.iter().map(|scope| Guid(*scope)).collect(),
        confined: fields.confined,
        level: level(fields.level),
        audit_policy: fields.audit_policy,
        identity: identity(&fields.identity),
    };
    token.check_attachments(AttachmentLimits::default()).map_err(|error| error.to_string())?;
    Ok(token)
}

fn level(level: ModelLevel) -> TokenLevel {
    match level {
        ModelLevel::Primary => TokenLevel::Primary,
        ModelLevel::Anonymous => TokenLevel::Anonymous,
        ModelLevel::Identification => TokenLevel::Identification,
        ModelLevel::Impersonation => TokenLevel::Impersonation,
        ModelLevel::Delegation => TokenLevel::Delegation,
    }
}

fn identity(identity: &ModelIdentity) -> TokenIdentity {
    TokenIdentity {
        token_guid: Guid(identity.token_guid),
        true_token_guid: Guid(identity.true_token_guid),
        process_guid: Guid(identity.process_guid),
        authentication_id: identity.authentication_id,
        token_id: identity.token_id,
    }
}

fn sid(bytes: &[u8]) -> Result<Sid, String> {
    Sid::parse(bytes).map_err(|error| format!("a SID of the token is malformed: {error:?}"))
}

fn privilege(privilege: Privilege) -> Privileges {
    match privilege {
        Privilege::Tcb => Privileges::TCB,
        Privilege::Security => Privileges::SECURITY,
        Privilege::TakeOwnership => Privileges::TAKE_OWNERSHIP,
        Privilege::Backup => Privileges::BACKUP,
        Privilege::Restore => Privileges::RESTORE,
        Privilege::Relabel => Privileges::RELABEL,
    }
}
