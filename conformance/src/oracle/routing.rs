//! Which of several hives of one name a caller's paths lead to (PSD-005 §2.2).

use super::{Fold, RawHive};

/// The hives that a caller with these scopes reaches, one of each name: the private hive of the
/// first scope that has one, or else the global one (PRIV-04 to PRIV-06).
pub(super) fn reached<'a>(
    hives: &'a [RawHive],
    scopes: &[[u8; 16]],
    fold: Fold,
) -> Vec<&'a RawHive> {
    let rank = |hive: &RawHive| match hive.scope {
        None => Some(scopes.len()),
        Some(scope) => scopes.iter().position(|held| *held == scope),
    };
    let is_shadowed = |hive: &RawHive| {
        let others = hives.iter().filter(|other| fold(&other.name) == fold(&hive.name));
        others.filter_map(rank).any(|other| Some(other) < rank(hive))
    };
    hives.iter().filter(|hive| rank(hive).is_some() && !is_shadowed(hive)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_scope_wins_and_everybody_has_the_global_hive() {
        let hive = |name: &str, scope: Option<u8>| {
            let scope = scope.map(|byte| [byte; 16]);
            RawHive { name: name.to_owned(), scope, ..RawHive::default() }
        };
        let hives = [hive("Mine", Some(1)), hive("MINE", Some(2)), hive("mine", None)];
        let of = |scopes: &[u8]| {
            let scopes: Vec<[u8; 16]> = scopes.iter().map(|byte| [*byte; 16]).collect();
            let reached = reached(&hives, &scopes, str::to_lowercase);
            reached.into_iter().map(|hive| hive.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[]), ["mine"]);
        assert_eq!(of(&[1, 2]), ["Mine"]);
        assert_eq!(of(&[2, 1]), ["MINE"]);
        assert_eq!(of(&[3]), ["mine"]);
        assert!(reached_names(&hives[..2], &[]).is_empty());
    }

    fn reached_names(hives: &[RawHive], scopes: &[[u8; 16]]) -> Vec<String> {
        let reached = reached(hives, scopes, str::to_lowercase);
        reached.into_iter().map(|hive| hive.name.clone()).collect()
    }
}
