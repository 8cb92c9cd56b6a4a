//! Where a component stands: callers come through here, so that it can be replaced under them.

use super::fail::Fail;
use super::hazard::Hazard;
use crate::app::time::clock;
use arc_swap::ArcSwapOption;
use backstop::supervise::microreboot::{Gate, GateConfig, Idempotence};
use futures::FutureExt;
use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What a component can be damaged in.
pub(crate) trait Damage: Send + Sync + 'static {
    /// Its state is no longer what it was made of: answers are missing, or errors.
    fn corrupt(&self) {}

    /// It answers, and wrong.
    fn mislead(&self) {}
}

/// One life of a component.
pub(crate) struct Incarnation<P> {
    part: Arc<P>,
    hazard: Arc<Hazard>,
    /// Closed when it is over, which ends the calls that are in it.
    down: Arc<Semaphore>,
}

impl<P> Incarnation<P> {
    /// Makes a call; a panic in it ends the call alone.
    async fn make<T, F>(&self, operation: impl FnOnce(Arc<P>) -> F) -> Result<T, Fail>
    where
        F: Future<Output = Result<T, Fail>>,
    {
        let work = async {
            self.hazard.pass().await?;
            operation(self.part.clone()).await
        };
        let result = AssertUnwindSafe(work).catch_unwind().await;
        result.unwrap_or_else(|panic| Err(panicked(panic)))
    }
}

/// What is there for restarts of components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Support {
    /// Nothing: a component lives as long as the process.
    #[default]
    None,
    /// A component can be taken out, which ends the calls that are in it.
    Microreboot,
    /// Callers pass a gate besides, and wait at it while the component is away.
    Gate,
}

impl FromStr for Support {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "microreboot" => Ok(Self::Microreboot),
            "gate" => Ok(Self::Gate),
            _ => Err(io::Error::other("support is none, microreboot or gate")),
        }
    }
}

/// Where an incarnation is.
enum Place<P> {
    Fixed(OnceLock<Arc<Incarnation<P>>>),
    Replaceable(ArcSwapOption<Incarnation<P>>),
}

pub(crate) struct Slot<P> {
    /// A file that it keeps between its lives. A damaged one makes it panic in each call; a clean-up of
    /// the component or a start of the process removes it.
    scratch: PathBuf,
    place: Place<P>,
    gate: Option<Gate>,
}

impl<P: Damage> Slot<P> {
    pub(crate) fn new(name: &str, scratch: &Path, support: Support) -> Self {
        Self {
            scratch: scratch.join(name),
            place: match support {
                Support::None => Place::Fixed(OnceLock::new()),
                Support::Microreboot | Support::Gate => Place::Replaceable(ArcSwapOption::empty()),
            },
            gate: (support == Support::Gate).then(|| gate(name)),
        }
    }

    /// A part that is ready takes its place.
    pub(crate) fn fill(&self, part: P) {
        let hazard = Arc::new(Hazard::default());
        if std::fs::read(&self.scratch).is_ok_and(|text| text == DAMAGED) {
            hazard.panic();
        }
        let incarnation = Incarnation {
            part: Arc::new(part),
            hazard,
            down: Arc::new(Semaphore::new(0)),
        };
        let incarnation = Arc::new(incarnation);
        match &self.place {
            Place::Fixed(place) => drop(place.set(incarnation)),
            Place::Replaceable(place) => place.store(Some(incarnation)),
        }
    }

    fn current(&self) -> Result<Arc<Incarnation<P>>, Fail> {
        let current = match &self.place {
            Place::Fixed(place) => place.get().cloned(),
            Place::Replaceable(place) => place.load_full(),
        };
        current.ok_or(Fail::Down(None))
    }

    /// The part leaves its place, if it can. Calls that are in it end.
    pub(crate) fn clear(&self) {
        if let Place::Replaceable(place) = &self.place {
            if let Some(gone) = place.swap(None) {
                gone.down.close();
            }
        }
    }

    /// Removes what could outlive it.
    pub(crate) fn clean(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// Makes a call; if there is a gate, through that. All calls may be made twice: bids have keys, and a
    /// second session hurts nobody.
    pub(crate) async fn call<T, F>(&self, operation: impl FnOnce(Arc<P>) -> F) -> Result<T, Fail>
    where
        F: Future<Output = Result<T, Fail>>,
    {
        match &self.gate {
            Some(gate) => {
                gate.call_in(Idempotence::Idempotent, || self.enter(operation))
                    .await
            }
            None => self.enter(operation).await,
        }
    }

    /// If the part can be taken out, the call ends with it.
    async fn enter<T, F>(&self, operation: impl FnOnce(Arc<P>) -> F) -> Result<T, Fail>
    where
        F: Future<Output = Result<T, Fail>>,
    {
        match &self.place {
            Place::Fixed(place) => {
                let current = place.get().ok_or(Fail::Down(None))?;
                current.make(operation).await
            }
            Place::Replaceable(place) => {
                let current = place.load_full().ok_or(Fail::Down(None))?;
                // The call first: most are done at once, and need not be told of any end.
                tokio::select! {
                    biased;
                    result = current.make(operation) => result,
                    _ = current.down.acquire() => Err(Fail::Down(None)),
                }
            }
        }
    }

    /// The part, for one that is made of it.
    pub(crate) fn part(&self) -> Result<Arc<P>, Fail> {
        Ok(self.current()?.part.clone())
    }

    /// Whether calls get through, as far as can be told from here.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let current = self.current().map_err(|fail| fail.to_string())?;
        let passed = AssertUnwindSafe(current.hazard.pass()).catch_unwind();
        match timeout(CHECK_TIMEOUT, passed).await {
            Err(_) => Err("hangs".to_owned()),
            Ok(Err(_)) => Err("panics".to_owned()),
            Ok(Ok(result)) => result.map_err(|fail| fail.to_string()),
        }
    }

    pub(crate) fn hurt(&self, kind: &str) -> Result<(), Fail> {
        let current = self.current()?;
        match kind {
            "deadlock" => current.hazard.deadlock(&current.down),
            "corruption" => current.part.corrupt(),
            "leak" => current.hazard.leak(),
            "panic" => {
                std::fs::write(&self.scratch, DAMAGED).map_err(Fail::broken)?;
                current.hazard.panic();
            }
            "wrong" => current.part.mislead(),
            "slow" => current.hazard.stumble(3, 0),
            "error" => current.hazard.stumble(0, 1),
            _ => return Err(Fail::Missing("fault")),
        }
        Ok(())
    }
}

/// A gate that waits a moment for calls in flight: those that hang would not end.
fn gate(name: &str) -> Gate {
    let config = GateConfig::default().drain(Duration::from_millis(20));
    Gate::with_clock(name.to_owned(), config, clock()).expect("a configuration within its ranges")
}

const CHECK_TIMEOUT: Duration = Duration::from_millis(150);
const DAMAGED: &[u8] = b"\0\0\0\0";

#[expect(clippy::needless_pass_by_value, reason = "it is dropped here")]
fn panicked(panic: Box<dyn Any + Send>) -> Fail {
    let text = panic.downcast_ref::<&str>().copied();
    Fail::broken(format!("panicked: {}", text.unwrap_or("?")))
}
