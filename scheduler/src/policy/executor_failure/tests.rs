use problem::ProblemKind;

use super::*;
use crate::core::tests::settings;

/// What a real Mesos 1.11 sends when it could not launch a container because a fetch failed.
const NOT_FETCHED: &str = "Failed to launch container: Failed to fetch all URIs for container 'f697a755-09b8': exited with status 1";
/// What it sends when it does not know the user.
const NO_USER: &str = "Failed to create executor directory '/w/slaves/S0/frameworks/F/executors/e/runs/1c9f': Failed to chown \
                       directory to 'nosuchuser': No such user 'nosuchuser'";

fn template(delivery: Delivery) -> TaskTemplate {
    TaskTemplate { user: "miner".into(), delivery, ..settings().template }
}

fn fetched() -> TaskTemplate {
    template(Delivery::Fetch { uri: "http://user:s3cret@h:1/x/mesos-miner".into(), cache: false })
}

fn installed() -> TaskTemplate {
    template(Delivery::Path("/opt/mesos-miner".into()))
}

fn end<'a>(reason: Reason, message: &'a str, status: i32, stderr: Option<&'a str>) -> ExecutorEnd<'a> {
    ExecutorEnd { reason: Some(reason), message, status: Some(ExecutorStatus::of(status)), stderr }
}

#[track_caller]
fn explained(end: ExecutorEnd<'_>, template: &TaskTemplate, fault: ExecutorFault, says: &[&str]) {
    let explanation = end.explain(Some(template)).expect("it is the executor's");
    assert_eq!(explanation.fault, fault, "{}", explanation.text());
    for part in says {
        assert!(explanation.text().contains(part), "{part:?} is not in {:?}", explanation.text());
    }
    assert!(!explanation.text().contains("s3cret"), "{}", explanation.text());
}

#[test]
fn a_failed_fetch_an_unknown_user_and_an_unknown_container_are_told_apart() {
    use Reason::{ContainerLaunchFailed, ExecutorTerminated};
    let failed = end(ContainerLaunchFailed, NOT_FETCHED, 9, None);
    let says = ["could not be fetched", "h:1/x/mesos-miner", "--artifact-address", "--executor-uri"];
    explained(failed, &fetched(), ExecutorFault::FetchFailed, &says);
    let refused = "mesos-fetcher: failed to fetch 'http://h:1/x': Connection refused\n";
    let failed = ExecutorEnd { stderr: Some(refused), ..failed };
    explained(failed, &fetched(), ExecutorFault::FetchFailed, &["Connection refused"]);

    let unknown = end(ExecutorTerminated, NO_USER, -1, None);
    explained(unknown, &fetched(), ExecutorFault::UserUnknown, &["No such user 'nosuchuser'", "(--user)"]);
    assert!(
        !unknown.explain(Some(&fetched())).unwrap().text().contains("/w/slaves"),
        "a path says nothing here"
    );

    let image =
        Delivery::Image { image: "miner:1".into(), containerizer: crate::task_info::Containerizer::Docker };
    let message = "Abnormal executor termination: unknown container";
    let unknown = end(ExecutorTerminated, message, -1, None);
    explained(
        unknown,
        &template(image.clone()),
        ExecutorFault::NoContainer,
        &["unknown container", "miner:1"],
    );
    let message = "Failed to launch container: Unsupported container image type: DOCKER";
    let unknown = end(ContainerLaunchFailed, message, -1, None);
    explained(
        unknown,
        &template(image),
        ExecutorFault::NoContainer,
        &["started for the executor: Unsupported"],
    );
}

#[test]
fn the_exit_status_alone_names_all_that_may_be_the_cause() {
    let ended = |status| end(Reason::ExecutorTerminated, "Executor terminated", status, None);
    let says = ["noexec", "another architecture", "libc", "/opt/mesos-miner", "--executor-path"];
    explained(ended(256_256), &installed(), ExecutorFault::NotExecuted, &says);
    explained(ended(126 << 8), &installed(), ExecutorFault::NotExecutable, &["chmod", "noexec"]);
    explained(
        ended(127 << 8),
        &fetched(),
        ExecutorFault::Incompatible,
        &["--executor-uri", "scripts/static"],
    );
    explained(ended(256), &fetched(), ExecutorFault::Ended, &["ended by itself"]);
    explained(ended(9), &fetched(), ExecutorFault::Ended, &["lack of memory"]);
    explained(ended(4), &fetched(), ExecutorFault::Ended, &["illegal instruction"]);
    let silent = end(Reason::ExecutorRegistrationTimeout, "Executor did not register within 1mins", 9, None);
    explained(silent, &fetched(), ExecutorFault::NotRegistered, &["within 1mins", "--executor-uri"]);
    assert_eq!(ExecutorFault::NotRegistered.kind(), ProblemKind::ExecutorNotRegistered);
}

