//! The scheduler's use of memory and disk.

use std::thread;
use std::time::{Duration, Instant};

use crate::disk;
use crate::report::Row;
use crate::run::Run;
use crate::suite::machine::resident;

const MINUTE: Duration = Duration::from_secs(60);

/// The memory and disk that the scheduler uses now.
pub fn rows(run: &Run<'_>, time: &str) -> [Row; 2] {
    let folder = format!("{:.1} MB", disk::size(&run.state_dir()) as f64 / 1e6);
    [memory(run, time), Row::new(format!("state folder, {time}"), run.agents, folder)]
}

fn memory(run: &Run<'_>, time: &str) -> Row {
    Row::new(format!("resident memory, {time}"), run.agents, taken(run))
}

fn taken(run: &Run<'_>) -> String {
    let resident = resident(run.scheduler().id());
    let [all, anonymous, file] =
        [resident.all, resident.anonymous, resident.file].map(|bytes| bytes as f64 / 1e6);
    let each = all * 1e3 / run.master.cluster().counters().workers.max(1) as f64;
    format!("{all:.1} MB ({anonymous:.1} its own, {file:.1} of files); {each:.1} kB a worker")
}

/// Measures the memory in the steady state, some time after the burst, and its growth.
pub fn later(run: &mut Run<'_>, burst: Instant) -> Vec<Row> {
    let after = run.options.memory_after;
    thread::sleep((burst + after).saturating_duration_since(Instant::now()));
    let text = format!("{}, {} s after it", taken(run), burst.elapsed().as_secs());
    let mut rows = vec![Row::new("resident memory, some time after the burst", run.agents, text)];
    if run.options.growth > 0 {
        rows.push(growth(run, run.options.growth));
    }
    rows
}

/// Measures the anonymous memory in each minute, and the slope of the regression line.
fn growth(run: &Run<'_>, minutes: u32) -> Row {
    let begun = Instant::now();
    let taken: Vec<f64> = (0..=minutes)
        .map(|minute| {
            thread::sleep((begun + MINUTE * minute).saturating_duration_since(Instant::now()));
            memory(run, &format!("minute {minute} of the steady state"));
            resident(run.scheduler().id()).anonymous as f64 / 1e3
        })
        .collect();
    let slope = slope(&taken);
    let [first, last] = [taken[0], taken[taken.len() - 1]].map(|kilobytes| kilobytes / 1e3);
    let text = format!("{slope:+.1} kB a minute of its own memory, from {first:.1} MB to {last:.1} MB");
    Row::new(format!("growth over {minutes} min"), run.agents, text)
}

/// The slope of the line that fits the values best (least squares). The values were measured at equal intervals.
fn slope(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let from_middle = |place: usize| place as f64 - middle;
    let both: f64 = values.iter().enumerate().map(|(place, value)| from_middle(place) * (value - mean)).sum();
    let squares: f64 = (0..values.len()).map(|place| from_middle(place).powi(2)).sum();
    both / squares
}
