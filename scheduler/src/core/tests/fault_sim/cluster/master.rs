//! The simulated master: offers, calls, answers.

use super::*;

impl Cluster {
    pub(super) fn subscribed(&mut self) {
        self.filters.clear();
        self.offers.clear();
        self.suppressed = false;
        self.script.subscribe();
        self.carry_out();
    }

    pub(super) fn withdraw(&mut self, agent: &str) {
        let gone: Vec<String> =
            self.offers.iter().filter(|(_, it)| it.agent == agent).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.offers.remove(&id);
            self.event(Event::Rescinded(id));
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.script.event(event);
        self.carry_out();
    }

    pub(super) fn tell(&mut self, task: &str, agent: &str, state: TaskState, reason: Option<Reason>) {
        let reason = reason.map(Into::into);
        let agent_id = Some(agent.into());
        let status = TaskStatus { uuid: None, agent_id, reason, ..status(task, state, 0) };
        self.unanswered.remove(task);
        self.event(Event::Update(Box::new(status)));
    }

    pub(super) fn carry_out(&mut self) {
        let calls = std::mem::take(&mut self.script.calls);
        for call in crate::driver::arrivals(calls, &mut self.random) {
            match call {
                _ if self.deaf => {}
                Call::Accept { offers, tasks, refuse } => self.accept(&offers, &tasks, refuse),
                Call::Decline { offers, refuse } => {
                    for id in offers {
                        if let Some(Piece { agent, cpus, mem, .. }) = self.answered(&id) {
                            self.filters.push(Filter { agent, cpus, mem, until: self.script.now + refuse });
                        }
                    }
                }
                Call::Kill { task, .. } => self.killed(&task),
                Call::Shutdown { executor, agent } if self.here(&agent) => {
                    self.end(&executor, TaskState::TaskFailed);
                }
                Call::Acknowledge { task, uuid, .. } => self.acknowledged(&task, &uuid),
                Call::Reconcile(tasks) => self.reconcile(tasks),
                Call::Message { executor, data, .. } => self.instructed(&executor, &data),
                Call::Suppress => self.suppressed = true,
                Call::Revive => {
                    self.filters.clear();
                    self.suppressed = false;
                }
                _ => {}
            }
        }
    }

    pub(super) fn answered(&mut self, offer: &str) -> Option<Piece> {
        assert!(self.answered.insert(offer.to_owned()), "{offer} is answered twice");
        self.offers.remove(offer)
    }

    pub(super) fn accept(&mut self, offers: &[String], tasks: &[TaskInfo], refuse: Duration) {
        let agent = tasks[0].agent_id.value.clone();
        let pieces: Vec<_> = offers.iter().map(|offer| self.answered(offer)).collect();
        let (mut cpus, mut mem) = (0, 0);
        for piece in pieces.iter().flatten() {
            assert_eq!(piece.agent, agent);
            (cpus, mem) = (cpus + piece.cpus, mem + piece.mem);
        }
        let void = pieces.iter().any(Option::is_none);
        let fate = if void { Some(Fate::InvalidOffers) } else { self.fate.take() };
        for info in tasks {
            let id = &info.task_id.value;
            assert!(!self.tasks.contains_key(id), "{id} is launched twice");
            assert!(self.script.disk.knows(id), "{id} is launched before it is written");
            assert_eq!(info.agent_id.value, agent);
            let Some((used, used_mem)) = self.launch(info, fate) else { continue };
            assert!(used <= cpus && used_mem <= mem, "{id} takes more than was offered");
            (cpus, mem) = (cpus - used, mem - used_mem);
        }
        if matches!(fate, Some(Fate::NoExecutor | Fate::Stuck) | None) {
            let until = self.script.now + refuse;
            self.filters.push(Filter { agent, cpus, mem, until });
        }
    }

