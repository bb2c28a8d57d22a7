use mesos::resources::{Quantity, ranges, scalar};

use super::*;
use crate::journal::{Assignment, Origin};

fn template(delivery: Delivery) -> TaskTemplate {
    TaskTemplate {
        name: "mesos-miner".into(),
        user: "miner".into(),
        role: "*".into(),
        options: TaskOptions::default(),
        programs: Programs::default(),
        pool: None,
        delivery,
    }
}

fn intervals() -> Intervals {
    Intervals::new(Duration::from_secs(20), Duration::from_secs(250))
}

fn worker_record() -> TaskRecord {
    let origin = Origin::Launched { cpus_milli: 1900 };
    TaskRecord {
        assignment: Some(Assignment::Server("miner-server-1".into())),
        ..TaskRecord::new("miner-worker-2".into(), "a".into(), "h".into(), origin)
    }
}

fn server_record(host: &str) -> TaskRecord {
    TaskRecord {
        kind: TaskKind::Server,
        assignment: None,
        address: Some(ServerAddress { host: host.into(), stratum_port: 31001, http_port: 31000 }),
        id: "miner-server-1".into(),
        ..worker_record()
    }
}

#[test]
fn a_fetched_executor_runs_from_the_sandbox_and_nothing_but_its_role_is_on_the_command_line() {
    let uri = "http://h:1/abc/mesos-miner".to_owned();
    let info = template(Delivery::Fetch { uri: uri.clone(), cache: true }).task(
        &worker_record(),
        Some(&server_record("fe80::1")),
        vec![],
        vec![],
        intervals(),
    );
    let executor = info.executor.unwrap();
    assert_eq!(executor.executor_id.value, info.task_id.value);
    let command = executor.command.unwrap();
    assert_eq!(command.value.as_deref(), Some("./mesos-miner"));
    assert_eq!(command.arguments, ["./mesos-miner", "executor"]);
    assert_eq!(command.shell, Some(false));
    assert_eq!(command.uris[0].value, uri);
    assert_eq!(command.uris[0].executable, Some(true));
    let spec = TaskSpec::decode(&info.data.unwrap()).unwrap();
    let ProgramSpec::Worker(worker) = spec.kind else { panic!("{spec:?}") };
    assert_eq!(worker.pool, "stratum+tcp://[fe80::1]:31001");
    assert_eq!((worker.user.as_str(), worker.cpus), ("miner-worker-2", 1.9));
}

#[test]
fn an_archive_is_unpacked_by_the_fetcher_whoever_serves_it() {
    let fetched = |uri: &str| {
        let delivery = Delivery::Fetch { uri: uri.to_owned(), cache: false };
        let info = template(delivery).task(&worker_record(), None, vec![], vec![], intervals());
        let command = info.executor.unwrap().command.unwrap();
        assert_eq!(command.value.as_deref(), Some("./mesos-miner"), "{uri}");
        let uri = &command.uris[0];
        (uri.extract, uri.executable, uri.output_file.clone())
    };
    for archive in ["http://h:1/abc/mesos-miner.tar.gz", "hdfs://h/mesos-miner-1.2.tgz", "/shared/m.zip"] {
        assert_eq!(fetched(archive), (Some(true), Some(false), None), "{archive}");
    }
    // Mesos must not unpack the `.gz` file, because the unpacked file would not be executable.
    for file in ["http://h:1/mesos-miner", "http://h:1/m.tar.gz/m", "http://h:1/mesos-miner.gz"] {
        assert_eq!(fetched(file), (Some(false), Some(true), Some("mesos-miner".to_owned())), "{file}");
    }
}

#[test]
fn tasks_launched_together_are_not_renewed_together() {
    let limit = NonZeroU64::new(100_000).unwrap();
    let mut limits: Vec<u64> =
        (1..=100).map(|n| staggered(limit, &format!("miner-worker-{n}")).get()).collect();
    assert!(limits.iter().all(|limit| (90_000..=100_000).contains(limit)), "{limits:?}");
    limits.sort_unstable();
    let gap = limits.windows(2).map(|pair| pair[1] - pair[0]).min();
    // Each limit is the number of updates after which a task is replaced. Any two limits differ by at least 30 updates. At one
    // update a minute, that is half an hour.
    assert!(gap >= Some(30), "{gap:?}");
    for few in 1..=20 {
        let few = NonZeroU64::new(few).unwrap();
        assert!(staggered(few, "miner-worker-7").get() >= few.get() - few.get() / 10);
    }
}

