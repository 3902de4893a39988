//! The filter against events as Salesforce sends them.

mod fitting;
mod fixtures;
mod hostile;
mod verdicts;
