//! Totals as JSON, for ZooKeeper and for what a state folder takes over from it.

use std::collections::BTreeMap;

use mesos::v1::TaskState;
use serde::{Deserialize, Serialize};
use task::Totals;

use crate::journal::{LedgerLine, RetiredTasks, TaskNumberSet};

/// Totals. The 128-bit sums are text: not every reader of JSON has such numbers. What is absent is zero; what is there
/// and is no number is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TotalsJson {
    #[serde(with = "decimal")]
    hashes: u128,
    #[serde(with = "decimal")]
    accepted_work: u128,
    accepted: u64,
    rejected: u64,
    stale: u64,
    unanswered: u64,
    blocks: u64,
}

impl From<Totals> for TotalsJson {
    fn from(totals: Totals) -> Self {
        let Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks } = totals;
        TotalsJson { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks }
    }
}

impl From<TotalsJson> for Totals {
    fn from(totals: TotalsJson) -> Self {
        let TotalsJson { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks } = totals;
        Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks }
    }
}

/// A number of 128 bits as text.
mod decimal {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(number: &u128, to: S) -> Result<S::Ok, S::Error> {
        number.to_string().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"a sum in decimal digits"))
    }
}

/// Both columns of accounts that are not kept apart, and their blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SumJson {
    #[serde(default)]
    worker: TotalsJson,
    #[serde(default)]
    pool: TotalsJson,
    #[serde(default)]
    blocks: u64,
}

impl From<(LedgerLine, u64)> for SumJson {
    fn from((line, blocks): (LedgerLine, u64)) -> Self {
        SumJson { worker: line.worker.into(), pool: line.pool.into(), blocks }
    }
}

impl From<SumJson> for (LedgerLine, u64) {
    fn from(sum: SumJson) -> Self {
        (LedgerLine { worker: sum.worker.into(), pool: sum.pool.into() }, sum.blocks)
    }
}

/// What is left of tasks that retired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetiredJson {
    done: TaskNumberSet,
    lost: TaskNumberSet,
    /// By Mesos' names of the states.
    states: BTreeMap<StateName, u64>,
}

impl From<RetiredTasks> for RetiredJson {
    fn from(retired: RetiredTasks) -> Self {
        let RetiredTasks { done, lost, states } = retired;
        let states = states.into_iter().map(|(state, count)| (StateName(state), count)).collect();
        RetiredJson { done, lost, states }
    }
}

impl From<RetiredJson> for RetiredTasks {
    fn from(retired: RetiredJson) -> Self {
        let RetiredJson { done, lost, states } = retired;
        let states = states.into_iter().map(|(StateName(state), count)| (state, count)).collect();
        RetiredTasks { done, lost, states }
    }
}

/// A state by Mesos' name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StateName(pub TaskState);

impl From<StateName> for String {
    fn from(StateName(state): StateName) -> Self {
        state.as_str_name().to_owned()
    }
}

impl TryFrom<String> for StateName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let state = TaskState::from_str_name(&name);
        state.map(StateName).ok_or_else(|| format!("unknown task state {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_zero_and_what_is_no_number_is_an_error() {
        let read = |text: &str| serde_json::from_str::<TotalsJson>(text);
        assert_eq!(read("{}").unwrap(), TotalsJson::default());
        assert_eq!(read(r#"{"hashes":"12","blocks":3}"#).unwrap().hashes, 12);
        for broken in [r#"{"hashes":""}"#, r#"{"hashes":"1x"}"#, r#"{"hashes":7}"#, r#"{"accepted":-1}"#] {
            assert!(read(broken).is_err(), "{broken}");
        }
        let error = read(r#"{"accepted_work":"twelve"}"#).unwrap_err().to_string();
        assert!(error.contains("twelve") && error.contains("a sum in decimal digits"), "{error}");
        assert!(serde_json::from_str::<RetiredJson>(r#"{"states":{"TASK_SLEEPING":1}}"#).is_err());
    }
}
