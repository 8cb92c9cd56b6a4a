//! The way out.

use std::fmt;
use std::process;
use std::sync::Arc;

/// How the process ends: the only way in which this library ends one.
///
/// A crash-only service has no other way to stop than the one a crash takes. Nothing is to be saved on
/// the way: what was acknowledged is durable, and the next start recovers. By default it is
/// [`std::process::exit`]; in a test, or below a supervisor in the same process, a hook takes its
/// place.
///
/// ```
/// use backstop::durable::boot::Exit;
/// use std::sync::Mutex;
/// use std::sync::Arc;
///
/// let codes = Arc::new(Mutex::new(Vec::new()));
/// let seen = codes.clone();
/// let exit = Exit::hook(move |code, _why| seen.lock().unwrap().push(code));
/// exit.stop(70, "the journal is poisoned");
/// assert_eq!(*codes.lock().unwrap(), [70]);
/// ```
#[derive(Clone)]
pub struct Exit(Arc<Hook>);

type Hook = dyn Fn(i32, &str) + Send + Sync;

impl Exit {
    /// Ends the process at once, with that code: no destructor runs, on no thread.
    pub fn process() -> Self {
        Self::hook(|code, _| process::exit(code))
    }

    /// Calls this instead, with the code and the reason. If it returns, [`stop`](Self::stop) does.
    pub fn hook(hook: impl Fn(i32, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Stops, and says why to `tracing`, at level error.
    pub fn stop(&self, code: i32, why: impl fmt::Display) {
        let why = why.to_string();
        tracing::error!(target: "backstop::durable", code, why, "exit");
        (self.0)(code, &why);
    }
}

impl Default for Exit {
    fn default() -> Self {
        Self::process()
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exit").finish_non_exhaustive()
    }
}
