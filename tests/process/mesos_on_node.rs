//! The framework on a real Mesos, with a server task that gets block templates from a real node.

use std::path::Path;

use crate::bitcoin_node::bcoin::Bcoin;
use crate::bitcoin_node::{Node, payout};
use crate::support::http;
use crate::support::mesos_box::MesosBox;
use crate::support::process::mesos_miner;
use crate::support::process_tree::{executors, marked};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The files below a folder that contain this text. The agent's checkpoints (`meta`) are left out, because only the agent
/// reads them, after a restart.
pub fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("it was just listed");
        if kind.is_dir() && path.file_name().is_some_and(|name| name != "meta") {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn the_server_task_mines_on_a_node_and_hides_its_password() {
    let (Some(command), Some(node)) = (peer::mesos(), Node::start()) else { return };
    let mesos = MesosBox::start(&command, 2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let password = folder.path().join("password");
    std::fs::write(&password, Bcoin::PASSWORD).expect("it is ours");
    let data = folder.path().join("of the host/data");
    let (master, url, address) =
        (mesos.master.to_string(), node.client.url().to_string(), payout().to_string());
    let mut scheduler = mesos_miner(
        [
            ["scheduler", "--master", &master, "--teardown-on-exit", "--json", "--report-interval", "1s"]
                .as_slice(),
            &["--chain", "node", "--bitcoind", &url, "--rpc-user", "x", "--rpc-password-file"],
            &[password.to_str().expect("plain text"), "--address", &address, "--tag", "/process test/"],
            &["--state-dir", "state", "--data-dir", data.to_str().expect("plain text")],
        ]
        .concat(),
    );
    until("blocks are found", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        (node.height() >= 20).then_some(())
    });

    let agents = mesos.state()["slaves"].as_array().expect("agents").clone();
    let agent = |agent: &serde_json::Value| {
        let port = agent["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        http::get(([127, 0, 0, 1], port).into(), "/slave(1)/state").expect("it answers")
    };
    let mut shown: Vec<Vec<u8>> = agents.iter().map(agent).collect();
    for path in ["/master/state", "/master/tasks", "/master/frameworks"] {
        shown.push(http::get(mesos.master, path).expect("it answers"));
    }
    assert!(shown.iter().any(|page| String::from_utf8_lossy(page).contains("miner-server-1")));
    for page in &shown {
        assert!(!String::from_utf8_lossy(page).contains(Bcoin::PASSWORD));
    }
    let processes = marked(&mesos.work_folder());
    assert!(processes.len() >= 3, "{processes:?}");
    for process in processes.iter().chain(&scheduler.family()) {
        assert!(!process.command.contains(Bcoin::PASSWORD), "{process:?}");
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains(Bcoin::PASSWORD), "{process:?}");
    }

    let ended = scheduler.interrupt(LONG_DEADLINE);
    let summary = Summary::of(&ended);
    assert_eq!(summary.blocks, node.height(), "{ended:#?}");
    assert_eq!(summary.shares.rejected, 0, "{summary:?}");
    // The server's accounts are outside of its sandbox.
    assert_eq!(pool::read_accounts(&data).expect("accounts").totals.blocks, node.height());
    for height in [1, node.height()] {
        let coinbase = &node.block(height).txdata[0];
        assert_eq!(coinbase.output[0].script_pubkey, payout().script_pubkey());
        assert!(coinbase.input[0].script_sig.as_bytes().ends_with(b"/process test/"));
    }
    assert!(!ended.errors().contains(Bcoin::PASSWORD));
    until("no executor is left", DEADLINE, || executors(&mesos.work_folder()).is_empty().then_some(()));
    assert!(!files_with(&mesos.work_folder(), "miner-server-1").is_empty(), "the search finds what is there");
    for folder in [&mesos.work_folder(), scheduler.folder()] {
        assert_eq!(files_with(folder, Bcoin::PASSWORD), Vec::<String>::new());
    }
}
