//! Options for Graphite, alike in all programs.

use clap::Args;
use graphite::{Prefix, Settings};
use net::HostPort;

/// The options for Graphite.
#[derive(Args, Clone, Debug, Default)]
pub struct GraphiteArgs {
    /// Carbon's line receiver (port 2003 unless changed), which gets the figures of /metrics every 10 seconds
    #[arg(long, value_name = "HOST:PORT", env = "MINER_GRAPHITE", value_parser = address)]
    pub graphite: Option<HostPort>,
    /// What the names at Graphite begin with [default: mesos_miner.HOST.PROGRAM, with the names of this machine and of the program]
    #[arg(long, value_name = "PREFIX", env = "MINER_GRAPHITE_PREFIX", requires = "graphite")]
    pub graphite_prefix: Option<Prefix>,
}

impl GraphiteArgs {
    /// Where and how the figures of a program, such as `pool`, are sent; `None` without `--graphite`.
    pub fn settings(&self, program: &str) -> Option<Settings> {
        let address = self.graphite.clone()?;
        let prefix = self.graphite_prefix.clone().unwrap_or_else(|| Prefix::of_program(program));
        Some(Settings { address, prefix })
    }
}

fn address(text: &str) -> Result<HostPort, net::HostPortError> {
    HostPort::parse(text, None)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        graphite: GraphiteArgs,
    }

    fn parse(args: &[&str]) -> Result<GraphiteArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("x").chain(args.iter().copied())).map(|cli| cli.graphite)
    }

    #[test]
    fn the_prefix_is_that_of_the_program_unless_given() {
        assert_eq!(parse(&[]).unwrap().settings("pool"), None);
        let settings = parse(&["--graphite", "[::1]:2003"]).unwrap().settings("pool").unwrap();
        assert_eq!(
            (settings.address.to_string().as_str(), settings.prefix),
            ("[::1]:2003", Prefix::of_program("pool"))
        );
        let args = ["--graphite", "carbon:2003", "--graphite-prefix", "mining.rack7"];
        assert_eq!(parse(&args).unwrap().settings("pool").unwrap().prefix.as_str(), "mining.rack7");
    }

    #[test]
    fn bad_values_are_refused() {
        for args in [
            &["--graphite", "carbon"][..],
            &["--graphite", "carbon:0"],
            &["--graphite", "tcp://carbon:2003"],
            &["--graphite-prefix", "a"],
            &["--graphite", "carbon:2003", "--graphite-prefix", "a b"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
