//! Two Salesforce clients that others wrote, against the simulator over TLS: what they decode is what it was told
//! to send. If they agree with the simulator, the bridge that agrees with it speaks Salesforce.
//!
//! The packages are installed below `target/foreign`, at pinned versions. Where their registries cannot be reached
//! the test is skipped with its reason, and fails if `SFBRIDGE_TESTS_PROMISED` names `foreign`.

use serde_json::json;
use sfbridge::simulator::{Change, ChangeType, Simulator, SimulatorSettings, TlsFiles};
use tokio::process::Command;

use crate::need;
use crate::support::foreign;

const NPM_PACKAGES: [&str; 2] = ["salesforce-pubsub-api-client@5.5.2", "underscore@1.13.7"];
/// `aiosfpubsub` does not name what it needs.
const PYPI_PACKAGES: [&str; 7] = [
    "aiosfpubsub==0.0.6",
    "avro==1.12.1",
    "certifi==2025.10.5",
    "defusedxml==0.7.1",
    "grpcio==1.76.0",
    "httpx==0.28.1",
    "protobuf==6.33.0",
];
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_npm_client_publishes_subscribes_and_decodes() {
    let home = foreign::home("npm");
    need!("foreign", foreign::npm(&home, &NPM_PACKAGES).await);
    let org = Org::start().await;
    // Node looks for packages beside the script.
    let script = home.join("client.mjs");
    std::fs::copy(foreign::script("client.mjs"), &script).expect("the script can be copied");
    let settings = SimulatorSettings::default();
    let given = json!({
        "pubSubEndpoint": org.simulator.pubsub_address().to_string(),
        "loginUrl": org.simulator.login_url(),
        "clientId": settings.client_id,
        "clientSecret": settings.client_secret,
        "changes": 2,
    });
    let seen = foreign::run(Command::new("node").arg(script).arg(given.to_string())).await;

    let (create, update) = (&seen["accounts"][0]["payload"], &seen["accounts"][1]["payload"]);
    let header = &create["ChangeEventHeader"];
    assert_eq!(
        header["commitNumber"],
        COMMIT_NUMBER.to_string(),
        "a long beyond what a double holds"
    );
    assert_eq!(
        (&header["changeType"], &header["changedFields"]),
        (&json!("CREATE"), &json!([]))
    );
    assert_eq!(create["NumberOfEmployees"], 42);
    let header = &update["ChangeEventHeader"];
    assert_eq!(
        header["changedFields"],
        json!(["Phone", "LastModifiedDate", "BillingAddress.Street"])
    );
    assert_eq!(header["nulledFields"], json!(["Phone"]));
    assert_eq!(update["ChangeEventHeader"]["recordIds"], json!(RECORDS));
    assert_eq!(seen["accounts"][0]["replayId"], org.replay_ids[0]);
    assert_eq!(
        seen["resumed"][0]["replayId"], org.replay_ids[1],
        "eight bytes resume"
    );
    assert_eq!(seen["published"]["correlationKey"], "from-node");
    assert_eq!(seen["shipped"][0]["id"], "from-node");
    assert_eq!(seen["shipped"][0]["replayId"], seen["published"]["replayId"]);
    let shipped = &seen["shipped"][0]["payload"];
    assert_eq!(
        (&shipped["Order_Number__c"], &shipped["Weight__c"]),
        (&json!("O-1"), &json!(2.5))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_publishes_subscribes_and_decodes() {
    let home = foreign::home("python");
    need!("foreign", foreign::pypi(&home, &PYPI_PACKAGES).await);
    let python = home.join("bin/python");
    let org = Org::start().await;
    let given = json!({
        "port": org.simulator.pubsub_address().port(),
        "certificate": org.certificate_pem,
        "access_token": org.simulator.issue_token(),
        "instance_url": org.simulator.instance_url(),
        "organization_id": org.simulator.organization_id(),
        "changes": 2,
    });
    let seen = foreign::run(
        Command::new(python)
            .arg(foreign::script("client.py"))
            .arg(given.to_string()),
    )
    .await;

    let (create, update) = (&seen["accounts"][0]["payload"], &seen["accounts"][1]["payload"]);
    assert_eq!(create["ChangeEventHeader"]["commitNumber"], COMMIT_NUMBER);
    assert_eq!(create["Name"], "Acme");
    assert_eq!(create["BillingAddress"]["City"], "Ulm");
    assert_eq!(
        update["ChangeEventHeader"]["changedFields"],
        json!(["0x800080", "5-0x01"])
    );
    assert_eq!(update["ChangeEventHeader"]["nulledFields"], json!(["0x80"]));
    assert_eq!(
        update["BillingAddress"],
        json!({"Street": "2 Mill Lane", "City": null, "State": null,
        "PostalCode": null, "Country": null, "StateCode": null, "CountryCode": null, "Latitude": null,
        "Longitude": null, "GeocodeAccuracy": null})
    );
    let replay_id = seen["accounts"][1]["replay_id"].as_str().expect("text");
    assert_eq!(replay_id, format!("{:016x}0000", org.replay_ids[1]));
    assert_eq!(seen["published"]["correlation_key"], "from-python");
    assert_eq!(seen["shipped"][0]["id"], "from-python");
    assert_eq!(seen["shipped"][0]["replay_id"], seen["published"]["replay_id"]);
    assert_eq!(seen["shipped"][0]["payload"]["Order_Number__c"], "O-2");
}

/// Beyond 2⁵³, and odd.
const COMMIT_NUMBER: i64 = 9_007_199_254_740_993;
const RECORDS: [&str; 2] = ["001SB0000000001AAA", "001SB0000000002AAA"];

/// An org over TLS in which an account was created, and changed together with another one.
struct Org {
    simulator: Simulator,
    certificate_pem: String,
    replay_ids: [u64; 2],
}

impl Org {
    async fn start() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let certificate_pem = signed.cert.pem();
        let tls = TlsFiles {
            certificate_pem: certificate_pem.clone(),
            key_pem: signed.signing_key.serialize_pem(),
        };
        let settings = SimulatorSettings {
            tls: Some(tls),
            ..SimulatorSettings::default()
        };
        let simulator = Simulator::start(settings).await.expect("the org starts");
        let mut create = Change::new("Account", ChangeType::Create)
            .records([RECORDS[0]])
            .field("Name", "Acme")
            .field("NumberOfEmployees", 42)
            .field("BillingAddress", json!({"City": "Ulm"}));
        create.commit_number = Some(COMMIT_NUMBER);
        let mut update = Change::new("Account", ChangeType::Update)
            .records(RECORDS)
            .field("BillingAddress", json!({"Street": "2 Mill Lane"}));
        update.nulled = vec!["Phone".into()];
        let replay_ids = [create, update].map(|change| {
            let id = simulator.change(&change).expect("it fits the schema");
            id.first_chunk()
                .copied()
                .map(u64::from_be_bytes)
                .expect("ten bytes")
        });
        Self {
            simulator,
            certificate_pem,
            replay_ids,
        }
    }
}
