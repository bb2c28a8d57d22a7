//! Resources of a program, and their description.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{delete, get, post, put};

/// Resources that share a state, with their description: a part of an OpenAPI document as JSON. It is made from the handlers
/// by [`describe`](crate::describe) in a test, and kept in a file, so that the program need not contain what makes it.
#[derive(Clone, Debug)]
pub struct Resources<S = ()> {
    router: Router<S>,
    operations: Vec<Operation>,
    descriptions: Vec<&'static str>,
}

/// A method and a path, as in the description: `get /healthz`.
pub type Operation = (&'static str, &'static str);

impl<S: Clone + Send + Sync + 'static> Resources<S> {
    /// No resource yet. `description` is the text of [`describe`](crate::describe) for those that will be added.
    pub fn new(description: &'static str) -> Self {
        Resources { router: Router::new(), operations: Vec::new(), descriptions: vec![description] }
    }

    /// Reads what is at a path.
    pub fn get<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.add("get", path, get(handler))
    }

    /// Replaces what is at a path.
    pub fn put<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.add("put", path, put(handler))
    }

    /// Tells the program to do something.
    pub fn post<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.add("post", path, post(handler))
    }

    /// Removes what is at a path.
    pub fn delete<T: 'static>(self, path: &'static str, handler: impl Handler<T, S>) -> Self {
        self.add("delete", path, delete(handler))
    }

    fn add(
        mut self,
        method: &'static str,
        path: &'static str,
        handler: axum::routing::MethodRouter<S>,
    ) -> Self {
        self.operations.push((method, path));
        Resources { router: self.router.route(path, handler), ..self }
    }

    /// These resources and others.
    pub fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.descriptions.extend(other.descriptions);
        Resources { router: self.router.merge(other.router), ..self }
    }

    /// Gives the handlers their state.
    pub fn with_state(self, state: S) -> Resources<()> {
        let Resources { router, operations, descriptions } = self;
        Resources { router: router.with_state(state), operations, descriptions }
    }

    pub(crate) fn into_parts(self) -> (Router<S>, Vec<Operation>, Vec<&'static str>) {
        (self.router, self.operations, self.descriptions)
    }

    /// What there is, sorted: for a test that all of it is described.
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations = self.operations.clone();
        operations.sort_unstable();
        operations
    }
}
