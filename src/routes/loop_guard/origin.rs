//! The name that a write carries. Salesforce gives the client of `Sforce-Call-Options: client=…` back in
//! `changeOrigin` as `com/salesforce/api/<api>/<version>;client=<name>`, with a slash behind some names (CDC guide).

/// The name that a bridge writes under.
pub fn client_name(bridge: &str) -> String {
    format!("sfbridge-{bridge}")
}

/// Whether a change's origin is this client. Compared whole: another bridge's name may begin with ours.
pub fn is_own(change_origin: &str, client: &str) -> bool {
    let name = change_origin
        .split(';')
        .find_map(|part| part.trim().strip_prefix("client="));
    name.is_some_and(|name| name.trim_end_matches('/') == client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_write_is_recognised_by_its_whole_name() {
        let client = client_name("crm");
        for own in [
            "com/salesforce/api/rest/66.0;client=sfbridge-crm",
            "com/salesforce/api/rest/66.0;client=sfbridge-crm/",
        ] {
            assert!(is_own(own, &client), "{own}");
        }
        for other in [
            "",
            "com/salesforce/api/rest/66.0",
            "com/salesforce/api/rest/66.0;client=sfbridge-crm2",
            "com/salesforce/api/soap/57.0;client=SfdcInternalAPI/",
            "sfbridge-crm",
        ] {
            assert!(!is_own(other, &client), "{other}");
        }
    }
}
