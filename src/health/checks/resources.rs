//! Checks of what this machine has left.

use crate::health::check::{Check, Finding, Level};
use crate::kernel::name::Name;
use crate::kernel::ratio::Ratio;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
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
/// of its control group where that has a limit, else of the machine. Its value is the used share.
///
/// Where neither can be read (on a platform that does not tell) it fails and says so.
pub fn memory(level: Level, most: Ratio) -> Check {
    let system = Mutex::new(System::new_with_specifics(RefreshKind::nothing()));
    Check::blocking("memory", level, move || {
        // Poisoned by a panic in the library: what it holds is read anew.
        let mut system = system
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let (used, whole) = match system.cgroup_limits() {
            Some(group) if group.total_memory > 0 => (
                group.total_memory.saturating_sub(group.free_memory),
                group.total_memory,
            ),
            _ => (
                system
                    .total_memory()
                    .saturating_sub(system.available_memory()),
                system.total_memory(),
            ),
        };
        drop(system);
        Ok::<_, Infallible>(judge(used, whole, most))
    })
}

fn judge(used: u64, whole: u64, most: Ratio) -> Finding {
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
