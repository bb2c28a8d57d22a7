//! The options of `mine`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use clap::builder::{BoolishValueParser, TypedValueParser};
use command_line::{
    ConnectionArgs, GraphiteArgs, HttpArgs, LogArgs, RedactedParser, UsageError, difficulty, duration,
    whole_number,
};

use super::minerd::{IgnoredArgs, RefusedArgs};
use super::values::{AUTO, PoolAddress, affinity, backend, pool_address, threads, userpass};
use crate::engine::cpus::{Affinity, CpuRequest};
use crate::miner::Pool;

/// The highest value, in seconds, of options that take a time. It is larger than any reasonable value, but small enough not to
/// overflow a clock.
const MAX_SECONDS: u64 = 10_000_000;

/// The options of `mine`. They have the names of cpuminer's `minerd`, so that command lines of `minerd` work unchanged.
#[derive(Args, Clone, Debug)]
#[command(after_help = command_line::EXIT_STATUS_HELP)]
pub struct MineArgs {
    /// Pool to mine for, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; give several to fall back on the later
    /// pools while the earlier ones are unreachable. USER:PASSWORD@ before HOST applies only to that pool
    #[arg(short = 'o', long = "url", env = "MINER_URL", value_name = "URL")]
    #[arg(value_delimiter = ',', hide_env_values = true, value_parser = RedactedParser(pool_address))]
    pub urls: Vec<PoolAddress>,
    /// User name for the pool, often an address or ACCOUNT.WORKER
    #[arg(short, long, env = "MINER_USER", default_value = "")]
    pub user: String,
    /// Password for the pool
    #[arg(short, long = "pass", env = "MINER_PASS", default_value = "x", hide_env_values = true)]
    pub pass: String,
    /// User name and password in one, USER:PASS
    #[arg(short = 'O', long, value_name = "USER:PASS", conflicts_with_all = ["user", "pass"])]
    #[arg(env = "MINER_USERPASS", hide_env_values = true, value_parser = RedactedParser(userpass))]
    pub userpass: Option<(String, String)>,
    /// How to connect to the pools.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Mining threads [default: one for each CPU that this process may use]
    #[arg(short, long, env = "MINER_THREADS", value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// Hash algorithm; only Bitcoin's sha256d is supported
    #[arg(short, long = "algo", env = "MINER_ALGO", default_value = "sha256d", value_parser = ["sha256d"])]
    pub algorithm: String,
    /// Hash backend, by its name in `bench`; auto uses the fastest
    #[arg(long, env = "MINER_BACKEND", default_value = "auto", value_parser = backend)]
    pub backend: String,
    /// Pin the threads to these cores: a list such as 0,2-3, or a mask such as 0xd, whose bits beyond this machine's cores do
    /// not count; -1 means all cores [default: -1]
    #[arg(long, env = "MINER_CPU_AFFINITY", value_name = "CORES", value_parser = affinity)]
    #[arg(allow_negative_numbers = true)]
    pub cpu_affinity: Option<Affinity>,
    /// Exit when a pool cannot be reached or is lost, instead of trying again
    #[arg(long, env = "MINER_NO_RETRY", value_parser = BoolishValueParser::new())]
    pub no_retry: bool,
    /// Maximum number of retries in a row; -1 means no limit, 0 means --no-retry
    #[arg(short, long, env = "MINER_RETRIES", value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    pub retries: i64,
    /// Longest pause between two attempts, in seconds
    #[arg(short = 'R', long, env = "MINER_RETRY_PAUSE", value_name = "SECONDS", default_value = "30")]
    #[arg(value_parser = seconds())]
    pub retry_pause: Duration,
    /// Seconds of silence after which a pool counts as lost
    #[arg(short = 'T', long, env = "MINER_TIMEOUT", value_name = "SECONDS", default_value = "300")]
    #[arg(value_parser = seconds())]
    pub timeout: Duration,
    /// Desired time between two shares; the miner suggests a matching difficulty to the pool
    #[arg(long, env = "MINER_SHARE_INTERVAL", value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Minimum difficulty of a share; requested from pools that support this extension (BIP-0310)
    #[arg(long, env = "MINER_MINIMUM_DIFFICULTY", value_name = "DIFFICULTY", value_parser = difficulty)]
    pub minimum_difficulty: Option<f64>,
    /// Stop after this time, such as 30s, 5m or 1h
    #[arg(long, alias = "time-limit", env = "MINER_DURATION", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// At the end, print a summary as one line of JSON, the last line on stdout
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Do not print a line for each share
    #[arg(short, long, env = "MINER_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// The HTTP API.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Graphite.
    #[command(flatten)]
    pub graphite: GraphiteArgs,
    /// Log more
    #[arg(short = 'D', long, env = "MINER_DEBUG", value_parser = BoolishValueParser::new())]
    pub debug: bool,
    /// Log every line of the protocol except the one with the password
    #[arg(short = 'P', long, env = "MINER_PROTOCOL_DUMP", value_parser = BoolishValueParser::new())]
    pub protocol_dump: bool,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// Options of minerd that are accepted and ignored
    #[command(flatten)]
    pub ignored: IgnoredArgs,
    /// Options of minerd that are refused with a hint.
    #[command(flatten)]
    pub refused: RefusedArgs,
}

