//! The time windows that a breaker has had: one per shape, the latest configuration's in use.
//!
//! Calls find the window by its number in the state word, without a lock and without a count of
//! references; so a window, once made, stays. A shape that comes back gets its old window: tags
//! carry the generation, so what is left in it counts for nothing.

use super::config::Shape;
use super::word::MOST_WINDOWS;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::stripe::default_stripes;
use crate::kernel::window::time::TimeWindow;
use std::sync::OnceLock;

#[derive(Debug)]
pub(super) struct Windows {
    first: OnceLock<Box<Node>>,
    compact: bool,
}

#[derive(Debug)]
struct Node {
    window: TimeWindow,
    next: OnceLock<Box<Node>>,
}

impl Windows {
    pub(super) fn new(compact: bool) -> Self {
        Self {
            first: OnceLock::new(),
            compact,
        }
    }

    /// Window number `number`, from 1; 0 is none.
    #[inline]
    pub(super) fn get(&self, number: usize) -> Option<&TimeWindow> {
        let mut node = &self.first;
        for _ in 1..number {
            node = &node.get()?.next;
        }
        if number == 0 {
            None
        } else {
            node.get().map(|node| &node.window)
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TimeWindow> {
        std::iter::successors(self.first.get(), |node| node.next.get()).map(|node| &node.window)
    }

    /// The number of the window of this shape, which is made if there is none yet. Called under
    /// the machine's lock.
    pub(super) fn number(&self, shape: Shape, clock: &Clock) -> Result<usize, ConfigError> {
        let Shape::Time(shape) = shape else {
            return Ok(0);
        };
        let mut node = &self.first;
        for number in 1..=MOST_WINDOWS {
            // A keyed breaker has one stripe, which is most of its size; its cells are still
            // exact with several threads in one stripe.
            let stripes = if self.compact { 1 } else { default_stripes() };
            let here = node.get_or_init(|| {
                Box::new(Node {
                    window: TimeWindow::new(shape, stripes, clock),
                    next: OnceLock::new(),
                })
            });
            if here.window.shape() == shape {
                return Ok(number);
            }
            node = &here.next;
        }
        Err(ConfigError::new(
            "window.time",
            format_args!("{:?} x {}", shape.width, shape.buckets),
            format!("one of at most {MOST_WINDOWS} different shapes in the life of a breaker"),
        ))
    }
}
