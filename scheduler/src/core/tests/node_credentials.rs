//! A node of the server restarts with a new cookie.

use ::task::{BlockSourceSpec, Instruction, Message, NodeAccess, NodeSpec};
use command_line::CookieFiles;

use super::*;
use crate::task_info::ServerProgram;

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "http://n:8332";
const SERVER: &str = "miner-server-1";

fn node(password: &str) -> NodeAccess {
    NodeAccess { url: URL.into(), user: Some("__cookie__".into()), password: Some(password.into()) }
}

/// A server whose node has a cookie file, and another node that has a user.
fn on_node(password: &str) -> Settings {
    let mut settings = settings();
    let other = NodeAccess { url: "http://o:8332".into(), user: Some("me".into()), password: None };
    let spec = NodeSpec { nodes: vec![node(password), other], ..NodeSpec::default() };
    settings.template.programs = Programs {
        server: ServerProgram::Builtin(BlockSourceSpec::Node(spec)),
        cookies: [(URL.to_owned(), "/n/.cookie".into())].into_iter().collect(),
        ..Programs::default()
    };
    settings
}

impl Script {
    fn server_uses(&mut self, credentials: Option<u64>, problem: Option<Problem>) {
        let live = Live::Pool(PoolLive { credentials, problem, ..PoolLive::default() });
        self.event(Event::Message { executor: SERVER.into(), data: live.encode() });
    }

    /// The cookie file has a new content.
    fn new_cookie(&mut self, password: &str) {
        let mut nodes = self.state.settings.template.programs.nodes().to_vec();
        nodes[0] = node(password);
        self.event(Event::NodeCredentials(nodes));
    }

    /// The revisions and nodes that were sent to the server since the last question.
    fn sent(&mut self) -> Vec<(u64, Vec<NodeAccess>)> {
        let sent = self.calls.drain(..).filter_map(|call| match call {
            Call::Message { executor, data, .. } if executor == SERVER => Some(data),
            _ => None,
        });
        let read = |data: Vec<u8>| match Instruction::decode(&data).unwrap() {
            Instruction::SetNodeCredentials { revision, nodes } => (revision, nodes),
            other => panic!("{other:?}"),
        };
        sent.map(read).collect()
    }

    /// The nodes in the specification of the last server that was launched.
    fn launched_nodes(&self) -> Vec<NodeAccess> {
        let data = self.calls.iter().rev().find_map(|call| match call {
            Call::Accept { tasks, .. } => tasks.first()?.data.clone(),
            _ => None,
        });
        let ProgramSpec::Server(server) = TaskSpec::decode(&data.expect("a launch")).unwrap().kind else {
            panic!("no server")
        };
        let BlockSourceSpec::Node(spec) = server.block_source else { panic!("no node") };
        spec.nodes
    }
}

