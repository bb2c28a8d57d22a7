//! The requests that open a session, and their answers.

use super::{Event, Pending, ProtocolError, Resume, Session};
use crate::message::{
    Authorize, Configure, ConfigureAnswer, Message, Request, Response, Subscribe, SubscribeAnswer,
};

/// How much a subscription asks for. Old pools refuse parameters that they don't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Resume,
    Named,
    Bare,
}

impl Session {
    /// The first requests, to be sent in this order.
    pub fn start(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.options.configure {
            let mask = Some(self.options.version_mask).filter(|mask| *mask != 0);
            let configure = Configure::new(mask, self.options.minimum_difficulty);
            messages.push(self.request(Pending::Configure, Request::Configure(configure)).1);
        }
        let attempt = if self.options.resume.is_some() { Attempt::Resume } else { Attempt::Named };
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

    pub(super) fn on_configured(&mut self, response: &Response) -> Result<Vec<Event>, ProtocolError> {
        let answer = ConfigureAnswer::from_response(response)?;
        self.extranonce_may_change = answer.subscribe_extranonce == Some(true);
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
                Attempt::Resume => Attempt::Named,
                Attempt::Named => Attempt::Bare,
                Attempt::Bare => return Err(ProtocolError::SubscribeRefused { reason }),
            };
            return Ok(vec![Event::Send(self.subscribe(next))]);
        }
        let answer = SubscribeAnswer::from_response(response).map_err(ProtocolError::Subscribe)?;
        let asked = self.options.resume.as_ref().filter(|_| attempt == Attempt::Resume);
        // An empty extranonce1 is everybody's: it proves no session.
        let resumed = asked
            .is_some_and(|asked| asked.extranonce1 == answer.extranonce1 && !answer.extranonce1.is_empty());
        let extranonce1 = answer.extranonce1;
        self.resume = answer.session.map(|session| Resume { session, extranonce1: extranonce1.clone() });
        self.extranonces = Some((extranonce1, answer.extranonce2_len));

        let mut events = vec![Event::Subscribed { resumed }];
        if let Some(difficulty) = self.options.suggest_difficulty {
            events.push(Event::Send(self.suggest_difficulty(difficulty)));
        }
        let user = self.options.user.clone();
        let request = Request::Authorize(Authorize { user, password: self.options.password.clone() });
        events.push(Event::Send(self.request(Pending::Authorize, request).1));
        if let Some((notify, target)) = self.early.take() {
            events.extend(self.take_job(notify, target));
        }
        Ok(events)
    }

    pub(super) fn on_authorized(&mut self, response: &Response) -> Result<Vec<Event>, ProtocolError> {
        match response.refusal() {
            None => {
                let mut events = vec![Event::Authorized];
                if self.options.configure && !self.extranonce_may_change {
                    // What pools had before mining.configure; those that have neither refuse it without harm.
                    let request = self.request(Pending::Courtesy, Request::SubscribeExtranonce).1;
                    events.push(Event::Send(request));
                }
                Ok(events)
            }
            Some(reason) => Err(ProtocolError::Unauthorized { user: self.options.user.clone(), reason }),
        }
    }
}
