//! What we say about compatibility is what real registries say: schemas that evolve at random, and the corners
//! by hand, through all levels. A disagreement fails the test and shows the schemas; the run can be had again
//! with its seed in `SFBRIDGE_TEST_SEED`.
//!
//! A registry has three answers, asked for in two ways: a check beforehand, and a registration at one level.
//! Neither release deviates from the rules in any case that was generated so far: there is no list of exceptions.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sfbridge::avro::Schema;
use sfbridge::config::{SchemaRegistryConfig, SubjectNaming};
use sfbridge::contracts::RegistryClient;
use sfbridge::contracts::compatibility::check;
use sfbridge::contracts::registry::{Against, CompatibilityError, Level, RegisterError};

use crate::need;
use crate::support::registry;

mod corners;
mod evolution;

/// Of each release: enough for every rule to occur in both directions, in a minute on a busy machine.
const HISTORIES: u32 = 160;
/// The registry works on two processors in our tests.
const AT_ONCE: usize = 4;

/// Two versions of a subject and what is to become the third.
struct History {
    subject: String,
    versions: [String; 2],
    new: String,
    /// What passes becomes a version, so there is one registration for each subject, at this level.
    registered_at: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passes,
    Incompatible,
    /// Java gives up with an exception.
    Refused,
}

#[tokio::test]
async fn release_2_agrees_at_every_level() {
    agrees(&need!("registry", registry::shared())).await;
}

#[tokio::test]
async fn release_3_agrees_at_every_level() {
    agrees(&need!("registry-v3", registry::shared_v3())).await;
}

async fn agrees(url: &str) {
    let seed = std::env::var("SFBRIDGE_TEST_SEED").map_or_else(
        |_| rand::rng().random(),
        |seed| seed.parse().expect("SFBRIDGE_TEST_SEED is a number"),
    );
    eprintln!("compatibility: SFBRIDGE_TEST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let config = SchemaRegistryConfig {
        urls: vec![url.to_owned()],
        subject: SubjectNaming::Topic,
        credentials: None,
        ca_file: None,
    };
    let client = &RegistryClient::new(&config).unwrap();
    let by_hand = corners::histories();
    let generated = (0..HISTORIES).map(|number| evolution::history(&mut rng, number));
    let histories: Vec<History> = by_hand.into_iter().chain(generated).collect();
    let compared: Vec<Vec<(Level, bool)>> = stream::iter(&histories)
        .map(|history| compare(client, history))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;

    // Schemas that never break, or always do, would prove nothing.
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (level, passes) in compared.into_iter().flatten() {
        let (passed, refused) = counts.entry(level.name()).or_default();
        *(if passes { passed } else { refused }) += 1;
    }
    eprintln!("compatibility, passed and refused: {counts:?}");
    for level in Level::ALL.into_iter().filter(|level| *level != Level::None) {
        let (passed, refused) = counts[level.name()];
        assert!(
            passed > 5 && refused > 5,
            "{level}: {passed} passed, {refused} refused"
        );
    }
}

async fn compare(client: &RegistryClient, history: &History) -> Vec<(Level, bool)> {
    let History {
        subject,
        versions,
        new,
        registered_at,
    } = history;
    for text in versions {
        client.register(subject, text, &[]).await.unwrap();
    }
    assert_eq!(client.versions(subject).await.unwrap(), [1, 2], "{versions:#?}");
    let [v1, v2] = versions.each_ref().map(|text| Schema::parse(text).unwrap());
    let parsed = Schema::parse(new).unwrap();
    let mut compared = Vec::new();
    for level in Level::ALL {
        let ours = check(level, &parsed, &[("v1", &v1), ("v2", &v2)]);
        client.set_config(subject, level).await.unwrap();
        let theirs = asked(client, subject, level, new).await;
        let ambiguous = || ours.iter().any(|one| one.rule.contains("it can stand for one"));
        let agree = match theirs {
            Verdict::Passes => ours.is_empty(),
            Verdict::Incompatible => !ours.is_empty(),
            Verdict::Refused => ambiguous(),
        };
        assert!(
            agree,
            "{level}: the registry says {theirs:?}, we say {ours:#?}\nv1: {}\nv2: {}\nnew: {new}",
            versions[0], versions[1]
        );
        compared.push((level, ours.is_empty()));
    }
    let level = *registered_at;
    client.set_config(subject, level).await.unwrap();
    let ours = check(level, &parsed, &[("v1", &v1), ("v2", &v2)]);
    let registered = match client.register(subject, new, &[]).await {
        Ok(_) => true,
        Err(RegisterError::Incompatible { .. } | RegisterError::Invalid { .. }) => false,
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(
        registered,
        ours.is_empty(),
        "{level}: {ours:#?}\n{versions:#?}\n{new}"
    );
    compared
}

/// Without a version, Apicurio compares with all of them even where the level asks for the latest alone.
async fn asked(client: &RegistryClient, subject: &str, level: Level, new: &str) -> Verdict {
    let against = match level {
        Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive => Against::All,
        Level::None | Level::Backward | Level::Forward | Level::Full => Against::Latest,
    };
    match client.compatible(subject, against, new, &[]).await {
        Ok(answer) if answer.is_compatible => Verdict::Passes,
        Ok(_) => Verdict::Incompatible,
        Err(CompatibilityError::Invalid { .. }) => Verdict::Refused,
        Err(error) => panic!("{error:?}"),
    }
}
