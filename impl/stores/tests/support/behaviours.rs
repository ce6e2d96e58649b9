//! The same tests for every store.

/// One module for each store, with a test for each behaviour, over the hive Machine or those given.
macro_rules! behaviours {
    (over $hives:expr; $($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(super::Driver::new(super::memory(&$hives))); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name(super::Driver::new(super::sqlite(&$hives))); })*
        }
    };
    ($($name:ident),* $(,)?) => {
        behaviours!(over ["Machine"]; $($name),*);
    };
}
