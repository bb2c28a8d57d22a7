//! Tasks that run an image that is not ours under Mesos' own executor, as the original system did.
//!
//! Such a task reports only whether it runs, and nothing of its work. Its arguments are visible to all who can see the
//! master's state.

use std::fmt;

use mesos::v1::{CommandInfo, TaskInfo};

use super::{Containerizer, container};
use crate::journal::TaskRecord;

/// An image and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTask {
    /// The image's name.
    pub image: String,
    /// Its arguments.
    pub arguments: Arguments,
}

/// Words with names in braces, which are filled in later. `Debug` does not show them: they may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Arguments(Vec<Vec<Part>>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

/// Arguments that cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// A name that means nothing here.
    #[error("there is no {{{name}}}; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A brace is not closed.
    #[error("no closing brace in {word:?}")]
    Open {
        /// Where.
        word: String,
    },
}

impl Arguments {
    /// Reads words with spaces between; `known` names may stand in them in braces.
    ///
    /// # Errors
    /// If another name stands there, or a brace is not closed.
    pub fn parse(text: &str, known: &[&str]) -> Result<Arguments, ArgumentsError> {
        text.split_whitespace().map(|word| parts(word, known)).collect::<Result<_, _>>().map(Arguments)
    }

    /// Whether this name is still to be filled in.
    pub fn name(&self, name: &str) -> bool {
        self.0.iter().flatten().any(|part| matches!(part, Part::Name(other) if other == name))
    }

    /// Fills a name in. Spaces and braces in the value have no meaning.
    pub fn fill(&mut self, name: &str, value: &str) {
        for part in self.0.iter_mut().flatten() {
            if matches!(part, Part::Name(other) if other == name) {
                *part = Part::Text(value.to_owned());
            }
        }
    }

    /// The words; what was not filled in is empty.
    fn words(&self) -> Vec<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(_) => String::new(),
        };
        self.0.iter().map(|word| word.iter().map(text).collect()).collect()
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments({} words)", self.0.len())
    }
}

fn parts(word: &str, known: &[&str]) -> Result<Vec<Part>, ArgumentsError> {
    let mut parts = Vec::new();
    let mut rest = word;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| ArgumentsError::Open { word: word.to_owned() })?;
        if !known.contains(&name) {
            let known = known.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
            return Err(ArgumentsError::Unknown { name: name.to_owned(), known });
        }
        parts.extend([Part::Text(text.to_owned()), Part::Name(name.to_owned())]);
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

impl ImageTask {
    /// Completes a task; `server` is host and port that a worker is to use.
    pub(super) fn task(&self, info: TaskInfo, record: &TaskRecord, server: (String, String)) -> TaskInfo {
        let mut arguments = self.arguments.clone();
        arguments.fill("task_id", &record.id);
        match &record.address {
            Some(address) => {
                arguments.fill("p2pool_port", &address.http_port.to_string());
                arguments.fill("worker_port", &address.stratum_port.to_string());
            }
            None => {
                arguments.fill("server_host", &server.0);
                arguments.fill("worker_port", &server.1);
            }
        }
        let command =
            CommandInfo { shell: Some(false), arguments: arguments.words(), ..CommandInfo::default() };
        TaskInfo {
            name: format!("task-{}", record.id),
            command: Some(command),
            container: Some(container(&self.image, Containerizer::Docker)),
            ..info
        }
    }
}
