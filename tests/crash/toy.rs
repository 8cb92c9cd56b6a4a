//! A small log with every kind of sync in it, and what the harness makes of it.

use crate::harness::sweep;
use crate::trace::is_covered;
use backstop::durable::storage::faulty::{FaultyStorage, SyncKind};
use backstop::durable::storage::{Storage, StorageFile};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records in files `toy/{n}`, each with a header, which come to their names with it.
struct Toy {
    storage: Arc<dyn Storage>,
    file: Box<dyn StorageFile>,
    number: usize,
    records: Vec<Vec<u8>>,
    /// A sync that its author did not think of.
    forgets: Option<SyncKind>,
}

const HEADER: &[u8] = b"toy log ";
const DIR: &str = "toy";

fn path(number: usize) -> PathBuf {
    Path::new(DIR).join(format!("{number}"))
}

fn sum(bytes: &[u8]) -> u8 {
    let sum = bytes.iter().fold(0x5a_u8, |sum, &byte| {
        sum.rotate_left(3).wrapping_add(byte).wrapping_mul(31)
    });
    sum.max(1)
}

fn whole(file: &dyn StorageFile) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 256];
    loop {
        match file.read_at(&mut part, bytes.len() as u64)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
}

impl Toy {
    fn open(storage: Arc<dyn Storage>, forgets: Option<SyncKind>) -> io::Result<Self> {
        match storage.create_dir(Path::new(DIR)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // It may have been created by one who did not come to this.
        if forgets != Some(SyncKind::Directory) {
            storage.sync_dir(Path::new(""))?;
        }
        let names = storage.list(Path::new(DIR))?;
        if names.iter().any(|entry| entry.name == "next") {
            storage.remove(&Path::new(DIR).join("next"))?;
        }
        let mut numbers: Vec<usize> = names.iter().flat_map(|e| e.name.parse()).collect();
        numbers.sort_unstable();
        let mut records = Vec::new();
        let mut last = None;
        for &number in &numbers {
            let file = storage.open(&path(number))?;
            let bytes = whole(&*file)?;
            if bytes.get(..HEADER.len()) != Some(HEADER) {
                return Err(io::Error::other("a file without its header"));
            }
            let mut at = HEADER.len();
            while let Some(record) = record_at(&bytes[at..]) {
                records.push(record.to_vec());
                at += record.len() + 2;
            }
            if at < bytes.len() {
                if number != numbers[numbers.len() - 1] {
                    return Err(io::Error::other("damage in the middle"));
                }
                file.truncate(at as u64)?;
            }
            last = Some((file, number));
        }
        let (file, number) = match last {
            Some(last) => last,
            None => (create(&*storage, 0, forgets)?, 0),
        };
        // What was found may be there by luck. A sync that is not the first one is one of data.
        file.sync()?;
        if forgets != Some(SyncKind::Rename) {
            storage.sync_dir(Path::new(DIR))?;
        }
        Ok(Self {
            storage,
            file,
            number,
            records,
            forgets,
        })
    }

    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut record = vec![u8::try_from(payload.len()).unwrap()];
        record.extend_from_slice(payload);
        record.push(sum(payload));
        while !record.is_empty() {
            let written = self.file.append(&record)?;
            record.drain(..written);
        }
        if self.forgets != Some(SyncKind::Data) {
            self.file.sync()?;
        }
        self.records.push(payload.to_vec());
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let file = create(&*self.storage, self.number + 1, self.forgets)?;
        self.number += 1;
        self.file = file;
        Ok(())
    }
}

fn record_at(bytes: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*bytes.first()?);
    let payload = bytes.get(1..=len)?;
    (len > 0 && sum(payload) == *bytes.get(len + 1)?).then_some(payload)
}

fn create(
    storage: &dyn Storage,
    number: usize,
    forgets: Option<SyncKind>,
) -> io::Result<Box<dyn StorageFile>> {
    let next = Path::new(DIR).join("next");
    let file = storage.create_new(&next)?;
    file.append(HEADER)?;
    if forgets != Some(SyncKind::NewFile) {
        file.sync()?;
    }
    storage.rename(&next, &path(number))?;
    if forgets != Some(SyncKind::Rename) {
        storage.sync_dir(Path::new(DIR))?;
    }
    Ok(file)
}

