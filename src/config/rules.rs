//! Rules between keys. Each function holds the rules of one part; all of them run, so that every mistake is
//! told at once. A rule stays silent where the values it needs are themselves mistaken.

use super::endpoints;
use super::problem::{Problem, seen};
use super::route_rules;
use super::tree::{Entry, Section};

#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Problem>);

impl Findings {
    pub(super) fn at(&mut self, entry: &Entry, message: impl Into<String>) {
        self.0.push(Problem::new(entry.at, &*entry.path, message));
    }

    pub(super) fn of(&mut self, section: &Section, message: impl Into<String>) {
        self.0.push(Problem::new(section.at, &*section.path, message));
    }
}

pub(super) fn check(file: &Section) -> Vec<Problem> {
    let mut findings = Findings::default();
    if let Some(salesforce) = file.section("salesforce") {
        auth(salesforce, &mut findings);
    }
    if let Some(kafka) = file.section("kafka") {
        cluster(kafka, &mut findings);
    }
    if let Some(registry) = file.section("schema_registry") {
        credentials(registry, &mut findings);
    }
    if let Some(admin) = file.section("admin") {
        admin_token(admin, &mut findings);
    }
    route_rules::check(file, &mut findings);
    findings.0
}

fn auth(salesforce: &Section, findings: &mut Findings) {
    let Some(auth) = salesforce.section("auth") else {
        return;
    };
    let login_host = salesforce.text("login_url").and_then(endpoints::host);
    let shared = matches!(
        login_host.as_deref(),
        Some("login.salesforce.com" | "test.salesforce.com")
    );
    if let (true, "flow: client_credentials", Some(entry)) =
        (shared, auth.form(), salesforce.entry("login_url"))
    {
        findings.at(
            entry,
            format!(
                "client_credentials works on the org's My Domain only (https://<name>.my.salesforce.com); it is {}",
                seen(salesforce.text("login_url").unwrap_or_default())
            ),
        );
    }
    let key = auth.secret("private_key").map(super::Secret::expose);
    if let (Some(pem), Some(entry)) = (key, auth.entry("private_key")) {
        if !pem.contains("-----BEGIN") {
            findings.at(
                entry,
                "must be a private key in PEM form, with its `-----BEGIN` line",
            );
        } else if pem.contains("BEGIN ENCRYPTED") || pem.contains("Proc-Type: 4,ENCRYPTED") {
            findings.at(
                entry,
                "the key is encrypted; give it without a passphrase (openssl pkey -in key.pem -out plain.pem)",
            );
        } else if !pem.contains("PRIVATE KEY-----") {
            findings.at(
                entry,
                "this PEM holds no private key; give the key, not the certificate",
            );
        }
    }
}

fn cluster(kafka: &Section, findings: &mut Findings) {
    if let (Some(0), Some(entry)) = (
        kafka.integer::<i32>("replication_factor"),
        kafka.entry("replication_factor"),
    ) {
        findings.at(entry, "must be -1 (the broker's default) or at least 1; it is 0");
    }
    let properties = kafka.properties("properties");
    let sasl = properties
        .iter()
        .any(|property| property.name.starts_with("sasl."));
    let protocol = properties
        .iter()
        .find(|property| property.name == "security.protocol");
    let speaks_sasl = protocol.is_some_and(|property| {
        let protocol = property.value.expose().to_ascii_lowercase();
        protocol.starts_with("sasl_")
    });
    if let (true, false, Some(entry)) = (sasl, speaks_sasl, kafka.entry("properties")) {
        findings.at(
            entry,
            "`sasl.…` does nothing without `security.protocol: SASL_SSL` (or SASL_PLAINTEXT); add it",
        );
    }
}

fn credentials(registry: &Section, findings: &mut Findings) {
    let (username, password) = (registry.entry("username"), registry.entry("password"));
    let bearer = registry.entry("bearer_token");
    match (username, password) {
        (Some(entry), None) => findings.at(entry, "needs `password` or `password_file` beside it"),
        (None, Some(entry)) => findings.at(entry, "needs `username` beside it"),
        _ => {}
    }
    if let (Some(bearer), Some(_)) = (bearer, username.or(password)) {
        findings.at(
            bearer,
            "give either bearer_token or username and password, not both",
        );
    }
    if bearer.or(password).is_none() {
        return;
    }
    for (entry, url) in registry.texts("url") {
        if endpoints::is_in_the_clear(url) {
            findings.at(
                entry,
                format!(
                    "must be https, because credentials are sent there; it is {}",
                    seen(url)
                ),
            );
        }
    }
}

fn admin_token(admin: &Section, findings: &mut Findings) {
    let Some(listen) = admin.entry("listen") else {
        return;
    };
    let address = admin
        .text("listen")
        .and_then(|text| text.parse::<std::net::SocketAddr>().ok());
    let Some(address) = address else { return };
    if !address.ip().is_loopback() && admin.entry("token").is_none() {
        findings.at(
            listen,
            format!(
                "an address beyond loopback needs admin.token or admin.token_file; it is {}",
                seen(&address.to_string())
            ),
        );
    }
}
