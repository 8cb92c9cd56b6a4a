//! Which status is worse than which.

use crate::health::check::Status;
use crate::kernel::config::ConfigError;

/// An order of the statuses, by which the worst of several is found.
///
/// The default is that of [`Status`]: `Healthy < Starting < Unknown < Degraded < Unhealthy <
/// OutOfService`.
///
/// ```
/// use backstop::health::check::Status::{self, *};
/// use backstop::health::tree::StatusOrder;
///
/// // Not to know is worse than to know of a fault.
/// let order = StatusOrder::new([Healthy, Starting, Degraded, Unknown, Unhealthy, OutOfService])?;
/// assert_eq!(order.worst([Degraded, Unknown, Healthy]), Some(Unknown));
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "[Status; 6]", into = "[Status; 6]")
)]
pub struct StatusOrder([Status; 6]);

impl StatusOrder {
    /// An order from the best to the worst.
    ///
    /// # Errors
    ///
    /// A status that is not in it.
    pub fn new(best_to_worst: [Status; 6]) -> Result<Self, ConfigError> {
        match Status::ALL
            .into_iter()
            .find(|status| !best_to_worst.contains(status))
        {
            None => Ok(Self(best_to_worst)),
            Some(missing) => Err(ConfigError::new(
                "order",
                format_args!("an order without {missing}"),
                "one of each status",
            )),
        }
    }

    /// The worst of some statuses.
    pub fn worst(&self, statuses: impl IntoIterator<Item = Status>) -> Option<Status> {
        statuses
            .into_iter()
            .max_by_key(|status| self.0.iter().position(|at| at == status))
    }

    /// The worst first.
    pub(super) fn worst_first(self) -> impl Iterator<Item = Status> {
        self.0.into_iter().rev()
    }
}

impl TryFrom<[Status; 6]> for StatusOrder {
    type Error = ConfigError;

    fn try_from(best_to_worst: [Status; 6]) -> Result<Self, ConfigError> {
        Self::new(best_to_worst)
    }
}

impl From<StatusOrder> for [Status; 6] {
    fn from(order: StatusOrder) -> Self {
        order.0
    }
}

impl Default for StatusOrder {
    fn default() -> Self {
        Self(Status::ALL)
    }
}
