//! What a session does with what comes, without a connection.

use super::*;

fn hear(session: &mut Session, line: &str) -> Vec<Event> {
    session.on_message(Message::from_line(line).unwrap()).unwrap()
}

#[test]
fn of_jobs_before_the_subscription_s_answer_the_last_one_counts() {
    let mut session = Session::new(Options::new("pool.example:1".parse().unwrap(), "u", "x"));
    session.start();
    for job in ["old", "new"] {
        let prev = "00".repeat(32);
        let line = format!(
            r#"{{"method":"mining.notify","params":["{job}","{prev}","","",[],"20000000","1d00ffff","65000000",true]}}"#
        );
        assert_eq!(hear(&mut session, &line), []);
    }
    let events = hear(&mut session, r#"{"id":2,"result":[[],"0a",4],"error":null}"#);
    assert!(matches!(events.last(), Some(Event::Job(job)) if job.id == "new"), "{events:?}");
}

#[test]
fn a_session_that_was_not_asked_for_is_not_resumed() {
    let resume = Some(Resume { session: "s".to_owned(), extranonce1: vec![0x0a] });
    let options = Options { resume, ..Options::new("pool.example:1".parse().unwrap(), "u", "x") };
    for refused in [false, true] {
        let mut session = Session::new(options.clone());
        session.start();
        if refused {
            hear(&mut session, r#"{"id":2,"result":null,"error":[20,"what session?",null]}"#);
        }
        let id = 2 + u32::from(refused);
        // A pool that gives everybody the same.
        let events = hear(&mut session, &format!(r#"{{"id":{id},"result":[[],"0a",4],"error":null}}"#));
        assert_eq!(events[0], Event::Subscribed { resumed: !refused });
    }
}

#[test]
fn answers_that_never_come_are_given_up() {
    let mut session = Session::new(Options::new("pool.example:1".parse().unwrap(), "u", "x"));
    let share = Share { job: "j".to_owned(), extranonce2: vec![0; 4], ntime: 0, nonce: 0, version: 0 };
    let ids: Vec<u64> = (0..=Session::MAX_PENDING).map(|_| session.submit(&share).0).collect();
    assert_eq!(session.pending.len(), Session::MAX_PENDING);
    let mut answer = |id| {
        let response = Response::ok(Id::Number(id), true);
        session.on_message(response.into()).unwrap().remove(0)
    };
    assert!(matches!(answer(ids[0]), Event::Ignored(_)));
    assert_eq!(answer(ids[1]), Event::Answer { id: ids[1], verdict: Verdict::Accepted });
}
