//! Questions to the master's [operator API](https://mesos.apache.org/documentation/latest/operator-http-api/). Each question has a
//! connection of its own.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use prost::Message;

use crate::address::Endpoint;
use crate::config::Config;
use crate::connect;
use crate::error::CallError;
use crate::http::PROTOBUF;
use crate::v1::master::call::Type;
use crate::v1::master::response::get_agents::Agent;
use crate::v1::master::{Call, Response as Answer};
use crate::v1::quota::QuotaConfig;

/// The path of the operator API.
const PATH: &str = "/api/v1";
/// Maximum size of an answer that does not grow with the number of agents, in bytes.
const SMALL_ANSWER: usize = 1 << 20;
/// In an answer: the number of the field with the agents.
const GET_AGENTS: u64 = 10;
/// In that field: the number of the fields with one registered agent each, and of those with one recovered agent each.
const AGENT: u64 = 1;
const RECOVERED_AGENT: u64 = 2;

/// Why the operator API did not answer a question.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// No connection could be opened.
    #[error(transparent)]
    Connect(#[from] CallError),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    /// The answer has another HTTP status than 200: 401 and 403 mean that the principal may not ask.
    #[error("HTTP {0}")]
    Status(u16),
    /// The answer is none of the operator API, or is longer than the limit.
    #[error("the answer cannot be read")]
    Unexpected,
}

/// The agents that the master told of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agents {
    /// The agents that could be read.
    pub agents: Vec<Agent>,
    /// The number of agents that have not come back since the master began to lead.
    pub recovered: u64,
    /// Whether the answer was longer than the limit, so that there are more agents.
    pub is_cut: bool,
}

/// The agents that are registered. At most `limit` bytes of the answer are read, since an agent takes some 2 kB. The agents of a longer
/// answer are still encoded in [`EncodedAgents`], since decoding many of them takes long.
///
/// # Errors
/// If the master does not answer the question.
pub async fn agents(
    config: &Config,
    master: &Endpoint,
    limit: usize,
) -> Result<EncodedAgents, OperatorError> {
    let (body, is_cut) = ask(config, master, Type::GetAgents, limit).await?;
    Ok(EncodedAgents { body, is_cut })
}

/// The quotas of all roles that have one.
///
/// # Errors
/// If the master does not answer the question.
pub async fn quotas(config: &Config, master: &Endpoint) -> Result<Vec<QuotaConfig>, OperatorError> {
    let answer = small_answer(config, master, Type::GetQuota).await?;
    Ok(answer.get_quota.ok_or(OperatorError::Unexpected)?.status.configs)
}

/// The region of the leading master; `None` if it has none.
///
/// # Errors
/// If the master does not answer the question.
pub async fn region(config: &Config, master: &Endpoint) -> Result<Option<String>, OperatorError> {
    let answer = small_answer(config, master, Type::GetMaster).await?;
    let info = answer.get_master.and_then(|answer| answer.master_info).ok_or(OperatorError::Unexpected)?;
    Ok(info.domain.and_then(|domain| domain.fault_domain).map(|domain| domain.region.name))
}

async fn small_answer(config: &Config, master: &Endpoint, call: Type) -> Result<Answer, OperatorError> {
    let (body, is_cut) = ask(config, master, call, SMALL_ANSWER).await?;
    let answer = Answer::decode(&*body).ok().filter(|_| !is_cut);
    answer.ok_or(OperatorError::Unexpected)
}

/// Asks a question. Returns the beginning of the answer, and whether it is longer.
async fn ask(
    config: &Config,
    master: &Endpoint,
    call: Type,
    limit: usize,
) -> Result<(Vec<u8>, bool), OperatorError> {
    let io = connect::open(config, master).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let asking = async {
        let response = sender.send_request(request(config, master, call)).await?;
        match response.status() {
            StatusCode::OK => read(response, limit).await,
            other => Err(OperatorError::Status(other.as_u16())),
        }
    };
    tokio::pin!(connection);
    tokio::pin!(asking);
    tokio::select! {
        asked = &mut asking => asked,
        // If the master closes the connection right after its answer, the answer is still to be read.
        _ = &mut connection => asking.await,
    }
}

fn request(config: &Config, master: &Endpoint, call: Type) -> Request<Full<Bytes>> {
    let body = Call { r#type: Some(call.into()) }.encode_to_vec();
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(PATH);
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::try_from(master.address.to_string()) {
        headers.insert(HOST, host);
    }
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(ACCEPT, PROTOBUF);
    if let Some(auth) = config.auth.header() {
        headers.insert(AUTHORIZATION, auth);
    }
    request
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<(Vec<u8>, bool), OperatorError> {
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = limit - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok((body, true));
            }
        }
    }
    Ok((body, false))
}

