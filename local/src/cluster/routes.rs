//! Which path asks for what.
//!
//! Master: `/api/v1/scheduler`, `/api/v1`, `/state`, `/frameworks`, `/slaves`, `/health`,
//! `/metrics/snapshot`, `/version`, all but the last two also below `/master`. Agent: `/api/v1/executor`,
//! `/api/v1`, `/state`, `/health`, all also below `/slave(1)`.

use super::message::{Message, Party, Pending};
use super::parts::Parts;
use crate::http::wire::{self, Named, Wire};
use crate::http::{Handler, Reply, Request};
use crate::link::Answer;
use crate::master::{self, VERSION};
use crate::operator;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

type Sender = mpsc::WeakUnboundedSender<Message>;

/// Answers the requests of one party.
pub(super) fn handler(party: Party, sender: Sender) -> Handler {
    Arc::new(move |request| {
        let sender = sender.clone();
        Box::pin(async move {
            match party {
                Party::Master => master(request, sender).await,
                Party::Agent(place) => agent(place, request, sender).await,
            }
        })
    })
}

async fn master(request: Request, sender: Sender) -> Reply {
    let path = request.path.strip_prefix("/master").unwrap_or(&request.path).to_owned();
    match path.as_str() {
        "/api/v1/scheduler" => {
            let stream_id = request.stream_id.clone();
            let call = |call, pending| Message::Scheduler { call, stream_id, pending };
            call_of(wire::read(&request), sender, call).await
        }
        "/api/v1" => {
            let call = wire::read::<operator::master::Call>(&request);
            if call.as_ref().is_ok_and(|(_, call)| master::is_change(call)) {
                return call_of(call, sender, |call, pending| Message::Operator { call, pending }).await;
            }
            operate(call, sender, |parts, call| parts.master().map(|master| master.operator(call))).await
        }
        "/health" => Reply::text(200, ""),
        "/version" => json_reply(&json!({"version": VERSION})),
        "/state" => look(request, sender, |parts| Some(parts.master()?.state_json(false))).await,
        "/frameworks" => look(request, sender, |parts| Some(parts.master()?.state_json(true))).await,
        "/slaves" => {
            look(request, sender, |parts| {
                Some(json!({"slaves": parts.master()?.slaves_json(), "recovered_slaves": []}))
            })
            .await
        }
        "/metrics/snapshot" => look(request, sender, |parts| Some(parts.master()?.metrics_json())).await,
        _ => Reply::text(404, ""),
    }
}

async fn agent(place: usize, request: Request, sender: Sender) -> Reply {
    let path = request.path.strip_prefix("/slave(1)").unwrap_or(&request.path).to_owned();
    match path.as_str() {
        "/api/v1/executor" => {
            call_of(wire::read(&request), sender, |call, pending| Message::Executor { place, call, pending })
                .await
        }
        "/api/v1" => {
            let call = wire::read::<operator::agent::Call>(&request);
            operate(call, sender, move |parts, call| parts.agent(place).map(|agent| agent.operator(call)))
                .await
        }
        "/health" => Reply::text(200, ""),
        "/version" => json_reply(&json!({"version": VERSION})),
        "/state" => look(request, sender, move |parts| Some(parts.agent(place)?.state_json())).await,
        "/metrics/snapshot" => json_reply(&json!({})),
        _ => Reply::text(404, ""),
    }
}

/// Hands a call to the core and waits for its answer.
async fn call_of<T: Named>(
    call: Result<(Wire, T), Reply>,
    sender: Sender,
    message: impl FnOnce(Box<T>, Pending) -> Message,
) -> Reply {
    let (wire, call) = match call {
        Ok(read) => read,
        Err(refusal) => return refusal,
    };
    let (reply, answer) = oneshot::channel();
    let sent = sender.upgrade().map(|sender| sender.send(message(Box::new(call), Pending { wire, reply })));
    if !matches!(sent, Some(Ok(()))) {
        return gone();
    }
    answer.await.unwrap_or_else(|_| gone())
}

/// The cluster, or this part of it, is ending.
fn gone() -> Reply {
    Reply::text(503, "Service unavailable")
}

/// Has a function look at master and agents.
async fn ask<T: Send + 'static>(
    sender: Sender,
    look: impl FnOnce(&Parts) -> Option<T> + Send + 'static,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let look = Box::new(move |parts: &Parts| {
        // The peer may have gone: then nobody needs it.
        let _ = reply.send(look(parts));
    });
    sender.upgrade()?.send(Message::Look(look)).ok()?;
    answer.await.ok().flatten()
}

async fn operate<C: Named + Send + 'static, R: Named + Send + 'static>(
    call: Result<(Wire, C), Reply>,
    sender: Sender,
    operator: impl FnOnce(&Parts, &C) -> Option<Result<R, Answer>> + Send + 'static,
) -> Reply {
    let (wire, call) = match call {
        Ok(read) => read,
        Err(refusal) => return refusal,
    };
    match ask(sender, move |parts| operator(parts, &call)).await {
        Some(Ok(response)) => Reply::data(200, wire.content_type(), wire.encode(&response)),
        Some(Err(Answer::Refused(status, message))) => Reply::text(status, message),
        Some(Err(_)) | None => gone(),
    }
}

async fn look(
    request: Request,
    sender: Sender,
    view: impl FnOnce(&Parts) -> Option<Value> + Send + 'static,
) -> Reply {
    if request.method != Method::GET {
        let what = format!(
            "405 Method Not Allowed. Expecting one of {{ 'GET' }}, but received '{}'.",
            request.method
        );
        return Reply::text(405, what);
    }
    ask(sender, view).await.map_or_else(gone, |value| json_reply(&value))
}

fn json_reply(value: &Value) -> Reply {
    Reply::data(200, Wire::Json.content_type(), value.to_string().into_bytes())
}
