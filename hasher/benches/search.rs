//! Measures the speed of each backend as a multiple of the yardstick: the `sha2` crate with a midstate and `compress256`.
//!
//! `cargo bench -p hasher --bench search [-- --check] [--rounds N] [--backend NAME]`
//!
//! Every figure is the median over rounds. In a round, each backend runs for 50 ms right after the yardstick, so that
//! disturbances affect both. Cycles are cycles of the core clock. The rate of this clock is estimated before and after each run
//! by a chain of dependent additions. The column `bound` shows how many cycles a hash would take if no execution unit were ever
//! idle.
//!
//! With `--check`, the exit status is 1 if a ratio is below the minimum for this CPU. It is 2 if the check is not possible. This
//! is so if the table `CORES` does not list this CPU, or if the yardstick ran below 95 % of its usual speed on this CPU.

use std::process::ExitCode;
use std::time::Duration;

use hasher::measure::{Measurement, clock_hertz, yardstick};
use hasher::{Backend, MAX_VERSIONS};

const SLICE: Duration = Duration::from_millis(50);

/// The speeds that the backends must reach on a kind of core.
struct Core {
    name: &'static str,
    /// The CPU's family as in /proc/cpuinfo. The goals apply to CPUs of this family whose model lies in one of the ranges in
    /// `models`.
    family: u32,
    models: &'static [(u32, u32)],
    /// The CPU cycles per hash of the crate `sha2`, with which all backends are compared.
    yardstick: f64,
    goals: &'static [Goal],
}

struct Goal {
    backend: &'static str,
    rolled: bool,
    /// The lowest speed that passes, as a multiple of the speed of the crate `sha2`.
    minimum: f64,
    /// The fewest cycles per hash that are possible, reached if no execution unit is ever idle; `None` if unknown.
    bound: Option<f64>,
}

const fn goal(backend: &'static str, rolled: bool, minimum: f64, bound: Option<f64>) -> Goal {
    Goal { backend, rolled, minimum, bound }
}

/// For 16 nonces, the search executes `OPERATIONS` vector operations for each version. The part of the schedule that all versions
/// share takes `SHARED_OPERATIONS` more. docs/PERFORMANCE.md explains the numbers.
const OPERATIONS: f64 = 2387.0;
const SHARED_OPERATIONS: f64 = 460.0;

/// The fewest cycles per hash that are possible, if the CPU executes `per_cycle` 512-bit operations per cycle.
const fn avx512_bound(per_cycle: f64, versions: f64) -> Option<f64> {
    Some((OPERATIONS + SHARED_OPERATIONS / versions) / per_cycle / 16.0)
}

/// The number of `sha256rnds2` instructions per hash. Each computes two rounds; together they compute rounds 2 to 63 of the first
/// SHA-256 and rounds 0 to 61 of the second SHA-256.
const TWO_ROUNDS: f64 = 62.0;
/// The number of `sha256msg2` instructions for each of the two hashes. Each instruction completes a group of four schedule words.
/// The schedule of the first hash is computed once for all versions of a header.
const GROUPS: f64 = 12.0;

/// The fewest cycles per hash that are possible. `two_rounds` and `group` are the cycles that one `sha256rnds2` and one
/// `sha256msg2` take. The two instructions run on two execution units in parallel.
const fn sha_ni_bound(two_rounds: f64, group: f64, versions: f64) -> Option<f64> {
    Some((TWO_ROUNDS * two_rounds).max((GROUPS + GROUPS / versions) * group))
}

static CORES: &[Core] = &[
    Core {
        name: "Zen 5",
        family: 26,
        models: &[(0, u32::MAX)],
        yardstick: 362.0,
        goals: &[
            goal("avx512", true, 8.0, avx512_bound(4.0, MAX_VERSIONS as f64)),
            goal("avx512", false, 6.4, avx512_bound(4.0, 1.0)),
            goal("sha-ni", true, 2.4, sha_ni_bound(2.0, 2.0, MAX_VERSIONS as f64)),
            goal("sha-ni", false, 2.1, sha_ni_bound(2.0, 2.0, 1.0)),
            goal("avx2", true, 1.5, Some(153.0)),
            goal("avx2", false, 1.35, Some(180.0)),
        ],
    },
    // On this core, 512-bit operations take two passes, so AVX-512 gains half as much as on Zen 5.
    Core {
        name: "Zen 4",
        family: 25,
        models: &[(0x10, 0x1f), (0x60, 0xaf)],
        yardstick: 328.0,
        goals: &[
            goal("avx512", true, 3.85, avx512_bound(2.0, MAX_VERSIONS as f64)),
            goal("avx512", false, 3.2, avx512_bound(2.0, 1.0)),
            goal("sha-ni", true, 2.95, sha_ni_bound(1.0, 2.0, MAX_VERSIONS as f64)),
            goal("sha-ni", false, 2.5, sha_ni_bound(1.0, 2.0, 1.0)),
            goal("avx2", true, 1.75, Some(153.0)),
            goal("avx2", false, 1.45, Some(180.0)),
        ],
    },
];

struct Options {
    check: bool,
    rounds: usize,
    backend: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { check: false, rounds: 15, backend: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {} // cargo adds it
            "--check" => options.check = true,
            "--rounds" => {
                let value = arguments.next().unwrap_or_default();
                options.rounds = value
                    .parse()
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or(format!("--rounds {value:?}: a number above 0"))?;
            }
            "--backend" => {
                let name = arguments.next().unwrap_or_default();
                options.backend =
                    Some(Backend::named(&name).map_err(|error| error.to_string())?.name().to_owned());
            }
            other => {
                return Err(format!(
                    "unknown option {other:?}; the options are --check, --rounds N and --backend NAME"
                ));
            }
        }
    }
    Ok(options)
}

