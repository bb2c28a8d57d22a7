//! The HTTP API of `mine`: what the miner does, for people and programs. It only reads.

mod lists;
mod metrics;
mod summary;

use api::{Program, RequestError, Resources};
use series::SeriesHandle;

use super::status::MiningStatus;

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
