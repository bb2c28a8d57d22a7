//! Rules of the work from an upstream pool, event by event.

use client::{ClientError, Event as ClientEvent};
use hasher::{CompactTarget, Target};

use super::*;

const NTIME: u32 = 1_800_000_000;

fn job(id: &str, clean: bool, extranonce2_len: usize) -> Job {
    Job {
        id: id.into(),
        prev_hash: [1; 32],
        coinb1: vec![1],
        coinb2: vec![2],
        branch: Vec::new(),
        version: 0x2000_0000,
        nbits: CompactTarget(0x1d00_ffff),
        ntime: NTIME,
        clean,
        target: Target::from_difficulty(1.0),
        version_mask: 0,
        extranonce1: vec![1, 2, 3, 4],
        extranonce2_len,
    }
}

fn lost() -> ClientEvent {
    ClientEvent::Lost { error: ClientError::NoPool, index: 0, retry_in: Duration::ZERO }
}

fn authorized(pool: &str) -> ClientEvent {
    ClientEvent::Authorized { pool: pool.parse().unwrap(), index: 0 }
}

struct Bench {
    state: UpstreamWorkState,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        Bench { state: UpstreamWorkState::default(), now: Now::read() }
    }

    fn event(&mut self, event: ClientEvent) -> Vec<Effect> {
        self.state.on_event(Event::Client(event), self.now)
    }

    /// Lets time pass until the next deadline, or for this long if it is later. Returns what follows.
    fn pass(&mut self, seconds: u32) -> Vec<Effect> {
        self.now = self.now.later(seconds);
        self.state.on_event(Event::Tick, self.now)
    }

    /// The pool has a verdict on a share of the present job, with which miners started this many seconds later.
    fn verdict(&mut self, rolled: u32, verdict: Verdict) -> Vec<Effect> {
        let event = Event::Verdict(ShareTime { rolled, ahead: 1 }, self.state.epoch, verdict);
        self.state.on_event(event, self.now)
    }

    fn is_in_vain(&mut self, rolled: u32) -> bool {
        let epoch = self.state.epoch;
        self.state.is_in_vain(ShareTime { rolled, ahead: 1 }, epoch)
    }

    fn start(&self) -> u32 {
        self.state.job().unwrap().start - NTIME
    }

    fn job(&mut self, job: Job) -> u64 {
        let received = std::time::Instant::now();
        let job = ClientEvent::Job { job: Arc::new(job), index: 0, received };
        assert_eq!(self.event(job), [Effect::Publish]);
        self.state.job().unwrap().epoch
    }
}

#[test]
fn only_clean_jobs_void_the_others() {
    let mut bench = Bench::new();
    let first = bench.job(job("a", true, 4));
    assert_eq!(bench.job(job("b", false, 4)), first);
    assert_eq!(bench.job(job("c", true, 4)), first + 1);
    // The pool sends the job again with another difficulty.
    let again = Job { target: Target::from_difficulty(2.0), ..job("c", true, 4) };
    assert_eq!(bench.job(again), first + 1);
}

#[test]
fn new_extranonces_and_another_pool_void_all_jobs() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    let first = bench.job(job("a", true, 4));
    bench.event(ClientEvent::ExtranonceChanged { extranonce1: vec![], extranonce2_len: 4 });
    assert_eq!(bench.job(job("b", false, 4)), first + 1);
    bench.event(authorized("a:1"));
    assert_eq!(bench.job(job("c", false, 4)), first + 1);
    bench.event(authorized("b:1"));
    assert_eq!(bench.job(job("d", false, 4)), first + 2);
    assert_eq!(bench.state.pool(), Some("stratum+tcp://b:1"));
}

#[test]
fn the_job_of_a_lost_pool_is_kept_for_a_while() {
    let mut bench = Bench::new();
    assert_eq!(bench.event(lost()), [Effect::Warn]);
    assert_eq!(bench.state.next_deadline(), None, "there is no job to withdraw yet");
    bench.event(authorized("a:1"));
    let first = bench.job(job("a", true, 4));
    bench.event(lost());
    let due = bench.state.next_deadline().unwrap();
    bench.now = bench.now.later(29);
    bench.event(lost());
    assert_eq!(bench.state.next_deadline(), Some(due), "another failure does not postpone it");
    assert_eq!(bench.state.pool(), None);
    assert_eq!(bench.pass(30), []);
    assert!(bench.state.job().is_some());
    assert_eq!(bench.pass(1), [Effect::Idle]);
    assert!(bench.state.job().is_none() && bench.state.next_deadline().is_none());
    assert_eq!(bench.job(job("a", false, 4)), first + 1);

    bench.event(lost());
    bench.job(job("b", true, 4));
    assert_eq!(bench.state.next_deadline(), Some(bench.now.at + REPEAT_EVERY));
}

