//! Makes the embedded cluster look like separate processes of a master and agents, for test programs that
//! start and kill those: the commands `flags`, `wait` and `sweep` of a box that runs a real Mesos.
//!
//! `flags` starts a host process with a dormant cluster and prints, as JSON, the commands that stand for its
//! master and agents. Each command is a connection to the host: while it lives, so does its part.

use anyhow::{Context, bail, ensure};
use local::cluster::{AgentSize, Cluster, ClusterConfig, ClusterHandle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().context("usage: box flags|wait|sweep|host|part …")?;
    let options = Options::parse(arguments.collect())?;
    match command.as_str() {
        "flags" => flags(&options)?,
        "host" => host(&options).await?,
        "part" => return part(&options).await,
        "wait" => wait(&options).await?,
        "sweep" => sweep(&options).await?,
        other => bail!("unknown command {other:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// `--name value` and `--name=value`, repeated or not.
struct Options(BTreeMap<String, Vec<String>>);

impl Options {
    fn parse(arguments: Vec<String>) -> anyhow::Result<Self> {
        let mut options: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").with_context(|| format!("unexpected {argument:?}"))?;
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    (name.to_owned(), arguments.next().with_context(|| format!("{argument} needs a value"))?)
                }
            };
            options.entry(name).or_default().push(value);
        }
        Ok(Self(options))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    fn number(&self, name: &str, default: u16) -> anyhow::Result<u16> {
        self.get(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("--{name} {text:?}")))
    }

    fn work_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.get("work-dir").context("--work-dir is missing")?.into())
    }

    /// The value of a Mesos flag such as `offer_timeout=3secs`.
    fn flag(&self, kind: &str, name: &str) -> anyhow::Result<Option<Duration>> {
        let flags = self.0.get(kind).into_iter().flatten().filter_map(|flag| flag.split_once('='));
        let value = flags.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back();
        value.map(|value| mesos::duration::parse(value).context("a flag")).transpose()
    }

    /// As arguments for another process.
    fn arguments(&self) -> Vec<String> {
        self.0
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("--{name}={value}")))
            .collect()
    }
}

fn resources(index: usize) -> String {
    let size = AgentSize::new(index, 2.0, 2048.0);
    format!("cpus:2;mem:2048;disk:1024;ports:[{}-{}]", size.ports.0, size.ports.1)
}

