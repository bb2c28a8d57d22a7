//! One connection to a pool.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use stratum::connection::POOL_LINE_LIMIT;
use stratum::{Connection, Message, PoolUrl, ReadError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, trace};

use super::{MinerError, check_scheme};

/// Time to connect, name lookup included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the pool to take what we send.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer, or a middlebox that forgot the connection, is noticed after about this time plus three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A connection whose errors name the pool.
pub(super) struct Link {
    pool: PoolUrl,
    connection: Connection<TcpStream>,
}

impl Link {
    pub async fn connect(pool: &PoolUrl) -> Result<Link, MinerError> {
        check_scheme(pool)?;
        let connecting = TcpStream::connect((pool.host.as_str(), pool.port));
        let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => {
                connected.map_err(|source| MinerError::Connect { pool: pool.clone(), source })?
            }
            Err(_) => return Err(MinerError::ConnectTimeout { pool: pool.clone(), after: CONNECT_TIMEOUT }),
        };
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
        // Both only make a good connection better.
        if let Err(error) =
            SockRef::from(&stream).set_tcp_keepalive(&keepalive).and_then(|()| stream.set_nodelay(true))
        {
            debug!(%error, "can't set socket options");
        }
        Ok(Link { pool: pool.clone(), connection: Connection::new(stream, POOL_LINE_LIMIT) })
    }

    /// The next message that can be read. Cancel-safe.
    pub async fn read(&mut self) -> Result<Message, MinerError> {
        loop {
            match self.connection.read().await {
                Ok(Some(message)) => {
                    trace!(target: "protocol", "< {}", message.to_line());
                    return Ok(message);
                }
                Ok(None) => return Err(MinerError::Closed { pool: self.pool.clone() }),
                Err(ReadError::Message(error)) => {
                    debug!(pool = %self.pool, %error, "a line that is no message")
                }
                Err(source) => return Err(MinerError::Read { pool: self.pool.clone(), source }),
            }
        }
    }

    pub async fn send(&mut self, message: &Message) -> Result<(), MinerError> {
        match message {
            Message::Call(call) if call.method == "mining.authorize" => {
                trace!(target: "protocol", "> mining.authorize, not shown since it has the password");
            }
            message => trace!(target: "protocol", "> {}", message.to_line()),
        }
        let pool = self.pool.clone();
        match timeout(SEND_TIMEOUT, self.connection.send(message)).await {
            Ok(sent) => sent.map_err(|source| MinerError::Write { pool, source }),
            Err(_) => Err(MinerError::Silent { pool, after: SEND_TIMEOUT }),
        }
    }
}