/// One line of the table, with the measurements of each round.
struct Row {
    backend: Backend,
    rolled: bool,
    ratios: Vec<f64>,
    rates: Vec<f64>,
    cycles: Vec<f64>,
}

impl Row {
    fn versions(&self) -> usize {
        if self.rolled { MAX_VERSIONS } else { 1 }
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(64);
        }
    };
    for name in Backend::names() {
        if let Err(error) = Backend::named(name) {
            println!("skipped: {error}");
        }
    }
    let mut rows: Vec<Row> = Backend::available()
        .filter(|backend| options.backend.as_deref().is_none_or(|name| name == backend.name()))
        .flat_map(|backend| [true, false].map(|rolled| (backend, rolled)))
        .map(|(backend, rolled)| Row { backend, rolled, ratios: vec![], rates: vec![], cycles: vec![] })
        .collect();
    if let Some(error) = rows.iter().find_map(|row| row.backend.self_test().err()) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let mut yardstick_cycles = Vec::new();
    for _ in 0..options.rounds {
        for row in &mut rows {
            let (base, base_cycles) = slice(|| yardstick(SLICE));
            let (measured, cycles) = slice(|| row.backend.measure(row.versions(), SLICE));
            yardstick_cycles.extend(base_cycles);
            row.ratios.push(measured.rate() / base.rate());
            row.rates.push(measured.rate());
            row.cycles.extend(cycles);
        }
    }
    let core = this_core();
    let yardstick_cycles = median(&yardstick_cycles);
    print_table(&rows, core, yardstick_cycles);
    if options.check { check(&rows, core, yardstick_cycles) } else { ExitCode::SUCCESS }
}

/// Runs one measurement. Returns its result and, if the clock rate is known, the cycles per hash. The clock rate is the higher of
/// the estimates before and after the measurement, because interruptions only lower an estimate.
fn slice(run: impl FnOnce() -> Measurement) -> (Measurement, Option<f64>) {
    let before = clock_hertz();
    let measured = run();
    let clock = before.into_iter().chain(clock_hertz()).reduce(f64::max);
    (measured, clock.map(|hertz| measured.cycles_per_hash(hertz)))
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The entry of [`CORES`] for the CPU of this machine, if there is one.
fn this_core() -> Option<&'static Core> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line =
            cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split(':').nth(1).map(str::trim)
    };
    let (family, model): (u32, u32) = (field("cpu family")?.parse().ok()?, field("model")?.parse().ok()?);
    let amd = field("vendor_id")? == "AuthenticAMD";
    let of_model = |core: &&Core| core.models.iter().any(|(first, last)| (*first..=*last).contains(&model));
    CORES.iter().filter(|core| amd && core.family == family).find(of_model)
}

fn goal_of(row: &Row, core: Option<&'static Core>) -> Option<&'static Goal> {
    core?.goals.iter().find(|goal| goal.backend == row.backend.name() && goal.rolled == row.rolled)
}

fn print_table(rows: &[Row], core: Option<&'static Core>, yardstick_cycles: Option<f64>) {
    let number =
        |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    println!(
        "core: {}; yardstick: {} cycles per hash",
        core.map_or("no table", |core| core.name),
        number(yardstick_cycles, 1)
    );
    println!(
        "{:<10} {:>6} {:>8} {:>8} {:>9} {:>10} {:>8} {:>9}",
        "backend", "rolled", "× sha2", "minimum", "MH/s", "cycles/h", "bound", "% of it"
    );
    for row in rows {
        let goal = goal_of(row, core);
        let (cycles, bound) = (median(&row.cycles), goal.and_then(|goal| goal.bound));
        let of_bound = cycles.zip(bound).map(|(cycles, bound)| 100.0 * bound / cycles);
        println!(
            "{:<10} {:>6} {:>8} {:>8} {:>9} {:>10} {:>8} {:>9}",
            row.backend,
            row.versions(),
            number(median(&row.ratios), 2),
            number(goal.map(|goal| goal.minimum), 2),
            number(median(&row.rates).map(|rate| rate / 1e6), 2),
            number(cycles, 1),
            number(bound, 1),
            number(of_bound, 0),
        );
    }
}

fn check(rows: &[Row], core: Option<&'static Core>, yardstick_cycles: Option<f64>) -> ExitCode {
    let (Some(core), Some(cycles)) = (core, yardstick_cycles) else {
        println!("no result: there is no table for this CPU");
        return ExitCode::from(2);
    };
    if core.yardstick / cycles < 0.95 {
        println!(
            "no result: the yardstick took {cycles:.1} cycles per hash, undisturbed it takes {:.1}",
            core.yardstick
        );
        return ExitCode::from(2);
    }
    let mut passed = true;
    for row in rows {
        let (Some(goal), Some(ratio)) = (goal_of(row, Some(core)), median(&row.ratios)) else { continue };
        if ratio < goal.minimum {
            passed = false;
            println!(
                "too slow: {} with {} versions: {ratio:.2}, not {}",
                row.backend,
                row.versions(),
                goal.minimum
            );
        }
    }
    println!("{}", if passed { "passed" } else { "failed" });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
