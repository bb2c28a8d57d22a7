//! The resources that all programs have.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use text::printable_lines;

use crate::events::events;
use crate::metrics::Format;
use crate::program::AnyProgram;
use crate::{RequestError, Resources};

/// The longest line of an answer for people, in characters.
const LONGEST_LINE: usize = 8192;

/// Health, readiness, metrics and events of a program. The first three take any parameters, since monitoring may add some.
pub(crate) fn resources() -> Resources<AnyProgram> {
    Resources::new(include_str!("../openapi/program.json"))
        .get("/healthz", healthz)
        .get("/readyz", readyz)
        .get("/metrics", metrics)
        .get("/api/v1/events", events)
}

/// Whether the program is healthy.
///
/// In one line, and in a second one with a warning while something is wrong although the program does its work.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "program",
    responses(
        (status = 200, description = "It is.", body = String, content_type = "text/plain"),
        (status = 503, description = "The problem.", body = String, content_type = "text/plain"),
    )
)]
async fn healthz(State(program): State<AnyProgram>) -> Response {
    match program.problem().await {
        None => match program.warning().await {
            None => plain(StatusCode::OK, "ok\n"),
            Some(warning) => plain(StatusCode::OK, &format!("ok\nwarning: {warning}\n")),
        },
        Some(problem) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{problem}\n")),
    }
}

/// Whether the program can do its work now.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "program",
    responses(
        (status = 200, description = "It can.", body = String, content_type = "text/plain"),
        (status = 503, description = "What it waits for.", body = String, content_type = "text/plain"),
    )
)]
async fn readyz(State(program): State<AnyProgram>) -> Response {
    match program.not_ready().await {
        None => plain(StatusCode::OK, "ready\n"),
        Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
    }
}

/// Figures for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "program",
    responses(
        (
            status = 200,
            description = "The figures: OpenMetrics if the header Accept names it, else the text format 0.0.4.",
            content((String = "text/plain"), (String = "application/openmetrics-text"))
        ),
        (status = 503, description = "The program cannot answer now."),
    )
)]
async fn metrics(State(program): State<AnyProgram>, headers: HeaderMap) -> Result<Response, RequestError> {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(accepted);
    let text = program.metrics().await?.written(format)?;
    Ok(typed(format.content_type(), text))
}

/// Text for people. It may be said with the words of peers, and an operator reads it on a terminal.
fn plain(status: StatusCode, text: &str) -> Response {
    let text = printable_lines(text, LONGEST_LINE).into_owned();
    (status, typed("text/plain; charset=utf-8", text)).into_response()
}

fn typed(content_type: &'static str, text: String) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;
    use crate::describe;
    use crate::error::ProblemDetails;
    use crate::events::__path_events;

    #[derive(OpenApi)]
    #[openapi(paths(healthz, readyz, metrics, events), components(schemas(ProblemDetails<'static>)))]
    struct Described;

    #[test]
    fn openapi_describes_what_all_programs_have() {
        let description = describe(Described::openapi()).unwrap();
        testing::openapi::is_current("api/openapi/program.json", &resources().operations(), &description);
    }
}
