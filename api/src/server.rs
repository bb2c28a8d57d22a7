//! The HTTP server of a program's API.

use std::net::SocketAddr;
use std::time::Duration;

use http_server::Limits;
use hyper::service::service_fn;
use logging::events::EVENTS;
use net::ServerTls;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::link::{Link, Shared};
use crate::router::Api;
use crate::{Program, Tokens};

const LIMITS: Limits = Limits {
    connections: 64,
    head_timeout: Some(Duration::from_secs(10)),
    buffer: 16 << 10,
    batch_answers: false,
};

/// What a server has beside its program's resources.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Who may change something; `None`: nobody.
    pub tokens: Option<Tokens>,
    /// The certificate for `https`; `None`: connections are not encrypted.
    pub tls: Option<ServerTls>,
}

/// An HTTP server on a listening socket.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    api: Api,
    options: Options,
}

impl Server {
    /// A server on a listening socket, whose address is `address`.
    pub fn new<P: Program>(
        (listener, address): (TcpListener, SocketAddr),
        program: &P,
        options: Options,
    ) -> Self {
        EVENTS.keep();
        crate::metrics::started();
        Self { listener, address, api: Api::new(program), options }
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Server { listener, api, options: Options { tokens, tls, .. }, .. } = self;
        let shared = Shared::new(tokens);
        http_server::serve_connections(listener, tls, LIMITS, stop, |_, connection| {
            let (api, link) = (api.clone(), Link::new(connection, shared.clone()));
            let ended = link.clone().ended();
            let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(link.clone());
                let api = api.clone();
                async move { Ok(api.answer(request).await) }
            });
            (service, ended)
        })
        .await;
    }
}
