//! Why a request failed, and how the client is told.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use text::escape_json;
use utoipa::openapi::{RefOr, Response as DescribedResponse};
use utoipa::{IntoResponses, ToSchema};

/// The media type of [`Problem`].
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// The longest text of an error, in characters: it may contain what a client has sent.
const LONGEST_DETAIL: usize = 8192;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The request is malformed, for this reason: 400.
    BadRequest(String),
    /// The request has no token, and needs one: 401.
    Unauthorized(String),
    /// The client may not do this, for this reason: 403.
    Forbidden(String),
    /// There is no such path, or no such thing, for this reason: 404.
    NotFound(String),
    /// The path knows other methods: 405.
    MethodNotAllowed(String),
    /// It contradicts the present state, for this reason: 409.
    Conflict(String),
    /// The body is too large: 413.
    TooLarge(String),
    /// The request is well-formed, but its values cannot be, for this reason: 422.
    Unprocessable(String),
    /// The program cannot answer now, for this reason: 503.
    Unavailable(String),
}

/// Problem details for HTTP APIs (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDetails<'a> {
    /// `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
}

impl RequestError {
    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            RequestError::BadRequest(_) => StatusCode::BAD_REQUEST,
            RequestError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            RequestError::Forbidden(_) => StatusCode::FORBIDDEN,
            RequestError::NotFound(_) => StatusCode::NOT_FOUND,
            RequestError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            RequestError::Conflict(_) => StatusCode::CONFLICT,
            RequestError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            RequestError::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            RequestError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The reason, in one sentence.
    pub fn detail(&self) -> &str {
        match self {
            RequestError::BadRequest(why)
            | RequestError::Unauthorized(why)
            | RequestError::Forbidden(why)
            | RequestError::NotFound(why)
            | RequestError::MethodNotAllowed(why)
            | RequestError::Conflict(why)
            | RequestError::TooLarge(why)
            | RequestError::Unprocessable(why)
            | RequestError::Unavailable(why) => why,
        }
    }
}

/// A response with problem details.
pub(crate) fn problem_response(status: StatusCode, detail: &str) -> Response {
    let cut = detail.char_indices().nth(LONGEST_DETAIL).map_or(detail, |(end, _)| &detail[..end]);
    let title = status.canonical_reason().unwrap_or("Error");
    let details = ProblemDetails { r#type: "about:blank", title, status: status.as_u16(), detail: cut };
    // Text and a number always have a JSON form.
    let json = serde_json::to_string(&details).unwrap_or_default();
    let mut response = (status, escape_json(&json).into_owned() + "\n").into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    response
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let mut response = problem_response(self.status(), self.detail());
        if let RequestError::Unauthorized(_) = self {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(hyper::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The errors that every resource may answer with. A resource names those further ones that it has; those of a change that needs
/// a token are added to its description.
impl IntoResponses for RequestError {
    fn responses() -> BTreeMap<String, RefOr<DescribedResponse>> {
        let documented = [
            (StatusCode::BAD_REQUEST, "The request is malformed."),
            (StatusCode::NOT_FOUND, "There is no such thing."),
            (StatusCode::SERVICE_UNAVAILABLE, "The program cannot answer now."),
        ];
        let described = |text| RefOr::T(DescribedResponse::new(text));
        documented.map(|(status, text)| (status.as_str().to_owned(), described(text))).into()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_error_is_problem_details() {
        let response = RequestError::Unauthorized("give\u{202e} a \"token\"".into()).into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "{\"type\":\"about:blank\",\"title\":\"Unauthorized\",\"status\":401,\
             \"detail\":\"give\\u202e a \\\"token\\\"\"}\n"
        );
    }
}
