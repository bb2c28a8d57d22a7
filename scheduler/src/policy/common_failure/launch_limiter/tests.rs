use mesos::v1::TaskState;
use problem::ProblemKind;

use super::*;
use crate::task_id::TaskKind;

const SECOND: Duration = Duration::from_secs(1);

fn failure(reason: task_status::Reason, status: Option<i32>) -> LaunchFailure {
    let (task_kind, state) = (TaskKind::Worker, TaskState::TaskFailed);
    LaunchFailure { task_kind, state, reason: Some(reason), status, problem: None }
}

fn crash() -> LaunchFailure {
    failure(task_status::Reason::ExecutorTerminated, Some(256))
}

/// A limiter with a clock.
struct Clocked {
    limiter: LaunchLimiter,
    now: Instant,
}

impl Clocked {
    fn new() -> Self {
        Self { limiter: LaunchLimiter::new(1), now: Instant::now() }
    }

    /// A limiter after this many successful launches. The first success lifts the initial limit, so launches are no longer
    /// limited.
    fn free(successes: usize) -> Self {
        let mut clocked = Self::new();
        (0..successes).for_each(|_| drop(clocked.limiter.succeeded(clocked.now)));
        assert_eq!(clocked.limiter.limit(0), None);
        clocked
    }

    fn fail(&mut self, failure: LaunchFailure, agent: &str, others: (usize, usize)) -> Option<UserNotice> {
        self.limiter.failed(
            failure,
            (agent, Some(self.now)),
            || Problem::new(ProblemKind::ExecutorEnded, "it ends"),
            others,
            self.now,
        )
    }

    /// Launches crash on these agents, in sequence.
    fn crash_on(&mut self, agents: std::ops::Range<usize>) -> Vec<Option<UserNotice>> {
        agents.map(|agent| self.fail(crash(), &format!("agent{agent}"), (0, 0))).collect()
    }

    fn limit(&self) -> LaunchLimit {
        self.limiter.limit(0).expect("launches are limited")
    }

    /// Waits until the next try. Returns the time that passed.
    fn wait_for_try(&mut self) -> Duration {
        let wait = self.limit().wait(self.now);
        assert_eq!(self.limit().room(0, self.now), u64::from(wait.is_zero()));
        self.now += wait;
        assert_eq!(self.limit().room(0, self.now), 1, "one at a time");
        wait
    }
}

#[test]
fn few_launches_are_allowed_until_one_runs() {
    let mut it = Clocked::new();
    assert_eq!((it.limit().room(0, it.now), it.limit().failure), (FIRST_LAUNCHES, None));
    let limit = it.limiter.limit(3).unwrap();
    assert_eq!((limit.room(0, it.now), limit.room(1, it.now), limit.room(7, it.now)), (1, 0, 0));
    it.limiter.promising();
    assert!(!it.limiter.is_limited());
}

#[test]
fn three_agents_that_fail_alike_are_told_once_and_pauses_grow_up_to_a_bound() {
    let mut it = Clocked::free(1);
    let news = it.crash_on(0..3);
    assert_eq!(news[..2], [None, None]);
    let Some(UserNotice::CommonFailure(told)) = &news[2] else { panic!("{news:?}") };
    assert_eq!((told.launches, told.agents, told.failure.status), (3, 3, Some(256)));
    assert_eq!(told.to_string(), "TASK_FAILED (REASON_EXECUTOR_TERMINATED), exit status 1: it ends");
    assert!(it.limit().is_cautious());
    for power in 0..12 {
        let middle = (SECOND * (1 << power)).min(PAUSES.1);
        let wait = it.wait_for_try();
        assert!(
            wait >= middle.mul_f64(0.75) && wait <= middle.mul_f64(1.25),
            "{wait:?} instead of {middle:?}"
        );
        assert_eq!(it.crash_on(power..power + 1), [None], "on whatever agent, and told once");
    }
    assert_eq!(it.limit().failure.unwrap().launches, 15);
}

