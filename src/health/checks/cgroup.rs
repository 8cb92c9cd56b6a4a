//! How much memory a control group leaves to this process, on Linux.
//!
//! The libraries that tell this read the group at the top of what is mounted. That is right inside a
//! container, where the own group stands there, and wrong for a service of systemd, whose group is
//! further down; and they count the pages of files that the kernel holds for as long as nobody needs
//! the room, so that a process which reads a large file seems to be full.

use std::fs::read_to_string;
use std::path::{Component, Path, PathBuf};

/// What is used, and of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used: u64,
    pub(super) whole: u64,
}

impl Memory {
    /// Whether a larger share of it is used.
    fn is_fuller_than(self, other: Self) -> bool {
        let cross = |a: Self, b: Self| u128::from(a.used) * u128::from(b.whole);
        cross(self, other) > cross(other, self)
    }
}

/// The files of one version of control groups.
struct Files {
    /// Where their groups are mounted.
    mounts: &'static [&'static str],
    limit: &'static str,
    usage: &'static str,
    /// The pages of files that are given up first, in `memory.stat`.
    inactive: &'static str,
}

const V2: Files = Files {
    // The second where both versions are in use.
    mounts: &["sys/fs/cgroup", "sys/fs/cgroup/unified"],
    limit: "memory.max",
    usage: "memory.current",
    inactive: "inactive_file",
};

const V1: Files = Files {
    mounts: &["sys/fs/cgroup/memory"],
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
};

/// The fullest of the groups that this process is in and that have a limit below `machine`, the
/// memory of the machine (0: not known); `None` if none has.
///
/// A limit of any group above the own one holds, too. `root` is `/`.
pub(super) fn memory(root: &Path, machine: u64) -> Option<Memory> {
    let mut fullest: Option<Memory> = None;
    let own = read_to_string(root.join("proc/self/cgroup")).ok()?;
    for (files, group) in own.lines().filter_map(group) {
        for mount in files.mounts {
            let mount = root.join(mount);
            // Upwards: in a container the path may be that outside of it, of which only the top is
            // mounted, as the container's own group.
            for group in group.ancestors() {
                let found = files.read(&mount.join(group), machine);
                if let Some(found) = found {
                    if fullest.is_none_or(|fullest| found.is_fuller_than(fullest)) {
                        fullest = Some(found);
                    }
                }
            }
        }
    }
    fullest
}

/// A line of `/proc/self/cgroup`, `number:controllers:path`.
fn group(line: &str) -> Option<(&'static Files, PathBuf)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let files = if controllers.split(',').any(|name| name == "memory") {
        &V1
    } else if number == "0" && controllers.is_empty() {
        &V2
    } else {
        return None;
    };
    // Relative to the mount, and never out of it: a group outside of the namespace shows as `/../x`.
    let inside = Path::new(path)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    Some((files, inside.collect()))
}

impl Files {
    /// `None`: there is no such group, or no limit of it.
    fn read(&self, group: &Path, machine: u64) -> Option<Memory> {
        let number = |file| {
            let text = read_to_string(group.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        // "max" is no number, and the first version writes a number that no machine has.
        let whole = number(self.limit)?;
        let usage = number(self.usage)?;
        let no_limit = if machine == 0 { 1 << 62 } else { machine };
        (whole < no_limit).then(|| Memory {
            used: usage.saturating_sub(self.inactive(group)),
            whole,
        })
    }

    fn inactive(&self, group: &Path) -> u64 {
        let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
        let value = |line: &str| line.strip_prefix(self.inactive)?.trim().parse().ok();
        stat.lines().find_map(value).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MB: u64 = 1 << 20;

    /// A machine of 8 GB with these files.
    fn told(files: &[(&str, &str)]) -> Option<Memory> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        memory(root.path(), 8_192 * MB)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is found")]
    const fn of(used: u64, whole: u64) -> Option<Memory> {
        Some(Memory { used, whole })
    }

    #[test]
    fn a_container_of_the_second_version_has_its_limit_at_the_top() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "900\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 200\ninactive_file_x 7\ninactive_file 650\nactive_file 50\n",
            ),
        ];
        assert_eq!(told(&files), of(250, 1000), "files do not count");
        assert_eq!(told(&files[..3]), of(900, 1000));
        assert_eq!(told(&files[..2]), None, "half of it is nothing");
        assert_eq!(told(&files[1..]), None);
    }