#[test]
fn workers_keep_their_sizes_at_another_pool_where_these_fit() {
    let mut bench = Bench::new();
    bench.job(job("a", true, 8));
    let sizes = |bench: &Bench| {
        let layout = bench.state.job().unwrap().layout;
        (layout.extranonce1, layout.extranonce2)
    };
    assert_eq!(sizes(&bench), (2, 5));
    bench.job(job("b", true, 12));
    assert_eq!(sizes(&bench), (2, 5));
    // The sizes are kept even over a time without any job.
    bench.event(lost());
    assert_eq!(bench.pass(60), [Effect::Idle]);
    bench.job(job("c", true, 16));
    assert_eq!(sizes(&bench), (2, 5));
    bench.job(job("d", true, 4));
    assert_eq!(sizes(&bench), (2, 2));
    bench.job(job("e", true, 8));
    assert_eq!(sizes(&bench), (2, 5));
}

#[test]
fn a_job_that_lasts_is_given_out_again_with_the_time_of_the_pool_s_clock() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    let epoch = bench.job(job("a", true, 4));
    assert_eq!(bench.state.next_deadline(), Some(bench.now.at + REPEAT_EVERY));
    assert_eq!(bench.pass(29), []);
    assert_eq!((bench.pass(1), bench.start()), (vec![Effect::Publish], 30));
    assert_eq!((bench.pass(35), bench.start()), (vec![Effect::Publish], 65));
    // The pool's job is still the one that shares go to, and its earlier shares count.
    let repeated = bench.state.job().unwrap();
    assert_eq!((repeated.epoch, repeated.job.ntime), (epoch, NTIME));
    // The pool repeats its job with another difficulty: the time goes on.
    bench.now = bench.now.later(5);
    bench.job(Job { target: Target::from_difficulty(2.0), ..job("a", true, 4) });
    assert_eq!(bench.start(), 70);
    bench.job(Job { ntime: NTIME + 100, ..job("b", false, 4) });
    assert_eq!(bench.start(), 100);
    // A pool whose job, or block, is far too old most likely hangs. Its job is not made to look new.
    let (pool, after) = (|| "a:1".parse().unwrap(), Duration::from_secs(7_200));
    let too_old =
        [ClientError::JobTooOld { pool: pool(), after }, ClientError::BlockTooOld { pool: pool(), after }];
    for error in too_old {
        bench.event(ClientEvent::Unfit { error });
        assert_eq!(bench.pass(40), []);
        bench.job(job("c", false, 4));
        assert_eq!(bench.pass(30), [Effect::Publish]);
    }
    // Without a pool, miners keep their job, and do not get it again.
    bench.event(lost());
    assert_eq!(bench.pass(40), []);
}

#[test]
fn the_time_of_a_job_runs_no_further_than_pools_accept() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    bench.job(job("a", true, 8));
    let published = (0..1_000).filter(|_| bench.pass(30) == [Effect::Publish]).count();
    assert_eq!((published, bench.start()), (MAX_ROLL as usize / 30, MAX_ROLL));
}

#[test]
fn a_pool_that_accepts_only_the_job_s_own_time_gets_no_other() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    bench.job(job("a", true, 8));
    bench.pass(60);
    assert_eq!(bench.verdict(0, Verdict::RejectedForTime), [], "that is the job's own time");
    assert_eq!(bench.verdict(60, Verdict::Accepted), []);
    assert!(!bench.is_in_vain(60));
    let taken_back = bench.verdict(60, Verdict::RejectedForTime);
    assert_eq!((taken_back, bench.start()), (vec![Effect::Publish], 0));
    assert_eq!(bench.verdict(60, Verdict::RejectedForTime), []);
    assert!(bench.is_in_vain(60) && !bench.is_in_vain(0));
    assert_eq!((bench.pass(30), bench.start()), (vec![], 0), "miners would search the same headers again");
    bench.event(lost());
    bench.event(authorized("a:1"));
    bench.job(job("b", true, 4));
    assert_eq!(bench.pass(30), [], "the pool is the same");
    // Another pool may accept it.
    bench.event(lost());
    bench.event(authorized("b:1"));
    bench.job(job("c", true, 4));
    assert_eq!((bench.pass(30), bench.start()), (vec![Effect::Publish], 30));
    bench.event(lost());
    bench.event(authorized("a:1"));
    bench.job(job("b", true, 4));
    assert_eq!(bench.pass(30), [], "the first pool is remembered");
}

