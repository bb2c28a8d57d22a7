use std::time::Duration;

use mesos::v1::TaskInfo;
use proptest::prelude::*;

use super::*;

const SOME: Duration = Duration::from_secs(60);

pub fn accept(task: &str, offer: &str, refuse: Duration) -> Call {
    let task = TaskInfo { task_id: task.into(), ..TaskInfo::default() };
    Call::Accept { offers: vec![offer.into()], tasks: vec![task], refuse }
}

fn launch_both(task: &str, other: &str, offer: &str, refuse: Duration) -> Call {
    let tasks = [task, other].map(|task| TaskInfo { task_id: task.into(), ..TaskInfo::default() });
    Call::Accept { offers: vec![offer.into()], tasks: tasks.into(), refuse }
}

fn decline(offer: &str, refuse: Duration) -> Call {
    Call::Decline { offers: vec![offer.into()], refuse }
}

fn acknowledge(task: &str) -> Call {
    Call::Acknowledge { task: task.into(), agent: "a".into(), uuid: vec![0; 16] }
}

fn kill(task: &str) -> Call {
    Call::Kill { task: task.into(), agent: "a".into() }
}

fn message(task: &str) -> Call {
    Call::Message { executor: task.into(), agent: "a".into(), data: Vec::new() }
}

fn reconcile(tasks: &[&str]) -> Call {
    Call::Reconcile(tasks.iter().map(|&task| (task.to_owned(), "a".to_owned())).collect())
}

/// Adds calls and sends all that may be sent. For each call that was sent, returns its index in `calls`, and the number by which
/// `order` identifies it.
fn sent(order: &mut CallOrder<usize>, calls: &[Call]) -> Vec<(usize, u64)> {
    for (index, call) in calls.iter().enumerate() {
        let footprint = order.footprint(call);
        order.add(footprint, index);
    }
    all(order)
}

fn all(order: &mut CallOrder<usize>) -> Vec<(usize, u64)> {
    std::iter::from_fn(|| order.next().map(|(number, &index)| (index, number))).collect()
}

fn places(sent: &[(usize, u64)]) -> Vec<usize> {
    let mut places: Vec<_> = sent.iter().map(|(index, _)| *index).collect();
    places.sort_unstable();
    places
}

/// The calls that are sent in each round, if all calls of a round are answered before the next round.
fn rounds(calls: &[Call]) -> Vec<Vec<usize>> {
    let mut order = CallOrder::new();
    let mut round = sent(&mut order, calls);
    let mut rounds = Vec::new();
    while !round.is_empty() {
        rounds.push(places(&round));
        round.iter().for_each(|(_, number)| order.done(*number));
        round = all(&mut order);
    }
    assert!(order.is_empty() && order.lanes.is_empty(), "{order:?}");
    rounds
}

#[test]
fn a_tasks_own_calls_keep_their_order_and_other_tasks_do_not_wait() {
    let calls = [accept("t", "o", Duration::ZERO), acknowledge("t"), message("t"), kill("t"), kill("u")];
    assert_eq!(rounds(&calls), [vec![0, 4], vec![1], vec![2], vec![3]]);
}

#[test]
fn reconcile_waits_for_the_launches_of_its_tasks_and_no_call_waits_for_it() {
    let launch = |task| accept(task, task, Duration::ZERO);
    let calls = [launch("t"), launch("u"), reconcile(&["t", "x"]), kill("t"), reconcile(&["x"])];
    assert_eq!(rounds(&calls), [vec![0, 1, 4], vec![2, 3]]);
    let calls = [launch("t"), kill("x"), reconcile(&[]), launch("u"), kill("u")];
    assert_eq!(rounds(&calls), [vec![0, 1, 3], vec![2, 4]]);
}

#[test]
fn a_reconcile_of_all_tasks_does_not_wait_for_later_launches() {
    let mut order = CallOrder::new();
    let first = sent(&mut order, &[accept("t", "o", SOME), reconcile(&[])]);
    assert_eq!(places(&first), [0]);
    assert_eq!(places(&sent(&mut order, &[accept("u", "p", SOME)])), [0], "it is on the way, too");
    order.done(first[0].1);
    assert_eq!(places(&all(&mut order)), [1]);
}

#[test]
fn calls_that_set_or_remove_filters_keep_their_order() {
    let calls = [
        decline("1", SOME),
        decline("2", SOME),
        accept("t", "3", SOME),
        decline("4", Duration::ZERO),
        Call::Revive,
        decline("5", SOME),
        accept("u", "6", Duration::ZERO),
        Call::Suppress,
        Call::Revive,
    ];
    assert_eq!(rounds(&calls), [vec![0, 1, 2, 3, 6], vec![4], vec![5], vec![7], vec![8]]);
}

