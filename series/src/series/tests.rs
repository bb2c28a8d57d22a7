use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn sample(hashrate: f64, workers: u64, accepted: u64) -> Sample {
    Sample { hashrate, workers, counters: Counters { accepted, ..Counters::default() } }
}

/// Accepted shares of each point; `None` for a gap.
fn accepted(series: &Series, step: Step) -> Vec<Option<u64>> {
    series.points(step).iter().map(|point| point.figures.map(|figures| figures.counters.accepted)).collect()
}

#[test]
fn a_step_has_the_mean_hashrate_the_last_workers_and_what_was_counted() {
    let mut series = Series::default();
    for (time, sample) in [(60, sample(1e6, 1, 5)), (70, sample(2e6, 3, 7)), (119, sample(6e6, 2, 12))] {
        series.record(time, sample);
    }
    series.record(120, sample(8e6, 4, 13));
    let points = series.points(Step::Minute);
    let first = points[0].figures.unwrap();
    assert_eq!((points.len(), points[0].at, points[1].at), (2, 60, 120));
    assert_eq!((first.hashrate.round(), first.workers, first.samples), (3e6, 2, 3));
    assert_eq!(first.counters.accepted, 7, "the first sample says where the counter begins");
    assert_eq!(points[1].figures.unwrap().counters.accepted, 1);
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(0), Some(2), None, None, None, Some(5), Some(1)]);
    assert_eq!(accepted(&series, Step::QuarterHour), [Some(8)]);
    assert_eq!(series.figures(Step::Minute, 60), Some(first));
    assert_eq!((series.figures(Step::Minute, 180), series.figures(Step::Minute, 61)), (None, None));
}

#[test]
fn a_counter_that_begins_anew_counts_from_there() {
    let mut series = Series::default();
    [9, 4, 6].into_iter().for_each(|counted| series.record(0, sample(0.0, 0, counted)));
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(2)]);
}

#[test]
fn hashrates_that_are_no_numbers_do_not_spoil_the_mean() {
    let mut series = Series::default();
    [f64::NAN, 4.0, f64::INFINITY, 4.0]
        .into_iter()
        .for_each(|hashrate| series.record(0, sample(hashrate, 0, 0)));
    assert_eq!(series.last(Step::TenSeconds).unwrap().1.hashrate, 2.0);
    [f64::MAX, f64::MIN].into_iter().for_each(|hashrate| series.record(60, sample(hashrate, 0, 0)));
    assert!(series.last(Step::TenSeconds).unwrap().1.hashrate.is_finite());
}

#[test]
fn an_hour_a_day_and_a_month_are_kept_and_no_more() {
    let mut series = Series::default();
    let month = 40 * 24 * 3600;
    (0..month).step_by(10).for_each(|time| series.record(time, sample(1.0, 1, time)));
    for step in Step::ALL {
        let points = series.points(step);
        assert_eq!(points.len() as u64, step.capacity());
        assert_eq!(points[0].at, month - step.kept_seconds());
        assert!(points[1..].iter().all(|point| point.figures.unwrap().counters.accepted == step.seconds()));
    }
    let bytes: u64 = Step::ALL.iter().map(|step| step.capacity() * size_of::<(u64, Figures)>() as u64).sum();
    assert!(bytes <= 500_000, "{bytes} B");
}

#[test]
fn a_clock_that_jumps_makes_gaps() {
    let mut series = Series::default();
    [0, 10, 40].into_iter().for_each(|time| series.record(time, sample(1.0, 1, time)));
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(0), Some(10), None, None, Some(30)]);
    series.record(25, sample(1.0, 1, 41));
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(0), Some(10), Some(1)], "40 is still to come");
    series.record(u64::MAX, sample(1.0, 1, 42));
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(1)]);
    series.record(0, sample(1.0, 1, 43));
    assert_eq!(accepted(&series, Step::TenSeconds), [Some(1)]);
}

#[test]
fn what_was_stored_goes_on_after_a_restart() {
    let mut before = Series::default();
    [0, 10, 70].into_iter().for_each(|time| before.record(time, sample(time as f64, 1, time)));
    let mut series = Series::default();
    for point in before.points(Step::Minute) {
        series.restore(Step::Minute, point.at, point.figures.unwrap());
    }
    series.record(80, sample(80.0, 2, 1000));
    series.record(90, sample(90.0, 2, 1001));
    let last = series.last(Step::Minute).unwrap();
    assert_eq!((last.0, last.1.hashrate.round(), last.1.counters.accepted), (60, 80.0, 61));
    series.record(200, sample(0.0, 0, 1001));
    assert_eq!(accepted(&series, Step::Minute), [Some(10), Some(61), None, Some(0)]);
}

