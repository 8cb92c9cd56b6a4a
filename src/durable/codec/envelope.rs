//! The bytes of a checkpoint, version 1. All integers are little-endian.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..8 | magic | `BSTPCKPT` |
//! | 8..12 | version | 1 |
//! | 12..16 | header length | 64 |
//! | 16..24 | sequence | 1 or more |
//! | 24..32 | wall time | nanoseconds since 1970 |
//! | 32..40 | length | of the payload |
//! | 40..48 | digest | of the state; 0 if there is none |
//! | 48..52 | state version | the user's |
//! | 52..54 | flags | bit 0: there is a digest; the others are 0 |
//! | 54..56 | length | of the type name: 1 to 255 |
//! | 56..58 | length | of the codec's name: 1 to 255 |
//! | 58..60 | | zeros |
//! | 60..64 | header CRC | of bytes 0..60 |
//! | 64.. | type name | UTF-8 |
//! | | codec's name | UTF-8 |
//! | | payload | |
//! | last 4 | trailing CRC | of everything before it |
//!
//! CRCs are CRC-32C (Castagnoli). Each version keeps the magic, the version and the header CRC in their
//! places, so that a version that is not known is told from damage.

use std::fmt;
use std::time::{Duration, SystemTime};

/// How a checkpoint begins.
const MAGIC: [u8; 8] = *b"BSTPCKPT";

/// The version of this format.
const VERSION: u32 = 1;

/// Bytes before the names.
pub(crate) const HEADER: usize = 64;

/// Bytes behind the payload.
pub(crate) const TRAILER: usize = 4;

/// The longest name of a type or codec, in bytes.
const LONGEST_NAME: usize = 255;

const HAS_DIGEST: u16 = 1;

/// A checkpoint as it is stored: what is said about a payload, and the payload.
///
/// Stores of your own write [`encode`](Self::encode) and read [`decode`](Self::decode), which looks
/// at every length before it follows it, and allocates nothing.
///
/// ```
/// use backstop::durable::codec::Envelope;
/// use std::time::SystemTime;
///
/// let envelope = Envelope {
///     sequence: 7,
///     wall: SystemTime::UNIX_EPOCH,
///     type_name: "ledger",
///     version: 1,
///     codec: "postcard",
///     digest: None,
///     payload: b"state",
/// };
/// let mut bytes = envelope.encode()?;
/// assert_eq!(Envelope::decode(&bytes)?, envelope);
/// bytes[70] ^= 1;
/// assert!(Envelope::decode(&bytes).is_err());
/// # Ok::<(), backstop::durable::codec::EnvelopeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The last sequence whose effect is in the state; 1 or more.
    pub sequence: u64,
    /// When it was taken. Stored in whole nanoseconds from 1970 to 2554; a time outside is stored as
    /// the end that is nearer.
    pub wall: SystemTime,
    /// What type the state is of, by a name that stays: 1 to 255 bytes.
    pub type_name: &'a str,
    /// The version of that type's form.
    pub version: u32,
    /// The codec that made the payload: 1 to 255 bytes.
    pub codec: &'a str,
    /// A digest of the state, to compare what a replay comes to.
    pub digest: Option<u64>,
    /// The encoded state.
    pub payload: &'a [u8],
}