    /// Launches a task. Returns its resources, if the launch reaches the agent.
    fn launch(&mut self, info: &TaskInfo, fate: Option<Fate>) -> Option<(u64, u64)> {
        let (id, agent) = (info.task_id.value.clone(), info.agent_id.value.clone());
        let failed = match fate {
            Some(Fate::InvalidOffers) => Some((TaskState::TaskDropped, Reason::InvalidOffers)),
            Some(Fate::AgentDisconnected) => Some((TaskState::TaskDropped, Reason::AgentDisconnected)),
            Some(Fate::Invalid) => Some((TaskState::TaskError, Reason::TaskInvalid)),
            Some(Fate::Lost) => return None,
            Some(Fate::NoExecutor | Fate::Stuck) | None => None,
        };
        if let Some((state, reason)) = failed {
            self.tell(&id, &agent, state, Some(reason));
            return None;
        }
        let all = || info.resources.iter().chain(&info.executor.as_ref().unwrap().resources);
        let sum = |name: &str| -> f64 {
            all().filter(|it| it.name == name).filter_map(|it| it.scalar).map(|it| it.value).sum()
        };
        let (cpus, mem) = ((sum("cpus") * 1000.0).round() as u64, sum("mem").round() as u64);
        let now = self.script.now;
        let spec = TaskSpec::decode(info.data.as_deref().unwrap()).unwrap();
        let real = Real {
            agent,
            cpus,
            mem,
            state: TaskState::TaskStaging,
            pool: String::new(),
            intervals: spec.intervals,
            hung: matches!(fate, Some(Fate::Stuck)),
            next: now + Duration::from_secs(1),
            updates: vec![],
            sent: now,
            uuids: 0,
        };
        self.tasks.insert(id.clone(), real);
        if matches!(fate, Some(Fate::NoExecutor)) {
            self.end(&id, TaskState::TaskFailed);
        }
        Some((cpus, mem))
    }

    pub(super) fn reconcile(&mut self, tasks: Vec<(String, String)>) {
        let asked = if tasks.is_empty() {
            self.tasks.iter().map(|(id, task)| (id.clone(), task.agent.clone())).collect()
        } else {
            tasks
        };
        for (id, agent) in asked {
            let known = self.agents.iter().find(|it| it.id == agent);
            let state = match (known.map(|agent| agent.away), self.tasks.get(&id)) {
                (None, _) => TaskState::TaskUnknown,
                (Some(Some((_, true))), Some(_)) => TaskState::TaskUnreachable,
                (Some(Some((_, false))), Some(_)) => {
                    self.unanswered.insert(id);
                    continue;
                }
                (_, Some(task)) => task.state,
                (_, None) => TaskState::TaskGone,
            };
            self.tell(&id, &agent, state, Some(Reason::Reconciliation));
        }
    }

    /// Offers resources, as the master's allocator does once a second.
    pub(super) fn allocate(&mut self) {
        let now = self.script.now;
        self.filters.retain(|filter| filter.until > now);
        if self.suppressed {
            return;
        }
        let mut offers = Vec::new();
        for agent in self.agents.iter().filter(|agent| agent.away.is_none()) {
            let (cpus, mem) = self.free(agent);
            let refused = |it: &Filter| it.agent == agent.id && it.cpus >= cpus && it.mem >= mem;
            if cpus < 10 && mem < 32 || self.filters.iter().any(refused) {
                continue;
            }
            self.next += 1;
            // Some of the time, an agent's resources are split into two offers.
            let part = if self.next.is_multiple_of(3) { cpus / 2 } else { 0 };
            for (n, (cpus, mem)) in [(cpus - part, mem), (part, 0)].into_iter().enumerate() {
                if cpus + mem > 0 {
                    let id = format!("o{}-{n}", self.next);
                    let offered = offer(&id, &agent.id, cpus as f64 / 1000.0, mem);
                    // Some of the time, an offer tells the agent's address.
                    let told = self.next.is_multiple_of(2);
                    offers.push(if told { launch::at("10.0.0.1", offered) } else { offered });
                    self.offers.insert(id, Piece { agent: agent.id.clone(), cpus, mem, since: now });
                }
            }
        }
        if !offers.is_empty() {
            self.event(Event::Offers(offers));
        }
    }

    pub(super) fn free(&self, agent: &Agent) -> (u64, u64) {
        let tasks = self.tasks.values().filter(|task| task.agent == agent.id && task.lives());
        let used = tasks.fold((0, 0), |(cpus, mem), task| (cpus + task.cpus, mem + task.mem));
        let offers = self.offers.values().filter(|offer| offer.agent == agent.id);
        let offered = offers.fold((0, 0), |(cpus, mem), offer| (cpus + offer.cpus, mem + offer.mem));
        (agent.cpus - used.0 - offered.0, agent.mem - used.1 - offered.1)
    }
}
