//! One type for all services, and one for the bodies of all answers, so that the server is compiled once.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};

/// A future in a box.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An answer with its body in a box.
type Answer = Response<UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>>;

/// The answer as hyper takes it.
type Answered = Result<Answer, Infallible>;

/// A service in a box.
pub(crate) struct BoxService(Box<dyn Fn(Request<Incoming>) -> BoxFuture<Answered> + Send>);

impl BoxService {
    /// Puts a service, and the bodies of its answers, into boxes.
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Box::new(move |request| {
            let answer = service.call(request);
            Box::pin(async move { Ok(answer.await?.map(|body| body.map_err(Into::into).boxed_unsync())) })
        }))
    }
}

impl Service<Request<Incoming>> for BoxService {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<Answered>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        (self.0)(request)
    }
}
