//! The `mesos` crate on a real Mesos: its examples, and all calls of a scheduler.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mesos::scheduler::{self, Event, SchedulerClient, operation};
use mesos::v1::framework_info::{Capability, capability};
use mesos::v1::resource::{ReservationInfo, reservation_info};
use mesos::v1::scheduler::{call, event};
use mesos::v1::{FrameworkInfo, Offer, OperationState, Resource, TaskState, TaskStatus};
use testing::mesos_peer::TestMaster;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::mesos_box::MesosBox;
use crate::support::process::start;
use crate::support::{LONG_DEADLINE, peer};

/// The paths of the example scheduler and executor, which `cargo test --workspace` builds next to the program under test.
/// `None` if they are missing.
fn examples() -> Option<[String; 2]> {
    let folder = Path::new(env!("CARGO_BIN_EXE_mesos-miner")).parent()?.join("examples");
    let paths = ["scheduler", "executor"].map(|name| folder.join(name));
    let there = paths.iter().all(|path| path.is_file());
    peer::require("the examples of `mesos` (cargo build -p mesos --examples)", there.then_some(()))?;
    Some(paths.map(|path| path.to_str().expect("UTF-8").to_owned()))
}

#[test]
fn the_smallest_scheduler_has_a_task_run_by_the_smallest_executor() {
    let (Some(command), Some([scheduler, executor])) = (peer::mesos(), examples()) else { return };
    let mesos = MesosBox::start(&command, 1);
    let ended = start(&scheduler, [&mesos.master.to_string(), &executor]).wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let said = |text: &str| ended.stdout.iter().any(|line| line.starts_with(text));
    for text in ["subscribed to", "launching on", "task-1: TASK_RUNNING", "task-1: TASK_FINISHED"] {
        assert!(said(text), "{text}: {ended:#?}");
    }
}

/// Like a real master, this one takes no call of a framework that has ended.
#[tokio::test]
async fn the_smallest_scheduler_ends_well_although_an_offer_is_on_its_way() {
    let Some([scheduler, executor]) = examples() else { return };
    let refusal = |call| (call == call::Type::Decline).then_some("403 Forbidden");
    let mut master = TestMaster::refusing(refusal).await;
    let mut process = start(&scheduler, [&master.address().to_string(), &executor]);
    let (_, events) = master.subscription().await;
    let framework_id = "f".into();
    events.send(Event::Subscribed(Box::new(event::Subscribed { framework_id, ..Default::default() })));
    events.send(Event::Update(Box::new(TaskStatus {
        task_id: "task-1".into(),
        state: TaskState::TaskFinished.into(),
        agent_id: Some("a".into()),
        uuid: Some(vec![1; 16]),
        ..TaskStatus::default()
    })));
    let offer = Offer { id: "o".into(), agent_id: "a".into(), hostname: "h".into(), ..Offer::default() };
    events.send(Event::Offers(vec![offer]));
    master.call_of(call::Type::Teardown).await;
    let ended = spawn_blocking(move || process.wait(LONG_DEADLINE)).await.expect("no panic");
    assert!(ended.status.success(), "{ended:#?}");
}

const ROLE: &str = "binding";

