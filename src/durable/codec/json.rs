//! JSON.

use super::error::CodecError;
use super::traits::Codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// JSON: readable, larger and slower. It takes values that nest up to 128 levels.
///
/// Keys of maps are strings, and numbers that are not finite become `null`, which is no number when
/// it is read.
///
/// ```
/// use backstop::durable::codec::{Codec, Json};
///
/// let bytes = Json.encode(&(7_u8, "paid"))?;
/// assert_eq!(bytes, br#"[7,"paid"]"#);
/// assert_eq!(Json.decode::<(u8, String)>(&bytes)?, (7, "paid".to_owned()));
/// # Ok::<(), backstop::durable::codec::CodecError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Json;

const NAME: &str = "json";

impl Codec for Json {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError::new(NAME, error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError::new(NAME, error))
    }
}
