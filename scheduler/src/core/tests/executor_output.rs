//! The end of the standard error of executors that do not run: when it is read, and what becomes of it.

use mesos::v1::{Address, Url};
use problem::{Problem, ProblemKind};

use super::*;
use crate::sandbox::{StderrOutcome, StderrRead};

const DENIED: &str = "Failed to execute '/opt/mesos-miner': Permission denied";
const URL: &str = "http://m:5050/#/agents/a";

fn offer_with_url(id: &str, agent: &str) -> Offer {
    let address = Address { hostname: Some(agent.to_owned()), ip: Some("10.0.0.1".into()), port: 5051 };
    let url = Url { scheme: "http".into(), address, path: Some("/slave(1)".into()), ..Url::default() };
    Offer { url: Some(url), ..offer(id, agent, 1.5, 1024) }
}

/// Launches a server on the agent, and lets its executor fail with exit status 233.
fn fail(script: &mut Script, agent: &str, n: u8) -> String {
    script.calls.clear();
    while script.launched().is_empty() {
        script.event(Event::Offers(vec![offer_with_url(&format!("o{n}"), agent)]));
        script.write();
        script.wait(Duration::from_secs(1));
    }
    let task = script.launched().remove(0);
    let (executor, agent) = (task.clone(), Some(agent.to_owned()));
    script.event(Event::ExecutorTerminated { agent: agent.clone(), executor, status: Some(256_256) });
    script.update(TaskStatus {
        agent_id: agent.map(Into::into),
        reason: Some(task_status::Reason::ExecutorTerminated.into()),
        message: Some("Executor terminated".into()),
        ..status(&task, TaskState::TaskFailed, n)
    });
    script.write();
    task
}

fn answer(script: &mut Script, outcome: StderrOutcome) {
    let (sandbox, end) = script.to_read.remove(0);
    let url = Some(URL.to_owned());
    script.event(Event::StderrRead(Box::new(StderrRead { end, host: sandbox.host, url, outcome })));
}

fn started() -> Script {
    let mut script = Script::new();
    script.subscribe();
    script
}

fn said(script: &Script) -> Vec<String> {
    script.notices.iter().map(ToString::to_string).collect()
}

fn first_problem(script: &Script) -> Option<Problem> {
    script.state.overview(script.now).problems.first.first().cloned()
}

#[test]
fn it_is_read_once_for_a_kind_of_failure_and_shown_with_the_sandbox() {
    let mut script = started();
    let task = fail(&mut script, "a", 1);
    let (sandbox, _) = script.to_read[0].clone();
    assert_eq!(sandbox.agent_url, "http://10.0.0.1:5051/slave(1)");
    assert_eq!(
        (sandbox.framework.as_str(), sandbox.task.as_str(), sandbox.agent.as_str()),
        ("f", &*task, "a")
    );
    let problem = first_problem(&script).expect("the failure is listed");
    assert_eq!(problem.kind, ProblemKind::ExecutorNotExecuted);
    assert!(problem.text.contains("on a.host: exit status 233"), "{problem}");

    script.clear();
    answer(&mut script, StderrOutcome::Read(format!("fetched\n{DENIED}")));
    let shown = [
        format!("{task} on a.host, stderr: fetched"),
        format!("{task} on a.host, stderr: {DENIED}"),
        format!("the sandbox of {task}: {URL}"),
    ];
    assert_eq!(said(&script), shown);
    let problem = first_problem(&script).expect("it is still listed");
    assert_eq!(problem.kind, ProblemKind::ExecutorNotExecutable, "the cause is known better now");
    let begins = format!("the executor may not be executed on a.host: exit status 233: {DENIED}; may ");
    assert!(problem.text.starts_with(&begins), "{problem}");
    let failure = script.state.overview(script.now).failures.remove(0);
    assert_eq!(failure.stderr.as_deref(), Some(&*format!("fetched\n{DENIED}")));
    assert_eq!(failure.sandbox.as_deref(), Some(URL));
    assert!(failure.text.contains("may not be executed") && failure.text.contains(DENIED), "{failure:?}");

    script.clear();
    fail(&mut script, "a", 2);
    let failed: Vec<String> = said(&script).into_iter().filter(|line| line.contains("TASK_FAILED")).collect();
    assert!(failed.len() == 1 && !failed[0].contains(DENIED), "another task wrote that: {failed:?}");
    fail(&mut script, "b", 3);
    assert_eq!(script.to_read, [], "all failures are of the same kind");
    assert_eq!(first_problem(&script), Some(problem), "the listed one says more than the new one would");
}

