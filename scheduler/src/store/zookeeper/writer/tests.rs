use std::sync::Mutex;

use tokio::sync::mpsc::unbounded_channel;

use super::super::fake::FlakyTree;
use super::*;
use crate::journal::{Origin, TaskRecord};
use crate::task_id::{TaskKind, task_id};

fn intent(number: u64, payload: usize) -> Change {
    let origin = Origin::Launched { cpus_milli: 1000 };
    Change::Task(TaskRecord::new(task_id(TaskKind::Worker, number), "a".into(), "h".repeat(payload), origin))
}

/// Writes these changes one by one. Returns the ids of the changes that were reported as persisted, the number of failed writes,
/// and whether all changes were written.
async fn write(tree: &mut FlakyTree, changes: Vec<Change>, closing: bool) -> (Vec<ChangeId>, usize, bool) {
    let told: Arc<Mutex<(Vec<ChangeId>, usize)>> = Arc::default();
    let notify: OnStoreEvent = {
        let told = Arc::clone(&told);
        Arc::new(move |notice| match notice {
            StoreEvent::Persisted(change_ids) => told.lock().unwrap().0.extend(change_ids),
            StoreEvent::WriteFailed { place, why } => {
                assert!(place == StorePlace::ZooKeeper && why.contains("ZooKeeper"), "{why}");
                told.lock().unwrap().1 += 1;
            }
            StoreEvent::WritesAgain(place) => assert_eq!(place, StorePlace::ZooKeeper),
            StoreEvent::Info(text) => panic!("{text}"),
        })
    };
    let (queue, receiver) = unbounded_channel();
    for (change_id, change) in changes.into_iter().enumerate() {
        queue.send(vec![(change_id as ChangeId, change)]).unwrap();
    }
    drop(queue);
    let closing = Arc::new(AtomicBool::new(closing));
    let all = Writer { state: TreeState::default(), tree, notify, closing }.run(receiver).await;
    let told = told.lock().unwrap();
    (told.0.clone(), told.1, all)
}

#[tokio::test(start_paused = true)]
async fn a_ticket_comes_back_when_its_change_is_written() {
    let slow = || WriteError::Again("slow".into());
    let mut tree = FlakyTree { failures: vec![slow(), slow()], ..FlakyTree::default() };
    let (change_ids, complaints, all) = write(&mut tree, vec![intent(1, 1), intent(2, 1)], false).await;
    assert_eq!((change_ids, complaints, all), (vec![0, 1], 2, true));
    assert_eq!(tree.content.keys().collect::<Vec<_>>(), ["miner-worker-1", "miner-worker-2"]);
    assert_eq!(tree.commits, 1, "what has gathered goes together");
}

#[tokio::test]
async fn a_former_leader_gets_no_ticket() {
    let mut tree = FlakyTree { failures: vec![WriteError::LeadershipLost], ..FlakyTree::default() };
    let (change_ids, complaints, all) = write(&mut tree, vec![intent(1, 1)], false).await;
    assert_eq!((change_ids, complaints, all), (vec![], 0, false));
    assert!(tree.content.is_empty());
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let mut tree = FlakyTree { failures: vec![WriteError::Again("away".into())], ..FlakyTree::default() };
    let (change_ids, complaints, all) = write(&mut tree, vec![intent(1, 1)], true).await;
    assert_eq!((change_ids, complaints, all), (vec![], 1, false));
}

#[tokio::test]
async fn transactions_are_of_bounded_size() {
    let mut tree = FlakyTree::default();
    let (change_ids, _, all) = write(&mut tree, (0..900).map(|n| intent(n, 4000)).collect(), false).await;
    assert!(all && change_ids.len() == 900 && tree.content.len() == 900);
    assert!(tree.commits >= 8 && tree.largest <= 500_000, "{} {}", tree.commits, tree.largest);
}

#[tokio::test(start_paused = true)]
async fn only_failed_transactions_are_repeated() {
    let slow = || WriteError::Again("slow".into());
    let mut tree = FlakyTree { failures: vec![slow(), slow(), slow()], ..FlakyTree::default() };
    let changes: Vec<Change> = (0..900).map(|n| intent(n, 1)).collect();
    let (change_ids, complaints, all) = write(&mut tree, changes, false).await;
    assert!(all && change_ids.len() == 900 && tree.content.len() == 900);
    assert_eq!(
        (tree.commits, complaints),
        (4, 1),
        "three of four portions failed, and came about in the second round"
    );
}

#[test]
fn the_framework_node_waits_for_earlier_transactions() {
    let transaction = |names: &[&str]| -> Vec<NodeWrite> {
        names.iter().map(|name| NodeWrite { name: (*name).to_owned(), data: None }).collect()
    };
    let transactions = [
        transaction(&["miner-worker-1"]),
        transaction(&["miner-worker-2", "miner-worker-3"]),
        transaction(&["miner-worker-4", FRAMEWORK]),
        transaction(&[FRAMEWORK_1, FRAMEWORK]),
        transaction(&["miner-worker-5"]),
        transaction(&["miner-worker-6"]),
    ];
    let sizes: Vec<usize> = independent_groups(&transactions).map(<[_]>::len).collect();
    assert_eq!(sizes, [2, 1, 1, 2]);
    assert!(independent_groups(&[]).next().is_none());
}
