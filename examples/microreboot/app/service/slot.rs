//! Where a component stands: callers come through here, so that it can be replaced under them.

use super::fail::Fail;
use super::hazard::Hazard;
use arc_swap::ArcSwapOption;
use futures::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

pub(crate) struct Slot<P> {
    name: &'static str,
    /// A file that it keeps between its lives. A damaged one makes it panic in each call; a clean-up of
    /// the component or a start of the process removes it.
    scratch: PathBuf,
    current: ArcSwapOption<Incarnation<P>>,
    starts: AtomicU64,
}

impl<P: Damage> Slot<P> {
    pub(crate) fn new(name: &'static str, scratch: &Path) -> Self {
        Self {
            name,
            scratch: scratch.join(name),
            current: ArcSwapOption::empty(),
            starts: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
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
        self.starts.fetch_add(1, Relaxed);
        self.current.store(Some(Arc::new(incarnation)));
    }

    /// The part leaves its place. Calls that are in it end.
    pub(crate) fn clear(&self) {
        if let Some(gone) = self.current.swap(None) {
            gone.down.close();
        }
    }

    /// Removes what could outlive it.
    pub(crate) fn clean(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes a call. It ends with the part's life, and a panic in it ends the call alone.
    pub(crate) async fn call<T, F>(&self, operation: impl FnOnce(Arc<P>) -> F) -> Result<T, Fail>
    where
        F: Future<Output = Result<T, Fail>>,
    {
        let Some(current) = self.current.load_full() else {
            return Err(Fail::Down(None));
        };
        let work = async {
            current.hazard.pass().await?;
            operation(current.part.clone()).await
        };
        tokio::select! {
            biased;
            _ = current.down.acquire() => Err(Fail::Down(None)),
            result = AssertUnwindSafe(work).catch_unwind() => result.unwrap_or_else(|panic| Err(panicked(panic))),
        }
    }

    /// The part, for one that is made of it.
    pub(crate) fn part(&self) -> Result<Arc<P>, Fail> {
        let current = self.current.load();
        let current = current.as_ref().ok_or(Fail::Down(None))?;
        Ok(current.part.clone())
    }

    /// Whether calls get through, as far as can be told from here.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let Some(current) = self.current.load_full() else {
            return Err("down".to_owned());
        };
        let passed = AssertUnwindSafe(current.hazard.pass()).catch_unwind();
        match timeout(CHECK_TIMEOUT, passed).await {
            Err(_) => Err("hangs".to_owned()),
            Ok(Err(_)) => Err("panics".to_owned()),
            Ok(Ok(result)) => result.map_err(|fail| fail.to_string()),
        }
    }

    pub(crate) fn hurt(&self, kind: &str) -> Result<(), Fail> {
        let current = self.current.load_full().ok_or(Fail::Down(None))?;
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

const CHECK_TIMEOUT: Duration = Duration::from_millis(150);
const DAMAGED: &[u8] = b"\0\0\0\0";

#[expect(clippy::needless_pass_by_value, reason = "it is dropped here")]
fn panicked(panic: Box<dyn Any + Send>) -> Fail {
    let text = panic.downcast_ref::<&str>().copied();
    Fail::broken(format!("panicked: {}", text.unwrap_or("?")))
}
