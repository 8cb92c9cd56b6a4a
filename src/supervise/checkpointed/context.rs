//! What a checkpointed child is given.

use super::error::{BadState, BoxError, SaveFailure};
use super::event::EventKind;
use super::kept::{Keep, Kept};
use super::machine::Origin;
use super::run::{self, Run};
use crate::durable::snapshot::PassedOver;
use crate::kernel::clock::{Clock, Sleep};
use crate::kernel::sync::Mutex;
use crate::supervise::child::ChildContext;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The context of one start of a checkpointed child. Clones are the same.
pub struct CheckpointContext<S> {
    run: Arc<Run<S>>,
}

/// Its state.
impl<S: Send + 'static> CheckpointContext<S> {
    pub(super) fn new(run: Arc<Run<S>>) -> Self {
        Self { run }
    }

    /// Where this start has its state from.
    pub fn origin(&self) -> Origin {
        self.run.origin()
    }

    /// Checkpoints that are newer than the state of this start and were not used, newest first.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.run.passed_over
    }

    /// Saves a state as the newest checkpoint.
    ///
    /// It is encoded before this returns, so that what comes after changes nothing of it; all else is
    /// done on a thread for blocking work, under way when this returns, whether the future is polled or
    /// not. When the future ends with the sequence of a checkpoint, that one or a newer is durable.
    ///
    /// One save is stored at a time. While the store is slow, a newer state takes the place of one that
    /// waits. Who saves from several tasks calls this under the lock that guards the state, or older
    /// states may be taken for newer ones; `await` the future outside.
    ///
    /// # Errors
    ///
    /// The previous checkpoint stays, and the failure is an event. It is no reason to end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the save.
    pub fn save(&self, state: &S) -> Saving {
        self.save_numbered(None, state)
    }

    /// The same with a sequence of your own, such as that of the last event in the state: 1 or more, and
    /// above that of the newest good checkpoint.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save), and [`StoreError::NotNewer`](crate::durable::snapshot::StoreError::NotNewer).
    ///
    /// # Cancel safety
    ///
    /// As [`save`](Self::save).
    pub fn save_at(&self, sequence: u64, state: &S) -> Saving {
        self.save_numbered(Some(sequence), state)
    }

    fn save_numbered(&self, sequence: Option<u64>, state: &S) -> Saving {
        let run = &self.run;
        let saving = match run.shared.port.pack(state) {
            Ok(packed) => run.save(sequence, Box::new(move || Ok(packed))),
            Err(error) => {
                let error = SaveFailure::State(error);
                run.shared.teller.tell(EventKind::SaveFailed {
                    error: error.clone(),
                });
                Err(error)
            }
        };
        Saving::of(run, saving)
    }

    /// Waits until the next checkpoint is due: a [period](super::CheckpointedConfig::period) after the
    /// last save or the last time that this ended, and at once after a trial was survived. Of several who
    /// wait, one is woken.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn checkpoint_due(&self) {
        self.run.checkpoint_due().await;
    }

    /// Leaves a state to the library, which saves it each period and when the child ends well.
    ///
    /// A second one takes the place of the first, which then is saved no more.
    pub fn keep(&self, state: S) -> Kept<S> {
        let keep = Arc::new(Keep {
            state: Mutex::new(state),
        });
        self.run.keep(Arc::clone(&keep));
        let run = Arc::clone(&self.run);
        Kept { keep, run }
    }

    /// Handles an error in place: the child goes on from its state instead of ending.
    ///
    /// # Errors
    ///
    /// The error itself, to end with, if it has [`BadState`] in its chain, or if there were more than
    /// [`recoveries`](super::CheckpointedConfig::recoveries) allow.
    ///
    /// ```no_run
    /// # use backstop::supervise::checkpointed::CheckpointContext;
    /// # async fn handle(_: &mut u64) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn child(cx: CheckpointContext<u64>, mut state: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// loop {
    ///     if let Err(error) = handle(&mut state).await {
    ///         cx.recover(error)?;
    ///     }
    /// }
    /// # }
    /// ```
    pub fn recover(&self, error: impl Into<BoxError>) -> Result<(), BoxError> {
        let error = error.into();
        if BadState::is_in(&*error) || !self.run.may_recover() {
            return Err(error);
        }
        let text: Arc<str> = error.to_string().into();
        self.run
            .shared
            .teller
            .tell(EventKind::Recovered { error: text });
        Ok(())
    }
}