#[test]
fn a_server_says_where_it_listens() {
    let record = server_record("h");
    let data_dir = Some("/var/lib/pool".to_owned());
    let programs = Programs { data_dir: data_dir.clone(), ..Programs::default() };
    let template = TaskTemplate { programs, ..template(Delivery::Path("/opt/m".into())) };
    let info = template.task(&record, None, vec![], vec![], intervals());
    let discovery = info.discovery.unwrap();
    // The name in Mesos-DNS is _stratum._mesos-miner._tcp.FRAMEWORK.mesos.
    assert_eq!(discovery.name.as_deref(), Some("mesos-miner"));
    assert_eq!(discovery.visibility(), discovery_info::Visibility::Cluster);
    let ports = discovery.ports.unwrap().ports;
    assert!(ports.iter().all(|port| port.protocol.as_deref() == Some("tcp")));
    let ports: Vec<_> = ports.iter().map(|port| (port.number, port.name.as_deref())).collect();
    assert_eq!(ports, [(31000, Some("http")), (31001, Some("stratum"))]);
    let command = info.executor.unwrap().command.unwrap();
    assert_eq!((command.value.as_deref(), command.uris.len()), (Some("/opt/m"), 0));
    let spec = TaskSpec::decode(&info.data.unwrap()).unwrap();
    let ProgramSpec::Server(server) = spec.kind else { panic!("{spec:?}") };
    assert_eq!((server.stratum_port, server.http_port, server.data_dir), (31001, 31000, data_dir));
}

#[test]
fn workers_and_service_discovery_get_the_name_and_the_address_of_the_servers_agent() {
    use server_address::PinnedAddress::{Hostname, Ip};
    let (name, ip) = ("stratum+tcp://h:31001", "stratum+tcp://10.0.0.1:31001");
    let url = Some("http://10.0.0.1:5051/slave(1)".to_owned());
    let server = TaskRecord { agent_url: url, ..server_record("h") };
    for (server_address, urls, addresses) in
        [(None, &[name, ip][..], "h,10.0.0.1"), (Some(Hostname), &[name], "h"), (Some(Ip), &[ip], "10.0.0.1")]
    {
        let options = TaskOptions { server_address, ..TaskOptions::default() };
        let template = TaskTemplate { options, ..template(Delivery::Path("/opt/m".into())) };
        let info = template.task(&worker_record(), Some(&server), vec![], vec![], intervals());
        let ProgramSpec::Worker(worker) = TaskSpec::decode(&info.data.unwrap()).unwrap().kind else {
            panic!()
        };
        assert_eq!([vec![worker.pool], worker.alternatives].concat(), urls);
        let discovery = template.task(&server, None, vec![], vec![], intervals()).discovery.unwrap();
        let labels = discovery.labels.unwrap().labels;
        assert_eq!(labels, [Label { key: "addresses".into(), value: Some(addresses.into()) }]);
    }
}

#[test]
fn at_a_pool_workers_have_an_account() {
    let spec = |user: Option<&str>| {
        let user = user.map(str::to_owned);
        let pool = ExternalPool {
            url: "stratum+tcp://pool:3333".into(),
            user,
            password: "s3cret".into(),
            access: task::PoolAccess::default(),
        };
        assert!(!format!("{pool:?}").contains("s3cret"));
        let template = TaskTemplate { pool: Some(pool), ..template(Delivery::Path("/opt/m".into())) };
        let info = template.task(&worker_record(), None, vec![], vec![], intervals());
        let ProgramSpec::Worker(spec) = TaskSpec::decode(&info.data.unwrap()).unwrap().kind else { panic!() };
        spec
    };
    let named = spec(Some("bc1q"));
    assert_eq!(
        (named.pool.as_str(), named.user.as_str()),
        ("stratum+tcp://pool:3333", "bc1q.miner-worker-2")
    );
    assert_eq!((named.password.as_str(), spec(None).user.as_str()), ("s3cret", "miner-worker-2"));
}

