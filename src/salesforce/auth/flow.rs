//! The OAuth flows as forms for the token endpoint.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::config::{AuthConfig, Secret};
use crate::error::{ErrorKind, Failure};

/// Salesforce takes an assertion for some minutes at most; three are what its clients use.
const ASSERTION_SECONDS: i64 = 180;
/// The hosts that serve every org, where client credentials are refused.
const SHARED_HOSTS: [&str; 2] = ["login.salesforce.com", "test.salesforce.com"];

pub(super) type Form = Vec<(&'static str, String)>;

/// A flow that can log in, with its key parsed.
pub(super) enum Flow {
    JwtBearer {
        client_id: String,
        username: String,
        key: Box<EncodingKey>,
        audience: String,
    },
    ClientCredentials {
        client_id: String,
        client_secret: Secret,
    },
    RefreshToken {
        client_id: String,
        client_secret: Option<Secret>,
        refresh_token: Secret,
    },
}

/// `exp` is in seconds: Salesforce answers milliseconds with "expired".
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

impl Flow {
    pub(super) fn prepare(auth: &AuthConfig, login_url: &str) -> Result<Self, Failure> {
        match auth.clone() {
            AuthConfig::JwtBearer {
                client_id,
                username,
                private_key,
                audience,
            } => Ok(Self::JwtBearer {
                client_id,
                username,
                key: Box::new(rsa_key(&private_key)?),
                audience,
            }),
            AuthConfig::ClientCredentials {
                client_id,
                client_secret,
            } => {
                my_domain_only(login_url)?;
                Ok(Self::ClientCredentials {
                    client_id,
                    client_secret,
                })
            }
            AuthConfig::RefreshToken {
                client_id,
                client_secret,
                refresh_token,
            } => Ok(Self::RefreshToken {
                client_id,
                client_secret,
                refresh_token,
            }),
            AuthConfig::AccessToken { .. } => Err(Failure::new(
                ErrorKind::Misconfigured,
                "the flow access_token does not log in",
            )),
        }
    }

    /// The fields to post, as of Salesforce's clock.
    pub(super) fn form(&self, now_ms: i64) -> Result<Form, Failure> {
        Ok(match self {
            Self::JwtBearer { .. } => vec![
                (
                    "grant_type",
                    "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
                ),
                ("assertion", self.assertion(now_ms)?),
            ],
            Self::ClientCredentials {
                client_id,
                client_secret,
            } => vec![
                ("grant_type", "client_credentials".to_owned()),
                ("client_id", client_id.clone()),
                ("client_secret", client_secret.expose().to_owned()),
            ],
            Self::RefreshToken {
                client_id,
                client_secret,
                refresh_token,
            } => {
                let mut form = vec![
                    ("grant_type", "refresh_token".to_owned()),
                    ("refresh_token", refresh_token.expose().to_owned()),
                    ("client_id", client_id.clone()),
                ];
                form.extend(
                    client_secret
                        .iter()
                        .map(|secret| ("client_secret", secret.expose().to_owned())),
                );
                form
            }
        })
    }

    fn assertion(&self, now_ms: i64) -> Result<String, Failure> {
        let Self::JwtBearer {
            client_id,
            username,
            key,
            audience,
        } = self
        else {
            return Ok(String::new());
        };
        let claims = Claims {
            iss: client_id,
            sub: username,
            aud: audience,
            exp: now_ms / 1000 + ASSERTION_SECONDS,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key).map_err(|error| {
            Failure::new(
                ErrorKind::Misconfigured,
                "salesforce.auth.private_key cannot sign with RS256",
            )
            .remedy("use an RSA key of at least 2048 bits")
            .caused_by(error)
        })
    }

    /// Whether what it posts depends on the clock.
    pub(super) const fn is_timed(&self) -> bool {
        matches!(self, Self::JwtBearer { .. })
    }

    /// The user, where the configuration says it.
    pub(super) fn username(&self) -> Option<&str> {
        match self {
            Self::JwtBearer { username, .. } => Some(username),
            _ => None,
        }
    }

    pub(super) fn client_id(&self) -> &str {
        match self {
            Self::JwtBearer { client_id, .. }
            | Self::ClientCredentials { client_id, .. }
            | Self::RefreshToken { client_id, .. } => client_id,
        }
    }
}

fn rsa_key(pem: &Secret) -> Result<EncodingKey, Failure> {
    EncodingKey::from_rsa_pem(pem.expose().as_bytes()).map_err(|error| {
        Failure::new(
            ErrorKind::Misconfigured,
            "salesforce.auth.private_key (or private_key_file) is not an RSA private key in PEM",
        )
        .remedy(
            "give the key that belongs to the app's certificate, unencrypted: -----BEGIN PRIVATE KEY-----",
        )
        .caused_by(error)
    })
}

fn my_domain_only(login_url: &str) -> Result<(), Failure> {
    let host = login_url.split_once("://").map_or(login_url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or(host);
    if !SHARED_HOSTS.contains(&host) {
        return Ok(());
    }
    let failure = Failure::new(
        ErrorKind::Misconfigured,
        format!("salesforce.login_url: {host} refuses the flow client_credentials"),
    );
    Err(failure.remedy("use the org's My Domain: https://<name>.my.salesforce.com"))
}
