//! Which optional requests the pool has survived on one connection, and which may be the reason if it hangs up now.

use std::collections::{BTreeMap, BTreeSet};

use super::optional::is_too_early;
use super::{OptionalRequest, Pending};
use crate::share::Reason;

/// What the optional requests of one connection have come to.
#[derive(Debug, Default)]
pub(super) struct Survival {
    sent: BTreeSet<OptionalRequest>,
    suspects: BTreeMap<u64, Suspect>,
    succeeded: BTreeSet<OptionalRequest>,
    unknown: BTreeSet<OptionalRequest>,
}

/// A request that the pool may not survive: neither it nor a later request has been answered, or a refusal was the last answer.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    request: OptionalRequest,
    /// Whether the pool has refused it. Some pools hang up right after such an answer.
    refused: bool,
}

impl Survival {
    pub fn on_sent(&mut self, id: u64, request: OptionalRequest) {
        self.sent.insert(request);
        self.suspects.insert(id, Suspect { request, refused: false });
    }

    /// The pool has answered this request, so it has survived the earlier ones. It has survived this one as well, unless it refuses
    /// it: then the next message tells.
    pub fn on_answer(&mut self, id: u64, pending: Pending, refusal: Option<&Reason>) {
        self.on_sign_of_life();
        self.suspects = self.suspects.split_off(&(id + 1));
        let Pending::Optional(request) = pending else { return };
        match refusal {
            None => {
                self.succeeded.insert(request);
            }
            Some(reason) => {
                self.suspects.insert(id, Suspect { request, refused: true });
                // Every answer to a ping is as good as any other.
                if request != OptionalRequest::Ping && !is_too_early(reason) && is_unknown(reason) {
                    self.unknown.insert(request);
                }
            }
        }
    }

    /// The pool has sent an answer or a job, so it has survived what it had refused before.
    pub fn on_sign_of_life(&mut self) {
        self.suspects.retain(|_, suspect| !suspect.refused);
    }

    /// The pool has done what this request asks for, so it has survived the earlier ones as well.
    pub fn on_followed(&mut self, request: OptionalRequest) {
        let followed =
            self.suspects.iter().find(|(_, suspect)| suspect.request == request).map(|(id, _)| *id);
        self.suspects.retain(|id, suspect| suspect.request != request && Some(*id) > followed);
        self.succeeded.insert(request);
    }

    pub fn sent(&self) -> &BTreeSet<OptionalRequest> {
        &self.sent
    }

    pub fn suspects(&self) -> BTreeSet<OptionalRequest> {
        self.suspects.values().map(|suspect| suspect.request).collect()
    }

    pub fn succeeded(&self) -> &BTreeSet<OptionalRequest> {
        &self.succeeded
    }

    pub fn take_unknown(&mut self) -> BTreeSet<OptionalRequest> {
        std::mem::take(&mut self.unknown)
    }
}

/// Whether a refusal says that the pool does not know the request. Another reason may pass.
fn is_unknown(reason: &Reason) -> bool {
    let text = reason.message.to_lowercase();
    ["unknown", "not supported", "unsupported", "not found", "not implemented", "invalid method", "no such"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use OptionalRequest::{Configure, Ping, SubscribeExtranonce, SuggestDifficulty};

    use super::*;

    #[test]
    fn a_refused_request_stays_suspect_until_the_pool_sends_more() {
        let unknown = Reason::new(20, "Unknown method");
        let mut survival = Survival::default();
        survival.on_sent(1, Configure);
        survival.on_answer(1, Pending::Optional(Configure), Some(&unknown));
        assert_eq!(survival.suspects(), [Configure].into(), "it may hang up now");
        survival.on_answer(2, Pending::Authorize, None);
        assert_eq!(survival.suspects(), [].into());
        survival.on_sent(3, SubscribeExtranonce);
        survival.on_sent(4, SuggestDifficulty);
        survival.on_answer(3, Pending::Optional(SubscribeExtranonce), Some(&unknown));
        survival.on_sign_of_life();
        assert_eq!(
            survival.suspects(),
            [SuggestDifficulty].into(),
            "a job may have been on its way before it"
        );
        survival.on_answer(4, Pending::Optional(SuggestDifficulty), None);
        assert_eq!(survival.suspects(), [].into());
        assert_eq!(survival.take_unknown(), [Configure, SubscribeExtranonce].into());
        assert_eq!(survival.succeeded(), &[SuggestDifficulty].into());
    }

    #[test]
    fn a_pool_that_follows_a_request_has_survived_it_and_the_earlier_ones() {
        let mut survival = Survival::default();
        survival.on_sent(1, SubscribeExtranonce);
        survival.on_sent(2, SuggestDifficulty);
        survival.on_sent(3, SuggestDifficulty);
        survival.on_sent(4, Ping);
        survival.on_followed(SuggestDifficulty);
        assert_eq!(survival.suspects(), [Ping].into());
        assert_eq!(survival.succeeded(), &[SuggestDifficulty].into());
    }

    #[test]
    fn only_a_request_that_the_pool_does_not_know_counts_as_unknown() {
        for (request, reason, unknown) in [
            (Configure, "Method 'mining.configure' not found", true),
            (Configure, "Service unavailable", false),
            (SuggestDifficulty, "unknown worker: not subscribed", false),
            (Ping, "Not supported.", false),
        ] {
            let mut survival = Survival::default();
            survival.on_sent(1, request);
            survival.on_answer(1, Pending::Optional(request), Some(&Reason::new(20, reason)));
            assert_eq!(survival.take_unknown().contains(&request), unknown, "{reason}");
        }
    }
}
