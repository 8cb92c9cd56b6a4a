//! Types that can be kept in checkpoints.

use super::envelope::Envelope;
use super::error::StateError;
use super::traits::Codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A type whose values are kept in checkpoints.
///
/// ```
/// use backstop::durable::codec::{Codec, State, StateError};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Ledger {
///     balance: i64,
///     currency: String, // since version 2
/// }
///
/// #[derive(Deserialize)]
/// struct LedgerV1 {
///     balance: i64,
/// }
///
/// impl State for Ledger {
///     const TYPE: &'static str = "ledger";
///     const VERSION: u32 = 2;
///
///     fn migrate<C: Codec>(from: u32, bytes: &[u8], codec: &C) -> Result<Self, StateError> {
///         match from {
///             1 => {
///                 let LedgerV1 { balance } = codec.decode(bytes)?;
///                 Ok(Self { balance, currency: "EUR".to_owned() })
///             }
///             found => Err(StateError::UnknownVersion { found }),
///         }
///     }
///
///     fn validate(&self) -> Result<(), StateError> {
///         if self.currency.len() == 3 {
///             Ok(())
///         } else {
///             Err(StateError::invalid(format_args!("currency {:?}", self.currency)))
///         }
///     }
/// }
/// ```
pub trait State: Serialize + DeserializeOwned {
    /// The name of the type in checkpoints, 1 to 255 bytes. It stays when the Rust type is renamed or
    /// moved; another name is another type.
    const TYPE: &'static str;

    /// The version of its form. Raise it with each change that the codec does not bridge.
    const VERSION: u32 = 1;

    /// The state out of the bytes of another version, older or newer.
    ///
    /// # Errors
    ///
    /// By default any other version is unknown.
    fn migrate<C: Codec>(from: u32, bytes: &[u8], codec: &C) -> Result<Self, StateError> {
        let _ = (bytes, codec);
        Err(StateError::UnknownVersion { found: from })
    }

    /// Whether it is a state that one can go on from. A state that is not is neither stored nor
    /// handed out.
    ///
    /// # Errors
    ///
    /// What is wrong with it; by default nothing.
    fn validate(&self) -> Result<(), StateError> {
        Ok(())
    }
}

/// Runs a type's own code; its panic becomes an error.
fn guarded<T>(run: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result,
        Err(payload) => {
            let error = StateError::panicked(&*payload);
            // The payload is the user's, and so is its drop.
            let _dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            Err(error)
        }
    }
}

/// Drops a value of a user's, whose panic then is nobody's.
fn let_go<T>(value: T) {
    let _dropped = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// The bytes of a state that is valid. With `is_checked` they were decoded again and the outcome is
/// valid, too.
pub(crate) fn pack<S: State, C: Codec>(
    state: &S,
    codec: &C,
    is_checked: bool,
) -> Result<Vec<u8>, StateError> {
    guarded(|| {
        state.validate()?;
        let bytes = codec.encode(state)?;
        if is_checked {
            let copy: S = codec.decode(&bytes)?;
            let verdict = copy.validate();
            let_go(copy);
            verdict?;
        }
        Ok(bytes)
    })
}

/// The state of a checkpoint, if it is one that this code can go on from.
pub(crate) fn unpack<S: State, C: Codec>(
    envelope: &Envelope<'_>,
    codec: &C,
) -> Result<S, StateError> {
    if envelope.type_name != S::TYPE {
        let found = envelope.type_name.to_owned();
        return Err(StateError::OtherType { found });
    }
    if envelope.codec != codec.name() {
        let found = envelope.codec.to_owned();
        return Err(StateError::OtherCodec { found });
    }
    guarded(|| {
        let state: S = match envelope.version {
            version if version == S::VERSION => codec.decode(envelope.payload)?,
            from => S::migrate(from, envelope.payload, codec)?,
        };
        match state.validate() {
            Ok(()) => Ok(state),
            Err(error) => {
                let_go(state);
                Err(error)
            }
        }
    })
}

/// Whether a state comes out of a checkpoint; the state is dropped.
pub(crate) fn check<S: State, C: Codec>(
    envelope: &Envelope<'_>,
    codec: &C,
) -> Result<(), StateError> {
    unpack::<S, C>(envelope, codec).map(let_go)
}
