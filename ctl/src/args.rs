//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::http::ApiUrl;

/// The last paragraph of the help.
const EXIT_STATUS_HELP: &str = "Exit status: 0 when the scheduler has recorded the command or answered the question, 3 when it refuses \
                                (no token or a wrong one, an unknown task or agent, a command that does not fit what holds now, an \
                                invalid value), 64 for bad usage, 1 when it cannot be reached or cannot answer.";

/// Tell a running scheduler what to do, by its HTTP API (--http)
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = EXIT_STATUS_HELP)]
pub struct Args {
    /// The scheduler's HTTP API.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "MINER_CTL_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub url: ApiUrl,
    /// File with the token for commands: a line TOKEN, or NAME:TOKEN as in the scheduler's --http-token-file. Of several lines, the
    /// first counts.
    #[arg(long, global = true, value_name = "FILE", env = "MINER_CTL_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the certificate authorities to trust for an https:// URL [default: those of the system].
    #[arg(long, global = true, value_name = "FILE", env = "MINER_CTL_CA")]
    pub ca: Option<PathBuf>,
    /// Print the answer as one line of JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to tell the scheduler.
    #[command(subcommand)]
    pub command: Command,
}

/// What to tell the scheduler.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show what the scheduler does, and what is wrong
    Status,
    /// Limit the workers, within the scheduler's options; what is not given stays as it is
    Scale(ScaleArgs),
    /// Launch nothing, and search nothing; workers keep their tasks and resources
    Pause {
        /// End the workers, too, so that their resources are free.
        #[arg(long)]
        release: bool,
    },
    /// End the pause
    Resume,
    /// End a task; another one may be launched in its place
    Kill {
        /// The task's id, such as miner-worker-7.
        task: String,
    },
    /// Launch nothing on an agent until it is allowed again, and end its tasks
    Avoid {
        /// The agent's id or host name.
        agent: String,
    },
    /// Launch tasks on an agent again
    Allow {
        /// The agent's id or host name, as `avoid` was given.
        agent: String,
    },
    /// End all tasks and the framework; the scheduler ends, too
    Teardown,
    /// Show the last commands: who has given them, and when
    Changes,
    /// Show what the scheduler logs, line by line, until Ctrl-C
    Events {
        /// Begin after the event with this id; without it, with the next event.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
}

/// The limits of workers.
#[derive(Clone, Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub struct ScaleArgs {
    /// Maximum number of workers, or none.
    #[arg(long, value_name = "N", value_parser = limit::<u64>)]
    pub max_workers: Option<Limit<u64>>,
    /// Maximum CPUs of all tasks together, including the server, or none.
    #[arg(long, value_name = "CPUS", value_parser = limit::<f64>)]
    pub max_cpus: Option<Limit<f64>>,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit<T> {
    /// This limit.
    Most(T),
    /// No limit but that of the scheduler's options.
    Cleared,
}

/// What a limit must be.
const NUMBER: &str = "write a number, or none";

fn limit<T: std::str::FromStr>(text: &str) -> Result<Limit<T>, String> {
    match text {
        "none" => Ok(Limit::Cleared),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => Err(NUMBER.to_owned()),
        _ => text.parse().map(Limit::Most).map_err(|_| NUMBER.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_command() {
        let args = Args::try_parse_from(["ctl", "scale", "--max-workers", "none", "--json"]).unwrap();
        assert!(args.json);
        let Command::Scale(scale) = args.command else { panic!("{:?}", args.command) };
        assert_eq!((scale.max_workers, scale.max_cpus), (Some(Limit::Cleared), None));
        assert!(Args::try_parse_from(["ctl", "scale"]).is_err(), "no limit is given");
        for wrong in ["--max-workers=many", "--max-workers=1.5", "--max-cpus=nan", "--max-cpus=inf"] {
            assert!(Args::try_parse_from(["ctl", "scale", wrong]).is_err(), "{wrong}");
        }
        assert!(Args::try_parse_from(["ctl", "--url", "ftp://h", "status"]).is_err());
    }
}
