//! Bad input: the program names the bad value, exits with a status other than 0, and leaves no process running.

use std::io::Write;
use std::net::TcpListener;

use rustix::process::Signal;
use testing::ports::closed_address;

use crate::support::http::Server;
use crate::support::process::{Ended, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE};

/// The exit status for errors in the command line.
const USAGE: i32 = 64;
/// The exit status for errors that are found only at run time.
const FAILURE: i32 = 1;

/// Runs a command to its end, and checks that it leaves no process running.
fn run(arguments: &[&str]) -> Ended {
    let mut process = mesos_miner(arguments);
    let ended = process.wait(LONG_DEADLINE);
    process.assert_nothing_left(&process.family(), DEADLINE);
    ended
}

/// Runs a command, and checks its exit status and that its standard error, in lower case, contains all `mentions`.
fn refused(status: i32, arguments: &[&str], mentions: &[&str]) {
    let ended = run(arguments);
    let errors = ended.errors().to_lowercase();
    assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {ended:#?}");
    for text in mentions {
        assert!(errors.contains(text), "{arguments:?} should mention {text:?}: {ended:#?}");
    }
    assert!(!errors.contains("panicked"), "{arguments:?}: {ended:#?}");
    assert!(!ended.stdout.join("\n").contains("error"), "errors belong on standard error: {ended:#?}");
}

#[test]
fn unknown_flag() {
    for command in ["local", "scheduler", "executor", "mine", "pool", "bench"] {
        refused(USAGE, &[command, "--warp-speed"], &["--warp-speed", "usage"]);
    }
    refused(USAGE, &["--warp-speed"], &["--warp-speed"]);
}

#[test]
fn bad_zookeeper_addresses() {
    let zk = format!("zk://{}/miner", closed_address());
    refused(FAILURE, &["scheduler", "--zk", &zk, "--no-retry"], &["no session with zookeeper", &zk]);
    refused(FAILURE, &["ledger", "--zk", &zk], &["zookeeper", &zk]);
    refused(USAGE, &["scheduler", "--zk", "h:5050"], &["--zk", "zk://host:port"]);
    refused(USAGE, &["ledger", "--zk", "zk://h"], &["--zk", "zk://host:port"]);
    let masters = ["scheduler", "--master", "zk://h/mesos", "--zk", "zk://h/mesos"];
    refused(USAGE, &masters, &["zk://h:2181/mesos", "a path of their own"]);
}

#[test]
fn unknown_subcommand() {
    refused(USAGE, &["mint"], &["mint"]);
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["local", "--help"], &["mine", "--help"]] {
        let ended = run(arguments);
        assert!(ended.status.success(), "{ended:#?}");
        assert!(!ended.stdout.is_empty(), "{ended:#?}");
    }
}

#[test]
fn zero_threads() {
    refused(USAGE, &["mine", "-o", "127.0.0.1:3333", "-u", "me", "-t", "0"], &["'0'", "-t"]);
}

#[test]
fn unknown_pool_scheme() {
    refused(USAGE, &["mine", "-o", "gopher://127.0.0.1:3333", "-u", "me"], &["gopher", "stratum+tcp"]);
}

#[test]
fn bad_pool_address() {
    for address in ["127.0.0.1", "127.0.0.1:notaport", "127.0.0.1:70000", "stratum+tcp://", ":3333"] {
        refused(USAGE, &["mine", "-o", address, "-u", "me"], &[address]);
    }
}

#[test]
fn bad_node_address() {
    let paid = ["--address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"];
    for start in [["mine"].as_slice(), &["pool", "--chain", "node"]] {
        for address in ["gopher://127.0.0.1:8332", "http://127.0.0.1:port", "127.0.0.1:port"] {
            let line = [start, &["--bitcoind", address], &paid].concat();
            refused(USAGE, &line, &["--bitcoind", address]);
        }
    }
    refused(USAGE, &["mine", "--bitcoind", "http://127.0.0.1:8332"], &["--address"]);
    refused(USAGE, &["pool", "--chain", "node", "--address", paid[1]], &["--bitcoind"]);
    refused(USAGE, &["mine", "-o", "127.0.0.1:1", "--bitcoind", "http://127.0.0.1:1"], &["--url"]);
    refused(USAGE, &["mine", "-o", "127.0.0.1:1", "--address", paid[1]], &["--bitcoind"]);
    refused(USAGE, &["mine", "-o", "127.0.0.1:1", "--data-dir", "x"], &["--data-dir", "--bitcoind"]);
    refused(USAGE, &["mine"], &["--url"]);
    for option in [["--proxy", "socks5://127.0.0.1:1"].as_slice(), &["--no-retry"]] {
        let line = [&["mine", "--bitcoind", "http://127.0.0.1:1"], &paid[..], option].concat();
        refused(USAGE, &line, &[option[0], "--bitcoind"]);
    }
}

