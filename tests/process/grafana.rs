//! The dashboards of `deploy/grafana`: a real Prometheus scrapes running programs, and each query of each panel returns data.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use testing::third_party::{folder, require, root};

use crate::mine_http::http_of;
use crate::page::page_of;
use crate::support::embedded::EmbeddedCluster;
use crate::support::process::{Process, mesos_miner, start_in};
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

/// Panels that may be empty while nothing is wrong: the dashboard, the title, and why.
const MAY_BE_EMPTY: [(&str, &str, &str); 4] = [
    ("scheduler", "Problems", PROBLEMS),
    ("pool", "Problems", PROBLEMS),
    ("mine", "Problems", PROBLEMS),
    ("scheduler", "Hosts with rejected shares", "only hosts whose shares are rejected have series"),
];
const PROBLEMS: &str = "a problem has a series only while it exists";

/// A Prometheus on a free port of the loopback interface, with a folder of its own.
struct Prometheus {
    address: SocketAddr,
    _process: Process,
}

impl Prometheus {
    /// Scrapes the programs once a second, each as a job.
    fn start(program: PathBuf, jobs: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
        for (job, address) in jobs {
            config += &format!("- {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}\n");
        }
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
        let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
        let listen = "--web.listen-address=127.0.0.1:0";
        let mut process = start_in(folder, program, arguments.into_iter().chain([listen]));
        let listening = |line: &str| line.split("msg=\"Listening on\" address=").nth(1)?.parse().ok();
        let address = process.wait_for_error(DEADLINE, listening);
        Prometheus { address, _process: process }
    }

    /// The data of an answer of the API.
    fn get(&self, path: &str) -> Option<Value> {
        let answer = http::get_json(self.address, path)?;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        Some(answer["data"].clone())
    }

    /// The values of an expression, without those that are no number; empty before the first scrape, too.
    fn values(&self, expression: &str) -> Vec<f64> {
        let data = self.get(&format!("/api/v1/query?query={}", encoded(expression)));
        let series = data.and_then(|data| data["result"].as_array().cloned()).unwrap_or_default();
        let number = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().filter_map(number).filter(|value: &f64| !value.is_nan()).collect()
    }

    /// The values of a label, as a regular expression that matches each of them.
    fn label_values(&self, selector: &str, label: &str) -> Option<String> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encoded(selector));
        let values = self.get(&path)?;
        let values: Vec<_> = values.as_array()?.iter().filter_map(Value::as_str).collect();
        (!values.is_empty()).then(|| format!("({})", values.join("|").replace('.', "\\\\.")))
    }
}

/// Percent-encodes whatever is not a letter or a digit.
fn encoded(text: &str) -> String {
    let each = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(each).collect()
}

/// A dashboard.
struct Dashboard {
    name: &'static str,
    json: Value,
}

impl Dashboard {
    fn read(name: &'static str) -> Self {
        let path = root().join(format!("deploy/grafana/{name}.json"));
        let text = std::fs::read_to_string(path).expect("there is a dashboard");
        Dashboard { name, json: serde_json::from_str(&text).expect("it is JSON") }
    }

    /// The title and the expression of each query.
    fn queries(&self) -> Vec<(&str, &str)> {
        let mut queries = Vec::new();
        let panels = self.json["panels"].as_array().expect("panels");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().expect("a title");
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty(), "{}: {title}", self.name);
            let expressions = targets.iter().map(|target| target["expr"].as_str().expect("an expression"));
            queries.extend(expressions.map(|expression| (title, expression)));
        }
        queries
    }

    /// The variables and their values. Later ones are asked for with the values of the earlier ones.
    fn variables(&self, prometheus: &Prometheus) -> Vec<(String, String)> {
        let mut filled = vec![("$__rate_interval".to_owned(), "30s".to_owned())];
        let list = self.json["templating"]["list"].as_array().expect("variables");
        for variable in list.iter().filter(|variable| variable["type"] == "query") {
            let query = fill(variable["query"]["query"].as_str().expect("a query"), &filled);
            let arguments = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')'));
            let (selector, label) = arguments.and_then(|text| text.rsplit_once(", ")).expect("label_values");
            let found = until(&query, LONG_DEADLINE, || prometheus.label_values(selector, label));
            filled.push((format!("${}", variable["name"].as_str().expect("a name")), found));
        }
        filled
    }

    /// Each query has data, unless its panel may be empty; returns how many queries had some.
    fn check(&self, prometheus: &Prometheus) -> usize {
        let variables = self.variables(prometheus);
        let mut with_data = 0;
        for (title, expression) in self.queries() {
            let query = fill(expression, &variables);
            assert!(!query.contains('$'), "{}: {title}: an unknown variable in {query}", self.name);
            let what = format!("{}: {title}: data for {query}", self.name);
            if MAY_BE_EMPTY.iter().any(|(name, panel, _)| (*name, *panel) == (self.name, title)) {
                prometheus.values(&query);
            } else {
                until(&what, LONG_DEADLINE, || (!prometheus.values(&query).is_empty()).then_some(()));
                with_data += 1;
            }
        }
        with_data
    }

    /// Each metric that a query names is one that the program describes.
    fn names_only(&self, address: SocketAddr) {
        let metrics = http::get_text(address, "/metrics").expect("it answers");
        let described: BTreeSet<&str> =
            metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for (title, expression) in self.queries() {
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("mesos_miner_")) {
                let parts = ["_bucket", "_count", "_sum"];
                let of_histogram = parts.iter().find_map(|part| word.strip_suffix(part));
                let known =
                    described.contains(word) || of_histogram.is_some_and(|word| described.contains(word));
                assert!(known, "{}: {title}: {word} is not in\n{metrics}", self.name);
            }
        }
    }
}

