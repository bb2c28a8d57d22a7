//! `mesos-miner bench`: measures the speed of each backend, relative to a yardstick that runs immediately before it.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use command_line::print_result;
use hasher::measure::{clock_hertz, yardstick};
use hasher::{Backend, MAX_VERSIONS};
use logging::{Level, notice};
use serde::Serialize;

use crate::cli::BenchArgs;

/// How long one measurement takes. Short measurements of a backend and of the `sha2` crate alternate, so that both run at the
/// same clock rate.
const SLICE: Duration = Duration::from_millis(50);

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the backend.
    pub backend: &'static str,
    /// Whether versions were rolled.
    pub rolled: bool,
    /// The number of threads.
    pub threads: usize,
    /// MH/s of all threads together.
    pub mhs: f64,
    /// Core clock cycles per hash of one thread; `None` if the clock rate cannot be estimated.
    pub cycles_per_hash: Option<f64>,
    /// The speed as a multiple of the speed of the `sha2` crate with the same number of threads.
    pub ratio_sha2: f64,
}

/// A backend that computes wrong hashes on this machine. With `--json`, it has an object of its own instead of rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct BrokenBackend {
    backend: &'static str,
    error: String,
}

/// Measures all backends that pass their self-test and prints the table.
///
/// # Errors
/// If writing to stdout fails.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let mut broken = Vec::new();
    let mut rows = Vec::new();
    for backend in Backend::available() {
        match backend.self_test() {
            Ok(()) => {
                rows.extend([true, false].map(|rolled| measure(backend, rolled, args.threads, args.time)))
            }
            Err(error) => {
                notice(Level::ERROR, format_args!("{backend} is not used: {error}"));
                broken.push(BrokenBackend { backend: backend.name(), error: error.to_string() });
            }
        }
    }
    for name in Backend::names().filter(|name| Backend::named(name).is_err()) {
        notice(Level::WARN, format_args!("skipped {name}: this CPU lacks features that it requires"));
    }
    print_result(if args.json { json(&rows, &broken)? } else { table(&rows) })?;
    Ok(if !broken.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(backend: Backend, rolled: bool, threads: NonZeroUsize, time: Duration) -> Row {
    let versions = if rolled { MAX_VERSIONS } else { 1 };
    let slices = (time.as_millis() / SLICE.as_millis() / 2).max(1);
    let (mut rates, mut cycles, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..slices {
        let reference = on_all(threads, || yardstick(SLICE).rate());
        let hertz = clock_hertz();
        let rate = on_all(threads, || backend.measure(versions, SLICE).rate());
        ratios.push(rate / reference);
        rates.push(rate / 1e6);
        cycles.extend(hertz.map(|hertz| hertz * threads.get() as f64 / rate));
    }
    Row {
        backend: backend.name(),
        rolled,
        threads: threads.get(),
        mhs: median(rates).unwrap_or_default(),
        cycles_per_hash: median(cycles),
        ratio_sha2: median(ratios).unwrap_or_default(),
    }
}

/// Calls the function on `threads` threads in parallel. Returns the sum of the results.
fn on_all(threads: NonZeroUsize, rate: impl Fn() -> f64 + Sync) -> f64 {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads.get()).map(|_| scope.spawn(&rate)).collect();
        // A measurement does not panic. If it did, its rate would count as zero.
        rate() + others.into_iter().map(|other| other.join().unwrap_or_default()).sum::<f64>()
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The rows and the broken backends as one array.
fn json(rows: &[Row], broken: &[BrokenBackend]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Item<'a> {
        Row(&'a Row),
        Broken(&'a BrokenBackend),
    }
    let items = rows.iter().map(Item::Row).chain(broken.iter().map(Item::Broken));
    serde_json::to_string(&items.collect::<Vec<_>>())
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:<8} {:>7} {:>10} {:>12} {:>8}",
        "backend", "versions", "threads", "MH/s", "cycles/hash", "× sha2"
    );
    for row in rows {
        let versions = if row.rolled { "rolled" } else { "one" };
        let cycles = row.cycles_per_hash.map_or("?".to_owned(), |cycles| format!("{cycles:.1}"));
        text += &format!(
            "\n{:<12} {versions:<8} {:>7} {:>10.2} {cycles:>12} {:>8.2}",
            row.backend, row.threads, row.mhs, row.ratio_sha2
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_documented_keys() {
        let row = Row {
            backend: "portable",
            rolled: true,
            threads: 1,
            mhs: 2.5,
            cycles_per_hash: None,
            ratio_sha2: 0.2,
        };
        let broken = BrokenBackend { backend: "sha-ni", error: "a wrong hash".to_owned() };
        let json = json(&[row], &[broken]).expect("a row is plain data");
        assert_eq!(
            json,
            r#"[{"backend":"portable","rolled":true,"threads":1,"mhs":2.5,"cycles_per_hash":null,"ratio_sha2":0.2},{"backend":"sha-ni","error":"a wrong hash"}]"#
        );
    }

    #[test]
    fn measures_on_all_threads() {
        let row = measure(Backend::portable(), false, NonZeroUsize::MIN.saturating_add(1), Duration::ZERO);
        assert!(row.mhs > 0.0 && row.ratio_sha2 > 0.0 && row.threads == 2);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }
}
