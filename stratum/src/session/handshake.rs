//! The handshake: the requests that open a session, and their answers.

use serde_json::Value;

use super::{Event, OptionalRequest, Pending, ProtocolError, ResumeToken, Session};
use crate::message::{
    Authorize, Configure, ConfigureAnswer, Id, Message, Request, Response, Subscribe, SubscribeAnswer,
};

/// The parameters of a `mining.subscribe` request. Old pools refuse parameters that they do not know, so after a refusal
/// another attempt is made with fewer parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The request contains the user agent and the session to resume.
    Resume,
    /// The request contains only the user agent.
    UserAgent,
    /// The request contains no parameters.
    Bare,
}

impl Session {
    /// Returns the first requests, to be sent in this order.
    pub fn start(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let mask = Some(self.options.version_mask).filter(|mask| *mask != 0);
        let extranonce = self.options.sends(OptionalRequest::SubscribeExtranonce);
        let configure = Configure::new(mask, self.options.minimum_difficulty, extranonce);
        if !configure.extensions.is_empty() {
            messages.extend(self.optional(OptionalRequest::Configure, Request::Configure(configure)));
        }
        let attempt = if self.options.resume.is_some() { Attempt::Resume } else { Attempt::UserAgent };
        messages.push(self.subscribe(attempt));
        messages
    }

    fn subscribe(&mut self, attempt: Attempt) -> Message {
        let user_agent = Some(self.options.user_agent.clone()).filter(|_| attempt != Attempt::Bare);
        let resume = self.options.resume.as_ref().filter(|_| attempt == Attempt::Resume);
        let session = resume.map(|resume| resume.session.clone());
        let request = Request::Subscribe(Subscribe { user_agent, session });
        self.request(Pending::Subscribe(attempt), request).1
    }

    /// The id of the request that a response answers. Some pools answer the handshake with id null, or with an id of their own, so
    /// its requests are also recognized by what the response says.
    pub(super) fn answered_by(&self, response: &Response) -> Option<u64> {
        let open = |wanted: fn(&Pending) -> bool| {
            self.pending.iter().find(|(_, pending)| wanted(pending)).map(|(id, _)| *id)
        };
        if response.result.is_array()
            && SubscribeAnswer::from_response(response).is_ok()
            && let Some(id) = open(|pending| matches!(pending, Pending::Subscribe(_)))
        {
            return Some(id);
        }
        let named = response.id.as_number().filter(|id| self.pending.contains_key(id));
        named.or_else(|| match &response.result {
            Value::Object(_) => open(|pending| *pending == Pending::Optional(OptionalRequest::Configure)),
            Value::Bool(true) if response.error.is_none() => open(|pending| *pending == Pending::Authorize),
            // Before the subscription is answered, no other requests are open. Later, such an error may be about an optional
            // request.
            _ if response.id == Id::Null && response.error.is_some() => open(|pending| {
                matches!(pending, Pending::Optional(OptionalRequest::Configure) | Pending::Subscribe(_))
            }),
            _ => None,
        })
    }

    pub(super) fn on_configured(&mut self, response: &Response) -> Result<Vec<Event>, ProtocolError> {
        let answer = ConfigureAnswer::from_response(response)?;
        self.extranonce_subscribed = answer.subscribe_extranonce == Some(true);
        match answer.version_mask {
            Some(mask) => Ok(self.on_version_mask(mask)),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn on_subscribed(
        &mut self,
        attempt: Attempt,
        response: &Response,
    ) -> Result<Vec<Event>, ProtocolError> {
        if let Some(reason) = response.refusal() {
            let next = match attempt {
                Attempt::Resume => Attempt::UserAgent,
                Attempt::UserAgent => Attempt::Bare,
                Attempt::Bare => return Err(ProtocolError::SubscribeRefused { reason }),
            };
            return Ok(vec![Event::Send(self.subscribe(next))]);
        }
        let answer = SubscribeAnswer::from_response(response).map_err(ProtocolError::Subscribe)?;
        let asked = self.options.resume.as_ref().filter(|_| attempt == Attempt::Resume);
        // An empty extranonce1 does not prove that the session was resumed, because it may be assigned to every connection.
        let resumed = asked
            .is_some_and(|asked| asked.extranonce1 == answer.extranonce1 && !answer.extranonce1.is_empty());
        let extranonce1 = answer.extranonce1;
        self.resume = answer.session.map(|session| ResumeToken { session, extranonce1: extranonce1.clone() });
        self.extranonces = Some((extranonce1, answer.extranonce2_len));

        let mut events = vec![Event::Subscribed { resumed }];
        events.extend(self.first_suggestion().map(Event::Send));
        let user = self.options.user.clone();
        let request = Request::Authorize(Authorize { user, password: self.options.password.clone() });
        events.push(Event::Send(self.request(Pending::Authorize, request).1));
        if let Some((notify, target)) = self.early_job.take() {
            events.extend(self.set_job(notify, target));
        }
        Ok(events)
    }

    pub(super) fn on_authorized(&mut self, response: &Response) -> Result<Vec<Event>, ProtocolError> {
        match response.refusal() {
            None => {
                self.authorized = true;
                Ok(vec![Event::Authorized])
            }
            Some(reason) => Err(ProtocolError::Unauthorized { user: self.options.user.clone(), reason }),
        }
    }
}
