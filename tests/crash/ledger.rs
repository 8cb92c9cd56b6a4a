//! A journal under a script, and what must be in it afterwards.

use backstop::durable::journal::{
    AppendError, Journal, JournalConfig, OpenError, OpenMode, OpenReport, Opener, ReadError,
    RecoveryMode, SyncPolicy,
};
use backstop::durable::storage::faulty::FaultyStorage;
use backstop::kernel::clock::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "ledger";

/// Something that the script was told to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) sequence: u64,
    /// The number of the payload. 0: nothing was acknowledged, but a compaction through this sequence is
    /// under way or done.
    pub(crate) payload: u32,
    /// How many calls there were then.
    pub(crate) calls: u64,
}

/// What the script does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) policy: SyncPolicy,
    pub(crate) segment_bytes: u64,
    /// How often it opens the journal, and how many batches it appends each time.
    pub(crate) openings: u32,
    pub(crate) batches: u32,
    /// Records of a batch: appended by tasks that wait together.
    pub(crate) batch: u32,
    /// Whether it compacts after every third batch.
    pub(crate) compacts: bool,
    /// Bytes that are set aside.
    pub(crate) reserve: u64,
    /// Whether it closes the journal before it opens it again, or just lets go of it.
    pub(crate) closes: bool,
}

pub(crate) const ALWAYS: Script = Script {
    policy: SyncPolicy::Always,
    segment_bytes: 1_024,
    openings: 2,
    batches: 5,
    batch: 1,
    compacts: false,
    reserve: 0,
    closes: false,
};

pub(crate) fn payload(number: u32) -> Vec<u8> {
    let len = 60 + number as usize * 97 % 400;
    let mut payload = format!("payload {number:04} ").into_bytes();
    payload.resize(len, 1 + u8::try_from(number % 251).unwrap());
    payload
}

fn number_of(found: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(found.get(8..12)?).ok()?;
    let number = text.parse().ok()?;
    (payload(number) == found).then_some(number)
}

pub(crate) fn config(policy: SyncPolicy, mode: RecoveryMode) -> JournalConfig {
    JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .sync(policy)
        .recovery(mode)
        .record_limit(1_024)
        .lock_wait(Duration::ZERO)
        .reserve_bytes(0)
}

pub(crate) fn open(
    disk: &FaultyStorage,
    config: JournalConfig,
    clock: &Clock,
) -> Result<(Journal, OpenReport), OpenError> {
    Opener::new(Arc::new(disk.clone()), DIR)
        .config(config)
        .clock(clock.clone())
        .open()
}

/// What was found: payloads by sequence.
pub(crate) type Found = BTreeMap<u64, u32>;

pub(crate) fn read(journal: &Journal) -> Result<Found, String> {
    let reader = match journal.read(1) {
        Err(ReadError::Removed { first }) => journal.read(first),
        reader => reader,
    };
    let mut reader = reader.map_err(|error| format!("{error:?}"))?;
    let mut found = Found::new();
    while let Some(record) = reader.next().map_err(|error| format!("{error:?}"))? {
        let number = number_of(record.payload)
            .filter(|number| *number == record.kind)
            .ok_or_else(|| format!("record {} is none that was appended", record.sequence))?;
        found.insert(record.sequence, number);
    }
    Ok(found)
}

/// One run of a script.
struct Run<'a> {
    disk: &'a FaultyStorage,
    script: Script,
    runtime: Option<tokio::runtime::Runtime>,
    clock: Clock,
    acked: Vec<Acked>,
    /// Appended and not known to be durable.
    buffered: Vec<(u64, u32)>,
    next: u32,
}

/// Runs the script until it is done or the process is gone.
pub(crate) fn run(disk: &FaultyStorage, script: Script) -> Vec<Acked> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = (script.batch > 1).then(|| builder.build().unwrap());
    let mut run = Run {
        disk,
        script,
        runtime,
        clock: Clock::manual().clock(),
        acked: Vec::new(),
        buffered: Vec::new(),
        next: 1,
    };
    for _ in 0..script.openings {
        run.open_and_append();
    }
    run.acked
}

