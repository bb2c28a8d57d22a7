//! What tasks tell in live messages: what they wait for, and what is not accounted yet.

use ::task::{Message, WorkerLive};
use problem::{Problem, ProblemKind};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn refused(text: &str) -> Problem {
    Problem::new(ProblemKind::PoolUnreachable, text)
}

impl Script {
    fn waits(&mut self, task: &str, problem: &Problem) {
        let data = Message::Waiting(problem.clone()).encode();
        self.event(Event::Message { executor: task.into(), data });
    }

    fn works(&mut self, task: &str, problem: Option<Problem>, totals: Option<Totals>) {
        let live = Live::Worker(WorkerLive { problem, totals, ..WorkerLive::default() });
        self.event(Event::Message { executor: task.into(), data: live.encode() });
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
        self.event(Event::Heartbeat);
        self.event(Event::Tick);
    }

    fn texts(&self) -> Vec<String> {
        self.state.overview(self.now).problems.texts().map(str::to_owned).collect()
    }

    fn said_of_waiting(&mut self) -> Vec<String> {
        let said = self.notices.drain(..).map(|notice| notice.to_string());
        said.filter(|text| text.contains("wait")).collect()
    }
}

#[test]
fn what_tasks_wait_for_is_told_once_for_all_that_wait_for_the_same() {
    let mut script = Script::with_workers();
    let problem = refused("cannot connect to p:3333");
    script.works("miner-worker-2", Some(problem.clone()), None);
    script.later(SECOND);
    script.later(SECOND);
    let one = "miner-worker-2 on a.host waits: cannot connect to p:3333";
    assert_eq!(script.said_of_waiting(), [one]);
    assert!(script.texts().contains(&one.to_owned()));
    script.works("miner-worker-3", Some(problem), None);
    script.later(2 * SECOND);
    script.later(SECOND);
    assert_eq!(script.said_of_waiting(), Vec::<String>::new(), "the same reason");
    let two = "2 workers wait: cannot connect to p:3333 (so says miner-worker-2 on a.host)";
    assert!(script.texts().contains(&two.to_owned()), "{:?}", script.texts());
    for task in ["miner-worker-2", "miner-worker-3"] {
        script.works(task, None, None);
    }
    script.later(SECOND);
    assert!(!script.texts().iter().any(|text| text.contains("wait")), "{:?}", script.texts());
}

/// The user is to know within ten seconds what a task waits for; the task itself tells it within seven.
#[test]
fn what_a_task_waits_for_is_shown_within_three_seconds_of_its_message() {
    for live in [false, true] {
        let mut script = Script::with_workers();
        script.wait(10 * SECOND + SECOND / 2);
        let problem = refused("cannot connect to p:3333");
        match live {
            true => script.works("miner-worker-2", Some(problem), None),
            false => script.waits("miner-worker-2", &problem),
        }
        let start = script.now;
        while !script.texts().iter().any(|text| text.contains("cannot connect")) {
            assert!(script.now < start + 3 * SECOND, "{live}: {:?}", script.texts());
            script.wait(SECOND / 2);
        }
        assert_eq!(script.said_of_waiting().len(), 1, "the log has it at the same time");
    }
}

#[test]
fn a_problem_that_is_not_repeated_is_forgotten() {
    let mut script = Script::with_workers();
    script.works("miner-worker-2", Some(refused("away")), None);
    script.later(2 * SECOND);
    assert!(script.texts().iter().any(|text| text.contains("away")));
    script.later(25 * SECOND);
    assert!(!script.texts().iter().any(|text| text.contains("away")), "{:?}", script.texts());
}

/// The first problem of a server that starts, fails and is launched again.
#[test]
fn a_permanent_problem_is_shown_until_a_task_runs() {
    let mut script = Script::with(settings());
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
    script.write();
    let problem = Problem::new(ProblemKind::NodeCredentials, "node n refuses access");
    script.waits("miner-server-1", &problem);
    let failed = TaskStatus {
        message: Some(problem.with_remedy()),
        ..status("miner-server-1", TaskState::TaskFailed, 1)
    };
    script.update(failed);
    script.write();
    script.later(SECOND);
    let first = "miner-server-1 on a.host has failed: node n refuses access";
    assert_eq!(script.texts()[0], first);
    let told: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    let named = told.iter().filter(|text| text.contains("refuses access")).collect::<Vec<_>>();
    assert!(named.len() == 1 && named[0].contains("Compare --rpc-user"), "{told:#?}");
    script.later(60 * SECOND);
    assert_eq!(script.texts()[0], first, "it has not gone away");
    script.event(Event::Offers(vec![offer("o2", "a", 1.5, 1024)]));
    script.write();
    let next = script.launched().last().expect("a launch").clone();
    script.update(status(&next, TaskState::TaskRunning, 1));
    script.write();
    script.later(SECOND);
    assert!(!script.texts().contains(&first.to_owned()), "{:?}", script.texts());
}