/// The file is put there, but with the wrong mode; then it becomes right, and the executor fails for another cause.
#[test]
fn a_failure_is_never_explained_with_what_another_task_wrote() {
    const MISSING: &str = "Failed to execute '/opt/mesos-miner': No such file or directory";
    let mut script = started();
    let first = fail(&mut script, "a", 1);
    answer(&mut script, StderrOutcome::Read(MISSING.into()));
    assert_eq!(first_problem(&script).map(|problem| problem.kind), Some(ProblemKind::ExecutorNotFound));

    let mut n = 2;
    while script.to_read.is_empty() {
        assert!(n < 10, "it is read again soon");
        script.clear();
        let task = fail(&mut script, "a", n);
        let failures = script.state.overview(script.now).failures;
        let failure = failures.iter().find(|failure| failure.task == task).expect("it is the newest one");
        assert!(!failure.text.contains(MISSING) && failure.stderr.is_none(), "{failure:?}");
        assert!(!said(&script).iter().any(|line| line.contains(MISSING)), "{:?}", said(&script));
        n += 1;
    }
    script.clear();
    answer(&mut script, StderrOutcome::Read(DENIED.into()));
    let problem = first_problem(&script).expect("it is listed");
    assert!(problem.kind == ProblemKind::ExecutorNotExecutable && problem.text.contains(DENIED), "{problem}");
    assert!(said(&script)[0].ends_with(DENIED), "{:?}", said(&script));
    let failures = script.state.overview(script.now).failures;
    assert!(failures.iter().any(|failure| failure.task == first && failure.text.contains(MISSING)));
}

/// The words of a failure that lasts are told once a minute, and the list of failures has them for each task that was read.
#[test]
fn the_same_words_are_told_once_in_a_while() {
    let mut script = started();
    fail(&mut script, "a", 1);
    answer(&mut script, StderrOutcome::Read(DENIED.into()));
    script.clear();
    script.wait(Duration::from_secs(6));
    let task = fail(&mut script, "a", 2);
    script.clear();
    answer(&mut script, StderrOutcome::Read(DENIED.into()));
    assert_eq!(said(&script), [""; 0], "it is no news");
    let failure = script.state.overview(script.now).failures.remove(0);
    assert!(failure.task == task && failure.text.contains(DENIED), "{failure:?}");
    script.wait(Duration::from_secs(61));
    fail(&mut script, "a", 3);
    script.clear();
    answer(&mut script, StderrOutcome::Read(DENIED.into()));
    assert!(said(&script)[0].ends_with(DENIED), "{:?}", said(&script));
}

/// When a task has run on the agent, the next failure is read, however soon it comes.
#[test]
fn a_failure_is_read_again_when_a_task_has_run_there() {
    let mut script = started();
    fail(&mut script, "a", 1);
    answer(&mut script, StderrOutcome::Read("no space left on device".into()));
    script.calls.clear();
    while script.launched().is_empty() {
        script.event(Event::Offers(vec![offer_with_url("o9", "a")]));
        script.write();
        script.wait(Duration::from_secs(1));
    }
    let task = script.launched().remove(0);
    script.update(status(&task, TaskState::TaskRunning, 1));
    script.write();
    script.clear();
    let agent = Some("a".to_owned());
    script.event(Event::ExecutorTerminated {
        agent: agent.clone(),
        executor: task.clone(),
        status: Some(256_256),
    });
    script.update(TaskStatus {
        agent_id: agent.map(Into::into),
        reason: Some(task_status::Reason::ExecutorTerminated.into()),
        ..status(&task, TaskState::TaskFailed, 2)
    });
    script.write();
    assert!(!said(&script).iter().any(|line| line.contains("no space")), "{:?}", said(&script));
    assert_eq!(script.to_read.len(), 1, "{:?}", said(&script));
    answer(&mut script, StderrOutcome::Read("license expired".into()));
    let failure = script.state.overview(script.now).failures.remove(0);
    assert!(failure.text.contains("license expired"), "{failure:?}");
}

