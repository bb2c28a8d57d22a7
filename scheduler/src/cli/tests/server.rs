use super::*;
use crate::task_info::{Programs, ServerProgram};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

fn programs(args: &[&str]) -> anyhow::Result<Programs> {
    let args = Args::try_parse_from(std::iter::once("scheduler").chain(args.iter().copied()))?;
    let access = args.access(|_| None)?;
    args.server.check(&access, |_| None)
}

/// The usage error for contradictory options.
fn usage(args: &[&str]) -> String {
    let error = programs(args).unwrap_err();
    assert!(error.is::<command_line::UsageError>(), "{args:?}: {error:#}");
    error.to_string()
}

fn password_file(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("password");
    fs::write(&path, "s3cret\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn without_options_all_is_our_own() {
    assert_eq!(programs(&[]).unwrap(), Programs::builtin(Duration::from_secs(20)));
    let interval = ["--block-interval", "7s"];
    assert_eq!(programs(&interval).unwrap(), Programs::builtin(Duration::from_secs(7)));
}

#[test]
fn a_block_interval_is_refused_where_there_is_no_built_in_chain() {
    for other in [
        &["--chain", "node", "--bitcoind", "http://btc:8332", "--address", ADDRESS][..],
        &["--upstream", "a:3333", "--upstream-user", "farm"],
        &["--server", "docker:x"],
    ] {
        let text = usage(&[other, &["--block-interval", "7s"]].concat());
        assert!(text.contains("--block-interval is for the built-in chain, not for --"), "{text}");
        assert!(text.contains(other[0]), "{text}");
    }
    assert!(parse(&["--pool", "h:1", "--block-interval", "7s"]).is_err());
}

#[test]
fn nodes_and_their_credentials_are_in_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let file = password_file(&folder);
    let node =
        ["--chain", "node", "--bitcoind", "http://btc:8332", "--bitcoind", "http://a:b@[::1]:1", "--address"];
    let basic = [&node[..], &[ADDRESS, "--rpc-user", "me", "--rpc-password-file", &file]].concat();
    let cookie_file = folder.path().join("cookie");
    fs::write(&cookie_file, "__cookie__:s3cret").unwrap();
    let cookie = [&node[..], &[ADDRESS, "--cookie-file", cookie_file.to_str().unwrap()]].concat();
    for (args, user) in [(basic, "me"), (cookie, "__cookie__")] {
        let programs = programs(&args).unwrap();
        assert!(!format!("{programs:?}").contains("s3cret"));
        let ServerProgram::Builtin(task::BlockSourceSpec::Node(spec)) = programs.server else { panic!() };
        let urls: Vec<_> = spec.nodes.iter().map(|node| node.url.as_str()).collect();
        assert_eq!(urls, ["http://btc:8332", "http://[::1]:1"]);
        let credentials = |node: &task::NodeAccess| (node.user.clone(), node.password.clone());
        assert_eq!(credentials(&spec.nodes[0]), (Some(user.into()), Some("s3cret".into())));
        assert_eq!(credentials(&spec.nodes[1]), (Some("a".into()), Some("b".into())), "its own");
        assert_eq!((spec.address.as_deref(), &spec.tag[..]), (Some(ADDRESS), &b"/mesos-miner/"[..]));
    }
    assert!(usage(&[&node[..], &[ADDRESS, "--payout", "user"]].concat()).contains("leave out --address"));
    let users = usage(&["--chain", "node", "--bitcoind", "b", "--payout", "user"]);
    assert!(users.contains("use --address"), "{users}");
    assert!(usage(&["--chain", "node", "--bitcoind", "b"]).contains("--address"));
    assert!(usage(&["--chain", "node"]).contains("--bitcoind"));
    assert_eq!(usage(&["--bitcoind", "b"]), "--bitcoind needs --chain node or --server docker:IMAGE");
}

#[test]
fn pools_and_their_credentials_are_in_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let file = password_file(&folder);
    let upstream = ["--upstream", "a:3333", "--upstream", "stratum+ssl://b:1", "-u", "farm"];
    let given = programs(&[&upstream[..], &["--upstream-password-file", &file]].concat()).unwrap();
    assert!(!format!("{given:?}").contains("s3cret"));
    let ServerProgram::Builtin(task::BlockSourceSpec::Upstream(spec)) = given.server else { panic!() };
    assert_eq!(spec.pools, ["stratum+tcp://a:3333", "stratum+ssl://b:1"]);
    assert_eq!((&*spec.user, &*spec.password), ("farm", "s3cret"));

    let fingerprint = "ab".repeat(32);
    let pinned = [&upstream[..], &["--tls-fingerprint", &fingerprint]].concat();
    let ServerProgram::Builtin(task::BlockSourceSpec::Upstream(spec)) = programs(&pinned).unwrap().server
    else {
        panic!()
    };
    assert_eq!(spec.access.fingerprints, [[0xab; 32]]);
    let idle = usage(&["--proxy", "socks5://h:1"]);
    assert!(idle.contains("--proxy") && idle.contains("--upstream URL"), "{idle}");

    assert!(usage(&upstream[..2]).contains("--upstream-user"));
    let both = usage(&[&upstream[..], &["--chain", "node", "--bitcoind", "c"]].concat());
    assert!(both.contains("--upstream and --chain node"), "{both}");
    let both = usage(&[&upstream[..], &["--server", "docker:p2pool"]].concat());
    assert!(both.contains("--server docker:IMAGE"), "{both}");
}

#[test]
fn credentials_in_arguments_must_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = password_file(&folder);
    let docker = ["--server", "docker:p2pool", "--bitcoind", "btc"];
    let given = [&docker[..], &["--rpc-user", "me", "--rpc-password-file", &file]].concat();
    let text = usage(&given);
    assert!(text.contains("{rpc_user}") && text.contains("--allow-credentials-in-arguments"), "{text}");
    let allowed = programs(&[&given[..], &["--allow-credentials-in-arguments"]].concat()).unwrap();
    assert!(!format!("{allowed:?}").contains("s3cret"));
    let none = usage(&[&docker[..], &["--allow-credentials-in-arguments"]].concat());
    assert!(none.contains("needs --rpc-user or --cookie-file"), "{none}");
    let nobody = usage(&["--server", "docker:p2pool", "--allow-credentials-in-arguments"]);
    assert!(nobody.contains("{bitcoind_address}") && nobody.contains("--bitcoind"), "{nobody}");
    // Arguments without credentials need no --allow-credentials-in-arguments.
    programs(&["--server", "docker:x", "--server-arguments", "-w {worker_port} {task_id}"]).unwrap();
    let unknown = usage(&["--server", "docker:x", "--server-arguments", "{password}"]);
    assert!(unknown.contains("{password}") && unknown.contains("{rpc_password}"), "{unknown}");
    let open = usage(&["--worker-image", "x", "--worker-arguments", "-o {server_host"]);
    assert!(open.contains("--worker-arguments") && open.contains("\"{server_host\""), "{open}");
}

#[test]
fn kinds_of_servers_are_builtin_and_docker() {
    for args in [
        &["--server", "p2pool"][..],
        &["--server", "docker:"],
        &["--server", "docker:x", "--pool", "h:1"],
        &["--chain", "node", "--bitcoind", "b", "--pool", "h:1"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
    let nowhere = usage(&["--chain", "node"]);
    assert!(nowhere.contains("--bitcoind URL"), "{nowhere}");
}
