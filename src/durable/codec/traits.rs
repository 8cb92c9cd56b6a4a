//! What turns values into bytes and back.

use super::error::CodecError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Turns values into bytes and back.
///
/// [`Postcard`](super::Postcard) is the default. One of your own holds what this crate relies on:
/// decoding bytes that nobody encoded gives an error. It does not panic, run out of stack, or allocate
/// by a length that the bytes do not have.
pub trait Codec: Clone + fmt::Debug + Send + Sync + 'static {
    /// Its name, 1 to 255 bytes, which stands in each checkpoint: it stays, and means one form.
    fn name(&self) -> &'static str;

    /// The bytes of a value.
    ///
    /// # Errors
    ///
    /// A value that has no form in this codec, or whose own code refuses.
    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, CodecError>;

    /// The value of these bytes, all of them.
    ///
    /// # Errors
    ///
    /// Bytes that are no such value, or more than that.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError>;
}
