//! The simulated agents and executors.

use super::*;

impl Cluster {
    pub(super) fn update(&mut self, id: &str, state: TaskState) {
        let now = self.script.now;
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.state = state;
        task.uuids += 1;
        let agent_id = Some(task.agent.as_str().into());
        let data = Some(report(id, task.uuids.into(), task.uuids.into()));
        task.updates.push(TaskStatus { agent_id, data, ..status(id, state, task.uuids) });
        task.sent = now.checked_sub(REPEAT).unwrap_or(now);
    }

    pub(super) fn end(&mut self, id: &str, state: TaskState) {
        if self.tasks.get(id).is_some_and(Real::lives) {
            self.update(id, state);
        }
    }

    pub(super) fn killed(&mut self, id: &str) {
        match self.tasks.get(id) {
            Some(task) if self.here(&task.agent) && !task.hung => self.end(id, TaskState::TaskKilled),
            _ => {}
        }
    }

    pub(super) fn acknowledged(&mut self, id: &str, uuid: &[u8]) {
        let Some(task) = self
            .tasks
            .get_mut(id)
            .filter(|task| self.agents.iter().any(|it| it.id == task.agent && it.away.is_none()))
        else {
            return;
        };
        task.updates.retain(|update| update.uuid.as_deref() != Some(uuid));
        task.sent = self.script.now.checked_sub(REPEAT).unwrap_or(self.script.now);
        if !task.lives() && task.updates.is_empty() {
            self.tasks.remove(id);
        }
    }

    pub(super) fn instructed(&mut self, id: &str, data: &[u8]) {
        let Some(task) = self.tasks.get_mut(id).filter(|task| !task.hung) else { return };
        match Instruction::decode(data).unwrap() {
            Instruction::MineAt { pool, .. } => task.pool = pool,
            Instruction::SetIntervals(intervals) => task.intervals = intervals,
            other => panic!("{id} does not know {other:?}"),
        }
    }

    pub(super) fn work(&mut self) {
        let now = self.script.now;
        for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let here = self.agents.iter().any(|it| it.id == task.agent && it.away.is_none());
            if task.lives() && !task.hung && now >= task.next {
                task.next = now + LIVE;
                let state = task.state;
                match state {
                    TaskState::TaskStaging => self.update(&id, TaskState::TaskStarting),
                    TaskState::TaskStarting => self.update(&id, TaskState::TaskRunning),
                    _ if here && !self.deaf => {
                        let pool = task.pool.clone();
                        let intervals = Some(task.intervals);
                        let live = Live::Worker(WorkerLive { pool, intervals, ..WorkerLive::default() });
                        self.event(Event::Message { executor: id.clone(), data: live.encode() });
                    }
                    _ => {}
                }
            }
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if here && !self.deaf && now.duration_since(task.sent) >= REPEAT && !task.updates.is_empty() {
                task.sent = now;
                let update = task.updates[0].clone();
                self.history.push(update.clone());
                self.event(Event::Update(Box::new(update)));
            }
        }
        let lost = |agent: &&mut Agent| agent.away.is_some_and(|(since, told)| !told && since + PINGS <= now);
        let mut unreachable = Vec::new();
        for agent in self.agents.iter_mut().filter(lost) {
            agent.away = agent.away.map(|(since, _)| (since, true));
            unreachable.push(agent.id.clone());
        }
        for agent in unreachable {
            let tasks: Vec<String> = self
                .tasks
                .iter()
                .filter(|(_, it)| it.agent == agent && it.lives())
                .map(|(id, _)| id.clone())
                .collect();
            for task in tasks {
                self.tell(&task, &agent, TaskState::TaskUnreachable, None);
            }
        }
    }
}
