//! A run with a crash at every call, over all disks that the crash may leave.

use backstop::durable::storage::faulty::FaultyStorage;
use std::cell::Cell;
use std::fmt::Debug;
use std::io::Write;

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It was killed before the call.
    Kill,
    /// It was killed within the call, an append, of which so many bytes were written.
    Torn(usize),
    /// The power failed before the call.
    PowerCut,
}

/// A disk that a crash left.
pub(crate) struct Image {
    pub(crate) disk: FaultyStorage,
    pub(crate) crash: Crash,
    /// The call at which it came.
    pub(crate) call: u64,
    /// Its number among those of the same crash.
    pub(crate) nth: usize,
    /// Images that were made out of this one.
    further: Cell<u64>,
}

impl Image {
    /// Whether it is one of the first of its crash, of which each is: what was not synced is all there
    /// after a kill, and all gone in the first disk after a power cut.
    pub(crate) fn is_extreme(&self) -> bool {
        self.nth == 0
    }

    /// Opens it with a crash at every call of the opening itself, and has what each of these leaves
    /// checked: a repair that is cut short is begun again.
    pub(crate) fn reopen(
        &self,
        open: impl Fn(&FaultyStorage),
        check: impl Fn(&FaultyStorage) -> Result<(), String>,
    ) -> Result<(), String> {
        for call in 0..MOST_CALLS {
            let disk = self.disk.after_kill();
            disk.stop_at(call);
            open(&disk);
            let changed = disk.trace().last().is_some_and(|last| last.is_change());
            if changed {
                let killed = [(Crash::Kill, disk.after_kill())];
                let cut = disk.after_power_cut().map(|left| (Crash::PowerCut, left));
                for (crash, left) in cut.chain(killed) {
                    self.further.set(self.further.get() + 1);
                    check(&left).map_err(|why| {
                        let told = told(&disk);
                        format!("{crash:?} at call {call} of the opening:\n{told}\n{why}")
                    })?;
                }
            }
            if !disk.is_stopped() {
                return Ok(());
            }
        }
        Err("the opening runs in circles".to_owned())
    }
}

/// The last calls of a trace.
fn told(disk: &FaultyStorage) -> String {
    let trace = disk.trace();
    let calls = trace.iter().enumerate();
    let last = calls.skip(trace.len().saturating_sub(12));
    let lines: Vec<String> = last
        .map(|(at, call)| {
            let (name, path) = (call.operation.name(), call.path.display());
            let (offset, bytes) = (call.offset, call.bytes);
            format!("  {at}: {name} {path} {offset}+{bytes} {:?}", call.result)
        })
        .collect();
    lines.join("\n")
}

/// What became of a sweep.
#[derive(Debug, Default)]
#[must_use = "whether it held is not known before it is asked"]
pub(crate) struct Sweep {
    name: String,
    points: u64,
    images: u64,
    /// Crashes whose disks were drawn, because there are too many.
    drawn: u64,
    /// The first image that did not check, and why.
    broken: Option<String>,
}

impl Sweep {
    /// Every image checked.
    #[track_caller]
    pub(crate) fn holds(self) -> u64 {
        self.print();
        if let Some(broken) = self.broken {
            panic!("{}: {broken}", self.name);
        }
        self.images
    }

    /// Some image did not check: this tells a broken log from a sound one.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        self.print();
        match self.broken {
            Some(broken) => broken,
            None => panic!(
                "{}: {} images of {} crashes, and none tells that a sync is missing",
                self.name, self.images, self.points
            ),
        }
    }

    /// The number of images, or what was wrong: for many sweeps of which one line is enough.
    pub(crate) fn images(self) -> Result<u64, String> {
        match self.broken {
            Some(broken) => Err(format!("{}: {broken}", self.name)),
            None => Ok(self.images),
        }
    }

    fn print(&self) {
        let broken = if self.broken.is_some() {
            ", broken"
        } else {
            ""
        };
        tell(&format!(
            "{}: {} images of {} crashes ({} of them drawn){broken}",
            self.name, self.images, self.points, self.drawn
        ));
    }
}

/// Prints a line past the capture of the test harness: the number belongs to the result.
pub(crate) fn tell(line: &str) {
    let _told = writeln!(std::io::stderr(), "{line}");
}

/// No script makes more calls: one that does runs in circles.
const MOST_CALLS: u64 = 20_000;