#[test]
fn a_new_cookie_is_sent_until_the_server_has_it() {
    let mut script = Script::server_of(on_node("one"));
    script.server_uses(Some(0), None);
    assert_eq!(script.sent(), [], "it was launched with the cookie of today");
    script.new_cookie("two");
    let sent = script.sent();
    let [(revision, nodes)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(nodes[..], [node("two")], "only what comes from a file");
    let notices: Vec<_> = script.notices.drain(..).map(|notice| notice.to_string()).collect();
    assert!(notices.iter().any(|text| text.contains("new content")), "{notices:?}");
    assert!(!notices.iter().any(|text| text.contains("two")), "{notices:?}");
    // The message is lost, or still on its way.
    script.server_uses(Some(0), None);
    assert_eq!(script.sent(), []);
    script.now += 3 * SECOND;
    let refused = Problem::new(ProblemKind::NodeCredentials, "node n refuses access");
    script.server_uses(Some(0), Some(refused));
    assert_eq!(script.sent(), sent, "again");
    script.now += 3 * SECOND;
    script.server_uses(Some(*revision), None);
    assert_eq!(script.sent(), []);
}

#[test]
fn a_refused_server_makes_the_scheduler_unhealthy() {
    let mut script = Script::server_of(on_node("one"));
    let refused = Problem::new(ProblemKind::NodeCredentials, "node n refuses access");
    script.server_uses(Some(0), Some(refused));
    script.wait(2 * SECOND);
    let overview = script.state.overview(script.now);
    let first = &overview.problems.first[0];
    assert!(first.kind.is_unhealthy() && first.text.contains("node n refuses access"), "{first:?}");
    assert_eq!(script.killed(), [""; 0], "it can be told of a new cookie");
}

#[test]
fn servers_of_earlier_versions_are_not_told_and_later_ones_are_launched_with_the_new_cookie() {
    let mut script = Script::server_of(on_node("one"));
    script.server_uses(None, None);
    script.new_cookie("two");
    script.now += 3 * SECOND;
    script.server_uses(None, None);
    assert_eq!(script.sent(), []);
    script.update(status(SERVER, TaskState::TaskFailed, 2));
    script.write();
    script.wait(SECOND);
    script.event(Event::Offers(vec![offer("o2", "b", 1.5, 1024)]));
    script.write();
    assert_eq!(script.launched_nodes()[0], node("two"));
}

/// The next server is launched with the new cookie, and can be told of later ones.
#[test]
fn a_server_of_an_earlier_version_is_replaced_when_its_node_refuses_it() {
    let refused = || Some(Problem::new(ProblemKind::NodeCredentials, "node n refuses access"));
    let mut script = Script::server_of(on_node("one"));
    script.server_uses(None, None);
    script.new_cookie("two");
    script.wait(5 * SECOND);
    assert_eq!(script.killed(), [""; 0], "the node has not refused it");
    script.server_uses(None, refused());
    script.wait(5 * SECOND);
    script.write();
    assert_eq!(script.killed(), [SERVER]);
    script.update(status(SERVER, TaskState::TaskKilled, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o2", "b", 1.5, 1024)]));
    script.write();
    assert_eq!(script.launched_nodes()[0], node("two"));

    // Without a cookie file, the next server would have the same credentials.
    let mut settings = on_node("one");
    settings.template.programs.cookies = CookieFiles::default();
    let mut script = Script::server_of(settings);
    script.server_uses(None, refused());
    script.wait(5 * SECOND);
    script.write();
    assert_eq!(script.killed(), [""; 0]);
}

#[test]
fn a_server_that_is_still_starting_is_told_too() {
    let mut script = Script::with(on_node("one"));
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
    script.write();
    assert_eq!(script.launched_nodes()[0], node("one"));
    script.new_cookie("two");
    assert_eq!(script.sent(), [], "it has no executor yet");
    script.update(status(SERVER, TaskState::TaskStarting, 1));
    script.write();
    assert_eq!(script.sent().len(), 1);
    script.update(status(SERVER, TaskState::TaskRunning, 2));
    script.write();
    script.now += 3 * SECOND;
    script.server_uses(Some(0), None);
    assert_eq!(script.sent().len(), 1, "the first one may have been lost");
}

/// The cookie may have changed while no scheduler ran. That is no reason to replace the server.
#[test]
fn a_server_of_an_earlier_run_is_told_and_not_replaced() {
    let mut script = Script::server_of(on_node("one"));
    script.settings = Settings { seed: 2, ..on_node("two") };
    script.restart();
    script.subscribe();
    script.update(status(SERVER, TaskState::TaskRunning, 2));
    script.write();
    script.now += 3 * SECOND;
    script.server_uses(Some(0), None);
    let sent = script.sent();
    assert!(sent.len() == 1 && sent[0].1 == [node("two")], "{sent:?}");
    script.server_uses(Some(sent[0].0), None);
    script.wait(100 * SECOND);
    assert_eq!(script.killed(), [""; 0]);
    assert!(!script.task(SERVER).is_to_end());
}

/// A launch that failed for the old cookie is tried again at once.
#[test]
fn launches_that_failed_for_the_old_cookie_do_not_wait_for_their_pause() {
    let mut script = Script::with(on_node("one"));
    script.subscribe();
    let problem = Problem::new(ProblemKind::NodeCredentials, "node n refuses access");
    for number in 1..=7 {
        let before = script.launched().len();
        script.event(Event::Offers(vec![offer(&format!("o{number}"), "a", 1.5, 1024)]));
        script.write();
        while script.launched().len() == before {
            script.wait(10 * SECOND);
            script.event(Event::Offers(vec![offer(&format!("p{number}"), "a", 1.5, 1024)]));
            script.write();
        }
        let server = script.launched().last().cloned().unwrap();
        let data = Message::Waiting(problem.clone()).encode();
        script.event(Event::Message { executor: server.clone(), data });
        script.update(TaskStatus { message: Some("x".into()), ..status(&server, TaskState::TaskFailed, 1) });
        script.write();
    }
    let before = script.launched().len();
    script.event(Event::Offers(vec![offer("q", "b", 1.5, 1024)]));
    script.write();
    assert_eq!(script.launched().len(), before, "it waits");
    script.new_cookie("two");
    script.event(Event::Offers(vec![offer("r", "b", 1.5, 1024)]));
    script.write();
    assert_eq!(script.launched().len(), before + 1);
    assert_eq!(script.launched_nodes()[0], node("two"));
}