#[test]
fn a_pool_that_rejects_repeated_jobs_with_other_words_gets_the_job_s_own_time_again() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    bench.job(job("a", true, 8));
    bench.verdict(0, Verdict::Accepted);
    bench.pass(30);
    assert_eq!([0; 2].map(|_| bench.verdict(30, Verdict::Rejected)), [[], []]);
    assert_eq!((bench.verdict(30, Verdict::Rejected), bench.start()), (vec![Effect::Publish], 0));
    bench.job(job("b", true, 8));
    assert_eq!((bench.pass(30), bench.start()), (vec![], 0));
}

#[test]
fn the_last_answers_of_a_pool_that_was_left_tell_nothing_about_the_next() {
    let mut bench = Bench::new();
    bench.event(authorized("a:1"));
    let epoch = bench.job(job("a", true, 8));
    bench.pass(30);
    bench.event(authorized("b:1"));
    bench.job(job("b", true, 8));
    let time = ShareTime { rolled: 30, ahead: 0 };
    for _ in 0..5 {
        let event = Event::Verdict(time, epoch, Verdict::RejectedForTime);
        assert_eq!(bench.state.on_event(event, bench.now), []);
    }
    assert!(!bench.is_in_vain(30));
    assert_eq!((bench.pass(30), bench.start()), (vec![Effect::Publish], 30));
}

#[test]
fn a_pool_that_rejects_an_easy_block_gets_no_other() {
    let mut bench = Bench::new();
    let tip = |bench: &mut Bench, tip| {
        let epoch = bench.job(Job { prev_hash: [tip; 32], ..job("a", true, 8) });
        (epoch, bench.state.job().unwrap().easy_block)
    };
    bench.event(authorized("a:1"));
    assert!(tip(&mut bench, 1).1.take());
    assert!(!tip(&mut bench, 1).1.take(), "one on each tip");
    let (of_a, easy_block) = tip(&mut bench, 2);
    assert!(easy_block.take());
    bench.state.on_event(Event::EasyBlockRejected(of_a), bench.now);
    assert!(!tip(&mut bench, 3).1.take() && !tip(&mut bench, 4).1.take());
    bench.event(authorized("b:1"));
    assert!(tip(&mut bench, 5).1.take());
    // The first pool answers late.
    bench.state.on_event(Event::EasyBlockRejected(of_a), bench.now);
    assert!(tip(&mut bench, 6).1.take(), "the second pool has rejected none");
}

#[test]
fn each_pool_gets_an_easy_block_of_its_own_on_the_same_tip() {
    let mut bench = Bench::new();
    let take = |bench: &mut Bench| {
        bench.job(job("a", true, 8));
        bench.state.job().unwrap().easy_block.take()
    };
    bench.event(authorized("a:1"));
    assert!(take(&mut bench) && !take(&mut bench));
    bench.event(authorized("a:1"));
    assert!(!take(&mut bench), "the pool is the same");
    bench.event(authorized("b:1"));
    assert!(take(&mut bench) && !take(&mut bench), "the second pool has got none yet");
    bench.event(lost());
    bench.event(authorized("c:1"));
    let of_c = bench.job(job("a", true, 8));
    bench.state.on_event(Event::EasyBlockRejected(of_c), bench.now);
    bench.event(authorized("b:1"));
    bench.job(job("a", true, 8));
    bench.event(authorized("c:1"));
    assert!(!take(&mut bench), "the third pool has rejected one");
}

#[test]
fn reasons_about_the_time_are_told_from_others() {
    for text in ["Ntime out of range", "Invalid ntime", "time-too-new", "Time too new", "bad timestamp"] {
        assert!(is_about_time(&Reason::new(20, text)), "{text}");
    }
    for text in ["Above target", "Job not found", "timeout"] {
        assert!(!is_about_time(&Reason::new(20, text)), "{text}");
    }
}
