//! Properties for any input: messages are read as they were written, and no bytes from a peer cause a panic.

use hasher::CompactTarget;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use stratum::job::{rolled_version, swap_words};
use stratum::message::{
    Authorize, Configure, ConfigureAnswer, Reconnect, Submit, Subscribe, SubscribeAnswer,
};
use stratum::{
    Call, Id, Message, Notification, Notify, Reason, Request, Response, Session, SessionOptions, Share,
};

fn id() -> impl Strategy<Value = Id> {
    let other = prop_oneof![
        "\"[a-zA-Z0-9 -]{0,40}\"",
        "-[1-9][0-9]{0,40}",
        "[2-9][0-9]{19,60}",
        "[0-9]\\.[0-9]{1,30}e[1-9][0-9]{0,4}",
        Just("true".to_owned()),
        Just("[1,null]".to_owned()),
    ];
    prop_oneof![Just(Id::Null), any::<u64>().prop_map(Id::Number), other.prop_map(Id::Other)]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9a-f]{0,12}".prop_map(Value::from),
        "[0-9a-f]{64}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((".{0,8}", inner), 0..4).prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn reason() -> impl Strategy<Value = Reason> {
    (any::<u32>(), ".{0,400}").prop_map(|(code, text)| Reason::new(code, &text))
}

fn message() -> impl Strategy<Value = Message> {
    let call = (id(), ".{0,20}", vec(json(), 0..10))
        .prop_map(|(id, method, params)| Message::Call(Call { id, method, params }));
    let nonnull = id().prop_filter("an answer needs an id", |id| *id != Id::Null);
    let response = (nonnull, json(), option::of(reason()))
        .prop_map(|(id, result, error)| Message::Response(Response { id, result, error }));
    prop_oneof![call, response]
}

fn notify() -> impl Strategy<Value = Notify> {
    let bytes = || vec(any::<u8>(), 0..200);
    let branch = vec(any::<[u8; 32]>(), 0..14);
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), option::of(any::<bool>()));
    ("[0-9a-zA-Z]{0,40}", any::<[u8; 32]>(), bytes(), bytes(), branch, numbers).prop_map(
        |(job, prev_hash, coinb1, coinb2, branch, (version, nbits, ntime, clean))| {
            let nbits = CompactTarget(nbits);
            Notify { job, prev_hash, coinb1, coinb2, branch, version, nbits, ntime, clean }
        },
    )
}

fn difficulty() -> impl Strategy<Value = f64> {
    prop_oneof![1e-9..1e16, (1_u64..u64::MAX).prop_map(|n| n as f64), f64::MIN_POSITIVE..f64::MAX]
}

