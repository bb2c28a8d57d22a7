//! The address of a server's agent is learned from later offers of the agent.

use super::*;
use crate::server_address::PinnedAddress;

const NAME: &str = "stratum+tcp://a.host:31010";

/// A server that was launched on an offer without the agent's address, as the records of an earlier version have it.
fn script(pinned: Option<PinnedAddress>) -> Script {
    let mut settings = settings();
    settings.template.options.server_address = pinned;
    let mut script = Script::server_of(settings);
    restart(&mut script);
    script
}

fn restart(script: &mut Script) {
    script.restart();
    script.subscribe();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 0) });
    script.server_speaks(None);
    script.write();
}

/// The URLs in the specification of a worker that is launched on this offer.
fn urls(script: &mut Script, offer: Offer) -> Vec<String> {
    script.calls.clear();
    script.event(Event::Offers(vec![offer]));
    script.write();
    let worker = script.launched_worker();
    [vec![worker.pool], worker.alternatives].concat()
}

fn ip_url(ip: &str) -> String {
    format!("stratum+tcp://{ip}:31010")
}

#[test]
fn a_server_without_a_recorded_address_gets_it_from_the_next_offer_of_its_agent() {
    let ip = ip_url("10.0.0.3");
    for (pinned, before, after) in [
        (None, vec![NAME], vec![NAME, &ip]),
        (Some(PinnedAddress::Hostname), vec![NAME], vec![NAME]),
        (Some(PinnedAddress::Ip), vec![NAME], vec![&*ip]),
    ] {
        let mut script = script(pinned);
        let other = launch::at("10.0.0.9", offer("o2", "b", 1.0, 256));
        assert_eq!(urls(&mut script, other), before, "{pinned:?}: an offer of another agent");
        let own = launch::at("10.0.0.3", offer("o3", "a", 1.0, 256));
        assert_eq!(urls(&mut script, own), after, "{pinned:?}: launched on the offer that tells the address");
        assert_eq!(urls(&mut script, offer("o4", "c", 1.0, 256)), after, "{pinned:?}: and later");
        restart(&mut script);
        assert_eq!(urls(&mut script, offer("o5", "d", 1.0, 256)), after, "{pinned:?}: after a restart");
    }
}

#[test]
fn an_agent_that_comes_back_with_another_address_is_reached_there() {
    let mut script = script(None);
    for ip in ["10.0.0.3", "10.0.0.4"] {
        let offer = launch::at(ip, offer(&format!("o {ip}"), "a", 1.0, 256));
        assert_eq!(urls(&mut script, offer), [NAME.to_owned(), ip_url(ip)]);
    }
    // An address that leads nowhere, or a repeated one, changes nothing.
    for ip in ["0.0.0.0", "10.0.0.4"] {
        script.event(Event::Offers(vec![launch::at(ip, offer(&format!("again {ip}"), "a", 0.01, 1))]));
        let learned = |(_, change): &(ChangeId, Change)| matches!(change, Change::AgentUrl { .. });
        assert!(!script.queue.iter().any(learned), "{ip}");
    }
}

#[test]
fn the_user_learns_once_that_the_address_is_not_known() {
    let unknown = |script: &Script| {
        let unknown = |notice: &&UserNotice| matches!(notice, UserNotice::AddressUnknown { .. });
        script.notices.iter().filter(unknown).count()
    };
    for (pinned, expected) in [(Some(PinnedAddress::Ip), 1), (Some(PinnedAddress::Hostname), 0), (None, 0)] {
        let mut launches = {
            let mut settings = settings();
            settings.template.options.server_address = pinned;
            Script::with(settings)
        };
        launches.subscribe();
        launches.event(Event::Offers(vec![offer("o1", "a", 1.0, 256)]));
        launches.write();
        assert_eq!(unknown(&launches), expected, "{pinned:?}: at the launch");
        let mut resumes = script(pinned);
        urls(&mut resumes, offer("o2", "b", 1.0, 256));
        assert_eq!(unknown(&resumes), expected, "{pinned:?}: after a restart");
        urls(&mut resumes, launch::at("10.0.0.3", offer("o3", "a", 1.0, 256)));
        restart(&mut resumes);
        urls(&mut resumes, offer("o4", "c", 1.0, 256));
        assert_eq!(unknown(&resumes), 0, "{pinned:?}: the address is recorded");
    }
}
