//! Servers with a self-signed certificate, like the ones that Mesos' documentation makes with `openssl req -x509`. Such a
//! certificate is marked as a certificate authority (`CA:TRUE`), and its only name is the common name. mesos-box has no TLS, so a
//! TLS proxy stands in front of its master, and of the pools.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::faults::mining::{MiningHarness, WORKERS, scheduler};
use crate::secure::peers::authority::SelfSigned;
use crate::secure::terminate;
use crate::standalone::{Pool, mines_and_ends};
use crate::support::cluster::Cluster;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Ended, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, peer};

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Returns the error message of a program that must not trust its server. Checks that the message contains no names of Rust
/// types, because users would not understand them.
fn refused(ended: &Ended) -> String {
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let said = ended.errors();
    for rust in ["OtherError", "CaUsedAsEndEntity", "UnknownIssuer", "NotValidForName", "invalid peer"] {
        assert!(!said.contains(rust), "{said}");
    }
    said
}

#[test]
fn a_framework_mines_under_a_real_master_with_a_self_signed_certificate() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, WORKERS as u16, &["--cpus=1"]);
    let (server, other) =
        (SelfSigned::with("localhost", &[], |_| {}), SelfSigned::with("localhost", &[], |_| {}));
    let runtime = Runtime::new().expect("a runtime");
    let port = runtime.block_on(terminate(server.acceptor.clone(), mesos.address.clone()));
    let (certificate, wrong) = (text(&server.file()), text(&other.file()));
    let (named, numbered) = (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    for (master, file, advice) in [
        (&named, &wrong, "CA file that contains this very certificate"),
        (&numbered, &certificate, "subjectAltName=IP:127.0.0.1"),
    ] {
        let state = tempfile::tempdir().expect("a temporary folder");
        let said = refused(&scheduler(master, state.path(), &["--ca-cert", file]).wait(DEADLINE));
        assert!(said.contains(advice), "{advice}: {said}");
    }
    let mining = MiningHarness::at(Cluster::Real(mesos), &named, &["--ca-cert", &certificate]);
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks.get("TASK_KILLED"), Some(&3), "{ended:#?}");
}

#[test]
fn mine_and_a_pool_trust_exactly_the_certificate_in_the_file() {
    let pool = Pool::start();
    let server = SelfSigned::with("x", &["localhost"], |_| {});
    let runtime = Runtime::new().expect("a runtime");
    let port = runtime.block_on(terminate(server.acceptor.clone(), pool.stratum.clone()));
    let (url, file) = (format!("stratum+ssl://localhost:{port}"), text(&server.file()));
    mines_and_ends(&pool, &["mine", "-o", &url, "-t", "1", "--tls-ca", &file, "--json"]);

    let other = SelfSigned::with("x", &["localhost"], |_| {});
    let options = ["--no-retry", "--tls-ca", &text(&other.file())];
    let said = refused(&mesos_miner(["mine", "-o", &url].iter().chain(&options)).wait(DEADLINE));
    assert!(said.contains("(CN=x) is signed by itself"), "{said}");

    let fixed = ["pool", "--listen", "127.0.0.1:0", "--upstream", &url, "-u", "farm", "--tls-ca"];
    let mut proxy = mesos_miner([&fixed[..], &[&file]].concat());
    let listening =
        proxy.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));
    let mut miner = mesos_miner(["mine", "-t", "1", "-o", &listening]);
    miner.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    for mut process in [miner, proxy] {
        process.interrupt(DEADLINE);
    }
}
