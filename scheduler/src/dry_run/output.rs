//! Prints a forecast: a table for people, or one line of JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use command_line::{pluralize, print_result};
use serde::Serialize;
use text::escape_json;

use super::forecast::{AgentForecast, Forecast, Limit, Offered, TaskForecast, WhyNot};
use crate::offers::{DeclineReason, Demand, UnusedAgent};
use crate::task_id::TaskKind;

/// The table has at most this many rows. The JSON output always lists all agents.
const ROWS: usize = 50;
/// Agents with equal offers and equal planned tasks share one row. A row has at most this many host names.
const NAMED: usize = 3;
/// The maximum number of characters of a host name in the table.
const MAX_HOST: usize = 40;

/// Prints the forecast on standard output. A closed pipe is not an error, because its reader wants no more output.
///
/// # Errors
/// If standard output cannot be written to.
pub(super) fn print(forecast: &Forecast, json: bool) -> anyhow::Result<()> {
    if json { print_result(json_line(forecast)?) } else { print_result(forecast) }
}

impl Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.agents.is_empty() {
            f.write_str("nothing would be launched: no offers came within 5 s")?;
            return match &self.no_offers {
                Some(problem) => write!(f, "; {problem}"),
                None => not_asked_for(f, self),
            };
        }
        table(f, self)?;
        writeln!(f, "{}", summary(self))?;
        if let Some(limit) = self.limit.filter(|_| !self.server_missing) {
            writeln!(f, "no further worker: {limit}")?;
        }
        let unused = unused(self);
        if !unused.is_empty() {
            let kinds: Vec<_> = unused.iter().map(|it| format!("{} ({})", it.agents, it.reason)).collect();
            writeln!(f, "unused agents: {}", kinds.join(", "))?;
        }
        f.write_str(
            "what other frameworks hold now, also a running mesos-miner, is not offered and not in this plan",
        )?;
        not_asked_for(f, self)
    }
}

/// Adds which options would bring more offers.
fn not_asked_for(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    if forecast.not_asked_for.is_empty() {
        return Ok(());
    }
    let agents: Vec<_> = forecast.not_asked_for.iter().map(ToString::to_string).collect();
    write!(f, "; masters normally offer {}", agents.join(", and "))
}

/// The main line: what would be launched in all.
fn summary(forecast: &Forecast) -> String {
    let agents = pluralize(forecast.agents.len(), "agent");
    if forecast.server_missing {
        let workers = pluralize(forecast.workers_with_server, "worker");
        return format!(
            "nothing would be launched: none of {agents} can run the server; with one, {workers} would be launched"
        );
    }
    if forecast.is_empty() {
        return format!("nothing would be launched on {agents}");
    }
    let servers = match forecast.count(TaskKind::Server) {
        0 => String::new(),
        count => format!("{} and ", pluralize(count, "server")),
    };
    format!(
        "would launch {servers}{} with {} CPU on {} of {agents}",
        pluralize(forecast.count(TaskKind::Worker), "worker"),
        cpus(forecast.cpus_milli()),
        forecast.used_agents(),
    )
}

/// A reason why nothing would be launched on some agents, and the number of these agents.
#[derive(Debug, Serialize)]
struct UnusedAgents {
    reason: &'static str,
    agents: usize,
}

/// For each kind of reason, the number of agents that are unused for it. The most frequent kind comes first.
fn unused(forecast: &Forecast) -> Vec<UnusedAgents> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for agent in forecast.agents.iter().filter(|agent| agent.tasks.is_empty()) {
        *kinds.entry(agent.why_not.as_ref().map_or("not needed", kind)).or_default() += 1;
    }
    let mut unused: Vec<_> =
        kinds.into_iter().map(|(reason, agents)| UnusedAgents { reason, agents }).collect();
    unused.sort_by_key(|it| std::cmp::Reverse(it.agents));
    unused
}

