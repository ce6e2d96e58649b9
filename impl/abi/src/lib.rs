//! The binary interface of the registry: everything a caller and the kernel half must agree on.
//!
//! Numbers, masks and byte layouts only; it knows no behaviour. States PSD-005 §11.1, §11.2, §3.1
//! and §6.4 (`ABI-*`, `CONST-*`).

mod access;
pub mod errno;
pub mod ioctl;
pub mod layout;
mod number;
pub mod source_stream;
pub mod value_type;

pub use access::*;
pub use errno::Errno;
pub use layout::Structure;
pub use number::*;
