//! What operators tell the scheduler while it runs: orders on their way from the HTTP API to the driver, and the answers.
//!
//! ```text
//! HTTP ─Order→ driver ─Event::Order→ core: refused, or Command recorded → on disk → applied, policies act ─→ answer
//! ```
//!
//! The driver takes one order at a time. So whether an order can be carried out is decided when all earlier ones have been.

use std::time::Duration;

use text::InWords;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::journal::{MiningPause, RecordedCommand, Said, Scale, ScaleLimits};

/// Maximum number of orders that wait for the driver. When the queue is full, further clients wait until it has room.
const QUEUE: usize = 16;
/// If an order has no answer after this time, the client gets the error [`ControlError::Unanswered`].
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Set or clear limits of workers.
    Scale(ScaleOrder),
    /// Launch nothing, and search nothing.
    Pause {
        /// Whether the workers end, so that their resources are free. Otherwise they stop searching, and keep their tasks.
        release: bool,
    },
    /// End the pause.
    Resume,
    /// Launch nothing on an agent, given by its id or host name, and end its tasks.
    Avoid(String),
    /// Launch tasks on an agent again that is avoided under this id or host name.
    Allow(String),
    /// End a task, given by its id.
    Kill(String),
    /// End all tasks and the framework.
    Teardown,
}

/// How limits of workers change. The outer `None` leaves a limit as it is, the inner `None` clears it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScaleOrder {
    /// Maximum number of workers.
    pub max_workers: Option<Option<u64>>,
    /// Maximum CPU of all tasks together, including the server, in thousandths of a CPU.
    pub max_cpus_milli: Option<Option<u64>>,
}

/// An order, with who has given it, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRequest {
    /// The order.
    pub order: Order,
    /// Who has given it, and when.
    pub said: Said,
}

/// The answer to an order that is recorded and is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obeyed {
    /// The recorded command.
    pub command: RecordedCommand,
    /// The number of tasks that it ends, as far as it names them: a limit does not.
    pub tasks: u64,
    /// The limits that hold now, of the options and of operators together.
    pub limits: ScaleLimits,
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names something that does not exist.
    Unknown(String),
    /// It does not fit what holds now.
    Conflict(String),
}

/// What operators have said, and what holds because of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steering {
    /// The pause; `None` while workers mine.
    pub pause: Option<MiningPause>,
    /// The limits that an operator has set; `None` if the options alone limit the workers.
    pub scale: Option<Scale>,
    /// The limits that hold now, of the options and of an operator together.
    pub limits: ScaleLimits,
    /// The number of agents to avoid.
    pub avoided: u64,
    /// The command to end the framework, if there is one.
    pub teardown: Option<Said>,
}

/// Why an order has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    /// It is refused.
    #[error("{}", .0.why())]
    Refused(Refusal),
    /// It was not begun, because there is no subscription yet.
    #[error("the scheduler has not subscribed to a master yet: try again when it has")]
    NotSubscribed,
    /// It may be carried out later.
    #[error(
        "the order is not recorded after {}, and may be carried out later: the changes tell (GET /api/v1/changes)",
        InWords(ANSWER_WITHIN)
    )]
    Unanswered,
    /// The driver has ended. Whether the order was recorded is unknown.
    #[error(
        "the scheduler does not run the framework any more; if the order is recorded, the next one carries it out"
    )]
    Ended,
}

impl Refusal {
    /// The reason, as text for the operator.
    pub fn why(&self) -> &str {
        match self {
            Refusal::Unknown(why) | Refusal::Conflict(why) => why,
        }
    }
}

type Answer = Result<Obeyed, ControlError>;

/// The clients' end of the queue of orders.
#[derive(Clone, Debug)]
pub(crate) struct ControlClient(mpsc::Sender<(OrderRequest, oneshot::Sender<Answer>)>);

/// The driver's end of the queue of orders.
#[derive(Debug)]
pub(crate) struct ControlQueue {
    orders: mpsc::Receiver<(OrderRequest, oneshot::Sender<Answer>)>,
    /// Where the answer to the order in work goes; `None` if no order is in work.
    in_work: Option<oneshot::Sender<Answer>>,
}

/// Creates a queue of orders.
pub(crate) fn channel() -> (ControlClient, ControlQueue) {
    let (sender, orders) = mpsc::channel(QUEUE);
    (ControlClient(sender), ControlQueue { orders, in_work: None })
}

impl ControlClient {
    /// Gives an order. Returns when it is recorded, or refused.
    ///
    /// # Errors
    /// If the order is refused, or if there is no answer in time.
    pub async fn give(&self, request: OrderRequest) -> Answer {
        let giving = async {
            let (sender, answer) = oneshot::channel();
            self.0.send((request, sender)).await.map_err(|_| ControlError::Ended)?;
            answer.await.map_err(|_| ControlError::Ended)?
        };
        timeout(ANSWER_WITHIN, giving).await.unwrap_or(Err(ControlError::Unanswered))
    }
}

impl ControlQueue {
    /// Waits for the next order, or for ever while an order is in work or if all clients have been dropped. Cancelling this future
    /// loses no order.
    pub async fn next(&mut self) -> OrderRequest {
        if self.in_work.is_some() {
            return std::future::pending().await;
        }
        loop {
            match self.orders.recv().await {
                // Its client has been told that nothing came of it.
                Some((_, answer)) if answer.is_closed() => {}
                Some((request, answer)) => {
                    self.in_work = Some(answer);
                    return request;
                }
                None => return std::future::pending().await,
            }
        }
    }

    /// Answers the order in work. The answer is lost if its client no longer waits.
    pub fn answer(&mut self, answer: Answer) {
        if let Some(client) = self.in_work.take() {
            let _ = client.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Command, Operator};

    fn request(order: Order) -> OrderRequest {
        let by = Operator { name: "alice".into(), address: None };
        OrderRequest { order, said: Said { by, at_ms: 1 } }
    }

    fn obeyed(request: OrderRequest) -> Answer {
        Ok(Obeyed {
            command: RecordedCommand { said: request.said, what: Command::Resume },
            tasks: 0,
            limits: ScaleLimits::default(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_order_is_in_work_at_a_time() {
        let (client, mut queue) = channel();
        let second = client.clone();
        let first = tokio::spawn(async move { client.give(request(Order::Resume)).await });
        let begun = queue.next().await;
        let second = tokio::spawn(async move { second.give(request(Order::Teardown)).await });
        assert!(timeout(Duration::from_secs(1), queue.next()).await.is_err(), "the first is in work");
        queue.answer(obeyed(begun));
        assert!(first.await.unwrap().is_ok());
        assert_eq!(queue.next().await.order, Order::Teardown);
        let why = Refusal::Conflict("no".into());
        queue.answer(Err(ControlError::Refused(why.clone())));
        assert_eq!(second.await.unwrap(), Err(ControlError::Refused(why)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_was_given_up_before_it_began_is_not_carried_out() {
        let (client, mut queue) = channel();
        let (one, two) =
            tokio::join!(client.give(request(Order::Resume)), client.give(request(Order::Resume)));
        assert_eq!((one, two), (Err(ControlError::Unanswered), Err(ControlError::Unanswered)));
        let third = client.clone();
        let third = tokio::spawn(async move { third.give(request(Order::Teardown)).await });
        assert_eq!(queue.next().await.order, Order::Teardown);
        drop(queue);
        assert_eq!(third.await.unwrap(), Err(ControlError::Ended));
    }
}
