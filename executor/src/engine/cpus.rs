//! The number of mining threads, the fraction of time that they work, and their cores.
//!
//! There are four limits: `-t`, the task's `cpus`, the cpuset (the cores that this process may use), and the quota of the
//! control group. A fractional limit is rounded up to a whole number of threads, and each thread sleeps for part of the time.
//! If the kernel throttled the process instead, the network threads would stop, too.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The threads, working time and cores of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuAllocation {
    /// The number of mining threads.
    pub threads: NonZeroUsize,
    /// The fraction of time that each thread works: above 0 and at most 1.
    pub duty: f64,
    /// The core of each thread, in order. If empty, the kernel places the threads.
    pub pins: Vec<usize>,
}

/// The CPUs that the user or the task asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuRequest {
    /// `-t`: the number of threads. They work all the time, regardless of the quota.
    pub threads: Option<usize>,
    /// The number of CPUs that the task's specification asks for; `None`: all cores that are allowed.
    pub cpus: Option<f64>,
    /// `--cpu-affinity`.
    pub affinity: Affinity,
}

/// The cores to which the threads are pinned, which use them in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// No particular ones: all that are allowed.
    #[default]
    Any,
    /// These cores, each of which must be allowed.
    Cores(Vec<usize>),
    /// Those of these cores that are allowed. A mask is often written for a larger machine, such as 0xFFFF.
    Mask(Vec<usize>),
}

/// The CPUs that the machine allows.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuLimits {
    /// The cores of the cpuset.
    pub cores: Vec<usize>,
    /// The CPU quota of the control group, in CPUs; `None` if there is none.
    pub quota: Option<f64>,
}

/// Why a request cannot be met.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CpuError {
    /// `-t 0`.
    #[error("0 threads cannot mine; set -t to at least 1, or omit it to use all CPUs")]
    ZeroThreads,
    /// More threads than [`MAX_THREADS`].
    #[error("{0} threads exceed the maximum of {MAX_THREADS}; set -t to roughly the number of CPUs")]
    TooManyThreads(usize),
    /// The number of CPUs is not positive.
    #[error("{0} CPUs cannot mine; a worker needs more than 0")]
    NoCpus(f64),
    /// A core is outside the cpuset.
    #[error("core {core} of --cpu-affinity is not among the cores that this process may use ({allowed:?})")]
    CoreNotAllowed {
        /// The core.
        core: usize,
        /// The cpuset.
        allowed: Vec<usize>,
    },
    /// All cores of a mask are outside the cpuset.
    #[error("the mask of --cpu-affinity names none of the cores that this process may use ({allowed:?})")]
    NoCoreAllowed {
        /// The cpuset.
        allowed: Vec<usize>,
    },
}

/// The highest number of threads that `-t` may ask for.
pub const MAX_THREADS: usize = 4096;

/// Determines the number of threads, the fraction of time that each thread works, and the cores to which the threads are pinned.
///
/// Without `--cpu-affinity`, threads are pinned only if there is one thread for each core of the cpuset. Otherwise the kernel
/// places the threads: if they were pinned, several workers on one host would all pin their threads to the same first cores.
///
/// # Errors
/// If the request is for no threads, no CPUs, or a core that is not allowed.
pub fn allocate(request: &CpuRequest, limits: &CpuLimits) -> Result<CpuAllocation, CpuError> {
    let affinity = affinity(&request.affinity, &limits.cores)?;
    let allowed = if affinity.is_empty() { limits.cores.len() } else { affinity.len() }.max(1);
    let (threads, duty) = match request.threads {
        Some(0) => return Err(CpuError::ZeroThreads),
        Some(threads) if threads > MAX_THREADS => return Err(CpuError::TooManyThreads(threads)),
        Some(threads) => (threads, 1.0),
        None => share(usable(request.cpus, limits.quota, allowed)?),
    };
    let pins = match affinity.is_empty() {
        false => affinity.iter().copied().cycle().take(threads).collect(),
        true if threads == limits.cores.len() => limits.cores.clone(),
        true => Vec::new(),
    };
    Ok(CpuAllocation { threads: NonZeroUsize::new(threads).ok_or(CpuError::ZeroThreads)?, duty, pins })
}

