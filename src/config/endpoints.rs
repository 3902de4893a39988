//! Rules for addresses. Everything that a token travels to is https, but on loopback.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::checks::{Checked, Refusal, shown};

/// A URL that tokens are sent to; it may have a path (an Experience Cloud site has one).
pub(super) fn base_url(text: &str) -> Checked {
    let url = parse(text)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(())
    } else {
        shown("must be https, because tokens are sent there; http is for loopback addresses only")
    }
}

/// The same without a path: the address of a gRPC service.
pub(super) fn origin_url(text: &str) -> Checked {
    base_url(text)?;
    if parse(text)?.path() == "/" {
        Ok(())
    } else {
        shown("must be a scheme, a host and a port, without a path")
    }
}

/// Whether it must be https depends on the credentials: see `rules.rs`.
pub(super) fn registry_url(text: &str) -> Checked {
    parse(text).map(|_| ())
}

/// `http` to another machine.
pub(super) fn is_in_the_clear(text: &str) -> bool {
    parse(text).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url))
}

pub(super) fn host(text: &str) -> Option<String> {
    parse(text).ok()?.host_str().map(str::to_ascii_lowercase)
}

/// The text itself must not be shown where it may hold a password.
fn parse(text: &str) -> Result<Url, Refusal> {
    let hides = text.contains('@') || text.contains('?');
    let refuse = |rule: &str| {
        let rule = rule.to_owned();
        Err(if hides {
            Refusal::Hidden(rule)
        } else {
            Refusal::Shown(rule)
        })
    };
    let spelled_out = text.starts_with("https://") || text.starts_with("http://");
    let url = match Url::parse(text) {
        Ok(url) if spelled_out && !text.contains(char::is_whitespace) => url,
        _ => return refuse("must be a URL that begins with https:// (or http://)"),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must be a URL without user and password; credentials have keys of their own");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must be a URL without `?` and `#`");
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

/// `host:port[,host:port…]`; librdkafka also takes `PROTOCOL://host:port`.
pub(super) fn bootstrap_servers(text: &str) -> Checked {
    let good = |server: &str| {
        let server = server
            .trim()
            .split_once("://")
            .map_or(server.trim(), |(_, rest)| rest);
        let Some((host, port)) = server.rsplit_once(':') else {
            return false;
        };
        let clean = !host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@'));
        let bracketed = host.starts_with('[') && host.ends_with(']');
        !host.is_empty()
            && clean
            && (bracketed || !host.contains(':'))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if text.split(',').all(good) {
        Ok(())
    } else if text.contains('@') {
        Err(Refusal::Hidden(
            "must be host:port, or several separated by commas; credentials belong into `properties` (sasl.*)"
                .to_owned(),
        ))
    } else {
        shown("must be host:port, or several separated by commas")
    }
}

pub(super) fn listen_address(text: &str) -> Checked {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => {
            shown("must be an IP address and a port, such as 127.0.0.1:9400, 0.0.0.0:9400 or [::1]:9400")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for good in [
            "https://a.my.salesforce.com",
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:7443",
        ] {
            assert_eq!(base_url(good), Ok(()), "{good}");
        }
        for bad in [
            "http://a.my.salesforce.com",
            "http://localhost.evil.com",
            "http://127.0.0.1.evil.com",
            "http://127.0.0.1@evil.com",
            "ftp://a",
            "a.my.salesforce.com",
            "https:a.com",
            "https://",
            "https://a.com/?x=1",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        assert!(matches!(
            base_url("https://u:canary@a.com"),
            Err(Refusal::Hidden(_))
        ));
        assert!(matches!(
            registry_url("ftp://u:canary@a.com"),
            Err(Refusal::Hidden(_))
        ));
        assert!(matches!(
            bootstrap_servers("u:canary@kafka"),
            Err(Refusal::Hidden(_))
        ));
    }

    #[test]
    fn bootstrap_servers_are_hosts_with_ports() {
        for good in ["k:9092", "a:1,b:2", "a:1, b:2", "[::1]:9092", "SASL_SSL://a:9"] {
            assert_eq!(bootstrap_servers(good), Ok(()), "{good}");
        }
        for bad in ["kafka", "a:1,", "a:b", "a:0", "a b:1", "::1:9092", "http://a/b:1"] {
            assert!(bootstrap_servers(bad).is_err(), "{bad}");
        }
    }
}