impl Run<'_> {
    fn open_and_append(&mut self) {
        let config = config(self.script.policy, RecoveryMode::TornTail)
            .segment_bytes(self.script.segment_bytes)
            .reserve_bytes(self.script.reserve);
        let Ok((journal, _)) = open(self.disk, config, &self.clock) else {
            return;
        };
        for nth in 0..self.script.batches {
            self.append(&journal);
            if self.script.policy != SyncPolicy::Always && nth % 2 == 1 {
                self.sync(&journal);
            }
            if self.script.compacts && nth % 3 == 2 {
                self.compact(&journal);
            }
        }
        if self.script.closes && journal.close().is_ok() {
            self.acknowledge(u64::MAX);
        }
        // What is buffered is flushed as the journal goes, and nobody is told.
        drop(journal);
        self.buffered.clear();
    }

    fn append(&mut self, journal: &Journal) {
        let numbers = self.next..self.next + self.script.batch;
        self.next = numbers.end;
        let payloads: Vec<(u32, Vec<u8>)> = numbers.map(|n| (n, payload(n))).collect();
        let answers: Vec<Result<u64, AppendError>> = match &self.runtime {
            None => payloads
                .iter()
                .map(|(kind, payload)| journal.append(*kind, payload))
                .collect(),
            Some(runtime) => {
                let appends = payloads
                    .iter()
                    .map(|(kind, payload)| journal.append_async(*kind, payload));
                runtime.block_on(futures::future::join_all(appends))
            }
        };
        for ((number, _), answer) in payloads.iter().zip(answers) {
            if let Ok(sequence) = answer {
                self.buffered.push((sequence, *number));
            }
        }
        if self.script.policy == SyncPolicy::Always {
            self.acknowledge(u64::MAX);
        }
    }

    /// Gives up all but the last three records.
    fn compact(&mut self, journal: &Journal) {
        let last = self.acked.last().map_or(0, |acked| acked.sequence);
        let through = last.saturating_sub(3);
        self.acked.push(Acked {
            sequence: through,
            payload: 0,
            calls: self.disk.calls(),
        });
        let _removed = journal.compact(through);
    }

    fn sync(&mut self, journal: &Journal) {
        if let Ok(through) = journal.sync() {
            self.acknowledge(through);
        }
        let status = journal.status();
        self.acknowledge(status.durable_sequence);
    }

    fn acknowledge(&mut self, through: u64) {
        let calls = self.disk.calls();
        let acked = self.buffered.iter().filter(|(at, _)| *at <= through);
        self.acked.extend(acked.map(|&(sequence, payload)| Acked {
            sequence,
            payload,
            calls,
        }));
        self.buffered.retain(|(at, _)| *at > through);
    }
}

/// The last sequence that may have been removed.
pub(crate) fn compacted(acked: &[Acked]) -> u64 {
    let compactions = acked.iter().filter(|done| done.payload == 0);
    compactions.map(|done| done.sequence).max().unwrap_or(0)
}

/// Whether both hold the same, but for what was removed: a crash may bring it back.
fn is_same(found: &Found, again: &Found, acked: &[Acked]) -> bool {
    let from = compacted(acked) + 1;
    found.range(from..).eq(again.range(from..))
}

/// All that was acknowledged is there; what else is there was appended; and there is no gap, but that
/// `SkipDamaged` may leave one behind the last acknowledged record.
pub(crate) fn is_sound(found: &Found, acked: &[Acked], mode: RecoveryMode) -> Result<(), String> {
    let compacted = compacted(acked);
    let first = found.first_key_value().map_or(0, |(first, _)| *first);
    for Acked {
        sequence, payload, ..
    } in acked
    {
        if *payload == 0 || (*sequence <= compacted && *sequence < first) {
            continue;
        }
        match found.get(sequence) {
            Some(there) if there == payload => {}
            there => {
                return Err(format!(
                    "record {sequence} was acknowledged with payload {payload}; there is {there:?}"
                ));
            }
        }
    }
    let is_whole = (first..)
        .zip(found.keys())
        .all(|(expected, at)| expected == *at);
    if !is_whole && mode != RecoveryMode::SkipDamaged {
        return Err(format!("there is a gap in {found:?}"));
    }
    Ok(())
}

pub(crate) const MODES: [RecoveryMode; 4] = [
    RecoveryMode::TornTail,
    RecoveryMode::PointInTime,
    RecoveryMode::SkipDamaged,
    RecoveryMode::Strict,
];

/// Opens a copy of the disk in one mode; answers the copy as it is then, and what is in the journal.
/// `None` if `Strict` refuses, which it may do after any crash.
pub(crate) fn opened(
    disk: &FaultyStorage,
    mode: RecoveryMode,
) -> Result<Option<(FaultyStorage, Found)>, String> {
    let copy = disk.after_kill();
    let clock = Clock::manual().clock();
    let config = config(SyncPolicy::Always, mode).segment_bytes(1_024);
    let (journal, report) = match open(&copy, config, &clock) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { .. }) if mode == RecoveryMode::Strict => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", mode.name())),
    };
    let found = read(&journal).map_err(|why| format!("{}: {why}", mode.name()))?;
    let last = found.last_key_value().map_or(0, |(last, _)| *last);
    if report.records - report.dropped != found.len() as u64 || report.last_sequence < last {
        return Err(format!("{}: found {found:?}, told {report:?}", mode.name()));
    }
    // As it is while the journal is open: a crash now is one of a journal that serves.
    let open = copy.after_kill();
    drop(journal);
    Ok(Some((open, found)))
}

/// Opens in these modes; what is served then survives a power cut at once.
pub(crate) fn check(
    disk: &FaultyStorage,
    acked: &[Acked],
    modes: &[RecoveryMode],
    deep: bool,
) -> Result<(), String> {
    for &mode in modes {
        let Some((open, found)) = opened(disk, mode)? else {
            continue;
        };
        is_sound(&found, acked, mode).map_err(|why| format!("{}: {why}", mode.name()))?;
        if !deep {
            continue;
        }
        for left in open.after_power_cut() {
            match opened(&left, mode)? {
                None => return Err("strict refuses what it opened, after a power cut".to_owned()),
                Some((_, again)) if is_same(&found, &again, acked) => {}
                Some((_, again)) => {
                    return Err(format!(
                        "{}: served {found:?}, and after a power cut {again:?}",
                        mode.name()
                    ));
                }
            }
        }
    }
    Ok(())
}
