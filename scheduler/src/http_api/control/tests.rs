use api::Page;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use utoipa::OpenApi;

use super::changes::page;
use super::*;
use crate::control::{self, Steering};
use crate::http_api::MetricsInputs;
use crate::journal::{Command, MiningPause, RecordedCommand, ScaleLimits};
use crate::query::{Standby, channel};

#[derive(OpenApi)]
#[openapi(paths(
    put_scale,
    post_pause,
    post_resume,
    post_kill,
    post_avoid,
    delete_avoid,
    post_teardown,
    changes::get_changes
))]
struct Described;

#[test]
fn openapi_describes_what_operators_tell() {
    let description = api::describe(Described::openapi()).unwrap();
    testing::openapi::is_current("scheduler/openapi/control.json", &resources().operations(), &description);
}

fn command(at_ms: u64, what: Command) -> RecordedCommand {
    let by = Operator { name: "alice".into(), address: Some("127.0.0.1".into()) };
    RecordedCommand { said: Said { by, at_ms }, what }
}

fn api(phase: SchedulerPhase) -> HttpApi {
    HttpApi::new(watch::channel(phase).1, series::SeriesHandle::default(), MetricsInputs::default())
}

fn alice() -> Caller {
    Caller { name: "alice".into(), address: "127.0.0.1:5".parse().unwrap() }
}

fn json_of(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_limit_is_left_cleared_or_set() {
    let read =
        |text: &str| serde_json::from_str::<ScaleBody>(text).map(|body| (body.max_workers, body.max_cpus));
    assert_eq!(read("{}").unwrap(), (None, None));
    assert_eq!(read(r#"{"max_workers": null, "max_cpus": 2.5}"#).unwrap(), (Some(None), Some(Some(2.5))));
    assert_eq!(read(r#"{"max_workers": 7}"#).unwrap(), (Some(Some(7)), None));
    for wrong in [r#"{"max_workers": -1}"#, r#"{"max_workers": "7"}"#, r#"{"workers": 7}"#, "7"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert_eq!(checked_cpus(0.1005), Ok(101));
    for wrong in [-1.0, 1e10, f64::INFINITY, f64::NAN] {
        assert_eq!(checked_cpus(wrong).unwrap_err().status(), 422);
    }
    assert_eq!(checked_workers(HIGHEST + 1).unwrap_err().status(), 422);
}

#[test]
fn ids_are_visible_ascii() {
    assert_eq!(checked_id("miner-worker-7".into(), "a task").unwrap(), "miner-worker-7");
    for wrong in ["", "a b", "ä", "a\u{7}", &"x".repeat(256)] {
        assert_eq!(checked_id(wrong.into(), "a task").unwrap_err().status(), 422, "{wrong}");
    }
}

#[test]
fn a_change_says_who_when_and_what() {
    let limits = ScaleLimits { max_workers: Some(3), max_cpus_milli: Some(2500) };
    let scale = Command::Scale { limits, options: ScaleLimits::default() };
    let change = json_of(&Change::of(&command(1000, scale)));
    let expected = json!({
        "time": "Thu, 01 Jan 1970 00:00:01 GMT",
        "at_ms": 1000,
        "by": {"name": "alice", "address": "127.0.0.1"},
        "command": "scale",
        "text": "scale to max_workers 3 and max_cpus 2.5",
        "limits": {"max_workers": 3, "max_cpus": 2.5},
    });
    assert_eq!(change, expected);
    let kill = json_of(&Change::of(&command(1, Command::Kill { task: "t".into() })));
    assert_eq!((&kill["command"], &kill["task"]), (&json!("kill"), &json!("t")));
}

#[test]
fn changes_are_listed_in_pages() {
    let changes = || (0..5).map(|at| Change::of(&command(at, Command::Resume))).collect::<Vec<_>>();
    let times = |page: &Page<Change>| page.items.iter().map(|change| change.at_ms).collect::<Vec<_>>();
    let first = page(changes(), None, 2);
    assert_eq!((times(&first), first.next.as_deref(), first.total), (vec![0, 1], Some("3"), 5));
    let second = page(changes(), Some(3), 2);
    assert_eq!((times(&second), second.next.as_deref()), (vec![2, 3], Some("1")));
    let last = page(changes(), Some(1), 2);
    assert_eq!((times(&last), last.next), (vec![4], None));
    assert_eq!(times(&page(changes(), Some(99), 9)).len(), 5);
    assert!(page(changes(), Some(0), 9).items.is_empty());
}

#[tokio::test]
async fn an_order_goes_to_the_driver_with_who_has_given_it() {
    let (queries, _queue) = channel();
    let (client, mut orders) = control::channel();
    let api = api(SchedulerPhase::Leading(queries, client));
    let driver = async {
        let request = orders.next().await;
        assert_eq!((&request.order, &*request.said.by.name), (&Order::Resume, "alice"));
        assert_eq!(request.said.by.address.as_deref(), Some("127.0.0.1"));
        let command = RecordedCommand { said: request.said, what: Command::Resume };
        orders.answer(Ok(Obeyed { command, tasks: 2, limits: ScaleLimits::default() }));
        orders.next().await;
        orders.answer(Err(ControlError::Refused(Refusal::Conflict("not now".into()))));
        orders.next().await;
        orders.answer(Err(ControlError::Refused(Refusal::Unknown("no such".into()))));
    };
    let client = async {
        let done = json_of(&api.give(alice(), Order::Resume).await.unwrap().0);
        assert_eq!((&done["change"]["command"], &done["tasks"]), (&json!("resume"), &json!(2)));
        let refused = api.give(alice(), Order::Resume).await.unwrap_err();
        assert_eq!(refused, RequestError::Conflict("not now".into()));
        let refused = api.give(alice(), Order::Resume).await.unwrap_err();
        assert_eq!(refused, RequestError::NotFound("no such".into()));
    };
    tokio::join!(driver, client);
}

#[tokio::test]
async fn who_does_not_lead_says_who_does() {
    let leader = Some("h (process 7, http://h:80/)".to_owned());
    let standby = Standby { problem: None, leader };
    for (phase, why) in [
        (
            SchedulerPhase::Standby(standby),
            "another scheduler leads, h (process 7, http://h:80/): ask that one",
        ),
        (SchedulerPhase::Standby(Standby::default()), "another scheduler leads: ask that one"),
        (SchedulerPhase::Starting(None), "has not subscribed to a master yet"),
        (SchedulerPhase::Ending, "is ending"),
    ] {
        let refused = api(phase).give(alice(), Order::Resume).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        assert!(refused.detail().contains(why), "{refused:?}");
    }
}

#[test]
fn what_holds_is_shown() {
    let said = Said { by: Operator { name: "alice".into(), address: None }, at_ms: 1000 };
    let pause = MiningPause { release: true, said: said.clone() };
    let steering = Steering { pause: Some(pause), avoided: 2, teardown: Some(said), ..Steering::default() };
    let shown = json_of(&SteeringJson::from(&steering));
    assert_eq!((&shown["pause"]["by"]["name"], &shown["pause"]["release"]), (&json!("alice"), &json!(true)));
    assert_eq!((&shown["avoided_agents"], &shown["tearing_down"]), (&json!(2), &json!(true)));
    assert_eq!((&shown["scale"], &shown["limits"]["max_workers"]), (&Value::Null, &Value::Null));
}