/// A problem that may mend itself, so that launches go on, but each of the tasks fails.
#[test]
fn what_a_task_told_before_it_failed_stays_in_the_list_and_is_told_again() {
    for kind in [ProblemKind::ServerDataFolder, ProblemKind::TaskWaits] {
        let mut script = Script::with(settings());
        script.subscribe();
        script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
        script.write();
        let problem = Problem::new(kind, "cannot open the folder /d");
        script.waits("miner-server-1", &problem);
        let message = Some(problem.text.clone());
        script.update(TaskStatus { message, ..status("miner-server-1", TaskState::TaskFailed, 1) });
        script.write();
        script.later(SECOND);
        let first = "miner-server-1 on a.host has failed: cannot open the folder /d";
        assert_eq!(script.texts()[0], first);
        script.notices.clear();
        let mut told = Vec::new();
        for second in 1..=600 {
            script.later(SECOND);
            let said = script.notices.drain(..).map(|notice| notice.to_string());
            told.extend(said.filter(|text| text.starts_with(first)).map(|text| (second, text)));
        }
        let (times, texts): (Vec<_>, Vec<_>) = told.into_iter().unzip();
        assert_eq!(times, [60, 240, 540]);
        assert!(texts[0].ends_with(kind.remedy().trim_end_matches('.')), "{texts:?}");
        assert_eq!(script.texts()[0], first, "it has not gone away");
        script.event(Event::Offers(vec![offer("o2", "a", 1.5, 1024)]));
        script.write();
        let next = script.launched().last().expect("a launch").clone();
        script.update(status(&next, TaskState::TaskRunning, 1));
        script.write();
        script.later(SECOND);
        assert!(!script.texts().contains(&first.to_owned()), "{:?}", script.texts());
    }
}

/// Workers that run, but whose pool is away. A worker that mines ends the messages.
#[test]
fn the_user_is_told_again_while_no_worker_mines() {
    let mut script = Script::with_workers();
    let told = |script: &mut Script, away: [bool; 2]| {
        let mut times = Vec::new();
        for second in 1..=300 {
            for (task, away) in ["miner-worker-2", "miner-worker-3"].into_iter().zip(away) {
                script.works(task, away.then(|| refused("pool p is away")), None);
            }
            script.later(SECOND);
            let said: Vec<_> = script.notices.drain(..).map(|notice| notice.to_string()).collect();
            times.extend(said.iter().filter(|text| text.contains("Compare the pool's")).map(|_| second));
        }
        times
    };
    let times = told(&mut script, [true; 2]);
    assert!(times.len() == 2 && times[1] - times[0] == 180, "{times:?}");
    assert_eq!(told(&mut script, [true, false]), [0; 0]);
}

#[test]
fn what_live_messages_tell_is_marked_until_a_report_has_it() {
    let mut script = Script::with_workers();
    let live = Totals { hashes: 700, accepted: 100, ..Totals::default() };
    script.works("miner-worker-2", None, Some(live));
    let figures = |script: &Script| {
        let overview = script.state.overview(script.now);
        (overview.totals.worker.accepted, overview.unaccounted.accepted, overview.unaccounted.hashes)
    };
    assert_eq!(figures(&script), (0, 100, 700));
    script.update(TaskStatus {
        data: Some(report("miner-worker-2", 2, 60)),
        ..status("miner-worker-2", TaskState::TaskRunning, 2)
    });
    script.write();
    assert_eq!(figures(&script), (60, 40, 280));
    // The last report has everything.
    script.update(TaskStatus {
        data: Some(report("miner-worker-2", 3, 110)),
        ..status("miner-worker-2", TaskState::TaskKilled, 3)
    });
    script.write();
    assert_eq!(figures(&script), (110, 0, 0));
}

#[test]
fn what_a_worker_that_died_told_live_is_not_marked_for_ever() {
    let mut script = Script::with_workers();
    let live = Totals { hashes: 700, accepted: 100, ..Totals::default() };
    script.works("miner-worker-3", None, Some(live));
    script.works("miner-worker-2", None, Some(live));
    let figures = |script: &Script| {
        let overview = script.state.overview(script.now);
        (overview.totals.worker.accepted, overview.unaccounted.accepted, overview.unaccounted.hashes)
    };
    assert_eq!(figures(&script), (0, 200, 1400));
    // It was killed with -9: its executor sent no last report.
    script.update(status("miner-worker-2", TaskState::TaskFailed, 2));
    script.write();
    assert_eq!(figures(&script), (0, 100, 700));
    // A message that was on its way counts no more.
    script.works("miner-worker-2", None, Some(Totals { accepted: 120, ..live }));
    assert_eq!(figures(&script), (0, 100, 700));
}