#[test]
fn contradictory_options() {
    refused(
        USAGE,
        &["scheduler", "--silence-timeout", "1s"],
        &["--silence-timeout 1s", "30s", "--live-interval"],
    );
    refused(USAGE, &["scheduler", "--launch-timeout", "9s"], &["--launch-timeout 9s", "10s"]);
    let cpus = ["scheduler", "--cpus-per-worker", "1", "--min-worker-cpus", "2"];
    refused(USAGE, &cpus, &["--cpus-per-worker 1", "--min-worker-cpus 2"]);
    refused(USAGE, &["scheduler", "--principal", "me", "--secret-file", "/no/file"], &["/no/file"]);
    refused(USAGE, &["scheduler", "--executor-file", "/no/file"], &["--executor-file /no/file"]);
    for cores in ["4000", "0x1000000000000000000000000000000000000"] {
        let line = ["mine", "-o", "127.0.0.1:1", "--cpu-affinity", cores];
        refused(USAGE, &line, &["--cpu-affinity"]);
    }
    refused(USAGE, &["local", "--workers", "2", "--port", "65534"], &["--port 65534", "2 agents", "65533"]);
    refused(USAGE, &["scheduler", "--artifact-address", "host:port"], &["host:port", "--artifact-address"]);
    for address in ["0.0.0.0:8080", "[::]", "224.0.0.1", "0"] {
        let line = ["scheduler", "--artifact-address", address];
        refused(USAGE, &line, &[address, "--artifact-address", "no agent can reach"]);
    }
    for listen in ["fe80::1", "224.0.0.1:80"] {
        let line = ["scheduler", "--artifact-listen", listen];
        refused(USAGE, &line, &["--artifact-listen", listen, "no agent can reach", "--artifact-address"]);
    }
    let line = ["scheduler", "--artifact-address", "nat.example:80", "--artifact-listen", "0.0.0.0:0"];
    refused(USAGE, &line, &["--artifact-listen 0.0.0.0:0", "port 80"]);
}

#[test]
fn too_little_memory_for_a_server() {
    for mem in ["63", "0"] {
        refused(USAGE, &["scheduler", "--server-mem", mem], &["--server-mem", mem, "64"]);
    }
}

#[test]
fn unknown_backend() {
    for command in ["local", "scheduler"] {
        refused(USAGE, &[command, "--backend", "abacus"], &["--backend", "abacus", "portable"]);
    }
}

#[test]
fn unknown_master_scheme() {
    refused(USAGE, &["scheduler", "--master", "gopher://127.0.0.1:5050"], &["gopher"]);
}

#[test]
fn bad_master_address() {
    for address in ["127.0.0.1:notaport", "127.0.0.1:70000", ":5050"] {
        refused(USAGE, &["scheduler", "--master", address], &[address]);
    }
}

#[test]
fn numbers_below_zero() {
    for line in [
        ["local", "--cpus", "-1"],
        ["local", "--duration", "-5s"],
        ["scheduler", "--blocks", "-1"],
        ["pool", "--start-difficulty", "-0.1"],
        ["mine", "-t", "-1"],
        ["bench", "--time", "-1s"],
    ] {
        refused(USAGE, &line, &[line[1], &format!("'{}'", line[2])]);
    }
}

#[test]
fn bad_durations() {
    for value in ["soon", "-5s", "0s", "5 parsecs"] {
        let argument = format!("--duration={value}");
        refused(USAGE, &["local", &argument], &["--duration", &format!("'{value}'")]);
    }
}

#[test]
fn unreachable_pool_without_retry() {
    let address = closed_address().to_string();
    let told = format!("cannot connect to stratum+tcp://{address}: connection refused");
    refused(FAILURE, &["mine", "-o", &address, "-u", "me", "-t", "1", "--no-retry"], &[&told]);
}

