//! Problems of the subscription and of the election: why this scheduler is not subscribed to a master, as users are told.

use std::fmt::Display;

use logging::error_chain;
use mesos::detector::DetectError;
use mesos::zookeeper::Ensemble;
use mesos::{CallError, Refusal};
use problem::{Problem, ProblemKind};

/// The problem of a scheduler that waits for the master's first answer.
pub(crate) fn waiting(masters: impl Display) -> Problem {
    not_subscribed(ProblemKind::NotSubscribed, &format!("no answer from {masters} yet"))
}

/// The problem of a scheduler that has no subscription for this reason.
pub(crate) fn not_subscribed(kind: ProblemKind, why: &str) -> Problem {
    Problem::new(kind, format!("not subscribed to a master: {why}"))
}

/// The kind of problem that a failed SUBSCRIBE is.
pub(crate) fn kind_of_call(error: &CallError) -> ProblemKind {
    match error.cause() {
        CallError::NoLeader(error) => kind_of_detection(error),
        CallError::Refused { refusal: Refusal::Forbidden, .. } => ProblemKind::MasterCredentials,
        error if error.concerns_credentials() => ProblemKind::MasterCredentials,
        _ => ProblemKind::NotSubscribed,
    }
}

/// The problem of a scheduler to which ZooKeeper names no master.
pub(crate) fn no_leader(error: &DetectError) -> Problem {
    not_subscribed(kind_of_detection(error), &error_chain(error))
}

fn kind_of_detection(error: &DetectError) -> ProblemKind {
    match error {
        DetectError::Unreachable { .. } | DetectError::Forbidden { .. } | DetectError::Slow { .. } => {
            ProblemKind::ZooKeeperUnreachable
        }
        _ => ProblemKind::NotSubscribed,
    }
}

/// The problem of a scheduler that cannot stand for election for this reason.
pub(crate) fn no_election(ensemble: &Ensemble, why: impl Display) -> Problem {
    Problem::new(ProblemKind::ZooKeeperUnreachable, format!("no session with ZooKeeper at {ensemble}: {why}"))
}

#[cfg(test)]
mod tests {
    use mesos::address::{Endpoint, Scheme};

    use super::*;

    fn refused(refusal: Refusal) -> CallError {
        let address = "127.0.0.1:5050".parse().unwrap();
        let endpoint = Endpoint { scheme: Scheme::Http, address, path: "/api/v1/scheduler".to_owned() };
        CallError::Refused { endpoint, call: "SUBSCRIBE", status: 401, message: String::new(), refusal }
    }

    fn redirected(source: CallError) -> CallError {
        let address = |text: &str| text.parse().unwrap();
        CallError::Redirected { from: address("a:1"), to: address("b:2"), source: Box::new(source) }
    }

    #[test]
    fn credentials_and_zookeeper_are_told_from_a_master_that_is_away() {
        let ensemble = || "zk://127.0.0.1:1/mesos".parse::<mesos::masters::Masters>().unwrap();
        let ensemble = ensemble().ensemble().unwrap().clone();
        let away = DetectError::NoCandidate { ensemble: ensemble.clone() };
        let connect = CallError::Connect {
            address: "127.0.0.1:5050".parse().unwrap(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        };
        for (error, kind) in [
            (refused(Refusal::CredentialsNeeded), ProblemKind::MasterCredentials),
            (redirected(refused(Refusal::CredentialsWrong)), ProblemKind::MasterCredentials),
            (refused(Refusal::Forbidden), ProblemKind::MasterCredentials),
            (refused(Refusal::Malformed), ProblemKind::NotSubscribed),
            (connect, ProblemKind::NotSubscribed),
            (CallError::NoLeader(away), ProblemKind::NotSubscribed),
            (
                CallError::NoLeader(DetectError::Forbidden { ensemble: ensemble.clone() }),
                ProblemKind::ZooKeeperUnreachable,
            ),
        ] {
            assert_eq!(kind_of_call(&error), kind, "{error:?}");
        }
        let problem = no_election(&ensemble, "127.0.0.1:1: Connection refused");
        assert_eq!(
            problem.text,
            "no session with ZooKeeper at zk://127.0.0.1:1/mesos: 127.0.0.1:1: Connection refused"
        );
        assert!(problem.kind.is_unhealthy());
    }
}