fn framework() -> FrameworkInfo {
    use capability::Type::{MultiRole, PartitionAware, ReservationRefinement};
    let capabilities = [MultiRole, PartitionAware, ReservationRefinement];
    FrameworkInfo {
        user: "nobody".into(),
        name: "binding".into(),
        roles: vec![ROLE.into()],
        capabilities: capabilities.map(|kind| Capability { r#type: Some(kind.into()) }).to_vec(),
        failover_timeout: Some(60.0),
        ..FrameworkInfo::default()
    }
}

/// The offered CPUs in the form that they have once they are reserved for the role.
fn reserved(offered: &[Resource]) -> Vec<Resource> {
    let mut info = ReservationInfo { role: Some(ROLE.into()), ..ReservationInfo::default() };
    info.set_type(reservation_info::Type::Dynamic);
    let cpus = offered.iter().filter(|it| it.name == "cpus").cloned();
    cpus.map(|it| Resource { role: None, reservations: vec![info.clone()], ..it }).collect()
}

/// Sends every kind of call that a framework without tasks can send. A master checks the form of a call before it responds.
#[tokio::test]
async fn a_real_master_accepts_every_call_and_reports_operations() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    let client = SchedulerClient::new(mesos.master.into());
    let mut events = client.subscribe(&scheduler::subscribe(framework())).await.expect("a subscription");
    let (mut id, mut accepted) = (None, false);
    let mut finished = BTreeSet::new();
    // UPDATE_OPERATION_STATUS arrives twice: when the reservation is done, and in response to RECONCILE_OPERATIONS.
    let told = async {
        while finished.len() < 2 {
            match events.next().await.expect("a stream").expect("more events") {
                Event::Subscribed(subscribed) => id = Some(subscribed.framework_id),
                // Accept only the first offer. Mesos may make another one, with the remaining resources, before the operation is
                // done.
                Event::Offers(offers) if !accepted => {
                    accepted = true;
                    let (framework, offer) = (id.as_ref().expect("SUBSCRIBED is first"), &offers[0]);
                    let reserve = operation::reserve(reserved(&offer.resources)).with_id("o-1".into());
                    let accept = scheduler::accept(framework, vec![offer.id.clone()], vec![reserve], None);
                    client.call(&accept).await.expect("ACCEPT");
                }
                Event::UpdateOperationStatus(status) => {
                    assert_eq!(status.operation_id, Some("o-1".into()));
                    assert_eq!(status.state(), OperationState::OperationFinished, "{status:?}");
                    let framework = id.as_ref().expect("SUBSCRIBED is first");
                    let acknowledgement = scheduler::acknowledge_operation_status(framework, &status);
                    finished.insert(acknowledgement.is_some());
                    if finished.len() == 1 {
                        let asked = vec![("o-1".into(), status.agent_id.clone())];
                        let ask = scheduler::reconcile_operations(framework, asked);
                        client.call(&ask).await.expect("RECONCILE_OPERATIONS");
                        let acknowledgement = acknowledgement.expect("the first one has a uuid");
                        client.call(&acknowledgement).await.expect("ACKNOWLEDGE_OPERATION_STATUS");
                    }
                }
                Event::Error(message) => panic!("{message}"),
                _ => {}
            }
        }
    };
    timeout(LONG_DEADLINE, told).await.expect("both updates");
    let framework = id.expect("SUBSCRIBED came");
    let info = mesos::v1::FrameworkInfo { id: Some(framework.clone()), ..self::framework() };
    let renamed = FrameworkInfo { name: "binding, renamed".into(), ..info };
    for call in [
        scheduler::update_framework(renamed, vec![], None),
        scheduler::accept_inverse_offers(&framework, vec!["gone".into()], Some(Duration::from_secs(1))),
        scheduler::decline_inverse_offers(&framework, vec!["gone".into()], Some(Duration::from_secs(1))),
        scheduler::request(&framework, vec![]),
        scheduler::suppress(&framework, vec![ROLE.into()]),
        scheduler::revive(&framework, vec![]),
        scheduler::decline(&framework, vec!["gone".into()], None),
        scheduler::kill(&framework, "nobody".into(), None, None),
        scheduler::shutdown(&framework, "nobody".into(), "nowhere".into()),
        scheduler::message(&framework, "nobody".into(), "nowhere".into(), vec![1]),
        scheduler::reconcile(&framework, vec![]),
    ] {
        client.call(&call).await.unwrap_or_else(|error| panic!("{call:?}: {error}"));
    }
    assert_eq!(mesos.state()["frameworks"][0]["name"], "binding, renamed", "UPDATE_FRAMEWORK");
    client.call(&scheduler::teardown(&framework)).await.expect("TEARDOWN");
}
