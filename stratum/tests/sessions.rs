//! Replays sessions with various pools, line by line. `data/README.md` describes the format.

use std::collections::VecDeque;
use std::path::Path;

use stratum::{Event, Job, Message, OptionalRequest, ResumeToken, Session, SessionOptions, Share};

#[test]
fn sessions_of_all_pools() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sessions");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        Player::new(path.file_name().unwrap().to_str().unwrap())
            .play(&std::fs::read_to_string(&path).unwrap());
        played += 1;
    }
    assert!(played >= 11, "{played} sessions");
}

/// Replays a file that lists the inputs of a session and its expected outputs. `sent` and `events` are the session's outputs. An
/// output is removed when the file's next expectation matches it.
struct Player {
    place: String,
    options: SessionOptions,
    session: Option<Session>,
    sent: VecDeque<String>,
    events: VecDeque<String>,
    error: Option<stratum::ProtocolError>,
}

impl Player {
    fn new(file: &str) -> Self {
        let pool = "stratum+tcp://pool.example:3333".parse().unwrap();
        let mut options = SessionOptions::new(pool, "user.worker", "x");
        options.user_agent = "test/1".to_owned();
        Player {
            place: file.to_owned(),
            options,
            session: None,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            error: None,
        }
    }

    fn play(mut self, text: &str) {
        let file = self.place.clone();
        for (number, line) in text.lines().enumerate() {
            self.place = format!("{file}:{}", number + 1);
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                "#" => {}
                "@" => self.option(rest),
                "<" => self.receive(rest),
                "submit" => self.submit(rest),
                ">" => self.expect_sent(rest),
                "=" => assert_eq!(self.events.pop_front().as_deref(), Some(rest), "{}", self.place),
                "!" | "!!" => self.expect_error(rest, mark == "!!"),
                other => panic!("{}: unknown mark {other:?}", self.place),
            }
        }
        self.expect_nothing();
    }

    fn option(&mut self, text: &str) {
        use OptionalRequest::{Configure, SubscribeExtranonce, SuggestDifficulty};
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["plain"] => self.options.omit.extend([Configure, SubscribeExtranonce]),
            ["omit", method] => {
                let requests = [Configure, SuggestDifficulty, SubscribeExtranonce];
                self.options.omit.extend(requests.into_iter().find(|request| request.method() == method));
            }
            ["suggest", difficulty] => self.options.suggest_difficulty = Some(difficulty.parse().unwrap()),
            ["minimum", difficulty] => self.options.minimum_difficulty = Some(difficulty.parse().unwrap()),
            ["pool", url] => self.options.pool = url.parse().unwrap(),
            ["resume", session, extranonce1] => {
                let extranonce1 = hex::decode(extranonce1).unwrap();
                self.options.resume = Some(ResumeToken { session: session.to_owned(), extranonce1 });
            }
            _ => panic!("{}: unknown option {text:?}", self.place),
        }
    }

    fn session(&mut self) -> &mut Session {
        let Player { options, sent, session, .. } = self;
        session.get_or_insert_with(|| {
            let mut session = Session::new(options.clone());
            sent.extend(session.start().iter().map(Message::to_line));
            session
        })
    }

    fn receive(&mut self, line: &str) {
        self.expect_nothing();
        let message = Message::from_line(line).unwrap_or_else(|error| panic!("{}: {error}", self.place));
        match self.session().on_message(message) {
            Err(error) => self.error = Some(error),
            Ok(events) => {
                for event in events {
                    match event {
                        Event::Send(message) => self.sent.push_back(message.to_line()),
                        event => self.events.push_back(describe(&event)),
                    }
                }
            }
        }
    }

    fn submit(&mut self, text: &str) {
        self.expect_nothing();
        let [job, extranonce2, ntime, nonce, version] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{}: {text:?}", self.place);
        };
        let number = |text| u32::from_str_radix(text, 16).unwrap();
        let share = Share {
            job: job.to_owned(),
            extranonce2: hex::decode(extranonce2).unwrap(),
            ntime: number(ntime),
            nonce: number(nonce),
            version: number(version),
        };
        let (_, message) = self.session().submit(&share);
        self.sent.push_back(message.to_line());
    }

    fn expect_sent(&mut self, line: &str) {
        self.session();
        let sent = self.sent.pop_front();
        // The sent id must be the same text as the expected one. The order of the other JSON members does not matter.
        let id = |line: &str| line.split(',').next().map(str::to_owned);
        assert_eq!(sent.as_deref().and_then(id), id(line), "{}", self.place);
        let parse =
            |line: &str| serde_json::from_str::<serde_json::Value>(&line.replace("1e400", "null")).unwrap();
        assert_eq!(sent.as_deref().map(parse), Some(parse(line)), "{}", self.place);
    }

    fn expect_error(&mut self, text: &str, is_fatal: bool) {
        let error = self.error.take().unwrap_or_else(|| panic!("{}: no error", self.place));
        assert!(error.to_string().contains(text), "{}: {error}", self.place);
        assert_eq!(error.is_fatal(), is_fatal, "{}", self.place);
    }

    fn expect_nothing(&mut self) {
        self.session();
        assert_eq!(self.sent, Vec::<String>::new(), "{}: sent, not expected", self.place);
        assert_eq!(self.events, Vec::<String>::new(), "{}: not expected", self.place);
        assert!(self.error.is_none(), "{}: {:?}", self.place, self.error);
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Subscribed { resumed: false } => "subscribed".to_owned(),
        Event::Subscribed { resumed: true } => "subscribed resumed".to_owned(),
        Event::Authorized => "authorized".to_owned(),
        Event::Job(job) => describe_job(job),
        Event::Difficulty(difficulty) => format!("difficulty {difficulty}"),
        Event::VersionMask(mask) => format!("mask {mask:08x}"),
        Event::Answer { id, result: Ok(()) } => format!("answer {id} accepted"),
        Event::Answer { id, result: Err(reason) } => {
            format!("answer {id} rejected {} {}", reason.code, reason.message)
        }
        Event::Reconnect { pool, wait } => format!("reconnect {pool} after {} s", wait.as_secs()),
        Event::ShowMessage(text) => format!("message {text}"),
        Event::Ignored(_) => "ignored".to_owned(),
        other => format!("{other:?}"),
    }
}

fn describe_job(job: &Job) -> String {
    // A job has a target but no difficulty. So look for the difficulty among those that occur in the session files.
    let difficulties = [1.4e-8, 1.0, 2.0, 42.0, 512.0, 1024.0, 1e15];
    let difficulty = difficulties
        .into_iter()
        .find(|difficulty| hasher::Target::from_difficulty(*difficulty) == job.target);
    format!(
        "job {} difficulty {} mask {:08x} extranonce1 {} extranonce2 {} branch {}{}",
        job.id,
        difficulty.unwrap_or(f64::NAN),
        job.version_mask,
        hex::encode(&job.extranonce1),
        job.extranonce2_len,
        job.branch.len(),
        if job.clean { " clean" } else { "" }
    )
}
