//! Who may do what: SIDs, tokens, security descriptors, inheritance and the access evaluation.
//!
//! PSD-005 §3.1 delegates all of this to KACS, so these modules state PSD-004 §2, §3 and §10 as
//! far as registry keys meet them. They may not know of keys, layers or sources: a descriptor
//! comes as bytes and a caller as a [`Token`].
//!
//! Not evaluated: conditional expressions (a callback deny ACE always applies, a callback allow ACE
//! never does and a callback audit ACE always does, which is what an undeterminable condition
//! means), object type lists (an object ACE acts as a basic one) and PRINCIPAL_SELF. A process has
//! no trust, a sandbox no SID and a central policy no definition: each is decided as PSD-004 §10.6
//! to §10.8 decide what is missing, against the caller.

mod access;
mod acl;
mod auditing;
mod default_descriptors;
mod descriptor;
#[cfg(test)]
mod descriptor_tests;
mod inheritance;
mod mandatory;
mod privileges;
mod rights;
mod sid;
mod subset;
#[cfg(test)]
mod tests;
mod token;

pub use access::{Decision, OwnerMissing, access_check, decide, validate_desired_access};
pub use acl::{Ace, AceBody, AceEntry, Acl, ObjectTypes, ace_flag, ace_type};
pub use auditing::AuditMatch;
pub use default_descriptors::default_base_layer_sd;
pub use descriptor::{
    MalformedDescriptor, SECURITY_DESCRIPTOR_LENGTH_MAX, SecurityDescriptor, control,
};
pub use inheritance::{DescriptorTooLong, inherit};
pub use privileges::Privileges;
pub use rights::map_generic;
pub use sid::{MalformedSid, Sid};
pub use subset::{Components, DescriptorSubset};
pub use token::{Group, Token, TokenIdentity, TokenLevel, TokenTooLarge, group_attribute};