fn fill(text: &str, variables: &[(String, String)]) -> String {
    variables.iter().fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

/// A pool with its addresses: of the HTTP API, and for miners.
fn pool(more: &[&str]) -> (Process, SocketAddr, String) {
    let arguments = ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut pool = mesos_miner(arguments.iter().chain(more));
    let http = pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    let stratum =
        pool.wait_for_output(LONG_DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));
    (pool, http, stratum)
}

/// Ends a worker, so that there is a launch, and a task that has ended, while Prometheus looks.
fn replace_a_worker(master: SocketAddr, scheduler: SocketAddr, tokens: &str) {
    let state = http::get_json(master, "/master/state").expect("it answers");
    let ids = state["frameworks"][0]["tasks"].as_array().into_iter().flatten();
    let mut ids = ids.filter_map(|task| task["id"].as_str());
    let worker = ids.find(|id| id.starts_with("miner-worker-")).expect("a worker");
    let url = format!("http://{scheduler}");
    let ended = mesos_miner(["ctl", "--url", &url, "--token-file", tokens, "kill", worker]).wait(DEADLINE);
    assert!(ended.status.success(), "{}", ended.errors());
}

#[test]
fn each_query_of_each_dashboard_has_data() {
    let prometheus = folder("prometheus").map(|folder| folder.join("usr/bin/prometheus"));
    let Some(prometheus) = require("prometheus", prometheus) else { return };
    // Jobs come often, so that the delay from a job to its first hash is measured in each interval.
    let (_chain, _, builtin) = pool(&["--block-interval", "2s"]);
    let (_pool, pool_http, stratum) = pool(&["--upstream", &builtin, "-u", "farm"]);
    let mut miner = mesos_miner(["mine", "-o", &stratum, "-t", "1", "--http", "127.0.0.1:0"]);
    let mine_http = http_of(&mut miner);
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let master = cluster.master.to_string();
    let mut tokens = tempfile::NamedTempFile::new().expect("a file");
    writeln!(tokens, "0123456789abcdef").expect("written");
    let tokens = tokens.path().to_str().expect("UTF-8");
    let options = ["--http", "127.0.0.1:0", "--http-token-file", tokens, "--server-cpus", "0.1"];
    let more =
        ["--report-interval", "1s", "--block-interval", "2s", "--teardown-on-exit", "--master", &master];
    let mut scheduler = mesos_miner(["scheduler"].into_iter().chain(options).chain(more));
    let scheduler_http = page_of(&mut scheduler);
    until("it mines", LONG_DEADLINE, || {
        (http::get_text(scheduler_http, "/healthz")? == "ok\n").then_some(())
    });

    let programs = [("scheduler", scheduler_http), ("pool", pool_http), ("mine", mine_http)];
    let prometheus = Prometheus::start(prometheus, &programs);
    let leads = || (!prometheus.values("mesos_miner_leader == 1").is_empty()).then_some(());
    until("Prometheus knows how it was before", LONG_DEADLINE, leads);
    replace_a_worker(cluster.master, scheduler_http, tokens);
    let dashboards = programs.map(|(name, address)| (Dashboard::read(name), address));
    for (dashboard, address) in &dashboards {
        let queries = dashboard.check(&prometheus);
        assert!(queries > 10, "{}: {queries}", dashboard.name);
        dashboard.names_only(*address);
    }
    assert!(prometheus.values("mesos_miner_no_such_figure").is_empty(), "what there is not, has no data");
    scheduler.interrupt(LONG_DEADLINE);
}

#[test]
fn dashboards_are_told_apart_and_name_what_may_be_empty() {
    let dashboards = ["scheduler", "pool", "mine"].map(Dashboard::read);
    let uids: BTreeSet<_> = dashboards.iter().map(|dashboard| dashboard.json["uid"].as_str()).collect();
    assert_eq!(uids.len(), dashboards.len(), "{uids:?}");
    for dashboard in &dashboards {
        let panels = dashboard.json["panels"].as_array().expect("panels");
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{}: ids", dashboard.name);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let described = panel["description"].as_str().is_some_and(|text| !text.is_empty());
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert!(described && unit.is_string(), "{}: {panel}", dashboard.name);
        }
    }
    for (name, title, _) in MAY_BE_EMPTY {
        let dashboard = dashboards.iter().find(|dashboard| dashboard.name == name).expect("a dashboard");
        assert!(dashboard.queries().iter().any(|(panel, _)| *panel == title), "{name}: {title}");
    }
}
