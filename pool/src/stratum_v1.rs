//! The Stratum V1 front-end: translates a miner's messages to requests to its session, and the session's answers and jobs to
//! messages. The session makes all decisions.

use bitcoin::hashes::Hash;
use serde_json::Value;
use stratum::message::{ConfigureAnswer, SubscribeAnswer};
use stratum::{Id, Message, MessageError, Notification, Notify, ReadError, Reason, Response};

use crate::job::{HeaderBuilder, IssuedJob};
use crate::session::{Answer, MinerMessage, Request, SessionId};
use crate::share::SubmittedShare;

/// A request that waits for its answer.
#[derive(Debug, Default)]
pub struct PendingRequest {
    id: Id,
    /// The extensions that a `mining.configure` names.
    extensions: Vec<String>,
}

/// The meaning of a miner's message.
#[derive(Debug)]
pub enum Decoded {
    /// A request to the session.
    Request(PendingRequest, Request),
    /// An answer to send to the miner. The session need not know of the request.
    Answer(String),
    /// The message needs no answer.
    Ignored,
}

/// Decodes a message from a miner.
pub fn decode(message: Message) -> Decoded {
    let reject = |text: &str| Reason::new(Reason::OTHER, text);
    let answer = |response: Response| Decoded::Answer(Message::from(response).to_line());
    let call = match message {
        Message::Call(call) => call,
        // The pool requests nothing of miners, so it expects no responses. A response without any content is a request whose
        // method was left out.
        Message::Response(Response { id, result: Value::Null, error: None }) if id != Id::Null => {
            return answer(Response::error(id, reject("a request without a method")));
        }
        Message::Response(_) => return Decoded::Ignored,
    };
    let mut extensions = Vec::new();
    let request = match stratum::Request::from_call(&call) {
        Ok(stratum::Request::Configure(configure)) => {
            extensions = configure.extensions;
            Request::Configure {
                extranonce: extensions.iter().any(|extension| extension == "subscribe-extranonce"),
                version_mask: configure.version_mask,
                minimum_difficulty: configure.minimum_difficulty,
            }
        }
        Ok(stratum::Request::Subscribe(subscribe)) => {
            let resume = subscribe.session.as_deref().and_then(session_id);
            Request::Subscribe { resume, user_agent: subscribe.user_agent }
        }
        Ok(stratum::Request::Authorize(authorize)) => Request::Authorize {
            fixed_difficulty: fixed_difficulty(&authorize.password),
            worker: authorize.user,
        },
        Ok(stratum::Request::SuggestDifficulty(difficulty)) => Request::SuggestDifficulty(difficulty),
        Ok(stratum::Request::Submit(submit)) => Request::Submit(submit.into()),
        Ok(stratum::Request::SubscribeExtranonce) => Request::SubscribeExtranonce,
        Ok(stratum::Request::Ping) => return answer(Response::ok(call.id, "pong")),
        Ok(stratum::Request::Unknown(method)) => {
            return answer(Response::error(call.id, reject(&format!("unknown method {method}"))));
        }
        Err(error) if call.method == "mining.submit" => Request::SubmitUnreadable(reject(&error.to_string())),
        Err(error) => return answer(Response::error(call.id, reject(&error.to_string()))),
    };
    Decoded::Request(PendingRequest { id: call.id, extensions }, request)
}

/// The answer to data that is no message: an error that names the fault, with the id of the request as far as it can be read. `None` if no
/// answer can be sent.
pub fn answer_unreadable(error: &ReadError) -> Option<String> {
    let (id, text) = match error {
        ReadError::Message(MessageError::Json { id, source, .. }) => {
            // There is only one line.
            let text = source.to_string().replace(" at line 1 column ", " at column ");
            (id.clone(), format!("the line cannot be read: {text}"))
        }
        ReadError::Message(error) => (error.id().cloned().unwrap_or_default(), error.to_string()),
        ReadError::TooLong { id, .. } => (id.clone(), error.to_string()),
        _ => return None,
    };
    let response = Response::error(id, Reason::new(Reason::OTHER, &text));
    Some(Message::from(response).to_line())
}

/// Writes a message to the miner as a line, without the line end; `None` if Stratum V1 cannot express it. If the message
/// is an answer, it answers `request`.
pub fn encode(message: &MinerMessage, request: &PendingRequest) -> Option<String> {
    let call = match message {
        MinerMessage::Answer(answer) => return Some(Message::from(response(answer, request)).to_line()),
        MinerMessage::Job { issued, clean } => return Some(notify_line(issued, *clean)),
        MinerMessage::SetDifficulty(difficulty) => Notification::SetDifficulty(*difficulty).to_call(),
        MinerMessage::SetExtranonce { extranonce1, extranonce2_len } => {
            let (extranonce1, extranonce2_len) = (extranonce1.clone(), *extranonce2_len);
            Notification::SetExtranonce { extranonce1, extranonce2_len: Some(extranonce2_len) }.to_call()
        }
        MinerMessage::SetVersionMask(mask) => Notification::SetVersionMask(*mask).to_call(),
    };
    call.map(|call| Message::from(call).to_line())
}

