//! Where the logs are, and on what.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use tempfile::TempDir;

pub(crate) struct Disk {
    home: PathBuf,
    /// Its name and that of its device, as the system calls them.
    pub(crate) file_system: String,
}

/// File systems that keep files in memory.
const IN_MEMORY: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];

impl Disk {
    pub(crate) fn find() -> Result<Self, Box<dyn Error>> {
        let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/target").into();
        let home: PathBuf = env::var_os("BACKSTOP_BENCH_DIR").map_or_else(default, PathBuf::from);
        fs::create_dir_all(&home)?;
        let home = home.canonicalize()?;
        let (kind, device) = mounted(&home).unwrap_or_default();
        if IN_MEMORY.contains(&kind.as_str()) {
            let home = home.display();
            return Err(format!("{home} is in memory ({kind}), where a sync does nothing; name another place with BACKSTOP_BENCH_DIR").into());
        }
        let file_system = if kind.is_empty() {
            "an unknown file system".to_owned()
        } else {
            format!("{kind} on {device}")
        };
        Ok(Self { home, file_system })
    }

    /// A new directory, which is removed again when it is dropped.
    pub(crate) fn dir(&self) -> TempDir {
        tempfile::Builder::new()
            .prefix("durable-")
            .tempdir_in(&self.home)
            .expect("a directory")
    }
}

/// Kind and device of the file system that a path is on. `None` where the system does not say.
fn mounted(path: &Path) -> Option<(String, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?;
            let mut fields = file_system.split(' ');
            let found = (fields.next()?.to_owned(), fields.next()?.to_owned());
            path.starts_with(point).then_some((point.len(), found))
        })
        // Of two on one point the later one is on top.
        .max_by_key(|(length, _)| *length)
        .map(|(_, found)| found)
}