    #[test]
    fn a_service_of_systemd_has_its_limit_further_down() {
        let unit = |file| format!("sys/fs/cgroup/system.slice/shop.service/{file}");
        let (max, current) = (unit("memory.max"), unit("memory.current"));
        let slice = "sys/fs/cgroup/system.slice/memory.max";
        let of_slice = "sys/fs/cgroup/system.slice/memory.current";
        let own = ("proc/self/cgroup", "0::/system.slice/shop.service\n");
        let files = [own, (&max, "1000\n"), (&current, "100\n")];
        assert_eq!(told(&files), of(100, 1000));
        // One of all in the slice holds, too, and it is nearer.
        let both = [&files[..], &[(slice, "5000"), (of_slice, "4000")]].concat();
        assert_eq!(told(&both), of(4000, 5000));
        // Without one of its own.
        let none = [own, (&max, "max\n"), (&current, "100\n")];
        assert_eq!(told(&none), None);
        let slice_only = [&none[..], &[(slice, "5000"), (of_slice, "4000")]].concat();
        assert_eq!(told(&slice_only), of(4000, 5000));
    }

    #[test]
    fn the_first_version_says_a_number_for_no_limit() {
        let own = "7:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n";
        let group = "sys/fs/cgroup/memory/docker/abc/";
        for (at, is_seen) in [
            (group, true),
            ("sys/fs/cgroup/memory/", true),
            ("sys/fs/cgroup/cpu/", false),
        ] {
            let path = |file: &str| format!("{at}{file}");
            let (limit, usage) = (path("memory.limit_in_bytes"), path("memory.usage_in_bytes"));
            let stat = path("memory.stat");
            let with = |limited| {
                told(&[
                    ("proc/self/cgroup", own),
                    (&limit, limited),
                    (&usage, "600\n"),
                    (&stat, "inactive_file 1\ntotal_inactive_file 400\n"),
                ])
            };
            assert_eq!(
                with("1000\n"),
                is_seen.then_some(Memory {
                    used: 200,
                    whole: 1000
                })
            );
            assert_eq!(with("9223372036854771712\n"), None);
        }
    }

    #[test]
    fn what_makes_no_sense_is_no_limit() {
        let max = "sys/fs/cgroup/memory.max";
        let current = "sys/fs/cgroup/memory.current";
        for own in ["", "x", "0", "0:", "1::/", "1:name=systemd:/"] {
            let files = [("proc/self/cgroup", own), (max, "10"), (current, "5")];
            assert_eq!(told(&files), None, "{own:?}");
        }
        // Out of the mount there is nothing to read.
        let outside = [
            ("proc/self/cgroup", "0::/../../../etc\n"),
            ("sys/fs/cgroup/etc/memory.max", "10"),
            ("sys/fs/cgroup/etc/memory.current", "5"),
        ];
        assert_eq!(told(&outside), of(5, 10));
        for (limit, usage) in [
            ("", "5"),
            ("-1", "5"),
            ("10", ""),
            ("99999999999999999999", "5"),
        ] {
            let own = ("proc/self/cgroup", "0::/\n");
            assert_eq!(told(&[own, (max, limit), (current, usage)]), None);
        }
        // A limit of nothing is one: everything is used.
        let none = [("proc/self/cgroup", "0::/"), (max, "0"), (current, "0")];
        assert_eq!(told(&none), of(0, 0));
    }
}