#[test]
fn unreachable_pool_is_retried_with_a_message() {
    let address = closed_address().to_string();
    let mut miner = mesos_miner(["mine", "-o", &address, "-u", "me", "-t", "1"]);
    for _ in 0..2 {
        miner.wait_for_error(DEADLINE, |line| is_retry(line, &address).then_some(()));
    }
    assert!(miner.is_running());
    miner.signal(Signal::INT);
    miner.wait(DEADLINE);
    miner.assert_nothing_left(&miner.family(), DEADLINE);
}

#[test]
fn unreachable_master_without_retry() {
    let address = closed_address().to_string();
    refused(FAILURE, &["scheduler", "--master", &address, "--no-retry"], &[&address, "refused"]);
}

#[test]
fn unreachable_master_is_retried_with_a_message() {
    let address = closed_address().to_string();
    let mut scheduler = mesos_miner(["scheduler", "--master", &address]);
    for _ in 0..2 {
        scheduler.wait_for_error(DEADLINE, |line| is_retry(line, &address).then_some(()));
    }
    assert!(scheduler.is_running());
    scheduler.signal(Signal::INT);
    scheduler.wait(DEADLINE);
    scheduler.assert_nothing_left(&scheduler.family(), DEADLINE);
}

/// Whether a line names the peer and announces another attempt.
fn is_retry(line: &str, address: &str) -> bool {
    let small = line.to_lowercase();
    line.contains(address) && ["again", "retry"].iter().any(|word| small.contains(word))
}

#[test]
fn a_master_that_is_not_mesos() {
    for status in ["200 OK", "405 Method Not Allowed", "501 Unsupported method"] {
        let server = Server::answering(status, "<html>It works!</html>");
        let address = server.address.to_string();
        // The server is not a Mesos master, so the scheduler must not try again.
        refused(FAILURE, &["scheduler", "--master", &address], &[&address, "mesos"]);
    }
}

/// Starts a server that sends a greeting immediately, as mail servers do. Returns its address.
fn mail_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    address
}

#[test]
fn a_master_that_does_not_speak_http() {
    let address = mail_server();
    refused(FAILURE, &["scheduler", "--master", &address, "--no-retry"], &[&address]);
}

#[test]
fn a_pool_that_does_not_speak_stratum() {
    let address = mail_server();
    refused(FAILURE, &["mine", "-o", &address, "-u", "me", "-t", "1", "--no-retry"], &[&address]);
}

#[test]
fn pool_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    refused(FAILURE, &["pool", "--chain", "builtin", "--listen", &address], &[&address, "in use"]);
}

#[test]
fn page_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    refused(FAILURE, &["scheduler", "--http", &address], &[&address, "--http", "in use"]);
}

#[test]
fn bad_listen_address() {
    for line in [["pool", "--listen"], ["pool", "--http"], ["scheduler", "--http"], ["local", "--http"]] {
        for value in ["nowhere", "localhost:80", ":80"] {
            let line = [&line[..], &[value]].concat();
            refused(USAGE, &line, &[value, line[1], "address:port", "127.0.0.1:8080", "[::1]:8080"]);
        }
    }
}

#[test]
fn cluster_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    refused(FAILURE, &["local", "--cluster-only", "--port", &port], &[&port, "in use"]);
}

/// A closed pipe, as in `mesos-miner … 2>&1 | head -1`, neither causes a panic nor changes the exit status.
#[test]
fn output_to_a_closed_pipe() {
    let address = closed_address().to_string();
    let master = format!("scheduler --master {address}");
    for (line, status) in [
        (format!("{master} --duration 100ms"), 0),
        (format!("{master} --no-retry"), FAILURE),
        (format!("{master} --silence-timeout 1s"), USAGE),
        (format!("mine -o {address} -u me -t 1 --no-retry"), FAILURE),
        ("pool --listen nowhere".to_owned(), USAGE),
    ] {
        // The pipe's reader ends before the program starts.
        let script =
            format!("exec 3> >(true); wait $!; exec {} {line} >&3 2>&3", env!("CARGO_BIN_EXE_mesos-miner"));
        let ended = start("/bin/bash", ["-c", &script]).wait(LONG_DEADLINE);
        assert_eq!(ended.status.code(), Some(status), "{line}: {ended:#?}");
    }
}

#[test]
fn executor_started_without_an_agent() {
    refused(FAILURE, &["executor"], &["mesos_agent_endpoint", "mesos_framework_id", "mesos_executor_id"]);
}
