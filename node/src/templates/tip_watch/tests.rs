//! Single decisions, and many clients of one node whose waits and calls are simulated.

use bitcoin::hashes::Hash;

use super::*;

fn hash(tip: u8) -> BlockHash {
    BlockHash::from_byte_array([tip; 32])
}

const CORE: BetterWay = BetterWay::Waits(WaitForm::KnownTip);

/// A watch with a clock of its own. Each event comes one millisecond after the call that it answers.
struct Bench {
    watch: TipWatch,
    now: Instant,
}

impl Bench {
    fn new(better: BetterWay) -> (Self, Vec<Effect>) {
        let now = Instant::now();
        let (watch, effects) = TipWatch::new(Some(better), hash(1), now);
        (Bench { watch, now }, effects)
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.watch.on_event(event, self.now)
    }

    fn polled(&mut self, tip: u8, took: Duration) -> Vec<Effect> {
        let asked = self.now;
        self.now += took;
        self.on(Event::Polled { tip: hash(tip), asked })
    }

    fn quickly_polled(&mut self, tip: u8) -> Vec<Effect> {
        self.polled(tip, Duration::from_millis(1))
    }

    fn counted(&mut self, waits: usize, took: Duration) -> Vec<Effect> {
        let asked = self.now;
        self.now += took;
        self.on(Event::Counted { waits: Some(waits), asked })
    }

    fn quickly_counted(&mut self, waits: usize) -> Vec<Effect> {
        self.counted(waits, Duration::from_millis(1))
    }

    /// A watch at whose node nobody else waits, and which has begun its first wait.
    fn waiting(form: WaitForm) -> Self {
        let (mut bench, effects) = Bench::new(BetterWay::Waits(form));
        assert_eq!(effects, [Effect::Poll { after: POLL }]);
        let effects = bench.after(QUIET.1).quickly_polled(1);
        assert_eq!(effects, [Effect::Count { after: Duration::ZERO }, Effect::Poll { after: POLL }]);
        let limited = Effect::Wait { form, limit: TRIAL };
        let wait = [Effect::Poll { after: SAFETY_POLL }, limited, Effect::Count { after: BESIDE }];
        assert_eq!(bench.quickly_counted(0), wait);
        bench
    }

    fn is_polling(&self) -> bool {
        matches!(self.watch.way, Way::Poll { .. })
    }
}

#[test]
fn waits_follow_a_trial_and_become_longer() {
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    assert_eq!(bench.after(BESIDE).quickly_counted(1), []);
    let long = Effect::Wait { form: WaitForm::KnownTip, limit: WAIT };
    let beside = Effect::Count { after: BESIDE };
    assert_eq!(bench.on(Event::Waited { tip: hash(1) }), [long, beside]);
    assert_eq!(bench.watch.tip(), hash(1));
    // A wait that ends before the waits are counted is followed by another one only then.
    assert_eq!(bench.on(Event::Waited { tip: hash(2) }), [Effect::NewTip(hash(2))]);
    assert_eq!(bench.quickly_counted(1), [long, beside]);
    assert_eq!(bench.watch.tip(), hash(2));
}

#[test]
fn a_crowded_or_busy_node_is_polled() {
    for (waits, took) in [(3, 1), (1, 150)] {
        let mut bench = Bench::waiting(WaitForm::KnownTip);
        let effects = bench.counted(waits, Duration::from_millis(took));
        assert_eq!(effects, [Effect::Poll { after: POLL }]);
        // The wait goes on at the node, and may tell of a tip.
        assert_eq!(bench.on(Event::Waited { tip: hash(2) }), [Effect::NewTip(hash(2))]);
        assert!(bench.is_polling());
    }
    // Where two others wait already, no wait is begun.
    let (mut bench, _) = Bench::new(CORE);
    bench.after(QUIET.1).quickly_polled(1);
    assert_eq!(bench.quickly_counted(2), [Effect::Poll { after: POLL }]);
    assert!(bench.is_polling());
    // Nor at a node whose polls take long, or that is too busy to answer.
    assert_eq!(bench.after(QUIET.1).polled(1, BUSY * 2), [Effect::Poll { after: POLL }]);
    let asked = bench.now;
    assert_eq!(bench.after(QUIET.1).on(Event::PollRefused { asked }), [Effect::Poll { after: POLL }]);
    // A wait that the node is too busy for.
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    assert_eq!(bench.on(Event::WaitFailed), [Effect::Poll { after: POLL }]);
    assert!(bench.is_polling());
}