/// Each of these was the end of the standard error under a real Mesos 1.11.
#[test]
fn the_standard_error_decides_where_the_status_is_ambiguous() {
    use ExecutorFault::*;
    for (status, stderr, fault, says) in [
        (
            256_256,
            "Failed to execute '/opt/mesos-miner': No such file or directory\n",
            NotFound,
            "No such file",
        ),
        (
            256_256,
            "Failed to execute '/opt/mesos-miner': Permission denied\n",
            NotExecutable,
            "may miner execute",
        ),
        (256_256, "Failed to execute '/opt/mesos-miner': Exec format error\n", Incompatible, "libc"),
        (512, "/opt/mesos-miner: 1: Syntax error: \"(\" unexpected\n", Incompatible, "Syntax error"),
        (32512, "/opt/mesos-miner: 1: hello: not found\n", Incompatible, "hello: not found"),
        (
            256,
            "/x: /lib/libc.so.6: version `GLIBC_9.34' not found (required by /x)\n\n",
            Incompatible,
            "GLIBC_9.34",
        ),
        (32512, "/x: error while loading shared libraries: libx.so: cannot open\n", Incompatible, "libx.so"),
        (256, "Error: cannot connect to the agent\n", Ended, "cannot connect to the agent"),
        (512, "", Ended, "ended by itself"),
    ] {
        let end = end(Reason::ExecutorTerminated, "Executor terminated", status, Some(stderr));
        explained(end, &installed(), fault, &[says]);
    }
    let noexec =
        "mesos-fetcher: fetched\nFailed to execute '/w/runs/fc95/./mesos-miner': Permission denied\n";
    let noexec = end(Reason::ExecutorTerminated, "Executor terminated", 256_256, Some(noexec));
    explained(noexec, &fetched(), NotExecutable, &["--work_dir", "noexec", "--executor-path"]);
}

const MINING: &str = "2026-11-30T12:14:37Z INFO  mining pool=127.0.0.1:3333";

#[test]
fn what_a_killed_executor_wrote_before_is_no_cause() {
    let said = |status, stderr| {
        let end = end(Reason::ExecutorTerminated, "Executor terminated", status, Some(stderr));
        end.explain(Some(&fetched())).expect("it is the executor's").text()
    };
    let killed = "the executor was killed (by the kernel for lack of memory, or by somebody)";
    for stderr in [MINING, "Error: this was long ago", "/x: Exec format error", "work in progress"] {
        assert_eq!(said(9, stderr), killed, "{stderr}");
        assert_eq!(said(11, stderr), "the executor was ended by a signal", "{stderr}");
        assert_eq!(said(0, stderr), "the executor ended by itself", "{stderr}");
    }
    let panicked = "thread 'main' panicked at x.rs:1: out of range";
    assert_eq!(said(6, panicked), format!("the executor was ended by a signal: {panicked}"));
}

#[test]
fn lines_about_routine_are_no_cause() {
    let said = |stderr: &str| {
        let end = end(Reason::ExecutorTerminated, "Executor terminated", 256, Some(stderr));
        end.explain(Some(&fetched())).expect("it is the executor's").text()
    };
    let fetched = "I1130 12:14:36.100000  4711 fetcher.cpp:613] Fetched 'http://h:1/x' to 'SANDBOX/x'";
    let json = r#"{"time":"2026-11-30T12:14:37Z","level":"info","target":"miner","message":"mining"}"#;
    let of_two = format!("{MINING}\n2026-11-30T12:14:37Z INFO     | more");
    for routine in [MINING, "2026-11-30T12:14:37Z DEBUG job", fetched, json, &*of_two] {
        assert_eq!(said(routine), "the executor ended by itself", "{routine}");
        assert_eq!(
            said(&format!("{fetched}\nno room\n{routine}\n")),
            "the executor ended by itself: no room"
        );
    }
    let refused = "2026-11-30T12:14:38Z ERROR license expired";
    assert!(said(&format!("{MINING}\n{refused}")).ends_with(refused), "the level ERROR is about a cause");
    let refused = json.replace("info", "error");
    assert!(said(&format!("{MINING}\n{refused}")).ends_with(&*refused));
}

#[test]
fn a_full_disk_is_named_and_the_address_is_not_blamed() {
    for line in [
        "Failed to fetch 'http://h:1/x': Failed to write: No space left on device",
        "Failed to fetch 'http://h:1/x': Error downloading resource: Failed writing received data to disk/application",
    ] {
        let stderr = format!("{line}\nFailed to synchronously fetch\n");
        let full = end(Reason::ContainerLaunchFailed, NOT_FETCHED, 9, Some(&stderr));
        explained(full, &fetched(), ExecutorFault::FetchFailed, &[line, "disk is full", "--work_dir"]);
        let text = full.explain(Some(&fetched())).expect("it is the executor's").text();
        assert!(!text.contains("does this agent reach"), "{text}");
    }
    let message = "Failed to launch container: Failed to create directory '/w/x': No space left on device";
    let full = end(Reason::ContainerLaunchFailed, message, -1, None);
    explained(full, &installed(), ExecutorFault::NoContainer, &["No space left", "disk is full"]);
}

#[test]
fn other_ends_are_not_the_executors() {
    let reason = Some(Reason::TaskInvalid);
    assert_eq!(ExecutorEnd { reason, ..ExecutorEnd::default() }.explain(Some(&fetched())), None);
    assert_eq!(ExecutorEnd::default().explain(Some(&fetched())), None);
    // A user's image has no executor of ours, so there is no advice about ours.
    let end = end(Reason::ExecutorTerminated, "", 127 << 8, None);
    assert!(!end.explain(None).unwrap().text().contains("--executor"));
}
