//! A pool that sends literal lines. It uses none of this project's Stratum code.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

use super::tcp_server;

/// A pool that sends the same script to every client, and sends the parameters of each `mining.submit` to the test.
pub struct ScriptedPool {
    pub address: SocketAddr,
    pub submits: Receiver<Vec<Value>>,
}

/// A script: the result of `mining.subscribe`, and the lines to send after the authorization.
#[derive(Clone)]
pub struct Script {
    pub subscribed: Value,
    pub notifications: Vec<String>,
}

impl ScriptedPool {
    pub fn start(script: Script) -> Self {
        let (sender, submits) = channel();
        let address = tcp_server::serve(move |stream| serve(stream, &script, &sender));
        ScriptedPool { address, submits }
    }
}

fn serve(mut stream: &TcpStream, script: &Script, submits: &Sender<Vec<Value>>) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let method = request["method"].as_str().unwrap_or_default();
        let result = match method {
            "mining.subscribe" => script.subscribed.clone(),
            "mining.authorize" | "mining.submit" => json!(true),
            // Old pools do not know other methods, such as mining.configure.
            _ => {
                let error = json!([-3, format!("Method '{method}' not found"), null]);
                writeln!(stream, "{}", json!({"id": request["id"], "result": null, "error": error}))?;
                continue;
            }
        };
        writeln!(stream, "{}", json!({"id": request["id"], "result": result, "error": null}))?;
        if method == "mining.authorize" {
            for line in &script.notifications {
                writeln!(stream, "{line}")?;
            }
        }
        if method == "mining.submit" {
            let parameters = request["params"].as_array().cloned().unwrap_or_default();
            // The send fails only if the test has ended.
            let _ = submits.send(parameters);
        }
    }
    Ok(())
}
