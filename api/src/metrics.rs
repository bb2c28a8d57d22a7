//! Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write;

/// Metric families, as text. By Prometheus' convention, a metric whose name ends with `_total` is a counter, which never
/// decreases while the process lives; all others are gauges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics(String);

impl Metrics {
    /// Adds a metric with one sample and no labels.
    pub fn add(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help);
        self.sample(name, "", value);
    }

    /// Adds a metric with samples that differ in one label. The label's values are not escaped, so they must be plain words.
    pub fn add_labelled<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, help);
        for (word, value) in samples {
            self.sample(name, &format!("{{{label}=\"{word}\"}}"), value);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    // Writing to a string cannot fail.
    fn head(&mut self, name: &str, help: &str) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut metrics = Metrics::default();
        metrics.add("a_total", "All.", 3.0);
        metrics.add_labelled("b", "Some.", "of", [("x", 0.5), ("y", 1e21)]);
        let expected = "# HELP a_total All.\n# TYPE a_total counter\na_total 3\n\
                        # HELP b Some.\n# TYPE b gauge\nb{of=\"x\"} 0.5\nb{of=\"y\"} 1000000000000000000000\n";
        assert_eq!(metrics.into_text(), expected);
    }
}
