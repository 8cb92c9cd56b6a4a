//! The engine over files in memory, and over disks that fail.

mod attacks;
mod buffered;
mod compaction;
mod failures;
mod groups;
mod roll;
mod tasks;
