//! The chapters of the model, each shown by short scripts and their transcripts.

mod contracts;
mod deletion;
mod enumeration;
mod front_door;
mod interruptions;
mod laws;
mod layers;
mod opening;
mod resolution;
mod sources;
mod values;
mod world;