#[test]
fn pauses_between_trials_become_longer_until_waits_have_worked_for_a_while() {
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    let pause = |bench: &Bench| match bench.watch.way {
        Way::Poll { better_at } => better_at.unwrap() - bench.now,
        way => panic!("{way:?}"),
    };
    let mut longest = Duration::ZERO;
    for _ in 0..8 {
        bench.quickly_counted(9);
        bench.on(Event::Waited { tip: hash(1) });
        longest = longest.max(pause(&bench));
        bench.after(QUIET.1).quickly_polled(1);
        bench.quickly_counted(0);
    }
    assert!(longest > QUIET.1 / 3 && longest <= QUIET.1, "{longest:?}");
    bench.quickly_counted(1);
    bench.on(Event::Waited { tip: hash(1) });
    bench.after(SETTLED).quickly_counted(1);
    bench.on(Event::Waited { tip: hash(1) });
    bench.quickly_counted(9);
    assert!(pause(&bench) <= QUIET.0);
}

#[test]
fn before_a_wait_with_a_time_limit_alone_the_tip_is_asked_for() {
    let mut bench = Bench::waiting(WaitForm::TimeLimit);
    assert_eq!(bench.quickly_counted(1), []);
    assert_eq!(bench.on(Event::Waited { tip: hash(1) }), [Effect::Poll { after: Duration::ZERO }]);
    let wait = Effect::Wait { form: WaitForm::TimeLimit, limit: WAIT };
    let rest = [wait, Effect::Count { after: BESIDE }, Effect::Poll { after: SAFETY_POLL }];
    let news = [&[Effect::NewTip(hash(2))][..], &rest].concat();
    assert_eq!(bench.quickly_polled(2), news);
    // A node that refuses the second argument is asked with one.
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    assert_eq!(bench.on(Event::WaitRefused { form: Some(WaitForm::TimeLimit) }), []);
    assert_eq!(bench.quickly_counted(0), [Effect::Poll { after: Duration::ZERO }]);
    assert_eq!(bench.quickly_polled(1)[0], Effect::Wait { form: WaitForm::TimeLimit, limit: WAIT });
}

#[test]
fn a_node_without_waits_is_polled_for_ever_or_long_polled() {
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    assert_eq!(bench.on(Event::WaitRefused { form: None }), [Effect::Poll { after: POLL }]);
    bench.quickly_counted(0);
    for _ in 0..9 {
        assert_eq!(bench.after(QUIET.1).quickly_polled(1), [Effect::Poll { after: POLL }]);
    }
    let (mut bench, _) = Bench::new(CORE);
    bench.after(QUIET.1).quickly_polled(1);
    let asked = bench.now;
    bench.on(Event::Counted { waits: None, asked });
    assert_eq!(bench.after(QUIET.1).quickly_polled(1), [Effect::Poll { after: POLL }]);

    let (mut bench, effects) = Bench::new(BetterWay::LongPolls);
    let long_poll = [Effect::LongPoll, Effect::Poll { after: SAFETY_POLL }];
    assert_eq!(effects, long_poll);
    let polled = |tip, lasted, changed| Event::LongPolled { tip: hash(tip), lasted, changed };
    assert_eq!(bench.on(polled(2, Duration::ZERO, true)), long_poll);
    assert_eq!(bench.on(polled(2, SHORT, true)), long_poll);
    // Of no use: the same template again, or another one on the same tip at once, or an error.
    for event in [polled(2, SHORT, false), polled(2, Duration::ZERO, true), Event::LongPollFailed] {
        assert_eq!(bench.on(event), [Effect::Poll { after: POLL }]);
        assert_eq!(bench.quickly_polled(2), [Effect::Poll { after: POLL }]);
        assert_eq!(bench.after(REST.1).quickly_polled(2), long_poll);
    }
}

#[test]
fn a_subscription_takes_no_thread_and_is_left_if_it_misses_a_tip() {
    let (mut bench, _) = Bench::new(CORE);
    assert_eq!(bench.on(Event::Subscribed), [Effect::Poll { after: Duration::ZERO }]);
    let safety = Effect::Poll { after: SAFETY_POLL };
    for tip in 2..5 {
        assert_eq!(bench.on(Event::Published { tip: hash(tip) }), [Effect::NewTip(hash(tip))]);
        assert_eq!(bench.after(QUIET.1).quickly_polled(tip), [safety]);
    }
    // The poll may be the first to tell of a tip, but the publisher must tell of it before the next poll.
    assert_eq!(bench.quickly_polled(5), [Effect::NewTip(hash(5)), safety]);
    assert_eq!(bench.on(Event::Published { tip: hash(5) }), []);
    assert_eq!(bench.quickly_polled(5), [safety]);
    assert_eq!(bench.quickly_polled(6), [Effect::NewTip(hash(6)), safety]);
    assert_eq!(bench.quickly_polled(6), [Effect::Unsubscribe, Effect::Poll { after: POLL }]);
    assert_eq!(bench.on(Event::Subscribed), [Effect::Poll { after: Duration::ZERO }]);
    assert_eq!(bench.on(Event::Unsubscribed), [Effect::Poll { after: POLL }]);
}

#[test]
fn only_a_subscription_that_has_worked_can_end() {
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    assert_eq!(bench.on(Event::Unsubscribed), []);
    assert!(!bench.is_polling());
}

