//! Records of Kafka as records of an sObject.

use serde_json::json;
use sfbridge::simulator::writes::RecordFault;
use sfbridge::simulator::{Simulator, SimulatorSettings};

use super::{by_key, dead_letters, records};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup};
use crate::support::broker;
use crate::support::topic::{self, unique};
use crate::support::wait::until;

fn upsert_route(from: &str) -> String {
    format!(
        "  - name: customers\n    from: {{ kafka: [{from}], format: json, start: earliest }}\n    to:\n      salesforce: Account\n      operation: upsert\n      external_id: Customer_Id__c\n"
    )
}

#[tokio::test]
async fn records_are_upserted_by_their_external_id_and_tombstones_delete() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    let customer =
        |id: &str, name: &str| json!({"Customer_Id__c": id, "Name": name, "Phone": null}).to_string();
    let (one, two, again) = (
        customer("c1", "One"),
        customer("c2", "Two"),
        customer("c1", "One again"),
    );
    topic::produce(
        &kafka,
        &from,
        &[
            ("c1", Some(&one)),
            ("c2", Some(&two)),
            ("c1", Some(&again)),
            ("c2", None),
        ],
    )
    .await;
    let name = unique("crm");
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &upsert_route(&from))).await;
    until(PATIENCE, "the records in the org", || async {
        let accounts = by_key(&org, "Account", "Customer_Id__c");
        (accounts.len() == 1 && accounts.get("c1")?.get("Name")? == "One again").then_some(())
    })
    .await;
    until(PATIENCE, "the commit", || async {
        (bridge
            .metric("sfbridge_records_written_total", "outcome=\"written\"")
            .await
            >= 4.0)
            .then_some(())
    })
    .await;
    let left = bridge
        .metric("sfbridge_salesforce_limit_remaining", "DailyApiRequests")
        .await;
    assert!(left > 0.0, "every answer of REST tells it: {left}");
    let sent = org.sent("/data/AccountChangeEvent", 0).unwrap().0;
    assert_eq!(sent.len(), 4, "two creations, one update, one deletion: {sent:?}");
}

#[tokio::test]
async fn one_bad_record_is_one_dead_letter_with_salesforces_reason() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let fault = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("c7");
    org.record_fault(fault.times(u32::MAX));
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..20)
        .map(|n| json!({"Customer_Id__c": format!("c{n}"), "Name": format!("N{n}")}).to_string())
        .collect();
    let mut rows: Vec<(&str, Option<&str>)> =
        values.iter().map(|value| ("k", Some(value.as_str()))).collect();
    rows.push(("k", Some("{no json")));
    topic::produce(&kafka, &from, &rows).await;
    let name = unique("crm");
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &upsert_route(&from))).await;
    let dead = records(&kafka, &dead_letters(&name), 2).await;
    assert_eq!(dead.len(), 2, "the refused one and the one that is no JSON");
    let refused = dead
        .iter()
        .find(|record| record.value_text() == values[7])
        .unwrap();
    assert_eq!(refused.key_text(), "k");
    let error = refused.header("sfbridge_error").unwrap();
    assert!(error.contains("FIELD_CUSTOM_VALIDATION_EXCEPTION"), "{error}");
    assert_eq!(refused.header("sfbridge_source").unwrap(), format!("{from}[0]@7"));
    assert_eq!(refused.header("sfbridge_route").unwrap(), "customers");
    until(PATIENCE, "the others", || async {
        (by_key(&org, "Account", "Customer_Id__c").len() == 19).then_some(())
    })
    .await;
    let route = bridge.route("customers").await.unwrap();
    assert_eq!(route["direction"], "to_salesforce");
}

#[tokio::test]
async fn a_large_backlog_goes_through_bulk_and_every_row_comes_back_with_its_verdict() {
    let kafka = need!("kafka", broker::shared());
    let org = Simulator::start(SimulatorSettings::default()).await.unwrap();
    let fault = RecordFault::new("Account", "FIELD_CUSTOM_VALIDATION_EXCEPTION").key("c77");
    org.record_fault(fault.times(u32::MAX));
    let from = unique("customers");
    topic::create(&kafka, &from, 1, &[]).await;
    let values: Vec<String> = (0..3_000)
        .map(|n| {
            let name = if n == 42 {
                "#N/A".to_owned()
            } else {
                format!("N{n}")
            };
            json!({"Customer_Id__c": format!("c{}", n % 2_000), "Name": name, "Phone": null}).to_string()
        })
        .collect();
    let rows: Vec<(&str, Option<&str>)> = values.iter().map(|value| ("k", Some(value.as_str()))).collect();
    topic::produce(&kafka, &from, &rows).await;
    let name = unique("crm");
    let routes = format!("{}      via: bulk\n", upsert_route(&from));
    let bridge = Bridge::start(&Setup::new(&name, &kafka, &org, &routes)).await;
    until(PATIENCE, "all answers", || async {
        let written = bridge
            .metric("sfbridge_records_written_total", "outcome=\"written\"")
            .await;
        (written >= 2_998.0).then_some(())
    })
    .await;
    let accounts = by_key(&org, "Account", "Customer_Id__c");
    assert_eq!(accounts.len(), 1_999, "all but the refused one");
    assert_eq!(accounts["c5"]["Name"], "N2005", "the later version");
    assert_eq!(accounts["c42"]["Name"], "N2042");
    assert_eq!(accounts["c1999"]["Name"], "N1999");
    let dead = records(&kafka, &dead_letters(&name), 2).await;
    let sources: Vec<String> = dead
        .iter()
        .map(|record| record.header("sfbridge_source").unwrap())
        .collect();
    assert_eq!(
        sources,
        [format!("{from}[0]@77"), format!("{from}[0]@2077")],
        "both versions of the refused one"
    );
    assert!(bridge.log().contains("bulk job"), "it went through Bulk");
}