fn payload(number: usize) -> Vec<u8> {
    // One that stands in no other, and now and then lies over the border of a sector.
    let mut payload = format!("record {number:03}").into_bytes();
    payload.resize(
        40 + number * 37 % 200,
        b'a' + u8::try_from(number % 26).unwrap(),
    );
    payload
}

/// A scripted run; answers what was acknowledged, and after how many calls.
fn script(disk: &FaultyStorage, forgets: Option<SyncKind>) -> Vec<(usize, u64)> {
    let mut acked = Vec::new();
    let mut run = || -> io::Result<()> {
        for opening in 0..2 {
            let mut toy = Toy::open(Arc::new(disk.clone()), forgets)?;
            for number in opening * 5..(opening + 1) * 5 {
                toy.append(&payload(number))?;
                acked.push((number, disk.calls()));
                if number % 3 == 1 {
                    toy.roll()?;
                }
            }
        }
        Ok(())
    };
    let _stopped = run();
    acked
}

/// What opens is what was acknowledged, and at most the one record more that was under way.
fn check(disk: &FaultyStorage, acked: usize) -> Result<(), String> {
    let toy = Toy::open(Arc::new(disk.clone()), None).map_err(|error| error.to_string())?;
    let found = toy.records.len();
    let is_sound = (0..found).all(|number| toy.records[number] == payload(number));
    if !is_sound {
        return Err(format!("of {found} records some are not what was appended"));
    }
    if found < acked || found > acked + 1 {
        return Err(format!(
            "{acked} records were acknowledged, and {found} found"
        ));
    }
    Ok(())
}

fn swept(name: &str, start: &FaultyStorage, forgets: Option<SyncKind>) -> crate::harness::Sweep {
    sweep(
        name,
        start,
        |disk| script(disk, forgets).into_iter().map(|(n, _)| n).collect(),
        |image, acked: &[usize]| {
            check(&image.disk, acked.len())?;
            if !image.is_extreme() {
                return Ok(());
            }
            image.reopen(
                |disk| {
                    let _stopped = Toy::open(Arc::new(disk.clone()), forgets);
                },
                |disk| check(disk, acked.len()),
            )
        },
    )
}

#[test]
fn a_sound_log_holds_at_every_crash() {
    let images = swept("toy", &FaultyStorage::new(), None).holds();
    assert!(images > 500, "{images}");
}

#[test]
fn a_log_that_forgets_a_kind_of_sync_is_found_out() {
    for kind in SyncKind::ALL {
        let name = format!("toy that forgets {kind:?}");
        let broken = swept(&name, &FaultyStorage::new(), Some(kind)).fails();
        // A kill loses nothing that was written, so it tells nothing about syncs.
        assert!(broken.contains("PowerCut"), "{broken}");
    }
}

#[test]
fn a_storage_that_ignores_a_kind_of_sync_is_found_out() {
    for kind in SyncKind::ALL {
        let name = format!("toy, {kind:?} ignored");
        let broken = swept(&name, &FaultyStorage::new().ignoring(kind), None).fails();
        assert!(broken.contains("PowerCut"), "{broken}");
    }
}

#[test]
fn the_trace_of_a_sound_log_covers_each_acknowledgement() {
    let disk = FaultyStorage::new();
    let acked = script(&disk, None);
    assert_eq!(acked.len(), 10);
    for (number, calls) in acked {
        is_covered(&disk, &payload(number), calls).unwrap();
        // Before its own sync it is not.
        is_covered(&disk, &payload(number), calls - 1).unwrap_err();
    }
}

#[test]
fn the_trace_of_a_log_that_forgets_a_sync_does_not() {
    for kind in [SyncKind::Data, SyncKind::Rename] {
        let disk = FaultyStorage::new();
        let acked = script(&disk, Some(kind));
        let covered = |(number, calls): &(usize, u64)| is_covered(&disk, &payload(*number), *calls);
        assert!(
            acked.iter().any(|acked| covered(acked).is_err()),
            "{kind:?}"
        );
    }
}
