//! Checks of what this machine has left.

use super::cgroup::{self, Memory};
use crate::health::check::{Check, Finding, Level};
use crate::kernel::name::Name;
use crate::kernel::ratio::Ratio;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// A check that fails if less than `least` bytes are free, for this process's user, on the file system that
/// holds `path`. Its value is the free bytes. A path that cannot be read is an error.
pub fn disk_space(
    name: impl Into<Name>,
    level: Level,
    path: impl Into<PathBuf>,
    least: u64,
) -> Check {
    let path = path.into();
    Check::blocking(name, level, move || {
        let free = fs4::available_space(&path)?;
        let finding = if free < least {
            Finding::failed(format_args!(
                "{free} bytes free at {}, and {least} are to be",
                path.display()
            ))
        } else {
            Finding::passed()
        };
        #[expect(clippy::cast_precision_loss, reason = "to be shown")]
        let value = free as f64;
        Ok::<_, io::Error>(finding.observed(value, "bytes"))
    })
}

/// A check named `memory` that fails if more than `most` of the memory is used that this process may have:
/// of its control group, or the fullest of those above it, where one has a limit, else of the machine. Its
/// value is the used share.
///
/// Pages of files that the kernel would give up first are not counted as used, as Kubernetes does it.
/// Both versions of control groups are read. Where neither they nor the machine can be read (on a platform that does not tell) it fails and says so.
pub fn memory(level: Level, most: Ratio) -> Check {
    let system = Mutex::new(System::new_with_specifics(RefreshKind::nothing()));
    Check::blocking("memory", level, move || {
        // Poisoned by a panic in the library: what it holds is read anew.
        let mut system = system
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let machine = Memory {
            used: system
                .total_memory()
                .saturating_sub(system.available_memory()),
            whole: system.total_memory(),
        };
        drop(system);
        let memory = cgroup::memory(Path::new("/"), machine.whole).unwrap_or(machine);
        Ok::<_, Infallible>(judge(memory, most))
    })
}

fn judge(memory: Memory, most: Ratio) -> Finding {
    let Memory { used, whole } = memory;
    if whole == 0 {
        return Finding::failed("how much memory there is cannot be told");
    }
    let allowed = u128::from(most.parts_per_million()) * u128::from(whole);
    let finding = if u128::from(used) * 1_000_000 > allowed {
        Finding::failed(format_args!("{used} of {whole} bytes are used"))
    } else {
        Finding::passed()
    };
    #[expect(clippy::cast_precision_loss, reason = "to be shown")]
    let share = used as f64 / whole as f64;
    finding.observed(share, "ratio")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::check::{Ending, RunResult};

    #[test]
    fn the_share_is_exact_at_the_limit() {
        let half = Ratio::new(0.5).expect("a share");
        let ending = |used, whole| RunResult::from(judge(Memory { used, whole }, half)).ending;
        assert_eq!(ending(500, 1000), Ending::Passed);
        assert_eq!(ending(501, 1000), Ending::Failed);
        assert_eq!(ending(u64::MAX / 2, u64::MAX), Ending::Passed);
        assert_eq!(ending(u64::MAX, u64::MAX), Ending::Failed);
        assert_eq!(ending(u64::MAX, 1), Ending::Failed);
        // Nothing is known, and nothing is left.
        assert_eq!(ending(0, 0), Ending::Failed);
    }
}
