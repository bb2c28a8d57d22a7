//! The HTTP paths of master and agents.
//!
//! Master: `/api/v1/scheduler`, `/state`, `/frameworks`, `/slaves`, `/health`, `/version`, `/metrics/snapshot`, all also
//! below `/master`. Agent: `/api/v1/executor`, `/state`, `/health`, `/version`, `/metrics/snapshot`, all also below
//! `/slave(1)`.

use super::message::{Members, Message, Pending};
use crate::encoding::{self, Encoding, NamedMessage};
use crate::http::{Reply, Request, STREAM_ID, data, header, text};
use crate::messages::VERSION;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

type Sender = mpsc::WeakUnboundedSender<Message>;

/// Answers a request to the master.
pub(super) async fn master(request: Request, sender: Sender) -> Reply {
    let path = request.uri().path();
    match path.strip_prefix("/master").unwrap_or(path) {
        "/api/v1/scheduler" => {
            let stream_id = header(&request, STREAM_ID).map(str::to_owned);
            let message = |call, pending| Message::SchedulerCall { call, stream_id, pending };
            call(&request, sender, message).await
        }
        "/health" => text(200, ""),
        "/version" => json_reply(&json!({"version": VERSION})),
        "/state" => view(&request, sender, |members| members.master.state_json()).await,
        "/frameworks" => view(&request, sender, |members| members.master.frameworks_json()).await,
        "/slaves" => {
            let slaves =
                |members: &Members| json!({"slaves": members.master.slaves_json(), "recovered_slaves": []});
            view(&request, sender, slaves).await
        }
        "/metrics/snapshot" => view(&request, sender, |members| members.master.metrics_json()).await,
        _ => text(404, ""),
    }
}

/// Answers a request to the agent with this index.
pub(super) async fn agent(agent: usize, request: Request, sender: Sender) -> Reply {
    let path = request.uri().path();
    match path.strip_prefix("/slave(1)").unwrap_or(path) {
        "/api/v1/executor" => {
            call(&request, sender, |call, pending| Message::ExecutorCall { agent, call, pending }).await
        }
        "/health" => text(200, ""),
        "/version" => json_reply(&json!({"version": VERSION})),
        "/state" => view(&request, sender, move |members| members.agents[agent].state_json()).await,
        "/metrics/snapshot" => json_reply(&json!({})),
        _ => text(404, ""),
    }
}

/// Passes a call to the core, and waits for its answer.
async fn call<T: NamedMessage>(
    request: &Request,
    sender: Sender,
    message: impl FnOnce(Box<T>, Pending) -> Message,
) -> Reply {
    let (encoding, call) = match encoding::read(request) {
        Ok(read) => read,
        Err((status, reason)) => return text(status, reason),
    };
    let (reply, answer) = oneshot::channel();
    let message = message(Box::new(call), Pending { encoding, reply });
    if sender.upgrade().is_none_or(|sender| sender.send(message).is_err()) {
        return unavailable();
    }
    answer.await.unwrap_or_else(|_| unavailable())
}

/// Answers a GET with a view of the members as JSON.
async fn view(
    request: &Request,
    sender: Sender,
    view: impl FnOnce(&Members) -> Value + Send + 'static,
) -> Reply {
    if request.method() != Method::GET {
        let received = request.method();
        return text(
            405,
            format!("405 Method Not Allowed. Expecting one of {{ 'GET' }}, but received '{received}'."),
        );
    }
    let Some(sender) = sender.upgrade() else { return unavailable() };
    inspect(&sender, view).await.map_or_else(unavailable, |value| json_reply(&value))
}

/// Calls `look` with master and agents, and returns its result; `None` after the cluster has ended.
pub(super) async fn inspect<T: Send + 'static>(
    sender: &mpsc::UnboundedSender<Message>,
    look: impl FnOnce(&Members) -> T + Send + 'static,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let look = Box::new(move |members: &Members| {
        // The caller may have stopped waiting.
        let _ = reply.send(look(members));
    });
    sender.send(Message::Inspect(look)).ok()?;
    answer.await.ok()
}

/// The answer while the cluster is ending.
fn unavailable() -> Reply {
    text(503, "Service unavailable")
}

fn json_reply(value: &Value) -> Reply {
    data(200, Encoding::Json.content_type(), value.to_string())
}
