//! What is measured.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Records that are durable on return, by so many threads at once.
    Commit { threads: usize },
    /// Records that nobody syncs.
    Append,
    /// A log of so many records, opened and read.
    Replay { records: u64 },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// criterion's group.
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) work: Work,
    /// Bytes of a record, without what a log puts around it.
    pub(crate) bytes: usize,
}

pub(crate) static ALL: [Scenario; 5] = [
    Scenario {
        name: "commit",
        text: "256 bytes, one thread, durable on return",
        work: Work::Commit { threads: 1 },
        bytes: 256,
    },
    Scenario {
        name: "commit-64",
        text: "as commit, from 64 threads at once, per record of all",
        work: Work::Commit { threads: 64 },
        bytes: 256,
    },
    Scenario {
        name: "append",
        text: "256 bytes, one thread, nobody syncs",
        work: Work::Append,
        bytes: 256,
    },
    Scenario {
        name: "replay-100b",
        text: "a log of 100 000 records of 100 bytes, opened and read, per record",
        work: Work::Replay { records: 100_000 },
        bytes: 100,
    },
    Scenario {
        name: "replay-64k",
        text: "a log of 1 000 records of 64 KiB, opened and read, per record",
        work: Work::Replay { records: 1_000 },
        bytes: 64 << 10,
    },
];
