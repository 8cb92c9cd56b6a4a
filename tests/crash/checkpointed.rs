//! A checkpointed child in a process that is killed with `SIGKILL` at random points, or by its own state.
//!
//! This binary runs itself again as that process. The points are drawn from a seed that is printed.

use backstop::durable::codec::State;
use backstop::durable::snapshot::{Checkpoints, DirectoryConfig, DirectoryStore};
use backstop::durable::storage::FsStorage;
use backstop::kernel::clock::Clock;
use backstop::supervise::checkpointed::{Checkpointed, CheckpointedConfig};
use backstop::supervise::supervisor::Supervisor;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Where the child process finds its directory.
const DIR: &str = "BACKSTOP_COUNT_DIR";

/// Its state takes the process down from this number on.
const POISON: &str = "BACKSTOP_COUNT_POISON";

/// How long a start must be well, in milliseconds.
const SURVIVES: &str = "BACKSTOP_COUNT_SURVIVES";

/// A number and what must follow from it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Count {
    n: u64,
    sum: u64,
}

impl State for Count {
    const TYPE: &'static str = "count";
}

impl Count {
    fn is_sound(&self) -> bool {
        self.sum == self.n * (self.n + 1) / 2
    }
}

fn open(dir: &Path) -> Checkpoints<Count> {
    let store = DirectoryStore::open(Arc::new(FsStorage), dir, DirectoryConfig::default());
    Checkpoints::new(Arc::new(store.expect("it opens")), "count").expect("it is a key")
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("somebody reads");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Counts, saves after each number, and says so.
async fn count_up(dir: &Path) {
    let mut config = CheckpointedConfig::default();
    if let Some(millis) = number(SURVIVES) {
        config = config.survives(Duration::from_millis(millis));
    }
    let child = Checkpointed::new("count", open(dir), config).expect("it is valid");
    let spec = child.child(|cx, restored| async move {
        let sequence = restored.as_ref().map_or(0, |restored| restored.sequence);
        let mut state = restored.map(|restored| restored.state).unwrap_or_default();
        say(&format!("start {} {sequence} {}", cx.origin(), state.n));
        if number(POISON).is_some_and(|poison| state.n >= poison) {
            std::process::abort();
        }
        loop {
            state.n += 1;
            state.sum += state.n;
            match cx.save(&state).await {
                Ok(sequence) => say(&format!("saved {sequence} {}", state.n)),
                // On trial: it shows that it is well by doing its work.
                Err(_) => tokio::task::yield_now().await,
            }
        }
        #[expect(unreachable_code, reason = "it names the error's type")]
        Ok::<(), std::io::Error>(())
    });
    let supervisor = Supervisor::builder("service").child(spec);
    let supervisor = supervisor.start().await.expect("it starts");
    supervisor.ended().await;
}

#[test]
#[ignore = "the child process of the tests below"]
fn counts_as_a_child() {
    let dir = std::env::var_os(DIR).expect("it is run by the tests below");
    // The test's harness has begun a line.
    say("");
    let runtime = tokio::runtime::Runtime::new().expect("there is one");
    runtime.block_on(count_up(Path::new(&dir)));
}

/// What a process said before it was killed, or ended by itself.
#[derive(Debug, Default)]
struct Life {
    /// Origin, sequence, number.
    start: Option<(String, u64, u64)>,
    /// Sequence and number of the last save whose future had ended.
    saved: Option<(u64, u64)>,
}

/// Runs the process and kills it so long after it was spawned, or after it began to count.
fn live(dir: &Path, poison: Option<(u64, u64)>, kill_after: Duration, counted: bool) -> Life {
    let program = std::env::current_exe().expect("this test is a file");
    let mut command = Command::new(program);
    command
        .args(["--exact", "checkpointed::counts_as_a_child", "--ignored"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some((poison, survives)) = poison {
        command.env(POISON, poison.to_string());
        command.env(SURVIVES, survives.to_string());
    }
    let mut process = command.spawn().expect("it can be run");
    let (tell, told) = mpsc::channel();
    let out = BufReader::new(process.stdout.take().expect("it is piped"));
    let reader = std::thread::spawn(move || {
        for line in out.lines() {
            let Ok(line) = line else { break };
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    let mut life = Life::default();
    let clock = Clock::system();
    let mut deadline = clock.now() + kill_after;
    if counted {
        // It is killed in any case.
        deadline = deadline + Duration::from_secs(20);
    }
    loop {
        let left = deadline.saturating_duration_since(clock.now());
        match told.recv_timeout(left) {
            Ok(said) => {
                let is_start = life.hear(&said);
                if is_start && counted {
                    deadline = clock.now() + kill_after;
                }
                if left.is_zero() {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ended_already = process.kill();
    process.wait().expect("it ended");
    // What it had said by then counts, too.
    reader.join().expect("it reads");
    told.try_iter().for_each(|line| {
        life.hear(&line);
    });
    life
}

impl Life {
    /// Whether it began to count.
    fn hear(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        match (words.first(), number(1), number(2), number(3)) {
            (Some(&"start"), _, Some(sequence), Some(n)) => {
                let again = self.start.replace((words[1].to_owned(), sequence, n));
                assert!(again.is_none(), "the child itself does not fail");
                true
            }
            (Some(&"saved"), Some(sequence), Some(n), None) => {
                self.saved = Some((sequence, n));
                false
            }
            _ => false,
        }
    }
}

/// What the rules say that the next process goes on from, out of what is stored.
fn expected(checkpoints: &Checkpoints<Count>) -> (&'static str, u64) {
    let history = checkpoints.history().expect("it can be read");
    let good: Vec<_> = history.iter().filter(|entry| entry.is_good()).collect();
    match good[..] {
        [] => ("fresh", 0),
        [newest, ..] if newest.marks.strikes < 2 => ("newest", newest.sequence),
        [_, older, ..] if older.marks.strikes == 0 => ("older", older.sequence),
        [newest, ..] => ("newest_again", newest.sequence),
    }
}

#[test]
fn ck4a_a_killed_process_goes_on_from_its_last_checkpoint() {
    let seed = std::env::var("BACKSTOP_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("a seed is a number"),
    );
    println!("BACKSTOP_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let kills = if crate::harness::is_soak() { 200 } else { 12 };
    let dir = tempfile::tempdir().expect("there is room");
    let (mut lives_that_saved, mut newest_saved) = (0, 0);
    for kill in 0..kills {
        let expected = expected(&open(dir.path()));
        let counted = rng.f32() < 0.7;
        let kill_after = Duration::from_millis(rng.u64(0..=if counted { 60 } else { 200 }));
        let life = live(dir.path(), None, kill_after, counted);
        let at = format!("seed {seed}, kill {kill}: {life:?}");
        if let Some((origin, sequence, n)) = &life.start {
            assert_eq!((origin.as_str(), *sequence), expected, "{at}");
            // Each save is of the next number, on whatever branch.
            assert!(life.saved.is_none_or(|(_, saved)| saved > *n), "{at}");
        }
        // Nothing whose save had ended is lost, and what is there is whole.
        let checkpoints = open(dir.path());
        let newest = checkpoints.latest().expect("it can be read").restored;
        let newest = newest.map_or(0, |newest| {
            assert!(newest.state.is_sound(), "{at}: {newest:?}");
            newest.sequence
        });
        let saved = life.saved.map_or(newest_saved, |(sequence, _)| sequence);
        assert!(newest >= saved && saved >= newest_saved, "{at}: {newest}");
        newest_saved = newest;
        lives_that_saved += u32::from(life.saved.is_some());
    }
    println!("{kills} kills, {lives_that_saved} lives that saved, {newest_saved} checkpoints");
    // Or nothing was tried.
    assert!(lives_that_saved > 1, "seed {seed}");
}

#[test]
fn ck4a_ck3g_a_state_that_takes_the_process_down_is_found_by_those_that_come_after() {
    let dir = tempfile::tempdir().expect("there is room");
    let checkpoints = open(dir.path());
    for n in 1..=3 {
        let sum = n * (n + 1) / 2;
        checkpoints.save(n, &Count { n, sum }).expect("it is saved");
    }
    drop(checkpoints);
    let mut seen = Vec::new();
    // The third process finds the older state, and is well for long enough to save again.
    for _ in 0..3 {
        let life = live(dir.path(), Some((3, 100)), Duration::from_millis(600), true);
        let (origin, sequence, _) = life.start.expect("it began to count");
        seen.push((origin, sequence));
        if life.saved.is_some() {
            break;
        }
    }
    let newest = ("newest".to_owned(), 3);
    assert_eq!(seen, [newest.clone(), newest, ("older".to_owned(), 2)]);
    let checkpoints = open(dir.path());
    let history = checkpoints.history().expect("it can be read");
    let poison = history.iter().find(|entry| entry.sequence == 3);
    assert!(poison.is_none_or(|entry| entry.marks.suspect));
    assert!(history[0].sequence > 3 && history[0].is_good());
}
