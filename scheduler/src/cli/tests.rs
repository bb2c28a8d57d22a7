mod options_table;
mod server;

use std::path::Path;

use anyhow::bail;
use mesos::auth::Auth;
use mesos::masters::Masters;

use super::*;
use crate::config::ExecutorSource;

fn parse(args: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(["scheduler"].iter().chain(args))
}

fn masters(text: &str) -> Masters {
    text.parse().unwrap()
}

#[test]
fn defaults_are_those_of_a_cluster() {
    let config = parse(&[]).unwrap().into_config(|| Ok("/bin/miner".into())).unwrap();
    let defaults =
        Config { user: config.user.clone(), ..Config::new(masters("127.0.0.1:5050"), "/bin/miner") };
    assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
}

#[test]
fn the_ledger_s_size_is_a_limit_or_none() {
    let limits = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into())).unwrap().share_limits;
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(limits(&[]), ShareLimits { age: week, size: Some(4 << 30) });
    assert_eq!(limits(&["--ledger-max-size", "20GB"]).size, Some(20_000_000_000));
    assert_eq!(limits(&["--ledger-max-size", "0"]).size, Some(0));
    let none = limits(&["--ledger-max-size", "none", "--ledger-retention", "1h"]);
    assert_eq!(none, ShareLimits { age: Duration::from_secs(3600), size: None });
    let error = parse(&["--ledger-max-size", "much"]).unwrap_err().to_string();
    assert!(error.contains("--ledger-max-size") && error.contains("much"), "{error}");
}

#[test]
fn every_flag_has_an_environment_name_and_help() {
    use clap::CommandFactory;
    for arg in Args::command()
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !["help", "version"].contains(&arg.get_id().as_str()))
    {
        assert!(arg.get_env().is_some_and(|name| name.to_string_lossy().starts_with("MINER_")), "{arg}");
        assert!(arg.get_help().is_some(), "{arg}");
    }
}

/// By default, --help shows the values of environment variables. These values may contain passwords.
#[test]
fn help_shows_no_address_that_may_hold_a_password() {
    use clap::CommandFactory;
    for name in ["master", "zk", "bitcoind", "upstreams", "pool", "proxy", "executor_uri"] {
        let command = Args::command();
        let arg = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
        assert!(arg.is_hide_env_values_set(), "{name}");
    }
}

#[test]
fn limits_that_leave_no_worker_are_refused() {
    let config = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into()));
    for args in [
        &["--max-cpus", "1.05"][..],
        &["--max-cpus", "2", "--min-worker-cpus", "1.5"],
        &["--cpus-per-worker", "1", "--min-worker-cpus", "1.5"],
    ] {
        let error = config(args).unwrap_err().to_string();
        assert!(error.contains(args[0]) && error.contains("--min-worker-cpus"), "{error}");
    }
    let args = ["--max-cpus", "1.1", "--constraint", "rack:UNIQUE", "--constraint", "hostname:LIKE:a,b|c"];
    let placement = config(&args).unwrap().placement;
    assert_eq!(placement.limits.max_cpus_milli, Some(1100));
    let rules: Vec<_> = placement.workers.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["rack:UNIQUE", "hostname:LIKE:a,b|c"]);
}

#[test]
fn too_few_cpus_for_a_worker_are_refused_with_what_takes_them() {
    let error = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into())).unwrap_err().to_string();
    assert_eq!(
        error(&["--max-cpus", "0.3", "--server-cpus", "0.5"]),
        "--max-cpus 0.3 leaves nothing for workers: the server takes 0.5 (--server-cpus) and a worker at least 0.1 \
         (--min-worker-cpus)"
    );
    assert_eq!(
        error(&["--max-cpus", "0.3", "--min-worker-cpus", "0.5", "--pool", "host:1"]),
        "--max-cpus 0.3 is too little for a worker, which takes at least 0.5 (--min-worker-cpus)"
    );
}

#[test]
fn the_password_of_a_pool_comes_from_a_file_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "s3cret\n").unwrap();
    let args = ["--pool", "[::1]:3333", "--pool-user", "bc1q", "--max-cpus", "0.1", "--pool-password-file"];
    let args = [&args[..], &[path.to_str().unwrap()]].concat();
    let config = parse(&args).unwrap().into_config(|| Ok("/x".into())).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    let pool = config.pool.unwrap();
    assert_eq!((pool.url.as_str(), pool.password.as_str()), ("stratum+tcp://[::1]:3333", "s3cret"));
}

