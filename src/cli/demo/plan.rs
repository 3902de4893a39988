//! What a demonstration consists of: names, routes, and the configuration as a user would write it. Values only.

use std::fmt::Write as _;

/// The route whose topic the way back reads.
pub(super) const SHIPPED: &str = "orders-shipped";

/// A route that the demonstration's reader checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedRoute {
    pub(super) name: &'static str,
    /// Where it reads.
    pub(super) from: &'static str,
    /// As configured; may hold `{entity}`.
    pub(super) to: String,
    /// What `to` becomes.
    pub(super) topics: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Of the bridge; on a real Kafka no other run's topics, group or transactional ids bear it.
    pub(super) bridge: String,
    pub(super) routes: Vec<PlannedRoute>,
    /// The way back: where it reads.
    pub(super) back_from: String,
}

/// The objects whose changes the simulated org sends.
const ENTITIES: [&str; 3] = ["Account", "Contact", "Order__c"];

impl Plan {
    /// `run` tells this run from others on the same Kafka.
    pub(super) fn new(run: Option<&str>) -> Self {
        let bridge = run.map_or("demo".to_owned(), |run| format!("demo-{run}"));
        let changes = |entity: &str| format!("{bridge}.cdc.{entity}");
        let shipped = format!("{bridge}.orders-shipped");
        Self {
            routes: vec![
                PlannedRoute {
                    name: "crm-changes",
                    from: "/data/ChangeEvents",
                    to: changes("{entity}"),
                    topics: ENTITIES.map(changes).to_vec(),
                },
                PlannedRoute {
                    name: SHIPPED,
                    from: "/event/Order_Shipped__e",
                    to: shipped.clone(),
                    topics: vec![shipped.clone()],
                },
            ],
            back_from: shipped,
            bridge,
        }
    }

    pub(super) fn data_topics(&self) -> Vec<String> {
        self.routes
            .iter()
            .flat_map(|route| route.topics.clone())
            .collect()
    }

    /// The file that `sfbridge run` would be given.
    pub(super) fn yaml(&self, org: &OrgAccess<'_>, bootstrap_servers: &str, admin: &str) -> String {
        let mut text = format!(
            "# What `sfbridge demo` ran with. For an org of your own change the section `salesforce`;\n\
             # `sfbridge config example` explains every key.\n\
             bridge:\n  name: {}\n  instance: demo-1\n\
             salesforce:\n  login_url: {}\n  pubsub_url: {}\n\
             \x20 auth:\n    flow: client_credentials\n    client_id: {}\n    client_secret: {}  # the simulator's, no secret\n\
             kafka:\n  bootstrap_servers: {bootstrap_servers}\n  partitions: {PARTITIONS}\n\
             admin:\n  listen: {admin}\n\
             routes:\n",
            self.bridge, org.login_url, org.pubsub_url, org.client_id, org.client_secret
        );
        for route in &self.routes {
            // Writing into a String cannot fail. Earliest: what the org sends before the first login counts too.
            let _ = write!(
                text,
                "  - name: {}\n    from: {{ salesforce: {}, start: earliest }}\n    to: {{ kafka: \"{}\", format: json }}\n",
                route.name, route.from, route.to
            );
        }
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "  - name: invoices\n    from: {{ kafka: \"{}\", format: json, start: earliest }}\n    to:\n      salesforce: /event/Invoice_Paid__e\n      fields: {{ Invoice__c: value.Order_Number__c, Amount__c: value.Weight__c }}\n",
            self.back_from
        );
        text
    }
}

/// Of each data topic: more than one, so that order by key is worth checking.
pub(super) const PARTITIONS: i32 = 3;

/// How the bridge logs in.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrgAccess<'a> {
    pub(super) login_url: &'a str,
    pub(super) pubsub_url: &'a str,
    pub(super) client_id: &'a str,
    pub(super) client_secret: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_text};

    #[test]
    fn the_configuration_is_one_that_run_would_take() {
        let plan = Plan::new(Some("1a2b"));
        let org = OrgAccess {
            login_url: "http://127.0.0.1:1",
            pubsub_url: "http://127.0.0.1:2",
            client_id: "id",
            client_secret: "secret",
        };
        let yaml = plan.yaml(&org, "127.0.0.1:9092", "127.0.0.1:0");
        let loaded =
            load_text("demo", yaml, &Environment::default()).map_err(|problems| problems.to_string());
        let loaded = loaded.expect("valid");
        assert!(loaded.unsupported().is_empty());
        assert_eq!(loaded.config.bridge.name, "demo-1a2b");
        assert_eq!(loaded.config.routes.len(), 3);
        assert_eq!(plan.data_topics().len(), 4);
    }
}
