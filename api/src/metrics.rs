//! What a program measures, as Prometheus reads it: the text format 0.0.4, or OpenMetrics.
//!
//! All programs have one scheme: a name that two of them have means the same in both. The names are said here without the prefix
//! `mesos_miner_`.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

mod each;
mod histogram;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Error;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

pub use self::histogram::Histogram;
use crate::RequestError;

/// All names of ours begin with it.
const PREFIX: &str = "mesos_miner_";

/// When the program began to serve; the process is a little older.
static START: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);

/// Remembers the present as the program's start.
pub(crate) fn started() {
    LazyLock::force(&START);
}

/// A format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format for the values of a request's headers `Accept`: OpenMetrics if the client names it.
    pub fn accepted<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let named = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            // A weight of 0 says that the client does not take it.
            let taken = parts.filter_map(|part| part.strip_prefix("q=")).all(|q| q.parse() != Ok(0.0));
            name.eq_ignore_ascii_case("application/openmetrics-text") && taken
        };
        let open = headers.into_iter().flat_map(|header| header.split(',')).any(named);
        if open { Format::OpenMetrics } else { Format::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Metric families with their samples. By Prometheus' convention, a metric whose name ends with `_total` is a counter, which never
/// decreases while the process lives; all others are gauges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(Vec<Family>);

#[derive(Clone, Debug, PartialEq)]
struct Family {
    name: String,
    help: String,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Samples(Vec<Sample>),
    Histogram(Histogram),
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Metrics {
    /// The figures of every program; `program` is its name, such as `pool`.
    pub fn new(program: &'static str) -> Self {
        let mut metrics = Metrics::default();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let labels = vec![("version", version), ("program", program.to_owned())];
        let info = Sample { labels, value: 1.0 };
        metrics.family("build_info", "The program and its version, as labels of the number 1.", vec![info]);
        let start = START.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        metrics.add("start_time_seconds", "When the program began to serve, in seconds since 1970.", start);
        metrics
    }

    /// Adds the problems that exist now, by their codes, each once.
    pub fn add_problems<'a>(&mut self, codes: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let codes: BTreeSet<&str> = codes.into_iter().collect();
        let help =
            "Problems that exist now: 1 for the code of each; docs/TROUBLESHOOTING.md explains the codes.";
        self.add_labelled("problems", help, "code", codes.into_iter().map(|code| (code, 1.0)))
    }

    /// Adds a metric with one sample and no labels.
    pub fn add(&mut self, name: &str, help: &str, value: f64) -> &mut Self {
        self.family(name, help, vec![Sample { labels: Vec::new(), value }])
    }

    /// Adds a metric with samples that differ in one label.
    pub fn add_labelled(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        samples: impl IntoIterator<Item = (impl Into<String>, f64)>,
    ) -> &mut Self {
        let sample = |(word, value): (_, f64)| Sample { labels: vec![(label, Into::into(word))], value };
        self.family(name, help, samples.into_iter().map(sample).collect())
    }

    /// Adds a metric with samples that differ in several labels.
    pub fn add_samples(
        &mut self,
        name: &str,
        help: &str,
        samples: impl Iterator<Item = (Vec<(&'static str, String)>, f64)>,
    ) -> &mut Self {
        self.family(name, help, samples.map(|(labels, value)| Sample { labels, value }).collect())
    }

    /// Says the metric that was added last by its old name, too, so that dashboards of the version before go on.
    pub fn formerly(&mut self, old_name: &str) -> &mut Self {
        if let Some(Family { name, values, .. }) = self.0.last().cloned() {
            let help = format!("The old name of {name}, which will be removed");
            self.0.push(Family { name: old_name.to_owned(), help, values });
        }
        self
    }

    /// Adds a metric of the version before that has no equal now, under its whole old name.
    pub fn add_former(&mut self, old_name: &str, help: &str, value: f64) -> &mut Self {
        let help = format!("{}. It will be removed", help.trim_end_matches('.'));
        let values = Values::Samples(vec![Sample { labels: Vec::new(), value }]);
        self.0.push(Family { name: old_name.to_owned(), help, values });
        self
    }

    /// Adds a distribution.
    pub fn add_histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> &mut Self {
        self.push(name, help, Values::Histogram(histogram.clone()))
    }

    fn family(&mut self, name: &str, help: &str, samples: Vec<Sample>) -> &mut Self {
        self.push(name, help, Values::Samples(samples))
    }

    // Help texts are kept without a full stop, and written with one.
    fn push(&mut self, name: &str, help: &str, values: Values) -> &mut Self {
        let help = help.trim_end_matches('.').to_owned();
        self.0.push(Family { name: format!("{PREFIX}{name}"), help, values });
        self
    }

    /// The text in Prometheus' format, version 0.0.4.
    ///
    /// # Errors
    /// None is known: writing to a string does not fail.
    pub fn into_text(self) -> Result<String, RequestError> {
        self.written(Format::Prometheus)
    }

    pub(crate) fn written(self, format: Format) -> Result<String, RequestError> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        match format {
            Format::Prometheus => prometheus_text::encode(&mut written, &registry),
            Format::OpenMetrics => text::encode(&mut written, &registry),
        }
        .map_err(|_| RequestError::Unavailable("the figures cannot be written".to_owned()))?;
        Ok(written)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder) -> Result<(), Error> {
        let help = format!("{}.", self.help);
        let samples = match &self.values {
            Values::Samples(samples) => samples,
            Values::Histogram(values) => {
                let mut metric = encoder.encode_descriptor(&self.name, &help, None, MetricType::Histogram)?;
                const NO_EXEMPLARS: Option<&HashMap<usize, NoExemplar>> = None;
                let (sum, count) = (values.sum(), values.count());
                return metric.encode_histogram(sum, count, &values.buckets(), NO_EXEMPLARS);
            }
        };
        // The formats add the ending to the names of counters.
        let (name, kind) = match self.name.strip_suffix("_total") {
            Some(name) => (name, MetricType::Counter),
            None => (self.name.as_str(), MetricType::Gauge),
        };
        let mut metric = encoder.encode_descriptor(name, &help, None, kind)?;
        samples.iter().try_for_each(|sample| {
            if sample.labels.is_empty() {
                return encode_value(&mut metric, kind, sample.value);
            }
            encode_value(&mut metric.encode_family(&sample.labels)?, kind, sample.value)
        })
    }
}

/// What no figure of ours has.
type NoExemplar = Exemplar<[(&'static str, &'static str); 0], f64>;

/// Whole numbers are written without a fraction, as far as an f64 counts them.
fn encode_value(metric: &mut MetricEncoder<'_>, kind: MetricType, value: f64) -> Result<(), Error> {
    const NO_EXEMPLAR: Option<&NoExemplar> = None;
    let whole =
        (value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value)).then_some(value as u64);
    match (kind, whole) {
        (MetricType::Counter, Some(whole)) => metric.encode_counter(&whole, NO_EXEMPLAR),
        (MetricType::Counter, None) => metric.encode_counter(&value, NO_EXEMPLAR),
        (_, Some(whole)) => metric.encode_gauge(&whole),
        (_, None) => metric.encode_gauge(&value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Metrics {
        let mut metrics = Metrics::default();
        metrics.add("a_total", "All.", 3.0).formerly("old_a_total");
        metrics.add_labelled("b", "Some.", "of", [("x\"\\\n", 0.5), ("y", 1e21)]);
        metrics
    }

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let expected = "# HELP mesos_miner_a_total All.\n# TYPE mesos_miner_a_total counter\nmesos_miner_a_total 3\n\
                        # HELP old_a_total The old name of mesos_miner_a_total, which will be removed.\n\
                        # TYPE old_a_total counter\nold_a_total 3\n\
                        # HELP mesos_miner_b Some.\n# TYPE mesos_miner_b gauge\n\
                        mesos_miner_b{of=\"x\\\"\\\\\\n\"} 0.5\nmesos_miner_b{of=\"y\"} 1e21\n";
        assert_eq!(example().into_text().unwrap(), expected);
    }

    #[test]
    fn families_are_written_as_open_metrics() {
        let expected = "# HELP mesos_miner_a All.\n# TYPE mesos_miner_a counter\nmesos_miner_a_total 3\n\
                        # HELP old_a The old name of mesos_miner_a_total, which will be removed.\n\
                        # TYPE old_a counter\nold_a_total 3\n\
                        # HELP mesos_miner_b Some.\n# TYPE mesos_miner_b gauge\n\
                        mesos_miner_b{of=\"x\\\"\\\\\\n\"} 0.5\nmesos_miner_b{of=\"y\"} 1e21\n# EOF\n";
        assert_eq!(example().written(Format::OpenMetrics).unwrap(), expected);
    }

    #[test]
    fn a_histogram_has_cumulative_buckets() {
        let mut delays = Histogram::new(&[0.5, 1.0, 2.0]);
        [0.25, 0.5, 1.5, 7.0].into_iter().for_each(|delay| delays.observe(delay));
        let mut metrics = Metrics::default();
        metrics.add_histogram("d_seconds", "Delays.", &delays);
        let head = "# HELP mesos_miner_d_seconds Delays.\n# TYPE mesos_miner_d_seconds histogram\n";
        let sums = "mesos_miner_d_seconds_sum 9.25\nmesos_miner_d_seconds_count 4\n";
        let buckets = |bounds: [&str; 4]| {
            let lines = bounds.iter().zip([2, 2, 3, 4]);
            lines
                .map(|(le, n)| format!("mesos_miner_d_seconds_bucket{{le=\"{le}\"}} {n}\n"))
                .collect::<String>()
        };
        let prometheus = buckets(["0.5", "1", "2", "+Inf"]);
        assert_eq!(metrics.clone().into_text().unwrap(), format!("{head}{prometheus}{sums}"));
        let open = buckets(["0.5", "1.0", "2.0", "+Inf"]);
        assert_eq!(metrics.written(Format::OpenMetrics).unwrap(), format!("{head}{sums}{open}# EOF\n"));
    }

    #[test]
    fn every_program_says_its_version_and_start() {
        let text = Metrics::new("pool").into_text().unwrap();
        let info =
            format!("mesos_miner_build_info{{version=\"{}\",program=\"pool\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().any(|line| line == info), "{text}");
        assert!(text.lines().any(|line| line.starts_with("mesos_miner_start_time_seconds 1")), "{text}");
    }

    #[test]
    fn clients_that_name_open_metrics_get_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted([prometheus]), Format::OpenMetrics);
        assert_eq!(
            Format::accepted(["text/plain", "Application/OpenMetrics-Text; q=0.1"]),
            Format::OpenMetrics
        );
        for other in ["*/*", "", "text/plain;version=0.0.4", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::accepted([other]), Format::Prometheus, "{other}");
        }
    }
}
