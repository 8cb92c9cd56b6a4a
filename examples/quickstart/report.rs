//! What the user sees: a line per half second while the day passes, then a table.

use crate::figures::{Summary, Transition, rejections};
use crate::load::Record;
use crate::script::{Day, Phase};
use crate::{Side, Sides};
use backstop::policy::retry::RetryTotals;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(500);

/// Prints a line per tick until the day is over; it tells of the calls that ended in the tick.
pub(crate) async fn live(sides: &Sides, day: &Day) {
    let mut sides = sides.all().map(Ticker::of);
    print!("                     ");
    for ticker in &sides {
        print!("| {:^30}", ticker.side.name);
    }
    print!("\n time  upstream      ");
    for _ in &sides {
        print!("| success  reached  state       ");
    }
    println!();
    let mut time = Duration::ZERO;
    while time < Day::length() {
        let phase = Phase::at(time);
        time += TICK;
        day.wait_until(time).await;
        print!("{:4.1} s {:<14}", time.as_secs_f64(), phase.name());
        for ticker in &mut sides {
            let tick = ticker.tick();
            print!(
                "| {:>7} {:>8}  {:<11} ",
                tick.success, tick.reached, tick.state
            );
        }
        println!();
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
    state: &'static str,
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
        let breaker = self.side.breaker.as_ref();
        let tick = Tick {
            success: success(&Summary::of(new)),
            reached: reached - self.reached,
            state: breaker.map_or("-", |breaker| breaker.state().as_str()),
        };
        (self.seen, self.reached) = (records.len(), reached);
        tick
    }
}

/// Prints the day as a table, the clients side by side.
pub(crate) fn table(sides: &Sides, retries: &RetryTotals, days: &[Vec<Transition>; 2]) {
    let figure = |label: &str, of: &dyn Fn(&[Record]) -> String| {
        row(label, sides.all().map(|side| of(&side.log.records())));
    };
    println!();
    row("", sides.all().map(|side| side.name.to_owned()));
    figure("calls", &|records| records.len().to_string());
    figure("success rate", &|records| success(&Summary::of(records)));
    for phase in Phase::ALL {
        figure(&format!("  while {}", phase.name()), &|records| {
            success(&Summary::of_phases(records, &[phase]))
        });
    }
    figure("  while recovering, of the calls made", &|records| {
        success(&Summary::of_made(records, Phase::Recovering))
    });
    for percentile in [50, 99] {
        figure(&format!("a caller's wait, p{percentile}"), &|records| {
            millis(Summary::of(records).wait_percentile(percentile))
        });
    }
    for percentile in [50, 99] {
        figure(&format!("  while dead, p{percentile}"), &|records| {
            millis(Summary::of_phases(records, &[Phase::Dead]).wait_percentile(percentile))
        });
    }
    let reached = |label: &str, phases: &[Phase]| {
        let figures = sides.all().map(|side| side.upstream.reached_in(phases));
        row(label, figures.map(|reached| reached.to_string()));
    };
    reached("calls that reached the sick upstream", &Phase::SICK);
    for phase in Phase::SICK {
        reached(&format!("  while {}", phase.name()), &[phase]);
    }
    reached("  while it was well or recovering", &Phase::UP);
    let further = retries.retries.to_string();
    row(
        "attempts that were further ones",
        ["-".into(), "-".into(), further],
    );
    for kind in ["open", "probes_full", "full", "timed_out"] {
        figure(&format!("rejected: {kind}"), &|records| {
            let count = rejections(records).get(kind).copied();
            count.map_or_else(|| "-".to_owned(), |count| count.to_string())
        });
    }
    for (name, transitions) in ["breaker", "pipeline"].iter().zip(days) {
        if !transitions.is_empty() {
            println!("\nThe circuit's day, {name}:");
        }
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
}

fn row(label: &str, [bare, breaker, pipeline]: [String; 3]) {
    println!("{label:<44}{bare:>10}{breaker:>12}{pipeline:>12}");
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
