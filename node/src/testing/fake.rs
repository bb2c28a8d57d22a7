//! A fake node on its own port; a test chooses the node's answers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use http_server::Limits;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::rpc::{Credentials, NodeUrl, RpcClient, RpcLimits};

/// A call that the node received.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub params: Value,
    pub path: String,
    pub authorization: Option<String>,
}

/// An HTTP answer.
pub struct Reply {
    pub status: u16,
    pub body: String,
}

impl Reply {
    pub fn result(result: Value) -> Self {
        Reply { status: 200, body: json!({"result": result, "error": null, "id": 1}).to_string() }
    }

    pub fn error(status: u16, code: i64, message: &str) -> Self {
        let error = json!({"code": code, "message": message});
        Reply { status, body: json!({"result": null, "error": error, "id": 1}).to_string() }
    }

    pub fn text(status: u16, body: &str) -> Self {
        Reply { status, body: body.to_owned() }
    }
}

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// A fake node, which answers until this value is dropped.
pub struct FakeNode {
    pub url: NodeUrl,
    calls: Arc<Mutex<Vec<Call>>>,
    _stop_on_drop: DropGuard,
}

impl FakeNode {
    pub async fn start<F>(handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/wallet/w", listener.local_addr().unwrap()).parse().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (stop, received) = (CancellationToken::new(), calls.clone());
        tokio::spawn(http_server::serve(listener, Limits::default(), stop.clone(), move |_| {
            let (handler, calls) = (handler.clone(), received.clone());
            let service = service_fn(move |request| answer(request, handler.clone(), calls.clone()));
            (service, std::future::pending())
        }));
        FakeNode { url, calls, _stop_on_drop: stop.drop_guard() }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn client(&self) -> RpcClient {
        self.client_as(Credentials::None)
    }

    pub fn client_as(&self, credentials: Credentials) -> RpcClient {
        RpcClient::new(self.url.clone(), credentials, RpcLimits::default()).unwrap()
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    calls: Arc<Mutex<Vec<Call>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get(AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let method = body["method"].as_str().unwrap().to_owned();
    let call = Call { method, params: body["params"].clone(), path, authorization };
    calls.lock().unwrap().push(call.clone());
    let reply = handler(call).await;
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status).unwrap();
    Ok(response)
}

/// Waits for a future, and fails the test if it takes too long.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("the deadline has passed")
}
