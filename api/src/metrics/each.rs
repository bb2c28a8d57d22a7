//! The figures one by one, for those who write them in another format.

use super::{Family, Histogram, Metrics, PREFIX, Values};

/// Takes the name, the labels and the value of a figure.
type Visit<'a> = &'a mut dyn FnMut(&str, &[Label], f64);
/// A label's name and value.
type Label = (&'static str, String);

impl Metrics {
    /// Calls `visit` for each figure with its name, without the prefix of all names, its labels and its value. A histogram has the names
    /// that Prometheus' format gives it: `NAME_bucket` with the label `le`, `NAME_sum` and `NAME_count`. Old names are left out.
    pub fn for_each(&self, visit: Visit<'_>) {
        for Family { name, values, .. } in &self.0 {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            match values {
                Values::Samples(samples) => {
                    samples.iter().for_each(|sample| visit(name, &sample.labels, sample.value));
                }
                Values::Histogram(histogram) => each_of_histogram(name, histogram, visit),
            }
        }
    }
}

fn each_of_histogram(name: &str, histogram: &Histogram, visit: Visit<'_>) {
    let (bucket, mut below) = (format!("{name}_bucket"), 0);
    for (bound, count) in histogram.buckets() {
        below += count;
        visit(&bucket, &[("le", bound.to_string())], below as f64);
    }
    visit(&format!("{name}_sum"), &[], histogram.sum());
    visit(&format!("{name}_count"), &[], histogram.count() as f64);
}
