//! A scheduler without a subscription says why, on its terminal and in `/healthz`: masters and ZooKeeper servers that are away, refuse
//! it or are something else, and folders and files that it cannot use as they are.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;
use testing::ports::closed_address;

use crate::page::page_of;
use crate::support::http::{self, Server};
use crate::support::process::{Process, mesos_miner, start};
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

fn with_page(options: &[&str]) -> (Process, SocketAddr) {
    let mut scheduler = mesos_miner(["scheduler", "--http", "127.0.0.1:0"].iter().chain(options));
    let page = page_of(&mut scheduler);
    (scheduler, page)
}

/// Waits until `/healthz` begins with this text.
fn until_told(page: SocketAddr, text: &str) {
    until(text, LONG_DEADLINE, || http::get_text(page, "/healthz")?.starts_with(text).then_some(()));
}

fn first_reason(page: SocketAddr) -> Value {
    http::get_json(page, "/api/v1/summary").expect("JSON")["reasons"][0].clone()
}

fn ends(mut scheduler: Process) {
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(DEADLINE).status.success());
}

/// Starts a scheduler that gives up, and returns its errors.
fn fails(options: &[&str]) -> String {
    let ended = mesos_miner(["scheduler"].iter().chain(options)).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    ended.errors()
}

#[test]
fn a_refused_port_of_the_master_is_in_healthz() {
    let master = closed_address().to_string();
    let (scheduler, page) = with_page(&["--master", &master]);
    until_told(page, &format!("not subscribed to a master: cannot connect to {master}: Connection refused"));
    let reason = first_reason(page);
    assert_eq!(reason["code"], "not-subscribed", "{reason:#}");
    ends(scheduler);
}

#[test]
fn a_zookeeper_of_the_masters_that_is_away_is_in_healthz_before_the_start() {
    let zookeeper = closed_address().to_string();
    let (scheduler, page) = with_page(&["--master", &format!("zk://{zookeeper}/mesos")]);
    let why = format!("no session with ZooKeeper at zk://{zookeeper}/mesos: {zookeeper}: Connection refused");
    until_told(page, &format!("not subscribed to a master: {why}"));
    ends(scheduler);
}

#[test]
fn a_standby_says_that_zookeeper_is_away_until_it_is_back() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let mut zookeeper = ZooKeeper::start(&command);
    zookeeper.kill();
    let (zk, master) = (zookeeper.address("miner"), closed_address().to_string());
    let (mut scheduler, page) = with_page(&["--master", &master, "--zk", &zk]);
    until_told(page, &format!("no session with ZooKeeper at {zk}: "));
    let reason = first_reason(page);
    assert_eq!(reason["code"], "zookeeper-unreachable", "{reason:#}");
    assert!(reason["text"].as_str().is_some_and(|text| text.contains("Connection refused")), "{reason:#}");
    zookeeper.restart();
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains("this scheduler leads").then_some(()));
    until_told(page, &format!("not subscribed to a master: cannot connect to {master}"));
    ends(scheduler);
}