#[test]
fn the_server_s_folder_means_the_same_on_every_agent() {
    let config = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into()));
    assert_eq!(config(&[]).unwrap().programs.data_dir, None);
    let folder = config(&["--data-dir", "/var/lib/pool"]).unwrap().programs.data_dir;
    assert_eq!(folder.as_deref(), Some("/var/lib/pool"));
    let relative = config(&["--data-dir", "pool"]).unwrap_err().to_string();
    assert!(relative.contains("--data-dir \"pool\"") && relative.contains("an absolute path"), "{relative}");
    let image = config(&["--data-dir", "/x", "--server", "docker:x", "--server-arguments", "x"]).unwrap_err();
    assert!(image.to_string().contains("--data-dir is for our own server"), "{image}");
    assert!(parse(&["--data-dir", "/x", "--pool", "host:1"]).is_err());
}

#[test]
fn bad_values_are_refused() {
    for args in [
        &["--server-cpus", "0"][..],
        &["--server-mem", "63"],
        &["--server-mem", "2G"],
        &["--master", "ftp://x"],
        &["--master", "x:99999"],
        &["--master", "zk://host"],
        &["--master", "file:///no/such/file"],
        &["--blocks", "0"],
        &["--max-workers", "0"],
        &["--cpus-per-worker", "0"],
        &["--constraint", "rack:SOMEWHERE"],
        &["--http", "localhost:80"],
        &["--role", ""],
        &["--user", ""],
        &["--principal", ""],
        &["--executor-image", ""],
        &["--worker-image", ""],
        &["--upstream-user", ""],
        &["--pool", "http://x:1"],
        &["--pool", "host"],
        &["--pool", "::1:3333"],
        &["--pool", "host:0"],
        &["--pool", "user:pass@host:1"],
        &["--pool-user", "u"],
        &["--pool", "host:1", "--server-constraint", "rack:CLUSTER:a"],
        &["--server-constraint", "rack"],
        &["--duration", "soon"],
        &["--secret-file", "x"],
        &["--executor-uri", "a", "--executor-path", "b"],
        &["--executor-uri", "a", "--artifact-address", "b"],
        &["--executor-uri", "a", "--artifact-listen", "127.0.0.1:1"],
        &["--artifact-address", "0.0.0.0:80"],
        &["--artifact-listen", "localhost:80"],
        &["--executor-file", "a", "--executor-path", "b"],
        &["--no-such-flag"],
    ] {
        assert!(parse(args).is_err(), "{args:?}");
    }
}

#[test]
fn another_file_is_served_where_it_is_named() {
    let served =
        |args: &[&str]| match parse(args).unwrap().into_config(|| Ok("/this".into())).unwrap().executor {
            ExecutorSource::Serve { executable, .. } => executable,
            other => panic!("{other:?}"),
        };
    assert_eq!(served(&[]), Path::new("/this"));
    let other = tempfile::NamedTempFile::new().unwrap();
    let path = other.path().to_str().unwrap();
    assert_eq!(served(&["--executor-file", path]), other.path());
    assert_eq!(served(&["--executor-file", path, "--artifact-address", "host"]), other.path());
    for bad in ["/no/such/file", "/"] {
        let config = parse(&["--executor-file", bad]).unwrap().into_config(|| Ok("/this".into()));
        let error = format!("{:#}", config.unwrap_err());
        assert!(error.contains(&format!("--executor-file {bad}")), "{error}");
    }
}

#[test]
fn the_error_of_a_regular_expression_is_shown() {
    let error = parse(&["--constraint", "rack:LIKE:["]).unwrap_err().to_string();
    assert!(error.contains("rack:LIKE:[") && error.contains("unclosed character class"), "{error}");
}

#[test]
fn certificates_are_for_masters_that_use_tls() {
    let config = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into()));
    let plain = config(&["--ca-cert", "/no/such/file"]).unwrap_err();
    assert!(plain.to_string().contains("127.0.0.1:5050 is plain HTTP"), "{plain}");
    for master in ["https://m", "zk://z/mesos"] {
        let error = config(&["--master", master, "--ca-cert", "/no/such/file"]).unwrap_err();
        assert!(format!("{error:#}").contains("cannot read /no/such/file"), "{error:#}");
    }
    assert!(config(&["--master", "zk://z/mesos"]).unwrap().master_access.settings().tls.is_none());
    assert!(parse(&["--client-cert", "x"]).is_err() && parse(&["--client-key", "x"]).is_err());
}