/// The kind of a reason, in a few words.
fn kind(why_not: &WhyNot) -> &'static str {
    match why_not {
        WhyNot::Declined(DeclineReason::NoServer { .. }) => "too small for the server",
        WhyNot::Declined(DeclineReason::NoWorker { .. }) => "too small for a worker",
        WhyNot::Declined(DeclineReason::Constraint(Demand::Server { .. }, _)) => "--server-constraint",
        WhyNot::Declined(DeclineReason::Constraint(..)) => "--constraint",
        WhyNot::Declined(DeclineReason::Avoided) => "avoided",
        WhyNot::Declined(DeclineReason::Leaving(_)) => "maintenance",
        WhyNot::Declined(DeclineReason::Paused(_)) => "failures",
        WhyNot::Limit(_) => "a limit is reached",
    }
}

fn table(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    let groups = groups(forecast);
    let mut rows = vec![["agent".to_owned(), "offered".to_owned(), "would launch".to_owned()]];
    rows.extend(groups.iter().take(ROWS).map(|group| row(group)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    for [agent, offered, launched] in &rows {
        writeln!(f, "{agent:first$}  {offered:second$}  {launched}")?;
    }
    if let Some(more) = groups.get(ROWS..).filter(|more| !more.is_empty()) {
        let agents: usize = more.iter().map(Vec::len).sum();
        writeln!(f, "and {}, which --json lists", pluralize(agents, "agent"))?;
    }
    Ok(())
}

/// Groups of agents that are equal but for their names. The group with the server comes first, then the groups with workers.
fn groups(forecast: &Forecast) -> Vec<Vec<&AgentForecast>> {
    type Key<'a> = (bool, Offered, &'a [TaskForecast], Option<&'a WhyNot>);
    let mut groups: BTreeMap<Key<'_>, Vec<&AgentForecast>> = BTreeMap::new();
    for agent in &forecast.agents {
        let key = (agent.tasks.is_empty(), agent.offered, &agent.tasks[..], agent.why_not.as_ref());
        groups.entry(key).or_default().push(agent);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| {
        let tasks = &group[0].tasks;
        let has_server = tasks.iter().any(|task| task.kind == TaskKind::Server);
        (!has_server, tasks.is_empty(), std::cmp::Reverse(group.len()), &group[0].host)
    });
    groups
}

fn row(group: &[&AgentForecast]) -> [String; 3] {
    let agent = group[0];
    let hosts = hosts(group);
    let mut parts: Vec<String> = tasks(&agent.tasks);
    parts.extend(agent.why_not.as_ref().map(|why| text(why, &hosts)));
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    let each = if group.len() > 1 { "each " } else { "" };
    [hosts, format!("{each}{}", agent.offered), parts.join("; ")]
}

/// At most [`NAMED`] host names of a group's agents, and the number of agents with other host names. Agents on one machine have
/// the same host name.
fn hosts(group: &[&AgentForecast]) -> String {
    let mut hosts: Vec<(&str, usize)> = Vec::new();
    for agent in group {
        match hosts.iter().position(|(host, _)| *host == agent.host) {
            Some(known) => hosts[known].1 += 1,
            None if hosts.len() < NAMED => hosts.push((&agent.host, 1)),
            None => {}
        }
    }
    let name = |(host, agents): &(&str, usize)| match agents {
        1 => printable(host),
        agents => format!("{} ({agents} agents)", printable(host)),
    };
    let text = hosts.iter().map(name).collect::<Vec<_>>().join(", ");
    match group.len() - hosts.iter().map(|(_, agents)| agents).sum::<usize>() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// The tasks of an agent; equal ones are counted.
fn tasks(tasks: &[TaskForecast]) -> Vec<String> {
    tasks
        .chunk_by(|one, other| one == other)
        .map(|equal| match equal.len() {
            1 => equal[0].to_string(),
            count => format!("{count} × {}", equal[0]),
        })
        .collect()
}

/// Why nothing is launched on `hosts`, in the words of the scheduler's remarks.
fn text(why_not: &WhyNot, hosts: &str) -> String {
    match why_not {
        WhyNot::Declined(reason) => {
            UnusedAgent { agent: String::new(), host: hosts.to_owned(), reason: reason.clone() }.to_string()
        }
        WhyNot::Limit(limit) => format!("no worker on {hosts}: {limit}"),
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Workers(most) => write!(f, "--max-workers {most} is reached"),
            Limit::Server(most) => write!(f, "the server admits {most} workers (--server-mem)"),
            Limit::Cpus(most) => write!(f, "--max-cpus {} is reached", cpus(*most)),
        }
    }
}

impl Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPU", cpus(self.cpus_milli))?;
        if self.revocable_cpus_milli > 0 {
            write!(f, ", {} revocable CPU", cpus(self.revocable_cpus_milli))?;
        }
        write!(f, ", {} MB, {}", self.mem, pluralize(self.ports, "port"))
    }
}

