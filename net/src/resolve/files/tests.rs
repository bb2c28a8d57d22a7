use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record};
use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::*;

/// A name server that knows `miner.example` and `both.example`, and counts its questions.
async fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Relaxed);
            let answer = answer(&Message::from_vec(&buffer[..length]).unwrap());
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    (address, asked)
}

fn answer(question: &Message) -> Message {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    let data = match (query.name().to_ascii().to_lowercase().as_str(), query.query_type()) {
        ("miner.example." | "both.example.", RecordType::A) => Some(RData::A(A::new(127, 0, 0, 9))),
        ("both.example.", RecordType::AAAA) => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        ("miner.example.", _) => None,
        _ => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            None
        }
    };
    answer.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 60, data)));
    answer.add_query(query);
    answer
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
    let (files, _folder) = files(None, None, 53);
    for name in ["localhost", "LOCALHOST.", "a.localhost"] {
        assert_eq!(resolved(&files, name).await, "127.0.0.1 ::1", "{name}");
    }
    let error = resolved(&files, "pool.example").await;
    assert!(error.contains("hosts does not list it") && error.contains("resolv.conf"), "{error}");
    let (files, _folder) = self::files(Some("127.0.0.2 other"), Some("# nothing\n"), 53);
    let error = resolved(&files, "pool.example").await;
    assert!(error.contains("hosts does not list it") && error.contains("resolv.conf"), "{error}");
}

#[tokio::test]
async fn the_file_of_hosts_comes_before_the_name_server() {
    let (server, asked) = name_server().await;
    let hosts =
        "127.0.0.2 node1.example node1 # a comment\n::1 node1.example\nnonsense\n127.0.0.3 localhost\n";
    let (files, _folder) = files(Some(hosts), Some("nameserver 127.0.0.1\n"), server.port());
    assert_eq!(resolved(&files, "Node1.example").await, "127.0.0.2 ::1");
    assert_eq!(resolved(&files, "node1").await, "127.0.0.2");
    assert_eq!(resolved(&files, "localhost").await, "127.0.0.3");
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test]
async fn name_servers_are_asked_with_the_search_domains() {
    let (server, _) = name_server().await;
    let conf = "search example\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    let (files, _folder) = files(None, Some(conf), server.port());
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
    assert_eq!(resolved(&files, "miner").await, "127.0.0.9");
    let mut both = files.addresses("both.example").await.unwrap();
    both.sort();
    assert_eq!(both, [IpAddr::from([127, 0, 0, 9]), Ipv6Addr::LOCALHOST.into()]);
    let error = resolved(&files, "none.example").await;
    assert!(error.contains("no records found"), "{error}");
}

#[tokio::test]
async fn files_that_change_are_read_again() {
    let (server, _) = name_server().await;
    let (files, folder) = files(None, None, server.port());
    assert!(files.addresses("miner.example").await.is_err());
    fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.9");
    fs::write(folder.path().join("hosts"), "127.0.0.4 miner.example\n").unwrap();
    assert_eq!(resolved(&files, "miner.example").await, "127.0.0.4");
}
