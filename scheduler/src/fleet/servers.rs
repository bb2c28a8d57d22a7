//! The servers in service.

use std::collections::BTreeMap;

/// How a server in service is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It gets workers when it runs.
    Open,
    /// It is to move to another agent, and gets no more workers.
    Moving,
}

/// By id, from the decision to launch one until it is given up. There is one today.
#[derive(Debug, Default)]
pub(super) struct Servers {
    known: BTreeMap<String, Service>,
}

impl Servers {
    pub fn iter(&self) -> impl Iterator<Item = (&str, Service)> {
        self.known.iter().map(|(id, service)| (id.as_str(), *service))
    }

    pub fn get(&self, id: &str) -> Option<Service> {
        self.known.get(id).copied()
    }

    pub fn contains(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    pub fn insert(&mut self, id: &str) {
        self.known.insert(id.to_owned(), Service::Open);
    }

    pub fn remove(&mut self, id: &str) -> bool {
        self.known.remove(id).is_some()
    }

    pub fn set_moving(&mut self, id: &str) {
        if let Some(service) = self.known.get_mut(id) {
            *service = Service::Moving;
        }
    }
}
