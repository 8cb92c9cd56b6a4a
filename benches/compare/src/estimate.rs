//! criterion's own estimates, as it wrote them.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

/// Named here, so that a table reads what its run wrote whatever the environment says.
pub(crate) const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/criterion");

#[derive(Clone, Copy)]
pub(crate) struct Estimate {
    pub(crate) ns: f64,
    /// Half of the confidence interval, as a part of the estimate.
    pub(crate) error: f64,
}

impl Estimate {
    /// The slope where criterion fitted one, else the mean; refused if it is not of this run.
    pub(crate) fn read(
        group: &str,
        name: &str,
        started: SystemTime,
    ) -> Result<Self, Box<dyn Error>> {
        let path = PathBuf::from_iter([OUTPUT, group, name, "new", "estimates.json"]);
        if fs::metadata(&path)?.modified()? < started {
            return Err("the estimate is of an earlier run".into());
        }
        let all: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let estimate = if all["slope"].is_null() {
            &all["mean"]
        } else {
            &all["slope"]
        };
        let number = |value: &Value| {
            value
                .as_f64()
                .ok_or("criterion's file has another form than expected")
        };
        let ns = number(&estimate["point_estimate"])?;
        let interval = &estimate["confidence_interval"];
        let width = number(&interval["upper_bound"])? - number(&interval["lower_bound"])?;
        Ok(Self {
            ns,
            error: width / 2.0 / ns,
        })
    }
}
