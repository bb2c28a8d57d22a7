//! All resources of a program, and what all answers have in common.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::series::SeriesHandle;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use http_body_util::{BodyExt, Limited};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request};
use tower_service::Service;

use crate::error::{PROBLEM_JSON, problem_response};
use crate::program::AnyProgram;
use crate::resources::Operation;
use crate::{JsonText, Program, QueryParameters, RequestError, Resources, common, description, series};

/// The largest body of a request, in bytes.
const LARGEST_BODY: usize = 64 << 10;

/// The headers of all answers. They are for programs and change all the time, and no browser is to run anything in them.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
];

/// The resources of a program. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Api(Router);

impl Api {
    /// The API of a program.
    pub fn new<P: Program>(program: &P) -> Self {
        Api::of(Arc::new(program.clone()), program.series(), program.resources())
    }

    fn of(program: AnyProgram, series: Option<SeriesHandle>, own: Resources) -> Self {
        let mut all = common::resources().with_state(program).merge(own);
        if let Some(series) = series {
            all = all.merge(series::resources().with_state(series));
        }
        let (router, mut operations, mut parts) = all.into_parts();
        // The description contains itself.
        let (itself, more, part) = description_resource().into_parts();
        operations.extend(more);
        parts.extend(part);
        let not_found = RequestError::NotFound(paths(&operations));
        let router = router
            .merge(itself.with_state(JsonText::new(&description::join(&parts))))
            .fallback(move || std::future::ready(not_found.clone()))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(DefaultBodyLimit::max(LARGEST_BODY));
        Api(router)
    }

    /// The answer to a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let is_head = request.method() == Method::HEAD;
        let Ok(response) = self.0.clone().call(request).await;
        let mut response = if is_head { response } else { with_problem_details(response).await };
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    }
}

fn description_resource() -> Resources<JsonText> {
    Resources::new(include_str!("../openapi/openapi.json")).get("/api/v1/openapi.json", openapi)
}

/// What there is, as OpenAPI 3.1 describes it.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "program",
    responses((status = 200, description = "The description.", body = serde_json::Value), RequestError)
)]
async fn openapi(
    State(description): State<JsonText>,
    parameters: QueryParameters,
) -> Result<JsonText, RequestError> {
    parameters.allow(&[])?;
    Ok(description)
}

fn paths(operations: &[Operation]) -> String {
    let paths: BTreeSet<_> = operations.iter().map(|(_, path)| *path).collect();
    format!("there are {}", paths.into_iter().collect::<Vec<_>>().join(", "))
}

async fn method_not_allowed() -> RequestError {
    RequestError::MethodNotAllowed("the header Allow names the methods of this path".to_owned())
}

