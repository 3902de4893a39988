//! Who may ask. With a token: whoever has it, and everybody for `/live`, `/ready` and the status page's own files, which
//! hold no word of the bridge: the page asks for the token. Without one (loopback
//! only): anybody on this machine, but no web page in their browser: a request needs a loopback `Host`, a
//! same-origin `Origin` if it has one, and a POST the header `X-Sfbridge: 1`, which a page cannot set across
//! origins without a preflight that we never answer.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::AdminState;

/// What needs no token.
const OPEN: [&str; 5] = ["/live", "/ready", "/", "/page.css", "/page.js"];

pub(super) async fn guard(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let verdict = match &state.token {
        Some(_) if OPEN.contains(&request.uri().path()) => Ok(()),
        Some(token) => with_token(request.headers(), token.expose()),
        None => without_token(request.method(), request.headers()),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err((status, text)) => (status, text).into_response(),
    }
}

type Refusal = (StatusCode, &'static str);

fn with_token(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    // Digests, so that the lengths do not show, and all of their bytes: a comparison that ends at the first difference
    // would tell, bit by bit, the digest that a guesser could then try words against at home.
    let (given, wanted) = (Sha256::digest(given.as_bytes()), Sha256::digest(token.as_bytes()));
    if bool::from(given.ct_eq(&wanted)) {
        Ok(())
    } else {
        Err((
            StatusCode::UNAUTHORIZED,
            "send `Authorization: Bearer <admin token>`\n",
        ))
    }
}

fn without_token(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Err((
            StatusCode::FORBIDDEN,
            "without an admin token only a loopback Host is answered\n",
        ));
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin
            .split_once("://")
            .is_none_or(|(_, authority)| authority != host)
    {
        return Err((StatusCode::FORBIDDEN, "requests of other origins are refused\n"));
    }
    if method != Method::GET && text(header::HeaderName::from_static("x-sfbridge")) != Some("1") {
        return Err((
            StatusCode::FORBIDDEN,
            "send the header `X-Sfbridge: 1` with a POST\n",
        ));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let name = host
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name));
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_person_on_this_machine_may_ask() {
        for host in ["127.0.0.1:9400", "localhost:9400", "[::1]:9400", "localhost"] {
            assert!(
                without_token(&Method::GET, &headers(&[("host", host)])).is_ok(),
                "{host}"
            );
        }
    }

    #[test]
    fn a_web_page_may_not() {
        let rebound = headers(&[("host", "evil.example:9400")]);
        assert!(without_token(&Method::GET, &rebound).is_err());
        let foreign = headers(&[("host", "localhost:9400"), ("origin", "https://evil.example")]);
        assert!(without_token(&Method::GET, &foreign).is_err());
        let form = headers(&[("host", "localhost:9400")]);
        assert!(without_token(&Method::POST, &form).is_err());
        let own = headers(&[
            ("host", "localhost:9400"),
            ("origin", "http://localhost:9400"),
            ("x-sfbridge", "1"),
        ]);
        assert!(without_token(&Method::POST, &own).is_ok());
    }

    #[test]
    fn only_the_token_itself_opens() {
        assert!(with_token(&headers(&[("authorization", "Bearer s3cret")]), "s3cret").is_ok());
        assert!(with_token(&headers(&[("authorization", "Bearer s3cre")]), "s3cret").is_err());
        assert!(with_token(&headers(&[]), "s3cret").is_err());
    }
}
