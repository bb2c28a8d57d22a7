//! After every fault, the system mines again by itself, leaves no process behind, and its accounts agree. The same tests run
//! on the embedded cluster and on a real Mesos.
//!
//! docs/RELIABILITY.md lists these tests with the times that they print:
//!
//! ```sh
//! cargo test -p mesos-miner --test process -- faults --test-threads=1 2>&1 | grep 'mines again'
//! ```

/// Makes tests from functions that take a [`MiningHarness`](mining::MiningHarness). Tests under `both` run on the embedded
/// cluster and on a real Mesos. Tests under `real` run only on a real Mesos, because the embedded cluster cannot produce their
/// faults.
macro_rules! faults {
    (both: $($both:ident)*) => {
        mod on_the_embedded_cluster {
            use crate::faults::mining::MiningHarness;
            $(#[test]
            fn $both() {
                super::$both(MiningHarness::embedded());
            })*
        }
        faults! { real: $($both)* }
    };
    (real: $($real:ident)*) => {
        mod on_a_real_mesos {
            use crate::faults::mining::MiningHarness;
            $(#[test]
            fn $real() {
                if let Some(mining) = MiningHarness::real() {
                    super::$real(mining);
                }
            })*
        }
    };
}

mod accounts;
mod masters_and_agents;
mod messages;
pub mod mining;
mod repoint;
mod schedulers;
mod several_schedulers;
mod table;
mod tasks;
