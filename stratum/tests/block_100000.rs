//! A real block as a Stratum job. The expected bytes come from the block chain, not from our code.

use hasher::{CompactTarget, Header, Target};
use stratum::message::{Submit, SubscribeAnswer};
use stratum::{Event, Job, Message, Notification, Notify, Request, Session, SessionOptions, Share};

const LINES: &str = include_str!("data/block_100000.jsonl");
const COINBASE_TXID: &str = "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87";

fn line(index: usize) -> &'static str {
    LINES.lines().nth(index).expect("the file has four lines")
}

fn notify() -> Notify {
    let Message::Call(call) = Message::from_line(line(1)).unwrap() else { panic!("no call") };
    let Notification::Notify(notify) = Notification::from_call(&call).unwrap() else { panic!("no notify") };
    notify
}

fn submit() -> Submit {
    let Message::Call(call) = Message::from_line(line(2)).unwrap() else { panic!("no call") };
    let Request::Submit(submit) = Request::from_call(&call).unwrap() else { panic!("no submit") };
    submit
}

fn expected() -> (Header, String) {
    let expected: serde_json::Value = serde_json::from_str(line(3)).unwrap();
    let bytes = hex::decode(expected["header"].as_str().unwrap()).unwrap();
    (Header::from_bytes(&bytes.try_into().unwrap()), expected["digest"].as_str().unwrap().to_owned())
}

/// The job as a session delivers it.
fn job() -> std::sync::Arc<Job> {
    let mut session = Session::new(SessionOptions {
        omit: [stratum::OptionalRequest::Configure].into(),
        ..SessionOptions::new("pool.example:3333".parse().unwrap(), "u", "x")
    });
    session.start();
    session.on_message(Message::from_line(line(0)).unwrap()).unwrap();
    let events = session.on_message(Message::from_line(line(1)).unwrap()).unwrap();
    let [Event::Job(job)] = &events[..] else { panic!("{events:?}") };
    job.clone()
}

#[test]
fn the_jobs_header_is_the_blocks() {
    let (job, submit) = (job(), submit());
    let (expected, digest) = expected();
    let header = Header { nonce: submit.nonce, ..job.header(&submit.extranonce2, submit.ntime, job.version) };
    assert_eq!(header, expected);
    assert_eq!(header.digest().to_string(), digest);
    let network = Target::from_compact(CompactTarget(0x1b04_864c)).unwrap();
    assert!(network.is_met_by(&header.digest()));
}

#[test]
fn a_block_of_version_1_has_no_height() {
    assert_eq!(job().height(), None);
}

#[test]
fn the_coinbase_is_the_blocks() {
    let txid = hasher::sha256d(&job().coinbase(&submit().extranonce2));
    let displayed: Vec<u8> = txid.into_iter().rev().collect();
    assert_eq!(hex::encode(displayed), COINBASE_TXID);
}

#[test]
fn the_bitcoin_crate_accepts_coinbase_and_header() {
    use bitcoin::consensus::deserialize;
    let (job, submit) = (job(), submit());
    let coinbase: bitcoin::Transaction = deserialize(&job.coinbase(&submit.extranonce2)).unwrap();
    assert!(coinbase.is_coinbase());
    assert_eq!(coinbase.compute_txid().to_string(), COINBASE_TXID);
    let header = Header { nonce: submit.nonce, ..job.header(&submit.extranonce2, submit.ntime, job.version) };
    let header: bitcoin::block::Header = deserialize(&header.to_bytes()).unwrap();
    header.validate_pow(header.target()).unwrap();
}

#[test]
fn the_lines_are_written_as_they_are_read() {
    let same = |ours: String, index| {
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&ours), parse(line(index)));
    };
    same(Message::from(notify().to_call()).to_line(), 1);
    same(Message::from(Request::Submit(submit()).to_call(stratum::Id::Number(2))).to_line(), 2);
    let Message::Response(response) = Message::from_line(line(0)).unwrap() else { panic!("no response") };
    let answer = SubscribeAnswer::from_response(&response).unwrap();
    assert_eq!((answer.session.as_deref(), answer.extranonce2_len), (Some("s"), 3));
}

#[test]
fn the_session_submits_the_blocks_nonce() {
    let (job, submit) = (job(), submit());
    let share = Share {
        job: job.id.clone(),
        extranonce2: submit.extranonce2.clone(),
        ntime: job.ntime,
        nonce: submit.nonce,
        version: job.version,
    };
    let mut session = Session::new(SessionOptions::new("pool.example:3333".parse().unwrap(), "u", "x"));
    let (_, Message::Call(call)) = session.submit(&share) else { panic!("no call") };
    assert_eq!(Request::from_call(&call).unwrap(), Request::Submit(submit));
}
