//! Templates of Bitcoin Core, of bcoin, and invalid ones.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::coinbase::CoinbasePlan;
use crate::draft::BlockDraft;
use crate::testing;

fn parse(change: impl FnOnce(&mut Value)) -> Result<Template, TemplateError> {
    let mut json = testing::json(3);
    change(&mut json);
    Template::from_json(&json.to_string())
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let error = parse(change).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn reads_what_core_writes() {
    let template = parse(|_| {}).unwrap();
    assert_eq!((template.height, template.version), (1000, 0x2000_0000));
    assert_eq!((template.time, template.min_time), (1_800_000_000, 1_296_688_603));
    assert_eq!(template.bits.to_consensus(), 0x207f_ffff);
    assert_eq!(
        template.prev_hash.to_string(),
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    );
    assert_eq!(template.coinbase_value.to_sat(), 5_000_000_000);
    assert!(template.coinbase_aux.is_empty() && template.signet_challenge.is_none());
    assert_eq!(template.transactions.len(), 3);
    assert_eq!(template.transactions[2].fee, Some(1000));
    // Three transactions and the coinbase make a tree of two levels.
    assert_eq!(template.branch.len(), 2);
    assert!(template.witness_commitment.is_some() && template.longpoll_id.is_some());
    assert!(template.has_rule("segwit") && template.has_rule("csv") && !template.has_rule("signet"));
    assert_eq!(template.used_version_bits, 0);
}

#[test]
fn reads_what_bcoin_writes() {
    let early = Template::from_json(include_str!("../../tests/data/bcoin-regtest-1.json")).unwrap();
    assert_eq!((early.height, early.coinbase_aux), (1, vec![b"mined by bcoin".to_vec()]));
    // Segwit is not active yet, so the commitment that bcoin gives nevertheless is ignored.
    assert_eq!(early.witness_commitment, None);
    assert!(early.longpoll_id.is_some());
}

#[test]
fn missing_members_mean_their_defaults() {
    let optional = ["rules", "vbavailable", "vbrequired", "coinbaseaux", "longpollid", "target", "mintime"];
    let template = parse(|json| {
        for member in optional {
            json.as_object_mut().unwrap().remove(member);
        }
    });
    let template = template.unwrap();
    assert_eq!(template.min_time, template.time);
    assert_eq!(template.longpoll_id, None);
    let nulls = parse(|json| optional.iter().for_each(|member| json[member] = Value::Null)).unwrap();
    assert_eq!(nulls.rules, template.rules);
}

#[test]
fn transactions_must_be_what_their_ids_say() {
    let other = "00".repeat(32);
    assert!(
        refusal(|j| j["transactions"][1]["txid"] = json!(other))
            .contains("transaction 1 of the template has txid")
    );
    assert!(
        refusal(|j| j["transactions"][2]["hash"] = json!(other))
            .contains("transaction 2 of the template has hash")
    );
    assert!(refusal(|j| j["transactions"][0]["data"] = json!("00")).contains("transaction 0"));
    assert!(refusal(|j| j["transactions"][0]["data"] = json!("zz")).contains("transaction 0"));
    let last = refusal(|j| drop(j["transactions"].as_array_mut().unwrap().pop()));
    assert!(last.contains("default_witness_commitment"), "{last}");
    // Before BIP-0145, the member `hash` contained the txid.
    let old = |json: &mut Value| {
        let txid = json["transactions"][0].as_object_mut().unwrap().remove("txid").unwrap();
        json["transactions"][0]["hash"] = txid;
    };
    assert!(parse(old).is_ok());
}

#[test]
fn mandatory_rules_must_be_known() {
    assert!(refusal(|j| j["rules"] = json!(["csv", "!mweb"])).contains("\"mweb\""));
    assert!(parse(|j| j["rules"] = json!(["mweb", "!segwit", "!signet"])).is_ok());
}

#[test]
fn witnesses_need_a_commitment() {
    let commitment = |change: fn(&mut Value)| parse(change).unwrap().witness_commitment;
    assert!(commitment(|j| j["rules"] = json!(["csv"])).is_some());
    // The second transaction has no witness, so a template with only this transaction needs no commitment.
    let lone = |json: &mut Value| {
        let plain = json["transactions"][1].clone();
        json["transactions"] = json!([plain]);
        json["rules"] = json!(["csv"]);
        json.as_object_mut().unwrap().remove("default_witness_commitment");
    };
    assert_eq!(commitment(lone), None);
}

#[test]
fn version_bits_in_use_are_named() {
    let template = parse(|json| {
        json["version"] = json!(0x2000_0002);
        json["vbavailable"] = json!({"segwit": 1, "testdummy": 28, "nonsense": 77});
        json["vbrequired"] = json!(4);
    });
    assert_eq!(template.unwrap().used_version_bits, 0x1000_0006);
    // A bit that the node has set is in use, even if `vbavailable` does not name it.
    assert_eq!(parse(|j| j["version"] = json!(0x2000_8000)).unwrap().used_version_bits, 0x8000);
    assert_eq!(parse(|j| j["version"] = json!(-1)).unwrap().version, u32::MAX);
    assert_eq!(parse(|j| j["version"] = json!(u32::MAX)).unwrap().version, u32::MAX);
}

#[test]
fn members_with_invalid_values_are_named() {
    for (member, value) in [
        ("version", json!(1u64 << 32)),
        ("version", json!(-1i64 << 32)),
        ("bits", json!("1d00fff")),
        ("bits", json!("+d00ffff")),
        ("bits", json!("00000000")),
        ("target", json!("00")),
        ("target", json!("00".repeat(32))),
        ("target", json!("€".repeat(21) + "0")),
        ("bits", json!("€€00")),
        ("previousblockhash", json!("€".repeat(21) + "0")),
        ("default_witness_commitment", json!("€€")),
        ("height", json!(1u64 << 31)),
        ("curtime", json!(1u64 << 32)),
        ("mintime", json!(1u64 << 32)),
        ("coinbasevalue", json!(u64::MAX)),
        ("coinbaseaux", json!({"flags": "0"})),
        ("previousblockhash", json!("00")),
        ("default_witness_commitment", json!("6a")),
        ("signet_challenge", json!("x")),
    ] {
        let text = refusal(|json| json[member] = value.clone());
        assert!(text.contains(member) || text.contains("bits"), "{member} {value}: {text}");
    }
    // No hash meets these bits, and the template has no target that could contradict them.
    let text = refusal(|json| {
        json["bits"] = json!("00000000");
        json["target"] = Value::Null;
    });
    assert!(text.contains("that can be met"), "{text}");
    for (member, value) in
        [("height", json!(-1)), ("bits", json!(545_259_519)), ("coinbasevalue", Value::Null)]
    {
        assert!(matches!(parse(|json| json[member] = value), Err(TemplateError::Shape(_))), "{member}");
    }
    assert!(Template::from_json("{}").is_err() && Template::from_json("").is_err());
}

#[test]
fn requests_name_the_known_rules() {
    assert_eq!(request(None)[0]["rules"], json!(["segwit", "signet"]));
    assert!(request(None)[0].get("longpollid").is_none());
    assert_eq!(request(Some("x"))[0]["longpollid"], "x");
}

/// Valid and invalid values of a template's members.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        "[0-9a-f]{0,80}".prop_map(|text| json!(text)),
        any::<String>().prop_map(|text| json!(text)),
        Just(json!([])),
        Just(json!({"flags": "00"})),
        Just(json!(["!segwit"])),
    ]
}

proptest! {
    /// Any JSON gives either an error or a template from which blocks can be made.
    #[test]
    fn no_template_causes_a_panic(changes in proptest::collection::vec((any::<usize>(), any_value()), 1..4)) {
        let mut json = testing::json(2);
        let members: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        for (place, value) in changes {
            json[&members[place % members.len()]] = value;
        }
        if let Ok(template) = Template::from_json(&json.to_string()) {
            let plan = CoinbasePlan { payout: ScriptBuf::new(), tag: vec![1; 100], extranonce_size: 12 };
            let draft = BlockDraft::new(Arc::new(template), &plan).unwrap();
            let assembled = draft.assemble(testing::solution(&draft, &[0; 12], 0));
            // Half of all hashes miss the target; there is no other fault.
            if let Err(fault) = assembled {
                prop_assert!(fault.to_string().contains("proof of work"), "{}", fault);
            }
        }
    }
}
