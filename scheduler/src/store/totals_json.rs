//! The JSON form of totals, for nodes in ZooKeeper and for a table in the state folder.

use std::collections::BTreeMap;

use mesos::v1::TaskState;
use serde::{Deserialize, Serialize};
use task::Totals;

use crate::journal::{LedgerLine, RetiredTasks, TaskNumberSet};

/// The JSON of [`Totals`], for `#[serde(with = "TotalsJson")]`. The 128-bit sums are text, because many JSON readers cannot
/// represent such numbers. An absent field is zero; a field that is not a number is an error.
#[derive(Default, Serialize, Deserialize)]
#[serde(remote = "Totals", default)]
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
    candidates: u64,
    orphaned: u64,
}

/// A 128-bit number as decimal text.
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

/// A sum of many accounts: the totals that workers counted, those that pool servers counted, and the number of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SumJson {
    #[serde(default, with = "TotalsJson")]
    worker: Totals,
    #[serde(default, with = "TotalsJson")]
    pool: Totals,
    #[serde(default)]
    blocks: u64,
}

impl From<(LedgerLine, u64)> for SumJson {
    fn from((line, blocks): (LedgerLine, u64)) -> Self {
        SumJson { worker: line.worker, pool: line.pool, blocks }
    }
}

impl From<SumJson> for (LedgerLine, u64) {
    fn from(sum: SumJson) -> Self {
        (LedgerLine { worker: sum.worker, pool: sum.pool }, sum.blocks)
    }
}

/// The JSON of [`RetiredTasks`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetiredJson {
    done: TaskNumberSet,
    lost: TaskNumberSet,
    /// For each final state, the number of retired tasks that ended in it.
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

/// A task state, written as Mesos' name for it.
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
    fn an_absent_field_is_zero_and_a_field_that_is_no_number_is_an_error() {
        let read = |text: &str| TotalsJson::deserialize(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(read("{}").unwrap(), Totals::default());
        assert_eq!(read(r#"{"hashes":"12","blocks":3}"#).unwrap().hashes, 12);
        for broken in [r#"{"hashes":""}"#, r#"{"hashes":"1x"}"#, r#"{"hashes":7}"#, r#"{"accepted":-1}"#] {
            assert!(read(broken).is_err(), "{broken}");
        }
        let error = read(r#"{"accepted_work":"twelve"}"#).unwrap_err().to_string();
        assert!(error.contains("twelve") && error.contains("a sum in decimal digits"), "{error}");
        assert!(serde_json::from_str::<RetiredJson>(r#"{"states":{"TASK_SLEEPING":1}}"#).is_err());
    }
}