fn response(answer: &Answer, PendingRequest { id, extensions }: &PendingRequest) -> Response {
    match answer {
        Answer::Accepted => Response::ok(id.clone(), true),
        Answer::Rejected(reason) => Response::error(id.clone(), reason.clone()),
        Answer::Configured { version_mask, minimum_difficulty } => {
            let answer = ConfigureAnswer {
                version_mask: *version_mask,
                minimum_difficulty: minimum_difficulty.then_some(true),
                subscribe_extranonce: Some(true),
            };
            Response::ok(id.clone(), answer.to_result(extensions))
        }
        Answer::Subscribed { session, extranonce1, extranonce2_len } => {
            let answer = SubscribeAnswer {
                session: Some(hex::encode(session)),
                extranonce1: extranonce1.clone(),
                extranonce2_len: *extranonce2_len,
            };
            Response::ok(id.clone(), answer.to_result())
        }
    }
}

/// The `mining.notify` line of a job. For connections that get the same bytes, the line is encoded only once.
pub fn notify_line(issued: &IssuedJob, clean: bool) -> String {
    let encode = || Message::from(notify(issued, clean).to_call()).to_line();
    match issued.job.encoding_cache(issued.id, clean) {
        Some(cache) => cache.get_or_init(encode).clone(),
        None => encode(),
    }
}

/// The `mining.notify` message of a job. The part of the extranonces that is hidden from the miner goes to the end of the
/// coinbase's first half.
fn notify(issued: &IssuedJob, clean: bool) -> Notify {
    let IssuedJob { id, job, builder, .. } = issued;
    let hidden = job.layout.hidden(id.issue);
    let (prev_hash, coinb1, coinb2, branch) = match builder {
        HeaderBuilder::Template(draft) => {
            let (template, coinbase) = (&draft.template, &draft.coinbase);
            let coinb1 = [&coinbase.prefix[..], &hidden].concat();
            (template.prev_hash.to_byte_array(), coinb1, &coinbase.suffix, &template.branch)
        }
        HeaderBuilder::Upstream(job) => {
            let coinb1 = [&job.coinb1[..], &job.extranonce1, &hidden].concat();
            (job.prev_hash, coinb1, &job.coinb2, &job.branch)
        }
    };
    Notify {
        job: id.to_string(),
        prev_hash,
        coinb1,
        coinb2: coinb2.clone(),
        branch: branch.clone(),
        version: builder.version(),
        nbits: hasher::CompactTarget(job.times.bits.to_consensus()),
        ntime: job.times.start,
        clean: Some(clean),
    }
}

impl From<stratum::message::Submit> for SubmittedShare {
    fn from(submit: stratum::message::Submit) -> Self {
        let stratum::message::Submit { user, job, extranonce2, ntime, nonce, version_bits } = submit;
        SubmittedShare { worker: user, job, extranonce2, ntime, nonce, version_bits }
    }
}

/// Reads a session id, which the pool wrote as hexadecimal digits.
fn session_id(name: &str) -> Option<SessionId> {
    let mut id = SessionId::default();
    hex::decode_to_slice(name, &mut id).ok().map(|()| id)
}

/// The difficulty that a password asks for, as in `x,d=0.5`.
fn fixed_difficulty(password: &str) -> Option<f64> {
    password.split([',', ';', ' ']).find_map(|option| option.trim().strip_prefix("d=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::chain::BuiltinChain;
    use crate::job::{BlockClaim, Job, JobId};

    #[test]
    fn a_cached_line_is_the_same_as_a_new_one() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let template =
            crate::source::builtin_work(&chain, 0.0, crate::clock::Now::read(), BlockClaim::default());
        let job = Arc::new(Job::new(7, template));
        let builder = job.header_builder(None).unwrap();
        for (issue, clean) in [(0, true), (0, true), (0, false), (1, true), (0, true)] {
            let id = JobId { serial: 7, issue };
            let (job, builder) = (job.clone(), builder.clone());
            let issued = IssuedJob { id, job, builder, difficulty: 1.0, lowest: 1.0 };
            let new = notify(&issued, clean);
            assert_eq!(notify_line(&issued, clean), Message::from(new.to_call()).to_line());
        }
    }

    #[test]
    fn passwords_may_fix_the_difficulty() {
        for (password, difficulty) in [
            ("d=2", Some(2.0)),
            ("x,d=0.5", Some(0.5)),
            ("x; d=1e-3 ", Some(1e-3)),
            ("x", None),
            ("d=x", None),
        ] {
            assert_eq!(fixed_difficulty(password), difficulty, "{password:?}");
        }
    }
}
