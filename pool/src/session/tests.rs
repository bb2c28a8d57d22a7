//! Tests rules of a session that depend on the clock, or on an order of events that a test with a socket cannot force. The
//! tests talk to the session in Stratum V1, through the front-end.

mod handshake;
mod resume;
mod shares;
mod upstream;

use bitcoin::hashes::Hash;
use bitcoin::{Network, ScriptBuf};
use node::network::payout_script;
use stratum::Message;

use super::issued_jobs::{AcceptedShares, MAX_ACCEPTED, MAX_ISSUED, RENEW_AFTER};
use super::request::MAX_WORKERS;
use super::*;
use crate::chain::BuiltinChain;
use crate::job::{BlockClaim, HeaderBuilder, JobContent, JobId, TemplateJob};
use crate::source::builtin_work;
use crate::stratum_v1::{self, Decoded, PendingRequest};
use crate::vardiff::VardiffConfig;

const ID: SessionId = [7; 16];
const UNIX: u32 = 1_800_000_000;

/// A session, with the parts of a pool that the tests need.
struct Harness {
    session: Session,
    chain: BuiltinChain,
    job: Arc<Job>,
    now: Now,
}

/// The effects of an event, and the lines that the miner gets.
#[derive(Debug)]
struct Reaction {
    lines: Vec<String>,
    effects: Vec<Effect>,
    request: PendingRequest,
}

impl Reaction {
    fn new(effects: Vec<Effect>, request: PendingRequest) -> Self {
        let lines = effects.iter().filter_map(|effect| match effect {
            Effect::Send(message) => stratum_v1::encode(message, &request),
            _ => None,
        });
        Reaction { lines: lines.collect(), effects, request }
    }

    fn iter(&self) -> std::slice::Iter<'_, Effect> {
        self.effects.iter()
    }

    fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }
}

impl Harness {
    /// A session on a chain for miners with this hashrate. The miner should find one share per second.
    fn new(hashrate: f64) -> Self {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", UNIX);
        let now = Now { unix_ms: 0, ..Now::with_unix(UNIX) };
        let job = Arc::new(Job::new(1, builtin_work(&chain, hashrate, now, BlockClaim::default())));
        let (extranonce1, layout) = (ExtranonceLease::of(&[1, 2, 3, 4]), ExtranonceLayout::OWN_BLOCKS);
        let session = Session::new(config(), None, ID, extranonce1, layout, Some(job.clone()), now);
        Harness { session, chain, job, now }
    }

    fn ready(hashrate: f64) -> Self {
        let mut harness = Harness::new(hashrate);
        harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
        harness.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
        harness
    }

    fn event(&mut self, event: Event) -> Reaction {
        Reaction::new(self.session.on_event(event, self.now), PendingRequest::default())
    }

    /// Gives the session a line from the miner.
    fn line(&mut self, line: &str) -> Reaction {
        match stratum_v1::decode(Message::from_line(line).unwrap()) {
            Decoded::Request(pending, request) => {
                Reaction::new(self.session.on_event(Event::Request(request), self.now), pending)
            }
            Decoded::Answer(line) => {
                Reaction { lines: vec![line], effects: Vec::new(), request: PendingRequest::default() }
            }
            Decoded::Ignored => panic!("no request"),
        }
    }

