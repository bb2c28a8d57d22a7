use super::*;

/// Only a hang exceeds this limit.
const LIMIT: Duration = Duration::from_secs(60);

fn leader(address: &str, id: &str) -> Leader {
    leader::read(format!(r#"{{"address":{{"ip":"{address}","port":5050}},"id":"{id}"}}"#).as_bytes(), false)
        .unwrap()
}

/// A detector, and a sender that takes the place of ZooKeeper.
fn detector_and_sender() -> (Detector, channel::Sender<Election>) {
    let detector = Detector::new("zk://u:secret@z/mesos".parse().unwrap());
    let (sender, election) = channel::channel(Election::default());
    let task = tokio::spawn(std::future::pending());
    detector.shared.watch.set(Watch { election, task }).unwrap();
    (detector, sender)
}

fn elect(sender: &channel::Sender<Election>, leader: Leader) {
    sender.send_replace(Election { leader: Some(leader), error: None });
}

/// No other timer is set, so tokio's paused clock jumps to the limit immediately.
#[tokio::test(start_paused = true)]
async fn a_fixed_list_needs_no_zookeeper_and_never_changes() {
    let detector = Detector::new("a:1,b:2".parse().unwrap());
    assert_eq!(
        detector.candidates(Duration::ZERO).await.unwrap(),
        ["a:1", "b:2"].map(|a| a.parse().unwrap())
    );
    assert_eq!(detector.leader(), None);
    assert!(timeout(LIMIT, detector.changed()).await.is_err());
}

#[tokio::test]
async fn waits_for_the_first_leader_and_yields_each_next_one() {
    let (detector, sender) = detector_and_sender();
    let waiting = tokio::spawn({
        let detector = detector.clone();
        async move { detector.candidates(LIMIT).await }
    });
    let (one, two) = (leader("127.0.0.1", "1"), leader("127.0.0.2", "2"));
    elect(&sender, one.clone());
    assert_eq!(waiting.await.unwrap().unwrap(), std::slice::from_ref(&one.address));
    assert_eq!(detector.leader_other_than(None).await, one);
    let next = detector.changed();
    // Between the two leaders, no master leads.
    sender.send_replace(Election::default());
    elect(&sender, two.clone());
    assert_eq!(next.await, two);
    // A restarted master has a new id.
    let next = detector.changed();
    elect(&sender, leader("127.0.0.2", "3"));
    assert_eq!(next.await.id, "3");
}

#[tokio::test]
async fn the_last_leader_stays_while_zookeeper_is_unreachable() {
    let (detector, sender) = detector_and_sender();
    let ensemble = detector.masters().ensemble().unwrap().clone();
    let source = zookeeper_client::Error::SessionExpired;
    let unreachable = DetectError::Unreachable { ensemble: ensemble.clone(), source: source.into() };
    sender.send_modify(|election| election.error = Some(unreachable.clone()));
    let error = detector.candidates(LIMIT).await.unwrap_err();
    assert!(error.is_transient());
    assert!(!format!("{error} {error:?} {detector:?}").contains("secret"), "{error:?}");
    elect(&sender, leader("127.0.0.1", "1"));
    sender.send_modify(|election| election.error = Some(unreachable));
    assert_eq!(detector.candidates(LIMIT).await.unwrap().len(), 1);
    sender.send_replace(Election { leader: None, error: Some(DetectError::NoCandidate { ensemble }) });
    let error = detector.candidates(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, DetectError::NoCandidate { .. }), "{error:?}");
}

#[tokio::test]
async fn an_unreachable_zookeeper_is_an_error_at_once() {
    let masters = format!("zk://{}/mesos", testing::ports::closed_address()).parse().unwrap();
    let error = Detector::new(masters).candidates(LIMIT).await.unwrap_err();
    assert!(matches!(error, DetectError::Unreachable { .. }), "{error:?}");
}
