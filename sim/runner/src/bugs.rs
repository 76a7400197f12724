//! The bug bank as far as this version can put bugs back: who finds each, and within how many seeds.

mod bank;

use std::fmt;

pub use bank::BANK;

/// What has to find a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// A scenario by name, from seed 1.
    Scenario { name: &'static str, seeds: u64 },
    /// A Stateright model by name.
    Model(&'static str),
}

impl fmt::Display for Finder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finder::Scenario { name, seeds } => formatter.pad(&format!("{name} x {seeds}")),
            Finder::Model(name) => formatter.pad(&format!("model {name}")),
        }
    }
}

/// A known bug with its finders: each of them has to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// As the code marks it.
    pub mutant: &'static str,
    pub title: &'static str,
    pub finders: &'static [Finder],
    /// Why it has no finder; none if it has one.
    pub unfound: Option<&'static str>,
}

impl Bug {
    /// As the bug bank writes it.
    pub fn id(&self) -> String {
        self.mutant.replace('_', "-")
    }
}

/// Every mark `mutant!` in the code, so that a wrong id is an error and not a bug that is never found.
pub const MARKED: &[&str] = &[
    "C_02", "C_04", "C_05", "C_07", "C_08", "G_01", "G_02", "G_04", "G_05", "G_07", "G_08", "G_10",
    "G_11", "G_13", "G_14", "G_16", "G_17", "G_20", "K_01", "K_02", "K_04", "K_05", "K_07", "K_08",
    "K_10", "K_11", "K_13", "K_14", "K_16", "K_19", "K_20", "K_20b", "K_23", "K_28", "L_01",
    "L_02", "L_04", "L_05", "L_07", "L_10", "L_13", "L_14", "L_17", "L_19", "L_20", "M_02", "M_04",
    "M_05", "M_07", "M_10", "M_11", "P_01", "P_04", "P_05", "P_07", "P_08", "P_10", "P_16", "R_01",
    "R_02", "R_04", "R_05", "R_07", "R_08", "R_10", "R_11", "R_13", "R_14", "R_16", "R_17", "R_19",
    "R_20", "R_20b", "R_20c", "R_22", "R_23", "R_25", "R_26", "R_28", "R_29", "R_32", "R_35",
    "R_35b", "T_01", "T_02", "T_04", "T_07", "T_08", "T_10", "T_11", "T_13", "T_14", "T_16",
    "T_17", "T_19", "T_20", "T_22", "T_25", "T_26", "T_28", "T_29",
];

/// The mark of an id such as R-01 or R_01.
pub fn marked(id: &str) -> Option<&'static str> {
    let wanted = id.replace('-', "_");
    MARKED
        .iter()
        .find(|mark| mark.eq_ignore_ascii_case(&wanted))
        .copied()
}
