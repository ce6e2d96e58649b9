//! One source's connection: requests out, responses in, and what becomes of late ones.
//!
//! States PSD-005 §7.1 (channel, in-flight limit, timed-out records), the response side of §7.3,
//! and §10.1 as far as one connection goes. It may not know of hives, slots or registration: the
//! kernel makes a [`Connection`] for each incarnation of a slot and attaches it to the
//! [`Device`] that the source process holds; it learns of an end through its [`Supervisor`].

mod connection;
mod device;
mod dispatch;
mod effect;
mod status;
#[cfg(test)]
mod tests;
mod validation;

pub use connection::{Connection, DownReason, ProtocolError, RequestError, Supervisor};
pub use device::{Device, Readiness};
pub use dispatch::Inquiry;
pub use effect::{AnyEffect, OnArrival, ResponseEffect};
pub use status::status_errno;
pub use validation::{Descriptors, Malformed, MalformedResponse};
