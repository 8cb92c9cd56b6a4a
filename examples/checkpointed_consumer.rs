//! A consumer that is killed again and again, and goes on where it was.
//!
//! `cargo run --example checkpointed_consumer --features durable` runs itself as the consumer, kills that
//! process with `SIGKILL` five times at random, and prints what each one went on from. Every message is in
//! the total once in the end, although some were read twice: what was read after the last checkpoint is
//! read again, by a state that knows nothing of it.
//!
//! ```text
//!  life  went on from    reached   read again
//!     1             0         80            0
//!     2            60        160           20
//! ```

use backstop::durable::codec::{State, StateError};
use backstop::durable::snapshot::{Checkpoints, DirectoryConfig, DirectoryStore};
use backstop::durable::storage::FsStorage;
use backstop::kernel::clock::Clock;
use backstop::supervise::checkpointed::{CheckpointContext, Checkpointed, CheckpointedConfig};
use backstop::supervise::child::Restart;
use backstop::supervise::supervisor::{AutoShutdown, Supervisor};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

type BoxError = Box<dyn Error + Send + Sync>;

/// Messages in the topic: each is its own number.
const MESSAGES: u64 = 1_000;

/// A checkpoint is taken after so many.
const EVERY: u64 = 20;

/// How often the consumer is killed.
const KILLS: usize = 5;

/// What the consumer has come to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Messages that are in the total.
    offset: u64,
    total: u64,
}

impl State for Progress {
    const TYPE: &'static str = "progress";

    /// A total that the messages cannot have come to is not gone on from.
    fn validate(&self) -> Result<(), StateError> {
        if self.total == sum(self.offset) {
            Ok(())
        } else {
            Err(StateError::invalid("the total is not that of the messages"))
        }
    }
}

const fn sum(messages: u64) -> u64 {
    messages * (messages + 1) / 2
}

fn open(dir: &Path) -> Result<Checkpoints<Progress>, BoxError> {
    let store = DirectoryStore::open(Arc::new(FsStorage), dir, DirectoryConfig::default())?;
    Ok(Checkpoints::new(Arc::new(store), "consumer")?)
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The child of the supervisor: reads, and saves now and then.
async fn consume(cx: CheckpointContext<Progress>, mut state: Progress) -> Result<(), BoxError> {
    say(&format!("from {}", state.offset))?;
    while state.offset < MESSAGES && !cx.is_stopping() {
        // The work on one message takes a millisecond.
        let clock = cx.clock();
        clock
            .sleep_until(clock.now() + Duration::from_millis(1))?
            .await;
        state.offset += 1;
        state.total += state.offset;
        if state.offset % EVERY == 0 || state.offset == MESSAGES {
            say(&format!("at {}", state.offset))?;
            // A failed save is no reason to end: more is read again, and that is all.
            if let Err(error) = cx.save(&state).await {
                eprintln!("{error}");
            }
        }
    }
    Ok(())
}

/// The process that is killed.
#[tokio::main]
async fn consumer(dir: &Path) -> Result<(), BoxError> {
    let consumer = Checkpointed::new("consumer", open(dir)?, CheckpointedConfig::default())?;
    let child = consumer
        .child(|cx, restored| {
            consume(cx, restored.map(|restored| restored.state).unwrap_or_default())
        })
        // Its end is no crash: it has read everything.
        .restart(Restart::Transient)
        .significant(true);
    let supervisor = Supervisor::builder("service")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(child)
        .start()
        .await?;
    supervisor.ended().await;
    say("done")?;
    Ok(())
}

/// What one process did.
#[derive(Default)]
struct Life {
    from: u64,
    reached: u64,
    /// Saves that it has begun.
    saves: u32,
    is_done: bool,
}

impl Life {
    fn hear(&mut self, line: &str) {
        let (word, number) = line.split_once(' ').unwrap_or((line, ""));
        let number = number.parse().unwrap_or(0);
        match word {
            "from" => (self.from, self.reached) = (number, number),
            "at" => (self.reached, self.saves) = (number, self.saves + 1),
            "done" => self.is_done = true,
            _ => {}
        }
    }
}

/// Runs the consumer, and kills it that long after its first save, if at all.
fn live(dir: &Path, kill_after: Option<Duration>) -> Result<Life, BoxError> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg("consumer")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let out = BufReader::new(process.stdout.take().ok_or("it is piped")?);
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    let mut life = Life::default();
    let clock = Clock::system();
    let mut deadline = clock.now() + Duration::from_secs(10);
    while let Ok(line) = told.recv_timeout(deadline.saturating_duration_since(clock.now())) {
        life.hear(&line);
        // Not before it has saved something: a state that lets none of those who start from it come so
        // far would be suspect.
        if let Some(kill_after) = kill_after.filter(|_| line.starts_with("at") && life.saves == 2) {
            deadline = clock.now() + kill_after;
        }
    }
    // `SIGKILL`: nothing of it runs any more, no destructor and no handler.
    let _ended_already = process.kill();
    process.wait()?;
    reader.join().map_err(|_| "the reader panicked")?;
    told.try_iter().for_each(|line| life.hear(&line));
    Ok(life)
}

fn drill() -> Result<(), BoxError> {
    let dir = std::env::temp_dir().join(format!("backstop-consumer-{}", std::process::id()));
    println!(
        "{:>5}  {:>12}  {:>9}  {:>11}",
        "life", "went on from", "reached", "read again"
    );
    let mut before = Life::default();
    for life in 1..=KILLS + 1 {
        let kill = (life <= KILLS).then(|| Duration::from_millis(fastrand::u64(0..100)));
        let lived = live(&dir, kill)?;
        let again = before.reached - lived.from.min(before.reached);
        let (from, reached) = (lived.from, lived.reached);
        println!("{life:>5}  {from:>12}  {reached:>9}  {again:>11}");
        if again > EVERY {
            return Err(format!("{again} messages were read again: a checkpoint was lost").into());
        }
        before = lived;
        if before.is_done {
            break;
        }
    }
    let last = open(&dir)?.latest()?.restored.ok_or("nothing was saved")?;
    std::fs::remove_dir_all(&dir)?;
    if (last.state.offset, last.state.total) != (MESSAGES, sum(MESSAGES)) {
        return Err(format!("a message is missing or twice: {:?}", last.state).into());
    }
    println!("{MESSAGES} messages, each in the total once");
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let outcome = match arguments.get(1..) {
        Some([word, dir]) if word == "consumer" => consumer(Path::new(dir)),
        _ => drill(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