/// Runs the script from a copy of `start`, stopped at call 0, 1, 2, until it is not stopped any more; makes
/// every image of every crash, and has it checked with what the run had acknowledged.
///
/// A crash at a call that follows one which changed nothing leaves the same disks: it is checked only if
/// more was acknowledged by then.
pub(crate) fn sweep<A: PartialEq + Debug>(
    name: &str,
    start: &FaultyStorage,
    run: impl Fn(&FaultyStorage) -> Vec<A>,
    check: impl Fn(&Image, &[A]) -> Result<(), String>,
) -> Sweep {
    sweep_from(0, name, start, run, check)
}

/// The same, from that call on.
pub(crate) fn sweep_from<A: PartialEq + Debug>(
    first: u64,
    name: &str,
    start: &FaultyStorage,
    run: impl Fn(&FaultyStorage) -> Vec<A>,
    check: impl Fn(&Image, &[A]) -> Result<(), String>,
) -> Sweep {
    let mut sweep = Sweep {
        name: name.to_owned(),
        ..Sweep::default()
    };
    let whole = start.after_kill();
    run(&whole);
    let whole = whole.trace();
    let mut before: Option<Vec<A>> = None;
    for call in first..MOST_CALLS {
        let disk = start.after_kill();
        disk.stop_at(call);
        let acked = run(&disk);
        let changed = disk.trace().last().is_none_or(|last| last.is_change());
        if changed || before.as_ref() != Some(&acked) {
            sweep.crash(&disk, call, &acked, &check);
        }
        // How many bytes its append has, if the run is the same as it was whole.
        let bytes = whole
            .get(usize::try_from(call).unwrap_or(usize::MAX))
            .map_or(0, |call| usize::try_from(call.bytes).unwrap_or(0));
        let is_append = |disk: &FaultyStorage| {
            whole
                .get(disk.trace().len())
                .is_some_and(|call| call.operation == backstop::durable::storage::Operation::Append)
        };
        if disk.is_stopped() && is_append(&disk) {
            for torn in [1, bytes / 2, bytes.saturating_sub(1)] {
                sweep.torn(start, call, torn, &run, &check);
            }
        }
        before = Some(acked);
        if !disk.is_stopped() || sweep.broken.is_some() {
            return sweep;
        }
    }
    panic!("{name}: still running after {MOST_CALLS} calls");
}

impl Sweep {
    fn crash<A: Debug>(
        &mut self,
        disk: &FaultyStorage,
        call: u64,
        acked: &[A],
        check: &impl Fn(&Image, &[A]) -> Result<(), String>,
    ) {
        self.points += 2;
        let killed = Image {
            disk: disk.after_kill(),
            crash: Crash::Kill,
            call,
            nth: 0,
            further: Cell::new(0),
        };
        self.check(disk, &killed, acked, check);
        let cut = disk.after_power_cut();
        self.drawn += u64::from(!cut.is_exhaustive());
        for (nth, left) in cut.enumerate() {
            let image = Image {
                disk: left,
                crash: Crash::PowerCut,
                call,
                nth,
                further: Cell::new(0),
            };
            self.check(disk, &image, acked, check);
        }
    }

    fn torn<A: Debug>(
        &mut self,
        start: &FaultyStorage,
        call: u64,
        bytes: usize,
        run: &impl Fn(&FaultyStorage) -> Vec<A>,
        check: &impl Fn(&Image, &[A]) -> Result<(), String>,
    ) {
        if bytes == 0 {
            return;
        }
        self.points += 1;
        let disk = start.after_kill();
        disk.stop_within(call, bytes);
        let acked = run(&disk);
        let image = Image {
            disk: disk.after_kill(),
            crash: Crash::Torn(bytes),
            call,
            nth: 0,
            further: Cell::new(0),
        };
        self.check(&disk, &image, &acked, check);
    }

    fn check<A: Debug>(
        &mut self,
        disk: &FaultyStorage,
        image: &Image,
        acked: &[A],
        check: &impl Fn(&Image, &[A]) -> Result<(), String>,
    ) {
        if self.broken.is_some() {
            return;
        }
        self.images += 1;
        let checked = check(image, acked);
        self.images += image.further.get();
        if let Err(why) = checked {
            let Image {
                crash, call, nth, ..
            } = image;
            let told = told(disk);
            self.broken = Some(format!(
                "{why}\n{crash:?} at call {call}, image {nth}; acknowledged: {acked:?}\n{told}"
            ));
        }
    }
}

/// Whether the long scripts are asked for.
pub(crate) fn is_soak() -> bool {
    std::env::var_os("BACKSTOP_SOAK").is_some()
}