#[test]
fn a_launch_does_not_wait_for_revive_but_a_later_revive_waits_for_it() {
    let calls = [
        decline("1", SOME),
        Call::Revive,
        accept("t", "2", SOME),
        decline("3", SOME),
        Call::Revive,
        accept("u", "4", SOME),
    ];
    assert_eq!(rounds(&calls), [vec![0, 2, 5], vec![1], vec![3], vec![4]]);
    let mut order = CallOrder::new();
    let first = sent(&mut order, &calls[..5]);
    assert_eq!(places(&first), [0, 2]);
    order.done(first.iter().find(|(index, _)| *index == 0).unwrap().1);
    for expected in [1, 3] {
        let next = all(&mut order);
        assert_eq!(places(&next), [expected]);
        order.done(next[0].1);
    }
    assert_eq!(all(&mut order), [], "REVIVE waits for the launch");
}

#[test]
fn a_call_gets_the_priority_of_those_that_wait_for_it() {
    let others = (0..4).map(|index| message(&format!("m{index}")));
    let calls: Vec<_> = others.chain([message("t"), message("t"), kill("t"), acknowledge("u")]).collect();
    let mut order = CallOrder::new();
    for (index, call) in calls.iter().enumerate() {
        let footprint = order.footprint(call);
        order.add(footprint, index);
    }
    let mut sent = Vec::new();
    while let Some((number, &index)) = order.next() {
        sent.push(index);
        order.done(number);
    }
    assert_eq!(sent, [7, 4, 5, 6, 0, 1, 2, 3]);
    assert!(order.is_empty());
}

#[test]
fn teardown_is_the_last() {
    let calls = [decline("1", SOME), acknowledge("t"), reconcile(&[]), Call::Teardown, kill("t")];
    assert_eq!(rounds(&calls), [vec![0, 1, 2], vec![3], vec![4]]);
}

#[test]
fn the_highest_priority_goes_first_and_old_calls_do_not_starve() {
    let mut order = CallOrder::new();
    for index in 0..20 {
        for call in [message(&format!("m{index}")), accept(&format!("t{index}"), &format!("o{index}"), SOME)]
        {
            let footprint = order.footprint(&call);
            order.add(footprint, call.clone());
        }
    }
    for index in 0..100 {
        for call in [kill(&format!("k{index}")), acknowledge(&format!("a{index}"))] {
            let footprint = order.footprint(&call);
            order.add(footprint, call.clone());
        }
    }
    let kind = |call: &Call| match call {
        Call::Acknowledge { .. } => 'a',
        Call::Kill { .. } => 'k',
        Call::Accept { .. } => 'l',
        _ => 'm',
    };
    let mut sent = String::new();
    while let Some((number, call)) = order.next() {
        sent.push(kind(call));
        order.done(number);
    }
    assert_eq!(&sent[..24], "aaaaaaamaaaaaaalaaaaaaam");
    let last = |kind| sent.rfind(kind).unwrap();
    assert!(last('a') < last('k') && last('k') < last('l') && last('l') < last('m'), "{sent}");
}

#[test]
fn a_refused_call_goes_first_and_later_calls_keep_waiting() {
    let mut order = CallOrder::new();
    let first = sent(&mut order, &[kill("t"), kill("u"), kill("t")]);
    order.put_back(first[0].1);
    assert_eq!(all(&mut order), [first[0]]);
    order.done(first[0].1);
    order.done(first[1].1);
    assert_eq!(places(&all(&mut order)), [2]);
}

#[test]
fn memory_is_freed_when_all_calls_are_answered() {
    let mut order = CallOrder::new();
    let calls: Vec<_> = (0..10_000).map(|index| kill(&index.to_string())).collect();
    let round = sent(&mut order, &calls);
    assert!(order.calls.capacity() >= 10_000 && order.lanes.capacity() >= 10_000);
    round.iter().for_each(|(_, number)| order.done(*number));
    assert!(order.calls.capacity() <= KEPT_CAPACITY && order.lanes.capacity() <= KEPT_CAPACITY);
}