#[test]
fn stored_points_that_cannot_be_are_ignored() {
    let mut series = Series::default();
    let figures = Figures { samples: 1, ..Figures::default() };
    let bad = Figures { hashrate: f64::NAN, ..figures };
    let empty = Figures::default();
    for (at, figures) in
        [(120, figures), (60, figures), (120, figures), (181, figures), (180, bad), (180, empty)]
    {
        series.restore(Step::Minute, at, figures);
    }
    series.restore(Step::Minute, u64::MAX - u64::MAX % 60, figures);
    assert_eq!(series.points(Step::Minute), [Point { at: 120, figures: Some(figures) }]);
}

#[test]
fn steps_are_named() {
    for step in Step::ALL {
        assert_eq!(step.to_string().parse(), Ok(step));
    }
    let error = "1h".parse::<Step>().unwrap_err().to_string();
    assert_eq!(error, "\"1h\" is not a step: give 10s, 1m or 15m");
}

/// What a series keeps, in the simplest way: all samples, each with its time and what was counted.
#[derive(Default)]
struct Naive {
    samples: Vec<(u64, Sample, u64)>,
    counted: Option<u64>,
}

impl Naive {
    fn record(&mut self, time: u64, sample: Sample) {
        let counted = sample.counters.accepted;
        let grown = self.counted.map_or(0, |before| counted.saturating_sub(before));
        self.counted = Some(counted);
        self.samples.push((time, sample, grown));
    }

    /// The points with figures: hashrates, last workers, and accepted shares.
    fn points(&self, step: Step) -> BTreeMap<u64, (Vec<f64>, u64, u64)> {
        let mut points: BTreeMap<u64, (Vec<f64>, u64, u64)> = BTreeMap::new();
        for (time, sample, grown) in &self.samples {
            let at = time / step.seconds() * step.seconds();
            points.retain(|known, _| *known <= at && known + step.kept_seconds() > at);
            let point = points.entry(at).or_default();
            point.0.push(sample.hashrate);
            point.1 = sample.workers;
            point.2 += grown;
        }
        points
    }
}

/// Most samples are ten seconds apart; sometimes the clock jumps.
fn times() -> impl Strategy<Value = Vec<u64>> {
    let moved = prop_oneof![
        20 => 8i64..13,
        3 => -100i64..4000,
        1 => -100_000i64..100_000,
        1 => -4_000_000i64..4_000_000,
    ];
    (0u64..3_000_000, prop::collection::vec(moved, 1..300)).prop_map(|(start, moves)| {
        let walk = moves.iter().scan(start, |time, moved| {
            *time = time.saturating_add_signed(*moved);
            Some(*time)
        });
        walk.collect()
    })
}

proptest! {
    #[test]
    fn rings_have_what_a_naive_model_has(
        times in times(),
        figures in prop::collection::vec((0u32..1000, 0u64..9, 0u64..50), 300),
    ) {
        let (mut series, mut naive) = (Series::default(), Naive::default());
        for (time, (hashrate, workers, accepted)) in times.iter().zip(figures) {
            let sample = sample(hashrate.into(), workers, accepted);
            series.record(*time, sample);
            naive.record(*time, sample);
        }
        for step in Step::ALL {
            let points = series.points(step);
            prop_assert!(points.len() as u64 <= step.capacity());
            prop_assert!(points.windows(2).all(|pair| pair[0].at + step.seconds() == pair[1].at));
            let known = points.iter().filter_map(|point| Some((point.at, point.figures?)));
            let known: BTreeMap<u64, Figures> = known.collect();
            let expected = naive.points(step);
            prop_assert_eq!(known.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (figures, (hashrates, workers, accepted)) in known.values().zip(expected.values()) {
                let mean = hashrates.iter().sum::<f64>() / hashrates.len() as f64;
                prop_assert!((figures.hashrate - mean).abs() < 1e-6);
                prop_assert_eq!(figures.samples as usize, hashrates.len());
                prop_assert_eq!((figures.workers, figures.counters.accepted), (*workers, *accepted));
            }
        }
    }
}
