//! The rules that need a clock or an order of events which a socket can't be held to.

mod returning;
mod shares;
mod upstream;

use bitcoin::Network;
use bitcoin::hashes::Hash;
use node::network::payout_script;

use super::authorize::{MAX_WORKERS, fixed_difficulty};
use super::*;
use crate::chain::BuiltinChain;
use crate::job::{Claim, Content, Puzzle, Work};
use crate::source::builtin_work;
use crate::vardiff::Goal;

const ID: SessionId = [7; 16];
const UNIX: u32 = 1_800_000_000;

struct Bench {
    session: Session,
    chain: BuiltinChain,
    job: Arc<Job>,
    now: Now,
}

impl Bench {
    /// A session on a chain for miners of this hashrate, wanting a share per second.
    fn new(hashrate: f64) -> Bench {
        let goal = Goal {
            share_interval: Duration::from_secs(1),
            start: 1e-8,
            minimum: 1e-9,
            maximum: f64::INFINITY,
        };
        let settings = Settings { goal, authorize_within: Duration::from_secs(30), pays_users: None };
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", UNIX);
        let job = Arc::new(Job::new(1, builtin_work(&chain, hashrate, UNIX, Claim::default())));
        let now = Now { at: Instant::now(), unix: UNIX, unix_ms: 0 };
        Bench {
            session: Session::new(settings, ID, vec![1, 2, 3, 4], Layout::OWN, Some(job.clone()), now),
            chain,
            job,
            now,
        }
    }

    fn ready(hashrate: f64) -> Bench {
        let mut bench = Bench::new(hashrate);
        bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
        bench.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
        bench
    }

    fn line(&mut self, line: &str) -> Vec<Effect> {
        self.session.on_message(Message::from_line(line).unwrap(), self.now)
    }

    fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now.at += Duration::from_secs(seconds);
        self.now.unix += seconds as u32;
        self.session.on_tick(self.now)
    }

    fn new_job(&mut self, hashrate: f64) -> Vec<Effect> {
        let claim = self.job.claim().clone();
        let work = builtin_work(&self.chain, hashrate, self.now.unix, claim);
        self.offer(work)
    }

    fn work(&self) -> Work {
        let Content::Block(work) = &self.job.content else { panic!("no block") };
        work.clone()
    }

    fn offer(&mut self, work: Work) -> Vec<Effect> {
        self.job = Arc::new(Job::new(self.job.serial + 1, work));
        self.session.on_job(self.job.clone(), self.now)
    }

    /// Submits for the last job until a share is accepted.
    fn mine(&mut self) -> Vec<Effect> {
        let id = self.session.issued.last().unwrap().id;
        for nonce in 0..10_000_000u32 {
            let effects = self.line(&format!(
                r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","{:08x}","{nonce:08x}"]}}"#,
                self.job.times.start
            ));
            if lines(&effects).iter().any(|line| line.contains("\"result\":true")) {
                return effects;
            }
        }
        panic!("no share found");
    }
}

fn lines(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|e| if let Effect::Send(line) = e { Some(line.as_str()) } else { None })
        .collect()
}

#[test]
fn first_job_comes_once_both_are_done_in_either_order() {
    let subscribe = r#"{"id":1,"method":"mining.subscribe","params":[]}"#;
    let authorize = r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#;
    for order in [[subscribe, authorize], [authorize, subscribe]] {
        let mut bench = Bench::new(1e6);
        assert_eq!(lines(&bench.line(order[0])).len(), 1);
        let effects = bench.line(order[1]);
        let sent = lines(&effects);
        assert_eq!(sent.len(), 3, "{sent:?}");
        assert!(sent[1].contains("mining.set_difficulty") && sent[2].contains("mining.notify"));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Authorized)));
        // Doing it again brings no second job.
        assert_eq!(lines(&bench.line(order[1])).len(), 1);
    }
}

