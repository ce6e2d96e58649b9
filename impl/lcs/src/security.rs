//! Who may do what: SIDs, tokens, security descriptors, inheritance and the access evaluation.
//!
//! PSD-005 §3.1 delegates all of this to KACS, so these modules state PSD-004 §2, §3 and §10 as
//! far as registry keys meet them. They may not know of keys, layers or sources: a descriptor
//! comes as bytes and a caller as a [`Token`].
//!
//! Left out, since no registry object carries it in our scope: evaluation of conditional
//! expressions (a callback deny ACE always applies and a callback allow ACE never does, which is
//! what an undeterminable condition means), object type lists (an object ACE acts as a basic
//! one), PRINCIPAL_SELF, confinement, process trust labels, central policies and auditing.

mod access;
mod acl;
mod default_descriptors;
mod descriptor;
#[cfg(test)]
mod descriptor_tests;
mod inheritance;
mod privileges;
mod rights;
mod sid;
#[cfg(test)]
mod tests;
mod token;

pub use access::{access_check, validate_desired_access};
pub use acl::{Ace, AceBody, AceEntry, Acl, ObjectTypes, ace_flag, ace_type};
pub use default_descriptors::default_base_layer_sd;
pub use descriptor::{
    MalformedDescriptor, SECURITY_DESCRIPTOR_LENGTH_MAX, SecurityDescriptor, control,
};
pub use inheritance::{DescriptorTooLong, inherit};
pub use privileges::Privileges;
pub use rights::map_generic;
pub use sid::{MalformedSid, Sid};
pub use token::{Group, Token, group_attribute};
