use super::*;

#[test]
fn the_server_comes_first_and_is_launched_when_its_launch_is_on_disk() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024), offer("o2", "b", 2.0, 1024)]));
    assert!(script.launched().is_empty(), "not on disk yet");
    assert_eq!(script.declined(), ["o2"]);
    script.wait(Duration::from_secs(3));
    assert!(script.launched().is_empty(), "a slow disk is waited for");
    script.write();
    assert_eq!(script.launched(), ["miner-server-1"]);
    let Some(Call::Accept { offers, tasks, .. }) =
        script.calls.iter().find(|call| matches!(call, Call::Accept { .. }))
    else {
        panic!()
    };
    assert_eq!(offers, &["o1"]);
    let ProgramSpec::Server(server) = TaskSpec::decode(tasks[0].data.as_deref().unwrap()).unwrap().kind
    else {
        panic!()
    };
    assert_eq!((server.host.as_str(), server.http_port, server.stratum_port), ("a.host", 31000, 31010));
}

#[test]
fn nothing_is_wanted_while_the_server_starts() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    assert!(script.calls.contains(&Call::Suppress));
    script.write();
    script.clear();
    script.update(status("miner-server-1", TaskState::TaskStarting, 1));
    script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty());
    assert_eq!(script.declined(), ["o2"]);
    script.update(status("miner-server-1", TaskState::TaskRunning, 2));
    assert!(!script.calls.contains(&Call::Revive), "it runs when that is on disk");
    script.write();
    assert!(script.calls.contains(&Call::Revive));
}

#[test]
fn workers_get_the_servers_address_and_all_the_cpu() {
    let mut script = Script::with_server();
    let server = Some(ServerAddress { host: "pool.host".into(), stratum_port: 4444, http_port: 1 });
    let data = Some(Report { sequence: 1, accounts: vec![], server }.encode());
    script.update(TaskStatus { data, ..status("miner-server-1", TaskState::TaskRunning, 2) });
    script.write();
    script.event(Event::Offers(vec![offer("o2", "a", 0.25, 100), offer("o3", "a", 0.5, 100)]));
    script.write();
    let Some(Call::Accept { offers, tasks, .. }) = script.calls.last() else { panic!("{:?}", script.calls) };
    assert_eq!(offers, &["o2", "o3"], "all offers of an agent are used together");
    let worker = script.launched_worker();
    assert_eq!((worker.pool.as_str(), worker.cpus), ("stratum+tcp://pool.host:4444", 0.75));
    assert_eq!(worker.user, tasks[0].task_id.value);
}

#[test]
fn the_reason_for_no_worker_is_told_once() {
    let mut script = Script::with_server();
    for id in ["o2", "o3"] {
        script.event(Event::Offers(vec![offer(id, "a", 0.05, 700)]));
    }
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["no worker on a.host: 0.05 CPU and 700 MB are left; a worker needs 0.1 CPU and 128 MB"]
    );
    assert_eq!(script.declined(), ["o2", "o3"]);
}

#[test]
fn useless_offers_are_declined_for_different_long_times() {
    let mut script = Script::with_server();
    for _ in 0..50 {
        script.event(Event::Offers(vec![offer("o2", "a", 0.05, 700)]));
    }
    let refused = script.calls.iter().map(|call| match call {
        Call::Decline { refuse, .. } => refuse.as_millis(),
        other => panic!("{other:?}"),
    });
    let refused: std::collections::BTreeSet<_> = refused.collect();
    assert!(refused.iter().all(|ms| (45_000..=75_000).contains(ms)) && refused.len() > 25, "{refused:?}");
}

#[test]
fn a_failed_fetch_comes_with_a_hint() {
    let fetch = Delivery::Fetch { uri: "http://h:1/x/mesos-miner".into(), cache: true };
    let template = crate::task_info::TaskTemplate { delivery: fetch, ..settings().template };
    let mut script = Script::with(Settings { template, ..settings() });
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
    script.write();
    let failed = TaskStatus {
        message: Some("Failed to fetch all URIs".into()),
        reason: Some(task_status::Reason::ContainerLaunchFailed.into()),
        ..status("miner-server-1", TaskState::TaskFailed, 1)
    };
    script.update(failed);
    script.write();
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    let advice = "does this agent reach http://h:1/x/mesos-miner? (--artifact-address, --executor-uri)";
    assert!(said.iter().any(|text| text.contains(advice)), "{said:?}");
}

#[test]
fn the_rest_of_an_agent_with_a_worker_needs_no_explanation() {
    let mut script = Script::with_workers();
    script.event(Event::Offers(vec![offer("o4", "b", 0.0, 500)]));
    assert!(script.notices.is_empty(), "{:?}", script.notices);
    assert_eq!(script.declined(), ["o4"]);
}

#[test]
fn an_offer_that_is_rescinded_before_the_launch_is_persisted_is_not_used() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.event(Event::Rescinded("o1".into()));
    script.write();
    assert!(script.launched().is_empty());
    assert!(script.disk.recover().tasks.is_empty());
    assert_eq!(script.calls.last(), Some(&Call::Revive), "a server is wanted again");
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-2"]);
}

#[test]
fn a_launch_is_cancelled_when_its_server_is_lost() {
    let mut script = Script::with_server();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty());
    assert_eq!(script.declined(), ["o2"], "offers that are not used are given back");
    assert_eq!(script.disk.recover().tasks.len(), 1);
}