fn flags(options: &Options) -> anyhow::Result<()> {
    let work_dir = options.work_dir()?;
    let this = std::env::current_exe()?.display().to_string();
    let log = std::fs::File::create(work_dir.join("host.log"))?;
    let mut host = std::process::Command::new(&this);
    host.arg("host").args(options.arguments());
    host.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket(&work_dir).exists() {
        ensure!(Instant::now() < deadline, "the host did not start, see {}/host.log", work_dir.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    let part =
        |name: String| vec![this.clone(), "part".into(), format!("--work-dir={}", work_dir.display()), name];
    let agents = usize::from(options.number("agents", 1)?);
    let agents: Vec<Vec<String>> = (0..agents)
        .map(|index| {
            let mut command = part(format!("--agent={index}"));
            command.push(format!("--resources={}", resources(index)));
            command
        })
        .collect();
    let commands = serde_json::json!({"masters": [part("--master=0".into())], "agents": agents});
    println!("{commands}");
    Ok(())
}

fn socket(work_dir: &Path) -> PathBuf {
    work_dir.join("host.socket")
}

/// The cluster, with a socket on which parts are switched on and off.
async fn host(options: &Options) -> anyhow::Result<()> {
    let work_dir = options.work_dir()?;
    let agents =
        (0..usize::from(options.number("agents", 1)?)).map(|i| AgentSize::new(i, 2.0, 2048.0)).collect();
    let ping = options.flag("master-flag", "agent_ping_timeout")?.unwrap_or(Duration::from_secs(5));
    let pings = options.0.get("master-flag").into_iter().flatten();
    let pings = pings.filter_map(|flag| flag.strip_prefix("max_agent_ping_timeouts=")).next_back();
    let pings: u32 = pings.unwrap_or("5").parse()?;
    let defaults = ClusterConfig::new(work_dir.clone(), agents);
    let config = ClusterConfig {
        port: options.number("port", 5050)?,
        offer_timeout: options.flag("master-flag", "offer_timeout")?,
        agent_timeout: ping * pings,
        registration_timeout: options
            .flag("agent-flag", "executor_registration_timeout")?
            .unwrap_or(defaults.registration_timeout),
        recovery_timeout: Duration::from_secs(900),
        dormant: true,
        ..defaults
    };
    let cluster = Cluster::start(config).await?;
    let listener = UnixListener::bind(socket(&work_dir))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        if line.trim() == "sweep" {
            drop(cluster);
            writer.write_all(b"ok\n").await?;
            return Ok(());
        }
        let handle = cluster.handle();
        tokio::spawn(async move {
            if let Err(error) = switch(&handle, line.trim(), reader, writer).await {
                eprintln!("{line:?}: {error:#}");
            }
        });
    }
}

/// Keeps a part alive as long as its connection lasts.
async fn switch(
    handle: &ClusterHandle,
    line: &str,
    mut reader: impl AsyncBufReadExt + Unpin,
    mut writer: impl AsyncWriteExt + Unpin,
) -> anyhow::Result<()> {
    let mut rest = String::new();
    if line == "master" {
        handle.start_master();
        writer.write_all(b"ok\n").await?;
        reader.read_to_string(&mut rest).await.unwrap_or_default();
        handle.kill_master();
        return Ok(());
    }
    let (index, given) =
        line.strip_prefix("agent ").and_then(|rest| rest.split_once(' ')).context("bad line")?;
    let index: usize = index.parse()?;
    if given != resources(index) {
        writer.write_all(b"EXIT with status 1: Incompatible agent info detected\n").await?;
        return Ok(());
    }
    handle.start_agent(index);
    writer.write_all(b"ok\n").await?;
    reader.read_line(&mut rest).await.unwrap_or_default();
    if rest.trim() == "goodbye" {
        handle.stop_agent(index);
        while !handle.has_left(index).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        writer.write_all(b"bye\n").await?;
    } else {
        handle.kill_agent(index);
    }
    Ok(())
}

/// Stands for the master or an agent.
async fn part(options: &Options) -> anyhow::Result<ExitCode> {
    let mut stream = UnixStream::connect(socket(&options.work_dir()?)).await?;
    let line = match (options.get("agent"), options.get("resources")) {
        (Some(index), Some(resources)) => format!("agent {index} {resources}\n"),
        _ => "master\n".to_owned(),
    };
    let mut goodbye = signal(SignalKind::user_defined1())?;
    stream.write_all(line.as_bytes()).await?;
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    match lines.next_line().await?.as_deref() {
        Some("ok") => {}
        refusal => {
            eprintln!("{}", refusal.unwrap_or("EXIT with status 1: the host has gone"));
            return Ok(ExitCode::FAILURE);
        }
    }
    tokio::select! {
        _ = goodbye.recv() => writer.write_all(b"goodbye\n").await?,
        _ = lines.next_line() => bail!("the host has gone"),
    }
    lines.next_line().await?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the master has so many agents.
async fn wait(options: &Options) -> anyhow::Result<()> {
    let master = options.get("master").context("--master is missing")?;
    let agents = options.number("agents", 1)?;
    let deadline = Instant::now() + Duration::from_secs(u64::from(options.number("seconds", 30)?));
    loop {
        if active(master).await.is_ok_and(|found| found == u64::from(agents)) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{agents} agents did not register in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn active(master: &str) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(master).await?;
    let request = format!("GET /metrics/snapshot HTTP/1.1\r\nHost: {master}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let (_, body) = reply.split_once("\r\n\r\n").context("no body")?;
    let metrics: serde_json::Value = serde_json::from_str(body)?;
    metrics["master/slaves_active"].as_u64().context("no such metric")
}

/// Ends the host and all executors.
async fn sweep(options: &Options) -> anyhow::Result<()> {
    let Ok(mut stream) = UnixStream::connect(socket(&options.work_dir()?)).await else { return Ok(()) };
    stream.write_all(b"sweep\n").await?;
    let mut reply = String::new();
    // The host may be gone before it has answered.
    let _ = stream.read_to_string(&mut reply).await;
    Ok(())
}
