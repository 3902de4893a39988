//! The Salesforce org we run ourselves.
