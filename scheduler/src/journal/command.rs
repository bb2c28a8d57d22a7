//! What operators tell the scheduler while it runs: commands, which are recorded before they are carried out, and what holds because
//! of them. The JSON is part of the formats of the state folder and of the tree in ZooKeeper.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many commands are kept. A command of which more than this many later ones are recorded is no longer shown.
pub const KEPT_COMMANDS: usize = 100;

/// Something that an operator has told the scheduler to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Limit the workers. `None` in both limits: the options alone limit them again.
    Scale {
        /// The limits.
        #[serde(flatten)]
        limits: ScaleLimits,
        /// The limits of the options when this was said.
        options: ScaleLimits,
    },
    /// Launch nothing, and search nothing.
    Pause {
        /// Whether the workers end, so that their resources are free. Otherwise they stop searching, and keep their tasks.
        release: bool,
    },
    /// End the pause.
    Resume,
    /// Launch nothing on an agent, and end its tasks.
    Avoid {
        /// The agent's id or host name.
        agent: String,
    },
    /// Launch tasks on an agent again.
    Allow {
        /// The agent's id or host name.
        agent: String,
    },
    /// End a task.
    Kill {
        /// The task's id.
        task: String,
    },
    /// End all tasks and the framework.
    Teardown,
    /// A command that only later versions of this program know.
    #[serde(other)]
    Unknown,
}

/// Limits of workers, as an operator or the options give them; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleLimits {
    /// Maximum number of workers.
    pub max_workers: Option<u64>,
    /// Maximum CPU of all tasks together, including the server, in thousandths of a CPU.
    pub max_cpus_milli: Option<u64>,
}

/// Who has given a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// The name of the operator's token.
    pub name: String,
    /// The IP address from which the command came; `None` if it was the scheduler itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Who has given a command, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who.
    pub by: Operator,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A command with who has given it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCommand {
    /// Who has given it, and when.
    #[serde(flatten)]
    pub said: Said,
    /// The command.
    pub what: Command,
}

/// Limits that an operator has set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// The limits.
    pub limits: ScaleLimits,
    /// The limits of the options when these limits were set.
    pub options: ScaleLimits,
    /// Who has set them, and when.
    pub said: Said,
}

/// A pause of mining.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MiningPause {
    /// Whether the workers end. Otherwise they stop searching, and keep their tasks.
    pub release: bool,
    /// Who has paused, and when.
    pub said: Said,
}

/// What holds because operators have said so, apart from the agents to avoid; and the last commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// The limits that an operator has set; `None` if the options alone limit the workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// The pause; `None` while workers mine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<MiningPause>,
    /// The command to end the framework, until the framework has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<Said>,
    /// The last commands, the oldest first; at most [`KEPT_COMMANDS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<RecordedCommand>,
}

impl Controls {
    /// Applies a command. Repeating the last command changes nothing. Returns whether anything has changed.
    pub fn apply(&mut self, command: &RecordedCommand) -> bool {
        if self.commands.last() == Some(command) {
            return false;
        }
        let said = command.said.clone();
        match &command.what {
            Command::Scale { limits, options } => {
                let (limits, options) = (*limits, *options);
                self.scale = (limits != ScaleLimits::default()).then_some(Scale { limits, options, said });
            }
            Command::Pause { release } => self.pause = Some(MiningPause { release: *release, said }),
            Command::Resume => self.pause = None,
            Command::Teardown => self.teardown = Some(said),
            Command::Avoid { .. } | Command::Allow { .. } | Command::Kill { .. } | Command::Unknown => {}
        }
        self.commands.push(command.clone());
        self.commands.drain(..self.commands.len().saturating_sub(KEPT_COMMANDS));
        true
    }

    /// The ids of the tasks that operators have told the scheduler to end, as far as the commands are kept.
    pub fn killed(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().filter_map(|command| match &command.what {
            Command::Kill { task } => Some(task.as_str()),
            _ => None,
        })
    }
}

