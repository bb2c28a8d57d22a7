//! The requests that a miner may leave out, and when they are sent.
//!
//! Some pools close the connection when they receive a request that they do not know. So a request that can wait is sent after
//! the first job, when nothing else is at stake.
//!
//! Dialects differ in which suggestion of a difficulty they read. Early versions of public-pool give no job before one has come.
//! Other pools count only the first one. ckpool drops those that come before the authorization, does not answer them, and reads
//! only whole numbers. So the first suggestion comes before the authorization, and another one only where the pool has not
//! followed the first.

use std::collections::BTreeSet;

use super::{Event, Pending, Session};
use crate::message::{Message, Request};
use crate::share::Reason;

/// A request that a miner may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionalRequest {
    /// `mining.configure`, which asks for version rolling above all.
    Configure,
    /// `mining.suggest_difficulty`.
    SuggestDifficulty,
    /// `mining.extranonce.subscribe`, and the extension of the same meaning in `mining.configure`.
    SubscribeExtranonce,
    /// `mining.ping`, which asks a silent pool for a sign of life.
    Ping,
}

impl OptionalRequest {
    /// The method of the request.
    pub fn method(self) -> &'static str {
        match self {
            OptionalRequest::Configure => "mining.configure",
            OptionalRequest::SuggestDifficulty => "mining.suggest_difficulty",
            OptionalRequest::SubscribeExtranonce => "mining.extranonce.subscribe",
            OptionalRequest::Ping => "mining.ping",
        }
    }
}

/// What a connection says about the optional requests.
impl Session {
    /// The optional requests that the pool was sent and that it may not have survived: it has answered neither them nor a later
    /// request, or it has refused them last. If it hangs up now, they may be the reason.
    pub fn suspects(&self) -> BTreeSet<OptionalRequest> {
        self.survival.suspects()
    }

    /// The optional requests that the pool was sent.
    pub fn sent(&self) -> &BTreeSet<OptionalRequest> {
        self.survival.sent()
    }

    /// The optional requests that the pool has granted.
    pub fn succeeded(&self) -> &BTreeSet<OptionalRequest> {
        self.survival.succeeded()
    }

    /// The optional requests that the pool does not know, as its answers have said since the last call.
    pub fn take_unknown(&mut self) -> BTreeSet<OptionalRequest> {
        self.survival.take_unknown()
    }
}

impl Session {
    /// An optional request, unless it is to be left out.
    pub(super) fn optional(&mut self, kind: OptionalRequest, request: Request) -> Option<Message> {
        if !self.options.sends(kind) {
            return None;
        }
        let (id, message) = self.request(Pending::Optional(kind), request);
        self.survival.on_sent(id, kind);
        Some(message)
    }

    fn suggest(&mut self, difficulty: f64) -> Option<Message> {
        self.optional(OptionalRequest::SuggestDifficulty, Request::SuggestDifficulty(difficulty))
    }

    /// The suggestion before the authorization.
    pub(super) fn first_suggestion(&mut self) -> Option<Message> {
        self.suggest(rounded(self.options.suggest_difficulty?))
    }

    /// The pool has set the difficulty. Some pools, such as ckpool, answer a suggestion with nothing else. A difficulty that was on
    /// its way before the suggestion moves towards the suggested one by chance only.
    pub(super) fn on_difficulty(&mut self, difficulty: f64) {
        let before = std::mem::replace(&mut self.difficulty, difficulty);
        if self.suggested.iter().any(|wanted| (wanted - difficulty).abs() < (wanted - before).abs()) {
            self.survival.on_followed(OptionalRequest::SuggestDifficulty);
        }
    }

    /// The requests that wait for the first job. `mining.extranonce.subscribe` is the older way to announce support for
    /// `mining.set_extranonce`. A pool that does not know it refuses it, and we ignore the refusal.
    pub(super) fn first_job_requests(&mut self) -> Vec<Event> {
        if self.first_job_requests_sent || !self.authorized || self.job.is_none() {
            return Vec::new();
        }
        self.first_job_requests_sent = true;
        let mut messages = Vec::new();
        if !self.extranonce_subscribed || self.options.pool.subscribe_extranonce {
            let request = self.optional(OptionalRequest::SubscribeExtranonce, Request::SubscribeExtranonce);
            messages.extend(request);
        }
        if let Some(wanted) = self.options.suggest_difficulty.filter(|_| !self.suggestion_unknown) {
            let suggestions = further_suggestions(wanted, self.difficulty);
            self.suggested.clone_from(&suggestions);
            messages.extend(suggestions.into_iter().filter_map(|difficulty| self.suggest(difficulty)));
        }
        messages.into_iter().map(Event::Send).collect()
    }
}

/// The difficulty as a whole number from 1 up, since ckpool reads no others. A fraction below 1 stays as it is.
fn rounded(difficulty: f64) -> f64 {
    if difficulty < 1.0 { difficulty } else { difficulty.round() }
}

/// The suggestions to send after the first job: none, if the pool has followed the first one. A pool that reads only whole
/// numbers is first asked for the lowest one; a pool that reads fractions takes the last suggestion.
fn further_suggestions(wanted: f64, in_force: f64) -> Vec<f64> {
    let wanted = rounded(wanted);
    match () {
        () if wanted < 1.0 && in_force > 1.0 => vec![1.0, wanted],
        // A low difficulty costs no work, and a pool may have a highest one.
        () if wanted < 1.0 && in_force <= wanted || in_force == wanted => Vec::new(),
        () => vec![wanted],
    }
}

/// Whether a refusal only says that the request came before the authorization.
pub(super) fn is_too_early(reason: &Reason) -> bool {
    let text = reason.message.to_lowercase();
    matches!(reason.code, Reason::UNAUTHORIZED | Reason::NOT_SUBSCRIBED)
        || ["authori", "subscri"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_has_not_followed_is_asked_again_in_a_form_that_it_may_read() {
        for (wanted, in_force, further) in [
            (0.25, 42.0, &[1.0, 0.25][..]),
            (0.25, 1.0, &[0.25]),
            (0.25, 0.5, &[0.25]),
            (0.25, 0.25, &[]),
            (0.25, 0.1, &[]),
            (7.4, 42.0, &[7.0]),
            (7.4, 7.0, &[]),
            (7.4, 1.0, &[7.0]),
            (0.999, 1.0, &[0.999]),
            (1.0, 1.0, &[]),
        ] {
            assert_eq!(further_suggestions(wanted, in_force), further, "{wanted}, {in_force}");
        }
    }

    #[test]
    fn a_refusal_for_the_missing_authorization_is_no_last_word() {
        assert!(is_too_early(&Reason::new(24, "Unauthorized worker")));
        assert!(is_too_early(&Reason::new(20, "not authorised yet")));
        assert!(!is_too_early(&Reason::new(20, "Not supported.")));
    }
}
