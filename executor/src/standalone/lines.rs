//! The lines about shares and blocks, and how many of them are printed.

use std::time::{Duration, Instant};

use command_line::{Hashrate, pluralize};
use logging::LineLimit;
use task::{Totals, Verdict};

/// However many shares or blocks are found, one of them gets a line again after this time.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// The limit of lines about events that may come by the thousand, such as shares on regtest.
pub fn line_limit() -> LineLimit {
    LineLimit::with_longest(LONGEST_SILENCE, Instant::now())
}

/// Whether an event gets a line. If so, returns what the line says about the events before it without one.
pub fn admit(limit: &mut LineLimit) -> Option<String> {
    let admitted = limit.admit(Instant::now());
    admitted.then(|| match limit.take_omitted() {
        0 => String::new(),
        omitted => format!(" (and {omitted} more since the last such line)"),
    })
}

/// The last line about such events, if there are some that no line has told of.
pub fn sum_up(limit: &mut LineLimit, what: &str) -> Option<String> {
    let omitted = limit.take_omitted();
    (omitted > 0).then(|| format!("and {} since the last such line", pluralize(omitted, what)))
}

/// The line for one share: its own word, how many shares had this verdict, and the hashrate. The words in parentheses are those of
/// cpuminer, for scripts that look for them.
pub fn share_line(verdict: Verdict, candidate: bool, totals: Totals, rate: Hashrate) -> String {
    let Totals { accepted, rejected, stale, unanswered, .. } = totals;
    let (word, count, cheer) = match verdict {
        Verdict::Accepted if candidate => ("accepted", accepted, " (yay!!! a candidate for a block)"),
        Verdict::Accepted => ("accepted", accepted, " (yay!!!)"),
        Verdict::Rejected(_) => ("rejected", rejected, " (booooo)"),
        Verdict::Stale => ("stale", stale, ""),
        Verdict::Unanswered => ("unanswered", unanswered, ""),
    };
    let all = accepted + rejected + stale + unanswered;
    let percent = count as f64 / all.max(1) as f64 * 100.0;
    format!("{word}: {count}/{all} ({percent:.2}%), {rate}{cheer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_line_or_is_in_the_count_of_one() {
        let mut limit = line_limit();
        let lines: Vec<String> = (0..100).filter_map(|_| admit(&mut limit)).collect();
        assert!(lines.iter().all(|line| line.is_empty()), "a period has a few lines");
        let omitted = 100 - lines.len();
        assert_eq!(
            sum_up(&mut limit, "more share"),
            Some(format!("and {omitted} more shares since the last such line"))
        );
        assert_eq!(sum_up(&mut limit, "more share"), None);
    }

    #[test]
    fn each_verdict_has_its_own_word() {
        let totals = Totals { accepted: 6, rejected: 1, stale: 2, unanswered: 1, ..Totals::default() };
        let line = |verdict, candidate| share_line(verdict, candidate, totals, Hashrate(2.5e6));
        assert_eq!(line(Verdict::Accepted, false), "accepted: 6/10 (60.00%), 2.50 MH/s (yay!!!)");
        assert_eq!(
            line(Verdict::Accepted, true),
            "accepted: 6/10 (60.00%), 2.50 MH/s (yay!!! a candidate for a block)"
        );
        assert_eq!(line(Verdict::Rejected(23), false), "rejected: 1/10 (10.00%), 2.50 MH/s (booooo)");
        assert_eq!(line(Verdict::Stale, false), "stale: 2/10 (20.00%), 2.50 MH/s");
        assert_eq!(line(Verdict::Unanswered, false), "unanswered: 1/10 (10.00%), 2.50 MH/s");
    }
}
