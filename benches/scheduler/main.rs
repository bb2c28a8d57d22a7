//! The cost of the scheduler on large clusters. The scheduler is a real process; the Mesos master is simulated.
//!
//! `cargo bench --bench scheduler [-- --check] [OPTIONS]`; `-- --help` lists the options.
//!
//! This program simulates the master with Mesos' v1 scheduler API, and all agents and executors. Without options, clusters of
//! 100, 1,000 and 10,000 agents go through all phases, and a table of all figures follows. `--check` exits with 1 if a cost grows
//! too fast. It compares costs only with each other, because absolute times depend on the machine, except for the time in which
//! pages are answered. `--real-mesos` also measures some figures with a real Mesos.
//!
//! `cargo test` runs this program without `--bench`. Then only a small cluster goes through all phases, and the program checks
//! that all shares are accounted for.

mod bare_loop;
mod check;
mod cluster;
mod delay_proxy;
mod disk;
mod fetcher;
mod master;
mod options;
mod phases;
mod real;
mod report;
mod run;
mod scheduler;
mod smoke;
#[allow(dead_code, reason = "shared with another bench")]
#[path = "../suite/suite.rs"]
mod suite;
#[allow(dead_code, reason = "shared with the process tests")]
#[path = "../../tests/process/support/support.rs"]
mod support;
mod zookeeper;

use std::process::ExitCode;

use clap::Parser;

use options::Options;
use report::Row;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some(bare_loop::PLAY) {
        bare_loop::play(&arguments[2..]);
        return ExitCode::SUCCESS;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        return smoke::test(&arguments[1..]);
    }
    let options = Options::parse();
    println!("{}; fsync {:.2} ms (median)", suite::machine::describe(), disk::fsync(options.dir()) * 1e3);
    match &options {
        Options { check: true, .. } => check(&options),
        Options { real_mesos: true, .. } => compare(&options),
        _ => measure(&options),
    }
}

fn compare(options: &Options) -> ExitCode {
    let mut columns = real::COLUMNS.map(|_| Vec::new());
    let binary = &options.binaries()[0];
    for agents in &options.agents {
        let Some(rows) = real::compare(options, binary, *agents) else { return ExitCode::SUCCESS };
        columns.iter_mut().zip(rows).for_each(|(column, rows)| column.extend(rows));
    }
    println!("\n{}", report::table(&real::COLUMNS.map(str::to_owned), &columns));
    report::verdict(columns.iter().flatten())
}

fn check(options: &Options) -> ExitCode {
    if let Some(why) = check::refuse(options) {
        eprintln!("error: {why}");
        return ExitCode::from(64);
    }
    let mut figures = Vec::new();
    for binary in options.binaries() {
        println!("{}:", binary.name);
        for figure in check::check(options, &binary) {
            println!("{figure}");
            figures.push(figure);
        }
    }
    suite::figure::verdict(&figures)
}

fn measure(options: &Options) -> ExitCode {
    let binaries = options.binaries();
    let mut columns: Vec<Vec<Row>> = vec![Vec::new(); binaries.len()];
    for agents in &options.agents {
        for (binary, column) in binaries.iter().zip(&mut columns) {
            println!("{}:", binary.name);
            column.extend(phases::all(options, binary, *agents));
        }
    }
    let names: Vec<String> = binaries.iter().map(|binary| binary.name.clone()).collect();
    println!("\n{}", report::table(&names, &columns));
    report::verdict(columns.iter().flatten())
}
