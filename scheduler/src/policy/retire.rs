//! Tasks that ended long ago are not kept: what remains of them is their number, their last state as one of a count, and a
//! sum in the ledger. Their records stay on disk, but for those of launches that failed.

use std::time::{Duration, Instant};

use super::{Happening, Intent, Policy, View};
use crate::fleet::Task;
use crate::journal::number;

/// A task of which nothing new is to come is kept for so long.
const KEEP_SETTLED: Duration = Duration::from_secs(600);
/// A task that is lost may come back, and one that ended as far as the master knows may have more to say. After this
/// time what comes is only written down, and the task killed if it lives.
const KEEP_LOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// So many at most retire as one change of the store.
const AT_ONCE: usize = 500;

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Retire {
    looked: Option<Instant>,
}

impl Policy for Retire {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                retire(view.fleet.ended(true).filter(|task| may_retire(view, task)).collect())
            }
            Happening::Tick if self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK) => {
                self.looked = Some(now);
                let ended = |settled, keep| {
                    let old = move |task: &&Task| task.since().is_some_and(|since| since + keep <= now);
                    view.fleet.ended(settled).take_while(old).filter(|task| may_retire(view, task))
                };
                let mut intents = retire(ended(true, KEEP_SETTLED).chain(ended(false, KEEP_LOST)).collect());
                intents.push(Intent::ForgetOldOfAgents);
                intents
            }
            _ => Vec::new(),
        }
    }
}

/// Nothing of it is on its way, and nobody needs it. A name that is not of our making cannot be remembered by its number.
fn may_retire(view: &View<'_>, task: &Task) -> bool {
    let needed = task.pending_uuid().is_some() || view.fleet.service(task.id()).is_some();
    number(task.id()).is_some() && !needed
}

fn retire(tasks: Vec<&Task>) -> Vec<Intent> {
    let ids = |tasks: &[&Task]| tasks.iter().map(|task| task.id().to_owned()).collect();
    tasks.chunks(AT_ONCE).map(|tasks| Intent::Retire { tasks: ids(tasks) }).collect()
}
