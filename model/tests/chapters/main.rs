//! The chapters of the model, each shown by short scripts and their transcripts.

mod contracts;
mod deletion;
mod enumeration;
mod front_door;
mod interruptions;
mod laws;
mod layers;
mod opening;
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
