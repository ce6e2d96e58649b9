//! The alias `CurrentUser`, as the wire monitor has to know it (PSD-005 §2.2, §6.2, D-04).
//!
//! Stated once more on the harness's own account: what a caller's path means is known from the
//! path and the token alone.

use registry_model::input::Call;
use registry_model::names::fold;
use registry_model::security::Token;

const ALIAS: &str = "CurrentUser";
const HIVE_OF_USERS: &str = "Users";

/// The call with the alias at the beginning of an absolute path replaced; `None` if it has none.
pub(crate) fn expanded(call: &Call, token: &Token) -> Option<Call> {
    let (Call::OpenKey { parent: -1, path, .. } | Call::CreateKey { parent: -1, path, .. }) = call
    else {
        return None;
    };
    let end = path.iter().position(|byte| b"\\/\0".contains(byte)).unwrap_or(path.len());
    let first = std::str::from_utf8(&path[..end]).ok()?;
    if fold(first) != fold(ALIAS) {
        return None;
    }
    let key = format!("{HIVE_OF_USERS}\\{}", token.0.user);
    let mut call = call.clone();
    if let Call::OpenKey { path, .. } | Call::CreateKey { path, .. } = &mut call {
        path.splice(..end, key.into_bytes());
    }
    Some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(parent: i32, path: &str) -> Option<String> {
        let path = path.as_bytes().to_vec();
        let call = Call::OpenKey { parent, path, desired_access: 1, flags: 0 };
        match expanded(&call, &Token::system())? {
            Call::OpenKey { path, .. } => String::from_utf8(path).ok(),
            _ => None,
        }
    }

    #[test]
    fn the_first_component_of_an_absolute_path_is_the_alias() {
        let expected = |rest: &str| Some(format!("Users\\S-1-5-18{rest}"));
        assert_eq!(path_of(-1, "CurrentUser"), expected(""));
        assert_eq!(path_of(-1, "cURRENTuSER/App\\x"), expected("/App\\x"));
        assert_eq!(path_of(-1, "Machine\\CurrentUser"), None);
        assert_eq!(path_of(-1, "CurrentUsers\\x"), None);
        assert_eq!(path_of(3, "CurrentUser\\x"), None);
    }
}
