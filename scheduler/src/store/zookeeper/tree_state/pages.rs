//! Where accounts of miners that are no tasks are: pages of bounded size, each of one reporting task.

use std::collections::{BTreeMap, BTreeSet};

/// A page takes no more accounts when it has so many bytes; a node may have a million in all.
pub(super) const PAGE: usize = 200_000;
/// So many at most an account takes in a page, its name apart.
const ACCOUNT: usize = 400;

/// All pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    by_reporter: BTreeMap<String, ReporterPages>,
}

/// The pages of one reporting task.
#[derive(Clone, Debug, Default)]
struct ReporterPages {
    /// The page of each worker.
    pages: BTreeMap<String, usize>,
    /// The workers of each page.
    workers: BTreeMap<usize, BTreeSet<String>>,
    /// The page that takes the next one, and how many bytes it has.
    last: usize,
    bytes: usize,
}

impl Pages {
    /// The page of an account; one that is new gets a place.
    pub fn place(&mut self, reporter: &str, worker: &str) -> String {
        if let Some(page) = self.find(reporter, worker) {
            return page;
        }
        let pages = self.by_reporter.entry(reporter.to_owned()).or_default();
        // A character takes six bytes of JSON at most.
        let size = ACCOUNT + reporter.len() + 6 * worker.len();
        if pages.bytes + size > PAGE {
            (pages.last, pages.bytes) = (pages.last + 1, 0);
        }
        pages.bytes += size;
        let page = pages.last;
        pages.insert(page, worker);
        name(reporter, page)
    }

    /// An account was read from this page. How full it is is not known: full enough.
    pub fn was_in(&mut self, reporter: &str, page: usize, worker: &str) {
        let pages = self.by_reporter.entry(reporter.to_owned()).or_default();
        (pages.last, pages.bytes) = (pages.last.max(page), PAGE);
        pages.insert(page, worker);
    }

    /// The page of an account, if it has one.
    pub fn find(&self, reporter: &str, worker: &str) -> Option<String> {
        self.by_reporter.get(reporter)?.pages.get(worker).map(|page| name(reporter, *page))
    }

    /// Takes an account out; the page that it was in.
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

    /// Whose accounts a page has, and of which workers; `None` for the name of another node, or of an empty page.
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

/// The reporter and the number in the name of a page.
pub(super) fn parse(name: &str) -> Option<(&str, usize)> {
    let (reporter, page) = name.rsplit_once('+')?;
    Some((reporter, page.parse().ok()?))
}
