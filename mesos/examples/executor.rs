//! The smallest executor: every task runs for a second and then finishes. An agent starts this executor; see the example
//! `scheduler`.

use std::time::{Duration, SystemTime};

use anyhow::bail;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, Event, ExecutorClient};
use mesos::v1::TaskState;

fn main() -> anyhow::Result<()> {
    // The agent may put an authentication token into the environment. To remove it, `hide` executes the program again, so this
    // must come first.
    let token = mesos::token::hide()?;
    let env = ExecutorEnv::from_process_with_token(token)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(env))
}

async fn run(env: ExecutorEnv) -> anyhow::Result<()> {
    let client = ExecutorClient::from_env(&env);
    let mut events = client.subscribe(&executor::subscribe(&env.identity, vec![], vec![])).await?;
    let mut last = None;
    while let Some(event) = events.next().await? {
        match event {
            Event::Launch(task) => {
                for state in [TaskState::TaskRunning, TaskState::TaskFinished] {
                    let status =
                        executor::status(&env.identity, task.task_id.clone(), state, SystemTime::now());
                    last = status.uuid.clone();
                    client.call(&executor::update(&env.identity, status)).await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            // The agent has stored the last update, which cannot be lost any more. So the executor may end.
            Event::Acknowledged(acknowledged) if Some(&acknowledged.uuid) == last.as_ref() => return Ok(()),
            Event::Shutdown => return Ok(()),
            Event::Error(message) => bail!("the agent refuses: {message}"),
            other => eprintln!("{other:?}"),
        }
    }
    Ok(())
}
