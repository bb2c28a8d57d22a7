//! JSON in answers and in bodies of requests.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use text::escape_json;

use crate::RequestError;

/// JSON text that ends with a line feed. Clones share the text, so that many clients can get the same answer cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(Bytes);

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self::new(value)
    }
}

impl JsonText {
    /// The JSON of a value. A value that has none, such as a map whose keys are no strings, is `null`.
    pub fn new(value: &impl Serialize) -> Self {
        let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()) + "\n";
        Self(escape_json(&json).into_owned().into())
    }

    /// The text.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Never: the text was serialized from a value.
    pub fn parse(&self) -> serde_json::Result<Value> {
        serde_json::from_slice(&self.0)
    }
}

impl IntoResponse for JsonText {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Makes an answer on a thread of its own: to collect, sort and write many rows must not keep others waiting. What makes it is
/// boxed, so that this is compiled once for all that make the same.
///
/// # Errors
/// Those of `make`.
pub async fn off_runtime<T: Send + 'static>(
    make: Box<dyn FnOnce() -> Result<T, RequestError> + Send>,
) -> Result<T, RequestError> {
    let made = tokio::task::spawn_blocking(make).await;
    made.unwrap_or_else(|error| Err(RequestError::Unavailable(format!("the answer failed: {error}"))))
}

/// A value as JSON: the answer to a request, or the body of one.
///
/// As the body of a request, it must have the media type `application/json`. A body that is no JSON is answered 400, and one of
/// another form 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        JsonText::new(&self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let text =
                format!("the body is {kind:?}: give JSON, with the header Content-Type: application/json");
            return Err(RequestError::BadRequest(text));
        }
        let body = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => RequestError::TooLarge(error.body_text()),
            _ => RequestError::BadRequest(error.body_text()),
        })?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Json(value)),
            Err(error) if error.is_data() => Err(RequestError::Unprocessable(format!("the body: {error}"))),
            Err(error) => Err(RequestError::BadRequest(format!("the body is not JSON: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::body::Body;

    use super::*;

    async fn read(kind: &str, body: &'static str) -> Result<BTreeMap<String, u32>, RequestError> {
        let request = Request::builder().header(CONTENT_TYPE, kind).body(Body::from(body)).unwrap();
        Json::from_request(request, &()).await.map(|Json(value)| value)
    }

    #[tokio::test]
    async fn a_body_is_json_of_the_right_form() {
        assert_eq!(read("application/json; charset=utf-8", r#"{"a":1}"#).await, Ok([("a".into(), 1)].into()));
        let status = async |kind, body| read(kind, body).await.map_err(|error| error.status().as_u16());
        assert_eq!(status("text/plain", r#"{"a":1}"#).await, Err(400));
        assert_eq!(status("application/json", r#"{"a":"#).await, Err(400));
        assert_eq!(status("application/json", r#"{"a":-1}"#).await, Err(422));
    }
}
