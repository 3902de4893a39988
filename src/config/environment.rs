//! What a configuration takes from outside its file, as values: so that tests give their own.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    /// Part of the default of `bridge.instance`.
    pub hostname: String,
}

impl Environment {
    /// This process's. A variable that is not UTF-8 counts as unset: no key could hold it.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let hostname = hostname(&variables);
        Self { variables, hostname }
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// The kernel's name for this machine, which in a container is the container's; elsewhere than on Linux
/// the variable that shells and container engines set.
fn hostname(variables: &BTreeMap<String, String>) -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .or_else(|| variables.get("HOSTNAME").cloned())
        .unwrap_or_else(|| "localhost".to_owned())
}
