//! Command lines of other miners: cpuminer, bfgminer, xmrig and ckpool.

use testing::ports::closed_address;

use crate::support::DEADLINE;
use crate::support::process::mesos_miner;

/// Runs `mine` for a moment with these options. Returns the exit status and standard error.
fn mine(options: &str) -> (Option<i32>, String) {
    let pool = closed_address().to_string();
    let fixed = ["mine", "-o", &pool, "--duration", "100ms"];
    let ended = mesos_miner(fixed.into_iter().chain(options.split(' '))).wait(DEADLINE);
    (ended.status.code(), ended.errors())
}

#[test]
fn old_options_that_would_be_missed_are_refused_with_what_to_write_instead() {
    for (options, instead) in [
        ("--max-temp 80", "--threads"),
        ("--diff-factor 2", "--minimum-difficulty"),
        ("--cputest", "mesos-miner bench"),
        ("--tls", "stratum+ssl://HOST:PORT"),
        ("-l miner.log", "2>FILE"),
        ("--max-temp", "--threads"),
        ("--max-temp -1", "--threads"),
        ("--http-port 8080", "--http ADDRESS:PORT"),
    ] {
        let (status, errors) = mine(options);
        assert_eq!(status, Some(64), "{options}: {errors}");
        assert!(errors.starts_with("error: -") && errors.contains(instead), "{options}: {errors}");
    }
}

#[test]
fn old_options_without_a_meaning_get_a_note_and_it_mines() {
    for (options, note) in [
        ("-S", "logger"),
        ("--syslog", "logger"),
        ("-k", "leave it out"),
        ("-k diablo", "--backend NAME"),
        ("-S opencl:auto", "only this machine's CPUs mine"),
    ] {
        let (status, errors) = mine(options);
        assert_eq!(status, Some(0), "{options}: {errors}");
        assert!(errors.contains(" WARN ") && errors.contains(note), "{options}: {errors}");
    }
}

#[test]
fn a_mask_of_ones_and_minus_one_mean_all_cpus() {
    let all = std::thread::available_parallelism().expect("CPUs").get();
    for affinity in ["-1", &format!("0x{}", "F".repeat(16)), &format!("0x{}", "f".repeat(300))] {
        for options in [format!("--cpu-affinity {affinity}"), format!("--cpu-affinity={affinity}")] {
            let (status, errors) = mine(&options);
            assert_eq!(status, Some(0), "{options}: {errors}");
            assert!(errors.contains(&format!("{all} miner thread")), "{options}: {errors}");
        }
    }
    // A mask for a machine with more CPUs: those that are there count.
    let (status, errors) = mine("--cpu-affinity 0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF");
    assert!(status == Some(0) && errors.contains(&format!("{all} miner thread")), "{errors}");
}

#[test]
fn clusters_of_short_options_are_those_of_other_miners() {
    for (cluster, note) in [("-Sq", "logger"), ("-kq", "--timeout"), ("-qS", "logger")] {
        let (status, errors) = mine(cluster);
        assert_eq!(status, Some(0), "{cluster}: {errors}");
        assert!(errors.contains(note) && !errors.contains("CPUs mine"), "{cluster}: {errors}");
    }
    let (status, errors) = mine("-kS");
    assert!(status == Some(0) && errors.contains("logger") && errors.contains("--timeout"), "{errors}");
}
