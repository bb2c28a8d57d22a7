use std::num::NonZeroU64;

use super::*;
use crate::core::tests::settings;
use crate::task_info::{Arguments, Programs, TaskTemplate};

fn key() -> SpecificationKey {
    SpecificationKey::from_hex(&"01".repeat(32)).unwrap()
}

/// The fingerprints of the server's options and of the workers' options.
fn fingerprints(settings: &Settings) -> (String, String) {
    let fingerprints = Fingerprints::new(settings, Some(&key()));
    let of = |kind| fingerprints.of(kind).unwrap().to_owned();
    (of(TaskKind::Server), of(TaskKind::Worker))
}

/// Which kinds of task a change of the settings concerns: the server, workers.
fn concerns(change: impl FnOnce(&mut Settings)) -> (bool, bool) {
    concerns_from(settings(), change)
}

fn concerns_from(mut settings: Settings, change: impl FnOnce(&mut Settings)) -> (bool, bool) {
    let before = fingerprints(&settings);
    change(&mut settings);
    let after = fingerprints(&settings);
    (before.0 != after.0, before.1 != after.1)
}

fn pool() -> ExternalPool {
    ExternalPool {
        url: "stratum+tcp://pool:3333".into(),
        user: None,
        password: "x".into(),
        access: PoolAccess::default(),
    }
}

fn node() -> NodeSpec {
    NodeSpec {
        nodes: vec![NodeAccess { url: "http://n:8332".into(), user: None, password: None }],
        address: Some("bc1q".into()),
        tag: b"/m/".to_vec(),
        early_min_difficulty: false,
    }
}

/// These texts must never change. If an upgrade changed the form of the same options, their fingerprints would change, too, and
/// the scheduler would replace all tasks.
#[test]
fn the_forms_of_earlier_versions_stay_as_they_are() {
    let form = |settings: &Settings, kind| String::from_utf8(form(settings, kind)).unwrap();
    assert_eq!(
        form(&settings(), TaskKind::Server),
        "user 4:root\nrole 1:*\nkind 6:server\nname 11:mesos-miner\ncpus 4:1000\nmem 3:256\nexecutor path 16:/opt/mesos-miner\n\
         updates 6:100000\nlive 10:5000000000\nreport 10:1000000000\nshare 10:1000000000\nblock 11:20000000000\n"
    );
    assert_eq!(
        form(&settings(), TaskKind::Worker),
        "user 4:root\nrole 1:*\nkind 6:worker\nreserve 1:0\nrevocable 5:false\nexecutor path 16:/opt/mesos-miner\n\
         updates 6:100000\n"
    );
    let mut settings = settings();
    settings.template.options.backend = Some("sha_ni".into());
    settings.template.pool = Some(ExternalPool {
        user: Some("me".into()),
        access: PoolAccess {
            authorities: Some("PEM".into()),
            fingerprints: vec![[b'f'; 32]],
            proxy: Some(ProxyAccess {
                host: "p".into(),
                port: 1080,
                credentials: Some(("u".into(), "s".into())),
            }),
            rules: PoolRules::default(),
        },
        ..pool()
    });
    assert_eq!(
        form(&settings, TaskKind::Worker),
        format!(
            "user 4:root\nrole 1:*\nkind 6:worker\nreserve 1:0\nrevocable 5:false\npool 23:stratum+tcp://pool:3333\n\
             pool user 2:me\npassword 1:x\nauthorities 3:PEM\ncertificate 32:{}\nproxy 1:p\nproxy port 4:1080\n\
             proxy user 1:u\npassword 1:s\nexecutor path 16:/opt/mesos-miner\nupdates 6:100000\nbackend 6:sha_ni\n",
            "f".repeat(32)
        )
    );
    settings.template.programs.server = ServerProgram::Builtin(BlockSourceSpec::Node(node()));
    let server = form(&settings, TaskKind::Server);
    assert!(
        server.ends_with("node 13:http://n:8332\naddress 4:bc1q\ntag 3:/m/\nearly 5:false\n"),
        "{server}"
    );
}

#[test]
fn a_fingerprint_is_the_same_in_every_version_of_the_program() {
    assert_eq!(
        fingerprints(&settings()),
        (
            "9fb307e655e7bfff4ed3dafad671498e10833f44424d47c52509434acdd28e39".to_owned(),
            "5f71ed94c846cc82c7b48ad0e0253f52d664c86000537846e9c4f7d51796faa5".to_owned(),
        )
    );
}

#[test]
fn each_option_concerns_the_tasks_that_it_is_for() {
    let (server, workers, both, none) = ((true, false), (false, true), (true, true), (false, false));
    assert_eq!(concerns(|it| it.template.user = "nobody".into()), both);
    assert_eq!(concerns(|it| it.template.role = "miner".into()), both);
    assert_eq!(concerns(|it| it.template.delivery = Delivery::Path("/x".into())), both);
    assert_eq!(concerns(|it| it.template.options.updates_per_task = NonZeroU64::new(50).unwrap()), both);
    assert_eq!(concerns(|it| it.template.name = "x".into()), server);
    assert_eq!(concerns(|it| it.template.options.share_interval = Duration::from_millis(1500)), server);
    assert_eq!(concerns(|it| it.template.options.live_interval = Duration::from_secs(9)), server);
    assert_eq!(concerns(|it| it.template.options.report_interval = Duration::from_secs(9)), server);
    assert_eq!(concerns(|it| it.template.options.server_cpus = 0.5), server);
    assert_eq!(concerns(|it| it.template.options.server_mem = 300), server);
    assert_eq!(concerns(|it| it.template.programs.data_dir = Some("/x".into())), server);
    assert_eq!(concerns(|it| it.template.programs = Programs::builtin(Duration::from_secs(1))), server);
    assert_eq!(concerns(|it| it.template.options.backend = Some("avx2".into())), workers);
    assert_eq!(concerns(|it| it.placement.limits.reserve_cpus_milli = 500), workers);
    assert_eq!(concerns(|it| it.placement.revocable = true), workers);
    assert_eq!(concerns(|it| it.template.options.server_address = Some(PinnedAddress::Ip)), workers);
    let at_a_pool =
        Settings { template: TaskTemplate { pool: Some(pool()), ..settings().template }, ..settings() };
    let pin = |it: &mut Settings| it.template.options.server_address = Some(PinnedAddress::Hostname);
    assert_eq!(concerns_from(at_a_pool, pin), none);
    // These options do not change how a single task is launched.
    assert_eq!(concerns(|it| it.placement.limits.max_workers = Some(1)), none);
    assert_eq!(concerns(|it| it.placement.workers = vec!["rack:UNIQUE".parse().unwrap()]), none);
    assert_eq!(concerns(|it| it.options.silence_timeout = Duration::from_secs(31)), none);
    assert_eq!(concerns(|it| it.seed = 99), none);
}

