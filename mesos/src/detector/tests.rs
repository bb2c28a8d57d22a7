use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn leader(address: &str, id: &str) -> Leader {
    leader::read(format!(r#"{{"address":{{"ip":"{address}","port":5050}},"id":"{id}"}}"#).as_bytes(), false)
        .unwrap()
}

/// A detector that sees what it is told.
fn told() -> (Detector, channel::Sender<Seen>) {
    let detector = Detector::new("zk://u:secret@z/mesos".parse().unwrap());
    let (sender, seen) = channel::channel(Seen::default());
    let task = tokio::spawn(std::future::pending());
    detector.shared.watch.set(Watch { seen, task }).unwrap();
    (detector, sender)
}

fn see(sender: &channel::Sender<Seen>, leader: Leader) {
    sender.send_replace(Seen { leader: Some(leader), trouble: None });
}

#[tokio::test]
async fn a_fixed_list_needs_nobody_and_never_changes() {
    let detector = Detector::new("a:1,b:2".parse().unwrap());
    assert_eq!(
        detector.candidates(Duration::ZERO).await.unwrap(),
        ["a:1", "b:2"].map(|a| a.parse().unwrap())
    );
    assert_eq!(detector.leader(), None);
    assert!(timeout(Duration::from_millis(1), detector.changed()).await.is_err());
}

#[tokio::test]
async fn waits_for_the_first_leader_and_yields_each_next_one() {
    let (detector, sender) = told();
    let waiting = tokio::spawn({
        let detector = detector.clone();
        async move { detector.candidates(LIMIT).await }
    });
    let (one, two) = (leader("127.0.0.1", "1"), leader("127.0.0.2", "2"));
    see(&sender, one.clone());
    assert_eq!(waiting.await.unwrap().unwrap(), std::slice::from_ref(&one.address));
    assert_eq!(detector.leader_other_than(None).await, one);
    let next = detector.changed();
    // Nobody leads in between.
    sender.send_replace(Seen::default());
    see(&sender, two.clone());
    assert_eq!(next.await, two);
    // The same master after a restart.
    let next = detector.changed();
    see(&sender, leader("127.0.0.2", "3"));
    assert_eq!(next.await.id, "3");
}

#[tokio::test]
async fn the_last_leader_stays_during_troubles_with_zookeeper() {
    let (detector, sender) = told();
    let ensemble = detector.masters().ensemble().unwrap().clone();
    let source = zookeeper_client::Error::SessionExpired;
    let unreachable = DetectError::Unreachable { ensemble: ensemble.clone(), source };
    sender.send_modify(|seen| seen.trouble = Some(unreachable.clone()));
    let error = detector.candidates(LIMIT).await.unwrap_err();
    assert!(error.is_transient());
    assert!(!format!("{error} {error:?} {detector:?}").contains("secret"), "{error:?}");
    see(&sender, leader("127.0.0.1", "1"));
    sender.send_modify(|seen| seen.trouble = Some(unreachable));
    assert_eq!(detector.candidates(LIMIT).await.unwrap().len(), 1);
    sender.send_replace(Seen { leader: None, trouble: Some(DetectError::NoCandidate { ensemble }) });
    let error = detector.candidates(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, DetectError::NoCandidate { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_listening_is_said_soon() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let masters = format!("zk://{}/mesos", socket.local_addr().unwrap()).parse().unwrap();
    let error = Detector::new(masters).candidates(LIMIT).await.unwrap_err();
    assert!(matches!(error, DetectError::Unreachable { .. }), "{error:?}");
}
