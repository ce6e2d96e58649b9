//! The same tests for every store.

/// One module for each store, with a test for each behaviour.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $name() { super::$name(super::Driver::new(super::memory(&["Machine"]))); })*
        }
        mod sqlite {
            $(#[test] fn $name() { super::$name(super::Driver::new(super::sqlite(&["Machine"]))); })*
        }
    };
}
