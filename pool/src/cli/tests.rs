//! Tests that the command line gives the right server options.

use clap::Parser;
use task::{NodeAccess, PoolAccess};

use super::*;
use crate::config::ConnectionLimits;
use crate::store::StoreOptions;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[test]
fn defaults_are_those_of_the_library() {
    let args = Cli::parse_from(["pool"]).args;
    let options = args.options(None).unwrap();
    assert_eq!(options.config, Config::default());
    assert_eq!(options.source, BlockSourceSpec::Builtin { block_interval: BlockLimits::BUILTIN_INTERVAL });
    assert_eq!((options.http, options.data), (None, None));
}

const NODE: [&str; 5] = ["pool", "--chain", "node", "--bitcoind", "http://127.0.0.1:18443"];
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

fn node(url: &str, credentials: Option<(&str, &str)>) -> NodeAccess {
    let (user, password) = credentials.map(|(user, password)| (user.into(), password.into())).unzip();
    NodeAccess { url: url.into(), user, password }
}

fn with(more: &[&str]) -> Result<Args, clap::Error> {
    Cli::try_parse_from(NODE.iter().chain(more)).map(|cli| cli.args)
}

#[test]
fn reads_nodes_and_their_credentials() {
    let more = ["--bitcoind", "http://a:b@[::1]", "--cookie-file", "/x/.cookie", "--address", ADDRESS];
    let args = with(&more).unwrap();
    let options = args.options(None).unwrap();
    assert_eq!(options.cookies.paths().collect::<Vec<_>>(), [std::path::Path::new("/x/.cookie")]);
    let BlockSourceSpec::Node(options) = options.source else { panic!() };
    assert_eq!(options.address.as_deref(), Some(ADDRESS));
    assert_eq!(options.nodes[0], node("http://127.0.0.1:18443", None), "the cookie file is for it");
    assert_eq!(options.nodes[1], node("http://[::1]:8332", Some(("a", "b"))));
    assert_eq!(options.tag, b"/mesos-miner/");

    let args = with(&["--rpc-user", "me", "--payout", "user"]).unwrap();
    args.check().unwrap();
    let options = args.node.spec(|name| Some(format!("value of {name}"))).unwrap().0;
    let basic = node("http://127.0.0.1:18443", Some(("me", "value of MINER_RPC_PASSWORD")));
    assert_eq!((&options.nodes[0], options.address), (&basic, None));
    let error = args.node.spec(|_| None).unwrap_err().to_string();
    assert!(error.contains("MINER_RPC_PASSWORD") && error.contains("--rpc-password-file"), "{error}");
    let args =
        with(&["--rpc-user", "me", "--rpc-password-file", "/no/such/file", "--payout", "user"]).unwrap();
    let error = format!("{:#}", args.node.spec(|_| None).unwrap_err());
    assert!(error.contains("/no/such/file") && error.contains("No such file"), "{error}");
}

#[test]
fn node_options_need_each_other() {
    assert!(with(&[]).unwrap().check().unwrap_err().contains("--address"));
    let both = with(&["--payout", "user", "--address", ADDRESS]).unwrap();
    assert!(both.check().unwrap_err().contains("leave out --address"));
    let builtin = Cli::parse_from(["pool", "--address", ADDRESS]).args;
    assert_eq!(builtin.check().unwrap_err(), "--address needs --chain node");
    let crossed = ["pool", "--minimum-difficulty", "5", "--maximum-difficulty", "1"];
    let crossed = Cli::parse_from(crossed).args.check().unwrap_err();
    assert!(crossed.contains("--maximum-difficulty 1 is less than --minimum-difficulty 5"), "{crossed}");
    for more in
        [&["--cookie-file", "x", "--rpc-user", "y"][..], &["--address", "satoshi"], &["--payout", "x"]]
    {
        assert!(with(more).is_err(), "{more:?}");
    }
    let nowhere = Cli::parse_from(["pool", "--chain", "node"]).args.check().unwrap_err();
    assert!(nowhere.contains("--bitcoind URL"), "{nowhere}");
    let error = with(&["--min-difficulty-time", "late"]).unwrap_err().to_string();
    assert!(error.contains("late"), "{error}");
}

#[test]
fn accounts_are_kept_for_real_blocks_or_where_asked_for() {
    let folder = |args: Args| args.options(None).unwrap().data.map(|options| options.folder);
    let node = with(&["--address", ADDRESS]).unwrap();
    assert_eq!(node.data.retention, StoreOptions::RETENTION);
    assert_eq!(folder(node), Some("mesos-miner-pool".into()));
    let elsewhere = with(&["--address", ADDRESS, "--data-dir", "/x"]).unwrap();
    assert_eq!(folder(elsewhere), Some("/x".into()));
    let upstream = Cli::parse_from(["pool", "--upstream", "a:1", "-u", "me"]).args;
    assert_eq!(folder(upstream), Some("mesos-miner-pool".into()));
    assert_eq!(folder(Cli::parse_from(["pool"]).args), None);
    assert_eq!(folder(Cli::parse_from(["pool", "--data-dir", "x"]).args), Some("x".into()));
}

#[test]
fn an_upstream_pool_stands_alone() {
    let parse = |more: &[&str]| Cli::parse_from([&["pool", "--upstream", "a:1,b:2"], more].concat()).args;
    let args = parse(&["-u", "me"]);
    let BlockSourceSpec::Upstream(options) = args.options(None).unwrap().source else { panic!() };
    assert_eq!((options.pools.len(), options.access), (2, PoolAccess::default()));
    let idle = Cli::parse_from(["pool", "--proxy", "socks5://h:1"]).args.check().unwrap_err();
    assert_eq!(idle, "--proxy needs --upstream URL");
    let error = parse(&["-u", "me", "--address", ADDRESS]).check().unwrap_err();
    assert!(error.contains("--upstream") && error.contains("--address"), "{error}");
    let nobody = parse(&[]);
    assert!(nobody.options(None).unwrap_err().is::<command_line::UsageError>());
}

#[test]
fn refuses_bad_values_by_name() {
    for (flag, value) in [
        ("--listen", "localhost"),
        ("--listen", "1.2.3.4:99999"),
        ("--http", "localhost:80"),
        ("--start-difficulty", "0"),
        ("--chain", "x"),
    ] {
        let error = Cli::try_parse_from(["pool", flag, value]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains(value) && error.contains(flag)), "{flag} {value}");
    }
}

#[test]
fn impossible_numbers_are_named() {
    assert_eq!(Cli::parse_from(["pool"]).args.config.limits, ConnectionLimits::default());
    for (option, bad) in [
        ("--max-connections", ["0", "18446744073709551615"]),
        ("--messages-per-second", ["0", "-1"]),
        ("--ban-percent", ["0", "101"]),
    ] {
        for bad in bad {
            let error = Cli::try_parse_from(["pool", &format!("{option}={bad}")]).err().unwrap().to_string();
            assert!(error.contains(option) && error.contains(bad), "{error}");
        }
    }
}
