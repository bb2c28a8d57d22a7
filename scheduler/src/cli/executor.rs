//! Options for where agents get the executor.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::artifact::{ArtifactAddress, ListenAt, ToldAddress, listen_at, told_address};
use crate::config::ExecutorSource;
use crate::task_info::{Containerizer, Delivery};

/// Where agents get the executor.
#[derive(Clone, Debug, Args)]
pub struct ExecutorArgs {
    /// HOST or HOST:PORT at which agents fetch the executor from this scheduler [default: this machine's address on the route to
    /// the master, and the port of --artifact-listen].
    #[arg(long, value_name = "HOST[:PORT]", env = "MINER_ARTIFACT_ADDRESS", value_parser = told_address)]
    pub artifact_address: Option<ToldAddress>,
    /// ADDRESS or ADDRESS:PORT of this machine to serve the executor on. Needed if agents reach this machine at another address,
    /// because it is behind NAT, or in a container whose port is published [default: the address of --artifact-address, and its
    /// port or else any free port].
    #[arg(long, value_name = "ADDRESS[:PORT]", env = "MINER_ARTIFACT_LISTEN", value_parser = listen_at)]
    pub artifact_listen: Option<ListenAt>,
    /// Serve this file to agents as the executor, instead of this program: a build for their machines, or a stripped one.
    #[arg(long, value_name = "FILE", env = "MINER_EXECUTOR_FILE", group = "source")]
    pub executor_file: Option<PathBuf>,
    /// The URI from which agents fetch the executor. An archive (.tar.gz, .tgz, .tar, .tar.bz2, .tar.xz or .zip) is unpacked and
    /// must have mesos-miner at its top.
    #[arg(long, value_name = "URI", env = "MINER_EXECUTOR_URI", hide_env_values = true, group = "source")]
    #[arg(value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["artifact_address", "artifact_listen"])]
    pub executor_uri: Option<String>,
    /// The executor's path on every agent; nothing is fetched.
    #[arg(long, value_name = "PATH", env = "MINER_EXECUTOR_PATH", group = "source")]
    #[arg(value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["artifact_address", "artifact_listen"])]
    pub executor_path: Option<String>,
    /// Container image with the executor as its entry point; nothing is fetched.
    #[arg(long, value_name = "IMAGE", env = "MINER_EXECUTOR_IMAGE", group = "source")]
    #[arg(value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["artifact_address", "artifact_listen"])]
    pub executor_image: Option<String>,
    /// The containerizer that runs --executor-image.
    #[arg(long, env = "MINER_CONTAINERIZER", value_enum, default_value = "docker")]
    pub containerizer: Containerizer,
}

impl ExecutorArgs {
    /// Where agents get the executor. `this_program` is called only if this program is to be served.
    pub(super) fn source(
        self,
        this_program: impl FnOnce() -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<ExecutorSource> {
        let delivery = match (self.executor_uri, self.executor_path, self.executor_image) {
            (Some(uri), _, _) => Delivery::Fetch { uri, cache: false },
            (_, Some(path), _) => Delivery::Path(path),
            (_, _, Some(image)) => Delivery::Image { image, containerizer: self.containerizer },
            _ => {
                let executable = self.executor_file.map_or_else(this_program, readable)?;
                let address = ArtifactAddress::new(self.artifact_address, self.artifact_listen)?;
                return Ok(ExecutorSource::Serve { executable, address });
            }
        };
        Ok(ExecutorSource::Provided(delivery))
    }
}

/// The file of `--executor-file`, if it can be served.
fn readable(path: PathBuf) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    let metadata = File::open(&path).and_then(|file| file.metadata());
    let metadata = metadata.with_context(|| format!("cannot read --executor-file {shown}"))?;
    ensure!(metadata.is_file(), "--executor-file {shown} is not a file");
    Ok(path)
}
