//! Who calls: the three metadata keys that every RPC carries. They are checked when a call begins and never again.

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::simulator::errors::{AUTH_ERROR, AUTH_HEADERS_INVALID, ApiError};
use crate::simulator::faults::Rpc;
use crate::simulator::org::Org;

/// Lets a call in, or answers why not.
pub(super) fn authenticate(
    org: &Org,
    instance_url: &str,
    metadata: &MetadataMap,
    rpc: Rpc,
    rpc_id: &str,
) -> Result<(), Status> {
    let refuse = |error: ApiError| {
        org.counters.refused_calls.add(1);
        Err(error.status(rpc.name(), rpc_id))
    };
    let value = |key: &str| {
        metadata
            .get(key)
            .and_then(|value| value.to_str().ok())
            .filter(|text| !text.trim().is_empty())
    };
    let (Some(token), Some(instance), Some(tenant)) =
        (value("accesstoken"), value("instanceurl"), value("tenantid"))
    else {
        return refuse(AUTH_HEADERS_INVALID);
    };
    if !instance.starts_with("https://") && !instance.starts_with("http://") {
        return refuse(AUTH_HEADERS_INVALID);
    }
    let good = org.tokens.is_good(token, org.clock.now_ms())
        && instance == instance_url
        && is_tenant(tenant, &org.settings.organization_id);
    if good { Ok(()) } else { refuse(AUTH_ERROR) }
}

/// `{OrgId}` or `core/{Subdomain}/{OrgId}`, the id with 15 or 18 characters.
fn is_tenant(given: &str, organization_id: &str) -> bool {
    let id = match given.split('/').collect::<Vec<_>>()[..] {
        [id] => id,
        [core, _, id] if core.eq_ignore_ascii_case("core") => id,
        _ => return false,
    };
    id == organization_id || id == crate::simulator::ids::with_suffix(organization_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_org_is_named_by_15_or_18_characters_with_or_without_its_pod() {
        let org = "00DSB0000000001";
        for good in [org, "00DSB00000000012AA", "core/acme/00DSB0000000001"] {
            let good = good.replace("00DSB00000000012AA", &crate::simulator::ids::with_suffix(org));
            assert!(is_tenant(&good, org), "{good}");
        }
        for bad in [
            "00DSB0000000002",
            "core/00DSB0000000001",
            "x/acme/00DSB0000000001",
            "00DSB0000000001X",
        ] {
            assert!(!is_tenant(bad, org), "{bad}");
        }
    }
}
