//! The smallest useful scheduler: runs one task on the first offer that is large enough, with the executor of the other
//! example, and ends when the task has ended.
//!
//! ```sh
//! cargo build -p mesos --examples
//! target/debug/examples/scheduler 127.0.0.1:5050 $PWD/target/debug/examples/executor
//! ```

use std::time::Duration;

use anyhow::{Context, bail};
use mesos::resources::{Quantity, Resources};
use mesos::scheduler::{self, Event, SchedulerClient, operation};
use mesos::v1::framework_info::{Capability, capability};
use mesos::v1::{CommandInfo, ExecutorInfo, FrameworkInfo, Offer, TaskInfo, command_info, executor_info};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(master), Some(executor)) = (args.next(), args.next()) else {
        bail!("usage: scheduler MASTER EXECUTOR (where the agents find the executor: a path or URL)");
    };
    let client = SchedulerClient::new(master.parse()?);
    let mut events = client.subscribe(&scheduler::subscribe(framework())).await?;
    let Some(Event::Subscribed(subscribed)) = events.next().await? else {
        bail!("expected SUBSCRIBED as the first event")
    };
    let framework = subscribed.framework_id;
    println!("subscribed to {} as {framework}", events.endpoint().address);

    let mut launched = false;
    while let Some(event) = events.next().await? {
        match event {
            Event::Offers(offers) => {
                for offer in offers {
                    let ids = vec![offer.id.clone()];
                    let task = if launched { None } else { task(&offer, &executor) };
                    let call = match task {
                        Some(task) => {
                            println!("launching on {}", offer.hostname);
                            launched = true;
                            scheduler::accept(&framework, ids, vec![operation::launch(vec![task])], None)
                        }
                        None => scheduler::decline(&framework, ids, Some(Duration::from_secs(60))),
                    };
                    client.call(&call).await?;
                }
            }
            Event::Update(status) => {
                let state = status.known_state().context("a state from the future")?;
                println!("{}: {} {}", status.task_id, state.as_str_name(), status.message());
                if let Some(call) = scheduler::acknowledge(&framework, &status) {
                    client.call(&call).await?; // a real framework puts the update on disk first
                }
                if state.is_terminal() {
                    client.call(&scheduler::teardown(&framework)).await?;
                    // Offers may be on their way, but the master takes no call of a framework that has ended.
                    return Ok(());
                }
            }
            Event::Error(message) => bail!("refused: {message}"),
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

fn framework() -> FrameworkInfo {
    let roles = Capability { r#type: Some(capability::Type::MultiRole.into()) };
    FrameworkInfo {
        user: "root".into(),
        name: "smallest scheduler".into(),
        roles: vec!["*".into()],
        capabilities: vec![roles],
        ..FrameworkInfo::default()
    }
}

/// A task that takes 0.1 CPU and 32 MB from the offer, and the same amount for its executor; `None` if the offer is too small.
fn task(offer: &Offer, executor: &str) -> Option<TaskInfo> {
    let mut offered = Resources::from(offer.resources.clone());
    let mut part = || {
        let mut part = offered.take("cpus", Quantity::new(0.1)).ok()?;
        part.extend(offered.take("mem", Quantity::whole(32)).ok()?);
        Some(part.into())
    };
    let uri = command_info::Uri { value: executor.into(), executable: Some(true), ..Default::default() };
    let file = executor.rsplit('/').next()?;
    let executor = ExecutorInfo {
        r#type: Some(executor_info::Type::Custom.into()),
        executor_id: "smallest-executor".into(),
        command: Some(CommandInfo {
            uris: vec![uri],
            value: Some(format!("./{file}")),
            ..CommandInfo::default()
        }),
        resources: part()?,
        ..ExecutorInfo::default()
    };
    Some(TaskInfo {
        name: "smallest task".into(),
        task_id: "task-1".into(),
        agent_id: offer.agent_id.clone(),
        resources: part()?,
        executor: Some(executor),
        ..TaskInfo::default()
    })
}
