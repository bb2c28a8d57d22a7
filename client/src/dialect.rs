//! Which optional requests a pool survives, as learned from earlier connections. Does no I/O.
//!
//! Some pools close the connection when they receive a request that they do not know. After such an end the next connection
//! leaves out all requests that may be the reason. If it succeeds, they stay left out; if it ends in the same way, they were not
//! the reason.

use std::collections::BTreeSet;

use stratum::OptionalRequest;

/// What is known about one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolDialect {
    /// The requests that the pool does not survive.
    refused: BTreeSet<OptionalRequest>,
    /// The requests that the next connection leaves out on trial.
    suspected: BTreeSet<OptionalRequest>,
    /// Whether a connection without any suspect has ended in the same way since the pool last gave work. Then the pool is rather
    /// away than particular, and a success proves nothing.
    in_doubt: bool,
}

impl PoolDialect {
    /// The requests to leave out on the next connection.
    pub fn omit(&self) -> BTreeSet<OptionalRequest> {
        &self.refused | &self.suspected
    }

    /// The pool has hung up after these requests, of which it has answered none. Returns whether the next connection is to try
    /// without them, and does so for the first time since the pool last gave work.
    pub fn on_hang_up(&mut self, suspects: &BTreeSet<OptionalRequest>) -> bool {
        if suspects.is_empty() {
            self.in_doubt |= !self.suspected.is_empty();
            self.suspected.clear();
            return false;
        }
        self.suspected.extend(suspects);
        !self.in_doubt
    }

    /// The pool has authorized us and sent a job. Returns the requests that are left out from now on because the pool did not
    /// survive them.
    pub fn on_success(&mut self) -> BTreeSet<OptionalRequest> {
        let proven = std::mem::take(&mut self.suspected);
        if std::mem::take(&mut self.in_doubt) {
            return BTreeSet::new();
        }
        self.refused.extend(&proven);
        proven
    }
}

/// Names these requests for a message: `mining.configure and mining.suggest_difficulty`.
pub(crate) fn names(requests: &BTreeSet<OptionalRequest>) -> String {
    requests.iter().map(|request| request.method()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use OptionalRequest::{Configure, SubscribeExtranonce, SuggestDifficulty};

    use super::*;

    #[test]
    fn requests_that_a_pool_does_not_survive_stay_left_out() {
        let mut dialect = PoolDialect::default();
        // The pool hangs up on the first request, then on the second.
        assert!(dialect.on_hang_up(&[Configure].into()));
        assert_eq!(dialect.omit(), [Configure].into());
        assert!(dialect.on_hang_up(&[SuggestDifficulty].into()));
        assert_eq!(dialect.on_success(), [Configure, SuggestDifficulty].into());
        assert_eq!(dialect.on_success(), [].into(), "told once");
        // Later it hangs up on a third one.
        assert!(dialect.on_hang_up(&[SubscribeExtranonce].into()));
        dialect.on_success();
        assert_eq!(dialect.omit(), [Configure, SuggestDifficulty, SubscribeExtranonce].into());
        // A restart of the pool changes nothing.
        assert!(!dialect.on_hang_up(&[].into()));
        dialect.on_success();
        assert_eq!(dialect.omit().len(), 3);
    }

    #[test]
    fn a_pool_that_is_away_for_a_while_loses_nothing() {
        let mut dialect = PoolDialect::default();
        // A load balancer without a pool behind it closes all connections, with the request or without.
        for again in [true, false, false] {
            assert_eq!(dialect.on_hang_up(&[Configure].into()), again);
            assert!(!dialect.on_hang_up(&[].into()));
            assert_eq!(dialect.omit(), [].into());
        }
        dialect.on_hang_up(&[Configure].into());
        // The pool comes back during a connection without the request, by chance.
        assert_eq!(dialect.on_success(), [].into());
        assert_eq!(dialect.omit(), [].into(), "the next connection sends it again");
    }
}
