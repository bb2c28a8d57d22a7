//! The effect of SIGHUP. Under `nohup`, every subcommand ignores it. On a terminal, SIGHUP ends the program. Otherwise, the
//! program reads some files again, such as those with secrets.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::faults::mining::{MiningHarness, WORKERS};
use crate::secure::peers::authority::SelfSigned;
use crate::secure::terminate;
use crate::standalone::Pool;
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::log::message;
use crate::support::mesos_box::{Member, MesosBox};
use crate::support::process::{Process, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) {
    let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders are plain text")
}

/// Whether a process ignores SIGHUP.
fn ignores_hangup(process: &Process) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal") & 1 == 1
}

/// Sends SIGHUP and waits for the line that says what was read again.
fn reread(process: &mut Process) -> String {
    let seen = process.stderr().iter().filter(|line| message(line).starts_with("SIGHUP: ")).count();
    process.signal(Signal::HUP);
    let mut lines = 0;
    process.wait_for_error(DEADLINE, |line| {
        lines += usize::from(message(line).starts_with("SIGHUP: "));
        (lines > seen).then(|| line.to_owned())
    })
}

/// `nohup` starts a program with SIGHUP ignored, and the program must leave it so. `ready` waits until its handlers for signals
/// are installed.
fn outlives_a_hangup(line: &[&str], ready: impl FnOnce(&mut Process)) {
    let program = env!("CARGO_BIN_EXE_mesos-miner");
    let mut process = start("nohup", [&[program], line].concat());
    ready(&mut process);
    assert!(ignores_hangup(&process), "{line:?}");
    process.signal(Signal::HUP);
    // The program receives SIGHUP before SIGTERM. If SIGHUP has killed the program, it has no exit code.
    process.signal(Signal::TERM);
    let ended = process.wait(LONG_DEADLINE);
    let exited = ended.status.code().is_some();
    assert!(exited && !ended.errors().contains("SIGHUP"), "{line:?}: {ended:#?}");
}

/// The CPU time that a process has used, in clock ticks (proc(5)).
fn cpu_time(process: &mut Process) -> u64 {
    assert!(process.is_running(), "{:#?}", process.stderr());
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it runs");
    let fields = stat.rsplit_once(')').expect("a name").1;
    fields.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).expect("the user time")
}

/// `bench` handles no signal, and says nothing before it has measured everything.
fn bench_outlives_a_hangup() {
    let mut bench = start("nohup", [env!("CARGO_BIN_EXE_mesos-miner"), "bench", "--time", "1000s"]);
    let mut until_it_measures = |more: u64| {
        let before = cpu_time(&mut bench);
        until("bench uses the CPU", DEADLINE, || (cpu_time(&mut bench) >= before + more).then_some(()));
        bench.signal(Signal::HUP);
        assert!(ignores_hangup(&bench));
    };
    // After 50 clock ticks of CPU time, the program is no longer starting, but measuring.
    until_it_measures(50);
    until_it_measures(10);
    bench.signal(Signal::TERM);
    let ended = bench.wait(DEADLINE);
    assert_eq!(ended.status.signal(), Some(Signal::TERM.as_raw()), "{ended:#?}");
}

/// `plan` needs no signal to end. It exits with status 3, because there are no agents.
fn plan_outlives_a_hangup(master: &str) {
    let program = env!("CARGO_BIN_EXE_mesos-miner");
    let mut plan = start("nohup", [program, "scheduler", "plan", "--master", master]);
    plan.wait_for_error(DEADLINE, |line| line.contains("holding offers").then_some(()));
    plan.signal(Signal::HUP);
    let ended = plan.wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(3), "{ended:#?}");
}

#[test]
fn nohup_works_with_every_subcommand() {
    let pool = Pool::start();
    let closed = testing::ports::closed_address().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (state, data) = (folder.path().join("state"), folder.path().join("data"));
    outlives_a_hangup(&["pool", "--listen", "127.0.0.1:0", "--data-dir", text(&data)], |process| {
        process.wait_for_output(DEADLINE, |line| line.starts_with("listening on ").then_some(()));
    });
    outlives_a_hangup(&["mine", "-o", &pool.stratum, "-t", "1"], |process| {
        process.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    });
    outlives_a_hangup(&["scheduler", "--master", &closed, "--state-dir", text(&state)], |process| {
        process.wait_for_error(DEADLINE, |line| line.contains("cannot reach master").then_some(()));
    });
    let cluster = EmbeddedCluster::start(0, 1.0, |_| ());
    let master = cluster.master.to_string();
    plan_outlives_a_hangup(&master);
    outlives_a_hangup(&["local", "--cluster-only", "--port", "0"], |process| {
        process.wait_for_output(DEADLINE, |line| line.starts_with("master: ").then_some(()));
    });
    bench_outlives_a_hangup();
    let executor = [
        format!("MESOS_AGENT_ENDPOINT={closed}"),
        "MESOS_CHECKPOINT=1".to_owned(),
        "MESOS_RECOVERY_TIMEOUT=15mins".to_owned(),
        "MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs".to_owned(),
        "MESOS_FRAMEWORK_ID=f".to_owned(),
        "MESOS_EXECUTOR_ID=e".to_owned(),
        "MESOS_SLAVE_ID=s".to_owned(),
    ];
    let program = env!("CARGO_BIN_EXE_mesos-miner");
    let line: Vec<&str> =
        ["env"].into_iter().chain(executor.iter().map(String::as_str)).chain([program, "executor"]).collect();
    let mut process = start("nohup", line);
    until("its handlers are installed", DEADLINE, || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
        let caught = u64::from_str_radix(&caught, 16).ok()?;
        (caught >> (Signal::TERM.as_raw() - 1) & 1 == 1).then_some(())
    });
    assert!(ignores_hangup(&process), "the executor");
    process.signal(Signal::HUP);
    process.signal(Signal::TERM);
    let ended = process.wait(LONG_DEADLINE);
    assert_ne!(ended.status.signal(), Some(Signal::HUP.as_raw()), "{ended:#?}");
}

