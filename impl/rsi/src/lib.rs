//! The registry source interface as values and as bytes, for both of its ends.
//!
//! [`Request`] and [`Response`] are the messages of PSD-005 §7.2; the functions at this root turn
//! them into the frames of §11.3 and back. The crate knows nothing of devices, of time, or of
//! what either end does with a message; names and security descriptors are bytes to it.

mod bytes;
mod codec;
mod codes;
mod error;
mod message;
mod request;
mod response;

pub use codec::{
    REQUEST_HEADER_LENGTH, RESPONSE_HEADER_LENGTH, RESPONSE_OPERATION_BIT, RequestHeader,
    ResponseHeader, decode_request, decode_request_header, decode_response, decode_response_header,
    encode_refusal, encode_request, encode_response,
};
pub use error::{FrameError, PayloadError, ResponseError};
pub use message::{
    BlanketEntry, Guid, KeyMetadata, Operation, PathEntry, Request, RequestFrame, RequestId,
    Response, ResponseFrame, Status, TransactionId, ValueEntry,
};
