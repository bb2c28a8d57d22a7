//! `mesos-miner ctl`: tells a running scheduler what to do, and shows what it does, by its HTTP API.
//!
//! `args` is the command line, `request` what is asked of the scheduler, `http` the connection, and `show` the answer as text for
//! people.

pub mod args;
mod events;
mod http;
mod request;
mod show;
mod token;

use std::process::ExitCode;

use anyhow::Context;
use command_line::print_result;
use serde_json::Value;

pub use self::args::Args;
use self::args::Command;
pub use self::http::ApiUrl;
use self::http::{Answer, Server};
use self::request::{Request, request};

/// The exit status if the scheduler refuses a command: the token is missing or wrong, or the command names what does not exist, does not
/// fit what holds now, or is invalid.
pub const REFUSED: u8 = 3;

/// Gives the command of `args` to the scheduler, and prints the answer. It needs a tokio runtime.
///
/// # Errors
/// If there is no answer, or the scheduler cannot answer. What it refuses is printed, and gives the exit status [`REFUSED`].
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let token = args.token_file.as_deref().map(token::read).transpose()?;
    let server = Server::new(args.url, args.ca.as_deref(), token)?;
    let json = args.json;
    let request = match &args.command {
        Command::Events { after } => return events::follow(&server, after.as_deref(), json).await,
        command => request(command),
    };
    let answer = server.ask(&request).await?;
    if answer.status == 200 {
        let text = if json { text_of(&answer.body) } else { show::answer(&args.command, &answer.body) };
        print_result(text)?;
        return Ok(ExitCode::SUCCESS);
    }
    refused(&request, &answer, json)
}

/// Prints why the scheduler does not obey.
fn refused(request: &Request, answer: &Answer, json: bool) -> anyhow::Result<ExitCode> {
    let why = answer.body["detail"].as_str().map(str::to_owned).unwrap_or_else(|| text_of(&answer.body));
    if !matches!(answer.status, 400 | 401 | 403 | 404 | 409 | 413 | 422) {
        let asked = format!("{} {}", request.method, request.path);
        anyhow::bail!("the scheduler cannot answer {asked} ({}): {why}", answer.status);
    }
    if json {
        print_result(text_of(&answer.body)).context("cannot print the answer")?;
    }
    let hint = match answer.status {
        401 => " (--token-file FILE)",
        _ => "",
    };
    logging::final_error(&format!("refused ({}): {why}{hint}", answer.status));
    Ok(ExitCode::from(REFUSED))
}

/// JSON as one line.
fn text_of(json: &Value) -> String {
    text::escape_json(&json.to_string()).into_owned()
}
