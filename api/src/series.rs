//! `/api/v1/series`: figures over time.

use ::series::{Figures, Point, SeriesHandle, Step};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::bad;
use crate::{Json, QueryParameters, RequestError, Resources};

/// The figures that a client can choose among.
const FIGURES: [&str; 7] = ["hashrate", "workers", "accepted", "rejected", "stale", "unanswered", "blocks"];

/// The resource of a program that records a series.
pub(crate) fn resources() -> Resources<SeriesHandle> {
    Resources::new(include_str!("../openapi/series.json")).get("/api/v1/series", get_series)
}

/// Figures over time.
#[derive(Debug, Serialize, ToSchema)]
struct SeriesJson {
    /// The time from one point to the next, in seconds.
    step: u64,
    /// The points, the oldest first. The last one is not complete yet.
    points: Vec<PointJson>,
}

/// The figures of one step; `null` where none were recorded. Figures that were not asked for are missing.
#[derive(Debug, Serialize, ToSchema)]
struct PointJson {
    /// When the step begins, in seconds since 1970.
    at: u64,
    /// The mean hashrate in H/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    hashrate: Option<Option<f64>>,
    /// The number of workers at the end of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    workers: Option<Option<u64>>,
    /// Shares that were accepted in this step.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    accepted: Option<Option<u64>>,
    /// Shares that were rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    rejected: Option<Option<u64>>,
    /// Shares that were stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    stale: Option<Option<u64>>,
    /// Shares that were never answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    unanswered: Option<Option<u64>>,
    /// Blocks that were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    blocks: Option<Option<u64>>,
}

impl PointJson {
    fn new(point: &Point, asked: &[&str]) -> Self {
        let figures = point.figures.as_ref();
        let count = |name: &str, of: fn(&Figures) -> u64| asked.contains(&name).then(|| figures.map(of));
        PointJson {
            at: point.at,
            hashrate: asked.contains(&"hashrate").then(|| figures.map(|figures| figures.hashrate)),
            workers: count("workers", |figures| figures.workers),
            accepted: count("accepted", |figures| figures.counters.accepted),
            rejected: count("rejected", |figures| figures.counters.rejected),
            stale: count("stale", |figures| figures.counters.stale),
            unanswered: count("unanswered", |figures| figures.counters.unanswered),
            blocks: count("blocks", |figures| figures.counters.blocks),
        }
    }
}

/// Hashrate, workers, shares by verdict and blocks over time: every 10 s for an hour, every minute for a day, or every 15 minutes
/// for a month.
#[utoipa::path(
    get,
    path = "/api/v1/series",
    tag = "program",
    params(
        ("of" = Option<String>, Query,
            description = "Which figures, separated by commas: hashrate, workers, accepted, rejected, stale, unanswered, blocks; by \
                           default all.",
            pattern = "^(hashrate|workers|accepted|rejected|stale|unanswered|blocks)(,(hashrate|workers|accepted|rejected|stale|unanswered|blocks))*$"),
        ("step" = inline(Option<StepName>), Query, description = "The time between two points; by default 10s."),
    ),
    responses((status = 200, description = "The figures.", body = SeriesJson), RequestError)
)]
async fn get_series(
    State(series): State<SeriesHandle>,
    parameters: QueryParameters,
) -> Result<Json<SeriesJson>, RequestError> {
    parameters.allow(&["of", "step"])?;
    let step: Step = match parameters.get("step") {
        None => Step::TenSeconds,
        Some(text) => text.parse().map_err(|error| bad(format!("step: {error}")))?,
    };
    let asked = figures(parameters.get("of"))?;
    let points = series.with(|series| series.points(step));
    let points = points.iter().map(|point| PointJson::new(point, &asked)).collect();
    Ok(Json(SeriesJson { step: step.seconds(), points }))
}

/// The steps, as the parameter names them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only for the description")]
enum StepName {
    #[schema(rename = "10s")]
    TenSeconds,
    #[schema(rename = "1m")]
    Minute,
    #[schema(rename = "15m")]
    QuarterHour,
}

fn figures(of: Option<&str>) -> Result<Vec<&str>, RequestError> {
    let Some(of) = of else { return Ok(FIGURES.to_vec()) };
    let names: Vec<_> = of.split(',').collect();
    match names.iter().find(|name| !FIGURES.contains(name)) {
        None => Ok(names),
        Some(unknown) => {
            Err(bad(format!("of: {unknown:?} is not a figure: give some of {}", FIGURES.join(","))))
        }
    }
}

#[cfg(test)]
mod tests {
    use ::series::{Counters, Sample};
    use utoipa::OpenApi;

    use super::*;

    #[derive(OpenApi)]
    #[openapi(paths(get_series))]
    struct Described;

    #[test]
    fn openapi_describes_the_series() {
        let description = crate::describe(Described::openapi()).unwrap();
        testing::openapi::is_current("api/openapi/series.json", &resources().operations(), &description);
    }

    async fn ask(series: &SeriesHandle, query: &str) -> Result<String, RequestError> {
        let answer = get_series(State(series.clone()), QueryParameters::parse(query)?).await?;
        Ok(serde_json::to_string(&answer.0).unwrap())
    }

    #[tokio::test]
    async fn points_have_the_figures_that_were_asked_for_and_gaps_are_null() {
        let series = SeriesHandle::default();
        for (at, accepted) in [(1000, 1), (1020, 4)] {
            let counters = Counters { accepted, ..Counters::default() };
            series.with(|series| series.record(at, Sample { hashrate: 2.5, workers: 3, counters }));
        }
        assert_eq!(
            ask(&series, "of=hashrate,accepted").await.unwrap(),
            r#"{"step":10,"points":[{"at":1000,"hashrate":2.5,"accepted":0},{"at":1010,"hashrate":null,"accepted":null},{"at":1020,"hashrate":2.5,"accepted":3}]}"#
        );
        let all = ask(&series, "step=15m").await.unwrap();
        assert_eq!(
            all,
            r#"{"step":900,"points":[{"at":900,"hashrate":2.5,"workers":3,"accepted":3,"rejected":0,"stale":0,"unanswered":0,"blocks":0}]}"#
        );
        for (query, expected) in [
            ("of=size", "is not a figure"),
            ("of=", "is not a figure"),
            ("step=2s", "is not a step"),
            ("x=1", "unknown"),
        ] {
            let error = ask(&series, query).await.unwrap_err();
            assert!(error.detail().contains(expected), "{query}: {error:?}");
        }
    }
}