/// The cores to pin to; none for [`Affinity::Any`], and for a mask of all cores that are allowed.
fn affinity(affinity: &Affinity, allowed: &[usize]) -> Result<Vec<usize>, CpuError> {
    match affinity {
        Affinity::Any => Ok(Vec::new()),
        Affinity::Cores(cores) => match cores.iter().find(|core| !allowed.contains(core)) {
            Some(&core) => Err(CpuError::CoreNotAllowed { core, allowed: allowed.to_vec() }),
            None => Ok(cores.clone()),
        },
        Affinity::Mask(mask) => {
            let cores: Vec<usize> = mask.iter().copied().filter(|core| allowed.contains(core)).collect();
            match cores.len() {
                0 => Err(CpuError::NoCoreAllowed { allowed: allowed.to_vec() }),
                all if all == allowed.len() => Ok(Vec::new()),
                _ => Ok(cores),
            }
        }
    }
}

fn usable(cpus: Option<f64>, quota: Option<f64>, allowed: usize) -> Result<f64, CpuError> {
    let wanted = cpus.unwrap_or(allowed as f64);
    if wanted.is_nan() || wanted <= 0.0 {
        return Err(CpuError::NoCpus(wanted));
    }
    Ok(wanted.min(allowed as f64).min(quota.unwrap_or(f64::INFINITY)))
}

/// The number of threads that together use `cpus` CPUs, and the fraction of time that each of them works. `cpus` is rounded to
/// thousandths, as in Mesos.
fn share(cpus: f64) -> (usize, f64) {
    let cpus = ((cpus * 1000.0).round() / 1000.0).max(0.001);
    let threads = cpus.ceil();
    (threads as usize, cpus / threads)
}

impl CpuLimits {
    /// The limits of this process.
    pub fn of_this_process() -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let cores: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
        let fallback = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        CpuLimits {
            cores: if cores.is_empty() { (0..fallback).collect() } else { cores },
            quota: quota(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup")),
        }
    }
}

/// The smallest CPU quota among the control group of this process and the group's parents, in cgroup version 2 or 1.
fn quota(groups: &Path, root: &Path) -> Option<f64> {
    let groups = std::fs::read_to_string(groups).ok()?;
    groups.lines().filter_map(|line| quota_of_line(line, root)).min_by(f64::total_cmp)
}

/// The quota for one line of `/proc/self/cgroup`: `0::/path` (version 2) or `4:cpu,cpuacct:/path` (version 1).
fn quota_of_line(line: &str, root: &Path) -> Option<f64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, read): (PathBuf, fn(&Path) -> Option<f64>) = match controllers {
        "" => (root.to_path_buf(), quota_v2),
        names if names.split(',').any(|name| name == "cpu") => {
            let named = root.join(names);
            (if named.is_dir() { named } else { root.join("cpu") }, quota_v1)
        }
        _ => return None,
    };
    let mut folder = root.join(path.trim_start_matches('/'));
    let mut least: Option<f64> = None;
    // Reads the group and its parents up to the root, and skips folders that do not exist. Inside a container, /proc/self/cgroup
    // may name a path that exists only on the host.
    while folder.starts_with(&root) {
        if let Some(quota) = read(&folder) {
            least = Some(least.map_or(quota, |least| least.min(quota)));
        }
        if !folder.pop() {
            break;
        }
    }
    least
}

