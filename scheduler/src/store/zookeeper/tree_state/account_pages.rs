//! The accounts of miners that are not tasks. The accounts that one task reports are distributed over pages of limited size. Each
//! page is one node in ZooKeeper.

use std::collections::{BTreeMap, BTreeSet};

/// The maximum size of a page in bytes. An account that would make a page larger than this is put on a new page. ZooKeeper limits
/// a node to about a million bytes.
pub(super) const PAGE_BYTES: usize = 200_000;
/// The maximum size of an account in a page, in bytes, without the names of its task and its worker.
const ACCOUNT_BYTES: usize = 400;

/// Where workers' accounts are stored. The accounts that come from one reporting task are divided among pages, and each page is a
/// node in ZooKeeper.
#[derive(Clone, Debug, Default)]
pub(super) struct AccountPages {
    by_reporter: BTreeMap<String, ReporterPages>,
}

/// The pages of one reporting task.
#[derive(Clone, Debug, Default)]
struct ReporterPages {
    /// Worker name → the number of the page that contains the worker's account.
    pages: BTreeMap<String, usize>,
    /// Page number → the workers whose accounts are on this page.
    workers: BTreeMap<usize, BTreeSet<String>>,
    /// The number of the page to which the next account is added, and the size of this page in bytes.
    last: usize,
    bytes: usize,
}

impl AccountPages {
    /// The name of the page that contains an account; a page is a ZooKeeper node with several accounts. A new account is assigned
    /// to the last page or, if that page is full, to a new one.
    pub fn page_for(&mut self, reporter: &str, worker: &str) -> String {
        if let Some(page) = self.find(reporter, worker) {
            return page;
        }
        let pages = self.by_reporter.entry(reporter.to_owned()).or_default();
        // JSON encodes each byte of a name in at most six bytes.
        let size = ACCOUNT_BYTES + reporter.len() + 6 * worker.len();
        if pages.bytes + size > PAGE_BYTES {
            (pages.last, pages.bytes) = (pages.last + 1, 0);
        }
        pages.bytes += size;
        let page = pages.last;
        pages.insert(page, worker);
        name(reporter, page)
    }

    /// Registers an account that was read from a page. Such a page counts as full, because its size is not known.
    pub fn insert_read(&mut self, reporter: &str, page: usize, worker: &str) {
        let pages = self.by_reporter.entry(reporter.to_owned()).or_default();
        (pages.last, pages.bytes) = (pages.last.max(page), PAGE_BYTES);
        pages.insert(page, worker);
    }

    /// The name of the page that contains an account, if there is one.
    pub fn find(&self, reporter: &str, worker: &str) -> Option<String> {
        self.by_reporter.get(reporter)?.pages.get(worker).map(|page| name(reporter, *page))
    }

    /// Removes an account, and returns the name of the page that contained it.
    pub fn remove(&mut self, reporter: &str, worker: &str) -> Option<String> {
        let pages = self.by_reporter.get_mut(reporter)?;
        let page = pages.pages.remove(worker)?;
        if let Some(workers) = pages.workers.get_mut(&page) {
            workers.remove(worker);
            if workers.is_empty() {
                pages.workers.remove(&page);
            }
        }
        if pages.pages.is_empty() {
            self.by_reporter.remove(reporter);
        }
        Some(name(reporter, page))
    }

    /// Looks up the page (a node in ZooKeeper) with this name. Returns the task that reports the accounts on this page, and the
    /// workers of these accounts. Returns `None` if there is no such page, or if it has no accounts.
    pub fn workers<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a BTreeSet<String>)> {
        let (reporter, page) = parse(name)?;
        Some((reporter, self.by_reporter.get(reporter)?.workers.get(&page)?))
    }
}

impl ReporterPages {
    fn insert(&mut self, page: usize, worker: &str) {
        self.pages.insert(worker.to_owned(), page);
        self.workers.entry(page).or_default().insert(worker.to_owned());
    }
}

fn name(reporter: &str, page: usize) -> String {
    format!("{reporter}+{page}")
}

/// The reporting task and the page number in a page's name.
pub(super) fn parse(name: &str) -> Option<(&str, usize)> {
    let (reporter, page) = name.rsplit_once('+')?;
    Some((reporter, page.parse().ok()?))
}
