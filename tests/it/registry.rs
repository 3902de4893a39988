//! The registry's client against real registries: Apicurio 2 and 3, which both copy Confluent's interface and
//! differ from it, and from each other, here and there.

use std::sync::atomic::{AtomicU32, Ordering};

use sfbridge::config::{SchemaRegistryConfig, SubjectNaming};
use sfbridge::contracts::registry::{
    Against, CompatibilityError, Level, Reference, RegisterError, Registry, RegistryClient, SchemaError,
    Version,
};
use sfbridge::error::{ErrorKind, Failure, chain};

use crate::need;
use crate::support::authority::Authority;
use crate::support::registry;
use crate::support::registry_front::Front;

mod levels;
mod schemas;

fn config(url: &str) -> SchemaRegistryConfig {
    SchemaRegistryConfig {
        urls: vec![url.to_owned()],
        subject: SubjectNaming::Topic,
        credentials: None,
        ca_file: None,
    }
}

fn client(url: &str) -> RegistryClient {
    RegistryClient::new(&config(url)).unwrap()
}

/// The registries are shared: every test has subjects of its own.
fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{number}-value")
}

/// A record of these fields, in a namespace that makes its text unique.
fn record(subject: &str, fields: &str) -> String {
    let namespace = subject.replace('-', "_");
    format!(r#"{{"type":"record","name":"R","namespace":"{namespace}","fields":[{fields}]}}"#)
}

const NAME: &str = r#"{"name":"name","type":"string"}"#;
/// A reader with it cannot read what was written without it.
const PHONE: &str = r#"{"name":"phone","type":"string"}"#;
const PHONE_OPTIONAL: &str = r#"{"name":"phone","type":["null","string"],"default":null}"#;

/// Every test, for both releases.
macro_rules! against_both {
    ($($test:ident),+ $(,)?) => {
        mod release_2 {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&$crate::need!("registry", $crate::support::registry::shared())).await;
                }
            )+
        }
        mod release_3 {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&$crate::need!("registry-v3", $crate::support::registry::shared_v3())).await;
                }
            )+
        }
    };
}
pub(crate) use against_both;

#[tokio::test]
async fn a_registry_that_is_down_is_waited_for() {
    let own = need!("registry", registry::Registry::start_new());
    let cached = Registry::new(&config(&own.url())).unwrap();
    let subject = unique("down");
    own.stop();
    let schema = record(&subject, NAME);
    let failure = Failure::from(cached.ensure(&subject, &schema).await.unwrap_err());
    assert_eq!(failure.kind, ErrorKind::Transient, "{failure:?}");

    own.start().unwrap();
    let registered = cached.ensure(&subject, &schema).await.unwrap();
    assert_eq!(cached.schema(registered.id).await.unwrap().schema, schema);
    // What is known outlives the registry.
    own.stop();
    assert_eq!(cached.ensure(&subject, &schema).await.unwrap(), registered);
    assert_eq!(cached.schema(registered.id).await.unwrap().schema, schema);
}

#[tokio::test]
async fn a_path_that_is_no_registrys_is_told_from_a_missing_subject() {
    let url = need!("registry", registry::shared());
    let elsewhere = url.replace("/apis/ccompat/v7", "/nowhere");
    let failure = Failure::from(client(&elsewhere).versions("a").await.unwrap_err());
    assert_eq!(failure.kind, ErrorKind::Denied, "{failure:?}");
    assert!(failure.remedy.unwrap().contains("schema_registry.url"));
}

#[tokio::test]
async fn a_registry_whose_authority_is_private_is_trusted_where_the_configuration_names_it() {
    let url = need!("registry", registry::shared());
    let (authority, another) = (Authority::new(), Authority::new());
    let front = Front::under_tls(&url, &authority.sign("127.0.0.1")).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let trusting = |pem: &str| {
        std::fs::write(file.path(), pem).unwrap();
        let ca_file = Some(file.path().to_owned());
        Registry::new(&SchemaRegistryConfig {
            ca_file,
            ..config(&front.url)
        })
        .unwrap()
    };
    let subject = unique("sealed");
    let schema = record(&subject, NAME);
    for stranger in [
        Registry::new(&config(&front.url)).unwrap(),
        trusting(&another.pem),
    ] {
        let failure = Failure::from(stranger.ensure(&subject, &schema).await.unwrap_err());
        assert_eq!(failure.kind, ErrorKind::Transient, "{failure:?}");
        assert!(chain(&failure).contains("certificate"), "{}", chain(&failure));
        let remedy = failure.remedy.unwrap();
        assert!(remedy.contains("schema_registry.ca_file"), "{remedy}");
    }
    assert!(client(&url).versions(&subject).await.unwrap().is_empty());
    // A bundle: the one that matters need not be the first.
    let trusted = trusting(&format!("{}{}", another.pem, authority.pem));
    let registered = trusted.ensure(&subject, &schema).await.unwrap();
    assert_eq!(
        client(&url).schema_by_id(registered.id).await.unwrap().schema,
        schema
    );
}
