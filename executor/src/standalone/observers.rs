//! Who is told what a miner does: those who ask over HTTP, and Graphite.

use anyhow::Context;
use api::MetricsSource;
use command_line::{HttpSettings, UsageError};
use logging::Level;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::status::MiningStatus;
use crate::cli::MineArgs;

/// The HTTP server of a miner and its sender to Graphite, as far as they are wanted. Dropping it ends both at once.
#[derive(Debug)]
pub struct Observers {
    http: Option<HttpSettings>,
    tasks: JoinSet<()>,
    stop: DropGuard,
}

impl Observers {
    /// Starts what the options want; says where the HTTP server listens.
    ///
    /// # Errors
    /// If an option is invalid, or nothing can listen on the address.
    pub async fn start(args: &MineArgs, status: &MiningStatus) -> anyhow::Result<Self> {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let http = args.http.read().map_err(|error| UsageError(format!("{error:#}")))?;
        if let Some(settings) = &http {
            let server = listen(settings, status).await.context("--http")?;
            tasks.spawn(server.run(stop.clone()));
        }
        if let Some(settings) = args.graphite.settings("mine") {
            tasks.spawn(graphite::send(settings, MetricsSource::new(status), stop.clone()));
        }
        // Hashrates are measured only for those who see them.
        if !tasks.is_empty() {
            let (sampled, ended) = (status.clone().sample(), stop.clone());
            tasks.spawn(async move {
                ended.run_until_cancelled(sampled).await;
            });
        }
        Ok(Observers { http, tasks, stop: stop.drop_guard() })
    }

    /// Where and how the API is served, if it is.
    pub fn http(&self) -> Option<&HttpSettings> {
        self.http.as_ref()
    }

    /// Ends all of it. When this returns, all connections are closed.
    pub async fn end(mut self) {
        drop(self.stop);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the HTTP server, or the sender to Graphite, failed");
            }
        }
    }
}

async fn listen(settings: &HttpSettings, status: &MiningStatus) -> Result<api::Server, net::ListenError> {
    let listening = net::listen(&[settings.address]).await?;
    let server = api::Server::new(listening, status, settings.options.clone());
    let address = server.local_addr();
    logging::notice(Level::INFO, format_args!("HTTP on {}", settings.url(address)));
    if let Some(warning) = settings.open_listener(address) {
        logging::notice(Level::WARN, warning);
    }
    Ok(server)
}