/// Why bytes are no checkpoint, or values do not fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// There are fewer bytes than the whole has.
    Short,
    /// There are more bytes than the whole has.
    Trailing,
    /// They do not begin as a checkpoint does.
    Magic,
    /// The header is sound, and of a version of the format that this code does not know.
    Version(u32),
    /// The checksum of the header does not match.
    HeaderChecksum,
    /// The checksum of the whole does not match.
    Checksum,
    /// A name is empty, longer than 255 bytes, or not UTF-8.
    Name,
    /// The sequence is 0, which stands for none.
    Sequence,
    /// A checkpoint, but of another sequence than the place it was found in.
    Misplaced(u64),
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it is cut short"),
            Self::Trailing => f.write_str("there are bytes behind its end"),
            Self::Magic => f.write_str("it does not begin as a checkpoint does"),
            Self::Version(version) => {
                write!(f, "version {version} of its format is not known here")
            }
            Self::HeaderChecksum => f.write_str("the checksum of its header does not match"),
            Self::Checksum => f.write_str("its checksum does not match"),
            Self::Name => f.write_str("a name in it is not 1 to 255 bytes of UTF-8"),
            Self::Sequence => f.write_str("its sequence is 0"),
            Self::Misplaced(sequence) => write!(f, "it is the checkpoint of sequence {sequence}"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// The fixed part of an envelope, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    pub(crate) wall: SystemTime,
    pub(crate) version: u32,
    pub(crate) digest: Option<u64>,
    type_name: u16,
    codec: u16,
    payload: u64,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

impl Header {
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Self, EnvelopeError> {
        if bytes[0..8] != MAGIC {
            return Err(EnvelopeError::Magic);
        }
        if crc32c::crc32c(&bytes[..60]) != u32::from_le_bytes(array(bytes, 60)) {
            return Err(EnvelopeError::HeaderChecksum);
        }
        let version = u32::from_le_bytes(array(bytes, 8));
        let flags = u16::from_le_bytes(array(bytes, 52));
        let is_known = version == VERSION
            && u32::from_le_bytes(array(bytes, 12)) == 64
            && flags & !HAS_DIGEST == 0
            && (flags & HAS_DIGEST != 0 || bytes[40..48] == [0; 8])
            && bytes[58..60] == [0, 0];
        if !is_known {
            return Err(EnvelopeError::Version(version));
        }
        let nanos = u64::from_le_bytes(array(bytes, 24));
        let digest = u64::from_le_bytes(array(bytes, 40));
        let header = Self {
            sequence: u64::from_le_bytes(array(bytes, 16)),
            wall: SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos),
            version: u32::from_le_bytes(array(bytes, 48)),
            digest: (flags & HAS_DIGEST != 0).then_some(digest),
            type_name: u16::from_le_bytes(array(bytes, 54)),
            codec: u16::from_le_bytes(array(bytes, 56)),
            payload: u64::from_le_bytes(array(bytes, 32)),
        };
        let is_name = |len: u16| (1..=LONGEST_NAME).contains(&usize::from(len));
        if header.sequence == 0 {
            Err(EnvelopeError::Sequence)
        } else if is_name(header.type_name) && is_name(header.codec) {
            Ok(header)
        } else {
            Err(EnvelopeError::Name)
        }
    }

    /// Bytes of both names.
    pub(crate) fn names(&self) -> usize {
        usize::from(self.type_name) + usize::from(self.codec)
    }

    /// Bytes of the payload, if a whole of `len` bytes is what this header says.
    pub(crate) fn payload_in(&self, len: u64) -> Result<u64, EnvelopeError> {
        let around = (HEADER + self.names() + TRAILER) as u64;
        match self.payload.checked_add(around) {
            Some(whole) if whole == len => Ok(self.payload),
            Some(whole) if whole < len => Err(EnvelopeError::Trailing),
            _ => Err(EnvelopeError::Short),
        }
    }

    /// Type name and codec's name out of the bytes of both.
    pub(crate) fn split_names<'a>(
        &self,
        names: &'a [u8],
    ) -> Result<(&'a str, &'a str), EnvelopeError> {
        let at = usize::from(self.type_name).min(names.len());
        let (type_name, codec) = names.split_at(at);
        let name = |bytes| std::str::from_utf8(bytes).map_err(|_| EnvelopeError::Name);
        Ok((name(type_name)?, name(codec)?))
    }
}

fn nanos(wall: SystemTime) -> u64 {
    match wall.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        Err(_) => 0,
    }
}

impl<'a> Envelope<'a> {
    /// The same, if it is of the sequence that it was stored as.
    pub(crate) fn expect_sequence(self, sequence: u64) -> Result<Self, EnvelopeError> {
        if self.sequence == sequence {
            Ok(self)
        } else {
            Err(EnvelopeError::Misplaced(self.sequence))
        }
    }

    /// The bytes before the payload and those behind it.
    pub(crate) fn around(&self) -> Result<(Vec<u8>, [u8; TRAILER]), EnvelopeError> {
        if self.sequence == 0 {
            return Err(EnvelopeError::Sequence);
        }
        let name = |name: &str| match u16::try_from(name.len()) {
            Ok(len) if (1..=LONGEST_NAME).contains(&name.len()) => Ok(len.to_le_bytes()),
            _ => Err(EnvelopeError::Name),
        };
        let mut head = Vec::with_capacity(HEADER + self.type_name.len() + self.codec.len());
        head.extend(MAGIC);
        head.extend(VERSION.to_le_bytes());
        head.extend(64_u32.to_le_bytes());
        head.extend(self.sequence.to_le_bytes());
        head.extend(nanos(self.wall).to_le_bytes());
        head.extend((self.payload.len() as u64).to_le_bytes());
        head.extend(self.digest.unwrap_or_default().to_le_bytes());
        head.extend(self.version.to_le_bytes());
        let flags = if self.digest.is_some() { HAS_DIGEST } else { 0 };
        head.extend(flags.to_le_bytes());
        head.extend(name(self.type_name)?);
        head.extend(name(self.codec)?);
        head.extend([0; 2]);
        let crc = crc32c::crc32c(&head);
        head.extend(crc.to_le_bytes());
        head.extend(self.type_name.as_bytes());
        head.extend(self.codec.as_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), self.payload);
        Ok((head, crc.to_le_bytes()))
    }

    /// The bytes that are stored.
    ///
    /// # Errors
    ///
    /// A name that is empty or too long, and a sequence of 0.
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        let (mut bytes, trailer) = self.around()?;
        bytes.reserve_exact(self.payload.len() + TRAILER);
        bytes.extend(self.payload);
        bytes.extend(trailer);
        Ok(bytes)
    }

    /// What `bytes` say, if they are a whole checkpoint, sound, and nothing else.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (fixed, rest) = bytes.split_first_chunk().ok_or(EnvelopeError::Short)?;
        let header = Header::decode(fixed)?;
        header.payload_in(bytes.len() as u64)?;
        let (whole, trailer) = bytes
            .split_last_chunk::<TRAILER>()
            .ok_or(EnvelopeError::Short)?;
        if crc32c::crc32c(whole) != u32::from_le_bytes(*trailer) {
            return Err(EnvelopeError::Checksum);
        }
        let (names, rest) = rest.split_at(header.names());
        let (type_name, codec) = header.split_names(names)?;
        Ok(Self {
            sequence: header.sequence,
            wall: header.wall,
            type_name,
            version: header.version,
            codec,
            digest: header.digest,
            payload: &rest[..rest.len() - TRAILER],
        })
    }
}
