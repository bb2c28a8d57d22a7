//! Gets work from Bitcoin nodes, and submits blocks to them.

mod clock_skew;
mod state;
mod submission;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network};
use command_line::CookieFiles;
use node::network::{name as network_name, payout_script};
use node::{
    BlockVerdict, Credentials, MinDifficultyTime, Nodes, RpcClient, RpcLimits, TemplateEvent, TemplateStream,
    TemplateTiming,
};
use problem::{Problem, ProblemKind};
use task::{BlockSourceSpec, NodeAccess, NodeSpec};
use text::InWords;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::clock_skew::{ClockSkew, Difference};
pub use self::state::WATCHED;
use self::state::{ChainAnswer, Effect, Event, NodeWorkState, WorkSettings};
use self::submission::{places, resubmit, submit};
use super::{BlockSourceError, SourceChanges, changed};
use crate::clock::Now;
use crate::pool_state::PoolState;
use crate::share::FoundBlock;

/// How long a stopping pool waits for the nodes' verdicts on the last found blocks.
const JUDGE_WITHIN: Duration = Duration::from_secs(10);
/// Maximum number of found blocks that wait for the nodes' verdicts.
const MAX_SUBMISSIONS: usize = 64;

/// Nodes that have given a first template.
#[derive(Debug)]
pub struct NodeSource {
    nodes: Nodes,
    templates: TemplateStream,
    network: Network,
    /// The index of the node that has given the present template.
    node: usize,
    /// The index of the node that users are told of.
    main_node: usize,
    state: NodeWorkState,
    /// The difference between our clock and the node's that was last said; `None` while they agree.
    said_skew: Option<Difference>,
    /// The task that gives new credentials to the clients of the nodes.
    _following: JoinSet<()>,
}

impl NodeSource {
    /// Waits for a first template without a time limit, and logs what it waits for. `cookies` are the nodes' cookie files; `changes`
    /// delivers other users, passwords and cookie files.
    ///
    /// # Errors
    /// If waiting will not help: see [`BlockSourceError`].
    pub async fn connect(
        spec: NodeSpec,
        cookies: &CookieFiles,
        changes: Option<SourceChanges>,
        shared: &PoolState,
    ) -> Result<Self, BlockSourceError> {
        let client = |node: NodeAccess| {
            RpcClient::new(node.url.parse()?, credentials(&node, cookies), RpcLimits::default())
        };
        let clients = spec.nodes.into_iter().map(client).collect::<Result<Vec<_>, _>>()?;
        let nodes = Nodes::new(clients)?;
        shared.source.set_nodes(nodes.clone());
        let mut following = JoinSet::new();
        if let Some(changes) = changes {
            following.spawn(follow(changes, nodes.clone()));
        }
        let network = nodes
            .network_reporting(|faults| wait_for(shared, faults.iter().map(|fault| fault.problem())))
            .await?;
        let payout = spec.address.map(|address| payout_script(&address, network)).transpose()?;
        let min_difficulty_time = match spec.early_min_difficulty {
            true => MinDifficultyTime::Early,
            false => MinDifficultyTime::Honest,
        };
        let mut templates = nodes.templates(network, TemplateTiming::default());
        let first = loop {
            match templates.next().await {
                TemplateEvent::New(update) => break update,
                TemplateEvent::AllDown(faults) => {
                    wait_for(shared, faults.iter().map(|fault| fault.problem()));
                    tracing::warn!("no node gives a template yet; waiting");
                }
                TemplateEvent::Slow(problem) => warn_of_slow_nodes(shared, problem),
            }
        };
        shared.work_health.clear();
        shared.source.set_given(first.asked);
        let (node, main_node) = (first.node, first.main_node);
        let settings = WorkSettings {
            network,
            payout,
            tag: distinct(&spec.tag),
            min_difficulty_time,
            limits: shared.config.blocks,
        };
        let (blocks, kept) = (shared.last_blocks.clone(), submission::read_accepted(shared).await);
        let state = NodeWorkState::new(settings, first, blocks, kept, Instant::now());
        Ok(Self { nodes, templates, network, node, main_node, state, said_skew: None, _following: following })
    }

    /// Publishes the first job.
    pub(super) fn prepare(&mut self, shared: &PoolState) {
        if let Some(network) = self.state.pays_users() {
            shared.pays_users.get_or_init(|| network);
        }
        self.name(shared);
        self.compare_clocks(shared);
        shared.jobs.publish(self.state.work(Now::read()));
    }

