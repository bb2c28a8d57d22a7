//! Tasks that run a user's own image under Mesos' own executor.
//!
//! Such a task reports only whether it runs, and nothing about its work. Its arguments are visible to everybody who can see the
//! master's state.

use mesos::v1::{CommandInfo, TaskInfo};

use super::{Containerizer, container};
use crate::journal::TaskRecord;

/// An image and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTask {
    /// The image's name.
    pub image: String,
    /// The arguments of the image's entry point.
    pub arguments: Arguments,
}

/// Words with placeholders in braces, which are filled in later. `Debug` hides the words, since they may contain a password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("Arguments({} words)", _0.len())]
pub struct Arguments(Vec<Vec<Part>>);

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

/// Why a text is not a list of arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentsError {
    /// The name of a placeholder is not known.
    #[error("unknown placeholder {{{name}}}; the known ones are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The known names.
        known: String,
    },
    /// A brace is not closed.
    #[error("no closing brace in {word:?}")]
    Open {
        /// The word in which the brace is not closed.
        word: String,
    },
}

impl Arguments {
    /// Parses words that are separated by spaces. They may contain placeholders: names from `known` in braces.
    ///
    /// # Errors
    /// If the name of a placeholder is not known, or a brace is not closed.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, ArgumentsError> {
        text.split_whitespace().map(|word| parts(word, known)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is a placeholder with this name.
    pub fn name(&self, name: &str) -> bool {
        self.0.iter().flatten().any(|part| matches!(part, Part::Name(other) if other == name))
    }

    /// Replaces placeholders by a value. Spaces and braces in the value have no meaning.
    pub fn fill(&mut self, name: &str, value: &str) {
        for part in self.0.iter_mut().flatten() {
            if matches!(part, Part::Name(other) if other == name) {
                *part = Part::Text(value.to_owned());
            }
        }
    }

    /// The words as they were written, with their placeholders in braces. Braces that are text are doubled.
    pub(crate) fn canonical(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|word| {
            let part = |part: &Part| match part {
                Part::Text(text) => text.replace('{', "{{").replace('}', "}}"),
                Part::Name(name) => format!("{{{name}}}"),
            };
            word.iter().map(part).collect()
        })
    }

    /// The words. Remaining placeholders become empty.
    fn words(&self) -> Vec<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(_) => String::new(),
        };
        self.0.iter().map(|word| word.iter().map(text).collect()).collect()
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
    /// Adds the image and its arguments to a `TaskInfo`. `user` is the Unix user of the task, and `pool` the URL at which a
    /// worker mines.
    pub(super) fn task(&self, info: TaskInfo, record: &TaskRecord, user: &str, pool: &str) -> TaskInfo {
        let mut arguments = self.arguments.clone();
        arguments.fill("task_id", &record.id);
        match &record.address {
            Some(address) => {
                arguments.fill("p2pool_port", &address.http_port.to_string());
                arguments.fill("worker_port", &address.stratum_port.to_string());
            }
            None => {
                let address = pool.split_once("://").map_or(pool, |(_, address)| address);
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                arguments.fill("server_host", host);
                arguments.fill("worker_port", port);
            }
        }
        let command = CommandInfo {
            shell: Some(false),
            user: Some(user.to_owned()),
            arguments: arguments.words(),
            ..CommandInfo::default()
        };
        TaskInfo {
            name: format!("task-{}", record.id),
            command: Some(command),
            container: Some(container(&self.image, Containerizer::Docker)),
            ..info
        }
    }
}
