//! The use of CPUs and memory, according to `/proc`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the mining threads up to their number.
const MINING_THREAD: &str = "miner-";
/// Ticks per second in `/proc`; the same on all of Linux's current architectures, whatever the kernel's own clock.
const USER_HZ: u64 = 100;

/// CPU model, number of CPUs and kernel.
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {} CPUs, Linux {}", cpus(), kernel.trim())
}

/// CPUs that this process may use.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// CPU time of each mining thread of a process.
pub fn mining_threads(pid: u32) -> Vec<Duration> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_task = |task: &fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        if !name.starts_with(MINING_THREAD) {
            return None;
        }
        thread(&task.path())
    };
    tasks.flatten().filter_map(|task| of_task(&task)).collect()
}

/// The cores that the first mining thread of a process may run on, as Linux lists them.
pub fn allowed_cores(pid: u32) -> Option<String> {
    let task = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().find(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with(MINING_THREAD))
    })?;
    let status = fs::read_to_string(task.path().join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// Peak resident memory of a process in bytes, and how much of the present is its own, not mapped from files.
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some((field("VmHWM:")?, field("RssAnon:")?))
}

/// CPU time of a process's threads, finer than the ticks of [`process`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads {
    /// All of them together. What a thread has used that ended lately may be missing.
    pub all: Duration,
    /// The first one, in which `main` runs.
    pub first: Duration,
}

/// CPU time of a process's threads.
pub fn threads(pid: u32) -> Threads {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Threads::default() };
    let mut threads = Threads::default();
    for task in tasks.flatten() {
        let time = thread(&task.path()).unwrap_or_default();
        threads.all += time;
        if task.file_name().to_str() == Some(&pid.to_string()) {
            threads.first = time;
        }
    }
    Threads { all: threads.all.max(process(pid)), ..threads }
}

impl std::ops::Sub for Threads {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { all: self.all.saturating_sub(before.all), first: self.first.saturating_sub(before.first) }
    }
}

/// CPU time of the thread with this folder in `/proc`.
fn thread(folder: &Path) -> Option<Duration> {
    let times = fs::read_to_string(folder.join("schedstat")).ok()?;
    Some(Duration::from_nanos(times.split(' ').next()?.parse().ok()?))
}

/// Resident memory of a process in bytes; nothing if it does not run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// All of it.
    pub all: u64,
    /// Its anonymous memory.
    pub anonymous: u64,
    /// Mapped files, including the program itself. The kernel can reclaim these pages.
    pub file: u64,
}

/// Resident memory of a process.
pub fn resident(pid: u32) -> Resident {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .map_or(0, |kib| kib << 10)
    };
    Resident { all: field("VmRSS:"), anonymous: field("RssAnon:"), file: field("RssFile:") }
}

/// CPU time of a process, all threads together.
pub fn process(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything, spaces too.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    from_ticks(ticks(11) + ticks(12))
}

/// CPU time that was used since the machine's start, by anyone, and what other guests of the host took.
fn everyone() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guests count as users, too.
    from_ticks([0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum())
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / USER_HZ)
}

/// Measures how much CPU time given processes and all others use.
pub struct Watch {
    ours: Vec<(u32, Duration)>,
    everyone: Duration,
    since: Instant,
}

/// The result of a [`Watch`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// CPU time of the watched processes.
    pub ours: Duration,
    /// CPU time of all other processes, and what the host withheld.
    pub theirs: Duration,
    /// The available CPU time.
    pub whole: Duration,
}

impl Watch {
    /// Begins to measure. The processes must live until the end.
    pub fn start(ours: &[u32]) -> Watch {
        let ours = ours.iter().map(|pid| (*pid, process(*pid))).collect();
        Watch { ours, everyone: everyone(), since: Instant::now() }
    }

    /// The CPU time since the start.
    pub fn load(&self) -> Load {
        let ours = self.ours.iter().map(|(pid, before)| process(*pid).saturating_sub(*before)).sum();
        let everyone = everyone().saturating_sub(self.everyone);
        let whole = self.since.elapsed() * u32::try_from(cpus()).unwrap_or(u32::MAX);
        Load { ours, theirs: everyone.saturating_sub(ours), whole }
    }
}

impl Load {
    /// The share of the machine that other processes had.
    pub fn others(self) -> f64 {
        self.theirs.as_secs_f64() / self.whole.as_secs_f64().max(1e-9)
    }

    /// The load for a run that uses only some of the CPUs. Other processes may use the rest.
    pub fn beside(self, used: f64) -> Load {
        let free = self.whole.mul_f64(1.0 - (used / cpus() as f64).min(1.0));
        Load { theirs: self.theirs.saturating_sub(free), ..self }
    }

    /// The sum of both.
    pub fn and(self, other: Load) -> Load {
        Load {
            ours: self.ours + other.ours,
            theirs: self.theirs + other.theirs,
            whole: self.whole + other.whole,
        }
    }
}