/// Whether `first` must arrive before `second`. Tests compare [`CallOrder`] with this function, which is written independently of
/// it.
pub fn must_keep_order(first: &Call, second: &Call) -> bool {
    let tasks = |call: &Call| match call {
        Call::Accept { tasks, .. } => tasks.iter().map(|task| task.task_id.value.clone()).collect(),
        Call::Kill { task, .. } | Call::Acknowledge { task, .. } => vec![task.clone()],
        Call::Shutdown { executor, .. } | Call::Message { executor, .. } => vec![executor.clone()],
        _ => Vec::new(),
    };
    let offers = |call: &Call| match call {
        Call::Accept { offers, .. } | Call::Decline { offers, .. } => offers.clone(),
        _ => Vec::new(),
    };
    let lifts = |call: &Call| matches!(call, Call::Revive | Call::Suppress);
    let filters = |call: &Call| match call {
        Call::Accept { refuse, .. } | Call::Decline { refuse, .. } => !refuse.is_zero(),
        call => lifts(call),
    };
    let asked = |call: &Call| match call {
        Call::Reconcile(all) if all.is_empty() => matches!(first, Call::Accept { .. }),
        Call::Reconcile(some) => some.iter().any(|(asked, _)| tasks(first).contains(asked)),
        _ => false,
    };
    let same_task = tasks(first).iter().any(|task| tasks(second).contains(task));
    let same_offer = offers(first).iter().any(|offer| offers(second).contains(offer));
    // A launch may overtake an earlier REVIVE. The REVIVE then also removes the launch's filter on offers, which does no harm.
    let may_overtake = lifts(first) && matches!(second, Call::Accept { .. });
    let barrier = filters(first) && filters(second) && (lifts(first) || lifts(second)) && !may_overtake;
    let end = *first == Call::Teardown || *second == Call::Teardown;
    same_task || same_offer || barrier || end || asked(second)
}

/// Random calls about few tasks and offers, so that many of the calls are related.
pub fn calls() -> impl Strategy<Value = Vec<Call>> {
    let refuse = prop_oneof![Just(Duration::ZERO), Just(SOME)];
    let call = (0u8..13, 0u8..6, 0u8..6, refuse).prop_map(|(kind, task, offer, refuse)| {
        let (task, offer) = (format!("t{task}"), format!("o{offer}"));
        let other = offer.replace('o', "t");
        match kind {
            0 => accept(&task, &offer, refuse),
            1 => launch_both(&task, &other, &offer, refuse),
            2 | 3 => decline(&offer, refuse),
            4 | 5 => acknowledge(&task),
            6 => kill(&task),
            7 => Call::Shutdown { executor: task, agent: "a".into() },
            8 => message(&task),
            9 => reconcile(&[]),
            10 => reconcile(&[&task, &other]),
            11 => Call::Suppress,
            _ => Call::Revive,
        }
    });
    prop::collection::vec(call, 1..80)
}

proptest! {
    /// The calls are answered or refused in a random order.
    #[test]
    fn no_two_calls_that_must_keep_their_order_are_on_the_way_at_once(
        calls in calls(),
        choices in prop::collection::vec((0usize..16, any::<bool>()), 400),
    ) {
        let (mut order, mut added, mut answered) = (CallOrder::new(), 0, Vec::new());
        let mut on_the_way: Vec<(usize, u64)> = Vec::new();
        for (which, taken) in choices.into_iter().chain(std::iter::repeat((15, true))) {
            if answered.len() == calls.len() {
                break;
            }
            for (index, call) in calls.iter().enumerate().skip(added).take(which) {
                let footprint = order.footprint(call);
                order.add(footprint, index);
                added = index + 1;
            }
            while on_the_way.len() <= which && let Some((number, &index)) = order.next() {
                for earlier in 0..index {
                    let must_wait = must_keep_order(&calls[earlier], &calls[index]);
                    prop_assert!(!must_wait || answered.contains(&earlier), "{index} overtakes {earlier}: {calls:?}");
                }
                on_the_way.push((index, number));
            }
            if !on_the_way.is_empty() {
                let (index, number) = on_the_way.swap_remove(which % on_the_way.len());
                if taken {
                    order.done(number);
                    answered.push(index);
                } else {
                    order.put_back(number);
                }
            }
        }
        prop_assert!(order.is_empty() && order.next().is_none() && order.lanes.is_empty());
    }

    /// A call that need not keep its order with any unanswered call is sent immediately.
    #[test]
    fn what_need_not_wait_is_sent_at_once(calls in calls()) {
        let free = places(&sent(&mut CallOrder::new(), &calls));
        for (index, call) in calls.iter().enumerate() {
            let must_wait = calls[..index].iter().any(|earlier| must_keep_order(earlier, call));
            prop_assert_eq!(free.contains(&index), !must_wait, "{}: {:?}", index, calls);
        }
    }
}
