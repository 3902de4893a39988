//! What the token endpoint decides: which request gets a token, and in which words another is refused. Pure; the
//! handler in `http::oauth` does the rest.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use parking_lot::Mutex;
use serde::Deserialize;

use super::settings::SimulatorSettings;

/// An assertion may not be good for longer: a value in milliseconds is caught by this.
const ASSERTION_LIFETIME_MAX_SECONDS: i64 = 60 * 60;
const AUDIENCES: [&str; 2] = ["https://login.salesforce.com", "https://test.salesforce.com"];

/// The body of an error answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    #[serde(default = "bad_request")]
    pub http_status: u16,
    pub error: String,
    #[serde(default)]
    pub description: String,
}

fn bad_request() -> u16 {
    400
}

impl Refusal {
    fn new(error: &str, description: &str) -> Self {
        Self {
            http_status: bad_request(),
            error: error.into(),
            description: description.into(),
        }
    }
}

type Form = HashMap<String, String>;

/// Whether the form gets a token at `now_ms` of the org's clock.
pub(super) fn decide(
    settings: &SimulatorSettings,
    form: &Form,
    host: &str,
    now_ms: i64,
) -> Result<(), Refusal> {
    let given = |name: &str| form.get(name).map_or("", String::as_str);
    match given("grant_type") {
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => assertion(settings, given("assertion"), now_ms),
        "client_credentials" => {
            if !settings.my_domain || host.starts_with("login.") || host.starts_with("test.") {
                return Err(Refusal::new(
                    "invalid_grant",
                    "request not supported on this domain",
                ));
            }
            client(settings, given("client_id"), Some(given("client_secret")))
        }
        "refresh_token" => {
            // A client without a secret of its own may leave it out.
            let secret = form.get("client_secret").map(String::as_str);
            client(settings, given("client_id"), secret)?;
            if given("refresh_token") == settings.refresh_token {
                Ok(())
            } else {
                Err(Refusal::new("invalid_grant", "expired access/refresh token"))
            }
        }
        "password" => {
            client(settings, given("client_id"), Some(given("client_secret")))?;
            if given("username") == settings.username && !given("password").is_empty() {
                Ok(())
            } else {
                Err(Refusal::new("invalid_grant", "authentication failure"))
            }
        }
        "" => Err(Refusal::new("invalid_request", "grant_type is required")),
        _ => Err(Refusal::new("unsupported_grant_type", "grant type not supported")),
    }
}

fn client(settings: &SimulatorSettings, id: &str, secret: Option<&str>) -> Result<(), Refusal> {
    if id != settings.client_id {
        return Err(Refusal::new("invalid_client_id", "client identifier invalid"));
    }
    match secret {
        Some(secret) if secret != settings.client_secret => {
            Err(Refusal::new("invalid_client", "invalid client credentials"))
        }
        _ => Ok(()),
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
}

fn assertion(settings: &SimulatorSettings, assertion: &str, now_ms: i64) -> Result<(), Refusal> {
    let invalid = || Refusal::new("invalid_grant", "invalid assertion");
    let mut validation = Validation::new(Algorithm::RS256);
    // The org's clock decides about `exp`, and Salesforce has words of its own for a wrong audience.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = match &settings.jwt_public_key_pem {
        Some(pem) => DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| invalid())?,
        None => {
            validation.insecure_disable_signature_validation();
            DecodingKey::from_secret(&[])
        }
    };
    let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &validation)
        .map_err(|_| invalid())?
        .claims;
    if claims.iss != settings.client_id {
        return Err(Refusal::new("invalid_client_id", "client identifier invalid"));
    }
    if !AUDIENCES.contains(&claims.aud.as_str()) {
        return Err(Refusal::new("invalid_grant", "audience is invalid"));
    }
    let left = claims.exp.saturating_sub(now_ms / 1_000);
    if !(0..=ASSERTION_LIFETIME_MAX_SECONDS).contains(&left) {
        return Err(Refusal::new("invalid_grant", "expired authorization code"));
    }
    if claims.sub != settings.username {
        return Err(Refusal::new(
            "invalid_grant",
            "user hasn't approved this consumer",
        ));
    }
    Ok(())
}

/// What is to go wrong at the token endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFault {
    /// How many requests it meets.
    pub times: u32,
    #[serde(default)]
    pub delay_ms: u64,
    /// Without it the request is answered as usual, after the delay.
    #[serde(default)]
    pub refusal: Option<Refusal>,
}

