//! All traffic of schedulers, agents and tasks over IPv6. A real Mesos does not support IPv6, so a proxy forwards connections
//! to its master, and the agents' host name is an IPv6 address.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::faults::mining::{MiningHarness, WORKERS};
use crate::support::cluster::Cluster;
use crate::support::mesos_box::MesosBox;
use crate::support::peer;

/// Starts a proxy that forwards every connection. It ends with the test's process.
fn forward(listener: TcpListener, to: SocketAddr) {
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(to) else { continue };
            for (mut from, mut to) in
                [(&near, &far), (&far, &near)].map(|(from, to)| (clone(from), clone(to)))
            {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("file descriptors enough")
}

#[test]
fn master_fetcher_server_and_workers_connect_over_ipv6() {
    let Some(command) = peer::mesos() else { return };
    let listener = match TcpListener::bind("[::1]:0") {
        Ok(listener) => listener,
        Err(error) => return eprintln!("skipped: no IPv6 here: {error}"),
    };
    let master = listener.local_addr().expect("bound").to_string();
    let mesos = MesosBox::with_options(&command, WORKERS as u16, &["--cpus=1", "--agent-flag=hostname=::1"]);
    forward(listener, mesos.master);
    let mining = MiningHarness::at(Cluster::Real(mesos), &master, &[]);
    let (_, ended) = mining.end();
    let listens = ended.stderr.iter().find(|line| line.contains(" listens at ")).expect("it is said");
    assert!(listens.contains("stratum+tcp://[::1]:"), "{listens}");
}
