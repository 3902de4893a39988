//! The simulated org as the program's own clients are told of it.

use sfbridge::config::{AuthConfig, SalesforceConfig, Secret};
use sfbridge::salesforce::Salesforce;
use sfbridge::simulator::{Simulator, SimulatorSettings};
use sfbridge::telemetry::metrics::Metrics;

/// Clients of an org that was started with the usual credentials.
pub fn clients(org: &Simulator) -> Salesforce {
    let settings = SimulatorSettings::default();
    let config = SalesforceConfig {
        login_url: org.login_url().to_owned(),
        pubsub_url: org.pubsub_url(),
        api_version: "66.0".to_owned(),
        ca_file: None,
        api_reserve_percent: 10.0,
        bulk_threshold: 10_000,
        auth: AuthConfig::ClientCredentials {
            client_id: settings.client_id,
            client_secret: Secret::new(settings.client_secret),
        },
    };
    Salesforce::new(&config, "sfbridge-crm", Metrics::new()).unwrap()
}
