//! `/api/v1/events`: the log as server-sent events.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::Method;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use logging::events::{EVENTS, Subscription};
use tokio::time::{Interval, interval_at};

use crate::link::{Link, STREAMS, StreamSlot};
use crate::query::bad;
use crate::{QueryParameters, RequestError};

/// How often a line comes, even if there are no events, so that whoever is between both ends sees that the stream lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// The most events that are sent together.
const TOGETHER: usize = 50;
/// The header in which a browser says where to resume.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The log as it is written, as server-sent events.
///
/// Each event is a line of the log of level info, warn or error, as JSON; its id rises by one from event to event. The stream
/// begins with the next event, or after the one whose id is given. The last 1,000 events are kept (1 MiB at most): if ids are
/// missing, events were lost in between. A client that reads so slowly that its next event is not kept any more is cut off.
/// At most 32 streams are open at once; they do not count for the limit of other connections.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "program",
    params(
        ("after" = Option<u64>, Query, description = "Begin after the event with this id."),
        ("Last-Event-ID" = Option<u64>, Header, description = "The same, as browsers say it when they resume."),
    ),
    responses(
        (status = 200, description = "The events.", body = String, content_type = "text/event-stream"),
        RequestError,
    )
)]
pub(crate) async fn events(
    link: Link,
    method: Method,
    headers: HeaderMap,
    parameters: QueryParameters,
) -> Result<Response, RequestError> {
    parameters.allow(&["after"])?;
    let after = begin_after(&headers, &parameters)?;
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let Some(slot) = link.become_stream() else {
            let why = format!("{STREAMS} streams of events are open, and there cannot be more");
            return Err(RequestError::Unavailable(why));
        };
        body(EVENTS.subscribe(after), slot)
    };
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn begin_after(headers: &HeaderMap, parameters: &QueryParameters) -> Result<Option<u64>, RequestError> {
    let header = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    // What a client says when it resumes is newer than the address with which it began.
    let Some(id) = header.or(parameters.get("after")) else { return Ok(None) };
    id.parse().map(Some).map_err(|_| bad(format!("{id:?} is not the id of an event: give a number")))
}

struct Stream {
    events: Subscription,
    comments: Interval,
    _slot: StreamSlot,
}

fn body(events: Subscription, slot: StreamSlot) -> Body {
    // A client that reads nothing keeps the server from asking the stream for more.
    slot.close_on(events.fell_behind());
    let comments = interval_at(tokio::time::Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    let frames = stream::unfold(Stream { events, comments, _slot: slot }, async |mut stream| {
        let text = tokio::select! {
            events = stream.events.next(TOGETHER) => {
                let events = events?;
                stream.comments.reset();
                events.iter().map(|event| format!("id: {}\ndata: {}\n\n", event.id, event.json)).collect()
            }
            _ = stream.comments.tick() => ": nothing new\n\n".to_owned(),
        };
        Some((Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(text))), stream))
    });
    Body::new(StreamBody::new(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_comes_before_the_parameter() {
        let header = |id: &'static str| HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(id))]);
        let query = QueryParameters::parse("after=5").unwrap();
        assert_eq!(begin_after(&HeaderMap::new(), &QueryParameters::default()), Ok(None));
        assert_eq!(begin_after(&HeaderMap::new(), &query), Ok(Some(5)));
        assert_eq!(begin_after(&header("7"), &query), Ok(Some(7)));
        for wrong in ["x", "-1", "", "1.5"] {
            assert!(begin_after(&header(wrong), &query).is_err(), "{wrong}");
        }
    }
}
