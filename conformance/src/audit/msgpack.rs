//! The part of msgpack that audit payloads have, read strictly: each value in its shortest form.
//!
//! A payload is small and its encoding is to be checked bit by bit, which a general reader, lenient
//! by its task, does not do.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Unsigned(u64),
    Text(String),
    Bytes(Vec<u8>),
    /// In the order of the bytes.
    Map(Vec<(String, Value)>),
}

/// Maps within maps at most.
const DEPTH_MAX: u32 = 8;

/// The one map that is the whole payload.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let mut reader = Reader { payload, at: 0 };
    let value = reader.value(DEPTH_MAX)?;
    match value {
        Value::Map(fields) if reader.at == payload.len() => Ok(fields),
        Value::Map(_) => Err(format!("{} bytes follow the map", payload.len() - reader.at)),
        _ => Err("the payload is no map".to_owned()),
    }
}

struct Reader<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.saturating_add(length);
        let bytes = self.payload.get(self.at..end);
        let bytes = bytes.ok_or_else(|| format!("it ends within the value at byte {}", self.at))?;
        self.at = end;
        Ok(bytes)
    }

    /// A number of `width` bytes, the most significant first, that needs more than a shorter form has.
    fn number(&mut self, width: usize, shorter_max: u64) -> Result<u64, String> {
        let start = self.at;
        let number = self.take(width)?.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        if number <= shorter_max {
            return Err(format!("{number} at byte {start} has a shorter form"));
        }
        Ok(number)
    }

    fn value(&mut self, depth: u32) -> Result<Value, String> {
        let start = self.at;
        let format = self.take(1)?[0];
        let value = match format {
            0x00..=0x7F => Value::Unsigned(u64::from(format)),
            0x80..=0x8F => return self.map(u64::from(format & 0x0F), depth),
            0xA0..=0xBF => self.text(u64::from(format & 0x1F))?,
            0xC0 => Value::Nil,
            0xC4 => {
                // The shortest form of all lengths has no shorter one.
                let length = u64::from(self.take(1)?[0]);
                self.bytes(length)?
            }
            0xC5 => {
                let length = self.number(2, 0xFF)?;
                self.bytes(length)?
            }
            0xC6 => {
                let length = self.number(4, 0xFFFF)?;
                self.bytes(length)?
            }
            0xCC => Value::Unsigned(self.number(1, 0x7F)?),
            0xCD => Value::Unsigned(self.number(2, 0xFF)?),
            0xCE => Value::Unsigned(self.number(4, 0xFFFF)?),
            0xCF => Value::Unsigned(self.number(8, 0xFFFF_FFFF)?),
            0xD9 => {
                let length = self.number(1, 31)?;
                self.text(length)?
            }
            0xDA => {
                let length = self.number(2, 0xFF)?;
                self.text(length)?
            }
            0xDE => {
                let count = self.number(2, 15)?;
                return self.map(count, depth);
            }
            _ => return Err(format!("a value of format {format:#04x} at byte {start}")),
        };
        Ok(value)
    }

    fn bytes(&mut self, length: u64) -> Result<Value, String> {
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        self.take(length).map(|bytes| Value::Bytes(bytes.to_vec()))
    }

    fn text(&mut self, length: u64) -> Result<Value, String> {
        let start = self.at;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        let text = String::from_utf8(self.take(length)?.to_vec());
        text.map(Value::Text).map_err(|_| format!("a text at byte {start} that is not UTF-8"))
    }

    fn map(&mut self, count: u64, depth: u32) -> Result<Value, String> {
        let deeper = depth.checked_sub(1).ok_or("maps are nested too deep")?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let start = self.at;
            let Value::Text(name) = self.value(0)? else {
                return Err(format!("a key at byte {start} that is no text"));
            };
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(format!("the key {name} twice"));
            }
            fields.push((name, self.value(deeper)?));
        }
        Ok(Value::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(value: &[u8]) -> Result<Value, String> {
        let payload = [&[0x81, 0xA1, b'a'], value].concat();
        decode(&payload).map(|mut fields| fields.remove(0).1)
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(one(&[0xC0]), Ok(Value::Nil));
        assert_eq!(one(&[0x7F]), Ok(Value::Unsigned(127)));
        assert_eq!(one(&[0xCC, 0x80]), Ok(Value::Unsigned(128)));
        assert_eq!(one(&[0xCD, 1, 0]), Ok(Value::Unsigned(256)));
        assert_eq!(one(&[0xCE, 0, 1, 0, 0]), Ok(Value::Unsigned(0x1_0000)));
        assert_eq!(one(&[0xCF, 0, 0, 0, 1, 0, 0, 0, 0]), Ok(Value::Unsigned(1 << 32)));
        assert_eq!(one(&[0xA2, b'h', b'i']), Ok(Value::Text("hi".to_owned())));
        let long = [&[0xD9, 32][..], &[b'x'; 32]].concat();
        assert_eq!(one(&long), Ok(Value::Text("x".repeat(32))));
        assert_eq!(one(&[0xC4, 2, 1, 2]), Ok(Value::Bytes(vec![1, 2])));
        let map = Value::Map(vec![("b".to_owned(), Value::Nil)]);
        assert_eq!(one(&[0x81, 0xA1, b'b', 0xC0]), Ok(map));
    }

    #[test]
    fn longer_forms_than_needed_are_refused() {
        for value in [
            &[0xCC, 0x7F][..],
            &[0xCD, 0, 0xFF],
            &[0xCE, 0, 0, 0xFF, 0xFF],
            &[0xCF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xD9, 1, b'x'],
            &[0xC5, 0, 1, 0],
            &[0xDE, 0, 0],
        ] {
            assert!(one(value).is_err_and(|problem| problem.contains("shorter")), "{value:?}");
        }
    }

    #[test]
    fn what_no_payload_has_is_refused() {
        for payload in [
            &[][..],
            &[0xC0],
            &[0x81],
            &[0x80, 0],
            &[0x81, 0x01, 0x01],
            &[0x82, 0xA1, b'a', 0, 0xA1, b'a', 0],
            &[0x81, 0xA1, 0xFF, 0],
            &[0x81, 0xA1, b'a', 0xC3],
            &[0x81, 0xA1, b'a', 0xFF],
        ] {
            assert!(decode(payload).is_err(), "{payload:?}");
        }
        let nested: Vec<u8> = [0x81, 0xA1, b'a'].repeat(20);
        assert!(decode(&nested).is_err_and(|problem| problem.contains("deep")));
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&payload);
        }
    }
}
