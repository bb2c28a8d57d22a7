//! `mining.authorize`: who mines here, for whom, and at which difficulty.

use bitcoin::{Network, ScriptBuf};
use node::network::payout_script;
use stratum::Reason;
use stratum::message::Authorize;

use super::Session;

/// Workers that one connection may authorize.
pub(super) const MAX_WORKERS: usize = 64;

impl Session {
    /// Adds a worker to the connection, and does what its password asks for.
    pub(super) fn authorize(&mut self, authorize: Authorize) -> Result<(), Reason> {
        let refuse = |text: &str| Err(Reason::new(Reason::UNAUTHORIZED, text));
        let Authorize { user, password } = authorize;
        if user.chars().any(char::is_control) {
            return refuse("the user name has control characters");
        }
        let payee = match self.settings.pays_users.map(|network| payee(&user, network)).transpose() {
            Ok(payee) => payee,
            Err(text) => return refuse(&text),
        };
        if self.payee.is_some() && self.payee != payee {
            return refuse("a connection has one address: open another connection for another one");
        }
        if let Some(difficulty) = fixed_difficulty(&password) {
            self.vardiff.fix(difficulty);
        }
        if self.workers.iter().any(|worker| **worker == *user) {
            return Ok(());
        }
        if self.workers.len() >= MAX_WORKERS {
            return refuse("too many workers on this connection");
        }
        self.payee = payee;
        self.workers.push(user.into());
        Ok(())
    }
}

/// The script that pays to the address in a worker's name.
fn payee(user: &str, network: Network) -> Result<ScriptBuf, String> {
    // No kind of address has other characters. Mostly it is a dot that follows; p2pool's miners write `/1+0.1`.
    let address = user.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    payout_script(address, network)
        .map_err(|error| format!("this pool pays the address in the user name, ADDRESS.WORKER: {error}"))
}

/// The difficulty that a password asks for, as in `x,d=0.5`.
pub(super) fn fixed_difficulty(password: &str) -> Option<f64> {
    password.split([',', ';', ' ']).find_map(|option| option.trim().strip_prefix("d=")?.parse().ok())
}
