//! The layer of `tracing` that turns events into lines.

use std::error::Error;
use std::fmt::{Debug, Display};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::line::{Line, Value};
use crate::{error_chain, output};

/// Writes each event as a line.
#[derive(Debug)]
pub(crate) struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let metadata = event.metadata();
        let Parts { target, message, fields } = parts;
        let target = target.as_deref().unwrap_or(metadata.target());
        output::write(&[Line { level: *metadata.level(), target, message: &message, fields: &fields }]);
    }
}

/// What an event says.
#[derive(Default)]
struct Parts {
    /// The target of a record of the crate `log`, which libraries may use instead of `tracing`.
    target: Option<String>,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Parts {
    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "log.target" => self.target = Some(text),
            // Where in its source a library has written a record.
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, Value::Text(text))),
        }
    }

    fn plain(&mut self, field: &Field, value: impl Display) {
        if !field.name().starts_with("log.") {
            self.fields.push((field.name(), Value::Plain(value.to_string())));
        }
    }
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, error_chain(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers.
        if value.is_finite() { self.plain(field, value) } else { self.text(field, value.to_string()) }
    }
}