    /// Subscribes with the id of a former session. Returns whether the only effect is [`Effect::Resume`] with this id.
    fn asks_for_former_session(&mut self) -> bool {
        let subscribe =
            format!(r#"{{"id":1,"method":"mining.subscribe","params":["x","{}"]}}"#, hex::encode(ID));
        matches!(self.line(&subscribe).effects[..], [Effect::Resume(ID)])
    }

    fn resume(&mut self, former: Option<Box<SessionState>>) -> Reaction {
        self.event(Event::Resume(former))
    }

    fn pass(&mut self, seconds: u64) -> Reaction {
        self.now = Now { unix_ms: 0, ..self.now.later(seconds as u32) };
        self.event(Event::Tick)
    }

    fn next_deadline(&self) -> Instant {
        self.session.next_deadline().unwrap()
    }

    fn issued(&self) -> &[IssuedJob] {
        &self.session.state.issued.jobs
    }

    fn last_id(&self) -> JobId {
        self.issued().last().unwrap().id
    }

    fn accepted_shares(&self) -> usize {
        self.session.state.issued.accepted.len()
    }

    fn difficulty(&self) -> f64 {
        self.session.state.vardiff.difficulty()
    }

    fn new_job(&mut self, hashrate: f64) -> Reaction {
        let claim = self.template_job().claim;
        let job = builtin_work(&self.chain, hashrate, self.now, claim);
        self.publish(job)
    }

    fn template_job(&self) -> TemplateJob {
        let JobContent::Template(job) = &self.job.content else { panic!("no block") };
        job.clone()
    }

    /// Publishes the pool's next job.
    fn publish(&mut self, content: impl Into<JobContent>) -> Reaction {
        self.job = Arc::new(Job::new(self.job.serial + 1, content));
        self.event(Event::Job(self.job.clone()))
    }

    /// Submits shares of the last job until one is accepted.
    fn mine(&mut self) -> Reaction {
        let id = self.last_id();
        for nonce in 0..10_000_000u32 {
            let outcome = self.line(&format!(
                r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","{:08x}","{nonce:08x}"]}}"#,
                self.job.times.start
            ));
            let candidate = outcome.iter().any(|effect| matches!(effect, Effect::AnswerWithNextJob(_)));
            if candidate || outcome.lines.iter().any(|line| line.contains("\"result\":true")) {
                return outcome;
            }
        }
        panic!("no share found");
    }
}

/// Difficulties that are low enough for tests to find shares.
fn config() -> Config {
    let (start_difficulty, minimum_difficulty) = (1e-8, 1e-9);
    let vardiff = VardiffConfig { start_difficulty, minimum_difficulty, ..VardiffConfig::default() };
    Config { vardiff, ..Config::default() }
}

fn lines(outcome: &Reaction) -> Vec<&str> {
    outcome.lines.iter().map(String::as_str).collect()
}

#[test]
fn the_first_job_comes_once_when_subscribed_and_authorized_in_either_order() {
    let subscribe = r#"{"id":1,"method":"mining.subscribe","params":[]}"#;
    let authorize = r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#;
    for order in [[subscribe, authorize], [authorize, subscribe]] {
        let mut harness = Harness::new(1e6);
        assert_eq!(lines(&harness.line(order[0])).len(), 1);
        let effects = harness.line(order[1]);
        let sent = lines(&effects);
        assert_eq!(sent.len(), 3, "{sent:?}");
        assert!(sent[1].contains("mining.set_difficulty") && sent[2].contains("mining.notify"));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Authorized(_))));
        // A repeated authorization causes no second job.
        assert_eq!(lines(&harness.line(authorize)).len(), 1);
    }
}