impl MineArgs {
    /// User and password, from `--userpass` or from `--user` and `--pass`.
    pub fn credentials(&self) -> (String, String) {
        self.userpass.clone().unwrap_or_else(|| (self.user.clone(), self.pass.clone()))
    }

    /// The CPUs to use.
    pub fn cpus(&self) -> CpuRequest {
        let affinity = self.cpu_affinity.clone().unwrap_or_default();
        CpuRequest { threads: self.threads.map(NonZeroUsize::get), cpus: None, affinity }
    }

    /// The log filter.
    pub fn log_filter(&self) -> &'static str {
        match (self.debug, self.protocol_dump) {
            (false, false) => "warn",
            (true, false) => "debug",
            (false, true) => "warn,protocol=trace",
            (true, true) => "debug,protocol=trace",
        }
    }

    /// The name of the backend; `None` for `auto`.
    pub fn backend(&self) -> Option<String> {
        (self.backend != AUTO).then(|| self.backend.clone())
    }

    /// The pools, with our account at each.
    ///
    /// # Errors
    /// [`UsageError`] if no pool is given, or if a refused option is given.
    pub fn pools(&self) -> Result<Vec<Pool>, UsageError> {
        if let Some(instead) = self.refused.instead() {
            return Err(UsageError(instead.to_owned()));
        }
        if self.urls.is_empty() {
            return Err(UsageError("no pool to mine for: give --url HOST:PORT".to_owned()));
        }
        let common = self.credentials();
        let pool = |address: &PoolAddress| {
            let (user, password) = match address.user.clone() {
                Some((user, password)) => (user, password.unwrap_or_else(|| common.1.clone())),
                None => common.clone(),
            };
            Pool { url: address.url.clone(), user, password }
        };
        Ok(self.urls.iter().map(pool).collect())
    }

    /// The maximum number of retries in a row; `None` means no limit.
    pub fn retries(&self) -> Option<u64> {
        if self.no_retry { Some(0) } else { u64::try_from(self.retries).ok() }
    }
}

