//! The kernel half through its front door, over a memory source, in virtual time.

mod audit;
mod backup;
mod client;
mod commit_watches;
mod configuration;
mod deletion;
mod enumeration;
mod failures;
mod front_door;
mod keys;
mod late;
mod layer_watches;
mod layers;
mod links;
mod malformed;
mod registration;
mod security;
mod source;
mod stress;
mod transactions;
mod values;
mod watches;
mod world;
