//! Writes the options that apply to a server or a worker in a canonical form, and computes a fingerprint of this form.
//!
//! A task's record has the fingerprint of the form that applied when the task was launched. If another form applies after a
//! restart of the scheduler, the task is replaced. So the form must not contain values that differ between tasks, such as ids and
//! addresses. It must also not contain values that may change while a task runs, such as the workers' report intervals. A new
//! build of the program replaces no task.
//!
//! A new version of the program must give the same form for the same options, because a different form replaces all tasks. So the
//! existing fields stay as they are. A field for a new option is written only if the option makes the task behave differently
//! than under earlier versions. Tests have the forms and fingerprints that earlier versions gave.

use std::time::Duration;

use command_line::CookieFiles;
use task::{BlockSourceSpec, NodeAccess, NodeSpec, PoolAccess, PoolRules, ProxyAccess, UpstreamSpec};

use crate::journal::{SpecificationKey, TaskRecord};
use crate::server_address::PinnedAddress;
use crate::settings::Settings;
use crate::task_id::TaskKind;
use crate::task_info::{Containerizer, Delivery, ExternalPool, ImageTask, ServerProgram};

/// The fingerprints of the options for tasks that are launched now. They are `None` only in tests.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints {
    server: Option<String>,
    worker: Option<String>,
    /// The server's fingerprint as versions made it that could not send a new cookie to a running server: the content of the cookie
    /// files was part of it.
    server_with_cookies: Option<String>,
}

impl Fingerprints {
    /// The fingerprints of these settings. `key` comes from the records.
    pub fn new(settings: &Settings, key: Option<&SpecificationKey>) -> Self {
        let of = |form: Vec<u8>| key.map(|key| key.fingerprint(&form));
        Self {
            server: of(form(settings, TaskKind::Server)),
            worker: of(form(settings, TaskKind::Worker)),
            server_with_cookies: of(server_form(settings, &CookieFiles::default())),
        }
    }

    /// The fingerprint for tasks of this kind.
    pub fn of(&self, kind: TaskKind) -> Option<&str> {
        match kind {
            TaskKind::Server => self.server.as_deref(),
            TaskKind::Worker => self.worker.as_deref(),
        }
    }

    /// Whether a task was launched with other options than those for new tasks. If the task's record has no fingerprint of the
    /// options, the answer is no.
    pub fn differ_from(&self, record: &TaskRecord) -> bool {
        match (&record.specification, self.of(record.kind)) {
            (Some(recorded), Some(wanted)) => {
                let earlier = self.server_with_cookies.as_ref().filter(|_| record.kind == TaskKind::Server);
                recorded != wanted && Some(recorded) != earlier
            }
            _ => false,
        }
    }
}

/// The canonical form of the options that apply to tasks of this kind.
fn form(settings: &Settings, kind: TaskKind) -> Vec<u8> {
    match kind {
        TaskKind::Server => server_form(settings, &settings.template.programs.cookies),
        TaskKind::Worker => {
            let mut form = Form::of_any_task(settings);
            worker(&mut form, settings);
            form.0
        }
    }
}

/// The canonical form of the server's options. The content of these cookie files does not count, since a running server is told of it.
fn server_form(settings: &Settings, cookies: &CookieFiles) -> Vec<u8> {
    let mut form = Form::of_any_task(settings);
    server(&mut form, settings, cookies);
    form.0
}

fn server(form: &mut Form, settings: &Settings, cookies: &CookieFiles) {
    let (template, options) = (&settings.template, &settings.template.options);
    form.field("kind", "server");
    form.field("name", &template.name);
    form.field("cpus", settings.server_cpus_milli().to_string());
    form.field("mem", options.server_mem.to_string());
    let source = match &template.programs.server {
        ServerProgram::Image(task) => return image(form, task),
        ServerProgram::Builtin(source) => source,
    };
    executor(form, &template.delivery);
    form.field("updates", options.updates_per_task.to_string());
    // A running server cannot be told other intervals, so it must be replaced when they change.
    form.time("live", options.live_interval);
    form.time("report", options.report_interval);
    form.time("share", options.share_interval);
    form.optional("data", template.programs.data_dir.as_ref());
    block_source(form, source, cookies);
}