#[test]
fn one_agent_alone_is_no_common_failure() {
    let mut it = Clocked::free(1);
    for _ in 0..100 {
        assert_eq!(it.fail(crash(), "a", (0, 0)), None);
        assert_eq!(it.fail(crash(), "b", (0, 0)), None);
    }
    assert!(!it.limiter.is_limited());
}

#[test]
fn kinds_of_failure_differ_by_state_reason_and_known_status() {
    let mut it = Clocked::free(1);
    let other = |status| failure(task_status::Reason::ExecutorTerminated, status);
    let launch = failure(task_status::Reason::ContainerLaunchFailed, None);
    assert_eq!(it.fail(crash(), "a", (0, 0)), None);
    assert_eq!(it.fail(other(Some(9)), "b", (0, 0)), None, "by another signal");
    assert_eq!(it.fail(launch, "c", (0, 0)), None);
    assert_eq!(it.fail(other(None), "d", (0, 0)), None, "how it ended is not known");
    assert!(matches!(it.fail(crash(), "e", (0, 0)), Some(UserNotice::CommonFailure(_))));
}

#[test]
fn successes_double_the_limit_until_there_is_none() {
    let mut it = Clocked::free(1);
    it.crash_on(0..9);
    it.now += PAUSES.1 * 2;
    for power in 1..=10 {
        assert_eq!(it.limiter.succeeded(it.now), None);
        assert_eq!(it.limit().room(0, it.now), 1 << power);
        assert!(!it.limit().is_cautious(), "others' failures are told again");
    }
    assert_eq!(it.limiter.succeeded(it.now), Some(UserNotice::CommonFailureOver(9)));
    assert!(!it.limiter.is_limited());
    assert_eq!(it.crash_on(0..2), [None, None], "all begins anew");
    assert!(matches!(it.crash_on(2..3)[0], Some(UserNotice::CommonFailure(_))));
}

#[test]
fn the_limit_ends_some_time_after_a_success() {
    let mut it = Clocked::free(1);
    it.crash_on(0..3);
    it.now += PAUSES.1;
    assert_eq!(it.limiter.calm(it.now), None, "nothing has succeeded");
    it.limiter.succeeded(it.now);
    it.now += CALM - SECOND;
    assert_eq!(it.limiter.calm(it.now), None);
    it.crash_on(0..1);
    it.now += SECOND;
    assert_eq!(it.limiter.calm(it.now), None, "one has failed since");
    it.limiter.succeeded(it.now);
    it.now += CALM;
    assert_eq!(it.limiter.calm(it.now), Some(UserNotice::CommonFailureOver(4)));
}

#[test]
fn a_few_bad_agents_among_many_good_ones_limit_nothing() {
    let mut it = Clocked::free(1);
    // Three of a thousand launches fail while the others are in progress; the others then succeed.
    for agent in ["a", "b", "c"] {
        assert_eq!(it.fail(crash(), agent, (997, 0)), None);
    }
    (0..997).for_each(|_| drop(it.limiter.succeeded(it.now)));
    for n in 0..200 {
        assert_eq!(it.fail(crash(), &format!("agent{n}"), (0, 997)), None);
    }
    // While 997 workers run, a failure on 200 agents does not count as common. When no worker runs, it does.
    assert!(matches!(it.fail(crash(), "a", (0, 0)), Some(UserNotice::CommonFailure(_))));
}

#[test]
fn workers_of_an_earlier_run_do_not_count_as_successes() {
    let mut it = Clocked::free(1);
    it.crash_on(0..2);
    assert!(matches!(it.fail(crash(), "c", (0, 50_000)), Some(UserNotice::CommonFailure(_))));
}

#[test]
fn failures_of_earlier_launches_do_not_lengthen_the_pause() {
    let mut it = Clocked::free(1);
    let sent = it.now;
    it.now += SECOND;
    for n in 0..50 {
        // The time of a launch by an earlier run is unknown.
        for sent in [Some(sent), None] {
            it.limiter.failed(
                crash(),
                (&format!("agent{n}"), sent),
                || Problem::new(ProblemKind::LaunchesFail, ""),
                (49 - n, 0),
                it.now,
            );
        }
    }
    assert!(it.limit().wait(it.now) < SECOND * 2, "{:?}", it.limit());
}