#[test]
fn the_password_of_zookeeper_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    fs::write(&path, "zk://miner:s3cret@z1,z2:1/mesos\n").unwrap();
    let url = format!("file://{}", path.display());
    for value in [url.as_str(), "zk://miner:s3cret@z1,z2:1/mesos"] {
        let config = parse(&["--master", value]).unwrap().into_config(|| Ok("/x".into())).unwrap();
        assert_eq!(config.master, masters("zk://miner:s3cret@z1,z2:1/mesos"));
        assert!(!format!("{config:?} {}", config.master).contains("s3cret"));
    }
    fs::write(&path, "zk://miner:s3cret@z1:x/mesos").unwrap();
    for value in [url.as_str(), "zk://miner:s3cret@z1", "zk://s3cret@z1/mesos"] {
        let error = parse(&["--master", value]).unwrap_err();
        assert!(error.to_string().contains("--master"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

#[test]
fn the_secret_comes_from_its_file_and_is_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "s3cret\n").unwrap();
    let args = ["--principal", "miner", "--executor-path", "/x", "--secret-file", path.to_str().unwrap()];
    let config = parse(&args).unwrap().into_config(|| bail!("not needed")).unwrap();
    assert_eq!(config.master_access.settings().auth, Auth::basic("miner", "s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
    fs::write(&path, "\n").unwrap();
    assert!(parse(&args).unwrap().into_config(|| bail!("not needed")).is_err());
}

#[test]
fn schedulers_need_a_zookeeper_path_of_their_own() {
    let config = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "zk://miner:secret@z1,z2/miner\n").unwrap();
    let from_file = format!("file://{}", file.path().display());
    let zk = config(&["--zk", &from_file, "--zk-session-timeout", "4s"]).unwrap().zk.unwrap();
    assert_eq!(zk.ensemble.to_string(), "zk://…@z1:2181,z2:2181/miner");
    assert_eq!(zk.session_timeout, Duration::from_secs(4));
    let config = config(&["--master", "zk://z1/mesos", "--zk", "zk://z1/mesos"]);
    assert!(config.unwrap_err().to_string().contains("a path of their own"));
    for bad in ["z1:2181/miner", "zk://z1", "zk://secret@z1/miner"] {
        let error = parse(&["--zk", bad]).unwrap_err().to_string();
        assert!(error.contains("--zk") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn the_failover_timeout_does_not_depend_on_other_options() {
    let config = |args: &[&str]| parse(args).unwrap().into_config(|| Ok("/x".into())).unwrap().framework;
    let week = Duration::from_secs(7 * 24 * 3600);
    for args in [&[][..], &["--teardown-on-exit"], &["--teardown-on-exit", "--zk", "zk://z1/miner"]] {
        assert_eq!(config(args).failover_timeout, week, "{args:?}");
    }
    let given = config(&["--failover-timeout", "90s", "--teardown-on-exit"]);
    assert_eq!(given.failover_timeout, Duration::from_secs(90));
    for bad in ["0", "0s", "999ms", "-1s", "soon", "20000d"] {
        let option = format!("--failover-timeout={bad}");
        let error = parse(&[&option]).unwrap_err().to_string();
        assert!(error.contains("--failover-timeout") && error.contains(bad), "{error}");
        assert!(bad == "soon" || error.contains("from 1s to 10000d"), "{error}");
    }
}

#[test]
fn the_word_plan_stands_before_or_behind_the_options() {
    for words in [
        &["plan", "--max-workers", "3", "--constraint", "rack:UNIQUE"][..],
        &["--max-workers", "3", "--constraint", "rack:UNIQUE", "plan"],
        &["--max-workers", "3", "plan", "--constraint", "rack:UNIQUE"],
    ] {
        let args = parse(words).unwrap();
        assert_eq!(args.action, Some(Action::Plan));
        let placement = args.placement;
        assert_eq!((placement.max_workers, placement.constraint.len()), (Some(3), 1), "{words:?}");
    }
    assert_eq!(parse(&[]).unwrap().action, None);
    for words in [&["pln"][..], &["plan", "plan"], &["plan", "--max-workers", "0"]] {
        assert!(parse(words).is_err(), "{words:?}");
    }
}