/// The longest text of an error that axum's extractors may give, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Errors of axum's own extractors are plain text: the response with problem details in its place.
async fn with_problem_details(response: Response) -> Response {
    let is_ours = |kind: &HeaderValue| kind.as_bytes() == PROBLEM_JSON.as_bytes();
    if !response.status().is_client_error() || response.headers().get(CONTENT_TYPE).is_some_and(is_ours) {
        return response;
    }
    let status = response.status();
    let text = Limited::new(response.into_body(), LONGEST_TEXT).collect().await;
    let text = text.map(|text| String::from_utf8_lossy(&text.to_bytes()).into_owned()).unwrap_or_default();
    problem_response(status, text.trim_end())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Path;
    use serde_json::{Value, json};

    use utoipa::OpenApi;

    use super::*;
    use crate::{Json, Metrics, describe};

    #[derive(OpenApi)]
    #[openapi(paths(openapi))]
    struct Described;

    #[test]
    fn openapi_describes_itself() {
        let description = describe(Described::openapi()).unwrap();
        let operations = description_resource().operations();
        testing::openapi::is_current("api/openapi/openapi.json", &operations, &description);
    }

    #[derive(Clone)]
    struct Fixed(Result<(), RequestError>);

    impl Program for Fixed {
        async fn problem(&self) -> Option<String> {
            self.0.as_ref().err().map(|error| format!("{error:?}"))
        }

        async fn not_ready(&self) -> Option<String> {
            self.0.as_ref().err().map(|error| error.detail().to_owned())
        }

        async fn metrics(&self) -> Result<Metrics, RequestError> {
            self.0.clone().map(|()| Metrics::default())
        }

        fn resources(&self) -> Resources {
            Resources::new(r#"{"paths": {"/api/v1/own": {}, "/api/v1/own/{number}": {}}}"#)
                .get("/api/v1/own", own)
                .put("/api/v1/own", put)
                .get("/api/v1/own/{number}", numbered)
                .with_state(self.clone())
        }
    }

    async fn own(
        State(program): State<Fixed>,
        parameters: QueryParameters,
    ) -> Result<JsonText, RequestError> {
        parameters.allow(&["x"])?;
        program.0?;
        Ok(JsonText::from(&json!({"x": parameters.get("x")})))
    }

    async fn put(Json(value): Json<Value>) -> Json<Value> {
        Json(value)
    }

    async fn numbered(Path(number): Path<u32>) -> Json<u32> {
        Json(number)
    }

    async fn respond(program: &Fixed, method: Method, target: &str, body: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        Api::new(program).answer(request).await
    }

    async fn ask(program: &Fixed, method: Method, target: &str) -> (u16, String) {
        let response = respond(program, method, target, "").await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_path_has_its_answer() {
        let program = Fixed(Ok(()));
        let get = async |target| ask(&program, Method::GET, target).await;
        assert_eq!(get("/healthz").await, (200, "ok\n".into()));
        assert_eq!(get("/readyz").await, (200, "ready\n".into()));
        assert_eq!(get("/metrics").await, (200, String::new()));
        assert_eq!(get("/api/v1/own?x=2").await, (200, "{\"x\":\"2\"}\n".into()));
        assert_eq!(get("/api/v1/own?y=2").await.0, 400);
        assert_eq!(get("/api/v1/own?x=%").await.0, 400);
        let (status, body) = get("/api/v1/openapi.json").await;
        let description: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &description["openapi"]), (200, &json!("3.1.0")));
        let paths: Vec<_> = description["paths"].as_object().unwrap().keys().collect();
        let all = [
            "/api/v1/events",
            "/api/v1/openapi.json",
            "/api/v1/own",
            "/api/v1/own/{number}",
            "/healthz",
            "/metrics",
            "/readyz",
        ];
        assert_eq!(paths, all);
        let (status, body) = get("/api/v1/other").await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["detail"]), (404, &format!("there are {}", all.join(", ")).into()));
    }

    #[tokio::test]
    async fn a_failed_request_is_answered_with_the_reason() {
        let program = Fixed(Err(RequestError::Unavailable("it starts".into())));
        for target in ["/api/v1/own", "/metrics"] {
            let (status, body) = ask(&program, Method::GET, target).await;
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((status, &problem["detail"]), (503, &json!("it starts")));
        }
        assert_eq!(ask(&program, Method::GET, "/healthz").await.0, 503);
        assert_eq!(ask(&program, Method::GET, "/readyz").await, (503, "it starts\n".into()));
    }

    #[tokio::test]
    async fn all_errors_are_problem_details_and_all_answers_have_the_headers() {
        let program = Fixed(Ok(()));
        let long = format!("\"{}\"", "x".repeat(LARGEST_BODY));
        for (method, target, body, status) in [
            (Method::GET, "/api/v1/own", "", 200),
            (Method::PUT, "/api/v1/own", "7", 200),
            (Method::PUT, "/api/v1/own", "{", 400),
            (Method::PUT, "/api/v1/own", &long, 413),
            (Method::POST, "/api/v1/own", "", 405),
            (Method::TRACE, "/healthz", "", 405),
            (Method::GET, "/api/v1/own/7", "", 200),
            (Method::GET, "/api/v1/own/x", "", 400),
            (Method::GET, "/api/v1/own/%ff", "", 400),
            (Method::GET, "/healthz/", "", 404),
            (Method::POST, "/../etc/passwd", "", 404),
        ] {
            let response = respond(&program, method.clone(), target, body).await;
            let headers = response.headers().clone();
            assert_eq!(response.status(), status, "{method} {target}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["content-security-policy"], "default-src 'none'");
            assert_eq!(headers.contains_key("allow"), status == 405, "{method} {target}");
            if status != 200 {
                assert_eq!(headers["content-type"], PROBLEM_JSON, "{method} {target}");
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let problem: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(problem["status"], status);
                assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
            }
        }
        let head = respond(&program, Method::HEAD, "/healthz", "").await;
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &HeaderValue::from(3)));
    }
}