    /// Submits found blocks and publishes jobs until `stop`; then waits a little for the last verdicts.
    pub(super) async fn run(
        mut self,
        shared: Arc<PoolState>,
        mut found: mpsc::Receiver<FoundBlock>,
        stop: CancellationToken,
    ) {
        let mut tasks = Tasks::default();
        // Why no node works; `None` while one works.
        let mut down = None;
        let unjudged = submission::read_pending(&shared).await;
        for effect in self.state.begin(unjudged, Now::read()) {
            self.carry_out(effect, &mut tasks, &shared, None);
        }
        loop {
            let has_room = tasks.submissions.len() < MAX_SUBMISSIONS;
            let deadline = self.state.next_deadline();
            let events = tokio::select! {
                biased;
                Some(found) = found.recv(), if has_room => vec![Event::Found(found)],
                Some(Ok(judged)) = tasks.submissions.join_next() => judged_events(judged),
                Some(event) = tasks.not_taken.1.recv() => vec![event],
                Some(Ok(places)) = tasks.watches.join_next() => {
                    places.into_iter().map(|(hash, answer)| Event::Place { hash, answer }).collect()
                }
                event = self.templates.next() => match event {
                    TemplateEvent::New(update) => {
                        down = None;
                        (self.node, self.main_node) = (update.node, update.main_node);
                        shared.source.set_given(update.asked);
                        self.name(&shared);
                        vec![Event::Template(update)]
                    }
                    TemplateEvent::AllDown(faults) => {
                        down = all_problems(faults.iter().map(|fault| fault.problem()));
                        set_health(&shared, down.as_ref(), "");
                        let refused = down.as_ref().is_some_and(|it| it.kind == ProblemKind::NodeCredentials);
                        vec![Event::AllNodesDown { refused }]
                    }
                    TemplateEvent::Slow(problem) => {
                        warn_of_slow_nodes(&shared, problem);
                        continue;
                    }
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => vec![Event::Tick],
                () = stop.cancelled() => break,
            };
            self.handle(events, &mut tasks, &shared, down.as_ref());
            self.compare_clocks(&shared);
        }
        while let Ok(found) = found.try_recv() {
            self.handle(vec![Event::Found(found)], &mut tasks, &shared, down.as_ref());
        }
        let last = async {
            while let Some(done) = tasks.submissions.join_next().await {
                for event in judged_events(done.unwrap_or_default()) {
                    for effect in self.state.on_event(event, Now::read()) {
                        count(&effect, &shared);
                    }
                }
            }
        };
        if timeout(JUDGE_WITHIN, last).await.is_err() {
            submission::log_unjudged(&shared, self.state.without_verdict());
        }
    }

    /// Says once that our clock and the node's differ, again if that has changed a lot, and once that they agree again.
    fn compare_clocks(&mut self, shared: &PoolState) {
        let Some(client) = self.nodes.clients().get(self.node) else { return };
        match ClockSkew::of(self.state.node_clock(), &client.url().to_string(), Now::read()) {
            ClockSkew::Differs(problem, difference) => {
                if difference.is_news_after(self.said_skew) {
                    self.said_skew = Some(difference);
                    let text = &problem.text;
                    tracing::warn!("{text}: work goes by the node's clock; set the clock that is wrong");
                }
                shared.warnings.set(problem);
            }
            ClockSkew::None => {
                self.said_skew = None;
                if shared.warnings.clear(ProblemKind::ClockSkew) {
                    tracing::info!(node = %client.url(), "this machine's clock and the node's agree again");
                }
            }
            ClockSkew::Unclear => {}
        }
    }

    fn handle(&mut self, events: Vec<Event>, tasks: &mut Tasks, shared: &PoolState, down: Option<&Problem>) {
        for event in events {
            for effect in self.state.on_event(event, Now::read()) {
                self.carry_out(effect, tasks, shared, down);
            }
        }
    }

    /// Says from which node work comes. A node that only was a moment faster is not named.
    fn name(&self, shared: &PoolState) {
        if let Some(client) = self.nodes.clients().get(self.main_node) {
            shared.set_work_from(&format!("node {} ({})", client.url(), network_name(self.network)));
        }
    }

    fn carry_out(&mut self, effect: Effect, tasks: &mut Tasks, shared: &PoolState, down: Option<&Problem>) {
        count(&effect, shared);
        match effect {
            Effect::Submit(found) => {
                let (pending, not_taken) = (shared.pending_blocks.clone(), tasks.not_taken.0.clone());
                tasks.submissions.spawn(submit(self.nodes.clone(), found, pending, not_taken));
            }
            Effect::Resubmit { lost, unjudged } => {
                let not_taken = tasks.not_taken.0.clone();
                tasks.submissions.spawn(resubmit(self.nodes.clone(), lost, unjudged, not_taken));
            }
            Effect::Watch(blocks) => {
                if let Some(node) = self.nodes.clients().get(self.node) {
                    tasks.watches.spawn(places(node.clone(), blocks));
                }
            }
            // Counted above.
            Effect::Count { .. }
            | Effect::CountLost { .. }
            | Effect::CountPlace(_)
            | Effect::CountWon(_)
            | Effect::SetRejection { .. }
            | Effect::SetNotTaken { .. }
            | Effect::ClearRejection => {}
            Effect::AskForTemplates => self.nodes.ask_for_templates(),
            Effect::Renew => shared.jobs.publish(self.state.work(Now::read())),
            Effect::Publish => {
                shared.jobs.publish(self.state.work(Now::read()));
                if shared.work_health.clear() {
                    tracing::info!("a node works again");
                }
            }
            Effect::Warn { keep } => {
                tracing::error!("no node works: miners keep their last job for at most {}", InWords(keep));
                set_health(shared, down, "; miners keep their last job, which may be outdated");
            }
            Effect::Withdraw => {
                tracing::error!(
                    "no node has worked for too long: connections end, so that miners switch to another pool"
                );
                set_health(shared, down, "; there is no work");
                shared.jobs.withdraw();
            }
        }
    }
}

/// The credentials for a node. A user comes before a cookie file.
fn credentials(node: &NodeAccess, cookies: &CookieFiles) -> Credentials {
    match (node.user.clone(), cookies.of(&node.url)) {
        (Some(user), _) => Credentials::Basic { user, password: node.password.clone().unwrap_or_default() },
        (None, Some(path)) => Credentials::CookieFile(path.to_owned()),
        (None, None) => Credentials::None,
    }
}

/// Gives new credentials to the clients of the nodes; never returns.
async fn follow(changes: SourceChanges, nodes: Nodes) {
    let mut changes = Some(changes);
    loop {
        let (BlockSourceSpec::Node(spec), cookies) = changed(&mut changes).await else { continue };
        for client in nodes.clients() {
            let url = client.url().to_string();
            if let Some(node) = spec.nodes.iter().find(|node| node.url == url) {
                client.set_credentials(credentials(node, &cookies));
            }
        }
    }
}

/// What the source waits for.
#[derive(Debug)]
struct Tasks {
    /// Submissions of blocks, with the nodes' verdicts.
    submissions: JoinSet<Vec<(FoundBlock, BlockVerdict)>>,
    /// Questions whether blocks are in a node's chain.
    watches: JoinSet<Vec<(BlockHash, ChainAnswer)>>,
    /// Takes [`Event::NotTaken`] from the submissions.
    not_taken: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
}

impl Default for Tasks {
    fn default() -> Self {
        let not_taken = mpsc::unbounded_channel();
        Tasks { submissions: JoinSet::new(), watches: JoinSet::new(), not_taken }
    }
}

fn judged_events(judged: Vec<(FoundBlock, BlockVerdict)>) -> Vec<Event> {
    judged.into_iter().map(|(found, verdict)| Event::BlockJudged { found, verdict }).collect()
}

/// Counts and logs what has become of our blocks.
fn count(effect: &Effect, shared: &PoolState) {
    match effect {
        Effect::Count { found, verdict } => submission::count(shared, found, verdict),
        Effect::CountLost { record, reason } => {
            submission::count_lost(shared, record.clone(), reason.clone());
        }
        Effect::CountPlace(record) => submission::count_place(shared, record.clone()),
        Effect::CountWon(record) => submission::count_won(shared, record.clone()),
        Effect::SetRejection { height, reason } => {
            let text = format!("the node has rejected our block at height {height}: {reason}");
            shared.block_health.set(Problem::new(ProblemKind::BlockRejected, text));
        }
        Effect::SetNotTaken { height, problem: Problem { kind, text } } => {
            let text = format!("no node takes our block at height {height}: {text}");
            shared.block_health.set(Problem::new(*kind, text));
        }
        Effect::ClearRejection => drop(shared.block_health.clear()),
        _ => {}
    }
}

/// The problems of all nodes as one: the kind is the one that a user can act on first, and the text has each error once.
fn all_problems(problems: impl Iterator<Item = Problem>) -> Option<Problem> {
    let mut problems: Vec<_> = problems.collect();
    let kind = problems.iter().map(|problem| problem.kind).min()?;
    problems.dedup();
    let texts: Vec<_> = problems.into_iter().map(|problem| problem.text).collect();
    Some(Problem::new(kind, texts.join("; ")))
}

/// Sets the health to what a starting pool waits for.
fn wait_for(shared: &PoolState, problems: impl Iterator<Item = Problem>) {
    all_problems(problems).into_iter().for_each(|problem| shared.work_health.set(problem));
}

/// Warns that nodes answer slowly, or takes the warning back.
fn warn_of_slow_nodes(shared: &PoolState, problem: Option<Problem>) {
    match problem {
        Some(problem) => {
            tracing::warn!("{}", problem.with_remedy());
            shared.warnings.set(problem);
        }
        None if shared.warnings.clear(ProblemKind::NodeSlow) => {
            tracing::info!("no node that works answers slowly any longer")
        }
        None => {}
    }
}

/// Sets the health to what is wrong with the nodes; `result` says what follows for the miners.
fn set_health(shared: &PoolState, down: Option<&Problem>, result: &str) {
    let (kind, why) = match down {
        Some(Problem { kind, text }) => (*kind, format!(": {text}")),
        None => (ProblemKind::NodeUnreachable, String::new()),
    };
    shared.work_health.set(Problem::new(kind, format!("no node works{why}{result}")));
}

/// Puts random bytes before the tag: two pools that pay the same address on the same node must not search the same
/// headers when they give out the same extranonce1.
fn distinct(tag: &[u8]) -> Arc<[u8]> {
    [&rand::random::<[u8; 4]>()[..], tag].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pools_make_the_same_coinbase() {
        let tags: std::collections::HashSet<_> = (0..100).map(|_| distinct(b"/tag/")).collect();
        assert!(tags.len() > 90 && tags.iter().all(|tag| tag.ends_with(b"/tag/")));
    }
}