/// As on any child.
impl<S: Send + 'static> CheckpointContext<S> {
    /// The child's id.
    pub fn id(&self) -> &str {
        self.run.shared.id.as_str()
    }

    /// Which start of the child this is.
    pub fn incarnation(&self) -> u64 {
        self.run.child.incarnation()
    }

    /// Fires when the child is to stop.
    pub fn token(&self) -> CancellationToken {
        self.run.child.token()
    }

    /// Waits until the child is to stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn cancelled(&self) {
        self.run.child.cancelled().await;
    }

    /// Whether the child is to stop.
    pub fn is_stopping(&self) -> bool {
        self.run.child.is_stopping()
    }

    /// The child does its work from now on; needed if its
    /// [readiness](super::CheckpointedConfig::explicit_readiness) is explicit. The time that it must be well for
    /// is counted from here.
    pub fn ready(&self) {
        self.run.ready();
    }

    /// The supervisor's clock.
    pub fn clock(&self) -> &Clock {
        self.run.child.clock()
    }

    /// The context that every child has. Call [`ready`](Self::ready) here and not there.
    pub fn child(&self) -> &ChildContext {
        &self.run.child
    }
}

impl<S> Clone for CheckpointContext<S> {
    fn clone(&self) -> Self {
        let run = Arc::clone(&self.run);
        Self { run }
    }
}

impl<S> fmt::Debug for CheckpointContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointContext")
            .field("id", &self.run.shared.id)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A save under way: ends with the sequence of the checkpoint that has the state, or a newer one.
    #[must_use = "the save is under way, and what it comes to is lost with this"]
    pub struct Saving {
        #[pin]
        state: SavingState,
    }
}

pin_project! {
    #[project = SavingProjection]
    enum SavingState {
        Failed { error: Option<SaveFailure> },
        Waiting {
            #[pin]
            saved: run::Saving,
            #[pin]
            alarm: Option<Sleep>,
            after: Duration,
        },
    }
}

impl Saving {
    pub(super) fn of<S: Send + 'static>(
        run: &Run<S>,
        saving: Result<run::Saving, SaveFailure>,
    ) -> Self {
        let state = match saving {
            Err(error) => SavingState::Failed { error: Some(error) },
            Ok(saved) => {
                let (clock, after) = (run.child.clock(), run.config().store_timeout);
                SavingState::Waiting {
                    saved,
                    // Without a runtime here there is none to wait on, and the wait has no end of its own.
                    alarm: clock.sleep_until(clock.now() + after).ok(),
                    after,
                }
            }
        };
        Self { state }
    }
}

impl Future for Saving {
    type Output = Result<u64, SaveFailure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            SavingProjection::Failed { error } => {
                Poll::Ready(Err(error.take().unwrap_or(SaveFailure::NotRun)))
            }
            SavingProjection::Waiting {
                saved,
                alarm,
                after,
            } => {
                if let Poll::Ready(saved) = saved.poll(cx) {
                    return Poll::Ready(saved.unwrap_or(Err(SaveFailure::NotRun)));
                }
                match alarm.as_pin_mut() {
                    Some(alarm) => alarm.poll(cx).map(|()| Err(SaveFailure::Silent(*after))),
                    None => Poll::Pending,
                }
            }
        }
    }
}

impl fmt::Debug for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saving").finish_non_exhaustive()
    }
}
