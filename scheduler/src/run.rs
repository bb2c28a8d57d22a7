//! The scheduler from its configuration to its summary.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Instant;

use anyhow::Context;
use monitor::Server;
use program::Summary;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Zk};
use crate::display::Display;
use crate::election::{self, Leadership};
use crate::ended::{Ended, Left};
use crate::lead::{Led, lead, limit};
use crate::page::Page;
use crate::store;

/// Runs the framework until `stop` is cancelled, or `duration` or `blocks` are reached, and everything that has to
/// end has ended. With several schedulers, this one waits until it leads, and waits again when it leads no more.
///
/// # Errors
/// If the configuration is no good, the state folder or the executable can't be used, or the master is no Mesos
/// master or refuses the framework; with `retry` off also if master or ZooKeeper can't be reached.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<Ended> {
    let display = Display::start(config.quiet);
    for image in config.programs.images() {
        display.say(format!(
            "of {image} only whether it runs is known: its work is in no account but a pool server's of ours"
        ));
    }
    let end = CancellationToken::new();
    let _end = end.clone().drop_guard();
    if let Some(address) = config.http {
        let server = listen(address, &display).await?;
        tokio::spawn(server.run(end));
    }
    let begun = Instant::now();
    let Some(zk) = &config.zk else {
        return match lead(&config, None, begun, &display, stop).await? {
            Led::Ended(ended) => Ok(*ended),
            Led::Deposed(why) => anyhow::bail!(why),
        };
    };
    loop {
        let waiting = stop.child_token();
        let mut win = pin!(election::win(zk, config.retry, &display, &waiting));
        let won = tokio::select! {
            won = &mut win => won?,
            () = limit(config.duration.map(|duration| duration.saturating_sub(begun.elapsed()))) => {
                waiting.cancel();
                win.await?
            }
        };
        let Some(leadership) = won else {
            let summary = Summary { seconds: begun.elapsed().as_secs_f64(), ..Summary::default() };
            return Ok(Ended::new(summary, Left::Led));
        };
        match term(&config, zk, leadership, begun, &display, stop.clone()).await? {
            Led::Ended(mut ended) => {
                ended.rows_since_ms = store::rows_since(&config.state_dir);
                return Ok(*ended);
            }
            Led::Deposed(why) => {
                display.leads(false);
                display.say(format!("not leading any more ({why})"));
            }
        }
    }
}

/// The HTTP server of `--http`.
async fn listen(address: SocketAddr, display: &Display) -> anyhow::Result<Server<Page>> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        std::io::Result::Ok((listener, address))
    };
    let listening = listening.await.with_context(|| format!("cannot listen on {address} (--http)"))?;
    let server = Server::on(listening, display.page());
    display.say(format!("HTTP on http://{}", server.local_addr()));
    Ok(server)
}

/// One term of leadership; the next one may begin when it is over.
async fn term(
    config: &Config,
    zk: &Zk,
    leadership: Leadership,
    begun: Instant,
    display: &Display,
    stop: CancellationToken,
) -> anyhow::Result<Led> {
    tracing::debug!(zk = %zk.ensemble, "leading");
    let led = lead(config, Some(&leadership), begun, display, stop).await;
    leadership.release().await;
    led
}
