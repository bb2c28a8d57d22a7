//! Options of `minerd` and its descendant cpuminer-opt that have no effect here, or that are refused with a hint.

use std::ffi::OsString;

use clap::Args;

/// Options that are accepted and ignored.
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
    coinbase_addr: Option<OsString>,
    #[arg(long, hide = true)]
    coinbase_sig: Option<OsString>,
    #[arg(long, hide = true)]
    no_extranonce: bool,
    #[arg(long, hide = true)]
    no_color: bool,
    #[arg(long, hide = true)]
    hash_meter: bool,
    #[arg(long, hide = true)]
    stratum_keepalive: bool,
    #[arg(long, hide = true)]
    cpu_priority: Option<u64>,
}

/// Options that are refused with a hint. If they were ignored, users would wait in vain for their effect.
#[derive(Args, Clone, Debug, Default)]
pub struct RefusedArgs {
    #[arg(short = 'B', long, hide = true)]
    background: bool,
    #[arg(long, hide = true)]
    benchmark: bool,
    #[arg(short = 'c', long, hide = true)]
    config: Option<OsString>,
    #[arg(short = 'b', long, hide = true)]
    api_bind: Option<OsString>,
    #[arg(long, hide = true)]
    no_stratum: bool,
}

impl RefusedArgs {
    /// The hint for the first of these options that was given.
    pub fn instead(&self) -> Option<&'static str> {
        [
            (self.background, "--background: the miner stays in the foreground; use nohup, systemd or `&`"),
            (self.benchmark, "--benchmark is a subcommand here: mesos-miner bench"),
            (
                self.config.is_some(),
                "--config: there are no configuration files; use options or environment variables, see --help",
            ),
            (self.api_bind.is_some(), "--api-bind: there is no API; --json prints a summary at the end"),
            (self.no_stratum, "--no-stratum: for a node instead of a pool give --bitcoind URL --address ADDRESS"),
        ]
        .into_iter()
        .find_map(|(given, text)| given.then_some(text))
    }
}
