//! The state that a cluster without faults must reach.

use super::*;

impl Cluster {
    /// Describes a fault in the present state, if there is one.
    pub fn trouble(&self) -> Option<String> {
        let (state, now) = (&self.script.state, self.script.now);
        let live = || self.tasks.iter().filter(|(_, task)| task.lives());
        let servers: Vec<&String> = live().map(|(id, _)| id).filter(|id| id.contains("server")).collect();
        let wanted = usize::from(state.settings.template.pool.is_none());
        let known: Vec<&str> = state.fleet.servers_in_service().map(Task::id).collect();
        if servers.len() != wanted || known != servers {
            return Some(format!("servers {servers:?}, known {known:?}"));
        }
        if let Some((id, task)) = live().find(|(_, task)| task.state != TaskState::TaskRunning || task.hung) {
            return Some(format!("{id} is {:?}, hung: {}", task.state, task.hung));
        }
        if let Some((id, _)) = live().find(|(id, _)| !state.fleet.get(id).is_some_and(Task::is_running)) {
            return Some(format!("{id} lives unknown"));
        }
        let differs = |task: &&Task| state.fingerprints.differ_from(&task.record);
        if let Some(server) = state.fleet.servers_in_service().find(differs) {
            return Some(format!("{} has other options", server.id()));
        }
        let ghost = |task: &&Task| {
            let lives = self.tasks.get(task.id()).is_some_and(Real::lives);
            !task.has_ended() && task.state() != Some(TaskState::TaskUnreachable) && !lives
        };
        if let Some(task) = state.fleet.all().find(ghost) {
            return Some(format!("{} is not there, but {:?}", task.id(), task.state()));
        }
        if let Some((id, offer)) = self.offers.iter().find(|(_, offer)| now > offer.since + HELD) {
            return Some(format!("{id} is hoarded: {offer:?}"));
        }
        if !self.script.queue.is_empty() || state.outbox.count_unpersisted() > 0 {
            return Some("something is still being written".into());
        }
        let is_asked_for = |id: &&String| state.fleet.get(id).is_some_and(Task::may_live);
        if let Some(id) = self.unanswered.iter().find(is_asked_for) {
            return Some(format!("{id} is still being asked for"));
        }
        let wanted = state.fleet.worker_intervals;
        let is_outdated = |id: &str, task: &Real| id.contains("worker") && Some(task.intervals) != wanted;
        if let Some((id, task)) = live().find(|(id, task)| is_outdated(id, task)) {
            return Some(format!("{id} uses {:?} instead of {wanted:?}", task.intervals));
        }
        self.idle_room()
    }

    fn server_cpus(&self) -> u64 {
        let settings = &self.script.state.settings;
        if settings.template.pool.is_some() { 0 } else { settings.server_cpus_milli() }
    }

    pub(super) fn idle_room(&self) -> Option<String> {
        let limits = &self.script.state.settings.placement.limits;
        let workers = || self.tasks.iter().filter(|(id, task)| task.lives() && id.contains("worker"));
        let (count, used) = (
            workers().count() as u64,
            workers().map(|(_, task)| task.cpus).sum::<u64>() + self.server_cpus(),
        );
        let over = limits.max_workers.is_some_and(|most| count > most)
            || limits.max_cpus_milli.is_some_and(|most| used > most);
        if over {
            return Some(format!("{count} workers, {used} CPU: beyond {limits:?}"));
        }
        let full = limits.max_workers.is_some_and(|most| count >= most)
            || limits.max_cpus_milli.is_some_and(|most| used + 100 > most);
        let idle = self.agents.iter().find(|agent| {
            let (cpus, mem) = self.free(agent);
            cpus >= 100 && mem >= 128
        });
        idle.filter(|_| !full).map(|agent| format!("idle: {agent:?} {:?}", self.free(agent)))
    }
}