#[test]
fn a_session_without_a_worker_is_closed_in_time_and_one_with_is_not() {
    let mut bench = Bench::new(1e6);
    assert!(bench.session.next_tick() <= bench.now.at + Duration::from_secs(30));
    assert!(bench.pass(29).is_empty());
    assert!(bench.session.next_tick() <= bench.now.at + Duration::from_secs(1));
    assert!(matches!(bench.pass(1)[..], [Effect::Close(Why::Unauthorized)]));

    // Nor does a name alone hold a place.
    let mut bench = Bench::new(1e6);
    assert!(
        lines(&bench.line(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#))[0].contains("true")
    );
    assert!(matches!(bench.pass(30)[..], [Effect::Close(Why::Unauthorized)]));

    let mut bench = Bench::ready(1e6);
    assert!(!bench.pass(3_600).iter().any(|effect| matches!(effect, Effect::Close(_))));
}

#[test]
fn count_comes_before_the_answer_and_a_block_is_found_once() {
    // So easy that nearly every share is a block.
    let mut bench = Bench::ready(0.0);
    let (mut blocks, mut counted) = (0, 0);
    for _ in 0..3 {
        let effects = bench.mine();
        let count = effects.iter().position(|effect| matches!(effect, Effect::Count(_))).unwrap();
        let answer = effects.iter().position(|effect| matches!(effect, Effect::Send(_))).unwrap();
        assert!(count < answer);
        blocks += effects.iter().filter(|effect| matches!(effect, Effect::Found(_))).count();
        counted += effects.iter().filter(|e| matches!(e, Effect::Count(judged) if judged.block)).count();
        bench.session.seen = Seen::default();
    }
    assert_eq!((blocks, counted), (1, 1));
}

#[test]
fn a_silent_miner_gets_easier_jobs_and_its_old_job_gets_easier_too() {
    let mut bench = Bench::ready(1e9);
    bench.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    let before = bench.session.vardiff.difficulty();
    let effects = bench.pass(60);
    let sent = lines(&effects);
    assert!(sent.len() == 2 && sent[0].contains("set_difficulty") && sent[1].contains("notify"), "{sent:?}");
    assert!(sent[1].ends_with("false]}"), "older jobs stay good: {}", sent[1]);
    let now = bench.session.vardiff.difficulty();
    assert!(now < before / 4.0);
    // The very first job was sent before the suggestion.
    let first = &bench.session.issued[1];
    assert!(first.difficulty > now && first.lowest == now);
}

#[test]
fn a_harder_template_of_the_same_block_outdates_nothing() {
    let mut bench = Bench::ready(1e6);
    let first = bench.session.issued[0].id;
    let effects = bench.new_job(1e9);
    assert!(lines(&effects).iter().any(|line| line.contains("notify") && line.ends_with("false]}")));
    assert!(bench.session.issued.iter().any(|issued| issued.id == first));
}

#[test]
fn what_is_kept_of_old_jobs_is_bounded() {
    let mut bench = Bench::ready(1e6);
    let first = bench.session.issued[0].id;
    for _ in 0..3 * MAX_ISSUED {
        bench.new_job(1e6);
    }
    assert_eq!(bench.session.issued.len(), MAX_ISSUED);
    let submit = |id: JobId| {
        format!(
            r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","6b49d200","0"]}}"#
        )
    };
    bench.mine();
    assert_eq!(bench.session.seen.len(), 1);
    let forgotten = bench.line(&submit(first));
    assert!(lines(&forgotten)[0].contains("[21,\"stale\""), "{forgotten:?}");
    let unknown = bench.line(&submit(JobId { serial: 9_999, issue: 0 }));
    assert!(lines(&unknown)[0].contains("[21,\"job not found\""), "{unknown:?}");
}

#[test]
fn a_block_that_takes_hours_costs_no_shares_and_no_memory() {
    // Every hash is a share, and none is a block.
    let mut bench = Bench::new(1e12);
    bench.session.settings.goal.minimum = 1e-300;
    let fixed = r#"{"id":2,"method":"mining.authorize","params":["w","d=1e-300"]}"#;
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    bench.session.vardiff = Vardiff::new(bench.session.settings.goal, bench.now.at);
    bench.line(fixed);
    let mut first = None;
    for nonce in 0..3 * MAX_SEEN as u32 {
        let id = bench.session.issued.last().unwrap().id;
        let line = format!(
            r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","{UNIX:08x}","{nonce:08x}"]}}"#
        );
        let effects = bench.line(&line);
        assert!(lines(&effects).iter().any(|line| line.contains("\"result\":true")), "{nonce}: {effects:?}");
        assert!(lines(&effects).iter().all(|line| !line.ends_with("true]}")), "nothing is outdated");
        assert!(bench.session.seen.len() <= MAX_SEEN);
        let again = first.get_or_insert(line).clone();
        if nonce == RENEW_AFTER as u32 {
            assert!(lines(&bench.line(&again))[0].contains("[22,"), "its job is still known");
        }
    }
    assert!(lines(&bench.line(&first.unwrap()))[0].contains("[21,\"stale\""));
}

#[test]
fn names_are_checked_and_bounded() {
    let mut bench = Bench::new(1e6);
    let mut authorize = |name: &str| {
        let effects = bench.line(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}"]}}"#));
        lines(&effects)[0].contains("\"result\":true")
    };
    assert!(!authorize("a\\u001b[2J"));
    for name in 0..MAX_WORKERS {
        assert!(authorize(&name.to_string()));
    }
    assert!(!authorize("one more"));
    assert!(authorize("0"), "known ones may come again");
}

#[test]
fn passwords_may_fix_the_difficulty() {
    for (password, difficulty) in
        [("d=2", Some(2.0)), ("x,d=0.5", Some(0.5)), ("x; d=1e-3 ", Some(1e-3)), ("x", None), ("d=x", None)]
    {
        assert_eq!(fixed_difficulty(password), difficulty, "{password:?}");
    }
}

#[test]
fn two_jobs_on_a_tip_share_no_header() {
    let mut bench = Bench::ready(1e6);
    let first = bench.session.issued[0].id;
    bench.new_job(1e6);
    let second = bench.session.issued[1].id;
    assert_eq!((first.issue, second.issue), (0, 1));
    let mut work = bench.work();
    Arc::make_mut(&mut work.template).prev_hash = bitcoin::BlockHash::all_zeros();
    bench.offer(work);
    assert_eq!(bench.session.issued[0].id, JobId { serial: 3, issue: 0 });
}

#[test]
fn times_and_version_bits_follow_the_job() {
    let mut bench = Bench::ready(0.0);
    bench.line(r#"{"id":5,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00c06000"}]}"#);
    assert_eq!(bench.session.version_mask, 0x00c0_6000);
    let mut work = bench.work();
    Arc::make_mut(&mut work.template).used_version_bits = 0x4000;
    (work.times.last, work.times.until) = (work.times.start + 5, Some(UNIX + 6));
    let effects = bench.offer(work.clone());
    let sent = lines(&effects);
    assert!(sent[0].contains("set_version_mask") && sent[0].contains("00c02000"), "{sent:?}");
    assert!(sent[1].ends_with("false]}"), "{sent:?}");
    let late = format!(
        r#"{{"id":4,"method":"mining.submit","params":["w","{}","0000000000000000","{:08x}","00000000"]}}"#,
        bench.session.issued.last().unwrap().id,
        work.times.start + 6
    );
    assert!(lines(&bench.line(&late))[0].contains("[20,\"ntime"));
    // What the bits were to give way to is to be turned to at once, but outdates nothing.
    work.times.until = None;
    let effects = bench.offer(work);
    assert!(lines(&effects)[0].ends_with("true]}"), "{effects:?}");
    assert_eq!(bench.session.issued.len(), 3);
}

#[test]
fn users_are_paid_at_their_address() {
    let mut bench = Bench::new(1e6);
    bench.session.settings.pays_users = Some(Network::Regtest);
    let mut work = bench.work();
    work.payout = None;
    bench.offer(work);
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    let mut authorize = |name: &str| {
        let line = format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#);
        lines(&bench.line(&line)).join("\n")
    };
    let (mine, main) = ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    assert!(authorize("me.rig").contains("[24,"));
    let refused = authorize(&format!("{main}.rig"));
    assert!(refused.contains("[24,") && refused.contains("the node is on regtest"), "{refused}");
    assert!(authorize(&format!("{mine}.rig1")).contains("mining.notify"));
    for name in [mine.to_owned(), format!("{mine}/1+0.1"), format!("{mine}_rig2")] {
        assert!(authorize(&name).contains("true"), "{name}");
    }
    for nobody in ["", ".rig", "satoshi", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfm.rig"] {
        let refused = authorize(nobody);
        assert!(refused.contains("[24,") && refused.contains("is no Bitcoin address"), "{refused}");
    }
    assert!(authorize("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080").contains("[24,"));
    let Puzzle::Block(draft) = &bench.session.issued[0].puzzle else { panic!("no block") };
    let coinbase = &draft.coinbase;
    let script = payout_script(mine, Network::Regtest).unwrap();
    assert!(coinbase.suffix.windows(script.len()).any(|window| window == script.as_bytes()));
}
