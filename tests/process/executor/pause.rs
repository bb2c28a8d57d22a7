//! A worker that is told to pause, and to go on.

use std::time::Instant;

use task::{Instruction, Live, Message, WorkerLive};

use super::*;

impl Harness {
    /// Sends an instruction to the executor of the only task.
    fn instruct(&self, instruction: &Instruction) {
        let agent = self.framework.updates[0].agent_id.clone().expect("an agent");
        let data = instruction.encode();
        self.framework.call(&scheduler::message(&self.framework.id, "t".into(), agent, data));
    }

    /// Waits for a live message that comes from now on.
    fn live(&mut self, what: &str, wanted: impl Fn(&WorkerLive) -> bool) -> WorkerLive {
        let limit = Instant::now() + DEADLINE;
        self.framework.messages.clear();
        loop {
            let messages = std::mem::take(&mut self.framework.messages);
            let mut live = messages.iter().filter_map(|data| worker_live(data));
            if let Some(live) = live.find(&wanted) {
                return live;
            }
            assert!(Instant::now() < limit, "not in time: {what}");
            self.framework.next(what);
        }
    }
}

fn worker_live(data: &[u8]) -> Option<WorkerLive> {
    let Ok(Message::Live(live)) = Message::decode(data) else { return None };
    match *live {
        Live::Worker(live) => Some(live),
        Live::Pool(_) => None,
    }
}

fn live_hashes(live: &WorkerLive) -> u128 {
    live.totals.expect("totals").hashes
}

#[test]
fn a_paused_worker_keeps_its_task_and_searches_nothing_until_it_is_told_to_go_on() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let live = harness.live("it mines", |live| live.hashrate > 0.0);
    assert_eq!(
        (live.paused, live.cpu_model.is_empty()),
        (Some(false), ::executor::cpu_model::cpu_model().is_empty())
    );
    let measured = |live: &WorkerLive| {
        let delays = live.delays?;
        delays.notify_to_first_hash.zip(delays.share_round_trip)
    };
    let (first_hash, round_trip) =
        measured(&harness.live("delays", |live| measured(live).is_some())).expect("both delays");
    assert!(0 < first_hash.median && first_hash.median <= first_hash.p99, "{first_hash:?}");
    assert!(0 < round_trip.median && round_trip.median <= round_trip.p99, "{round_trip:?}");

    harness.instruct(&Instruction::Pause(true));
    let paused = harness.live("it pauses", |live| live.paused == Some(true));
    assert_eq!(paused.hashrate, 0.0);
    // The thread may have finished a chunk while the message was made.
    let next = harness.live("it is paused", |_| true);
    assert!(live_hashes(&next) >= live_hashes(&paused));
    // The scheduler repeats an instruction whose confirmation was lost.
    harness.instruct(&Instruction::Pause(true));
    for _ in 0..2 {
        let again = harness.live("it is still paused", |_| true);
        assert_eq!(
            (again.paused, again.hashrate, live_hashes(&again)),
            (Some(true), 0.0, live_hashes(&next))
        );
    }

    harness.instruct(&Instruction::Pause(false));
    let resumed = harness.live("it mines again", |live| live.hashrate > 0.0);
    assert_eq!(resumed.paused, Some(false));
    harness.kill("t", None);
    let killed = harness.framework.until("t", TaskState::TaskKilled);
    assert!(hashes(&killed) >= live_hashes(&resumed), "{killed:?}");
    assert!(live_hashes(&resumed) > live_hashes(&next));
    harness.ends();
}

#[test]
fn a_worker_that_is_paused_while_it_waits_for_its_pool_runs_when_it_has_a_job() {
    let Some(mut harness) = Harness::new() else { return };
    let pool = testing::ports::closed_address().to_string();
    harness.framework.accept(|offer| launch(offer, "t", &pool));
    harness.framework.until("t", TaskState::TaskStarting);
    harness.instruct(&Instruction::Pause(true));
    harness.live("it pauses", |live| live.paused == Some(true));
    let pool = harness.pool.clone();
    harness.instruct(&Instruction::MineAt { pool, alternatives: Vec::new() });
    harness.framework.until("t", TaskState::TaskRunning);
    let live = harness.live("it runs", |live| live.difficulty > 0.0);
    assert_eq!((live.paused, live_hashes(&live)), (Some(true), 0));
    harness.kill("t", None);
    assert_eq!(hashes(&harness.framework.until("t", TaskState::TaskKilled)), 0);
    harness.ends();
}
