//! The HTTP API of `mine`: what the miner does, for people and programs. It only reads.

mod lists;
mod metrics;
mod summary;

use api::{Program, RequestError, Resources};
use command_line::HttpSettings;
use logging::Level;
use series::SeriesHandle;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::status::MiningStatus;

/// The HTTP server of a miner. Dropping it ends the server at once.
#[derive(Debug)]
pub struct HttpServer {
    settings: HttpSettings,
    tasks: JoinSet<()>,
    stop: DropGuard,
}

impl HttpServer {
    /// Listens on the address of the settings, and says where.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn start(settings: HttpSettings, status: &MiningStatus) -> Result<Self, net::ListenError> {
        let listening = net::listen(&[settings.address]).await?;
        let server = api::Server::new(listening, status, settings.options.clone());
        let address = server.local_addr();
        logging::notice(Level::INFO, format_args!("HTTP on {}", settings.url(address)));
        if let Some(warning) = settings.open_listener(address) {
            logging::notice(Level::WARN, warning);
        }
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (sampled, ended) = (status.clone().sample(), stop.clone());
        tasks.spawn(async move {
            ended.run_until_cancelled(sampled).await;
        });
        tasks.spawn(server.run(stop.clone()));
        Ok(HttpServer { settings, tasks, stop: stop.drop_guard() })
    }

    /// Where and how the API is served.
    pub fn settings(&self) -> &HttpSettings {
        &self.settings
    }

    /// Ends the server. When this returns, all its connections are closed.
    pub async fn end(mut self) {
        drop(self.stop);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the HTTP server failed");
            }
        }
    }
}

impl Program for MiningStatus {
    async fn problem(&self) -> Option<String> {
        MiningStatus::problem(self)
    }

    async fn warning(&self) -> Option<String> {
        MiningStatus::warning(self)
    }

    async fn not_ready(&self) -> Option<String> {
        MiningStatus::not_ready(self)
    }

    async fn metrics(&self) -> Result<api::Metrics, RequestError> {
        Ok(metrics::of(&self.snapshot()))
    }

    fn series(&self) -> Option<SeriesHandle> {
        Some(MiningStatus::series(self).clone())
    }

    fn resources(&self) -> Resources {
        let own = resources().with_state(self.clone());
        match self.server() {
            Some(server) => own.merge(server.resources.clone()),
            None => own,
        }
    }
}

fn resources() -> Resources<MiningStatus> {
    Resources::new(include_str!("../../openapi.json"))
        .get("/api/v1/summary", summary::summary)
        .get("/api/v1/threads", lists::threads)
        .get("/api/v1/pools", lists::pools)
        .get("/api/v1/jobs", lists::jobs)
}

#[cfg(test)]
mod tests;