/// An answer with agents that are still to be decoded.
#[derive(Clone, Debug)]
pub struct EncodedAgents {
    body: Vec<u8>,
    is_cut: bool,
}

impl EncodedAgents {
    /// The agents. An agent that cannot be read is left out.
    pub fn decode(&self) -> Agents {
        let answer = Fields(&self.body).find(|(field, _)| *field == GET_AGENTS);
        let (mut agents, mut recovered) = (Vec::new(), 0);
        for (field, content) in answer.into_iter().flat_map(|(_, content)| Fields(content)) {
            match field {
                AGENT => agents.extend(Agent::decode(content).ok()),
                RECOVERED_AGENT => recovered += 1,
                _ => {}
            }
        }
        if self.is_cut {
            // The last agent is incomplete.
            agents.pop();
        }
        Agents { agents, recovered, is_cut: self.is_cut }
    }
}

/// The fields of a message that hold bytes, with their numbers. A message that is cut is read as far as it goes; then the last field
/// is cut, too.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = varint(&mut self.0)?;
            match key & 7 {
                0 => drop(varint(&mut self.0)?),
                1 => self.0 = self.0.get(8..)?,
                2 => {
                    let length = usize::try_from(varint(&mut self.0)?).unwrap_or(usize::MAX);
                    let (content, rest) = self.0.split_at(length.min(self.0.len()));
                    self.0 = rest;
                    return Some((key >> 3, content));
                }
                5 => self.0 = self.0.get(4..)?,
                _ => return None,
            }
        }
    }
}

/// Reads a number in protobuf's variable-length form, and removes it from the bytes.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use testing::http_peer::{HttpPeer, Reply};

    use super::*;
    use crate::address::Scheme;
    use crate::v1::AgentInfo;
    use crate::v1::master::response::GetAgents;

    fn answer(agents: usize) -> Vec<u8> {
        let agent = |number| Agent {
            agent_info: AgentInfo { hostname: format!("host-{number}"), ..AgentInfo::default() },
            active: true,
            ..Agent::default()
        };
        let recovered_agents = vec![AgentInfo::default(); 3];
        let agents = GetAgents { agents: (0..agents).map(agent).collect(), recovered_agents };
        let mut answer = vec![8, 9]; // the type, which is not read
        answer.extend(Answer { get_agents: Some(agents), ..Answer::default() }.encode_to_vec());
        answer
    }

    fn http(status: &str, body: &[u8]) -> Reply {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        Reply::Bytes([head.as_bytes(), body].concat())
    }

    async fn peer(reply: Reply) -> (HttpPeer, Endpoint) {
        let peer = HttpPeer::start(move |_| reply.clone()).await;
        let endpoint = Endpoint { scheme: Scheme::Http, address: peer.address.into(), path: String::new() };
        (peer, endpoint)
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_limit() {
        let (_peer, master) = peer(http("200 OK", &answer(1000))).await;
        let read = async |limit| agents(&Config::default(), &master, limit).await.unwrap().decode();
        let all = read(1 << 20).await;
        assert_eq!((all.agents.len(), all.recovered, all.is_cut), (1000, 3, false));
        assert_eq!(all.agents[999].agent_info.hostname, "host-999");
        let some = read(1000).await;
        assert!(some.is_cut && (10..100).contains(&some.agents.len()), "{}", some.agents.len());
    }

    #[tokio::test]
    async fn a_refusal_and_garbage_are_errors() {
        let (_peer, master) = peer(http("403 Forbidden", b"no")).await;
        let refused = agents(&Config::default(), &master, 1000).await;
        assert!(matches!(refused, Err(OperatorError::Status(403))), "{refused:?}");
        let (_peer, master) = peer(http("200 OK", b"<html>")).await;
        assert!(matches!(quotas(&Config::default(), &master).await, Err(OperatorError::Unexpected)));
        assert!(region(&Config::default(), &master).await.is_err());
        assert!(agents(&Config::default(), &master, 1000).await.unwrap().decode().agents.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..200), is_cut: bool) {
            let read = EncodedAgents { body, is_cut }.decode();
            prop_assert_eq!(read.is_cut, is_cut);
        }

        #[test]
        fn a_cut_answer_has_its_first_agents(end in 0usize..2000) {
            let mut body = answer(100);
            body.truncate(end);
            let read = EncodedAgents { body, is_cut: true }.decode();
            let all = EncodedAgents { body: answer(100), is_cut: false }.decode();
            prop_assert_eq!(&read.agents[..], &all.agents[..read.agents.len()]);
        }
    }
}
