//! Options of other miners that have no effect here, or that are refused with a hint: those of `minerd`, its descendant
//! cpuminer-opt, bfgminer and xmrig. Where two of them use a letter for different things, the hint has a word for each.

use std::ffi::OsString;

use clap::Args;

/// Options that are accepted and ignored. Some come with a note, because their users may look for the effect elsewhere.
#[derive(Args, Clone, Debug, Default)]
pub struct IgnoredArgs {
    #[arg(short = 's', long, hide = true)]
    scantime: Option<u64>,
    /// `minerd`'s `--syslog`, or bfgminer's `--scan-serial DEVICE`.
    #[arg(short = 'S', long, alias = "scan-serial", hide = true, num_args = 0..=1, value_name = "DEVICE")]
    syslog: Option<Option<OsString>>,
    /// xmrig's `--keepalive`, or bfgminer's `--kernel NAME`.
    #[arg(short = 'k', long, alias = "kernel", hide = true, num_args = 0..=1, value_name = "KERNEL")]
    keepalive: Option<Option<OsString>>,
    #[arg(long, hide = true)]
    no_redirect: bool,
    #[arg(long, hide = true)]
    no_longpoll: bool,
    #[arg(long, hide = true)]
    no_getwork: bool,
    #[arg(long, hide = true)]
    no_gbt: bool,
    #[arg(long, hide = true)]
    coinbase_addr: Option<OsString>,
    #[arg(long, hide = true)]
    coinbase_sig: Option<OsString>,
    #[arg(long, hide = true)]
    no_color: bool,
    #[arg(long, hide = true)]
    hash_meter: bool,
    #[arg(long, hide = true)]
    stratum_keepalive: bool,
    #[arg(long, hide = true)]
    cpu_priority: Option<u64>,
}

/// Options that are refused with a hint. If they were ignored, users would wait in vain for their effect. The hint does not depend
/// on their values, so these may be of any form, or missing.
#[derive(Args, Clone, Debug, Default)]
pub struct RefusedArgs {
    #[arg(short = 'B', long, hide = true)]
    background: bool,
    #[arg(long, hide = true)]
    benchmark: bool,
    #[arg(long, hide = true)]
    cputest: bool,
    #[arg(short = 'c', long, hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    config: Option<Option<OsString>>,
    #[arg(short = 'b', long, hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    api_bind: Option<Option<OsString>>,
    #[arg(long, aliases = ["http-host", "http-access-token", "api-port"], hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    http_port: Option<Option<OsString>>,
    #[arg(long, hide = true)]
    http_enabled: bool,
    #[arg(long, hide = true)]
    no_stratum: bool,
    #[arg(long, aliases = ["max-rate", "max-diff"], hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    max_temp: Option<Option<OsString>>,
    #[arg(short = 'f', long, short_alias = 'm', alias = "diff-multiplier", hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    diff_factor: Option<Option<OsString>>,
    #[arg(long, hide = true)]
    tls: bool,
    /// xmrig's `--log-file FILE`, or bfgminer's `--log SECONDS`.
    #[arg(short = 'l', long, aliases = ["log", "loglevel"], hide = true)]
    #[arg(num_args = 0..=1, allow_negative_numbers = true)]
    log_file: Option<Option<OsString>>,
}

impl IgnoredArgs {
    /// The notes for those of these options that were given.
    pub fn notes(&self) -> Vec<&'static str> {
        let syslog = match &self.syslog {
            None => None,
            Some(None) => {
                Some("-S, --syslog: progress goes to stderr; write `2>&1 | logger`, or use systemd")
            }
            Some(Some(_)) => Some("-S, --scan-serial: only this machine's CPUs mine; leave it out"),
        };
        let keepalive = match &self.keepalive {
            None => None,
            Some(None) => {
                Some("-k, --keepalive: a silent pool is asked by itself, see --timeout; leave it out")
            }
            Some(Some(_)) => Some("-k, --kernel: write --backend NAME; `mesos-miner bench` lists the names"),
        };
        syslog.into_iter().chain(keepalive).collect()
    }
}

impl RefusedArgs {
    /// The hint for the first of these options that was given.
    pub fn instead(&self) -> Option<&'static str> {
        [
            (self.background, "--background: the miner stays in the foreground; use nohup, systemd or `&`"),
            (self.benchmark, "--benchmark is a subcommand here: mesos-miner bench"),
            (self.cputest, "--cputest is a subcommand here: mesos-miner bench tests and measures every backend"),
            (
                self.config.is_some(),
                "--config: there are no configuration files; use options or environment variables, see --help",
            ),
            (self.api_bind.is_some(), "--api-bind: figures are served over HTTP, --http ADDRESS:PORT; --json prints a summary"),
            (
                self.http_port.is_some() || self.http_enabled,
                "--http-port: write address and port in one, --http ADDRESS:PORT; the API reads only, so it needs no token",
            ),
            (self.no_stratum, "--no-stratum: for a node instead of a pool give --bitcoind URL --address ADDRESS"),
            (
                self.max_temp.is_some(),
                "--max-temp: the miner reads neither temperatures nor the network's rate; mine with fewer --threads, or stop \
                 and start it from outside",
            ),
            (
                self.diff_factor.is_some(),
                "--diff-factor: difficulties are the pool's, and not scaled here; ask it for another one with \
                 --share-interval TIME or --minimum-difficulty DIFFICULTY",
            ),
            (self.tls, "--tls: write the pool as --url stratum+ssl://HOST:PORT"),
            (
                self.log_file.is_some(),
                "-l: progress goes to stderr; for a file write 2>FILE; -q logs less, -D more, and RUST_LOG chooses",
            ),
        ]
        .into_iter()
        .find_map(|(given, text)| given.then_some(text))
    }
}
