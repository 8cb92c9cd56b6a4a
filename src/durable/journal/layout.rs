//! The files of a journal's directory, by their names and what they say of themselves.

use super::format::{BadSegmentHeader, SEGMENT_HEADER, SegmentHeader, parse_segment_file_name};
use super::low_water::{LOW_WATER, LOW_WATER_NEW};
use super::open_error::OpenError;
use super::reserve::RESERVE;
use super::window::Window;
use crate::durable::storage::{DirEntry, Operation, Storage, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file whose lock keeps other processes out.
pub(super) const LOCK: &str = "lock";

/// The directory of what a repair has copied.
pub(super) const QUARANTINE: &str = "quarantine";

/// What the name of a segment ends with until it is whole.
pub(super) const NEW: &str = ".new";

/// Files of these names are the journal's, whatever it keeps in them.
const OWN: [&str; 4] = [LOCK, LOW_WATER, LOW_WATER_NEW, RESERVE];

/// Which segment it is: as its header says, or its name if the header is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) salt: u64,
}

/// The file of a segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentFile {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) identity: Identity,
    pub(super) header: Result<SegmentHeader, BadSegmentHeader>,
}

/// What is in the directory.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By epoch, first sequence and length.
    pub(super) segments: Vec<SegmentFile>,
    /// Segments that were not whole when their process ended: nothing depends on them.
    pub(super) unfinished: Vec<PathBuf>,
    /// Names that are not the journal's, and copies of segments.
    pub(super) foreign: Vec<PathBuf>,
}

impl From<&SegmentHeader> for Identity {
    fn from(header: &SegmentHeader) -> Self {
        Self {
            epoch: header.epoch,
            first: header.first_sequence,
            salt: header.salt,
        }
    }
}

impl Identity {
    /// Epochs and sequences begin at 1.
    const fn is_possible(self) -> bool {
        self.epoch > 0 && self.first > 0
    }
}

/// Looks at every file that bears the name of a segment.
pub(super) fn look(
    storage: &dyn Storage,
    dir: &Path,
    entries: Vec<DirEntry>,
) -> Result<Layout, OpenError> {
    let mut layout = Layout::default();
    for entry in entries {
        let path = dir.join(&entry.name);
        let unfinished = entry.name.strip_suffix(NEW);
        if !entry.is_dir && unfinished.and_then(parse_segment_file_name).is_some() {
            layout.unfinished.push(path);
        } else if let Some((epoch, first, salt)) = parse_segment_file_name(&entry.name) {
            if entry.is_dir {
                return Err(OpenError::NotAFile { path });
            }
            let named = Identity { epoch, first, salt };
            match look_at(storage, path, named)? {
                Ok(segment) => layout.segments.push(segment),
                Err(path) => layout.foreign.push(path),
            }
        } else {
            let is_own = OWN.contains(&&*entry.name) || (entry.is_dir && entry.name == QUARANTINE);
            if !is_own {
                layout.foreign.push(path);
            }
        }
    }
    take_copies_out(&mut layout);
    layout
        .segments
        .sort_by_key(|segment| (segment.identity.epoch, segment.identity.first, segment.len));
    Ok(layout)
}

/// A segment, or the path of what can be none.
fn look_at(
    storage: &dyn Storage,
    path: PathBuf,
    named: Identity,
) -> Result<Result<SegmentFile, PathBuf>, OpenError> {
    let file = storage
        .open(&path)
        .map_err(StorageError::at(Operation::Open, &path))?;
    let len = file
        .len()
        .map_err(StorageError::at(Operation::Read, &path))?;
    let looked_at = len.min(SEGMENT_HEADER as u64);
    let mut window = Window::new(Arc::from(file), path.clone(), looked_at, Vec::new());
    let header = SegmentHeader::decode(window.at(0, SEGMENT_HEADER)?);
    if let Err(BadSegmentHeader::Version(version)) = header {
        return Err(OpenError::Version { path, version });
    }
    let header = header.and_then(|header| {
        let is_possible = Identity::from(&header).is_possible();
        is_possible
            .then_some(header)
            .ok_or(BadSegmentHeader::Checksum)
    });
    let identity = header.as_ref().map_or(named, Identity::from);
    if !identity.is_possible() {
        return Ok(Err(path));
    }
    Ok(Ok(SegmentFile {
        path,
        len,
        identity,
        header,
    }))
}

/// Of files that say they are the same segment, the one that bears its name is it.
fn take_copies_out(layout: &mut Layout) {
    let has_its_name = |segment: &SegmentFile| {
        let name = segment.header.as_ref().map(SegmentHeader::file_name);
        let is = segment.path.file_name().and_then(|name| name.to_str());
        name.ok().as_deref() == is
    };
    layout
        .segments
        .sort_by_key(|segment| (segment.identity, !has_its_name(segment)));
    let mut last = None;
    let mut kept = Vec::new();
    for segment in layout.segments.drain(..) {
        if last == Some(segment.identity) {
            layout.foreign.push(segment.path);
        } else {
            last = Some(segment.identity);
            kept.push(segment);
        }
    }
    layout.segments = kept;
}
