//! Looks at a journal, and repairs it when it is told to.
//!
//!     journal_inspect DIR                     lists and verifies; changes nothing
//!     journal_inspect DIR --repair MODE       opens it in that mode: torn_tail, point_in_time or
//!                                             skip_damaged; what is changed is copied before
//!     journal_inspect                         makes a journal of its own, damages it in some ways, and
//!                                             shows what the two say
//!
//! It ends with 0 if the journal is sound (or was repaired), with 1 if it is damaged, and with 2 if it
//! cannot be looked at.

use backstop::durable::journal::{
    Inspection, Journal, JournalConfig, OpenMode, RecoveryMode, inspect,
};
use backstop::durable::storage::FsStorage;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => demo().map(|()| true),
        [dir] if !dir.starts_with('-') => show(Path::new(dir)).map(|found| found.is_clean()),
        [dir, "--repair", mode] => repair(Path::new(dir), mode).map(|()| true),
        _ => Err("usage: journal_inspect [DIR [--repair MODE]]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn show(dir: &Path) -> Result<Inspection, Box<dyn Error>> {
    let mut told = 0;
    let found = inspect(&FsStorage, dir, |progress| {
        // A line for each 256 MiB of a long journal.
        if progress.bytes >> 28 > told {
            told = progress.bytes >> 28;
            eprintln!("{} of {} bytes", progress.bytes, progress.total_bytes);
        }
    })?;
    println!("{found}");
    Ok(found)
}

fn repair(dir: &Path, mode: &str) -> Result<(), Box<dyn Error>> {
    let mode = match mode {
        "torn_tail" => RecoveryMode::TornTail,
        "point_in_time" => RecoveryMode::PointInTime,
        "skip_damaged" => RecoveryMode::SkipDamaged,
        other => return Err(format!("{other} is no mode that repairs").into()),
    };
    // It must exist: a wrong path is not to become a journal.
    let config = JournalConfig::default().recovery(mode);
    let (journal, report) = Journal::open(Arc::new(FsStorage), dir, config)?;
    println!("{report}");
    for copy in &report.quarantined {
        println!("copied before: {}", copy.display());
    }
    drop(journal);
    Ok(())
}

/// What the demonstration does to the files of a journal.
type Damage = fn(&[PathBuf]) -> std::io::Result<()>;

fn demo() -> Result<(), Box<dyn Error>> {
    let ways: [(&str, Damage, &str); 4] = [
        ("as it was left", |_| Ok(()), "torn_tail"),
        (
            "its end is torn, as by a power cut",
            |segments| {
                let bytes = fs::read(&segments[3])?;
                fs::write(&segments[3], &bytes[..bytes.len() - 20])
            },
            "torn_tail",
        ),
        (
            "a bit flipped in the middle",
            |segments| {
                let mut bytes = fs::read(&segments[1])?;
                bytes[500] ^= 1;
                fs::write(&segments[1], bytes)
            },
            "skip_damaged",
        ),
        (
            "a segment is missing",
            |segments| fs::remove_file(&segments[2]),
            "point_in_time",
        ),
    ];
    for (name, damage, mode) in ways {
        let temp = tempfile::tempdir()?;
        let dir = temp.path().join("ledger");
        let segments = make(&dir)?;
        damage(&segments)?;
        println!("\n== {name}");
        show(&dir)?;
        println!("-- repaired with {mode}");
        repair(&dir, mode)?;
        let after = show(&dir)?;
        if !after.is_clean() {
            return Err("the repair left damage".into());
        }
    }
    Ok(())
}

/// A journal of four small segments.
fn make(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let config = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .segment_bytes(1_024);
    let (journal, _) = Journal::open(Arc::new(FsStorage), dir, config)?;
    for number in 0_u32..22 {
        journal.append(number, format!("{number:0>100}").as_bytes())?;
    }
    drop(journal);
    let mut segments: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .collect();
    segments.sort();
    Ok(segments)
}
