//! What an operator is told of the connection.

use net::HostPort;
use problem::{Problem, ProblemKind};

/// Says once that figures are sent, that they cannot be sent, and that they are sent again.
#[derive(Debug)]
pub(crate) struct Notices {
    address: HostPort,
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Connected,
    Failed,
}

impl Notices {
    pub fn new(address: HostPort) -> Self {
        Notices { address, said: Said::Nothing }
    }

    /// There is a connection. After a failure this is not said yet: the connection may be closed at once.
    pub fn on_connected(&mut self) -> Option<String> {
        let first = self.said == Said::Nothing;
        first.then(|| {
            self.said = Said::Connected;
            format!("figures go to Graphite at {}", self.address)
        })
    }

    /// A connection has lasted; meanwhile this number of figures was dropped.
    pub fn on_lasting(&mut self, dropped: u64) -> Option<String> {
        if self.said == Said::Connected && dropped == 0 {
            return None;
        }
        self.said = Said::Connected;
        let also = match dropped {
            0 => ", also those that waited".to_owned(),
            _ => format!("; {dropped} older ones did not fit into the queue and are lost"),
        };
        Some(format!("figures go to Graphite at {} now{also}", self.address))
    }

    /// There is no connection, or none any more.
    pub fn on_failed(&mut self, error: &str) -> Option<String> {
        let told = std::mem::replace(&mut self.said, Said::Failed) == Said::Failed;
        let text = || format!("no figures reach Graphite at {}: {error}", self.address);
        (!told).then(|| Problem::new(ProblemKind::GraphiteUnreachable, text()).with_remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices() -> Notices {
        Notices::new(HostPort::parse("carbon:2003", None).unwrap())
    }

    #[test]
    fn each_change_is_said_once() {
        let mut notices = notices();
        assert_eq!(notices.on_connected().as_deref(), Some("figures go to Graphite at carbon:2003"));
        assert_eq!((notices.on_connected(), notices.on_lasting(0)), (None, None));
        let failed = notices.on_failed("it is gone").unwrap();
        assert!(failed.starts_with("no figures reach Graphite at carbon:2003: it is gone. "), "{failed}");
        let remedy = ProblemKind::GraphiteUnreachable.remedy().trim_end_matches('.');
        assert!(failed.ends_with(remedy), "{failed}");
        assert_eq!((notices.on_failed("refused"), notices.on_connected()), (None, None));
        let again = "figures go to Graphite at carbon:2003 now, also those that waited";
        assert_eq!(notices.on_lasting(0).as_deref(), Some(again));
        assert_eq!(notices.on_lasting(0), None);
    }

    #[test]
    fn a_peer_that_closes_each_connection_is_told_once() {
        let mut notices = notices();
        assert!(notices.on_connected().is_some() && notices.on_failed("closed").is_some());
        for _ in 0..9 {
            assert_eq!((notices.on_connected(), notices.on_failed("closed")), (None, None));
        }
    }

    #[test]
    fn what_was_lost_is_said_with_the_recovery() {
        let mut notices = notices();
        assert!(notices.on_failed("refused").is_some());
        let lost =
            "figures go to Graphite at carbon:2003 now; 7 older ones did not fit into the queue and are lost";
        assert_eq!((notices.on_connected(), notices.on_lasting(7).as_deref()), (None, Some(lost)));
    }
}