#[test]
fn a_new_build_concerns_nothing() {
    let mut served = settings();
    let fetch = |uri: &str, cache| Delivery::Fetch { uri: uri.into(), cache };
    served.template.delivery = fetch("http://a:1/mesos-miner-1", true);
    let other = |it: &mut Settings| it.template.delivery = fetch("http://b:2/mesos-miner-2", true);
    assert_eq!(concerns_from(served.clone(), other), (false, false));
    let chosen = |it: &mut Settings| it.template.delivery = fetch("http://b:2/mesos-miner-2", false);
    assert_eq!(concerns_from(served, chosen), (true, true), "the user names another file");
}

#[test]
fn credentials_and_images_count_too() {
    let with = |change: fn(&mut ExternalPool)| {
        let external = Settings {
            template: crate::task_info::TaskTemplate { pool: Some(pool()), ..settings().template },
            ..settings()
        };
        concerns_from(external, |it| it.template.pool.iter_mut().for_each(change))
    };
    assert_eq!(with(|pool| pool.password = "y".into()), (false, true));
    assert_eq!(with(|pool| pool.user = Some("me".into())), (false, true));
    assert_eq!(with(|pool| pool.access.authorities = Some("PEM".into())), (false, true));
    let node = |node: NodeSpec| ServerProgram::Builtin(BlockSourceSpec::Node(node));
    let mut on_node = settings();
    on_node.template.programs.server = node(self::node());
    let mut other = self::node();
    other.nodes[0].password = Some("s3cret".into());
    assert_eq!(concerns_from(on_node, |it| it.template.programs.server = node(other)), (true, false));
    let image = |arguments: &str| {
        let arguments = Arguments::parse(arguments, &["server_host", "worker_port"]).unwrap();
        Some(ImageTask { image: "cpuminer".into(), arguments })
    };
    let mut theirs = settings();
    theirs.template.programs.worker = image("-o {server_host}:{worker_port}");
    assert_eq!(
        concerns_from(theirs.clone(), |it| it.template.programs.worker = image("-o {server_host}")),
        (false, true)
    );
    let backend = |it: &mut Settings| it.template.options.backend = Some("avx2".into());
    assert_eq!(concerns_from(theirs, backend), (false, false), "it is for our own workers");
}

/// A running server is told of a new cookie, so it is not replaced.
#[test]
fn the_content_of_a_cookie_file_does_not_count() {
    let on_cookie = |password: &str| {
        let mut spec = node();
        spec.nodes[0].user = Some("__cookie__".into());
        spec.nodes[0].password = Some(password.into());
        let mut settings = settings();
        settings.template.programs.server = ServerProgram::Builtin(BlockSourceSpec::Node(spec));
        let file = ("http://n:8332".to_owned(), "/n/.cookie".into());
        settings.template.programs.cookies = [file].into_iter().collect();
        settings
    };
    let set = |to: Settings| move |it: &mut Settings| *it = to;
    assert_eq!(concerns_from(on_cookie("one"), set(on_cookie("two"))), (false, false));
    let mut without = on_cookie("one");
    without.template.programs.server = ServerProgram::Builtin(BlockSourceSpec::Node(node()));
    without.template.programs.cookies = CookieFiles::default();
    assert_eq!(concerns_from(on_cookie("one"), set(without)), (true, false));

    // Earlier versions counted the content. Their server stays as long as the file does: it cannot be told of another one.
    let mut earlier = on_cookie("one");
    earlier.template.programs.cookies = CookieFiles::default();
    let origin = crate::journal::Origin::Launched { cpus_milli: 1000 };
    let mut record = TaskRecord::new("miner-server-1".into(), "a".into(), "a.host".into(), origin);
    record.specification = Some(fingerprints(&earlier).0);
    assert!(!Fingerprints::new(&on_cookie("one"), Some(&key())).differ_from(&record));
    assert!(Fingerprints::new(&on_cookie("two"), Some(&key())).differ_from(&record));
}

#[test]
fn a_task_without_a_fingerprint_counts_as_equal() {
    use crate::journal::Origin;
    let origin = Origin::Launched { cpus_milli: 1000 };
    let mut record = TaskRecord::new("miner-worker-1".into(), "a".into(), "a.host".into(), origin);
    let wanted = Fingerprints::new(&settings(), Some(&key()));
    assert!(!wanted.differ_from(&record));
    record.specification = wanted.of(TaskKind::Worker).map(str::to_owned);
    assert!(!wanted.differ_from(&record));
    record.specification = wanted.of(TaskKind::Server).map(str::to_owned);
    assert!(wanted.differ_from(&record));
    assert!(!Fingerprints::default().differ_from(&record));
}
