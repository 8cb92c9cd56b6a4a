//! Paths of the storages that are no file system.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

/// The path from the root, without detours; the root itself is the empty path.
pub(super) fn named(path: &Path) -> PathBuf {
    let mut named = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => named.push(name),
            Component::ParentDir => {
                named.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    named
}

/// The directory a path is in; that of the root is the root.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// What is right inside a directory: names and values.
pub(super) fn inside<'a, T>(
    nodes: &'a BTreeMap<PathBuf, T>,
    dir: &'a Path,
) -> impl Iterator<Item = (String, &'a T)> {
    // All that is below a directory follows it in the order of paths.
    nodes
        .range::<Path, _>((Bound::Excluded(dir), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(dir))
        .filter(move |(path, _)| parent(path) == dir)
        .filter_map(|(path, node)| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, node))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_from_the_root() {
        for (path, expected) in [
            ("", ""),
            ("/", ""),
            (".", ""),
            ("a", "a"),
            ("/a//b/.", "a/b"),
            ("a/../../b", "b"),
        ] {
            assert_eq!(named(Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn what_is_inside_is_one_level_below() {
        let paths = ["a", "a.b", "a/x", "a/x/deep", "a/y", "a-", "b/z"];
        let nodes: BTreeMap<PathBuf, u8> = paths.map(|path| (path.into(), 0)).into();
        let names = |dir: &str| -> Vec<String> {
            inside(&nodes, Path::new(dir))
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(names("a"), ["x", "y"]);
        assert_eq!(names(""), ["a", "a-", "a.b"]);
        assert_eq!(names("a/x"), ["deep"]);
        assert_eq!(names("c"), [""; 0]);
    }
}
