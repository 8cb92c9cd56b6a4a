//! The default codec.

use super::bounded::{Bounded, Bounds};
use super::error::CodecError;
use super::traits::Codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The postcard wire format, version 1: compact and specified byte by byte, without names.
///
/// It is not self-describing. `#[serde(flatten)]`, `#[serde(untagged)]`, `#[serde(tag = ..)]` and
/// `#[serde(skip_serializing_if)]` encode and do not decode; a field that was added, removed or moved
/// is another version of the type. It takes values that nest up to 128 levels, where an option, a
/// struct, an enum and a sequence are a level each.
///
/// ```
/// use backstop::durable::codec::{Codec, Postcard};
///
/// let bytes = Postcard.encode(&(7_u8, "paid"))?;
/// assert_eq!(bytes, b"\x07\x04paid");
/// assert_eq!(Postcard.decode::<(u8, String)>(&bytes)?, (7, "paid".to_owned()));
/// # Ok::<(), backstop::durable::codec::CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Postcard;

const NAME: &str = "postcard";

impl Codec for Postcard {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(value).map_err(|error| CodecError::new(NAME, error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        let bounds = Bounds::of(bytes.len());
        let mut from = postcard::Deserializer::from_bytes(bytes);
        let decoded = T::deserialize(Bounded::new(&mut from, &bounds));
        if let Some(limit) = bounds.passed() {
            return Err(CodecError::new(NAME, limit));
        }
        let value = decoded.map_err(|error| CodecError::new(NAME, error))?;
        match from.finalize() {
            Ok([]) => Ok(value),
            Ok(more) => {
                let more = more.len();
                Err(CodecError::new(NAME, format_args!("{more} bytes are left")))
            }
            Err(error) => Err(CodecError::new(NAME, error)),
        }
    }
}
