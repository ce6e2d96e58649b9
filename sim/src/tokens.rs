//! The harness's tokens as the kernel half wants them.

use lcs::security::{Acl, Group, Privileges, Sid, Token};
use registry_model::security::{Privilege, Token as ModelToken};
use rsi::Guid;

/// The same token in the implementation's terms.
///
/// # Errors
/// What part of the token the implementation does not take, in words.
pub fn convert(token: &ModelToken) -> Result<Token, String> {
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
    Ok(Token {
        owner: sid(&fields.owner.0)?,
        primary_group: sid(&fields.primary_group.0)?,
        groups,
        privileges,
        default_dacl,
        integrity_level: Token::INTEGRITY_SYSTEM,
        private_layers: fields.private_layers.clone(),
        scopes: fields.scopes.iter().map(|scope| Guid(*scope)).collect(),
        ..Token::user(sid(&fields.user.0)?)
    })
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
    }
}
