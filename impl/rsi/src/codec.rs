//! Frames of the registry source interface: headers, and whole messages in both directions.
//!
//! States PSD-005 §7.1 (framing) and §11.3 (common header); the payloads are in `request` and
//! `response`. It may not know which requests are outstanding: a response is decoded against the
//! operation that its receiver expects.

use crate::bytes::{Reader, Writer};
use crate::error::{FrameError, ResponseError};
use crate::message::{Operation, RequestFrame, RequestId, ResponseFrame, Status, TransactionId};
use crate::{request, response};

/// Bytes of a request's header.
pub const REQUEST_HEADER_LENGTH: usize = 22;

/// Bytes of a response's header.
pub const RESPONSE_HEADER_LENGTH: usize = 14;

/// Set in the operation code of every response.
pub const RESPONSE_OPERATION_BIT: u16 = 0x8000;

/// The header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Its identity.
    pub id: RequestId,
    /// What is asked.
    pub operation: Operation,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
}

/// The header of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The identity of the request it answers.
    pub id: RequestId,
    /// The operation it says it answers.
    pub operation: Operation,
}

/// The bytes of a request (PSD-005 §11.3).
#[must_use]
pub fn encode_request(frame: &RequestFrame) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u64(frame.id.0);
    writer.u16(frame.request.operation().code());
    writer.u64(frame.transaction.map_or(0, |transaction| transaction.0));
    request::encode(&mut writer, &frame.request);
    writer.finish()
}

/// The request in exactly these bytes. Fields after the last known one are skipped, as PSD-005
/// §7.3 (forward compatibility) asks of a source.
///
/// # Errors
/// Any [`FrameError`] but `WrongOperation`.
pub fn decode_request(bytes: &[u8]) -> Result<RequestFrame, FrameError> {
    let header = decode_request_header(bytes)?;
    let mut reader = Reader::new(bytes.get(REQUEST_HEADER_LENGTH..).unwrap_or_default());
    let request = request::decode(&mut reader, header.operation)?;
    Ok(RequestFrame { id: header.id, transaction: header.transaction, request })
}

/// Only the header of the request in these bytes, so that a source can answer a request whose
/// payload it refuses.
///
/// # Errors
/// `ShorterThanHeader`, `LengthMismatch` or `UnknownOperation`.
pub fn decode_request_header(bytes: &[u8]) -> Result<RequestHeader, FrameError> {
    check_length(bytes, REQUEST_HEADER_LENGTH)?;
    let mut reader = Reader::new(bytes.get(4..).unwrap_or_default());
    let id = RequestId(reader.u64()?);
    let code = reader.u16()?;
    let transaction = reader.u64()?;
    let operation = Operation::from_code(code).ok_or(FrameError::UnknownOperation { code })?;
    let transaction = (transaction != 0).then_some(TransactionId(transaction));
    Ok(RequestHeader { id, operation, transaction })
}

/// The bytes of the RSI_INVALID response to a request that [`decode_request`] refuses, whatever its
/// operation code is (PSD-005 §7.3, P-61).
///
/// # Errors
/// `ShorterThanHeader` or `LengthMismatch`: there is no request to answer.
pub fn encode_refusal(request: &[u8]) -> Result<Vec<u8>, FrameError> {
    check_length(request, REQUEST_HEADER_LENGTH)?;
    let mut reader = Reader::new(request.get(4..).unwrap_or_default());
    let id = reader.u64()?;
    let code = reader.u16()?;
    let mut writer = Writer::new();
    writer.u64(id);
    writer.u16(code | RESPONSE_OPERATION_BIT);
    writer.u32(Status::Invalid.code());
    Ok(writer.finish())
}

/// The bytes of a response (PSD-005 §11.3).
#[must_use]
pub fn encode_response(frame: &ResponseFrame) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u64(frame.id.0);
    writer.u16(frame.operation.code() | RESPONSE_OPERATION_BIT);
    response::encode(&mut writer, &frame.response);
    writer.finish()
}

/// The response in exactly these bytes, to a request for `expected`.
///
/// The structure is followed to its end before the content is judged, so that a message with
/// faults of both classes is a bad frame.
///
/// # Errors
/// [`ResponseError::Frame`] when the structure is at fault or another operation is answered,
/// [`ResponseError::Payload`] when only the content is (D-90).
pub fn decode_response(bytes: &[u8], expected: Operation) -> Result<ResponseFrame, ResponseError> {
    let header = decode_response_header(bytes)?;
    if header.operation != expected {
        let code = header.operation.code() | RESPONSE_OPERATION_BIT;
        return Err(FrameError::WrongOperation { code }.into());
    }
    let mut reader = Reader::new(bytes.get(RESPONSE_HEADER_LENGTH..).unwrap_or_default());
    let response = response::decode(&mut reader, expected)?;
    Ok(ResponseFrame { id: header.id, operation: expected, response })
}

/// Only the header of the response in these bytes.
///
/// # Errors
/// `ShorterThanHeader`, `LengthMismatch` or `UnknownOperation`.
pub fn decode_response_header(bytes: &[u8]) -> Result<ResponseHeader, FrameError> {
    check_length(bytes, RESPONSE_HEADER_LENGTH)?;
    let mut reader = Reader::new(bytes.get(4..).unwrap_or_default());
    let id = RequestId(reader.u64()?);
    let code = reader.u16()?;
    let operation = code
        .checked_sub(RESPONSE_OPERATION_BIT)
        .and_then(Operation::from_code)
        .ok_or(FrameError::UnknownOperation { code })?;
    Ok(ResponseHeader { id, operation })
}

fn check_length(bytes: &[u8], header_length: usize) -> Result<(), FrameError> {
    let length = bytes.len();
    if length < header_length {
        return Err(FrameError::ShorterThanHeader { length });
    }
    let declared = Reader::new(bytes).u32()?;
    if usize::try_from(declared) != Ok(length) {
        return Err(FrameError::LengthMismatch { declared, length });
    }
    Ok(())
}
