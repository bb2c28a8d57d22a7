//! A real Mesos master behind TLS. mesos-box does not support TLS, so a TLS proxy forwards connections to the master.

use std::path::Path;

use tokio::runtime::Runtime;

use crate::faults::mining::{MiningHarness, WORKERS, scheduler};
use crate::secure::peers::authority::Authority;
use crate::secure::terminate;
use crate::support::cluster::Cluster;
use crate::support::mesos_box::MesosBox;
use crate::support::{DEADLINE, peer};

#[test]
fn a_framework_mines_under_a_master_behind_tls() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, WORKERS as u16, &["--cpus=1"]);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let runtime = Runtime::new().expect("a runtime");
    let strict = authority.strict_server(&["localhost"]);
    let port = runtime.block_on(terminate(strict, mesos.address.clone()));
    let master = format!("https://localhost:{port}");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = authority.client();
    let (ca, wrong_ca) = (text(&authority.file()), text(&stranger.file()));
    let (certificate, key) = (text(&certificate), text(&key));

    let identity = ["--client-cert", &certificate, "--client-key", &key];
    for (address, options, hint) in [
        (&master, vec!["--ca-cert", &wrong_ca], "give the CA"),
        (
            &format!("https://127.0.0.1:{port}"),
            vec!["--ca-cert", &ca],
            "use a name that is in the certificate",
        ),
        // No client certificate, which this master requires.
        (&master, vec!["--ca-cert", &ca, "--no-retry"], "ertificate"),
        // No TLS.
        (&format!("127.0.0.1:{port}"), vec!["--no-retry"], "127.0.0.1"),
    ] {
        let state = tempfile::tempdir().expect("a temporary folder");
        let ended = scheduler(address, state.path(), &options).wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(1), "{options:?} {ended:#?}");
        assert!(ended.errors().contains(hint), "{hint}: {ended:#?}");
    }

    let options = [["--ca-cert", &ca].as_slice(), &identity].concat();
    let (summary, ended) = MiningHarness::at(Cluster::Real(mesos), &master, &options).end();
    assert_eq!(summary.tasks.get("TASK_KILLED"), Some(&3), "{ended:#?}");
}
