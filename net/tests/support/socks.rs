//! A SOCKS5 proxy (RFC 1928, RFC 1929). It ignores the requested host and connects to the requested port on this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A running proxy.
pub struct Socks {
    pub address: SocketAddr,
    /// The hosts and ports to which clients asked the proxy to connect.
    pub asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Socks {
    /// Starts a proxy that requires these credentials, if any.
    pub async fn start(credentials: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let requests = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, credentials, requests.clone()));
            }
        });
        Socks { address, asked }
    }
}

async fn serve(
    mut client: TcpStream,
    credentials: Option<(&'static str, &'static str)>,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
) -> std::io::Result<()> {
    let offered = {
        let _version = client.read_u8().await?;
        read_counted(&mut client).await?
    };
    let method = if credentials.is_some() { 2 } else { 0 };
    if !offered.contains(&method) {
        return client.write_all(&[5, 0xff]).await;
    }
    client.write_all(&[5, method]).await?;
    if let Some((user, password)) = credentials {
        let _version = client.read_u8().await?;
        let given = (read_counted(&mut client).await?, read_counted(&mut client).await?);
        let good = given == (user.as_bytes().to_vec(), password.as_bytes().to_vec());
        client.write_all(&[1, u8::from(!good)]).await?;
        if !good {
            return Ok(());
        }
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let host = match head {
        [5, 1, 0, 1] => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
        [5, 1, 0, 3] => String::from_utf8(read_counted(&mut client).await?).unwrap(),
        [5, 1, 0, 4] => std::net::Ipv6Addr::from(client.read_u128().await?).to_string(),
        other => panic!("{other:?} is not a request to connect"),
    };
    let port = client.read_u16().await?;
    asked.lock().unwrap().push((host, port));
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    };
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Reads one byte with a length, and then this many bytes.
async fn read_counted(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
