//! What the user sees: a line per half second while the day passes, then a table.

use crate::Side;
use crate::figures::{Summary, Transition, rejections};
use crate::load::{End, Record};
use crate::script::{Day, Phase};
use backstop::CircuitBreaker;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);

/// Prints a line per tick until the day is over; it tells of the calls that ended in the tick.
pub(crate) async fn live(
    bare: &Side,
    protected: &Side,
    breaker: Option<&CircuitBreaker>,
    day: &Day,
) {
    println!(
        "                     | {:^17} | {:^29}",
        bare.name, protected.name
    );
    println!(" time  upstream      | success   reached | success   reached  rejected  breaker");
    let (mut bare, mut protected) = (Ticker::of(bare), Ticker::of(protected));
    let mut time = Duration::ZERO;
    while time < Day::length() {
        let phase = Phase::at(time);
        time += TICK;
        day.wait_until(time).await;
        let (b, p) = (bare.tick(), protected.tick());
        let state = breaker.map_or("none", |breaker| breaker.state().as_str());
        println!(
            "{:4.1} s {:<14}| {:>7} {:>9} | {:>7} {:>9} {:>9}  {state}",
            time.as_secs_f64(),
            phase.name(),
            b.success,
            b.reached,
            p.success,
            p.reached,
            p.rejected,
        );
    }
}

/// Tells what is new on a side since the last tick.
struct Ticker<'a> {
    side: &'a Side,
    seen: usize,
    reached: u64,
}

struct Tick {
    success: String,
    reached: u64,
    rejected: usize,
}

impl<'a> Ticker<'a> {
    fn of(side: &'a Side) -> Self {
        Self {
            side,
            seen: 0,
            reached: 0,
        }
    }

    fn tick(&mut self) -> Tick {
        let records = self.side.log.records();
        let new = &records[self.seen..];
        let reached = self.side.upstream.reached_in(&Phase::ALL);
        let tick = Tick {
            success: success(&Summary::of(new)),
            reached: reached - self.reached,
            rejected: new
                .iter()
                .filter(|record| matches!(record.end, End::Rejected(_)))
                .count(),
        };
        (self.seen, self.reached) = (records.len(), reached);
        tick
    }
}

/// Prints the day as a table, the two clients side by side.
pub(crate) fn table(bare: &Side, protected: &Side, transitions: &[Transition]) {
    let (b, p) = (&bare.log.records()[..], &protected.log.records()[..]);
    println!();
    row("", &bare.name, &protected.name);
    row("calls", &b.len(), &p.len());
    both("successes", b, p, |records| {
        Summary::of(records).successes.to_string()
    });
    both("success rate", b, p, |records| {
        success(&Summary::of(records))
    });
    for phase in Phase::ALL {
        let label = format!("  while {}", phase.name());
        both(&label, b, p, |records| {
            success(&Summary::of_phases(records, &[phase]))
        });
    }
    both("a caller's wait, p50", b, p, |records| {
        millis(Summary::of(records).wait_percentile(50))
    });
    both("a caller's wait, p99", b, p, |records| {
        millis(Summary::of(records).wait_percentile(99))
    });
    for (name, percentile) in [("p50", 50), ("p99", 99)] {
        let label = format!("  while dead, {name}");
        both(&label, b, p, |records| {
            millis(Summary::of_phases(records, &[Phase::Dead]).wait_percentile(percentile))
        });
    }
    let reached = |phases: &[Phase]| {
        (
            bare.upstream.reached_in(phases),
            protected.upstream.reached_in(phases),
        )
    };
    let (b_sick, p_sick) = reached(&Phase::SICK);
    row("calls that reached the sick upstream", &b_sick, &p_sick);
    for phase in Phase::SICK {
        let (b_phase, p_phase) = reached(&[phase]);
        row(&format!("  while {}", phase.name()), &b_phase, &p_phase);
    }
    for (kind, count) in rejections(p) {
        row(&format!("rejected: {kind}"), &"-", &count);
    }
    if transitions.is_empty() {
        return;
    }
    let forgone = Summary::of(b)
        .successes
        .saturating_sub(Summary::of(p).successes);
    row("the price: successes forgone", &"-", &forgone);
    println!("\nThe breaker's day:");
    for change in transitions {
        println!(
            "{:7.2} s  {:<9} -> {:<9}  {:<13}  (upstream {})",
            change.time.as_secs_f64(),
            change.from.as_str(),
            change.to.as_str(),
            change.reason.as_str(),
            Phase::at(change.time).name(),
        );
    }
}

fn both(label: &str, bare: &[Record], protected: &[Record], figure: impl Fn(&[Record]) -> String) {
    row(label, &figure(bare), &figure(protected));
}

fn row(label: &str, bare: &dyn std::fmt::Display, protected: &dyn std::fmt::Display) {
    println!(
        "{label:<44}{:>10}{:>12}",
        bare.to_string(),
        protected.to_string()
    );
}

fn success(summary: &Summary) -> String {
    if summary.calls == 0 {
        "-".to_owned()
    } else {
        format!("{:.1} %", summary.success_percent())
    }
}

pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
