//! What the answers of a node tell. An answer that the node is too busy is never a failure of the node.

use std::time::Instant;

use bitcoin::BlockHash;

use super::tip_watch::{Event, WaitForm};
use crate::rpc::RpcError;

/// A call's answer, with the time at which it was called.
#[derive(Debug)]
pub struct Answer<T, E = RpcError> {
    /// When the node was asked.
    pub asked: Instant,
    /// The answer itself.
    pub result: Result<T, E>,
}

/// The event of `getbestblockhash`.
///
/// # Errors
/// If the node has failed.
pub fn polled(Answer { asked, result }: Answer<BlockHash>) -> Result<Event, RpcError> {
    match result {
        Ok(tip) => Ok(Event::Polled { tip, asked }),
        Err(error) if error.is_busy() => Ok(Event::PollRefused { asked }),
        Err(error) => Err(error),
    }
}

/// The event of `waitfornewblock`, which was called in this form.
///
/// # Errors
/// If the node has failed.
pub fn waited(form: WaitForm, result: Result<BlockHash, RpcError>) -> Result<Event, RpcError> {
    match result {
        Ok(tip) => Ok(Event::Waited { tip }),
        Err(error) if error.is_busy() => Ok(Event::WaitFailed),
        Err(error) if error.lacks_method() => Ok(Event::WaitRefused { form: None }),
        // Before version 30, Bitcoin Core answers a second argument with its help and code -1.
        Err(RpcError::Refused { .. }) => {
            let form = (form == WaitForm::KnownTip).then_some(WaitForm::TimeLimit);
            Ok(Event::WaitRefused { form })
        }
        Err(error) => Err(error),
    }
}

/// The event of `getrpcinfo`.
///
/// # Errors
/// If the node has failed.
pub fn counted(Answer { asked, result }: Answer<usize>) -> Result<Event, RpcError> {
    match result {
        Ok(waits) => Ok(Event::Counted { waits: Some(waits), asked }),
        Err(error) if error.is_busy() => Ok(Event::Counted { waits: Some(usize::MAX), asked }),
        Err(RpcError::Refused { .. } | RpcError::Result { .. }) => Ok(Event::Counted { waits: None, asked }),
        Err(error) if error.lacks_method() => Ok(Event::Counted { waits: None, asked }),
        Err(error) => Err(error),
    }
}