#[test]
fn rescinded_offers_are_a_common_failure_only_after_many_lost_races() {
    let mut it = Clocked::free(1);
    let race = failure(task_status::Reason::InvalidOffers, None);
    for n in 1..LOST_RACES {
        assert_eq!(it.fail(race.clone(), &format!("agent{n}"), (0, 0)), None);
    }
    assert!(matches!(it.fail(race, "agent0", (0, 0)), Some(UserNotice::CommonFailure(_))));
}

#[test]
fn a_race_for_many_tasks_of_one_agent_is_lost_once() {
    let mut it = Clocked::free(1);
    let race = failure(task_status::Reason::InvalidOffers, None);
    for _ in 1..LOST_RACES {
        for _ in 0..24 {
            assert_eq!(it.fail(race.clone(), "big", (0, 0)), None);
        }
        it.now += SECOND;
    }
    let Some(UserNotice::CommonFailure(told)) = it.fail(race, "big", (0, 0)) else {
        panic!("it was lost again and again")
    };
    assert_eq!((told.agents, told.launches), (1, 24 * (LOST_RACES as u64 - 1) + 1));
}

#[test]
fn the_number_of_kinds_and_sites_is_bounded() {
    let mut it = Clocked::free(1);
    it.crash_on(0..3);
    for n in 0..1000 {
        it.fail(failure(task_status::Reason::ContainerLaunchFailed, Some(n << 8)), "a", (0, 0));
    }
    assert_eq!(it.limiter.kinds.len(), KINDS);
    assert_eq!(it.limit().failure.unwrap().failure.status, Some(256), "what launches are limited for stays");
}

/// A wrong password is wrong on every agent.
#[test]
fn a_permanent_problem_that_a_task_names_is_common_at_once() {
    let mut test = LaunchLimiter::new(1);
    let now = Instant::now();
    let problem = Some(ProblemKind::NodeCredentials);
    let refused = LaunchFailure { problem, reason: None, status: None, ..crash() };
    let why = || Problem::new(ProblemKind::NodeCredentials, "refused");
    let notice = test.failed(refused.clone(), ("a", Some(now)), why, (0, 0), now);
    assert!(matches!(notice, Some(UserNotice::CommonFailure(common)) if common.launches == 1));
    let limit = test.limit(0).expect("a limit");
    assert!(limit.is_cautious() && limit.allowed == 1, "{limit:?}");
    let later = now + Duration::from_secs(10);
    assert_eq!(test.failed(refused, ("a", Some(later)), why, (0, 0), later), None, "the user knows it");
    assert!(test.limit(0).expect("a limit").wait(later) > Duration::from_secs(1), "the pause grows");
}

/// A success shows that the earlier cause is gone.
#[test]
fn a_failure_after_a_success_has_a_cause_of_its_own() {
    let mut clocked = Clocked::new();
    clocked.crash_on(0..3);
    let cause = Problem::new(ProblemKind::ExecutorEnded, "no space left");
    clocked.limiter.explain(&crash(), cause.clone());
    assert_eq!(clocked.limit().failure.map(|common| common.cause), Some(cause));
    clocked.limiter.succeeded(clocked.now);
    clocked.crash_on(3..6);
    assert_eq!(clocked.limit().failure.map(|common| common.cause.text), Some("it ends".to_owned()));
}

#[test]
fn failures_of_the_server_and_of_workers_are_counted_apart() {
    let mut clocked = Clocked::new();
    clocked.crash_on(0..2);
    assert_eq!(
        clocked.fail(LaunchFailure { task_kind: TaskKind::Server, ..crash() }, "agent2", (0, 0)),
        None
    );
    assert!(clocked.fail(crash(), "agent3", (0, 0)).is_some());
}
