//! What is replayed: the user's side.

use super::digest::Digest;
use super::events::Event;
use crate::durable::codec::State;
use std::error::Error;
use std::fmt;

/// A state that is made of events: what a replay needs to know of it.
///
/// ```
/// use backstop::durable::codec::State;
/// use backstop::durable::replay::{Digest, Digester, Event, EventSourced, Rejected, Undecodable};
/// use serde::{Deserialize, Serialize};
///
/// /// How much is in stock.
/// #[derive(Clone, Debug, Default, Serialize, Deserialize)]
/// struct Stock(u64);
///
/// impl State for Stock {
///     const TYPE: &'static str = "stock";
/// }
///
/// enum Moved {
///     In(u64),
///     Out(u64),
/// }
///
/// impl EventSourced for Stock {
///     type Event<'a> = Moved;
///
///     fn decode(event: Event<'_>) -> Result<Moved, Undecodable> {
///         let bytes = event.payload.try_into().map_err(Undecodable::new)?;
///         match event.kind {
///             1 => Ok(Moved::In(u64::from_le_bytes(bytes))),
///             2 => Ok(Moved::Out(u64::from_le_bytes(bytes))),
///             kind => Err(Undecodable::new(format!("no event is of kind {kind}"))),
///         }
///     }
///
///     fn check(&self, moved: &Moved) -> Result<(), Rejected> {
///         match moved {
///             Moved::Out(count) if *count > self.0 => Err(Rejected::new("not in stock")),
///             _ => Ok(()),
///         }
///     }
///
///     fn apply(&mut self, moved: Moved) -> Result<(), Rejected> {
///         match moved {
///             Moved::In(count) => self.0 += count,
///             Moved::Out(count) => self.0 -= count,
///         }
///         Ok(())
///     }
///
///     fn digest(&self) -> Option<Digest> {
///         Some(Digester::new().number(self.0).finish())
///     }
/// }
/// ```
///
/// It is a [`State`], so snapshots of it can be kept; [`State::validate`] is the gate that it passes
/// before it is handed out, be it loaded or replayed.
///
/// All of it must depend on its arguments alone: no clock, no randomness, no order of a hash map. An
/// event is applied anew in each replay, and in one replay twice at most.
pub trait EventSourced: State + Clone {
    /// An event as the state understands it; it may borrow from the stored bytes.
    type Event<'a>;

    /// Reads an event.
    ///
    /// # Errors
    ///
    /// The bytes are no event that this code knows.
    fn decode(event: Event<'_>) -> Result<Self::Event<'_>, Undecodable>;

    /// Whether the event can be applied, found out without touching the state.
    ///
    /// Optional. What is rejected here costs nothing more; what [`apply`](Self::apply) rejects may have
    /// been applied in part, so the state has to be made anew.
    ///
    /// # Errors
    ///
    /// The event does not fit the state.
    fn check(&self, event: &Self::Event<'_>) -> Result<(), Rejected> {
        let _ = event;
        Ok(())
    }

    /// Changes the state as the event says.
    ///
    /// # Errors
    ///
    /// The event does not fit the state. The state is thrown away then, so it may be left half changed.
    fn apply(&mut self, event: Self::Event<'_>) -> Result<(), Rejected>;

    /// Makes anew what is derived from the rest of the state, as an index is. Called for a loaded state
    /// whose digest is not the one that was stored with it. By default nothing is derived.
    fn rebuild(&mut self) {}

    /// A digest of all that matters of the state, the same in every process: see
    /// [`Digester`](super::Digester). It is stored with each snapshot and compared when that is loaded.
    /// By default there is none, and nothing is compared.
    fn digest(&self) -> Option<Digest> {
        None
    }
}

macro_rules! reason {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Why, in words, or as the error that says so.
            pub fn new(reason: impl fmt::Display) -> Self {
                Self(reason.to_string())
            }

            /// The reason.
            pub fn reason(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Error for $name {}
    };
}

reason! {
    /// An event does not fit the state.
    Rejected
}

reason! {
    /// Bytes are no event that this code knows.
    Undecodable
}
