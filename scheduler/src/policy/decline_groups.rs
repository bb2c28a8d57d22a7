//! Splits many declined offers into groups whose filters have different durations.
//!
//! All offers declined by one call come back in one event when their filter expires. With 50,000 agents, this would be a
//! recurring wave of offers to read and decline.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::event::Call;
use crate::offers::Decline;

/// Offers to decline are split into groups of at most this size, and each group is declined with one DECLINE call. The groups are
/// larger only if there would otherwise be more than `GROUPS` groups.
const GROUP: usize = 64;
/// Maximum number of groups into which declined offers are split. Each group takes one DECLINE call.
const GROUPS: usize = 16;
/// Each group of declined offers gets a different filter duration from this range. The range is given in multiples of the average
/// duration.
const SPREAD: Range<f64> = 0.75..1.25;

/// The calls that decline these offers. The offers that are declined for the time `middle` are split into groups. The filter
/// durations of the groups differ from `middle` by up to 25 %. All other offers with the same duration share one call.
pub(super) fn calls(declines: Vec<Decline>, middle: Duration, random: &mut StdRng) -> Vec<Call> {
    let mut by_time: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
    for decline in declines {
        by_time.entry(rounded(decline.refuse, middle)).or_default().extend(decline.offers);
    }
    let spread = by_time.remove(&middle).map(|offers| groups(offers, middle, random));
    let others = by_time.into_iter().map(|(refuse, offers)| Call::Decline { offers, refuse });
    others.chain(spread.into_iter().flatten()).collect()
}

/// Rounds a filter duration up to whole seconds, so that more offers have the same duration. One call can decline all of these.
fn rounded(refuse: Duration, middle: Duration) -> Duration {
    if refuse == middle || refuse.subsec_nanos() == 0 {
        return refuse;
    }
    Duration::from_secs(refuse.as_secs() + 1)
}

fn groups(mut offers: Vec<String>, middle: Duration, random: &mut StdRng) -> Vec<Call> {
    let count = offers.len().div_ceil(GROUP).clamp(1, GROUPS);
    let size = offers.len().div_ceil(count);
    let step = (SPREAD.end - SPREAD.start) / count as f64;
    let group = |number: usize| {
        let first = SPREAD.start + step * number as f64;
        let refuse = middle.mul_f64(random.random_range(first..first + step));
        let rest = offers.split_off(offers.len().min(size));
        Call::Decline { offers: std::mem::replace(&mut offers, rest), refuse }
    };
    (0..count).map(group).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const MIDDLE: Duration = Duration::from_secs(60);

    /// The number of offers in each call, and the filter durations of the calls in milliseconds, shortest first.
    fn declined(count: usize, refuse: Duration) -> (Vec<usize>, Vec<u128>) {
        let decline = |number: usize| Decline { offers: vec![format!("o{number}")], refuse };
        let calls = calls((0..count).map(decline).collect(), MIDDLE, &mut StdRng::seed_from_u64(1));
        let mut all = Vec::new();
        let mut sizes_and_times = (Vec::new(), Vec::new());
        for call in calls {
            let Call::Decline { offers, refuse } = call else { panic!("{call:?}") };
            sizes_and_times.0.push(offers.len());
            sizes_and_times.1.push(refuse.as_millis());
            all.extend(offers);
        }
        let expected: Vec<_> = (0..count).map(|number| format!("o{number}")).collect();
        assert_eq!(all, expected, "each is declined once");
        sizes_and_times
    }

    #[test]
    fn many_offers_come_back_at_sixteen_times() {
        let (sizes, times) = declined(50_000, MIDDLE);
        assert_eq!(sizes, [3125; 16]);
        for (number, time) in times.into_iter().enumerate() {
            let first = 45_000 + 1875 * number as u128;
            assert!((first..=first + 1875).contains(&time), "group {number}: {time} ms");
        }
    }

    #[test]
    fn few_offers_need_few_calls() {
        for (count, calls) in [(0, 0), (1, 1), (64, 1), (65, 2), (200, 4), (1000, 16)] {
            let (sizes, times) = declined(count, MIDDLE);
            assert_eq!(sizes.len(), calls, "{count} offers");
            assert!(times.iter().all(|ms| (45_000..=75_000).contains(ms)), "{times:?}");
            assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
        }
    }

    #[test]
    fn other_times_are_meant_as_they_are() {
        assert_eq!(declined(5000, Duration::from_secs(1)), (vec![5000], vec![1000]));
        assert_eq!(declined(5000, Duration::ZERO), (vec![5000], vec![0]));
    }

    #[test]
    fn pauses_that_end_within_a_second_of_each_other_are_one_call() {
        let decline = |number: u64| Decline {
            offers: vec![format!("o{number}")],
            refuse: Duration::from_micros(4_000_001 + 300 * number),
        };
        let calls = calls((0..4000).map(decline).collect(), MIDDLE, &mut StdRng::seed_from_u64(1));
        let time = |call: &Call| match call {
            Call::Decline { refuse, .. } => refuse.as_secs_f64(),
            call => panic!("{call:?}"),
        };
        let times: Vec<_> = calls.iter().map(time).collect();
        assert_eq!(times, [5.0, 6.0], "none comes back before its pause is over");
    }
}