fn worker(form: &mut Form, settings: &Settings) {
    let (template, placement) = (&settings.template, &settings.placement);
    form.field("kind", "worker");
    // A worker takes all CPU that is free on its agent, except for what is reserved.
    form.field("reserve", placement.limits.reserve_cpus_milli.to_string());
    form.field("revocable", placement.revocable.to_string());
    if let Some(ExternalPool { url, user, password, access: access_options }) = &template.pool {
        form.field("pool", url);
        form.optional("pool user", user.as_ref());
        form.field("password", password);
        access(form, access_options);
    } else {
        let pinned = template.options.server_address.map(|pinned| match pinned {
            PinnedAddress::Hostname => "hostname",
            PinnedAddress::Ip => "ip",
        });
        form.optional("server address", pinned);
    }
    if let Some(task) = &template.programs.worker {
        return image(form, task);
    }
    executor(form, &template.delivery);
    form.field("updates", template.options.updates_per_task.to_string());
    form.optional("backend", template.options.backend.as_ref());
}

fn image(form: &mut Form, ImageTask { image, arguments }: &ImageTask) {
    form.field("image", image);
    arguments.canonical().for_each(|argument| form.field("argument", argument));
}

fn executor(form: &mut Form, delivery: &Delivery) {
    match delivery {
        // If this scheduler serves the executor, the URI is left out, because it changes with each build.
        Delivery::Fetch { .. } if delivery.is_served_here() => form.field("executor", "served"),
        Delivery::Fetch { uri, cache: _ } => form.field("executor uri", uri),
        Delivery::Path(path) => form.field("executor path", path),
        Delivery::Image { image, containerizer } => {
            form.field("executor image", image);
            let name = match containerizer {
                Containerizer::Docker => "docker",
                Containerizer::Mesos => "mesos",
            };
            form.field("containerizer", name);
        }
    }
}

fn block_source(form: &mut Form, source: &BlockSourceSpec, cookies: &CookieFiles) {
    match source {
        BlockSourceSpec::Builtin { block_interval } => form.time("block", *block_interval),
        BlockSourceSpec::Node(NodeSpec { nodes, address, tag, early_min_difficulty }) => {
            for NodeAccess { url, user, password } in nodes {
                form.field("node", url);
                if cookies.of(url).is_some() {
                    form.field("node credentials", "cookie");
                    continue;
                }
                form.optional("node user", user.as_ref());
                form.optional("password", password.as_ref());
            }
            form.optional("address", address.as_ref());
            form.field("tag", tag);
            form.field("early", early_min_difficulty.to_string());
        }
        BlockSourceSpec::Upstream(UpstreamSpec { pools, user, password, access: options }) => {
            pools.iter().for_each(|pool| form.field("upstream", pool));
            form.field("upstream user", user);
            form.field("password", password);
            access(form, options);
        }
    }
}

fn access(form: &mut Form, PoolAccess { authorities, fingerprints, proxy, rules }: &PoolAccess) {
    form.optional("authorities", authorities.as_ref());
    fingerprints.iter().for_each(|fingerprint| form.field("certificate", fingerprint));
    if let Some(ProxyAccess { host, port, credentials }) = proxy {
        form.field("proxy", host);
        form.field("proxy port", port.to_string());
        if let Some((user, password)) = credentials {
            form.field("proxy user", user);
            form.field("password", password);
        }
    }
    let PoolRules { no_extranonce, no_suggest, no_version_rolling, job_timeout } = rules;
    for (name, given) in
        [("extranonce", no_extranonce), ("suggest", no_suggest), ("version rolling", no_version_rolling)]
    {
        if *given {
            form.field(name, "no");
        }
    }
    if let Some(time) = job_timeout {
        form.time("job timeout", *time);
    }
}

/// The fields that were added so far. Each value has its length in front, so that no value can look like further fields.
#[derive(Debug, Default)]
struct Form(Vec<u8>);

impl Form {
    /// What the tasks of both kinds have in common.
    fn of_any_task(settings: &Settings) -> Self {
        let mut form = Form::default();
        form.field("user", &settings.template.user);
        form.field("role", &settings.template.role);
        form
    }

    fn field(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.extend_from_slice(format!("{name} {}:", value.len()).as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    fn optional(&mut self, name: &str, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    fn time(&mut self, name: &str, time: Duration) {
        self.field(name, time.as_nanos().to_string());
    }
}

#[cfg(test)]
mod tests;
