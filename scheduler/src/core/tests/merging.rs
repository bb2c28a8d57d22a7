use super::*;

/// Workers that were launched in sequence on agent `b`, starting with miner-worker-2.
fn with_pieces(cpus: &[f64]) -> Script {
    let mut script = Script::with_server();
    for (i, cpus) in cpus.iter().enumerate() {
        script.event(Event::Offers(vec![offer(&format!("p{i}"), "b", *cpus, 200)]));
        script.write();
        running(&mut script, &format!("miner-worker-{}", i + 2));
    }
    script.clear();
    script
}

fn running(script: &mut Script, task: &str) {
    script.update(TaskStatus { agent_id: Some("b".into()), ..status(task, TaskState::TaskRunning, 1) });
    script.write();
}

fn end(script: &mut Script, task: &str) {
    script.update(TaskStatus { agent_id: Some("b".into()), ..status(task, TaskState::TaskKilled, 2) });
    script.write();
}

#[test]
fn small_workers_of_one_agent_become_one() {
    let mut script = with_pieces(&[0.5, 0.5, 0.7]);
    script.wait(Duration::from_secs(59));
    assert!(script.killed().is_empty(), "they have hardly begun");
    script.wait(Duration::from_secs(2));
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3", "miner-worker-4"]);
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["merging 3 workers on b.host into one with 1.7 CPU"]);
    script.clear();
    end(&mut script, "miner-worker-2");
    script.event(Event::Offers(vec![offer("q1", "b", 0.5, 700), offer("q2", "c", 0.5, 700)]));
    script.write();
    assert_eq!(script.declined(), ["q1"], "it would become a small worker again");
    assert_eq!(script.launched(), ["miner-worker-5"], "other agents are used");
    end(&mut script, "miner-worker-3");
    end(&mut script, "miner-worker-4");
    script.event(Event::Offers(vec![offer("q3", "b", 0.7, 700)]));
    script.wait(Duration::from_secs(2));
    assert_eq!(script.declined(), ["q1", "q3"]);
    assert!(!script.calls.contains(&Call::Revive));
    script.wait(Duration::from_secs(2));
    assert!(script.calls.contains(&Call::Revive), "now all of it can come");
    script.event(Event::Offers(vec![offer("q4", "b", 1.7, 700)]));
    script.write();
    assert_eq!(script.task("miner-worker-6").record.cpus_milli(), 1700);
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Paused { .. })));
}

#[test]
fn workers_are_not_merged_if_it_is_not_worth_it() {
    for cpus in [&[0.3, 1.7][..], &[1.0]] {
        let mut script = with_pieces(cpus);
        script.wait(Duration::from_secs(300));
        assert!(script.killed().is_empty(), "{cpus:?}");
    }
    let mut limited = with_pieces(&[0.5, 0.5]);
    limited.state.settings.placement.limits.worker_cpus_milli = Some(900);
    limited.wait(Duration::from_secs(300));
    assert!(limited.killed().is_empty(), "one may not have twice as much");
}

#[test]
fn free_cpu_without_memory_is_merged_with_a_worker() {
    let mut script = with_pieces(&[0.3]);
    script.wait(Duration::from_secs(61));
    script.event(Event::Offers(vec![offer("little", "b", 0.2, 100)]));
    assert!(script.killed().is_empty());
    script.event(Event::Offers(vec![offer("much", "b", 1.7, 100)]));
    assert_eq!(script.killed(), ["miner-worker-2"]);
    end(&mut script, "miner-worker-2");
    script.wait(Duration::from_secs(4));
    script.event(Event::Offers(vec![offer("all", "b", 2.0, 228)]));
    script.write();
    running(&mut script, "miner-worker-3");
    script.clear();
    script.wait(Duration::from_secs(120));
    script.event(Event::Offers(vec![offer("more", "b", 3.0, 100)]));
    assert!(script.killed().is_empty(), "not so soon again");
    script.wait(Duration::from_secs(30 * 60));
    script.event(Event::Offers(vec![offer("more", "b", 3.0, 100)]));
    assert_eq!(script.killed(), ["miner-worker-3"]);
}

/// The launch of a third worker is lost or cancelled. Even so, the other two workers are merged.
#[test]
fn a_third_worker_that_never_runs_does_not_prevent_a_merger() {
    for lost in [true, false] {
        let mut script = with_pieces(&[0.5, 0.5]);
        script.wait(Duration::from_secs(50));
        script.event(Event::Offers(vec![offer("p9", "b", 0.5, 200)]));
        if lost {
            script.write();
            assert_eq!(script.launched(), ["miner-worker-4"]);
        } else {
            // The offer is rescinded while the launch is being written to a slow disk.
            script.wait(Duration::from_secs(15));
            script.event(Event::Rescinded("p9".into()));
            script.write();
            assert!(script.launched().is_empty());
        }
        script.wait(Duration::from_secs(600));
        assert!(script.killed().contains(&"miner-worker-2"), "{:?}", script.notices);
    }
}