/// The server fails on the agent, then a worker in the same way. Each has its own cause.
#[test]
fn failures_of_the_server_and_of_workers_are_of_different_kinds() {
    let mut script = started();
    script.event(Event::Offers(vec![offer_with_url("o1", "a")]));
    script.write();
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.write();
    script.event(Event::Offers(vec![offer_with_url("o2", "a")]));
    script.write();
    script.update(status("miner-worker-2", TaskState::TaskRunning, 1));
    script.write();
    for (n, (task, words)) in
        [("miner-worker-2", "cannot find libhash.so"), ("miner-server-1", "no port")].into_iter().enumerate()
    {
        script.clear();
        script.update(TaskStatus {
            reason: Some(task_status::Reason::ExecutorTerminated.into()),
            ..status(task, TaskState::TaskFailed, 9)
        });
        script.write();
        assert!(!said(&script).iter().any(|line| line.contains("libhash")), "{:?}", said(&script));
        assert_eq!(script.to_read.len(), 1, "{n}: {:?}", said(&script));
        answer(&mut script, StderrOutcome::Read(words.into()));
        let failure = script.state.overview(script.now).failures.remove(0);
        assert!(failure.task == task && failure.text.contains(words), "{failure:?}");
    }
}

#[test]
fn agents_that_refuse_or_are_silent_are_asked_a_few_times_and_a_refusal_is_told_once() {
    let mut script = started();
    let why = "agents ask for credentials: give --agent-principal and --agent-secret-file";
    for n in 1..=5 {
        fail(&mut script, &format!("agent{n}"), n);
        script.clear();
        if !script.to_read.is_empty() {
            answer(&mut script, StderrOutcome::Refused(why.into()));
        }
        let told = said(&script).iter().filter(|line| line.contains(why)).count();
        assert_eq!(told, usize::from(n == 1), "{n}: {:?}", said(&script));
        assert_eq!(script.state.overview(script.now).failures[0].sandbox.is_some(), n <= 3);
        let sandbox = said(&script).iter().any(|line| line.contains(URL));
        assert_eq!(sandbox, n <= 3, "{n}: {:?}", said(&script));
    }
}

/// Three agents have the failure in common, so it is one problem, whose cause is that of the failure.
#[test]
fn a_common_failure_is_listed_with_the_cause_that_the_standard_error_names() {
    let mut script = started();
    for n in 1..=3 {
        fail(&mut script, &format!("agent{n}"), n);
    }
    script.wait(Duration::from_secs(1));
    let problems = |script: &Script| -> Vec<ProblemKind> {
        script.state.overview(script.now).problems.first.iter().map(|problem| problem.kind).collect()
    };
    assert_eq!(problems(&script)[0], ProblemKind::ExecutorNotExecuted);
    answer(&mut script, StderrOutcome::Read(DENIED.into()));
    let problem = first_problem(&script).expect("it is listed");
    assert_eq!(problem.kind, ProblemKind::ExecutorNotExecutable);
    assert!(problem.text.contains(DENIED) && problem.text.contains("3 launches on 3 agents"), "{problem}");
    assert_eq!(problems(&script).iter().filter(|kind| kind.code().starts_with("executor")).count(), 1);
}

#[test]
fn the_problem_goes_when_a_task_runs_there_or_when_it_is_old() {
    for runs in [true, false] {
        let mut script = started();
        fail(&mut script, "a", 1);
        assert!(first_problem(&script).is_some());
        script.calls.clear();
        if runs {
            while script.launched().is_empty() {
                script.event(Event::Offers(vec![offer_with_url("o9", "a")]));
                script.write();
                script.wait(Duration::from_secs(1));
            }
            let task = script.launched().remove(0);
            script.update(status(&task, TaskState::TaskRunning, 1));
            script.write();
        } else {
            script.wait(Duration::from_secs(901));
        }
        let executors = |problem: &Problem| problem.kind.code().starts_with("executor");
        assert!(!first_problem(&script).is_some_and(|problem| executors(&problem)), "{runs}");
    }
}

/// The executor of a slow launch still runs. What it has written may say why its task does not.
#[test]
fn the_standard_error_of_a_slow_launch_is_read_while_its_executor_lives() {
    let mut script = started();
    script.event(Event::Offers(vec![offer_with_url("o1", "a")]));
    script.write();
    script.update(status("miner-server-1", TaskState::TaskStarting, 1));
    script.write();
    script.wait(Duration::from_secs(11));
    assert_eq!(script.to_read.len(), 1, "no worker mines, so ten seconds are long");
    // It has written nothing yet, so it is read again.
    answer(&mut script, StderrOutcome::Read(String::new()));
    script.clear();
    script.wait(Duration::from_secs(51));
    assert_eq!(script.to_read.len(), 1);
    script.clear();
    answer(&mut script, StderrOutcome::Read("cannot connect to the agent".into()));
    assert_eq!(said(&script)[0], "miner-server-1 on a.host, stderr: cannot connect to the agent");
    script.wait(settings().options.launch_timeout);
    assert!(said(&script).iter().any(|line| line.contains("giving up")), "{:?}", said(&script));
    assert_eq!(script.to_read, [], "it was read already");
}
