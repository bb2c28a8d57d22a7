//! Upstream pools that leave little extranonce2, ask for much difficulty, send few jobs, or reject everything.

use std::collections::HashSet;

use super::{Pool, after, end, number, worker};
use crate::support::checking_pool::{CheckingPool, NTIME, Rules};
use crate::support::http::get_text;
use crate::support::process::mesos_miner;
use crate::support::raw_miner::RawMiner;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

fn proxy_of(upstreams: &[&CheckingPool]) -> Pool {
    let addresses: Vec<_> = upstreams.iter().map(|pool| pool.address.to_string()).collect();
    Pool::proxy(&addresses.join(","))
}

fn small() -> Rules {
    Rules { extranonce2_len: 1, ..Rules::default() }
}

fn gets_shares(pool: &CheckingPool, more: usize) {
    let goal = pool.right() + more;
    until("shares for the upstream pool", LONG_DEADLINE, || (pool.right() >= goal).then_some(()));
}

/// The work health, as one line.
fn health(pool: &Pool) -> String {
    get_text(pool.http, "/healthz").expect("an answer")
}

/// The header time of the next job, and whether it voids the earlier ones.
fn next_job(miner: &mut RawMiner) -> (u32, bool) {
    let job = miner.job();
    let time = job[7].as_str().and_then(|text| u32::from_str_radix(text, 16).ok()).expect("a time");
    (time, job[8].as_bool().expect("a flag"))
}

#[test]
fn an_upstream_pool_that_leaves_too_little_is_left_for_the_next() {
    let (first, second) = (CheckingPool::start(small()), CheckingPool::start(Rules::default()));
    let proxy = proxy_of(&[&first, &second]);
    let worker = worker(&proxy, "one");
    gets_shares(&second, 3);
    assert!(first.seen().connections > 0 && first.right() == 0);
    end(worker);
}

#[test]
fn an_upstream_pool_that_leaves_too_little_later_is_left_without_losing_a_worker() {
    let first = CheckingPool::start(Rules::default());
    // The worker gets a smaller extranonce2 than before: it says that it knows `mining.set_extranonce`.
    let second = CheckingPool::start(Rules { extranonce2_len: 4, ..Rules::default() });
    let proxy = proxy_of(&[&first, &second]);
    let worker = worker(&proxy, "one");
    gets_shares(&first, 3);
    first.set_extranonce("0e", 1);
    gets_shares(&second, 3);
    assert_eq!(number(&proxy.summary()["connections"]), 1);
    end(worker);
}

#[test]
fn numbers_are_in_the_health_while_no_upstream_pool_leaves_enough() {
    let pools = [CheckingPool::start(small()), CheckingPool::start(small())];
    let mut proxy = Pool::waiting_proxy(&pools.each_ref().map(|pool| pool.address.to_string()).join(","));
    until("the numbers", DEADLINE, || {
        let health = health(&proxy);
        (health.contains("leaves 1 byte(s) of extranonce2") && health.contains("at least 2")).then_some(())
    });
    until("further tries", DEADLINE, || (pools[0].seen().connections >= 6).then_some(()));
    assert!(proxy.process.is_running());
    assert_eq!(proxy.summary()["reasons"][0]["code"], "upstream-extranonce-too-small");
    let says = |words: &str| proxy.process.stderr().iter().any(|line| line.contains(words));
    assert!(!says("mining for"), "there is no work");
    pools[1].change_rules(|rules| rules.extranonce2_len = 4);
    proxy.stratum = proxy.process.wait_for_output(LONG_DEADLINE, after("listening on "));
    let worker = worker(&proxy, "one");
    gets_shares(&pools[1], 1);
    assert!(proxy.process.stderr().iter().any(|line| line.contains("mining for")));
    end(worker);

    let only = CheckingPool::start(small());
    let address = only.address.to_string();
    let ended =
        mesos_miner(["pool", "--listen", "127.0.0.1:0", "--upstream", &address, "-u", "farm"]).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.errors().contains("leaves 1 byte(s) of extranonce2"), "{ended:#?}");
}

#[test]
fn three_proxies_in_a_row_search_no_header_twice() {
    let upstream = CheckingPool::start(Rules::default());
    let first = proxy_of(&[&upstream]);
    let second = Pool::proxy(&first.stratum);
    let third = Pool::proxy(&second.stratum);
    let sizes = [&first, &second, &third].map(|pool| number(&RawMiner::ready(&pool.stratum, "raw").1[2]));
    assert_eq!(sizes, [5, 3, 2]);
    let workers = ["one", "two", "three"].map(|name| worker(&third, name));
    let also = [worker(&first, "four"), worker(&second, "five")];
    // The upstream pool checks that each header is right and new. The parts of the workers are in the first bytes.
    let prefixes = |pool: &CheckingPool| -> HashSet<Vec<u8>> {
        pool.seen().right.iter().map(|share| share.extranonce2[..6].to_vec()).collect()
    };
    until("shares of all workers", LONG_DEADLINE, || {
        (upstream.right() >= 20 && prefixes(&upstream).len() >= 5).then_some(())
    });
    workers.into_iter().chain(also).for_each(end);
    assert_eq!(first.forwarded("rejected") + second.forwarded("rejected") + third.forwarded("rejected"), 0);
}