impl Operator {
    /// The scheduler itself, because its options have changed.
    pub fn options() -> Self {
        Self { name: "the options of this start".to_owned(), address: None }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} ({address})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for ScaleLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = self.max_workers.map(|most| format!("max_workers {most}"));
        let cpus = self.max_cpus_milli.map(|most| format!("max_cpus {}", most as f64 / 1e3));
        let limits: Vec<String> = workers.into_iter().chain(cpus).collect();
        f.write_str(
            if limits.is_empty() { "the limits of the options".to_owned() } else { limits.join(" and ") }
                .as_str(),
        )
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Scale { limits, .. } => write!(f, "scale to {limits}"),
            Command::Pause { release: false } => f.write_str("pause"),
            Command::Pause { release: true } => f.write_str("pause, and release the workers' resources"),
            Command::Resume => f.write_str("resume"),
            Command::Avoid { agent } => write!(f, "avoid agent {agent}"),
            Command::Allow { agent } => write!(f, "allow agent {agent}"),
            Command::Kill { task } => write!(f, "kill {task}"),
            Command::Teardown => f.write_str("tear down"),
            Command::Unknown => f.write_str("a command of a later version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(at_ms: u64, what: Command) -> RecordedCommand {
        let by = Operator { name: "alice".into(), address: Some("127.0.0.1".into()) };
        RecordedCommand { said: Said { by, at_ms }, what }
    }

    #[test]
    fn what_was_said_last_holds_and_a_repetition_changes_nothing() {
        let (limits, options) =
            (ScaleLimits { max_workers: Some(3), max_cpus_milli: None }, ScaleLimits::default());
        let mut controls = Controls::default();
        for (at_ms, what) in [
            (1, Command::Scale { limits, options }),
            (2, Command::Pause { release: false }),
            (3, Command::Pause { release: true }),
            (4, Command::Kill { task: "t".into() }),
            (5, Command::Teardown),
        ] {
            let command = command(at_ms, what);
            assert!(controls.apply(&command));
            let before = controls.clone();
            assert!(!controls.apply(&command));
            assert_eq!(controls, before);
        }
        assert_eq!(controls.scale.as_ref().map(|scale| (scale.limits, scale.said.at_ms)), Some((limits, 1)));
        assert_eq!(controls.pause.as_ref().map(|pause| (pause.release, pause.said.at_ms)), Some((true, 3)));
        assert_eq!(controls.killed().collect::<Vec<_>>(), ["t"]);
        assert!(controls.teardown.is_some());
        controls.apply(&command(6, Command::Resume));
        controls.apply(&command(7, Command::Scale { limits: options, options }));
        assert_eq!((controls.pause, controls.scale), (None, None));
        assert_eq!(controls.commands.len(), 7);
    }

    #[test]
    fn the_last_hundred_are_kept() {
        let mut controls = Controls::default();
        for at in 0..250 {
            assert!(controls.apply(&command(at, Command::Kill { task: at.to_string() })));
        }
        let kept: Vec<u64> = controls.commands.iter().map(|command| command.said.at_ms).collect();
        assert_eq!(kept, (150..250).collect::<Vec<_>>());
    }

    /// This is what the present version writes: later ones must read it.
    #[test]
    fn the_json_is_golden() {
        let limits = ScaleLimits { max_workers: Some(3), max_cpus_milli: Some(2500) };
        let golden = [
            (
                Command::Scale { limits, options: ScaleLimits::default() },
                r#"{"command":"scale","max_workers":3,"max_cpus_milli":2500,"options":{"max_workers":null,"max_cpus_milli":null}}"#,
            ),
            (Command::Pause { release: true }, r#"{"command":"pause","release":true}"#),
            (Command::Resume, r#"{"command":"resume"}"#),
            (Command::Avoid { agent: "h".into() }, r#"{"command":"avoid","agent":"h"}"#),
            (Command::Allow { agent: "h".into() }, r#"{"command":"allow","agent":"h"}"#),
            (Command::Kill { task: "t".into() }, r#"{"command":"kill","task":"t"}"#),
            (Command::Teardown, r#"{"command":"teardown"}"#),
        ];
        for (what, json) in golden {
            let recorded = command(5, what);
            let text =
                format!(r#"{{"by":{{"name":"alice","address":"127.0.0.1"}},"at_ms":5,"what":{json}}}"#);
            assert_eq!(serde_json::to_string(&recorded).unwrap(), text);
            assert_eq!(serde_json::from_str::<RecordedCommand>(&text).unwrap(), recorded);
        }
    }

    #[test]
    fn commands_of_later_versions_and_missing_fields_are_borne() {
        let text =
            r#"{"new":1,"commands":[{"by":{"name":"b"},"at_ms":1,"what":{"command":"sing","song":3}}]}"#;
        let controls: Controls = serde_json::from_str(text).unwrap();
        assert_eq!(controls.commands[0].what, Command::Unknown);
        assert_eq!(serde_json::from_str::<Controls>("{}").unwrap(), Controls::default());
    }
}