#[derive(Debug, Default)]
pub(super) struct TokenFaults(Mutex<Option<TokenFault>>);

impl TokenFaults {
    /// In place of the one before.
    pub(super) fn set(&self, fault: TokenFault) {
        *self.0.lock() = Some(fault).filter(|fault| fault.times > 0);
    }

    /// What meets the next request: how long it waits, and its refusal.
    pub(super) fn take(&self) -> (u64, Option<Refusal>) {
        let mut waiting = self.0.lock();
        let Some(fault) = waiting.as_mut() else {
            return (0, None);
        };
        fault.times -= 1;
        let met = (fault.delay_ms, fault.refusal.clone());
        if fault.times == 0 {
            *waiting = None;
        }
        met
    }

    pub(super) fn clear(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use rsa::pkcs1::{EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
    use serde_json::{Value as Json, json};

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn form(fields: &[(&str, &str)]) -> Form {
        fields
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn described(settings: &SimulatorSettings, form: &Form, host: &str) -> String {
        decide(settings, form, host, NOW_MS)
            .err()
            .map_or(String::new(), |refusal| refusal.description)
    }

    /// The fewest bits that the signing library takes.
    fn key() -> (EncodingKey, String) {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).expect("a key");
        let private = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).expect("PEM");
        let public = key
            .to_public_key()
            .to_pkcs1_pem(rsa::pkcs8::LineEnding::LF)
            .expect("PEM");
        (
            EncodingKey::from_rsa_pem(private.as_bytes()).expect("a key"),
            public,
        )
    }

    #[test]
    fn an_assertion_is_refused_in_salesforces_words() {
        let (private, public) = key();
        let settings = SimulatorSettings {
            jwt_public_key_pem: Some(public),
            ..SimulatorSettings::default()
        };
        let good = json!({"iss": settings.client_id, "sub": settings.username,
            "aud": "https://login.salesforce.com", "exp": NOW_MS / 1_000 + 180});
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let sign = |claims: &Json| {
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &private).expect("signed")
        };
        let answer =
            |jwt: &str| described(&settings, &form(&[("grant_type", grant), ("assertion", jwt)]), "");
        let with = |name: &str, value: Json| {
            let mut claims = good.clone();
            claims[name] = value;
            answer(&sign(&claims))
        };
        let jwt = sign(&good);
        assert_eq!(answer(&jwt), "");
        let (unsigned, _) = jwt.rsplit_once('.').expect("three parts");
        let other = sign(&json!({"iss": "somebody else"}));
        let (_, signature) = other.rsplit_once('.').expect("three parts");
        assert_eq!(answer(&format!("{unsigned}.{signature}")), "invalid assertion");
        assert_eq!(
            with("aud", json!("https://acme.my.salesforce.com")),
            "audience is invalid"
        );
        assert_eq!(
            with("exp", json!(NOW_MS / 1_000 - 1)),
            "expired authorization code"
        );
        assert_eq!(
            with("exp", json!(NOW_MS + 180_000)),
            "expired authorization code",
            "milliseconds"
        );
        assert_eq!(
            with("sub", json!("somebody@else.example")),
            "user hasn't approved this consumer"
        );
        assert_eq!(with("iss", json!("unknown")), "client identifier invalid");
    }

    #[test]
    fn client_credentials_are_for_my_domain_alone() {
        let settings = SimulatorSettings::default();
        let form = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &settings.client_id),
            ("client_secret", &settings.client_secret),
        ]);
        assert_eq!(described(&settings, &form, "acme.my.salesforce.com"), "");
        let elsewhere = "request not supported on this domain";
        assert_eq!(described(&settings, &form, "login.salesforce.com"), elsewhere);
        let login = SimulatorSettings {
            my_domain: false,
            ..settings
        };
        assert_eq!(described(&login, &form, "127.0.0.1:1"), elsewhere);
    }

    #[test]
    fn a_refresh_token_needs_no_secret_but_a_right_one_if_any() {
        let settings = SimulatorSettings::default();
        let mut fields = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &settings.client_id),
            ("refresh_token", &settings.refresh_token),
        ]);
        assert_eq!(described(&settings, &fields, ""), "");
        fields.insert("client_secret".into(), "wrong".into());
        assert_eq!(described(&settings, &fields, ""), "invalid client credentials");
        fields.remove("client_secret");
        fields.insert("refresh_token".into(), "old".into());
        assert_eq!(described(&settings, &fields, ""), "expired access/refresh token");
    }
}
