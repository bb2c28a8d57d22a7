//! The wire form of [`PoolAccess`].

use prost::Message;

use super::{DecodeError, port};
use crate::{PoolAccess, ProxyAccess};

#[derive(Clone, PartialEq, Message)]
pub(super) struct PoolAccessMessage {
    #[prost(string, optional, tag = "1")]
    authorities: Option<String>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    fingerprints: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    proxy: Option<ProxyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ProxyMessage {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(uint32, tag = "2")]
    port: u32,
    #[prost(string, optional, tag = "3")]
    user: Option<String>,
    #[prost(string, optional, tag = "4")]
    password: Option<String>,
}

impl PoolAccessMessage {
    /// Nothing for the default: that is what workers of before know.
    pub fn of(access: &PoolAccess) -> Option<PoolAccessMessage> {
        if *access == PoolAccess::default() {
            return None;
        }
        let proxy = access.proxy.as_ref().map(|proxy| {
            let (user, password) = proxy.credentials.clone().unzip();
            ProxyMessage { host: proxy.host.clone(), port: proxy.port.into(), user, password }
        });
        let fingerprints = access.fingerprints.iter().map(|fingerprint| fingerprint.to_vec()).collect();
        Some(PoolAccessMessage { authorities: access.authorities.clone(), fingerprints, proxy })
    }
}

impl TryFrom<PoolAccessMessage> for PoolAccess {
    type Error = DecodeError;

    fn try_from(message: PoolAccessMessage) -> Result<PoolAccess, DecodeError> {
        let what = "task specification";
        let fingerprint = |bytes: Vec<u8>| {
            <[u8; 32]>::try_from(bytes).map_err(|_| DecodeError::Field { what, field: "fingerprint" })
        };
        let proxy = |proxy: ProxyMessage| {
            let port = port(what, "proxy port", proxy.port)?;
            Ok(ProxyAccess { host: proxy.host, port, credentials: proxy.user.zip(proxy.password) })
        };
        Ok(PoolAccess {
            authorities: message.authorities,
            fingerprints: message.fingerprints.into_iter().map(fingerprint).collect::<Result<_, _>>()?,
            proxy: message.proxy.map(proxy).transpose()?,
        })
    }
}