/// The Unix tool `script` runs a program on a terminal of its own.
#[test]
fn a_program_ends_when_its_terminal_is_closed() {
    let pool = Pool::start();
    let program = env!("CARGO_BIN_EXE_mesos-miner");
    let line = format!("exec {program} mine -t 1 -o {} > out 2> err", pool.stratum);
    let script = start("script", ["-qec", &line, "/dev/null"]);
    let err = script.folder().join("err");
    until("it mines", LONG_DEADLINE, || {
        fs::read_to_string(&err).ok()?.contains("accepted: 1/").then_some(())
    });
    let miners = script.family();
    let mut script = script;
    // Killing `script` closes the terminal on which the miner runs.
    script.signal(Signal::KILL);
    script.wait(DEADLINE);
    let out = script.folder().join("out");
    until("the miner has printed its summary", DEADLINE, || {
        fs::read_to_string(&out).ok()?.contains("shares: ").then_some(())
    });
    script.assert_nothing_left(&miners, DEADLINE);
}

/// On SIGHUP, the scheduler reads its secret again. Later it needs the new secret, and uses it although the file has been
/// deleted.
#[test]
fn a_scheduler_reads_its_secret_and_log_filter_again_on_a_real_mesos() {
    let Some(command) = peer::mesos() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let known = |secret: &str| {
        let text = format!(r#"{{"credentials": [{{"principal": "miner", "secret": "{secret}"}}]}}"#);
        write(&file("credentials"), &text);
    };
    known("old");
    write(&file("secret"), "old\n");
    write(&file("filter"), "warn\n");
    let credentials = file("credentials");
    let mesos =
        MesosBox::with_options(&command, WORKERS as u16, &["--cpus=1", "--credentials", text(&credentials)]);
    let address = mesos.address.clone();
    let (secret, filter) = (file("secret"), file("filter"));
    let options =
        ["--principal", "miner", "--secret-file", text(&secret), "--log-filter-file", text(&filter)];
    let mut mining = MiningHarness::at(Cluster::Real(mesos), &address, &options);
    let before = mining.tasks();

    let said = reread(&mut mining.scheduler);
    assert!(said.contains("--secret-file") && said.matches("(unchanged)").count() == 2, "{said}");
    write(&file("filter"), "loud\n=\n");
    write(&file("secret"), "new\n");
    let said = reread(&mut mining.scheduler);
    assert!(
        said.contains("/secret (changed)") && said.contains("what was read before stays in use"),
        "{said}"
    );
    write(&file("filter"), "scheduler=debug\n");
    fs::remove_file(file("secret")).expect("removed");
    let said = reread(&mut mining.scheduler);
    assert!(said.contains("/filter (changed)") && said.contains("stays in use"), "{said}");

    mining.cluster.real().kill(Member::Master);
    known("new");
    mining.cluster.real().restart(Member::Master);
    mining.until_it_mines(|mining| mining.tasks() == before);
    let (_, ended) = mining.end();
    assert!(ended.errors().contains("DEBUG"), "the new filter is in use: {ended:#?}");
    assert!(!ended.errors().contains("HTTP 401"), "{ended:#?}");
}

#[test]
fn mine_reads_its_authorities_again_and_goes_on() {
    let pool = Pool::start();
    let mut plain = mesos_miner(["mine", "-t", "1", "-o", &pool.stratum]);
    plain.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    assert!(reread(&mut plain).contains("nothing to read again"));

    let (server, other) =
        (SelfSigned::with("x", &["localhost"], |_| {}), SelfSigned::with("x", &["localhost"], |_| {}));
    let runtime = Runtime::new().expect("a runtime");
    let port = runtime.block_on(terminate(server.acceptor.clone(), pool.stratum.clone()));
    let (file, url) = (server.file(), format!("stratum+ssl://localhost:{port}"));
    let right = fs::read_to_string(&file).expect("a certificate");
    let wrong = fs::read_to_string(other.file()).expect("a certificate");
    let mut miner = mesos_miner(["mine", "-t", "1", "-o", &url, "--tls-ca", text(&file)]);
    miner.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    write(&file, "no certificate");
    assert!(reread(&mut miner).contains("stays in use"));
    write(&file, &wrong);
    assert!(reread(&mut miner).contains("(changed)"));
    miner.wait_for_error(LONG_DEADLINE, |line| line.contains("signed by itself").then_some(()));
    write(&file, &right);
    assert!(reread(&mut miner).contains("(changed)"));
    let authorized = |process: &Process| {
        process.stderr().iter().filter(|line| message(line).starts_with("mining for ")).count()
    };
    until("it mines with the right certificate", LONG_DEADLINE, || (authorized(&miner) == 2).then_some(()));
    for mut process in [plain, miner] {
        process.interrupt(DEADLINE);
    }
}
