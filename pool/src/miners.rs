//! Lists of the miners, by worker and by address, with their accounts and sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::accounts::{MAX_WORKERS, OVERFLOW, WorkerSummary};
use crate::miner_sessions::MinerSession;

/// A worker with its sessions.
#[derive(Clone, Debug)]
pub struct MinerSummary {
    /// The worker's account; all zero if it has no account yet.
    pub account: WorkerSummary,
    /// Its sessions, oldest first.
    pub sessions: Vec<Arc<MinerSession>>,
}

/// All workers of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressSummary {
    /// Sums over the workers, the best of their shares and the last one. The name is the address, or what else the names of the
    /// workers begin with.
    pub sum: WorkerSummary,
    /// Number of workers.
    pub workers: u64,
    /// Number of sessions of all workers.
    pub sessions: usize,
}

/// Joins accounts, which are sorted by name, and sessions: one row for each worker that has either, sorted by name.
pub fn join(
    accounts: Vec<WorkerSummary>,
    mut sessions: HashMap<Arc<str>, Vec<Arc<MinerSession>>>,
) -> Vec<MinerSummary> {
    let is_full = accounts.len() >= MAX_WORKERS;
    let with_sessions = |account: WorkerSummary| {
        let sessions = sessions.remove(&account.worker).unwrap_or_default();
        MinerSummary { account, sessions }
    };
    let mut rows: Vec<_> = accounts.into_iter().map(with_sessions).collect();
    let new = |(worker, sessions)| MinerSummary { account: WorkerSummary::new(worker), sessions };
    if is_full {
        // Workers without an account of their own share one.
        let mut rest: Vec<_> = sessions.into_values().flatten().collect();
        rest.sort_by_key(|session| session.since_ms);
        match rows.iter_mut().find(|row| &*row.account.worker == OVERFLOW) {
            Some(row) => row.sessions.extend(rest),
            None if rest.is_empty() => {}
            None => rows.push(new((OVERFLOW.into(), rest))),
        }
    } else {
        rows.extend(sessions.into_iter().map(new));
    }
    rows.sort_unstable_by(|a, b| a.account.worker.cmp(&b.account.worker));
    rows
}

/// Sums up the workers of each address, sorted by address.
pub fn by_address(rows: &[MinerSummary], pays_users: bool) -> Vec<AddressSummary> {
    let mut addresses: BTreeMap<&str, AddressSummary> = BTreeMap::new();
    for MinerSummary { account, sessions } in rows {
        let address = address_of(&account.worker, pays_users);
        let new = || AddressSummary { sum: WorkerSummary::new(address.into()), workers: 0, sessions: 0 };
        let row = addresses.entry(address).or_insert_with(new);
        row.workers += 1;
        row.sessions += sessions.len();
        row.sum.totals += account.totals;
        row.sum.hashrate += account.hashrate;
        row.sum.hashrates += account.hashrates;
        row.sum.best_share = row.sum.best_share.max(account.best_share);
        row.sum.last_share_ms = row.sum.last_share_ms.max(account.last_share_ms);
        row.sum.rejections += account.rejections;
    }
    addresses.into_values().collect()
}

/// The address in the name of a worker: what stands before the first dot. If blocks pay the addresses in the names
/// (`pays_users`), all that can be part of an address.
pub fn address_of(worker: &str, pays_users: bool) -> &str {
    let end = |c: char| if pays_users { !c.is_ascii_alphanumeric() } else { c == '.' };
    worker.split(end).next().filter(|address| !address.is_empty()).unwrap_or(worker)
}

#[cfg(test)]
mod tests {
    use task::Totals;

    use super::*;
    use crate::accounts::Hashrates;
    use crate::miner_sessions::{MinerSessionGuard, MinerSessions};
    use crate::share::RejectionCounts;

    fn account(worker: &str, accepted: u64, hashrate: f64) -> WorkerSummary {
        let totals = Totals { accepted, rejected: 1, ..Totals::default() };
        let hashrates = Hashrates { minute: hashrate, hour: 2.0 * hashrate, day: 3.0 * hashrate };
        let rejections = RejectionCounts { duplicate: 1, ..RejectionCounts::default() };
        WorkerSummary {
            totals,
            hashrate,
            hashrates,
            best_share: hashrate,
            last_share_ms: Some(accepted),
            rejections,
            ..WorkerSummary::new(worker.into())
        }
    }

    #[test]
    fn workers_with_an_account_or_a_session_have_a_row() {
        let sessions = Arc::<MinerSessions>::default();
        let mut guard = MinerSessionGuard::new(sessions.clone(), ([127, 0, 0, 1], 1).into(), 7);
        ["b", "a.new"].into_iter().for_each(|worker| guard.add_worker(worker.into()));
        let rows = join(vec![account("a", 1, 1.0), account("b", 2, 2.0)], sessions.by_worker());
        let told: Vec<_> = rows
            .iter()
            .map(|row| (&*row.account.worker, row.account.totals.accepted, row.sessions.len()))
            .collect();
        assert_eq!(told, [("a", 1, 0), ("a.new", 0, 1), ("b", 2, 1)]);
    }

    #[test]
    fn the_connected_workers_beyond_the_limit_of_accounts_have_a_row_in_common() {
        let sessions = Arc::<MinerSessions>::default();
        let mut guard = MinerSessionGuard::new(sessions.clone(), ([127, 0, 0, 1], 1).into(), 7);
        ["7", "late"].into_iter().for_each(|worker| guard.add_worker(worker.into()));
        let mut accounts: Vec<_> = (0..MAX_WORKERS).map(|name| account(&name.to_string(), 1, 1.0)).collect();
        for has_account in [false, true] {
            if has_account {
                accounts.push(account(OVERFLOW, 1, 1.0));
            }
            let rows = join(accounts.clone(), sessions.by_worker());
            let connected: Vec<_> =
                rows.iter().filter(|row| !row.sessions.is_empty()).map(|row| &*row.account.worker).collect();
            assert_eq!((rows.len(), connected), (MAX_WORKERS + 1, vec![OVERFLOW, "7"]));
        }
    }

    #[test]
    fn the_workers_of_an_address_are_summed_up() {
        let accounts = vec![account("x.1", 1, 1.0), account("x.2", 2, 2.0), account("y", 4, 4.0)];
        let addresses = by_address(&join(accounts, HashMap::new()), false);
        assert_eq!(addresses.iter().map(|row| &*row.sum.worker).collect::<Vec<_>>(), ["x", "y"]);
        let (workers, x) = (addresses[0].workers, &addresses[0].sum);
        assert_eq!((workers, x.totals.accepted, x.hashrate, x.best_share), (2, 3, 3.0, 2.0));
        assert_eq!((x.hashrates.hour, x.last_share_ms, x.rejections.duplicate), (6.0, Some(2), 2));
    }

    #[test]
    fn an_address_ends_at_the_first_dot_or_where_no_address_goes_on() {
        for (worker, before_dot, payout) in [
            ("bc1qx.rig.1", "bc1qx", "bc1qx"),
            ("bc1qx/1+0.1", "bc1qx/1+0", "bc1qx"),
            ("rig_1", "rig_1", "rig"),
            (".rig", ".rig", ".rig"),
            ("(nameless)", "(nameless)", "(nameless)"),
        ] {
            assert_eq!((address_of(worker, false), address_of(worker, true)), (before_dot, payout));
        }
    }
}
