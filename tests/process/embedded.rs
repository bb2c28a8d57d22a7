//! The embedded cluster is honest: the check that was written against a real Mesos passes on it, unchanged.

use crate::support::process::{mesos_miner, start};
use crate::support::{LATER, SOON, peer};

#[test]
fn the_real_mesos_check_passes_on_it() {
    let Some(python) = peer::python_protobuf() else { return };
    let mut cluster = mesos_miner(["local", "--cluster-only", "--port", "0"]);
    let master = cluster.wait_for_output(SOON, |line| {
        let at = line.find("127.0.0.1:")?;
        let port: String = line[at + 10..].chars().take_while(char::is_ascii_digit).collect();
        (port != "0").then(|| format!("127.0.0.1:{port}"))
    });
    let box_ = peer::root().join("tests/mesos-box");
    let script = format!(
        // The check's executor finds its modules only in that folder: agents hand no PYTHONPATH on.
        "set -e; export PYTHONPATH={python}; protos=$TMPDIR/protos; mkdir $protos; ln -s {python}/google $protos/; \
         python3 {tests}/generate_protos.py $protos {root}/mesos/proto {root}/local/proto; \
         exec python3 {box_}/check/run.py --master {master} --wire protobuf --protos $protos",
        python = python.display(),
        tests = peer::root().join("tests").display(),
        root = peer::root().display(),
        box_ = box_.display(),
    );
    let ended = start("/bin/bash", ["-c", &script]).wait(LATER);
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().expect("it prints a line for each check");
    assert!(last.ends_with(" passed, 0 failed") && last.len() > " passed, 0 failed".len() + 1, "{ended:#?}");
    assert!(cluster.is_running());
}
