//! Agents, as JSON.

use std::borrow::Cow;

use api::Listing;
use api::list::{Key, KeyOf, Row, Search};
use serde::Serialize;
use utoipa::ToSchema;

use crate::attributes::Attributes;
use crate::core::{AgentRow, AgentState};

/// An agent that has our tasks, or about which something is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct AgentJson<'a> {
    /// The agent's id; if only a name to avoid is known, that name.
    id: &'a str,
    /// The agent's host name; empty if it is not known.
    host: &'a str,
    /// The agent's attributes, as its tasks' offers had them.
    #[schema(value_type = BTreeMap<String, String>)]
    attributes: &'a Attributes,
    /// The CPUs of our tasks there.
    cpus: f64,
    /// The number of our workers there.
    workers: u64,
    /// The sum of the workers' hashrates in H/s; null if none has told it lately.
    hashrate: Option<f64>,
    /// The hashrate for each CPU of these workers, in H/s.
    hashrate_per_cpu: Option<f64>,
    /// The name of the CPU; empty if it is not known.
    cpu_model: &'a str,
    /// Whether tasks may be launched there.
    state: AgentState,
    /// Why nothing, or nothing more, is launched there.
    why: Option<&'a str>,
    /// How many launches in a row have failed there.
    failures: u32,
    /// How the last task failed there, if that was lately.
    last_failure: Option<&'a str>,
}

impl<'a> From<&'a AgentRow> for AgentJson<'a> {
    fn from(agent: &'a AgentRow) -> Self {
        Self {
            id: &agent.id,
            host: &agent.host,
            attributes: &agent.attributes,
            cpus: agent.cpus_milli as f64 / 1000.0,
            workers: agent.workers,
            hashrate: agent.hashrate,
            hashrate_per_cpu: agent.hashrate_per_cpu(),
            cpu_model: &agent.cpu_model,
            state: agent.state,
            why: agent.why.as_deref(),
            failures: agent.failures,
            last_failure: agent.last_failure.as_deref(),
        }
    }
}

impl Listing for AgentRow {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("id", |agent| agent.id.as_str().into()),
        ("host", |agent| agent.host.as_str().into()),
        ("cpus", |agent| Key::Number(agent.cpus_milli as f64)),
        ("workers", |agent| Key::Number(agent.workers as f64)),
        ("hashrate", |agent| Key::number(agent.hashrate)),
        ("hashrate_per_cpu", |agent| Key::number(agent.hashrate_per_cpu())),
        ("cpu_model", |agent| agent.cpu_model.as_str().into()),
        ("state", |agent| agent.state.name().into()),
        ("failures", |agent| Key::Number(agent.failures.into())),
    ];
}

impl Row for AgentRow {
    fn id(&self) -> Cow<'_, str> {
        self.id.as_str().into()
    }

    fn is_after(&self, id: &str) -> bool {
        self.id.as_str() > id
    }

    fn has(&self, search: Search<'_>) -> bool {
        [&self.id, &self.host, &self.cpu_model].into_iter().any(|text| search.is_in(text))
    }
}
