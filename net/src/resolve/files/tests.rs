use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// What a name server does.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// The server knows the addresses of `miner.example` and `both.example`.
    Answer,
    /// Like `Answer`, but answers over UDP are truncated.
    AnswerOverTcp,
    /// Like `Answer`, but the server fails for names in `broken.example`.
    FailForBroken,
    Say(ResponseCode),
    Nothing,
}

/// A name server, and the names for which it was asked.
struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl NameServer {
    async fn start(does: Does) -> Self {
        Self::at("127.0.0.1:0", does).await.expect("a free port")
    }

    async fn at(address: &str, does: Does) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let (address, asked) = (socket.local_addr()?, Arc::new(Mutex::new(BTreeSet::new())));
        let tcp = TcpListener::bind(address).await?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut question = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answer(&question, Does::Answer).unwrap();
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        let names = asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = &buffer[..length];
                names
                    .lock()
                    .unwrap()
                    .insert(Message::from_vec(question).unwrap().queries[0].name().to_ascii());
                if let Some(answer) = answer(question, does) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Ok(Self { address, asked })
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().cloned().collect()
    }
}

/// Servers at 127.0.0.1, 127.0.0.2 and so on, all at the same port.
async fn name_servers<const N: usize>(do_each: [Does; N]) -> [NameServer; N] {
    'ports: loop {
        let mut servers: Vec<NameServer> = Vec::new();
        for (index, does) in do_each.into_iter().enumerate() {
            let port = servers.first().map_or(0, NameServer::port);
            match NameServer::at(&format!("127.0.0.{}:{port}", index + 1), does).await {
                Ok(server) => servers.push(server),
                Err(_) => continue 'ports,
            }
        }
        return servers.try_into().unwrap_or_else(|_| panic!("{N} servers"));
    }
}

fn answer(question: &[u8], does: Does) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().to_lowercase();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    let data = match (name.as_str(), query.query_type()) {
        ("miner.example." | "both.example.", RecordType::A) => Some(RData::A(A::new(127, 0, 0, 9))),
        ("both.example.", RecordType::AAAA) => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        ("miner.example.", _) => None,
        _ => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            None
        }
    };
    match does {
        Does::Nothing => return None,
        Does::Say(code) => answer.metadata.response_code = code,
        Does::FailForBroken if name.ends_with("broken.example.") => {
            answer.metadata.response_code = ResponseCode::ServFail;
        }
        Does::AnswerOverTcp => answer.metadata.truncation = true,
        Does::Answer | Does::FailForBroken => {
            answer.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 60, data)));
        }
    }
    answer.add_query(query);
    Some(answer.to_vec().unwrap())
}