#[test]
fn an_answer_from_before_a_change_does_not_bring_the_old_tip_back() {
    let mut bench = Bench::waiting(WaitForm::KnownTip);
    let asked = bench.now;
    assert_eq!(bench.after(BESIDE).on(Event::Waited { tip: hash(2) })[0], Effect::NewTip(hash(2)));
    bench.on(Event::Polled { tip: hash(1), asked });
    assert_eq!(bench.watch.tip(), hash(2));
    assert_eq!(bench.on(Event::Template { tip: hash(3) }), []);
    assert_eq!(bench.watch.tip(), hash(3));
    assert_eq!(bench.on(Event::BlockSubmitted), [Effect::Poll { after: Duration::ZERO }]);
}

/// A simulated node: each call holds a thread until it is done, and calls without a thread queue up.
struct Node {
    threads: usize,
    /// When each thread is free, and whether its call is a wait.
    held: Vec<(Instant, bool)>,
}

impl Node {
    /// When a call that comes at `now` begins and ends.
    fn call(&mut self, now: Instant, lasts: Duration, is_wait: bool) -> (Instant, Instant) {
        self.held.sort();
        let busy: Vec<_> = self.held.iter().filter(|(end, _)| *end > now).copied().collect();
        let begin = match busy.len() < self.threads {
            true => now,
            false => busy[busy.len() - self.threads].0,
        };
        self.held = busy;
        self.held.push((begin + lasts, is_wait));
        (begin, begin + lasts)
    }

    fn waits(&self, at: Instant) -> usize {
        self.held.iter().filter(|(end, is_wait)| *is_wait && *end > at).count()
    }
}

/// Runs clients that all start at once for a minute, and returns how long each call of a third party takes, who calls every
/// 20 ms, sorted, and how many waits there were.
fn third_party(threads: usize, clients: usize) -> (Vec<Duration>, usize) {
    let start = Instant::now();
    let mut node = Node { threads, held: Vec::new() };
    let mut watches = Vec::new();
    // What happens when: a call is sent (`Err`), or answered (`Ok`).
    let mut agenda: std::collections::BTreeMap<(Instant, usize, u64), Result<Event, Effect>> =
        Default::default();
    let (mut serial, mut waits) = (0, 0);
    let mut schedule = |agenda: &mut std::collections::BTreeMap<_, _>, at, client, what| {
        serial += 1;
        if let Err(Effect::Poll { .. }) = what {
            agenda.retain(|(_, who, _), what| *who != client || !matches!(what, Err(Effect::Poll { .. })));
        }
        agenda.insert((at, client, serial), what);
    };
    for client in 0..clients {
        let (watch, effects) = TipWatch::new(Some(CORE), hash(1), start);
        watches.push(watch);
        for effect in effects {
            schedule(&mut agenda, start, client, Err(effect));
        }
    }
    let plain = Duration::from_micros(200);
    let third = clients;
    let mut took = Vec::new();
    schedule(&mut agenda, start, third, Err(Effect::LongPoll));
    while let Some(((now, client, _), what)) = agenda.pop_first() {
        if now > start + Duration::from_secs(60) {
            break;
        }
        match what {
            Err(Effect::LongPoll) => {
                let (_, end) = node.call(now, plain, false);
                took.push(end - now);
                schedule(&mut agenda, end.max(now + Duration::from_millis(20)), third, Err(Effect::LongPoll));
            }
            Err(Effect::Poll { .. }) => {
                let (_, end) = node.call(now, plain, false);
                schedule(&mut agenda, end, client, Ok(Event::Polled { tip: hash(1), asked: now }));
            }
            Err(Effect::Count { .. }) => {
                let (begin, end) = node.call(now, plain, false);
                let count = Some(node.waits(begin));
                schedule(&mut agenda, end, client, Ok(Event::Counted { waits: count, asked: now }));
            }
            Err(Effect::Wait { limit, .. }) => {
                waits += 1;
                let (_, end) = node.call(now, limit, true);
                schedule(&mut agenda, end, client, Ok(Event::Waited { tip: hash(1) }));
            }
            Err(_) => {}
            Ok(event) => {
                for effect in watches[client].on_event(event, now) {
                    let after = match effect {
                        Effect::Poll { after } | Effect::Count { after } => after,
                        _ => Duration::ZERO,
                    };
                    schedule(&mut agenda, now + after, client, Err(effect));
                }
            }
        }
    }
    took.sort();
    (took, waits)
}

#[test]
fn many_clients_leave_a_node_free_for_others() {
    for (threads, clients) in [(16, 32), (4, 8), (1, 1), (2, 4), (1, 8)] {
        let (took, waits) = third_party(threads, clients);
        let p99 = took[took.len() * 99 / 100];
        assert!(p99 <= TRIAL, "{threads} threads, {clients} clients: p99 is {p99:?}");
        assert!(waits > 0, "{threads} threads, {clients} clients: nobody has tried to wait");
    }
}
