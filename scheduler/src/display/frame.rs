//! The frame: the framework's state as text, with the most important lines first, so that a small terminal shows them.

use std::time::Duration;

use command_line::{Hashrate, SharesSoFar, pluralize};
use task::{Live, Totals};
use text::{InWords, printable};

use crate::core::{Overview, TaskOverview};
use crate::history::TaskFailure;
use crate::task_id::task_number;

/// The number of the terminal's lines that a frame leaves free: the cursor's line and one more, because some terminals add the
/// content of a completely cleared screen to their scrollback.
const FREE_LINES: usize = 2;
/// Maximum number of lines of a frame that list how many tasks are in each state.
const STATE_LINES: usize = 4;

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub columns: usize,
    pub rows: usize,
}

impl Size {
    /// Whether the terminal has so few rows that the frame is a single line.
    pub fn is_flat(self) -> bool {
        self.rows <= FREE_LINES
    }
}

/// The lines to be shown: at most as many as fit on the terminal, each cut to the terminal's width. With `bold`, the line with
/// the hashrate is bold.
pub(super) fn lines(overview: &Overview, elapsed: Duration, size: Size, bold: bool) -> Vec<String> {
    let rows = if size.is_flat() { 1 } else { size.rows - FREE_LINES };
    let mut lines = vec![format!("{}, blocks: {}", hashrate(overview), overview.blocks), shares(overview)];
    lines.extend(states(overview, size.columns));
    lines.push(subscription(overview, elapsed));
    lines.truncate(rows);
    let sections = [problems(overview), failures(overview), servers(overview), workers(overview)];
    let room = share_out(&sections, rows - lines.len());
    lines.extend(sections.into_iter().zip(room).flat_map(|(section, room)| section.into_lines(room)));
    for (i, line) in lines.iter_mut().enumerate() {
        // Names and messages of peers may contain characters that move the cursor.
        *line = printable(line, size.columns).into_owned();
        crop(line, size.columns);
        if bold && i == 0 {
            *line = format!("\x1b[1m{line}\x1b[0m");
        }
    }
    lines
}

/// The framework's state in one line.
pub(super) fn line(overview: &Overview) -> String {
    // Tasks without any update have no state of Mesos yet: they are `writing` or `launched`.
    let without_update =
        overview.live_states.iter().filter(|(state, _)| !overview.states.contains_key(*state));
    let states = without_update.chain(&overview.states).map(|(state, count)| format!("{count} {state}"));
    let states = states.collect::<Vec<_>>().join(", ");
    let states = if states.is_empty() { "none".to_owned() } else { states };
    format!("{}; {}; blocks: {}; tasks: {states}", hashrate(overview), shares(overview), overview.blocks)
}

/// Cuts a line to the width. If a line wrapped, the number of lines to erase would be wrong.
fn crop(line: &mut String, width: usize) {
    if let Some((cut, _)) = line.char_indices().nth(width.saturating_sub(1))
        && line.chars().count() > width
    {
        line.truncate(cut);
        line.push('…');
    }
}

/// Lines of one kind. As many are shown as there is room for.
struct Section {
    /// The lines, the most important first, each with a sort key. The lines that fit are shown in the order of their keys.
    lines: Vec<(u64, String)>,
    /// The number of further items of the section that have no line in `lines`.
    beyond: u64,
    /// The last line counts the hidden items. This is what it counts, in the singular: "more task" for "… and 7 more tasks".
    noun: &'static str,
}

impl Section {
    /// The number of lines that show the whole section.
    fn height(&self) -> usize {
        self.lines.len() + usize::from(self.beyond > 0)
    }

    /// The section in at most `room` lines; the last line gives the number of items that are left out, if any.
    fn into_lines(self, room: usize) -> Vec<String> {
        let Section { mut lines, beyond, noun } = self;
        let shown = if room >= lines.len() + usize::from(beyond > 0) { lines.len() } else { room.max(2) - 1 };
        let hidden = beyond + lines.len().saturating_sub(shown) as u64;
        lines.truncate(shown);
        lines.sort_by_key(|(key, _)| *key);
        let mut lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        if hidden > 0 {
            lines.push(format!("  … and {}", pluralize(hidden, noun)));
        }
        lines.truncate(room);
        lines
    }
}

/// How many lines each section gets: each section in turn gets one more line until no line is left or all sections are complete.
fn share_out<const N: usize>(sections: &[Section; N], mut room: usize) -> [usize; N] {
    let mut shares = [0; N];
    loop {
        let before = room;
        for (share, section) in shares.iter_mut().zip(sections) {
            if room > 0 && *share < section.height() {
                *share += 1;
                room -= 1;
            }
        }
        if room == before {
            return shares;
        }
    }
}