impl Display for TaskForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} CPU, {} MB", self.kind.name(), cpus(self.cpus_milli), self.mem)?;
        match self.ports {
            Some((http, stratum)) => write!(f, ", ports {http} (HTTP) and {stratum} (Stratum)"),
            None => Ok(()),
        }
    }
}

fn cpus(milli: u64) -> f64 {
    milli as f64 / 1e3
}

/// The name of a host as the table shows it. Its agent has chosen it.
fn printable(name: &str) -> String {
    text::printable(name, MAX_HOST).into_owned()
}

/// A forecast as JSON. CPU is in CPUs, memory in MB.
#[derive(Serialize)]
struct Json {
    servers: usize,
    workers: usize,
    cpus: f64,
    agents_used: usize,
    agents_offered: usize,
    server_missing: bool,
    workers_with_server: u64,
    limit: Option<String>,
    no_offers: Option<String>,
    unused: Vec<UnusedAgents>,
    agents: Vec<JsonAgent>,
}

#[derive(Serialize)]
struct JsonAgent {
    agent_id: String,
    host: String,
    offered: JsonOffered,
    tasks: Vec<JsonTask>,
    why_not: Option<String>,
}

#[derive(Serialize)]
struct JsonOffered {
    cpus: f64,
    revocable_cpus: f64,
    mem: u64,
    ports: u64,
}

#[derive(Serialize)]
struct JsonTask {
    kind: TaskKind,
    cpus: f64,
    mem: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stratum_port: Option<u16>,
}

pub(super) fn json_line(forecast: &Forecast) -> anyhow::Result<String> {
    let json = Json {
        servers: forecast.count(TaskKind::Server),
        workers: forecast.count(TaskKind::Worker),
        cpus: cpus(forecast.cpus_milli()),
        agents_used: forecast.used_agents(),
        agents_offered: forecast.agents.len(),
        server_missing: forecast.server_missing,
        workers_with_server: forecast.workers_with_server,
        limit: forecast.limit.as_ref().map(ToString::to_string),
        no_offers: forecast.no_offers.as_ref().map(ToString::to_string),
        unused: unused(forecast),
        agents: forecast.agents.iter().map(json_agent).collect(),
    };
    Ok(escape_json(&serde_json::to_string(&json)?).into_owned())
}

fn json_agent(agent: &AgentForecast) -> JsonAgent {
    let Offered { cpus_milli, revocable_cpus_milli, mem, ports } = agent.offered;
    let task = |task: &TaskForecast| JsonTask {
        kind: task.kind,
        cpus: cpus(task.cpus_milli),
        mem: task.mem,
        http_port: task.ports.map(|(http, _)| http),
        stratum_port: task.ports.map(|(_, stratum)| stratum),
    };
    JsonAgent {
        agent_id: agent.agent.clone(),
        host: agent.host.clone(),
        offered: JsonOffered {
            cpus: cpus(cpus_milli),
            revocable_cpus: cpus(revocable_cpus_milli),
            mem,
            ports,
        },
        tasks: agent.tasks.iter().map(task).collect(),
        why_not: agent.why_not.as_ref().map(|why| text(why, &agent.host)),
    }
}
