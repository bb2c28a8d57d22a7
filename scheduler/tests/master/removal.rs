//! Frameworks that the master has removed, or would remove after the failover timeout.

use std::time::Duration;

use super::*;

/// A run that never subscribes does not change the framework's failover timeout.
#[tokio::test]
async fn the_last_line_names_the_failover_timeout_that_the_master_knows() {
    let mut master = TestMaster::start().await;
    let recorded = Duration::from_secs(3600);
    let run = Run::start(master.address(), |config| {
        (config.framework.teardown_on_exit, config.framework.failover_timeout) = (false, recorded);
    });
    let (_, events) = master.subscribed("f").await;
    master.server(&events).await;
    let folder = run.folder.path().to_owned();
    let Run { running, stop, folder: _kept } = run;
    stop.cancel();
    let subscribed = in_time("the scheduler ends", running).await.expect("it does not panic").unwrap();
    let run = Run::start(closed_address(), |config| {
        (config.framework.teardown_on_exit, config.state_dir) = (false, folder);
    });
    run.stop.cancel();
    for end in [subscribed, run.end().await.unwrap()] {
        let SchedulerEnd::TasksLeft { framework, .. } = end else { panic!("{end:?}") };
        assert_eq!(framework.failover_timeout, recorded);
    }
}

/// The master may have removed the framework while a scheduler was connected, or while none was.
#[tokio::test]
async fn a_removed_framework_ends_this_run_and_all_later_ones() {
    for connected in [true, false] {
        let mut master = TestMaster::start().await;
        let address = master.address();
        let folder = tempfile::tempdir().unwrap();
        let start = |new_framework: bool| {
            let folder = folder.path().to_owned();
            Run::start(address, move |config| {
                config.state_dir = folder;
                (config.framework.teardown_on_exit, config.framework.new_framework) = (false, new_framework);
            })
        };
        let mut run = start(false);
        let (_, events) = master.subscribed("f").await;
        master.server(&events).await;
        if !connected {
            run.stop.cancel();
            run.end().await.unwrap();
            run = start(false);
        }
        drop(events);
        let (call, events) = master.subscription().await;
        assert_eq!(call.framework_id.unwrap().value, "f");
        events.send(Event::Error("Framework has been removed".into()));
        let end = run.end().await.unwrap();
        let SchedulerEnd::Removed { summary, why } = &end else { panic!("{end:?}") };
        assert_eq!(summary.tasks, [("TASK_GONE".to_owned(), 1)].into());
        assert!(why.contains("framework f") && why.contains("an operator tore it down"), "{why}");
        assert_eq!(end.failure(), Some(&**why));
        for _ in 0..3 {
            let error = format!("{:#}", start(false).end().await.unwrap_err());
            assert_eq!(&error, why, "the same words");
        }
        let run = start(true);
        let (id, events) = master.subscribed("g").await;
        assert_eq!(id, None, "the three schedulers did not even subscribe");
        assert_eq!(master.server(&events).await, "miner-server-2");
        run.stop.cancel();
        run.end().await.unwrap();
    }
}

#[tokio::test]
async fn an_id_that_the_master_gave_up_is_followed_by_a_new_framework_if_the_user_wants_it() {
    let mut master = TestMaster::start().await;
    let run = Run::start(master.address(), |config| config.framework.new_framework = true);
    let (_, events) = master.subscribed("f").await;
    master.server(&events).await;
    events.send(Event::Error("Framework has been removed".into()));
    let (id, events) = master.subscribed("g").await;
    assert_eq!(id, None);
    assert_eq!(master.server(&events).await, "miner-server-2");
    drop(run);
}

/// If the scheduler subscribes with a framework id and the master answers with another one, the master has lost the framework.
/// The scheduler tears down the new framework that the master has begun instead.
#[tokio::test]
async fn another_id_than_the_one_asked_for_means_that_the_framework_is_removed() {
    for new_framework in [false, true] {
        let mut master = TestMaster::start().await;
        let run = Run::start(master.address(), |config| {
            (config.framework.teardown_on_exit, config.framework.new_framework) = (false, new_framework);
        });
        let (_, events) = master.subscribed("f").await;
        master.server(&events).await;
        drop(events);
        let (id, _other) = master.subscribed("g").await;
        assert_eq!(id.as_deref(), Some("f"));
        let call = master.call_of(Type::Teardown).await;
        assert_eq!(call.framework_id.unwrap().value, "g");
        if new_framework {
            let (id, events) = master.subscribed("h").await;
            assert_eq!(id, None);
            assert_eq!(master.server(&events).await, "miner-server-2");
            drop(run);
            continue;
        }
        let folder = run.folder.path().to_owned();
        let Run { running, folder: _kept, .. } = run;
        let end = in_time("the scheduler ends", running).await.expect("it does not panic").unwrap();
        let SchedulerEnd::Removed { why, .. } = &end else { panic!("{end:?}") };
        assert!(why.contains("removed framework f") && why.contains("--new-framework"), "{why}");
        let again = Run::start(master.address(), |config| config.state_dir = folder);
        assert_eq!(format!("{:#}", again.end().await.unwrap_err()), *why, "the same words");
    }
}
