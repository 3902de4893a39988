//! The Kafka side. Knows nothing of Salesforce.
