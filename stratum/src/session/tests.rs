//! Tests of sessions that have no connection.

use super::*;

fn receive(session: &mut Session, line: &str) -> Vec<Event> {
    session.on_message(Message::from_line(line).unwrap()).unwrap()
}

#[test]
fn the_last_job_before_the_answer_to_subscribe_counts() {
    let mut session = Session::new(SessionOptions::new("pool.example:1".parse().unwrap(), "u", "x"));
    session.start();
    for job in ["old", "new"] {
        let prev = "00".repeat(32);
        let line = format!(
            r#"{{"method":"mining.notify","params":["{job}","{prev}","","",[],"20000000","1d00ffff","65000000",true]}}"#
        );
        assert_eq!(receive(&mut session, &line), []);
    }
    let events = receive(&mut session, r#"{"id":2,"result":[[],"0a",4],"error":null}"#);
    assert!(matches!(events.last(), Some(Event::Job(job)) if job.id == "new"), "{events:?}");
}

#[test]
fn a_session_counts_as_resumed_only_if_that_was_requested() {
    let resume = Some(ResumeToken { session: "s".to_owned(), extranonce1: vec![0x0a] });
    let options =
        SessionOptions { resume, ..SessionOptions::new("pool.example:1".parse().unwrap(), "u", "x") };
    for refused in [false, true] {
        let mut session = Session::new(options.clone());
        session.start();
        if refused {
            receive(&mut session, r#"{"id":2,"result":null,"error":[20,"what session?",null]}"#);
        }
        let id = 2 + u32::from(refused);
        // This pool assigns the same extranonce1 to every connection.
        let events = receive(&mut session, &format!(r#"{{"id":{id},"result":[[],"0a",4],"error":null}}"#));
        assert_eq!(events[0], Event::Subscribed { resumed: !refused });
    }
}

#[test]
fn requests_without_an_answer_are_bounded() {
    let mut session = Session::new(SessionOptions::new("pool.example:1".parse().unwrap(), "u", "x"));
    let share = Share { job: "j".to_owned(), extranonce2: vec![0; 4], ntime: 0, nonce: 0, version: 0 };
    let ids: Vec<u64> = (0..=Session::MAX_PENDING).map(|_| session.submit(&share).0).collect();
    assert_eq!(session.pending.len(), Session::MAX_PENDING);
    let mut answer = |id| {
        let response = Response::ok(Id::Number(id), true);
        session.on_message(response.into()).unwrap().remove(0)
    };
    assert!(matches!(answer(ids[0]), Event::Ignored(_)));
    assert_eq!(answer(ids[1]), Event::Answer { id: ids[1], result: Ok(()) });
}
