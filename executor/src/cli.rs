//! Command lines of `mine`, `bench` and `executor`: what was typed, checked while it is read.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use hasher::Backend;
use program::{AccessArgs, duration, init_bounded_logs, init_logs};
use stratum::{PoolUrl, PoolUrlError};

use crate::engine::cpus::{CpuRequest, MAX_THREADS};
use crate::miner::Pool;
use crate::runner::{Runner, Runners};
use crate::worker;

/// The subcommands of this crate.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Mine for a pool, without Mesos
    Mine(Box<MineArgs>),
    /// Measure the search
    Bench(BenchArgs),
    /// Run as a Mesos executor; an agent starts this
    Executor(ExecutorArgs),
}

impl Command {
    /// Runs it. `server` runs pool server tasks, where there is a pool server.
    ///
    /// # Errors
    /// As the subcommand.
    pub fn run(&self, server: Option<Runner>) -> anyhow::Result<ExitCode> {
        match self {
            Command::Mine(args) => {
                init_logs(args.log_filter());
                crate::run_mine(args)
            }
            Command::Bench(args) => crate::run_bench(args),
            Command::Executor(args) => {
                init_bounded_logs("info");
                crate::run_executor(args, Runners { server, worker: worker::runner() })
            }
        }
    }
}

/// Options of `mine`. Names follow cpuminer's `minerd`, so that its command lines work as they stand.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit status: 0 after Ctrl-C or --duration, 1 after a failure, 64 for bad usage.")]
pub struct MineArgs {
    /// Pool to mine for, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; give several to fall back on the later
    /// ones while the earlier ones are out of reach
    #[arg(short = 'o', long = "url", env = "MINER_URL", value_name = "URL")]
    #[arg(value_delimiter = ',', value_parser = pool_url)]
    pub urls: Vec<PoolUrl>,
    /// User name for the pool, often an address or ACCOUNT.WORKER
    #[arg(short, long, env = "MINER_USER", default_value = "")]
    pub user: String,
    /// Password for the pool
    #[arg(short, long = "pass", env = "MINER_PASS", default_value = "x", hide_env_values = true)]
    pub pass: String,
    /// User name and password in one, USER:PASS
    #[arg(short = 'O', long, value_name = "USER:PASS", conflicts_with_all = ["user", "pass"])]
    #[arg(value_parser = userpass)]
    pub userpass: Option<(String, String)>,
    /// How to connect to the pools.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Mining threads [default: one for each CPU that this process may use]
    #[arg(short, long, env = "MINER_THREADS", value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Hash algorithm; Bitcoin's sha256d is the only one here
    #[arg(short, long = "algo", default_value = "sha256d", value_parser = algorithm)]
    pub algorithm: String,
    /// Backend by name, see `bench`; `auto` takes the fastest
    #[arg(long, env = "MINER_BACKEND", default_value = "auto", value_parser = backend)]
    pub backend: String,
    /// Pin the threads to these cores: a list such as 0,2-3, or a mask such as 0xd
    #[arg(long, env = "MINER_CPU_AFFINITY", value_name = "CORES", value_parser = affinity)]
    pub cpu_affinity: Option<Cores>,
    /// Give up when a pool can't be reached or is lost, instead of trying again
    #[arg(long, env = "MINER_NO_RETRY")]
    pub no_retry: bool,
    /// How often to try again in a row: -1 for ever, 0 is --no-retry
    #[arg(short, long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    pub retries: i64,
    /// Longest pause between two tries, in seconds
    #[arg(short = 'R', long, value_name = "SECONDS", default_value_t = 30)]
    pub retry_pause: u64,
    /// Seconds of silence after which a pool counts as lost
    #[arg(short = 'T', long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Wanted time between two shares; the pool is asked for a difficulty that gives it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Stop after this time, such as 30s, 5m or 1h
    #[arg(long, env = "MINER_DURATION", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Print a summary as one line of JSON at the end, the last on stdout
    #[arg(long, env = "MINER_JSON")]
    pub json: bool,
    /// Print no line per share
    #[arg(short, long, env = "MINER_QUIET")]
    pub quiet: bool,
    /// Log more
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// Log every line of the protocol
    #[arg(short = 'P', long)]
    pub protocol_dump: bool,
    /// Options of minerd for protocols and logs that are not here: taken and ignored
    #[command(flatten)]
    pub ignored: IgnoredArgs,
}

/// Options that mean nothing here, but stand in many a command line.
#[derive(Args, Clone, Debug, Default)]
pub struct IgnoredArgs {
    #[arg(short = 's', long, hide = true)]
    scantime: Option<u64>,
    #[arg(short = 'S', long, hide = true)]
    syslog: bool,
    #[arg(long, hide = true)]
    no_redirect: bool,
    #[arg(long, hide = true)]
    no_longpoll: bool,
    #[arg(long, hide = true)]
    no_getwork: bool,
    #[arg(long, hide = true)]
    no_gbt: bool,
    #[arg(long, hide = true)]
    coinbase_addr: Option<String>,
    #[arg(long, hide = true)]
    coinbase_sig: Option<String>,
}

/// Cores of `--cpu-affinity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

impl MineArgs {
    /// User and password, from wherever they were given.
    pub fn credentials(&self) -> (String, String) {
        self.userpass.clone().unwrap_or_else(|| (self.user.clone(), self.pass.clone()))
    }

    /// What is asked of the CPUs.
    pub fn cpus(&self) -> CpuRequest {
        let affinity = self.cpu_affinity.clone().map(|cores| cores.0).unwrap_or_default();
        CpuRequest { threads: self.threads, cpus: None, affinity }
    }

