//! A user with an `rpcwhitelist`.

use bitcoin::Network;
use node::rpc::methods::{METHODS, Needed};
use node::{BlockVerdict, Credentials, Nodes, RpcClient, RpcError, RpcLimits, TemplateEvent, TemplateTiming};
use serde_json::json;
use testing::bitcoin_core::{BitcoinCore, Chain};
use testing::in_time;

use super::mine;

/// The user `pool` with the password `secret`.
const USER: &str = "-rpcauth=pool:5a17$186d27da765fc107362bda677e1d4073e77a39eda39dad03a3d18d04364bd015";

/// A node that allows the user `pool` to call these methods, and all other users everything.
fn start(methods: &[&str]) -> Option<BitcoinCore> {
    let whitelist = format!("-rpcwhitelist=pool:{}", methods.join(","));
    BitcoinCore::start(Chain::Regtest, &[USER, &whitelist, "-rpcwhitelistdefault=0"])
}

fn client(core: &BitcoinCore) -> RpcClient {
    let credentials = Credentials::Basic { user: "pool".into(), password: "secret".into() };
    RpcClient::new(core.url().parse().expect("a URL"), credentials, RpcLimits::default()).expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_methods_are_enough() {
    let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    let needed = METHODS.iter().filter(|method| method.needed == Needed::Always).map(|method| method.name);
    for methods in [names.clone(), needed.collect()] {
        let Some(core) = start(&methods) else { return };
        let nodes = Nodes::new([client(&core)]).expect("a node");
        let network = in_time("the network", nodes.network()).await.expect("a network");
        assert_eq!(network, Network::Regtest);
        let mut templates = nodes.templates(network, TemplateTiming::default());
        for height in 1..=5 {
            let template = loop {
                match in_time("a template", templates.next()).await {
                    TemplateEvent::New(update) if update.template.height == height => break update.template,
                    TemplateEvent::New(_) | TemplateEvent::Slow(_) => {}
                    TemplateEvent::AllDown(faults) => panic!("{faults:?}"),
                }
            };
            let verdict = in_time("a verdict", nodes.submit(&mine(&template))).await;
            assert_eq!(verdict, BlockVerdict::Accepted);
        }
        let log = core.debug_log();
        // A method that is not needed may be tried once.
        let refused = names.iter().filter(|name| log.contains(&format!("not allowed to call method {name}")));
        assert!(methods.len() < names.len() || refused.count() == 0, "{log}");
    }
}

#[tokio::test]
async fn a_method_that_is_missing_from_the_whitelist_is_named() {
    for missing in METHODS.iter().filter(|method| method.needed != Needed::Never) {
        let names: Vec<_> =
            METHODS.iter().map(|method| method.name).filter(|name| *name != missing.name).collect();
        let Some(core) = start(&names) else { return };
        let client = client(&core);
        let error = in_time("an answer", client.call::<serde_json::Value>(missing.name, json!([])));
        let error = error.await.expect_err("it is not allowed");
        assert!(
            matches!(&error, RpcError::NotWhitelisted { method, user, .. } if *method == missing.name && user == "pool"),
            "{error}"
        );
        assert!(
            core.debug_log().contains(&format!("RPC User pool not allowed to call method {}", missing.name))
        );
    }
}
