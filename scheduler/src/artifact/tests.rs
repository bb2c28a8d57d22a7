use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::time::timeout;

use super::downloads::{CHUNK, DOWNLOADS};
use super::*;

const DEADLINE: Duration = Duration::from_secs(60);
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Starts a server of this file at this address.
async fn start(file: &Path, address: Option<&str>) -> Result<ArtifactServer, ArtifactError> {
    let told = address.map(|text| told_address(text).unwrap());
    let address = ArtifactAddress::new(told, None).unwrap();
    ArtifactServer::start(file, &std::env::temp_dir(), &address, LOCAL).await
}

fn authority(server: &ArtifactServer) -> &str {
    server.uri().strip_prefix("http://").unwrap().split('/').next().unwrap()
}

fn path(server: &ArtifactServer) -> String {
    server.uri().strip_prefix("http://").unwrap().split_once('/').map(|(_, path)| format!("/{path}")).unwrap()
}

fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of the headers");
    &answer[end + 4..]
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

async fn get(server: &ArtifactServer, method: &str, path: &str) -> Vec<u8> {
    fetch(authority(server), authority(server), method, path).await
}

async fn fetch(from: impl ToSocketAddrs, authority: &str, method: &str, path: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(from).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    answer
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

#[tokio::test]
async fn serves_the_whole_file_under_its_checksum_and_nothing_else() {
    let content: Vec<u8> = (0..CHUNK * 2 + 17).map(|i| (i % 251) as u8).collect();
    let file = file(&content);
    let server = start(file.path(), None).await.unwrap();
    let checksum = hex::encode(Sha256::digest(&content));
    assert!(server.uri().ends_with(&format!("/{checksum}/mesos-miner")), "{}", server.uri());
    let path = format!("/{checksum}/mesos-miner");
    let answer = get(&server, "GET", &path).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert!(answer.ends_with(&content));
    let head = String::from_utf8(get(&server, "HEAD", &path).await).unwrap();
    assert!(head.contains(&format!("content-length: {}", content.len())) && head.ends_with("\r\n\r\n"));
    assert!(get(&server, "GET", "/mesos-miner").await.starts_with(b"HTTP/1.1 404"));
    assert!(get(&server, "PUT", &path).await.starts_with(b"HTTP/1.1 405"));
}

#[tokio::test]
async fn a_name_is_served_over_both_kinds_of_addresses() {
    let file = file(b"x");
    let server = start(file.path(), Some("miner.example")).await.unwrap();
    let (authority, path) = server.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port: u16 = authority.strip_prefix("miner.example:").unwrap().parse().unwrap();
    let mut kinds = vec![LOCAL];
    // Some machines have no IPv6 at all.
    kinds.extend(TcpListener::bind("[::1]:0").await.is_ok().then(|| IpAddr::from(Ipv6Addr::LOCALHOST)));
    for ip in kinds {
        let answer = fetch(SocketAddr::new(ip, port), authority, "GET", &format!("/{path}")).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{ip}");
    }
    let server = start(file.path(), Some("::1")).await;
    assert!(server.is_err() || server.is_ok_and(|server| server.uri().starts_with("http://[::1]:")));
}

/// All of 127.0.0.0/8 is this machine's, so a server on all addresses would answer at 127.0.0.2, too.
#[tokio::test]
async fn localhost_is_served_on_loopback_only() {
    let server = start(file(b"x").path(), Some("localhost")).await.unwrap();
    let port: u16 = authority(&server).strip_prefix("localhost:").unwrap().parse().unwrap();
    let answer = get(&server, "GET", &path(&server)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    let elsewhere = TcpStream::connect(("127.0.0.2", port)).await;
    assert_eq!(elsewhere.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_missing_file_and_a_port_in_use_are_told_apart() {
    let error = start(Path::new("/no/such/file"), None).await.unwrap_err();
    assert!(matches!(error, ArtifactError::File { .. }), "{error}");
    let taken = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = start(file(b"x").path(), Some(&address)).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Listen { .. }), "{error}");
    // An address of another machine (RFC 5737).
    let error = start(file(b"x").path(), Some("192.0.2.1:80")).await.unwrap_err();
    assert!(error.to_string().contains("--artifact-listen ADDRESS[:PORT]"), "{error}");
}

/// Between the agents and the server, something forwards connections, such as NAT or a container's published port.
#[tokio::test]
async fn agents_are_told_another_address_than_the_one_that_is_bound() {
    let file = file(b"content");
    let told = Some(told_address("127.0.0.2:7").unwrap());
    let address = ArtifactAddress::new(told, Some(listen_at("127.0.0.1:0").unwrap()));
    assert!(address.is_err(), "nothing forwards port 7 to any port");
    let free = TcpListener::bind((LOCAL, 0)).await.unwrap().local_addr().unwrap();
    let told = Some(told_address("127.0.0.2:7").unwrap());
    let address = ArtifactAddress::new(told, Some(listen_at(&free.to_string()).unwrap())).unwrap();
    let server = ArtifactServer::start(file.path(), &std::env::temp_dir(), &address, LOCAL).await.unwrap();
    assert_eq!(authority(&server), "127.0.0.2:7");
    let answer = fetch(free, authority(&server), "GET", &path(&server)).await;
    assert_eq!(body(&answer), b"content");
}

#[tokio::test]
async fn agents_on_other_machines_fetch_an_archive_and_the_plain_file_is_served_too() {
    let content = vec![7; 1_000_000];
    let file = file(&content);
    let server = start(file.path(), Some("localhost")).await.unwrap();
    let packed = path(&server);
    assert!(packed.ends_with("/mesos-miner.tar.gz"), "{packed}");
    let answer = get(&server, "GET", &packed).await;
    let archive = body(&answer);
    let headers = String::from_utf8_lossy(&answer[..answer.len() - archive.len()]).into_owned();
    assert!(headers.contains(&format!("content-length: {}\r\n", archive.len())), "{headers}");
    assert!(!headers.contains("content-encoding"), "{headers}");
    assert!(archive.len() < content.len() / 10);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut unpacked).unwrap();
    assert!(unpacked == content);
    let plain = get(&server, "GET", packed.strip_suffix(".tar.gz").unwrap()).await;
    assert!(body(&plain) == content);
}

#[tokio::test]
async fn more_downloads_wait_while_length_requests_are_answered() {
    let content = noise(16 << 20);
    let file = file(&content);
    let server = start(file.path(), None).await.unwrap();
    let path = path(&server);
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // These agents read 2000 bytes and then stop reading. The file is longer than all buffers, so their downloads do not end.
    let mut idle = Vec::new();
    for _ in 0..DOWNLOADS {
        let mut socket = TcpStream::connect(authority(&server)).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.read_exact(&mut [0; 2000]).await.unwrap();
        idle.push(socket);
    }
    let head = timeout(DEADLINE, get(&server, "HEAD", &path)).await.expect("an answer at once");
    assert!(String::from_utf8(head).unwrap().contains(&format!("content-length: {}", content.len())));
    let mut last = TcpStream::connect(authority(&server)).await.unwrap();
    last.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(DEADLINE, last.read_u8()).await.expect("the headers at once").unwrap());
    }
    // The first of these two measurements may have begun before the request was there.
    let mut stats = server.downloads();
    for _ in 0..2 {
        timeout(DEADLINE, stats.changed()).await.expect("the statistics are published").unwrap();
    }
    assert_eq!(stats.borrow().running, DOWNLOADS);
    let early = last.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(io::ErrorKind::WouldBlock), "it has no turn yet");
    idle.pop();
    timeout(DEADLINE, last.read_to_end(&mut answer)).await.expect("its turn comes").unwrap();
    assert!(body(&answer) == content);
}

#[tokio::test]
async fn downloads_are_counted_and_measured() {
    let content = noise(3 * CHUNK);
    let file = file(&content);
    let server = start(file.path(), None).await.unwrap();
    let mut stats = server.downloads();
    assert_eq!(*stats.borrow(), DownloadStats::default());
    for _ in 0..3 {
        assert!(body(&get(&server, "GET", &path(&server)).await) == content);
    }
    get(&server, "HEAD", &path(&server)).await;
    let told = timeout(DEADLINE, stats.wait_for(|stats| stats.finished == 3))
        .await
        .expect("the statistics are published")
        .unwrap();
    assert_eq!((told.bytes, told.failed), (3 * content.len() as u64, 0));
    assert!(told.per_second > 0.0);
}