fn notification() -> impl Strategy<Value = Notification> {
    let extranonce = (vec(any::<u8>(), 0..=64), option::of(1_usize..=16));
    let wait = (0_u64..=600).prop_map(std::time::Duration::from_secs);
    let reconnect = (option::of("[a-z.]{1,30}"), option::of(1_u16..), wait);
    prop_oneof![
        notify().prop_map(Notification::Notify),
        difficulty().prop_map(Notification::SetDifficulty),
        extranonce.prop_map(|(extranonce1, extranonce2_len)| Notification::SetExtranonce {
            extranonce1,
            extranonce2_len
        }),
        any::<u32>().prop_map(Notification::SetVersionMask),
        reconnect.prop_map(|(host, port, wait)| Notification::Reconnect(Reconnect { host, port, wait })),
        "[!-~]{0,300}".prop_map(Notification::ShowMessage),
        Just(Notification::GetVersion),
        Just(Notification::Ping),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let text = || "[ -~]{0,40}";
    let minimum = option::of(prop_oneof![Just(0.0), difficulty()]);
    let configure = (option::of(any::<u32>()), minimum, any::<bool>())
        .prop_map(|(mask, least, extranonce)| Configure::new(mask, least, extranonce));
    let subscribe = prop_oneof![
        Just((None, None)),
        text().prop_map(|agent| (Some(agent), None)),
        (option::of(text()), text()).prop_map(|(agent, session)| (agent, Some(session))),
    ];
    let header = (any::<u32>(), any::<u32>(), option::of(any::<u32>()));
    let submit = (text(), text(), vec(any::<u8>(), 0..=16), header);
    prop_oneof![
        configure.prop_map(Request::Configure),
        subscribe.prop_map(|(user_agent, session)| Request::Subscribe(Subscribe { user_agent, session })),
        (text(), text()).prop_map(|(user, password)| Request::Authorize(Authorize { user, password })),
        difficulty().prop_map(Request::SuggestDifficulty),
        Just(Request::SubscribeExtranonce),
        submit.prop_map(|(user, job, extranonce2, (ntime, nonce, version_bits))| {
            Request::Submit(Submit { user, job, extranonce2, ntime, nonce, version_bits })
        }),
        Just(Request::Ping),
        "other\\.[a-z_]{1,20}".prop_map(Request::Unknown),
    ]
}

fn reread(message: &Message) -> Message {
    let line = message.to_line();
    assert!(!line.contains('\n'), "{line:?}");
    Message::from_line(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn reread_call(call: Call) -> Call {
    match reread(&call.into()) {
        Message::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

/// JSON that resembles a message: real methods with any parameters, or real parameters, some of them replaced.
fn almost_message() -> impl Strategy<Value = Value> {
    let methods = prop::sample::select(vec![
        "mining.notify",
        "mining.set_difficulty",
        "mining.set_extranonce",
        "mining.set_version_mask",
        "mining.configure",
        "mining.subscribe",
        "mining.authorize",
        "mining.submit",
        "mining.suggest_difficulty",
        "client.reconnect",
        "client.show_message",
        "client.get_version",
        "mining.ping",
    ]);
    let any_params =
        (methods, json()).prop_map(|(method, params)| json!({"method": method, "params": params}));
    let spoiled = (prop_oneof![notification_params(), request_params()], 0_usize..9, json()).prop_map(
        |(call, at, value)| {
            let mut params = call.params;
            if let Some(place) = params.get_mut(at) {
                *place = value;
            } else {
                params.truncate(at / 2);
            }
            json!({"method": call.method, "params": params})
        },
    );
    let answer = (1_u64..5, json(), json())
        .prop_map(|(id, result, error)| json!({"id": id, "result": result, "error": error}));
    let subscribed =
        (1_u64..4, json(), json(), json()).prop_map(|(id, a, b, c)| json!({"id": id, "result": [a, b, c]}));
    prop_oneof![any_params, spoiled, answer, subscribed]
}

fn notification_params() -> impl Strategy<Value = Call> {
    notification().prop_map(|notification| notification.to_call().expect("a known method"))
}

fn request_params() -> impl Strategy<Value = Call> {
    request().prop_map(|request| request.to_call(Id::Number(1)))
}

/// Does everything that a pool or a miner does with a line.
fn process(session: &mut Session, line: &str) {
    let Ok(message) = Message::from_line(line) else { return };
    match &message {
        Message::Call(call) => drop((Notification::from_call(call), Request::from_call(call))),
        Message::Response(response) => {
            let _ = SubscribeAnswer::from_response(response);
            let _ = ConfigureAnswer::from_response(response);
            let _ = (response.submit_result(), response.refusal());
        }
    }
    reread_any(&message);
    let _ = session.on_message(message);
    if let Some(job) = session.job() {
        let job = job.clone();
        let extranonce2 = vec![0xff; job.extranonce2_len];
        job.header(&extranonce2, job.ntime, rolled_version(job.version, job.version_mask, u32::MAX));
        session.submit(&Share { job: job.id.clone(), extranonce2, ntime: 0, nonce: 0, version: 0 });
    }
}

/// Checks that a message that was read is the same after it is written and read again.
fn reread_any(message: &Message) {
    let unwritable = matches!(message, Message::Response(Response { id: Id::Null, .. }));
    if !unwritable {
        assert_eq!(reread(message), *message);
    }
}

fn session() -> Session {
    let mut session = Session::new(SessionOptions::new("pool.example:3333".parse().unwrap(), "u", "x"));
    session.start();
    session
}

proptest! {
    #[test]
    fn messages_are_read_back(message in message()) {
        prop_assert_eq!(reread(&message), message);
    }

    #[test]
    fn notifications_are_read_back(notification in notification(), id in id()) {
        let call = Call { id, ..notification.to_call().unwrap() };
        prop_assert_eq!(Notification::from_call(&reread_call(call)).unwrap(), notification);
    }

    #[test]
    fn requests_are_read_back(request in request(), id in id()) {
        prop_assert_eq!(Request::from_call(&reread_call(request.to_call(id))).unwrap(), request);
    }

    #[test]
    fn answers_are_read_back(
        session in option::of("[0-9a-z]{1,40}"),
        extranonce1 in vec(any::<u8>(), 0..=64),
        extranonce2_len in 1_usize..=16,
        mask in option::of(any::<u32>()),
        known in any::<(bool, bool)>(),
    ) {
        let subscribe = SubscribeAnswer { session, extranonce1, extranonce2_len };
        let response = Response::ok(Id::Number(1), subscribe.to_result());
        prop_assert_eq!(SubscribeAnswer::from_response(&response).unwrap(), subscribe);

        let configure = ConfigureAnswer {
            version_mask: mask,
            minimum_difficulty: Some(known.0),
            subscribe_extranonce: Some(known.1),
        };
        let asked = ["version-rolling", "minimum-difficulty", "subscribe-extranonce", "info"].map(str::to_owned);
        let response = Response::ok(Id::Number(1), configure.to_result(&asked));
        prop_assert_eq!(&response.result["info"], &json!(false));
        prop_assert_eq!(ConfigureAnswer::from_response(&response).unwrap(), configure);
    }

    #[test]
    fn nothing_panics_on_bytes(bytes in vec(any::<u8>(), 0..300)) {
        process(&mut session(), &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn nothing_panics_on_spoiled_lines(line in message().prop_map(|m| m.to_line()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = line.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        process(&mut session(), &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn nothing_panics_on_almost_messages(messages in vec(almost_message(), 1..20)) {
        let mut session = session();
        for message in messages {
            process(&mut session, &message.to_string());
        }
    }

    #[test]
    fn swapping_words_twice_changes_nothing(digest in any::<[u8; 32]>()) {
        prop_assert_eq!(swap_words(swap_words(digest)), digest);
    }

    #[test]
    fn rolled_versions_change_only_masked_bits(job in any::<u32>(), mask in any::<u32>(), bits in any::<u32>()) {
        let version = rolled_version(job, mask, bits);
        prop_assert_eq!(version & !mask, job & !mask);
        prop_assert_eq!(version & mask, bits & mask);
    }
}