#[test]
fn a_launch_without_an_update_is_reconciled_and_then_given_up() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    script.clear();
    script.wait(Duration::from_secs(60));
    let asked = |call: &&Call| matches!(call, Call::Reconcile(tasks) if tasks == &[("miner-server-1".to_owned(), "a".to_owned())]);
    assert!(script.calls.iter().filter(asked).count() >= 3);
    script.wait(Duration::from_secs(120));
    script.write();
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-2"], "with a fresh id");
    script.clear();
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.write();
    assert_eq!(script.killed(), ["miner-server-1"], "there is one server");
    assert_eq!(script.acknowledged(), ["miner-server-1"]);
}

#[test]
fn a_launch_that_the_master_does_not_know_is_made_again() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    script.update(TaskStatus {
        uuid: None,
        reason: Some(task_status::Reason::InvalidOffers.into()),
        ..status("miner-server-1", TaskState::TaskDropped, 1)
    });
    script.write();
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-1", "miner-server-2"]);
    assert!(script.acknowledged().is_empty(), "no uuid, no acknowledgement");
}

#[test]
fn a_worker_without_an_update_is_replaced() {
    let limits = crate::offers::WorkerLimits { max_workers: Some(1), ..Default::default() };
    let placement = Placement { limits, ..Placement::default() };
    let mut script = Script::server_of(Settings { placement, ..settings() });
    script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
    script.write();
    script.wait(Duration::from_secs(119));
    let given_up = |script: &Script| {
        script.notices.iter().filter(|notice| matches!(notice, UserNotice::GivenUp { .. })).count()
    };
    assert!(script.queue.is_empty() && given_up(&script) == 0, "{:?}", script.notices);
    script.wait(Duration::from_secs(60));
    assert_eq!(given_up(&script), 1, "{:?}", script.notices);
    script.write();
    let recovered = script.disk.recover();
    let worker = recovered.tasks.iter().find(|task| task.id == "miner-worker-2").unwrap();
    assert_eq!((worker.state, worker.closed), (Some(TaskState::TaskLost), false));
    script.clear();
    script.event(Event::Offers(vec![offer("o3", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3"]);
    script.update(status("miner-worker-3", TaskState::TaskRunning, 1));
    script.update(status("miner-worker-2", TaskState::TaskRunning, 1));
    script.write();
    assert_eq!(script.killed(), ["miner-worker-2"], "its place is taken");
}

#[test]
fn only_the_launch_whose_offer_is_rescinded_is_cancelled() {
    let mut script = Script::with_server();
    let offers = [offer("o2", "b", 1.0, 1024), offer("o3", "b", 1.0, 1024), offer("o4", "c", 1.0, 1024)];
    script.event(Event::Offers(offers.into()));
    script.event(Event::Rescinded("o9".into()));
    assert!(script.calls.is_empty());
    script.event(Event::Rescinded("o3".into()));
    let given_back = Call::Decline { offers: vec!["o2".into()], refuse: Duration::ZERO };
    assert_eq!(script.calls, [given_back], "what is left of it comes again at once");
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3"]);
    assert_eq!(script.task("miner-worker-3").record.agent, "c");
}

/// The same offer from an agent at this IP address.
pub(super) fn at(ip: &str, offer: Offer) -> Offer {
    let address =
        mesos::v1::Address { hostname: Some(offer.hostname.clone()), ip: Some(ip.into()), port: 5051 };
    let url = mesos::v1::Url { scheme: "http".into(), address, ..mesos::v1::Url::default() };
    Offer { url: Some(url), ..offer }
}

#[test]
fn workers_get_the_name_and_the_address_of_the_servers_agent_also_after_a_restart() {
    use crate::server_address::PinnedAddress;
    for (pinned, expected, host) in [
        (None, &["stratum+tcp://a.host:31010", "stratum+tcp://[fd00::1]:31010"][..], "a.host"),
        (Some(PinnedAddress::Hostname), &["stratum+tcp://a.host:31010"], "a.host"),
        (Some(PinnedAddress::Ip), &["stratum+tcp://[fd00::1]:31010"], "fd00::1"),
    ] {
        let mut settings = settings();
        settings.template.options.server_address = pinned;
        let mut script = Script::with(settings);
        script.subscribe();
        script.event(Event::Offers(vec![at("fd00::1", offer("o1", "a", 1.0, 256))]));
        script.write();
        let Some(Call::Accept { tasks, .. }) = script.calls.last() else { panic!("{:?}", script.calls) };
        let spec = TaskSpec::decode(tasks[0].data.as_deref().unwrap()).unwrap().kind;
        assert!(matches!(spec, ProgramSpec::Server(server) if server.host == host));
        script.update(status("miner-server-1", TaskState::TaskRunning, 1));
        script.write();
        for restarted in [false, true] {
            if restarted {
                script.restart();
                script.subscribe();
                script.update(status("miner-server-1", TaskState::TaskRunning, 2));
                script.server_speaks(None);
                script.write();
            }
            script.clear();
            script.event(Event::Offers(vec![offer(&format!("w{restarted}"), "b", 1.0, 256)]));
            script.write();
            let worker = script.launched_worker();
            let urls = [vec![worker.pool], worker.alternatives].concat();
            assert_eq!(urls, expected, "{pinned:?}, restarted: {restarted}");
        }
    }
}
