//! Handles a miner's requests for options, workers and difficulty. Shares are handled in `submit`.

use std::sync::Arc;

use bitcoin::{Network, ScriptBuf};
use node::network::payout_script;
use stratum::Reason;

use super::submit::account_name;
use super::{Answer, Effect, Request, Session};
use crate::clock::Now;
use crate::job::VERSION_MASK;

/// Maximum number of workers that one connection may authorize.
pub(super) const MAX_WORKERS: usize = 64;

/// Maximum length of a user name, in bytes. Each gets an account that is kept for ever, and the place of a worker in a list, which has
/// its name twice, must fit into a parameter of the HTTP API.
const MAX_NAME: usize = 250;

impl Session {
    pub(super) fn on_request(&mut self, request: Request, now: Now, effects: &mut Vec<Effect>) {
        let was_ready = self.is_ready();
        let answer = match request {
            Request::Configure { version_mask, minimum_difficulty, extranonce } => {
                self.takes_extranonces |= extranonce;
                Some(self.configure(version_mask, minimum_difficulty))
            }
            // Only a first subscription can resume a session: a miner that has already received its extranonce1 must keep
            // it.
            Request::Subscribe { resume: Some(id), .. } if !self.subscribed => {
                return effects.push(Effect::Resume(id));
            }
            Request::Subscribe { .. } if was_ready => return self.subscribe_again(now, effects),
            Request::Subscribe { .. } => Some(self.subscribe()),
            Request::Authorize { worker, fixed_difficulty } => {
                Some(self.authorize(worker, fixed_difficulty, effects).into())
            }
            Request::SubscribeExtranonce => {
                self.takes_extranonces = true;
                Some(Answer::Accepted)
            }
            Request::SuggestDifficulty(difficulty) => {
                self.state.vardiff.suggest(difficulty, now.at);
                Some(Answer::Accepted)
            }
            Request::Submit(share) => self.submit(&share, now, effects),
            Request::SubmitUnreadable(reason) => {
                effects.push(Effect::CountForBan { accepted: false });
                return effects.push(Effect::answer(Answer::Rejected(reason)));
            }
        };
        effects.extend(answer.map(Effect::answer));
        self.begin_or_follow(was_ready, now, effects);
    }

    fn configure(&mut self, version_mask: Option<u32>, minimum_difficulty: Option<f64>) -> Answer {
        // The current job determines which version bits miners may roll.
        let allowed = self.state.job.as_ref().map_or(VERSION_MASK, |job| job.version_mask);
        // A mask without any bit that can ever be rolled is a request for nothing.
        let version_mask = version_mask.filter(|wanted| wanted & VERSION_MASK != 0);
        self.wanted_mask = version_mask.unwrap_or(self.wanted_mask);
        let rolled = version_mask.map(|wanted| wanted & allowed);
        self.version_mask = rolled.unwrap_or(self.version_mask);
        // Without any bit there is no version rolling, so it is refused. If a later job allows some bits, `mining.set_version_mask`
        // says so.
        let granted = rolled.filter(|mask| *mask != 0);
        if let Some(minimum) = minimum_difficulty {
            self.state.vardiff.raise_minimum(minimum);
        }
        Answer::Configured { version_mask: granted, minimum_difficulty: minimum_difficulty.is_some() }
    }

    pub(super) fn subscribe(&mut self) -> Answer {
        self.subscribed = true;
        Answer::Subscribed {
            session: self.state.id,
            extranonce1: self.state.extranonce1.bytes().to_vec(),
            extranonce2_len: self.state.layout.extranonce2,
        }
    }

    /// Answers a further subscription. The miner has begun anew, so it gets all that follows a first subscription: its extranonces,
    /// which stay the same, the difficulty and a job.
    fn subscribe_again(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let answer = self.subscribe();
        effects.push(Effect::answer(answer));
        self.sent_difficulty = None;
        self.retarget(now, effects);
        self.issue(true, effects);
    }

    /// Adds a worker to the connection.
    fn authorize(
        &mut self,
        worker: String,
        fixed_difficulty: Option<f64>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        let refuse = |text: &str| Err(Reason::new(Reason::UNAUTHORIZED, text));
        if worker.chars().any(char::is_control) {
            return refuse("the user name has control characters");
        }
        if worker.len() > MAX_NAME {
            return refuse(&format!("the user name has more than {MAX_NAME} bytes"));
        }
        let payout = match self.pays_users.map(|network| payout(&worker, network)).transpose() {
            Ok(payout) => payout,
            Err(text) => return refuse(&text),
        };
        if self.state.payout.is_some() && self.state.payout != payout {
            return refuse("a connection has one address: open another connection for another address");
        }
        if let Some(difficulty) = fixed_difficulty {
            self.state.vardiff.fix(difficulty);
        }
        if self.workers.iter().any(|known| **known == *worker) {
            return Ok(());
        }
        if self.workers.len() >= MAX_WORKERS {
            return refuse("too many workers on this connection");
        }
        self.state.payout = payout;
        let worker: Arc<str> = worker.into();
        effects.push(Effect::WorkerAdded(account_name(&worker)));
        self.workers.push(worker);
        Ok(())
    }
}

/// The script that pays to the address in a worker's name.
fn payout(worker: &str, network: Network) -> Result<ScriptBuf, String> {
    // All characters of an address are alphanumeric. A dot and a name may follow the address; p2pool's miners append
    // `/1+0.1`.
    let address = worker.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let refuse =
        |fault: &str| Err(format!("this pool pays the address in the user name, ADDRESS.WORKER: {fault}"));
    match (address, worker.chars().next()) {
        ("", None) => refuse("the user name is empty"),
        ("", Some(first)) if first.is_whitespace() => refuse("the user name begins with a space"),
        ("", Some(first)) => refuse(&format!("the user name begins with {first:?}")),
        _ => payout_script(address, network).or_else(|error| refuse(&error.to_string())),
    }
}
