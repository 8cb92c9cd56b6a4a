//! Why a state does not become bytes, or bytes no state.

use std::fmt;

/// Longer texts of users' code are cut: an error goes into reports and logs.
const LONGEST_TEXT: usize = 256;

/// A codec failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    codec: &'static str,
    text: String,
}

impl CodecError {
    /// The codec of that name failed, and why; a long text is cut.
    pub fn new(codec: &'static str, why: impl fmt::Display) -> Self {
        Self {
            codec,
            text: cut(why.to_string()),
        }
    }

    /// The name of the codec.
    pub const fn codec(&self) -> &'static str {
        self.codec
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.codec, self.text)
    }
}

impl std::error::Error for CodecError {}

/// A checkpoint holds no state that this code could go on from, or a state can be no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// It holds another type.
    OtherType {
        /// Its name.
        found: String,
    },
    /// It was made by another codec.
    OtherCodec {
        /// Its name.
        found: String,
    },
    /// It is of a version that this code cannot read.
    UnknownVersion {
        /// That version.
        found: u32,
    },
    /// The codec failed.
    Codec(CodecError),
    /// The state is not valid, in the words of its type.
    Invalid(String),
    /// The type's own code panicked, with this message.
    Panicked(String),
}

impl StateError {
    /// The state is not valid, and why; a long text is cut.
    pub fn invalid(why: impl fmt::Display) -> Self {
        Self::Invalid(cut(why.to_string()))
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self::Panicked(cut(text.unwrap_or_else(|| "no message".to_owned())))
    }
}

impl From<CodecError> for StateError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType { found } => write!(f, "it holds the type {found:?}"),
            Self::OtherCodec { found } => write!(f, "it was made by the codec {found:?}"),
            Self::UnknownVersion { found } => write!(f, "version {found} cannot be read here"),
            Self::Codec(error) => error.fmt(f),
            Self::Invalid(why) => write!(f, "the state is not valid: {why}"),
            Self::Panicked(text) => write!(f, "the type's code panicked: {text}"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Codec(error) => Some(error),
            _ => None,
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}