/// Files in a folder of their own; `None` leaves a file out.
fn files(hosts: Option<&str>, resolv_conf: Option<&str>, port: u16) -> (ResolverFiles, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: Option<&str>| {
        let path = folder.path().join(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        path
    };
    let files =
        ResolverFiles { hosts: file("hosts", hosts), resolv_conf: file("resolv.conf", resolv_conf), port };
    (files, folder)
}

async fn resolved(files: &ResolverFiles, host: &str) -> String {
    match files.addresses(host).await {
        Ok(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn without_any_file_localhost_is_known_and_others_are_explained() {
    let closed = testing::ports::closed_address().port();
    let (files, _folder) = files(None, None, closed);
    for name in ["localhost", "LOCALHOST.", "a.localhost"] {
        assert_eq!(resolved(&files, name).await, "127.0.0.1 ::1", "{name}");
    }
    let error = resolved(&files, "pool.example").await;
    assert!(error.contains("hosts does not list it") && error.contains("resolv.conf"), "{error}");
    let (files, _folder) = self::files(Some("127.0.0.2 other"), Some("# nothing\n"), closed);
    let error = resolved(&files, "pool.example").await;
    assert!(error.contains("hosts does not list it") && error.contains("resolv.conf"), "{error}");
}

#[tokio::test]
async fn the_file_of_hosts_comes_before_the_name_server() {
    let server = NameServer::start(Does::Answer).await;
    let hosts =
        "127.0.0.2 node1.example node1 # a comment\n::1 node1.example\nnonsense\n127.0.0.3 localhost\n";
    let (files, _folder) = files(Some(hosts), Some("nameserver 127.0.0.1\n"), server.port());
    assert_eq!(resolved(&files, "Node1.example").await, "127.0.0.2 ::1");
    assert_eq!(resolved(&files, "node1").await, "127.0.0.2");
    assert_eq!(resolved(&files, "localhost").await, "127.0.0.3");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn name_servers_are_asked_with_the_search_domains() {
    let server = NameServer::start(Does::Answer).await;
    let conf = "search example\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    let (files, _folder) = files(None, Some(conf), server.port());
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
    assert_eq!(resolved(&files, "miner").await, "127.0.0.9");
    let mut both = files.addresses("both.example").await.unwrap();
    both.sort();
    assert_eq!(both, [IpAddr::from([127, 0, 0, 9]), Ipv6Addr::LOCALHOST.into()]);
    let error = resolved(&files, "none.example").await;
    assert!(error.contains("know no address"), "{error}");
}

#[tokio::test]
async fn files_that_change_are_read_again() {
    let server = NameServer::start(Does::Answer).await;
    let (files, folder) = files(None, None, server.port());
    fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.3\n").unwrap();
    assert!(files.addresses("miner.example").await.is_err());
    fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
    fs::write(folder.path().join("hosts"), "127.0.0.4 miner.example\n").unwrap();
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.4");
}

#[tokio::test]
async fn the_next_server_is_asked_after_a_silent_one_which_is_then_asked_last() {
    let [silent, answers] = name_servers([Does::Nothing, Does::Answer]).await;
    let conf = "search none.example example\nnameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1\n";
    let (files, _folder) = files(None, Some(conf), answers.port());
    assert_eq!(resolved(&files, "miner").await, "127.0.0.9");
    assert_eq!(silent.asked(), ["miner.none.example."]);
    assert_eq!(answers.asked(), ["miner.example.", "miner.none.example."]);
}

#[tokio::test]
async fn the_next_server_is_asked_after_one_that_cannot_answer() {
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp, ResponseCode::FormErr] {
        let [fails, answers] = name_servers([Does::Say(code), Does::Answer]).await;
        let (files, _folder) =
            files(None, Some("nameserver 127.0.0.1\nnameserver 127.0.0.2\n"), answers.port());
        assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9", "{code}");
        assert_eq!(fails.asked(), ["miner.example."], "{code}");
    }
    // Nobody listens at 127.0.0.3, and there is no such network interface.
    let server = NameServer::start(Does::Answer).await;
    let conf = "nameserver 127.0.0.3\nnameserver fe80::1%none\nnameserver 127.0.0.1\n";
    let (files, _folder) = files(None, Some(conf), server.port());
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
}

#[tokio::test]
async fn the_next_server_is_not_asked_after_one_that_knows_there_is_no_such_name() {
    let [first, second] = name_servers([Does::Answer, Does::Answer]).await;
    let (files, _folder) = files(None, Some("nameserver 127.0.0.1\nnameserver 127.0.0.2\n"), first.port());
    assert!(files.addresses("none.example").await.is_err());
    assert!(!first.asked().is_empty() && second.asked().is_empty());
}

#[tokio::test]
async fn when_no_server_answers_the_error_says_what_each_did_before_connections_time_out() {
    let [silent, _fails] = name_servers([Does::Nothing, Does::Say(ResponseCode::ServFail)]).await;
    let conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n";
    let (files, _folder) = files(None, Some(conf), silent.port());
    let error = resolved(&files, "miner.example").await;
    for part in [
        "127.0.0.1: no answer within 1.1 s",
        "127.0.0.2: it answers Server Failure",
        "127.0.0.3: it cannot be reached",
        "no name server of ",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn without_a_name_server_in_the_file_this_machine_is_asked() {
    let server = NameServer::start(Does::Answer).await;
    for conf in [None, Some("options timeout:1\n"), Some("nameserver nonsense\n")] {
        let (files, _folder) = files(None, conf, server.port());
        assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9", "{conf:?}");
    }
}

#[tokio::test]
async fn a_bad_or_broken_search_domain_does_not_matter_to_the_others() {
    let server = NameServer::start(Does::FailForBroken).await;
    let conf = "search -bad..domain broken.example example\nnameserver 127.0.0.1\noptions attempts:1\n";
    let (files, _folder) = files(None, Some(conf), server.port());
    assert_eq!(resolved(&files, "miner").await, "127.0.0.9");
    // The server fails for `other.broken.example`, so it is not known whether this name exists.
    let error = resolved(&files, "other").await;
    assert!(error.contains("127.0.0.1: it answers Server Failure"), "{error}");
}

#[tokio::test]
async fn long_answers_come_over_tcp_and_servers_may_be_on_one_link() {
    let server = NameServer::start(Does::AnswerOverTcp).await;
    let (files, _folder) = files(None, Some("nameserver 127.0.0.1\n"), server.port());
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
    let server = NameServer::at("[::1]:0", Does::AnswerOverTcp).await.unwrap();
    let (files, _folder) = self::files(None, Some("nameserver ::1%lo\n"), server.port());
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
}

#[test]
fn names_are_tried_as_resolv_conf_5_says() {
    let names = |host: &str, conf: &str| {
        let (config, _) = Config::parse_with_errors(conf.as_bytes());
        let names = candidates(&Name::from_ascii(host).unwrap(), &config);
        names.iter().map(Name::to_ascii).collect::<Vec<_>>().join(" ")
    };
    for (host, conf, expected) in [
        ("a", "search x y", "a.x. a.y. a."),
        ("a", "domain x", "a.x. a."),
        ("a", "search x\ndomain y", "a.y. a."),
        ("a.", "search x", "a."),
        ("a.b", "search x", "a.b. a.b.x."),
        ("a.b", "search x\noptions ndots:2", "a.b.x. a.b."),
        ("a", "search x\noptions ndots:0", "a. a.x."),
        ("a", "search a_b", "a.a_b. a."),
    ] {
        assert_eq!(names(host, conf), expected, "{host} {conf:?}");
    }
}
