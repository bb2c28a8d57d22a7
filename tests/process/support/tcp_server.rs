//! A server of a test on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};

/// Starts a server that handles each connection in a thread of its own.
pub fn serve(handle: impl Fn(&TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            // Errors are ignored, because a client may close its connection at any time.
            std::thread::spawn(move || drop(handle(&stream)));
        }
    });
    address
}
