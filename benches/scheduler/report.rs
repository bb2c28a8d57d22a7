//! Prints figures as lines and as a table.

use std::process::ExitCode;
use std::time::Duration;

use super::run::Cost;

/// One row of the output: a figure and its value.
#[derive(Clone, Debug)]
pub struct Row {
    pub figure: String,
    pub agents: usize,
    pub value: String,
    pub outcome: Outcome,
}

/// The state of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The figure was measured.
    Measured,
    /// The figure could not be measured, mostly because of the time limit.
    Missed,
    /// The figure violates a condition that must hold at any speed.
    Wrong,
}

impl Row {
    pub fn new(figure: impl Into<String>, agents: usize, value: impl Into<String>) -> Self {
        let row = Self { figure: figure.into(), agents, value: value.into(), outcome: Outcome::Measured };
        println!("{:>7} agents  {}: {}", row.agents, row.figure, row.value);
        row
    }

    /// A figure that violates a condition.
    pub fn wrong(figure: impl Into<String>, agents: usize, value: impl Into<String>) -> Self {
        Self { outcome: Outcome::Wrong, ..Self::new(figure, agents, value) }
    }

    /// A figure that could not be measured, with the reason.
    pub fn missed(figure: impl Into<String>, agents: usize, why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Missed, ..Self::new(figure, agents, why) }
    }

    /// A figure whose measurement may take at most `limit`. If it took longer, `value` is an error that says how far the
    /// measurement came.
    pub fn within(
        figure: impl Into<String>,
        agents: usize,
        limit: Duration,
        value: Result<String, String>,
    ) -> Self {
        match value {
            Ok(value) => Self::new(figure, agents, value),
            Err(so_far) => Self::missed(figure, agents, format!("not within {} ({so_far})", seconds(limit))),
        }
    }
}

/// The exit code: 1 if a condition does not hold.
pub fn verdict<'a>(mut rows: impl Iterator<Item = &'a Row>) -> ExitCode {
    if rows.any(|row| row.outcome == Outcome::Wrong) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A Markdown table with a column for each name.
pub fn table(names: &[String], columns: &[Vec<Row>]) -> String {
    let mut text =
        format!("| figure | agents | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let mut keys: Vec<(&str, usize)> = Vec::new();
    for row in columns.iter().flatten() {
        let key = (row.figure.as_str(), row.agents);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // Sort by figure, in the order in which the figures were first measured.
    let first = |figure: &str| keys.iter().position(|(other, _)| *other == figure);
    let mut sorted = keys.clone();
    sorted.sort_by_key(|(figure, agents)| (first(figure), *agents));
    for (figure, agents) in sorted {
        let cell = |column: &Vec<Row>| {
            let row = column.iter().find(|row| row.figure == figure && row.agents == agents);
            row.map_or_else(|| "–".to_owned(), |row| row.value.clone())
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        text += &format!("| {figure} | {} | {} |\n", thousands(agents), cells.join(" | "));
    }
    text
}

/// Formats a number with commas, such as 10,000.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|it| std::str::from_utf8(it).ok()).collect();
    groups.join(",")
}

/// Formats a time in seconds, with few significant digits.
pub fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..0.0995 => format!("{seconds:.3} s"),
        ..9.95 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// The total CPU time of an action.
pub fn cpu(cost: &Cost) -> String {
    let (all, first) = (cost.scheduler.all, cost.scheduler.first);
    let simulator = seconds(cost.simulator);
    format!("CPU {}, main loop {}; {} calls; simulator {simulator}", seconds(all), seconds(first), cost.calls)
}

/// The CPU time of a continuous activity, in percent of its duration.
pub fn share(cost: &Cost) -> String {
    let percent = |time: Duration| time.as_secs_f64() / cost.time.as_secs_f64() * 100.0;
    format!(
        "CPU {:.1} %, main loop {:.1} %; simulator {:.0} %",
        percent(cost.scheduler.all),
        percent(cost.scheduler.first),
        percent(cost.simulator)
    )
}
