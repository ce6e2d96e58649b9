//! The kernel half through its front door, over a memory source, in virtual time.

mod audit;
mod client;
mod deletion;
mod enumeration;
mod failures;
mod front_door;
mod keys;
mod layers;
mod links;
mod malformed;
mod registration;
mod security;
mod source;
mod stress;
mod values;
mod world;
