//! CPU time and memory of processes, according to `/proc`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The prefix of the mining threads' names; a number follows.
const MINING_THREAD: &str = "miner-";
/// Ticks per second in `/proc`. The value is the same on all current architectures of Linux, whatever the kernel's timer rate.
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

/// The cores that one mining thread of a process may run on, in the list format of Linux.
pub fn allowed_cores(pid: u32) -> Option<String> {
    let task = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().find(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with(MINING_THREAD))
    })?;
    let status = fs::read_to_string(task.path().join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// Peak resident memory of a process, and its current anonymous (not file-backed) memory, in bytes.
pub fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some((field("VmHWM:")?, field("RssAnon:")?))
}

/// CPU time of a process's threads, with a finer resolution than [`process`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads {
    /// The CPU time of all threads together. The time of a thread that ended recently may be missing.
    pub all: Duration,
    /// The CPU time of the first thread, which runs `main`.
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

/// CPU time of a thread, given its folder in `/proc`.
fn thread(folder: &Path) -> Option<Duration> {
    let times = fs::read_to_string(folder.join("schedstat")).ok()?;
    Some(Duration::from_nanos(times.split(' ').next()?.parse().ok()?))
}

/// Resident memory of a process in bytes; zero if the process does not run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// All resident memory.
    pub all: u64,
    /// Anonymous memory.
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

/// CPU time of all threads of a process together, including ended ones.
pub fn process(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The process name in parentheses may contain any character, including spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    from_ticks(ticks(11) + ticks(12))
}

/// CPU time used by all processes since boot, plus time stolen by the hypervisor.
fn everyone() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // The fields are: user nice system idle iowait irq softirq steal. The time of guests that run on this machine is contained in
    // `user`.
    from_ticks([0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum())
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / USER_HZ)
}

/// Measures the CPU time of given processes and that of all other processes.
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
    /// CPU time of all other processes, plus time stolen by the hypervisor.
    pub theirs: Duration,
    /// The CPU time of all CPUs together: their number times the elapsed time.
    pub whole: Duration,
}

impl Watch {
    /// Begins to measure. The processes must not end before [`Watch::load`] is called.
    pub fn start(ours: &[u32]) -> Self {
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
    /// The fraction of the machine's CPU time that other processes used.
    pub fn others(self) -> f64 {
        self.theirs.as_secs_f64() / self.whole.as_secs_f64().max(1e-9)
    }

    /// The load for a run that uses only `used` CPUs. Other processes may use the remaining CPUs without disturbing the run.
    pub fn beside(self, used: f64) -> Self {
        let free = self.whole.mul_f64(1.0 - (used / cpus() as f64).min(1.0));
        Load { theirs: self.theirs.saturating_sub(free), ..self }
    }

    /// The sum of two loads.
    pub fn and(self, other: Load) -> Self {
        Load {
            ours: self.ours + other.ours,
            theirs: self.theirs + other.theirs,
            whole: self.whole + other.whole,
        }
    }
}
