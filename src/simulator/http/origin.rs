//! What a change event says of the request behind it: `com/salesforce/api/rest/66.0;client=NAME`.

use axum::http::HeaderMap;

/// `changeOrigin` of a write. The client's name is that of `Sforce-Call-Options: client=NAME`; without one, or where
/// the API does not heed the header, nothing stands for it.
pub(super) fn origin(api: &str, version: &str, client: Option<&str>) -> String {
    let version = version.trim_start_matches('v');
    match client {
        Some(client) => format!("com/salesforce/api/{api}/{version};client={client}"),
        None => format!("com/salesforce/api/{api}/{version}"),
    }
}

/// The name that a client gives itself.
pub(super) fn client(headers: &HeaderMap) -> Option<&str> {
    let options = headers.get("sforce-call-options")?.to_str().ok()?;
    let mut options = options.split(',').map(str::trim);
    options
        .find_map(|option| option.strip_prefix("client="))
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_named_where_it_names_itself() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            origin("rest", "v66.0", client(&headers)),
            "com/salesforce/api/rest/66.0"
        );
        let options = "defaultNamespace=battle, client=sfbridge-a"
            .parse()
            .expect("ASCII");
        headers.insert("sforce-call-options", options);
        assert_eq!(
            origin("bulkapi", "v66.0", client(&headers)),
            "com/salesforce/api/bulkapi/66.0;client=sfbridge-a"
        );
    }
}