#[test]
fn an_image_brings_its_own_entry_point() {
    for containerizer in [Containerizer::Docker, Containerizer::Mesos] {
        let delivery = Delivery::Image { image: "miner:1".into(), containerizer };
        let executor =
            template(delivery).task(&worker_record(), None, vec![], vec![], intervals()).executor.unwrap();
        let command = executor.command.unwrap();
        assert_eq!((command.value, command.arguments), (None, vec!["executor".to_owned()]));
        let container = executor.container.unwrap();
        assert_eq!(container.docker.is_some(), containerizer == Containerizer::Docker);
        assert_eq!(container.mesos.is_some(), containerizer == Containerizer::Mesos);
    }
}

/// This project follows an older system, which launched images of a server and of workers on Mesos. The test compares our
/// `TaskInfo`s with that system's, field by field. Four things differ: the names of workers' tasks (ours do not depend on where a
/// task runs), the ports (the older system did not take them from the offer), DiscoveryInfo, and the user in `CommandInfo` (the
/// older system set neither).
#[test]
fn user_images_run_as_in_the_original_system() {
    let default = |option: &str| {
        let command = <crate::cli::Args as clap::CommandFactory>::command();
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(option)).unwrap();
        arg.get_default_values()[0].to_str().unwrap().to_owned()
    };
    let all = ["bitcoind_address", "p2pool_port", "worker_port", "rpc_user", "rpc_password"];
    let mut arguments = Arguments::parse(&default("server-arguments"), &all).unwrap();
    arguments.fill("bitcoind_address", "10.0.0.5");
    arguments.fill("rpc_user", "user");
    arguments.fill("rpc_password", "pass word {x}");
    let server = ImageTask { image: "derekchiang/p2pool".into(), arguments };
    assert!(!format!("{server:?}").contains("pass"));
    let arguments = Arguments::parse(&default("worker-arguments"), &["server_host", "worker_port"]).unwrap();
    let worker = ImageTask { image: "derekchiang/cpuminer".into(), arguments };
    let programs =
        Programs { server: ServerProgram::Image(server), worker: Some(worker), ..Programs::default() };
    let template = TaskTemplate { programs, ..template(Delivery::Path("/opt/m".into())) };

    let record = server_record("h");
    let part =
        |cpus: f64, mem: u64| vec![scalar("cpus", Quantity::new(cpus)), scalar("mem", Quantity::whole(mem))];
    let mut rest = part(0.99, 224);
    rest.push(ranges("ports", [31000..=31001]));
    let info = template.task(&record, None, part(0.01, 32), rest, intervals());
    let docker = |image: &str| {
        let mut docker = container_info::DockerInfo { image: image.into(), ..Default::default() };
        docker.set_network(container_info::docker_info::Network::Host);
        let mut container = ContainerInfo { docker: Some(docker), ..ContainerInfo::default() };
        container.set_type(container_info::Type::Docker);
        container
    };
    let mut resources = part(1.0, 256);
    resources.push(ranges("ports", [31000..=31001]));
    let command = |arguments: &[&str]| CommandInfo {
        shell: Some(false),
        user: Some("miner".into()),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        ..CommandInfo::default()
    };
    let words =
        ["--bitcoind-address", "10.0.0.5", "--p2pool-port", "31000", "-w", "31001", "user", "pass word {x}"];
    let expected = TaskInfo {
        name: "task-miner-server-1".into(),
        task_id: "miner-server-1".into(),
        agent_id: "a".into(),
        resources,
        command: Some(command(&words)),
        container: Some(docker("derekchiang/p2pool")),
        discovery: info.discovery.clone(),
        ..TaskInfo::default()
    };
    assert_eq!(info, expected);
    assert!(info.discovery.is_some());

    let info = template.task(&worker_record(), Some(&record), part(0.01, 32), part(1.89, 96), intervals());
    let expected = TaskInfo {
        name: "task-miner-worker-2".into(),
        task_id: "miner-worker-2".into(),
        agent_id: "a".into(),
        resources: part(1.9, 128),
        command: Some(command(&["-o", "h:31001"])),
        container: Some(docker("derekchiang/cpuminer")),
        ..TaskInfo::default()
    };
    assert_eq!(info, expected);
}

