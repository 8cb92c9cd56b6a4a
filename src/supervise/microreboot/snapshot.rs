//! The state of a manager as a value.

use std::fmt;

/// What a manager knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MicrorebootSnapshot {
    /// Its name.
    pub name: String,
    /// In the order in which they were added.
    pub components: Vec<ComponentSnapshot>,
    /// Nothing new begins: there is a storm, or its cool-down.
    pub is_storm: bool,
    /// The process was told to end.
    pub is_exiting: bool,
    /// How many records there were, those that are no longer kept included.
    pub recorded: u64,
}

/// What it knows of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
#[non_exhaustive]
pub struct ComponentSnapshot {
    /// Its id.
    pub id: String,
    /// Which start the present one is; 0 before the first.
    pub incarnation: u64,
    /// What its own check said last.
    pub check: Option<bool>,
    /// It was reported, and has not been cured since.
    pub is_reported: bool,
    /// A human was told, and has not acknowledged.
    pub is_held: bool,
    /// A reboot that takes it along waits for its turn.
    pub is_waiting: bool,
    /// A reboot that takes it along is under way.
    pub is_rebooting: bool,
    /// How often it was cured in this process.
    pub cures: u64,
}

impl fmt::Display for MicrorebootSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.is_storm {
            f.write_str(", storm")?;
        }
        if self.is_exiting {
            f.write_str(", exiting")?;
        }
        for component in &self.components {
            let state = match component {
                it if it.is_rebooting => "rebooting",
                it if it.is_held => "held",
                it if it.is_waiting => "waiting",
                it if it.is_reported || it.check == Some(false) => "failing",
                _ => "well",
            };
            let ComponentSnapshot {
                id, incarnation, ..
            } = component;
            write!(f, "\n  {id} #{incarnation} {state}")?;
        }
        Ok(())
    }
}