#[test]
fn an_unknown_host_of_zookeeper_is_told_from_a_refused_port() {
    // In the network of its own, only this name is known.
    let Some(bare) = peer::bare_machine() else { return };
    let refused = closed_address().to_string();
    let zk = format!("zk://nosuch.invalid:2181,{refused}/miner");
    let line = ["--name-server", "known.example", "--", env!("CARGO_BIN_EXE_mesos-miner"), "scheduler"];
    let mut scheduler = start(bare, line.iter().chain(&["--master", &refused, "--zk", &zk]));
    scheduler.wait_for_error(LONG_DEADLINE, |line| {
        let unknown = line.contains(r#"cannot resolve "nosuch.invalid""#);
        let is_refused = line.contains(&format!("{refused}: Connection refused"));
        (unknown && is_refused).then_some(())
    });
    ends(scheduler);
}

/// A proxy in front of the master asks for the credentials itself, with a page for browsers.
#[test]
fn a_page_that_asks_for_credentials_is_no_wrong_address() {
    let proxy = Server::answering("401 Unauthorized", "<html><h1>401 Authorization Required</h1></html>");
    let errors = fails(&["--master", &proxy.address.to_string()]);
    assert!(
        errors.contains("requires authentication: give --principal NAME and --secret-file FILE"),
        "{errors}"
    );
    assert!(!errors.contains("look like Mesos"), "{errors}");
}

#[test]
fn a_port_for_tls_gets_a_hint_at_https() {
    let page = "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>";
    let server = Server::answering("400 Bad Request", page);
    let errors = fails(&["--master", &server.address.to_string()]);
    assert!(errors.contains("it speaks TLS on that port: use https://"), "{errors}");
}

#[test]
fn an_error_after_a_redirect_names_who_redirected() {
    let away = closed_address();
    let status: &'static str =
        format!("307 Temporary Redirect\r\nLocation: //{away}/api/v1/scheduler").leak();
    let standby = Server::answering(status, "");
    let (scheduler, page) = with_page(&["--master", &standby.address.to_string()]);
    let why = format!("{} redirects to {away}: cannot connect to {away}", standby.address);
    until_told(page, &format!("not subscribed to a master: {why}"));
    ends(scheduler);
}

#[test]
fn a_refusal_after_a_redirect_names_who_redirected() {
    let leader = Server::answering("401 Unauthorized", "");
    let (_standby, errors) = redirected(&format!("//{}", leader.address));
    let way = format!("redirects to {}: HTTP 401: the master requires authentication", leader.address);
    assert!(errors.contains(&way), "{errors}");
}

#[test]
fn a_redirect_to_tls_names_the_options_for_it() {
    let leader = closed_address();
    let (standby, errors) = redirected(&format!("https://{leader}"));
    for part in [&format!("{standby} redirects to {leader}"), "write https:// in --master", "--ca-cert FILE"]
    {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(!errors.contains("Config::tls"), "{errors}");
}

/// Runs a scheduler whose master redirects to this authority. Returns that master's address, and what the scheduler told.
fn redirected(to: &str) -> (String, String) {
    let status: &'static str = format!("307 Temporary Redirect\r\nLocation: {to}/api/v1/scheduler").leak();
    let standby = Server::answering(status, "");
    let address = standby.address.to_string();
    let errors = fails(&["--master", &address]);
    (address, errors)
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named_itself() {
    // Nobody can create files there, not even root.
    let errors = fails(&["--master", &closed_address().to_string(), "--state-dir", "/proc/self"]);
    assert!(errors.contains("cannot use state folder /proc/self (--state-dir)"), "{errors}");
    assert!(!errors.contains("lock"), "{errors}");
}

#[test]
fn a_secret_that_everybody_may_read_gets_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, "s3cret\n").expect("written");
    let file = secret.display().to_string();
    let errors = |mode| {
        fs::set_permissions(&secret, Permissions::from_mode(mode)).expect("our own file");
        let master = closed_address().to_string();
        fails(&["--no-retry", "--master", &master, "--principal", "miner", "--secret-file", &file])
    };
    let told = errors(0o644);
    let warning = format!("everybody on this machine may read --secret-file {file} (mode 644)");
    assert_eq!(told.matches(&warning).count(), 1, "{told}");
    assert!(!told.contains("s3cret"), "{told}");
    let told = errors(0o600);
    assert!(!told.contains("everybody"), "{told}");
}

#[test]
fn a_file_of_addresses_that_everybody_may_read_gets_a_warning_if_it_has_a_password() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("addresses");
    let file = path.display().to_string();
    let url = format!("file://{file}");
    let away = closed_address().to_string();
    let paid = ["--address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"];
    let scheduler = ["scheduler", "--no-retry", "--master"];
    let lines = [
        ("--zk", format!("zk://{away}/x"), [&scheduler[..], &[&away, "--zk", &url]].concat()),
        ("--master", format!("zk://{away}/x"), [&scheduler[..], &[&url]].concat()),
        ("--zk", format!("zk://{away}/x"), vec!["ledger", "--zk", &url]),
        (
            "--bitcoind",
            format!("http://{away}"),
            [&["mine", "--duration", "100ms", "--bitcoind", &url][..], &paid].concat(),
        ),
    ];
    for (option, address, line) in lines {
        let told = |content: &str| {
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("our own file");
            let mut line = line.clone();
            let data = folder.path().join("data").display().to_string();
            match line[0] {
                "scheduler" => line.extend(["--state-dir", &data]),
                "mine" => line.extend(["--data-dir", &data]),
                _ => {}
            }
            mesos_miner(&line).wait(LONG_DEADLINE).errors()
        };
        let warning = format!("everybody on this machine may read {option} {file} (mode 644)");
        let with_password = told(&address.replace("://", "://me:s3cret@"));
        assert_eq!(with_password.matches(&warning).count(), 1, "{line:?}: {with_password}");
        assert!(!with_password.contains("s3cret"), "{line:?}: {with_password}");
        let without = told(&address);
        assert!(!without.contains("everybody"), "{line:?}: {without}");
    }
}
