//! A simulated cluster with faults: agents that disconnect, return and get new ids, executors that crash or hang, offers that are
//! rescinded, launches that are lost, a master and a scheduler that restart, a framework that is torn down, a slow disk. When the faults are over, the whole
//! cluster mines without help: there is one server, no resources are idle, no offer is held, no task is forgotten, and workers
//! send live messages at the right intervals.

mod cluster;

use std::time::Duration;

use ::task::PoolAccess;
use proptest::prelude::*;

use self::cluster::{Cluster, Fate};
use super::*;
use crate::offers::{Placement, WorkerLimits};
use crate::task_info::ExternalPool;

/// Time limit for the simulated cluster to recover after the last fault. It is longer than all waiting times together: agent
/// pauses, filters, the silence timeout, the launch timeout, and a merge of workers.
const RECOVERY: Duration = Duration::from_secs(45 * 60);

impl Cluster {
    fn act(&mut self, action: u8, which: usize) {
        let task = self.pick(which);
        match action {
            0 => self.leave(which),
            1 => self.come_back(which),
            2 => self.say_goodbye(which),
            3 => self.rename(which),
            4 => self.crash(&task),
            5 => self.hang(&task),
            6 => self.rescind(which),
            7 => self.reconnect(which.is_multiple_of(2)),
            8 => {
                if which.is_multiple_of(3) {
                    self.script.change_options(which / 3);
                }
                self.restart();
            }
            9 => self.set_slow_disk(!self.slow_disk, which.is_multiple_of(2)),
            10 => self.fate = Some(Fate::ALL[which % Fate::ALL.len()]),
            11 => self.gone_by_operator(&task),
            12 => self.repeat(which),
            13 => self.mistake(&task, which),
            14 => self.fall_ill(&task, which.is_multiple_of(3)),
            15 => self.pass(Duration::from_secs(60 + which as u64 % 240)),
            16 if which.is_multiple_of(3) => self.remove_framework(),
            _ => self.pass(Duration::from_secs(1 + which as u64 % 20)),
        }
    }

    /// Ends all faults. If the cluster has not recovered within `RECOVERY`, returns what is wrong.
    fn end_faults(&mut self) -> Result<(), String> {
        self.set_slow_disk(false, true);
        self.fate = None;
        for which in 0..self.agents() {
            self.come_back(which);
        }
        let end = self.script.now + RECOVERY;
        loop {
            self.pass(Duration::from_secs(1));
            let trouble = self.trouble();
            if trouble.is_none() {
                return Ok(());
            }
            if let Some(trouble) = trouble.filter(|_| self.script.now >= end) {
                return Err(trouble);
            }
        }
    }
}

fn pool() -> ExternalPool {
    ExternalPool { url: "pool:3333".into(), user: None, password: "x".into(), access: PoolAccess::default() }
}

fn limits() -> impl Strategy<Value = WorkerLimits> {
    let (workers, cpus, worker) =
        (prop::option::of(1u64..6), prop::option::of(1500u64..6000), prop::option::of(300u64..2000));
    (workers, cpus, worker).prop_map(|(max_workers, max_cpus_milli, worker_cpus_milli)| WorkerLimits {
        max_workers,
        max_cpus_milli,
        worker_cpus_milli,
        ..WorkerLimits::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn after_the_faults_the_whole_cluster_mines_again(
        actions in prop::collection::vec((0u8..22, any::<u16>()), 0..120),
        limits in limits(),
        way in 0..3,
    ) {
        let on_server_loss = if way == 1 { OnServerLoss::Repoint } else { OnServerLoss::Kill };
        let placement = Placement { limits, ..Placement::default() };
        let mut settings = Settings { placement, ..settings_where(|options| options.on_server_loss = on_server_loss) };
        settings.options.new_framework = true;
        settings.template.pool = (way == 2).then(pool);
        // With so few messages allowed per second, the intervals change whenever a worker comes or goes.
        settings.template.options.live_interval = Duration::from_secs(1);
        settings.options.live_messages_per_second = NonZeroU32::MIN;
        settings.options.reports_per_second = NonZeroU32::MIN;
        let mut cluster = Cluster::new(settings);
        for (action, which) in actions {
            cluster.act(action, which.into());
        }
        let end = cluster.end_faults();
        prop_assert!(end.is_ok(), "{}", end.unwrap_err());
    }
}
