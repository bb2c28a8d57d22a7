//! Ports that stay reserved for a test. A socket stays bound to each port, so that no other program can take the port before
//! the test uses it.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// Consecutive ports. Their sockets are bound but do not listen, so a program that sets SO_REUSEADDR (as Mesos, Java and Rust's
/// standard library do) can listen on the ports, and the system gives them to no other program.
#[derive(Debug)]
pub struct ReservedPorts {
    first: u16,
    _sockets: Vec<Socket>,
}

impl ReservedPorts {
    /// Reserves `count` consecutive ports of 127.0.0.1.
    ///
    /// # Panics
    /// When there are no such ports.
    pub fn take(count: u16) -> Self {
        let in_a_row = || {
            let (first, socket) = bound(0)?;
            let rest = (1..count).map(|step| Some(bound(first.checked_add(step)?)?.1));
            let sockets: Option<Vec<_>> = std::iter::once(Some(socket)).chain(rest).collect();
            Some(Self { first, _sockets: sockets? })
        };
        std::iter::repeat_with(in_a_row).take(10_000).flatten().next().expect("ports in a row")
    }

    /// The first of the ports.
    pub fn first(&self) -> u16 {
        self.first
    }
}

/// Binds a socket to this port of 127.0.0.1, or to any port if `port` is 0.
fn bound(port: u16) -> Option<(u16, Socket)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.set_reuse_address(true).ok()?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).ok()?;
    let port = socket.local_addr().ok()?.as_socket()?.port();
    Some((port, socket))
}

/// An address of 127.0.0.1 that refuses connections until the program ends.
///
/// # Panics
/// When there is no port.
pub fn closed_address() -> SocketAddr {
    let (port, socket) = bound(0).expect("a port");
    std::mem::forget(socket);
    SocketAddr::from(([127, 0, 0, 1], port))
}