#[test]
fn a_job_that_lasts_is_given_out_again_and_its_shares_are_right() {
    let upstream = CheckingPool::start(Rules::default());
    let proxy = proxy_of(&[&upstream]);
    let (mut miner, _) = RawMiner::ready(&proxy.stratum, "raw");
    assert_eq!(next_job(&mut miner), (NTIME, true));
    let worker = worker(&proxy, "one");
    // Before that, the job comes with other difficulties.
    let (time, clean) =
        std::iter::repeat_with(|| next_job(&mut miner)).find(|(time, _)| *time > NTIME).expect("a job");
    assert!((NTIME + 29..NTIME + 120).contains(&time) && !clean, "{} s", time - NTIME);
    until("a share with the later time", LONG_DEADLINE, || {
        upstream.right();
        upstream.seen().right.iter().any(|share| share.ntime >= time).then_some(())
    });
    assert_eq!(proxy.forwarded("rejected"), 0);
    end(worker);
}

#[test]
fn a_pool_that_takes_only_the_job_s_own_time_gets_it_back_whatever_it_says() {
    let rules = Rules { difficulty: 3e-4, late_refusal: Some("Invalid share"), ..Rules::default() };
    let upstream = CheckingPool::start(rules);
    let proxy = proxy_of(&[&upstream]);
    let worker = worker(&proxy, "one");
    until("shares of the repeated job", LONG_DEADLINE, || {
        upstream.right();
        (upstream.seen().late >= 3).then_some(())
    });
    gets_shares(&upstream, 5);
    assert!(upstream.seen().late < 20 && proxy.forwarded("rejected") < 20, "a pool would be left");
    assert_eq!(health(&proxy), "ok\n");
    end(worker);
}

#[test]
fn shares_below_the_upstream_pool_s_difficulty_are_not_sent_however_easy_blocks_are() {
    let upstream = CheckingPool::start(Rules { nbits: 0x207f_ffff, ..Rules::default() });
    let proxy = proxy_of(&[&upstream]);
    let worker = worker(&proxy, "one");
    let hard = || upstream.seen().right.iter().filter(|share| share.meets_difficulty).count();
    until("shares for the upstream pool", LONG_DEADLINE, || (hard() >= 5).then_some(()));
    end(worker);
    assert!(upstream.right() - hard() <= 1, "one share was tried because it makes a block");
    assert!(proxy.forwarded("forwarded") < 100);
}

#[test]
fn an_upstream_pool_that_rejects_everything_is_bad_health_with_its_own_word() {
    let upstream = CheckingPool::start(Rules { refusal: Some("pay me first"), ..Rules::default() });
    let proxy = proxy_of(&[&upstream]);
    let worker = worker(&proxy, "one");
    until("bad health", LONG_DEADLINE, || health(&proxy).contains("pay me first").then_some(()));
    assert_eq!(proxy.summary()["reasons"][0]["code"], "upstream-rejects-shares");
    assert!(proxy.forwarded("rejected") >= 20 && proxy.forwarded("accepted") == 0);
    upstream.change_rules(|rules| rules.refusal = None);
    until("good health", LONG_DEADLINE, || (health(&proxy) == "ok\n").then_some(()));
    end(worker);
}

#[test]
fn an_upstream_pool_that_rejects_everything_is_left_for_the_next() {
    let first = CheckingPool::start(Rules { refusal: Some("pay me first"), ..Rules::default() });
    let second = CheckingPool::start(Rules::default());
    let proxy = proxy_of(&[&first, &second]);
    let worker = worker(&proxy, "one");
    gets_shares(&second, 3);
    assert!(first.right() >= 20);
    until("good health", LONG_DEADLINE, || (health(&proxy) == "ok\n").then_some(()));
    assert_eq!(number(&proxy.summary()["connections"]), 1);
    end(worker);
}

#[test]
fn an_upstream_pool_that_hangs_up_on_an_optional_request_is_mined_for() {
    for method in ["mining.extranonce.subscribe", "mining.configure"] {
        let first = CheckingPool::start(Rules { hangs_up_on: Some(method), ..Rules::default() });
        let second = CheckingPool::start(Rules::default());
        let proxy = proxy_of(&[&first, &second]);
        let worker = worker(&proxy, "one");
        gets_shares(&first, 3);
        assert_eq!(second.right(), 0, "{method}");
        end(worker);
    }
}
