//! An agent and its resources.

use std::time::{Duration, Instant};

use mesos::resources::{Quantity, Resources, ranges, scalar};
use mesos::v1::resource::AllocationInfo;
use mesos::v1::{Attribute, FrameworkId, Offer, Resource, TaskInfo, Url, value};

use super::MASTER_ID;

/// The range of ports of each agent.
const PORTS: std::ops::RangeInclusive<u64> = 31_000..=32_000;
/// The disk of each agent, in MB.
const DISK: u64 = 100_000;

/// The settings that all agents have in common.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    pub cpus_milli: u64,
    /// Memory in MB.
    pub mem: u64,
    /// The number of attributes of each agent, including the rack.
    pub attributes: usize,
    /// The number of different values of the attribute `rack`.
    pub racks: usize,
}

/// An amount of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub cpus_milli: u64,
    /// Memory in MB.
    pub mem: u64,
    /// Whether the amount includes the agent's disk and ports.
    pub rest: bool,
}

impl Amount {
    /// The resources of a task and its executor.
    pub fn of(task: &TaskInfo) -> Self {
        let executor = task.executor.iter().flat_map(|executor| &executor.resources);
        let all: Resources = task.resources.iter().chain(executor).cloned().collect::<Vec<_>>().into();
        Self {
            cpus_milli: all.sum("cpus").milli(),
            mem: all.sum("mem").milli() / 1000,
            rest: all.count("ports") > 0,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.cpus_milli += other.cpus_milli;
        self.mem += other.mem;
        self.rest |= other.rest;
    }

    /// Subtracts `other`; `None` if there is too little.
    pub fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            cpus_milli: self.cpus_milli.checked_sub(other.cpus_milli)?,
            mem: self.mem.checked_sub(other.mem)?,
            rest: self.rest && !other.rest,
        })
        .filter(|_| self.rest || !other.rest)
    }

    fn is_within(self, other: Self) -> bool {
        self.cpus_milli <= other.cpus_milli && self.mem <= other.mem && (other.rest || !self.rest)
    }

    fn resources(self) -> Vec<Resource> {
        let mut resources = Vec::with_capacity(4);
        if self.cpus_milli > 0 {
            resources.push(scalar("cpus", Quantity::from_milli(self.cpus_milli)));
        }
        if self.mem > 0 {
            resources.push(scalar("mem", Quantity::whole(self.mem)));
        }
        if self.rest {
            resources.push(scalar("disk", Quantity::whole(DISK)));
            resources.push(ranges("ports", [PORTS]));
        }
        for resource in &mut resources {
            resource.allocation_info = Some(allocation());
        }
        resources
    }
}

fn allocation() -> AllocationInfo {
    AllocationInfo { role: Some("*".to_owned()) }
}

/// One agent.
pub(super) struct Agent {
    pub id: String,
    host: String,
    attributes: Vec<Attribute>,
    /// The resources that are neither offered nor used.
    pub free: Amount,
    /// The filter: declined resources, and the time until which they are not offered again.
    refused: Option<(Amount, Instant)>,
    /// Whether the master regards the agent as lost.
    pub is_lost: bool,
    /// The agent's tasks that have not ended.
    pub tasks: Vec<usize>,
    pub executor: ExecutorFile,
}

/// The state of the executor on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExecutorFile {
    Missing,
    /// The executor is being fetched, and these tasks wait for it.
    Coming(Vec<usize>),
    There,
}

impl Agent {
    pub fn new(number: usize, settings: &AgentSettings) -> Self {
        let free = Amount { cpus_milli: settings.cpus_milli, mem: settings.mem, rest: true };
        let attribute = |index: usize| match index {
            0 => text("rack", format!("r{}", number % settings.racks.max(1))),
            _ => text(&format!("attribute-{index}"), format!("value-of-it-on-agent-{}", number % 7)),
        };
        Self {
            id: format!("{MASTER_ID}-S{number}"),
            host: format!("node{number}.cluster"),
            attributes: (0..settings.attributes).map(attribute).collect(),
            free,
            refused: None,
            is_lost: false,
            tasks: Vec::new(),
            executor: ExecutorFile::Missing,
        }
    }

    /// The number of the agent with this id.
    pub fn number(id: &str) -> Option<usize> {
        id.strip_prefix(MASTER_ID)?.strip_prefix("-S")?.parse().ok()
    }

    /// Whether the agent's free resources may be offered.
    pub fn is_offered(&self, leftovers: bool, now: Instant) -> bool {
        let enough = self.free.cpus_milli >= 10 || leftovers && self.free.mem >= 32;
        let refused = self.refused.is_some_and(|(amount, until)| until > now && self.free.is_within(amount));
        enough && !refused && !self.is_lost
    }

    /// Sets the filter for declined resources.
    pub fn refuse(&mut self, time: Duration, now: Instant) {
        if !time.is_zero() {
            self.refused = Some((self.free, now + time));
        }
    }

    pub fn forget_filter(&mut self) {
        self.refused = None;
    }

    pub fn offer(&self, number: u64, framework: &str, amount: Amount) -> Offer {
        let address = mesos::v1::Address {
            hostname: Some(self.host.clone()),
            ip: Some("127.0.0.1".to_owned()),
            port: 5051,
        };
        let url =
            Url { scheme: "http".to_owned(), address, path: Some("/slave(1)".to_owned()), ..Url::default() };
        Offer {
            id: format!("{MASTER_ID}-O{number}").into(),
            framework_id: FrameworkId::from(framework),
            agent_id: self.id.as_str().into(),
            hostname: self.host.clone(),
            url: Some(url),
            resources: amount.resources(),
            attributes: self.attributes.clone(),
            allocation_info: Some(allocation()),
            ..Offer::default()
        }
    }
}

/// The number of the offer with this id.
pub(super) fn offer_number(id: &str) -> Option<u64> {
    id.strip_prefix(MASTER_ID)?.strip_prefix("-O")?.parse().ok()
}

fn text(name: &str, value: String) -> Attribute {
    Attribute {
        name: name.to_owned(),
        r#type: value::Type::Text.into(),
        text: Some(value::Text { value }),
        ..Attribute::default()
    }
}