/// Parses a number of seconds.
fn seconds() -> impl TypedValueParser<Value = Duration> {
    whole_number::<u64>(1..=MAX_SECONDS).map(Duration::from_secs)
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
        assert_eq!(
            (args.threads.map(NonZeroUsize::get), args.retries(), args.backend()),
            (Some(2), Some(5), None)
        );
    }

    #[test]
    fn the_http_api_has_an_address() {
        let args = parse("-o h:1 --http [::1]:8080").expect("a valid line");
        assert_eq!(args.http.http, Some("[::1]:8080".parse().expect("an address")));
        assert!(parse("-o h:1").is_ok_and(|args| args.http.http.is_none()));
    }

    #[test]
    fn a_line_of_cpuminer_opt_works() {
        let args = parse("-a sha256d -o stratum+tcps://me.rig:p@ss@pool.example:3333 -o b:1 -u other --cert /ca.pem --time-limit 60 --cpu-priority 2 --no-color --coinbase-addr a")
            .expect("a valid line");
        let pools = args.pools().expect("pools");
        let who: Vec<_> = pools.iter().map(|pool| (pool.user.as_str(), pool.password.as_str())).collect();
        assert_eq!(who, [("me.rig", "p@ss"), ("other", "x")]);
        assert!(pools[0].url.scheme.is_secure() && args.connection.tls_ca.is_some());
        assert_eq!(args.duration, Some(Duration::from_secs(60)));
    }

    #[test]
    fn refused_options_come_with_a_hint() {
        for (option, instead) in [
            ("--benchmark", "mesos-miner bench"),
            ("-B", "foreground"),
            ("-c miner.conf", "environment"),
            ("-b 127.0.0.1:4048", "--json"),
            ("--no-stratum", "--bitcoind"),
            ("--max-temp 80", "--threads"),
            ("-f 2", "--minimum-difficulty"),
            ("--diff-factor 0.5", "--minimum-difficulty"),
            ("--cputest", "mesos-miner bench"),
            ("--tls", "stratum+ssl://"),
            ("-l miner.log", "2>FILE"),
            ("--log-file=miner.log", "2>FILE"),
            ("--http-port 8080", "--http ADDRESS:PORT"),
            ("--http-port=-1", "--http ADDRESS:PORT"),
            ("--max-temp", "--threads"),
            ("--max-temp -1", "--threads"),
            ("-l", "2>FILE"),
            ("-l -q", "2>FILE"),
            ("-f -0.5", "--minimum-difficulty"),
            ("-c", "environment"),
        ] {
            let args = parse(&format!("-o h:1 {option}")).expect(option);
            let error = args.pools().expect_err(option).to_string();
            assert!(error.contains(instead), "{option}: {error}");
        }
        assert!(parse("").expect("no usage error yet").pools().is_err_and(|error| error.0.contains("--url")));
    }

    #[test]
    fn ignored_options_of_which_more_is_expected_come_with_a_note() {
        for (option, instead) in [
            ("-S", "logger"),
            ("--syslog", "logger"),
            ("-S opencl:auto", "only this machine's CPUs"),
            ("-k", "leave it out"),
            ("--keepalive", "leave it out"),
            ("-k diablo", "--backend"),
        ] {
            let args = parse(&format!("{option} -o h:1")).expect(option);
            assert!(args.pools().is_ok(), "{option}");
            let notes = args.ignored.notes().concat();
            assert!(notes.contains(instead), "{option}: {notes}");
        }
        assert!(parse("-o h:1 -s 5").expect("a valid line").ignored.notes().is_empty());
    }

    #[test]
    fn all_cores_by_cpuminers_default() {
        for value in ["--cpu-affinity -1", "--cpu-affinity=-1", "--cpu-affinity 0xFFFFFFFFFFFFFFFFFFFFFFFF"] {
            assert_eq!(parse(value).expect(value).cpus(), CpuRequest::default(), "{value}");
        }
    }

    #[test]
    fn errors_do_not_repeat_secrets() {
        for line in [
            "-o stratum+tcp://me:s3cret@h",
            "-o h:1,gopher://me:s3cret@h:1",
            "-O s3cret",
            "-o h:1 -x http://me:s3cret@h:1",
        ] {
            let error = parse(line).expect_err(line);
            assert!(!error.contains("s3cret"), "{error}");
        }
        let args = parse("-o me:s3cret@h:1").expect("a valid line");
        assert!(!format!("{:?}", args.urls).contains("s3cret"));
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
            ("-o h:1 -t 0", "0 threads cannot mine"),
            ("-o h:1 -t many", "not a whole number"),
            ("-o h:1 -a scrypt", "possible values: sha256d"),
            ("-o gopher://h:1", "gopher"),
            ("-o http://h:8332", "--bitcoind"),
            ("-o h:1 -R 0", "a whole number from 1 to"),
            ("-o h:1 -T 1s", "a whole number from 1 to"),
            ("-o h:1 --minimum-difficulty 0", "is not a difficulty"),
            ("-o h:1 --tls-fingerprint 12", "64 hexadecimal"),
            ("-o h:1 -x http://p:1", "only SOCKS5"),
            ("-o h:1 --backend abacus", "abacus"),
            ("-o h:1 --cpu-affinity 1,x", "is not a core number"),
            ("-o h:1 --cpu-affinity 0x0", "names no core"),
            ("-o h:1 -O me", "no colon"),
            ("-o h:1 --duration 5y", "\"5y\" is not a duration"),
            ("-o h:1 --duration 0s", "out of range"),
            ("-o h:1 --http localhost:80", "127.0.0.1:8080"),
            ("-o h:1 --frobnicate", "--frobnicate"),
        ] {
            let message = parse(line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