#[test]
fn a_worker_image_may_mine_at_a_pool() {
    let arguments = Arguments::parse(
        "-o {server_host}:{worker_port} -u {task_id}",
        &["server_host", "worker_port", "task_id"],
    );
    let worker = Some(ImageTask { image: "cpuminer".into(), arguments: arguments.unwrap() });
    let pool = Some(ExternalPool {
        url: "stratum+tcp://[::1]:3333".into(),
        user: None,
        password: "x".into(),
        access: task::PoolAccess::default(),
    });
    let programs = Programs { worker, ..Programs::default() };
    let template = TaskTemplate { programs, pool, ..template(Delivery::Path("/opt/m".into())) };
    let info = template.task(&worker_record(), None, vec![], vec![], intervals());
    assert_eq!(info.command.unwrap().arguments, ["-o", "[::1]:3333", "-u", "miner-worker-2"]);
    assert!(info.executor.is_none() && info.data.is_none());
}

/// The whole `TaskInfo` with our own image: the executor runs in it, and the task has neither command nor container.
#[test]
fn our_own_image_runs_the_executor_of_servers_and_workers() {
    let server = server_record("h");
    let docker = || {
        let mut docker = container_info::DockerInfo { image: "miner:1".into(), ..Default::default() };
        docker.set_network(container_info::docker_info::Network::Host);
        let mut container = ContainerInfo { docker: Some(docker), ..ContainerInfo::default() };
        container.set_type(container_info::Type::Docker);
        container
    };
    let mesos = || {
        let docker = image::Docker { name: "miner:1".into(), ..Default::default() };
        let mut image = Image { docker: Some(docker), ..Image::default() };
        image.set_type(image::Type::Docker);
        let mesos = container_info::MesosInfo { image: Some(image) };
        let mut container = ContainerInfo { mesos: Some(mesos), ..ContainerInfo::default() };
        container.set_type(container_info::Type::Mesos);
        container
    };
    let cases = [(Containerizer::Docker, docker()), (Containerizer::Mesos, mesos())];
    for (record, (containerizer, container)) in [server.clone(), worker_record()]
        .iter()
        .flat_map(|record| cases.iter().map(move |case| (record, case)))
    {
        let delivery = Delivery::Image { image: "miner:1".into(), containerizer: *containerizer };
        let part = |cpus: f64| vec![scalar("cpus", Quantity::new(cpus))];
        let info = template(delivery).task(record, Some(&server), part(0.01), part(0.99), intervals());
        let mut executor = ExecutorInfo {
            executor_id: record.id.as_str().into(),
            name: Some(record.id.clone()),
            resources: part(0.01),
            container: Some(container.clone()),
            command: Some(CommandInfo {
                shell: Some(false),
                user: Some("miner".into()),
                arguments: vec!["executor".into()],
                ..CommandInfo::default()
            }),
            ..ExecutorInfo::default()
        };
        executor.set_type(executor_info::Type::Custom);
        assert_eq!(info.executor.as_ref(), Some(&executor));
        let expected = TaskInfo {
            name: record.id.clone(),
            task_id: record.id.as_str().into(),
            agent_id: "a".into(),
            resources: part(0.99),
            executor: Some(executor),
            data: info.data.clone(),
            discovery: info.discovery.clone(),
            kill_policy: info.kill_policy,
            ..TaskInfo::default()
        };
        assert_eq!(info, expected);
        let is_server = record.kind == TaskKind::Server;
        assert!(info.data.is_some() && info.discovery.is_some() == is_server);
        assert_eq!(info.kill_policy.is_some(), is_server);
    }
}