#[test]
fn a_session_without_a_worker_is_closed_in_time_and_one_with_a_worker_is_not() {
    let mut harness = Harness::new(1e6);
    assert!(harness.next_deadline() <= harness.now.at + Duration::from_secs(30));
    assert!(harness.pass(29).is_empty());
    assert!(harness.next_deadline() <= harness.now.at + Duration::from_secs(1));
    assert!(matches!(harness.pass(1).effects[..], [Effect::Close(CloseReason::Unauthorized)]));

    // A miner that is authorized, but not subscribed, is disconnected, too.
    let mut harness = Harness::new(1e6);
    assert!(
        lines(&harness.line(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#))[0]
            .contains("true")
    );
    assert!(matches!(harness.pass(30).effects[..], [Effect::Close(CloseReason::Unauthorized)]));

    let mut harness = Harness::ready(1e6);
    assert!(!harness.pass(3_600).iter().any(|effect| matches!(effect, Effect::Close(_))));
}

#[test]
fn a_candidate_is_counted_before_its_answer_and_a_block_is_found_once() {
    // Nearly every share makes a block.
    let mut harness = Harness::ready(0.0);
    let (mut blocks, mut counted) = (0, 0);
    for _ in 0..3 {
        let effects = harness.mine();
        let count = effects.iter().position(|effect| matches!(effect, Effect::CountShare(_))).unwrap();
        // The answer follows with the next job, for which the miner should wait.
        let answer = |effect: &_| matches!(effect, Effect::AnswerWithNextJob(_));
        assert!(count < effects.iter().position(answer).unwrap());
        assert!(lines(&effects).is_empty(), "{effects:?}");
        let answered =
            harness.session.on_event(Event::UpstreamVerdict(client::Outcome::Accepted), harness.now);
        assert!(matches!(answered[..], [Effect::Send(_)]));
        blocks += effects.iter().filter(|effect| matches!(effect, Effect::FoundBlock(_))).count();
        counted +=
            effects.iter().filter(|e| matches!(e, Effect::CountShare(judged) if judged.candidate)).count();
        harness.session.state.issued.accepted = AcceptedShares::default();
    }
    assert_eq!((blocks, counted), (1, 3));
}

#[test]
fn a_silent_miner_gets_easier_jobs_and_its_old_job_gets_easier_too() {
    let mut harness = Harness::ready(1e9);
    harness.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    let before = harness.difficulty();
    let effects = harness.pass(60);
    let sent = lines(&effects);
    assert!(sent.len() == 2 && sent[0].contains("set_difficulty") && sent[1].contains("notify"), "{sent:?}");
    assert!(sent[1].ends_with("false]}"), "older jobs stay good: {}", sent[1]);
    let now = harness.difficulty();
    assert!(now < before / 4.0);
    // `issued()[0]` was sent before the suggestion, so `issued()[1]` is the first job of the suggested difficulty.
    let first = &harness.issued()[1];
    assert!(first.difficulty > now && first.lowest == now);
}

#[test]
fn a_harder_template_of_the_same_block_outdates_nothing() {
    let mut harness = Harness::ready(1e6);
    let first = harness.issued()[0].id;
    let effects = harness.new_job(1e9);
    assert!(lines(&effects).iter().any(|line| line.contains("notify") && line.ends_with("false]}")));
    assert!(harness.issued().iter().any(|issued| issued.id == first));
}

#[test]
fn the_memory_of_old_jobs_is_bounded() {
    let mut harness = Harness::ready(1e6);
    let first = harness.issued()[0].id;
    for _ in 0..3 * MAX_ISSUED {
        harness.new_job(1e6);
    }
    assert_eq!(harness.issued().len(), MAX_ISSUED);
    let submit = |id: JobId| {
        format!(
            r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","6b49d200","0"]}}"#
        )
    };
    harness.mine();
    assert_eq!(harness.accepted_shares(), 1);
    let forgotten = harness.line(&submit(first));
    assert!(lines(&forgotten)[0].contains("[21,\"stale\""), "{forgotten:?}");
    let unknown = harness.line(&submit(JobId { serial: 9_999, issue: 0 }));
    assert!(lines(&unknown)[0].contains("[21,\"job not found\""), "{unknown:?}");
}

#[test]
fn a_block_that_takes_hours_costs_no_shares_and_no_memory() {
    // Every hash is a share, and no hash makes a block.
    let mut harness = Harness::new(1e12);
    harness.session.config.vardiff.minimum_difficulty = 1e-300;
    let fixed = r#"{"id":2,"method":"mining.authorize","params":["w","d=1e-300"]}"#;
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    harness.session.state.vardiff = Vardiff::new(harness.session.config.vardiff, harness.now.at);
    harness.line(fixed);
    let mut first = None;
    for nonce in 0..3 * MAX_ACCEPTED as u32 {
        let id = harness.last_id();
        let line = format!(
            r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0000000000000000","{UNIX:08x}","{nonce:08x}"]}}"#
        );
        let effects = harness.line(&line);
        assert!(lines(&effects).iter().any(|line| line.contains("\"result\":true")), "{nonce}: {effects:?}");
        assert!(lines(&effects).iter().all(|line| !line.ends_with("true]}")), "nothing is outdated");
        assert!(harness.accepted_shares() <= MAX_ACCEPTED);
        let again = first.get_or_insert(line).clone();
        if nonce == RENEW_AFTER as u32 {
            assert!(lines(&harness.line(&again))[0].contains("[22,"), "its job is still known");
        }
    }
    assert!(lines(&harness.line(&first.unwrap()))[0].contains("[21,\"stale\""));
}

#[test]
fn worker_names_are_checked_and_bounded() {
    let mut harness = Harness::new(1e6);
    let mut authorize = |name: &str| {
        let effects = harness.line(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}"]}}"#));
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
fn two_jobs_on_a_tip_have_different_headers() {
    let mut harness = Harness::ready(1e6);
    let first = harness.issued()[0].id;
    harness.new_job(1e6);
    let second = harness.issued()[1].id;
    assert_eq!((first.issue, second.issue), (0, 1));
    let mut work = harness.template_job();
    Arc::make_mut(&mut work.template).prev_hash = bitcoin::BlockHash::all_zeros();
    harness.publish(work);
    assert_eq!(harness.issued()[0].id, JobId { serial: 3, issue: 0 });
}

#[test]
fn times_and_version_bits_follow_the_job() {
    let mut harness = Harness::ready(0.0);
    harness.line(r#"{"id":5,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00c06000"}]}"#);
    assert_eq!(harness.session.version_mask, 0x00c0_6000);
    let mut work = harness.template_job();
    Arc::make_mut(&mut work.template).used_version_bits = 0x4000;
    (work.times.last, work.times.until) = (work.times.start + 5, Some(UNIX + 6));
    let effects = harness.publish(work.clone());
    let sent = lines(&effects);
    assert!(sent[0].contains("set_version_mask") && sent[0].contains("00c02000"), "{sent:?}");
    assert!(sent[1].ends_with("false]}"), "{sent:?}");
    let late = format!(
        r#"{{"id":4,"method":"mining.submit","params":["w","{}","0000000000000000","{:08x}","00000000"]}}"#,
        harness.last_id(),
        work.times.start + 6
    );
    assert!(lines(&harness.line(&late))[0].contains("[20,\"ntime"));
    // The new job has no last header time. It is sent with `clean_jobs`, so that miners switch to it immediately, but shares
    // of older jobs still count.
    work.times.until = None;
    let effects = harness.publish(work);
    assert!(lines(&effects)[0].ends_with("true]}"), "{effects:?}");
    assert_eq!(harness.issued().len(), 3);
}

#[test]
fn users_are_paid_at_their_address() {
    let mut harness = Harness::new(1e6);
    harness.session.pays_users = Some(Network::Regtest);
    let mut work = harness.template_job();
    work.payout = None;
    harness.publish(work);
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    let mut authorize = |name: &str| {
        let line = format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#);
        lines(&harness.line(&line)).join("\n")
    };
    let (mine, main) = ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    assert!(authorize("me.rig").contains("[24,"));
    let refused = authorize(&format!("{main}.rig"));
    assert!(refused.contains("[24,") && refused.contains("the node is on regtest"), "{refused}");
    assert!(authorize(&format!("{mine}.rig1")).contains("mining.notify"));
    for name in [mine.to_owned(), format!("{mine}/1+0.1"), format!("{mine}_rig2")] {
        assert!(authorize(&name).contains("true"), "{name}");
    }
    for (name, fault) in [
        ("", "the user name is empty"),
        (".rig", "the user name begins with '.'"),
        (" mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "the user name begins with a space"),
    ] {
        let refused = authorize(name);
        assert!(refused.contains("[24,") && refused.contains(fault), "{refused}");
    }
    for nobody in ["satoshi", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfm.rig"] {
        let refused = authorize(nobody);
        assert!(refused.contains("[24,") && refused.contains("is not a Bitcoin address"), "{refused}");
    }
    assert!(authorize("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080").contains("[24,"));
    let HeaderBuilder::Template(draft) = &harness.issued()[0].builder else { panic!("no block") };
    let coinbase = &draft.coinbase;
    let script = payout_script(mine, Network::Regtest).unwrap();
    assert!(coinbase.suffix.windows(script.len()).any(|window| window == script.as_bytes()));
}