fn quota_v2(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

fn quota_v1(folder: &Path) -> Option<f64> {
    let read = |name| std::fs::read_to_string(folder.join(name)).ok();
    ratio(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

/// The quota in CPUs: the CPU time per period, divided by the period. `None` for the quotas `max` and -1, which mean "no limit".
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(cores: usize, quota: Option<f64>) -> CpuLimits {
        CpuLimits { cores: (0..cores).collect(), quota }
    }

    fn threads_and_duty(request: CpuRequest, limits: CpuLimits) -> (usize, f64, usize) {
        let allocate = allocate(&request, &limits).expect("a request that can be met");
        (allocate.threads.get(), allocate.duty, allocate.pins.len())
    }

    fn cpus(cpus: f64) -> CpuRequest {
        CpuRequest { cpus: Some(cpus), ..CpuRequest::default() }
    }

    #[test]
    fn all_cpus_by_default_and_pinned() {
        assert_eq!(threads_and_duty(CpuRequest::default(), limits(4, None)), (4, 1.0, 4));
    }

    #[test]
    fn fractional_cpus_become_threads_and_duty() {
        assert_eq!(threads_and_duty(cpus(1.5), limits(4, None)), (2, 0.75, 0));
        assert_eq!(threads_and_duty(cpus(0.3), limits(4, None)), (1, 0.3, 0));
        assert_eq!(threads_and_duty(cpus(0.3), limits(1, None)), (1, 0.3, 1));
        assert_eq!(threads_and_duty(cpus(1.9000000000000001), limits(2, None)), (2, 0.95, 2));
        assert_eq!(threads_and_duty(CpuRequest::default(), limits(8, Some(2.5))), (3, 2.5 / 3.0, 0));
    }

    #[test]
    fn more_cpus_than_cores_are_not_more_threads() {
        assert_eq!(threads_and_duty(cpus(16.0), limits(2, None)), (2, 1.0, 2));
    }

    #[test]
    fn a_worker_of_one_cpu_is_not_pinned_on_two_cores() {
        assert_eq!(threads_and_duty(cpus(1.0), limits(2, None)), (1, 1.0, 0));
    }

    #[test]
    fn an_explicit_number_of_threads_overrides_the_quota() {
        let request = CpuRequest { threads: Some(3), ..CpuRequest::default() };
        assert_eq!(threads_and_duty(request, limits(2, Some(0.5))), (3, 1.0, 0));
    }

    #[test]
    fn affinity_limits_and_pins() {
        let request = CpuRequest { affinity: Affinity::Cores(vec![1, 3]), ..CpuRequest::default() };
        assert_eq!(allocate(&request, &limits(4, None)).expect("allowed cores").pins, [1, 3]);
        let request =
            CpuRequest { affinity: Affinity::Cores(vec![3]), threads: Some(2), ..CpuRequest::default() };
        assert_eq!(allocate(&request, &limits(4, None)).expect("allowed cores").pins, [3, 3]);
    }

    #[test]
    fn a_mask_for_a_larger_machine_names_the_cores_that_are_there() {
        let masked =
            |cores: Vec<usize>| CpuRequest { affinity: Affinity::Mask(cores), ..CpuRequest::default() };
        let all = allocate(&masked((0..16).collect()), &limits(2, None)).expect("allowed cores");
        assert_eq!(Ok(all), allocate(&CpuRequest::default(), &limits(2, None)));
        let some = allocate(&masked(vec![1, 3, 9]), &limits(4, None)).expect("allowed cores");
        assert_eq!((some.threads.get(), some.pins), (2, vec![1, 3]));
        let none = allocate(&masked(vec![9]), &limits(4, None));
        assert!(matches!(none, Err(CpuError::NoCoreAllowed { .. })), "{none:?}");
    }

    #[test]
    fn requests_for_nothing_are_refused() {
        let none = CpuRequest { threads: Some(0), ..CpuRequest::default() };
        assert_eq!(allocate(&none, &limits(2, None)), Err(CpuError::ZeroThreads));
        for bad in [0.0, -1.0, f64::NAN] {
            assert!(matches!(allocate(&cpus(bad), &limits(2, None)), Err(CpuError::NoCpus(_))));
        }
        let core = CpuRequest { affinity: Affinity::Cores(vec![7]), ..CpuRequest::default() };
        assert!(matches!(allocate(&core, &limits(2, None)), Err(CpuError::CoreNotAllowed { core: 7, .. })));
    }

    #[test]
    fn the_smallest_quota_on_the_path_counts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (root, groups) = (dir.path().join("cg"), dir.path().join("groups"));
        let leaf = root.join("a/b");
        std::fs::create_dir_all(&leaf).expect("folders");
        std::fs::write(&groups, "0::/a/b\n").expect("a file");
        assert_eq!(quota(&groups, &root), None);
        std::fs::write(leaf.join("cpu.max"), "max 100000\n").expect("a file");
        assert_eq!(quota(&groups, &root), None);
        std::fs::write(root.join("a/cpu.max"), "150000 100000\n").expect("a file");
        assert_eq!(quota(&groups, &root), Some(1.5));
        std::fs::write(leaf.join("cpu.max"), "30000 100000\n").expect("a file");
        assert_eq!(quota(&groups, &root), Some(0.3));
    }

    #[test]
    fn quota_of_version_1() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (root, groups) = (dir.path().join("cg"), dir.path().join("groups"));
        let leaf = root.join("cpu,cpuacct/docker");
        std::fs::create_dir_all(&leaf).expect("folders");
        std::fs::write(&groups, "9:memory:/docker\n4:cpu,cpuacct:/docker\n").expect("a file");
        std::fs::write(leaf.join("cpu.cfs_quota_us"), "-1\n").expect("a file");
        std::fs::write(leaf.join("cpu.cfs_period_us"), "100000\n").expect("a file");
        assert_eq!(quota(&groups, &root), None);
        std::fs::write(leaf.join("cpu.cfs_quota_us"), "250000\n").expect("a file");
        assert_eq!(quota(&groups, &root), Some(2.5));
    }
}
