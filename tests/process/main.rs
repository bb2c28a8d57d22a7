//! Tests that run the real binary as a user does. Each module covers one use of the program.
//!
//! Only peers that misbehave on purpose are mocked. Tests whose peer is not installed print that they are skipped, or fail
//! if `REQUIRE_PEERS=1` is set (see `scripts/test`).

mod any_agent;
mod artifact_address;
mod bad_input;
mod bare_machine;
mod binding;
mod bitcoin_node;
mod blocks;
mod broken_setups;
mod busy_node;
mod changed_options;
mod common_failure;
mod control;
mod core_chains;
mod core_totals;
mod election;
mod embedded;
mod ends;
mod executor;
mod executor_failure;
mod faults;
mod hangup;
mod historical_block;
mod http_api;
mod http_contract;
mod intervals;
mod ipv6;
mod local;
mod log_style;
mod maintenance;
mod mesos_on_node;
mod mine_http;
mod mine_lines;
mod new_cookie;
mod no_offers;
mod no_subscription;
mod node_terms;
mod node_tips;
mod odd_lines;
mod old_options;
mod page;
mod plan;
mod pool_data;
mod pool_dialects;
mod pool_lines;
mod pool_miners;
mod principal;
mod prometheus;
mod real_mesos;
mod recorded_pools;
mod renewal;
mod secure;
mod secure_master;
mod self_signed;
mod single_shares;
mod slow_launch;
mod standalone;
#[path = "support/support.rs"]
mod support;
mod teardown;
mod third_party;
mod upgrade;
mod upstream;
mod waiting_tasks;
