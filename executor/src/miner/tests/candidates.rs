//! What a candidate for a block does to the search.

use std::sync::Arc;

use hasher::Header;
use stratum::Job;

use super::*;

/// A miner that the test drives step by step, and its client at a scripted pool.
struct Steps {
    miner: Miner,
    client: Client,
    pool: Pool,
}

impl Steps {
    async fn start() -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address").to_string();
        let cpus = CpuAllocation { threads: NonZeroUsize::MIN, duty: 1.0, pins: Vec::new() };
        let (engine, found) = Engine::start(Backend::portable(), &cpus).expect("a thread");
        // Nobody reads the events.
        let miner = Miner::new(engine, found, mpsc::channel(1).0, CancellationToken::new());
        let mut client = Client::new(Config::new(vec![pool(&address)]));
        let welcomed = async {
            let mut pool = Pool::accept(&listener).await;
            pool.welcome().await;
            pool
        };
        let pool = tokio::select! {
            pool = welcomed => pool,
            error = async { while client.next().await.is_ok() {} } => panic!("{error:?}"),
        };
        Steps { miner, client, pool }
    }

    /// The pool sends this job on a tip with this hash, where half of all hashes are blocks. It voids no other job.
    async fn job(&mut self, id: &str, tip: u8) -> Arc<Job> {
        let prev = format!("{tip:02x}").repeat(32);
        let line = format!(
            r#"{{"id":null,"method":"mining.notify","params":["{id}","{prev}","01{}","02",[],"20000000","207fffff","65000000",false]}}"#,
            hex::encode(id)
        );
        self.pool.send_line(&line).await;
        loop {
            match timeout(DEADLINE, self.client.next()).await.expect("in time").expect("a pool") {
                client::Event::Job { job, index, received } if job.id == id => {
                    self.miner.on_job(Work { job: job.clone(), index }, received).await;
                    return job;
                }
                _ => {}
            }
        }
    }

    /// The engine finds a candidate for this job.
    async fn find(&mut self, job: &Arc<Job>, generation: u64) {
        let extranonce2 = vec![0; job.extranonce2_len];
        let mut found = (0..).map(|nonce| {
            let header = Header { nonce, ..job.header(&extranonce2, job.ntime, job.version) };
            let (job, extranonce2, digest) = (job.clone(), extranonce2.clone(), header.digest());
            FoundShare { job, generation, extranonce2, header, digest }
        });
        let candidate = found.find(FoundShare::is_candidate).expect("half of all hashes are");
        self.miner.on_found(candidate, &mut self.client).await;
    }
}

/// A generation after all that the engine has begun.
const LATEST: u64 = u64::MAX - 1;

#[tokio::test]
async fn only_a_candidate_for_the_present_tip_pauses_the_search() {
    let mut steps = Steps::start().await;
    let before = steps.job("before", 1).await;
    let present = steps.job("present", 2).await;
    steps.find(&before, 1).await;
    assert!(steps.miner.solved.is_none(), "the present tip is not solved");
    steps.find(&present, LATEST).await;
    assert!(steps.miner.solved.is_some());
    // A candidate for the tip before does not keep the search from going on.
    steps.miner.search_on();
    steps.find(&before, LATEST).await;
    assert!(steps.miner.solved.is_none());
}

#[tokio::test]
async fn after_a_candidate_for_an_older_job_of_the_tip_the_present_job_is_searched() {
    let mut steps = Steps::start().await;
    let older = steps.job("older", 1).await;
    steps.job("present", 1).await;
    steps.find(&older, LATEST).await;
    assert!(steps.miner.solved.is_some());
    steps.miner.search_on();
    loop {
        let found = timeout(DEADLINE, steps.miner.found.recv()).await.expect("in time").expect("a share");
        if found.generation > steps.miner.solved_generation {
            assert_eq!(found.job.id, "present");
            return;
        }
    }
}

#[tokio::test]
async fn a_verdict_does_not_end_a_pause_and_the_end_of_a_pause_does_not_search_a_solved_tip() {
    let mut steps = Steps::start().await;
    let job = steps.job("only", 1).await;
    // The threads found it before the pause.
    steps.miner.set_paused(true).await;
    steps.find(&job, LATEST).await;
    assert_eq!((steps.client.outstanding(), steps.miner.solved.is_some()), (1, true), "it is not lost");
    assert_eq!(steps.miner.search(), None);
    steps.miner.set_paused(false).await;
    assert_eq!(steps.miner.search(), None, "the tip is solved");
    steps.miner.set_paused(true).await;
    steps.miner.search_on();
    assert_eq!((steps.miner.solved.is_none(), steps.miner.search()), (true, None), "still paused");
    steps.miner.set_paused(false).await;
    assert!(steps.miner.search().is_some());
}

#[tokio::test]
async fn without_a_job_one_candidate_of_a_tip_is_submitted() {
    let mut steps = Steps::start().await;
    let job = steps.job("only", 1).await;
    steps.miner.work = None;
    steps.find(&job, 1).await;
    let submitted = steps.client.outstanding();
    steps.find(&job, 1).await;
    assert_eq!((submitted, steps.client.outstanding()), (1, 1));
}
