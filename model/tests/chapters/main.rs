//! The chapters of the model, each shown by short scripts and their transcripts.

mod audit;
mod callers;
mod contracts;
mod deletion;
mod enumeration;
mod front_door;
mod interruptions;
mod key_security;
mod laws;
mod layer_authorization;
mod layers;
mod links;
mod opening;
mod private_hives;
mod refreshes;
mod registration;
mod resolution;
mod source;
mod sources;
mod store_entries;
mod store_laws;
mod store_records;
mod store_start;
mod store_transactions;
mod values;
mod world;
