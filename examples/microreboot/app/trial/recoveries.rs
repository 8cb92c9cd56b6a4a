//! The records of the server's manager, told what the experimenter knows beside them, as a report.

use super::outcome::Outcome;
use backstop::observe::report::{Observation, RecoveryReport};
use backstop::supervise::microreboot::{CallsSeen, RebootRecord};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What was recorded, and the time in which it was; in microseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Recoveries {
    pub(crate) records: Vec<RebootRecord>,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

impl Recoveries {
    /// The figures, with each record's onset at its fault, the calls as the load generator saw them, and
    /// whether there was a fault at all. A figure takes `min_samples`.
    pub(crate) fn report(
        &self,
        outcomes: &[Outcome],
        min_samples: u64,
    ) -> Result<RecoveryReport, backstop::ConfigError> {
        let records = self.records.iter().map(|record| {
            let mut record = record.clone();
            let before = |outcome: &&Outcome| time(outcome.times.injected) <= record.began;
            if let Some(outcome) = outcomes.iter().rfind(before) {
                let (all, bad) = outcome.during;
                record.onset = time(outcome.times.injected);
                record.was_clear = Some(outcome.times.fault.is_benign());
                record.calls = Some(CallsSeen { bad, all });
            }
            record
        });
        let window = Observation::new(time(self.from), time(self.until))?.min_samples(min_samples);
        Ok(RecoveryReport::over(&window, records))
    }
}

fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros)
}
