use super::client::{LIST_REUSED, REUSED};
use super::*;

fn overview(peak: u64) -> Overview {
    Overview { peak, ..Overview::default() }
}

/// Answers the next query with an overview. The tests recognize the overview by its field `peak`.
async fn serve(queue: &mut QueryQueue, peak: u64) {
    let Query::Overview(answer) = queue.next().await else { panic!("another query") };
    answer.send(overview(peak)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_reused_for_a_while_and_by_all_who_ask_at_once() {
    let (client, mut queue) = channel();
    let first = tokio::join!(client.overview(), client.overview(), serve(&mut queue, 1));
    assert_eq!((first.0.unwrap().peak, first.1.unwrap().peak), (1, 1));
    tokio::time::advance(REUSED / 2).await;
    assert_eq!(client.overview().await.unwrap().peak, 1);
    tokio::time::advance(REUSED).await;
    let (later, ()) = tokio::join!(client.overview(), serve(&mut queue, 2));
    assert_eq!(later.unwrap().peak, 2);
}

#[tokio::test(start_paused = true)]
async fn another_page_is_another_query() {
    let (client, mut queue) = channel();
    let serve = async {
        for _ in 0..2 {
            let Query::Tasks { after, answer, .. } = queue.next().await else { panic!("no page") };
            answer.send(TaskPage { next: after, ..TaskPage::default() }).unwrap();
        }
    };
    let ask = async {
        assert_eq!(client.tasks(None, 5).await.unwrap().next, None);
        assert_eq!(client.tasks(None, 5).await.unwrap().next, None);
        assert_eq!(client.tasks(Some("x".into()), 5).await.unwrap().next.as_deref(), Some("x"));
    };
    tokio::join!(serve, ask);
}

#[tokio::test(start_paused = true)]
async fn answers_take_a_small_part_of_the_time() {
    let (client, mut queue) = channel();
    for (took, rest) in [(2, 38), (1, 19), (60_000, 60)] {
        queue.pause_after(Duration::from_millis(took), PAUSE_FACTOR);
        let asking = tokio::spawn({
            let client = client.clone();
            async move { client.tasks(Some(took.to_string()), 1).await.map(|_| ()) }
        });
        let begun = Instant::now();
        let Query::Tasks { answer, .. } = queue.next().await else { panic!("another query") };
        assert_eq!(begun.elapsed(), Duration::from_millis(rest));
        answer.send(TaskPage::default()).unwrap();
        assert_eq!(asking.await.unwrap(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn all_clients_of_a_busy_driver_get_an_error_in_time() {
    let (client, queue) = channel();
    let begun = Instant::now();
    let asking: Vec<_> = (0..100)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                match n % 2 {
                    0 => client.overview().await.map(|_| ()),
                    _ => client.tasks(Some(n.to_string()), 10).await.map(|_| ()),
                }
            })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Err(QueryError::Busy));
    }
    assert!(begun.elapsed() < 2 * ANSWER_WITHIN);
    drop(queue);
    assert_eq!(client.overview().await.unwrap_err(), QueryError::Ended);
}

fn finder(n: usize) -> BlockFinder {
    BlockFinder { worker: n.to_string(), ..BlockFinder::default() }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_read_in_slices_and_reused_until_it_is_old() {
    let (client, mut queue) = channel();
    let serve = async |queue: &mut QueryQueue| {
        for n in 0..3_usize {
            let Query::BlockSlice(SliceQuery { after, answer }) = queue.next().await else {
                panic!("no slice")
            };
            assert_eq!(after, n.checked_sub(1).map(|before| finder(before).worker));
            let next = (n < 2).then(|| finder(n).worker);
            answer.send(Slice { rows: vec![finder(n)], next }).unwrap();
        }
    };
    let (first, second, ()) = tokio::join!(client.blocks(), client.blocks(), serve(&mut queue));
    assert_eq!(**first.as_ref().unwrap(), [0, 1, 2].map(finder));
    assert_eq!(first, second);
    client.forget_old_lists();
    assert_eq!(client.blocks().await, first, "it is not old");
    tokio::time::advance(LIST_REUSED).await;
    let weak = std::sync::Arc::downgrade(first.as_ref().unwrap());
    drop((first, second));
    assert!(weak.upgrade().is_some());
    client.forget_old_lists();
    assert!(weak.upgrade().is_none());
    let (again, ()) = tokio::join!(client.blocks(), serve(&mut queue));
    assert_eq!(again.unwrap().len(), 3);
}