fn hashrate(overview: &Overview) -> String {
    format!("{} by {}", Hashrate(overview.hashrate), pluralize(overview.reporting_workers, "worker"))
}

fn shares(overview: &Overview) -> String {
    let (accounted, live) = (overview.totals.worker.into(), overview.unaccounted.into());
    format!("shares: {}", SharesSoFar { accounted, live })
}

/// The states of live tasks and of ended ones.
fn states(overview: &Overview, width: usize) -> Vec<String> {
    let live = overview.live_states.iter().map(|(state, count)| format!("{count} {state}"));
    let ended = overview.ended_states().map(|(state, count)| format!("{count} {state}"));
    let (mut live, ended): (Vec<_>, Vec<_>) = (live.collect(), ended.collect());
    if live.is_empty() {
        live.push("none".to_owned());
    }
    let mut lines = fold("tasks: ", &live, width);
    if !ended.is_empty() {
        lines.extend(fold("ended: ", &ended, width));
    }
    lines.truncate(STATE_LINES);
    lines
}

/// Words separated by commas, on several lines if one line is too short.
fn fold(head: &str, words: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    for (i, word) in words.iter().enumerate() {
        let comma = if i + 1 < words.len() { ", " } else { "" };
        let fits = line.chars().count() + word.chars().count() + comma.trim_end().len() <= width;
        if i > 0 && !fits {
            let full = std::mem::replace(&mut line, " ".repeat(head.len()));
            lines.push(full.trim_end().to_owned());
        }
        line.push_str(word);
        line.push_str(comma);
    }
    lines.push(line);
    lines
}

fn subscription(overview: &Overview, elapsed: Duration) -> String {
    let framework = match &overview.framework {
        Some(id) => format!("framework {id}"),
        None => "no framework yet".to_owned(),
    };
    let connected = if overview.connected { "subscribed" } else { "not subscribed" };
    format!("{framework}, {connected}, {}", InWords(elapsed))
}

/// What is wrong. While a worker mines, problems of single agents are not shown.
fn problems(overview: &Overview) -> Section {
    let mines = overview.mines();
    let shown = overview.problems.first.iter().filter(|problem| !(mines && problem.kind.is_of_one_agent()));
    let lines = shown.map(|problem| format!("  {problem}"));
    let beyond = if mines { 0 } else { overview.problems.more };
    Section { lines: (0..).zip(lines).collect(), beyond, noun: "more problem" }
}

fn failures(overview: &Overview) -> Section {
    let lines = overview.failures.iter().map(|TaskFailure { ago, task, host, text, .. }| {
        format!("  {} ago {task} on {host}: {text}", InWords(*ago))
    });
    Section { lines: (0..).zip(lines).collect(), beyond: 0, noun: "earlier failure" }
}

fn servers(overview: &Overview) -> Section {
    let lines = overview.servers.iter().map(task_line);
    Section { lines: (0..).zip(lines).collect(), beyond: 0, noun: "more server" }
}

/// The slowest workers, in the order of their launch, so that the lines do not change places all the time.
fn workers(overview: &Overview) -> Section {
    let place = |task: &TaskOverview| task_number(&task.id).unwrap_or(u64::MAX);
    let lines: Vec<_> = overview.slowest.iter().map(|task| (place(task), task_line(task))).collect();
    let all: u64 = overview.live_states.values().sum();
    let beyond = all.saturating_sub((lines.len() + overview.servers.len()) as u64);
    Section { lines, beyond, noun: "more task" }
}

fn task_line(task: &TaskOverview) -> String {
    let TaskOverview { id, host, state, .. } = task;
    let cpus = task.cpus_milli as f64 / 1000.0;
    let health = match task.healthy {
        Some(true) => ", well",
        Some(false) => ", NOT WELL",
        None => "",
    };
    let head = format!("  {id:<16} {state:<13} {host}, {cpus} CPU{health}");
    match &task.live {
        Some(Live::Worker(live)) => {
            // The last live message may have more shares than the last report.
            let Totals { accepted, rejected, stale, .. } = live.totals.unwrap_or(task.totals);
            let more = accepted.saturating_sub(task.totals.accepted);
            let more = if more > 0 { format!(", {more} not yet accounted") } else { String::new() };
            format!(
                "{head}: {}, shares {accepted}/{rejected}/{stale}{more} ({}, {} threads, difficulty {:.4})",
                Hashrate(live.hashrate),
                live.backend,
                live.threads,
                live.difficulty
            )
        }
        Some(Live::Pool(live)) => format!(
            "{head}: {}, block {}, difficulty {:.4}",
            pluralize(live.connections, "miner"),
            live.height,
            live.difficulty
        ),
        None => head,
    }
}

#[cfg(test)]
mod tests;
