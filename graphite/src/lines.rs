//! Figures as lines of the plaintext protocol.

use std::fmt::Write;

use api::Metrics;

use crate::Prefix;

/// The longest part of a name that is made of a label, in bytes. Carbon makes a file of each name, and a file's name has at most 255.
const LONGEST_COMPONENT: usize = 200;

/// The lines of all figures at this time, in seconds since 1970.
pub(crate) fn lines(metrics: &Metrics, prefix: &Prefix, at: u64) -> String {
    let mut lines = String::new();
    metrics.for_each(&mut |name, labels, value| {
        // Carbon leaves out values that are no number, and databases may not have infinite ones.
        if !value.is_finite() {
            return;
        }
        lines.push_str(prefix.as_str());
        lines.push('.');
        lines.push_str(name);
        for (label, word) in labels {
            let _ = write!(lines, ".{label}.{}", component(word));
        }
        let _ = writeln!(lines, " {value} {at}");
    });
    lines
}

/// A text as one part of a name: letters, digits, underscores and hyphens. All other characters become underscores, since they part names,
/// end them, or mean something to Graphite (`;` begins tags, `*` and `{` are patterns).
pub(crate) fn component(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let component: String = text.chars().map(safe).take(LONGEST_COMPONENT).collect();
    if component.is_empty() { "_".to_owned() } else { component }
}

#[cfg(test)]
mod tests {
    use api::Histogram;
    use proptest::prelude::*;

    use super::*;

    fn written(metrics: &Metrics) -> String {
        lines(metrics, &"x.y".parse().unwrap(), 1_231_006_505)
    }

    #[test]
    fn each_figure_is_a_line() {
        let mut metrics = Metrics::default();
        metrics.add("hashes_total", "Hashes.", 3e18).formerly("scheduler_hashes_total");
        metrics.add_labelled("shares_total", "Shares.", "verdict", [("accepted", 7.0), ("stale", 0.5)]);
        metrics.add_former("pool_workers", "Accounts.", 3.0);
        let expected = "x.y.hashes_total 3000000000000000000 1231006505\n\
                        x.y.shares_total.verdict.accepted 7 1231006505\n\
                        x.y.shares_total.verdict.stale 0.5 1231006505\n";
        assert_eq!(written(&metrics), expected);
    }

    #[test]
    fn a_histogram_has_the_names_that_prometheus_gives_it() {
        let mut delays = Histogram::new(&[0.005, 2.0]);
        [0.004, 1.5, 7.0].into_iter().for_each(|delay| delays.observe(delay));
        let mut metrics = Metrics::default();
        metrics.add_histogram("d_seconds", "Delays.", &delays);
        let expected = "x.y.d_seconds_bucket.le.0_005 1 1231006505\nx.y.d_seconds_bucket.le.2 2 1231006505\n\
                        x.y.d_seconds_bucket.le.inf 3 1231006505\nx.y.d_seconds_sum 8.504 1231006505\n\
                        x.y.d_seconds_count 3 1231006505\n";
        assert_eq!(written(&metrics), expected);
    }

    #[test]
    fn labels_that_would_part_or_end_a_name_are_made_safe() {
        for (label, part) in [
            ("10.0.0.1:80", "10_0_0_1_80"),
            ("a b\nc 1 2", "a_b_c_1_2"),
            ("Xeon(R) @ 2.4;x=y", "Xeon_R____2_4_x_y"),
            ("µ", "_"),
            ("", "_"),
        ] {
            assert_eq!(component(label), part);
        }
    }

    #[test]
    fn values_that_are_no_number_are_left_out() {
        let mut metrics = Metrics::default();
        metrics.add_labelled("a", "A.", "of", [("x", f64::NAN), ("y", f64::INFINITY), ("z", 1e21)]);
        assert_eq!(written(&metrics), "x.y.a.of.z 1000000000000000000000 1231006505\n");
    }

    proptest! {
        #[test]
        fn each_line_has_three_parts_whatever_the_labels(labels in proptest::collection::vec(".*", 0..9), value: f64) {
            let mut metrics = Metrics::default();
            metrics.add_labelled("a", "A.", "of", labels.iter().map(|label| (label.as_str(), value)));
            let text = written(&metrics);
            prop_assert_eq!(text.lines().count(), if value.is_finite() { labels.len() } else { 0 });
            for line in text.lines() {
                let parts: Vec<_> = line.split(' ').collect();
                prop_assert_eq!(parts.len(), 3);
                prop_assert!(parts[0].starts_with("x.y.a.of.") && parts[0].split('.').count() == 5);
                prop_assert_eq!(parts[1].parse::<f64>().unwrap(), value);
            }
        }
    }
}
