//! Tests on a real Mesos: from which address agents fetch the executor, and on which address the scheduler listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testing::ports::ReservedPorts;

use crate::support::mesos_box::MesosBox;
use crate::support::process::mesos_miner;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The address of a simulated NAT gateway. The scheduler does not listen on this address.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Forwards connections at the gateway to the scheduler, as NAT does. Returns the gateway's address, and the number of
/// connections so far.
fn forward(to: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((GATEWAY, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || {
                let server = TcpStream::connect(to)?;
                let (mut up, mut down) = ((client.try_clone()?, server.try_clone()?), (server, client));
                let upwards = thread::spawn(move || std::io::copy(&mut up.0, &mut up.1));
                std::io::copy(&mut down.0, &mut down.1)?;
                // Ends the other direction, too.
                let _ = down.1.shutdown(std::net::Shutdown::Both);
                let _ = upwards.join();
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (address, count)
}

#[test]
fn agents_fetch_through_a_forwarder_what_the_scheduler_serves_elsewhere() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    let ports = ReservedPorts::take(1);
    let bound = SocketAddr::from(([127, 0, 0, 1], ports.first()));
    let (told, connections) = forward(bound);
    let (listen, told) = (bound.to_string(), told.to_string());
    let (master, state) = (mesos.master.to_string(), tempfile::tempdir().expect("a temporary folder"));
    let state = state.path().to_str().expect("temporary folders are plain text");
    let fixed = ["scheduler", "--master", &master, "--state-dir", state, "--server-cpus", "0.2"];
    let address = ["--artifact-address", &told, "--artifact-listen", &listen, "--teardown-on-exit", "--json"];
    let mut scheduler = mesos_miner([&fixed[..], &address].concat());
    until("a worker runs", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let state = mesos.state();
        let tasks = state["frameworks"][0]["tasks"].as_array()?.clone();
        let runs = |task: &serde_json::Value| {
            task["state"] == "TASK_RUNNING"
                && task["id"].as_str().is_some_and(|id| id.starts_with("miner-worker-"))
        };
        tasks.iter().any(runs).then_some(())
    });
    assert!(connections.load(Ordering::Relaxed) > 0, "the executor came through the forwarder");
    scheduler.interrupt(LONG_DEADLINE);
}

/// An address of another machine (RFC 5737) can be told to agents, but not be bound.
#[test]
fn an_address_of_another_machine_needs_one_of_this_machine_to_listen_on() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    let (master, state) = (mesos.master.to_string(), tempfile::tempdir().expect("a temporary folder"));
    let state = state.path().to_str().expect("temporary folders are plain text");
    let fixed =
        ["scheduler", "--master", &master, "--state-dir", state, "--artifact-address", "192.0.2.1:20595"];
    let ended = mesos_miner(fixed).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    for part in ["192.0.2.1:20595", "--artifact-listen ADDRESS[:PORT]", "NAT"] {
        assert!(ended.errors().contains(part), "{part}: {ended:#?}");
    }
}
