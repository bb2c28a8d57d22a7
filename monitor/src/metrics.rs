//! Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write;

/// Metric families, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics(String);

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// A value that never falls while the process lives.
    Counter,
    /// A value that rises and falls.
    Gauge,
}

impl Metrics {
    /// Adds a metric with one sample and no labels.
    pub fn add(&mut self, name: &str, kind: MetricType, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    /// Adds a metric with samples that differ in one label. The values of the label are not escaped, so they must be plain
    /// words.
    pub fn add_labelled<'a>(
        &mut self,
        name: &str,
        kind: MetricType,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (word, value) in samples {
            self.sample(name, &format!("{{{label}=\"{word}\"}}"), value);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    // Writing to a string cannot fail.
    fn head(&mut self, name: &str, kind: MetricType, help: &str) {
        let kind = match kind {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
        };
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
        metrics.add("a_total", MetricType::Counter, "All.", 3.0);
        metrics.add_labelled("b", MetricType::Gauge, "Some.", "of", [("x", 0.5), ("y", 1e21)]);
        let expected = "# HELP a_total All.\n# TYPE a_total counter\na_total 3\n\
                        # HELP b Some.\n# TYPE b gauge\nb{of=\"x\"} 0.5\nb{of=\"y\"} 1000000000000000000000\n";
        assert_eq!(metrics.into_text(), expected);
    }
}