    /// What is logged besides the lines on the terminal.
    pub fn log_filter(&self) -> &'static str {
        match (self.debug, self.protocol_dump) {
            (false, false) => "warn",
            (true, false) => "debug",
            (false, true) => "warn,protocol=trace",
            (true, true) => "debug,protocol=trace",
        }
    }

    /// The backend, if one is forced.
    pub fn backend(&self) -> Option<String> {
        (self.backend != AUTO).then(|| self.backend.clone())
    }

    /// The pools, with our name and password at each.
    pub fn pools(&self) -> Vec<Pool> {
        let (user, password) = self.credentials();
        let pool = |url: &PoolUrl| Pool { url: url.clone(), user: user.clone(), password: password.clone() };
        self.urls.iter().map(pool).collect()
    }

    /// Longest pause between two tries.
    pub fn retry_pause(&self) -> Duration {
        Duration::from_secs(self.retry_pause)
    }

    /// Silence after which a pool counts as lost.
    pub fn silence(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// How often to try again in a row; `None`: for ever.
    pub fn retries(&self) -> Option<u64> {
        if self.no_retry { Some(0) } else { u64::try_from(self.retries).ok() }
    }
}

/// Options of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Print one line of JSON: an array with an object for each row
    #[arg(long)]
    pub json: bool,
    /// Threads to run at once
    #[arg(short, long, value_name = "N", default_value = "1")]
    pub threads: NonZeroUsize,
    /// Time for each row
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    time: Duration,
}

impl BenchArgs {
    /// Time for each row, yardstick included.
    pub fn time(&self) -> Duration {
        self.time
    }
}

/// Options of `executor`: there are none, the Mesos agent says everything in environment variables.
#[derive(Args, Clone, Debug, Default)]
pub struct ExecutorArgs {}

const AUTO: &str = "auto";

fn pool_url(text: &str) -> Result<PoolUrl, String> {
    text.parse().map_err(|error: PoolUrlError| error.to_string())
}

fn userpass(text: &str) -> Result<(String, String), String> {
    let (user, pass) = text.split_once(':').ok_or("it has no colon; write USER:PASS")?;
    Ok((user.to_owned(), pass.to_owned()))
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 threads can't mine; leave -t out to use all CPUs".into()),
        Ok(threads) if threads > MAX_THREADS => Err(format!("at most {MAX_THREADS} threads")),
        Ok(threads) => Ok(threads),
        Err(_) => Err("not a whole number from 1".into()),
    }
}

fn algorithm(text: &str) -> Result<String, String> {
    match text {
        "sha256d" => Ok(text.into()),
        other => Err(format!("{other} is not supported; Bitcoin's sha256d is the only algorithm here")),
    }
}

fn backend(text: &str) -> Result<String, String> {
    if text != AUTO {
        Backend::named(text).map_err(|error| error.to_string())?;
    }
    Ok(text.into())
}

fn affinity(text: &str) -> Result<Cores, String> {
    let cores = match text.strip_prefix("0x") {
        Some(digits) => {
            let mask = u128::from_str_radix(digits, 16).map_err(|_| format!("{text} is no mask"))?;
            (0..128).filter(|core| mask >> core & 1 == 1).collect()
        }
        None => core_list(text)?,
    };
    if cores.is_empty() { Err("it names no core".into()) } else { Ok(Cores(cores)) }
}

fn core_list(text: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(core) if core < MAX_THREADS => Ok(core),
        _ => Err(format!("{text:?} is no core number")),
    };
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(number(first)?..=number(last)?);
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        mine: MineArgs,
    }

    fn parse(line: &str) -> Result<MineArgs, String> {
        let words = ["mine"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.mine).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_of_minerd_works() {
        let args = parse("-a sha256d -o stratum+tcp://pool.example:3333 -O me.rig:secret -t 2 -r 5 -R 10 -T 60 -q -S -D -P -s 5 --no-longpoll")
            .expect("a valid line");
        assert_eq!(args.credentials(), ("me.rig".into(), "secret".into()));
        assert_eq!((args.threads, args.retries(), args.backend()), (Some(2), Some(5), None));
    }

    #[test]
    fn the_original_worker_line_works() {
        let args = parse("-o 10.0.0.1:9332").expect("a valid line");
        assert_eq!(args.credentials(), (String::new(), "x".into()));
        assert_eq!(args.retries(), None);
        assert_eq!(parse("-o 10.0.0.1:9332 --no-retry").map(|args| args.retries()), Ok(Some(0)));
    }

    #[test]
    fn bad_values_are_named() {
        for (line, part) in [
            ("-o h:1 -t 0", "0 threads can't mine"),
            ("-o h:1 -t many", "not a whole number"),
            ("-o h:1 -a scrypt", "scrypt is not supported"),
            ("-o gopher://h:1", "gopher"),
            ("-o h:1 --tls-fingerprint 12", "64 hexadecimal"),
            ("-o h:1 -x http://p:1", "only SOCKS5"),
            ("-o h:1 --backend abacus", "abacus"),
            ("-o h:1 --cpu-affinity 1,x", "is no core number"),
            ("-o h:1 --cpu-affinity 0x0", "names no core"),
            ("-o h:1 -O me", "no colon"),
            ("-o h:1 --duration 5y", "\"5y\" is no time"),
            ("-o h:1 --duration 0s", "out of range"),
            ("-o h:1 --frobnicate", "--frobnicate"),
        ] {
            let message = parse(line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn cores_in_lists_and_masks() {
        assert_eq!(affinity("0,2-3"), Ok(Cores(vec![0, 2, 3])));
        assert_eq!(affinity("0xd"), Ok(Cores(vec![0, 2, 3])));
    }
}
