//! The HTTP server, and the answer to each path.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use http_server::Limits;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use text::printable_lines;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{JsonText, Monitored, QueryParameters, RequestError};

const LIMITS: Limits = Limits {
    connections: 64,
    head_timeout: Some(Duration::from_secs(10)),
    buffer: 16 << 10,
    batch_answers: false,
};
/// Maximum lifetime of a connection, so that no client occupies a connection for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// An HTTP server on a listening socket.
#[derive(Debug)]
pub struct Server<S> {
    listener: TcpListener,
    address: SocketAddr,
    program: S,
}

impl<S: Monitored> Server<S> {
    /// A server on a listening socket, whose address is `address`.
    pub fn new((listener, address): (TcpListener, SocketAddr), program: S) -> Self {
        Self { listener, address, program }
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Server { listener, program, .. } = self;
        http_server::serve(listener, LIMITS, stop, |_| {
            let program = program.clone();
            let service = service_fn(move |request| {
                let program = program.clone();
                async move { Ok(answer(&request, &program).await) }
            });
            (service, tokio::time::sleep(CONNECTION_TIMEOUT))
        })
        .await;
    }
}

/// The longest line of an answer for people, in characters.
const LONGEST_LINE: usize = 8192;

async fn answer<S: Monitored, B>(request: &Request<B>, program: &S) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let answered = match request.uri().path() {
        "/healthz" => Ok(match program.problem().await {
            None => match program.warning().await {
                None => text(StatusCode::OK, "ok\n".into()),
                Some(warning) => text(StatusCode::OK, format!("ok\nwarning: {warning}\n")),
            },
            Some(problem) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        }),
        "/api/v1/summary" => program.summary().await.map(json),
        "/metrics" => program
            .metrics()
            .await
            .map(|metrics| respond(StatusCode::OK, "text/plain; version=0.0.4", metrics.into_text().into())),
        path if S::PATHS.contains(&path) => program_path(request, program).await,
        _ => Err(RequestError::NotFound),
    };
    answered.unwrap_or_else(|error| match error {
        RequestError::NotFound => text(StatusCode::NOT_FOUND, paths::<S>()),
        RequestError::BadRequest(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        RequestError::Unavailable(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    })
}

/// The answer to one of the program's own paths.
async fn program_path<S: Monitored, B>(
    request: &Request<B>,
    program: &S,
) -> Result<Response<Full<Bytes>>, RequestError> {
    let uri = request.uri();
    let parameters = QueryParameters::parse(uri.query().unwrap_or_default())?;
    program.get(uri.path(), &parameters).await.map(json)
}

fn paths<S: Monitored>() -> String {
    let mut paths = vec!["/healthz", "/api/v1/summary"];
    paths.extend(S::PATHS);
    format!("there are {} and /metrics\n", paths.join(", "))
}

fn json(body: JsonText) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "application/json", body.into_bytes())
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    // What is wrong may be said with the words of peers, and an operator reads it on a terminal.
    respond(status, "text/plain; charset=utf-8", printable_lines(&body, LONGEST_LINE).into_owned().into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::Metrics;

    #[derive(Clone)]
    struct Fixed(Result<(), RequestError>);

    impl Monitored for Fixed {
        const PATHS: &'static [&'static str] = &["/api/v1/own"];

        async fn problem(&self) -> Option<String> {
            self.0.as_ref().err().map(|error| format!("{error:?}"))
        }

        async fn summary(&self) -> Result<JsonText, RequestError> {
            self.0.clone().map(|()| JsonText::from(&json!({"a": 1})))
        }

        async fn metrics(&self) -> Result<Metrics, RequestError> {
            self.0.clone().map(|()| Metrics::default())
        }

        async fn get(&self, path: &str, parameters: &QueryParameters) -> Result<JsonText, RequestError> {
            parameters.allow(&["x"])?;
            Ok(JsonText::from(&json!({"path": path, "x": parameters.get("x")})))
        }
    }

    async fn ask(program: &Fixed, method: Method, target: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        let response = answer(&request, program).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_path_has_its_answer() {
        let program = Fixed(Ok(()));
        let get = async |target| ask(&program, Method::GET, target).await;
        assert_eq!(get("/healthz").await, (200, "ok\n".into()));
        assert_eq!(get("/api/v1/summary").await, (200, "{\"a\":1}\n".into()));
        assert_eq!(get("/metrics").await, (200, String::new()));
        assert_eq!(get("/api/v1/own?x=2").await, (200, "{\"path\":\"/api/v1/own\",\"x\":\"2\"}\n".into()));
        assert_eq!(get("/api/v1/own?y=2").await.0, 400);
        assert_eq!(get("/api/v1/own?x=%").await.0, 400);
        let (status, paths) = get("/api/v1/other").await;
        assert_eq!(
            (status, paths.as_str()),
            (404, "there are /healthz, /api/v1/summary, /api/v1/own and /metrics\n")
        );
        assert_eq!(ask(&program, Method::POST, "/api/v1/own").await.0, 405);
    }

    #[tokio::test]
    async fn a_failed_request_is_answered_with_the_reason() {
        let program = Fixed(Err(RequestError::Unavailable("it starts".into())));
        for target in ["/api/v1/summary", "/metrics"] {
            assert_eq!(ask(&program, Method::GET, target).await, (503, "it starts\n".into()));
        }
        assert_eq!(ask(&program, Method::GET, "/healthz").await.0, 503);
    }
}
