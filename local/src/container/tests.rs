use super::*;
use mesos::v1::{CommandInfo, Environment, environment::Variable};
use std::collections::BTreeMap;
use std::sync::Mutex;

fn spec(script: &str, sandbox: &Path) -> ContainerSpec {
    let variable = Variable { name: "OWN".into(), value: Some("from command".into()), ..Default::default() };
    ContainerSpec {
        id: uuid::Uuid::new_v4(),
        sandbox: sandbox.join("runs/1"),
        command: CommandInfo {
            value: Some(script.into()),
            environment: Some(Environment { variables: vec![variable] }),
            ..Default::default()
        },
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
    }
}

#[tokio::test]
async fn runs_in_its_sandbox_with_its_own_environment() {
    let folder = tempfile::tempdir().unwrap();
    let events = Mutex::new(Vec::new());
    let script = "pwd; env | grep -c '^HOME='; echo $OWN; exit 3";
    run(spec(script, folder.path()), Arc::default(), CancellationToken::new(), |event| {
        events.lock().unwrap().push(event)
    })
    .await;
    let events = events.into_inner().unwrap();
    assert!(matches!(events[..], [ContainerEvent::Started(_), ContainerEvent::Exited(0x300)]), "{events:?}");
    let sandbox = folder.path().join("runs/1").canonicalize().unwrap();
    let output = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
    assert_eq!(output, format!("{}\n0\nfrom command\n", sandbox.display()));
    assert_eq!(folder.path().join("runs/latest").canonicalize().unwrap(), sandbox);
}

#[tokio::test]
async fn a_kill_reaches_the_whole_group() {
    let folder = tempfile::tempdir().unwrap();
    let kill = CancellationToken::new();
    let events = Mutex::new(Vec::new());
    let container = run(
        spec("sleep 600 & echo $! > child; wait", folder.path()),
        Arc::default(),
        kill.clone(),
        |event| {
            events.lock().unwrap().push(event);
        },
    );
    let file = folder.path().join("runs/1/child");
    let ready = async {
        while std::fs::read_to_string(&file).map_or(true, |text| !text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill.cancel();
    };
    tokio::join!(container, ready);
    assert!(matches!(
        events.into_inner().unwrap()[..],
        [ContainerEvent::Started(_), ContainerEvent::Exited(9)]
    ));
    let child: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..2000 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the child of the container lives on");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        CommandInfo { shell: Some(false), value: Some("/no/such/program".into()), ..Default::default() },
        CommandInfo::default(),
    ] {
        let events = Mutex::new(Vec::new());
        let spec = ContainerSpec { command, ..spec("", folder.path()) };
        run(spec, Arc::default(), CancellationToken::new(), |event| events.lock().unwrap().push(event)).await;
        assert!(matches!(&events.into_inner().unwrap()[..], [ContainerEvent::Failed(_)]));
    }
}

/// A process that was just forked for another container may still have the program's file open.
#[tokio::test]
async fn a_program_that_is_still_open_for_writing_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = spec("./program", folder.path());
    spec.command.shell = Some(false);
    spec.command.arguments = vec!["./program".into()];
    std::fs::create_dir_all(&spec.sandbox).unwrap();
    let program = spec.sandbox.join("program");
    std::fs::copy("/bin/true", &program).unwrap();
    let writing = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
    let events = Mutex::new(Vec::new());
    let container =
        run(spec, Arc::default(), CancellationToken::new(), |event| events.lock().unwrap().push(event));
    // Each attempt to start the program opens the files for its output.
    let attempt = async || {
        while !folder.path().join("runs/1/stdout").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let close = async {
        attempt().await;
        std::fs::remove_file(folder.path().join("runs/1/stdout")).unwrap();
        // The first attempt has failed.
        attempt().await;
        drop(writing);
    };
    tokio::join!(container, close);
    let events = events.into_inner().unwrap();
    assert!(matches!(events[..], [ContainerEvent::Started(_), ContainerEvent::Exited(0)]), "{events:?}");
}
