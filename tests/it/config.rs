//! The configuration from the outside: files in, exact messages and values out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use sfbridge::config::{
    self, AuthConfig, DiffPolicy, Environment, Flow, Format, KafkaTopics, KeyConfig, OnBreak, OnTombstone,
    SalesforceTarget,
};

const FIXTURES: &str = "tests/fixtures/config";

fn environment() -> Environment {
    let variables = [
        ("SFBRIDGE_TEST_EMPTY", ""),
        ("HOSTNAME", "pod-0"),
        ("PASSWORD", "canary: {[#\n"),
        ("SF_CLIENT_ID", "id"),
    ];
    Environment {
        variables: variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        hostname: "host".to_owned(),
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(FIXTURES).join(folder))
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn load_text(text: &str, environment: &Environment) -> Result<config::Loaded, config::Problems> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sfbridge.yaml");
    std::fs::write(&file, text).expect("written");
    config::load_with(&file, environment)
}

fn sfbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(arguments)
        .env_clear()
        .output()
        .expect("the program runs")
}

/// A file that every test below bends to its purpose.
fn minimal() -> String {
    std::fs::read_to_string(format!("{FIXTURES}/good/minimal.yaml")).expect("the fixture")
}

/// `SFBRIDGE_UPDATE_EXPECTED=1` writes what is said now; read the difference before committing it.
#[test]
fn each_bad_file_gets_exactly_its_messages() {
    let update = std::env::var_os("SFBRIDGE_UPDATE_EXPECTED").is_some();
    let bad = files("bad");
    assert!(bad.len() >= 30, "{} files", bad.len());
    let mut wrong = Vec::new();
    for file in bad {
        let said = match config::load_with(&file, &environment()) {
            Ok(_) => "accepted\n".to_owned(),
            Err(problems) => format!("{problems}\n"),
        };
        assert!(!said.contains("canary"), "{said}");
        let expected_file = file.with_extension("expected");
        if update {
            std::fs::write(&expected_file, &said).expect("written");
        }
        let expected = std::fs::read_to_string(&expected_file).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\nexpected:\n{expected}said:\n{said}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_files_load() {
    for file in files("good") {
        if let Err(problems) = config::load_with(&file, &environment()) {
            panic!("{problems}");
        }
    }
}

#[test]
fn a_missing_file_is_told_with_a_remedy() {
    let problems = config::load_with(Path::new("nowhere.yaml"), &environment()).expect_err("no such file");
    let said = problems.to_string();
    assert!(
        said.starts_with("nowhere.yaml: the configuration cannot be read"),
        "{said}"
    );
    assert!(said.contains("--config"), "{said}");
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let loaded = load_text(&minimal(), &environment()).expect("valid");
    let config = loaded.config.clone();
    assert_eq!(config.bridge.instance, "host-9400");
    assert_eq!(config.bridge.shutdown_timeout.as_secs(), 30);
    assert_eq!(config.salesforce.api_version, "66.0");
    assert_eq!(
        (config.kafka.partitions, config.kafka.replication_factor),
        (6, -1)
    );
    assert!(config.kafka.create_topics);
    let route = &config.routes[0];
    assert_eq!(route.dead_letter.topic, "sfbridge.crm.dead-letters");
    assert_eq!(route.dead_letter.max_consecutive, 100);
    let Flow::ToKafka(flow) = &route.flow else {
        panic!("to Kafka")
    };
    assert_eq!(flow.to[0].key, KeyConfig::RecordId);
    assert_eq!(flow.from.on_diff, DiffPolicy::Pass);
    assert!(flow.to[0].contract.is_none());
    assert_eq!((flow.commit.max_events, flow.commit.max_bytes), (1000, 4_194_304));
    assert!(flow.commit.linger.is_zero());
    assert!(loaded.unsupported().is_empty());

    let events = minimal().replace("/data/AccountChangeEvent", "/event/Order__e");
    let config = load_text(&events, &environment()).expect("valid").config;
    let Flow::ToKafka(flow) = &config.routes[0].flow else {
        panic!("to Kafka")
    };
    assert_eq!(flow.to[0].key, KeyConfig::EventId);
}

#[test]
fn what_the_file_says_arrives_typed() {
    let file = format!("{FIXTURES}/good/everything.yaml");
    let config = config::load_with(Path::new(&file), &environment())
        .expect("valid")
        .config;
    assert_eq!(config.bridge.instance, "pod-0");
    assert_eq!(config.salesforce.login_url, "https://acme.my.salesforce.com");
    assert_eq!(config.kafka.partitions, 12);
    assert_eq!(config.kafka.properties["sasl.password"].expose(), "canary: {[#\n");
    let AuthConfig::RefreshToken {
        client_secret,
        refresh_token,
        ..
    } = &config.salesforce.auth
    else {
        panic!("a refresh token")
    };
    assert!(client_secret.is_none());
    assert_eq!(refresh_token.expose(), "canary-from-file");
    let Flow::ToKafka(accounts) = &config.routes[0].flow else {
        panic!("to Kafka")
    };
    let contracts: Vec<OnBreak> = accounts
        .to
        .iter()
        .filter_map(|to| Some(to.contract.as_ref()?.on_break))
        .collect();
    assert_eq!(contracts, [OnBreak::Halt, OnBreak::DeadLetter]);
    assert_eq!(accounts.to[1].key, KeyConfig::Field("Industry".to_owned()));
    assert_eq!(accounts.to[1].format, Format::Avro);
    let Flow::ToSalesforce(orders) = &config.routes[1].flow else {
        panic!("to Salesforce")
    };
    assert!(matches!(&orders.from.topics, KafkaTopics::Regex(regex) if regex == "^orders\\..*$"));
    let Flow::ToSalesforce(customers) = &config.routes[2].flow else {
        panic!("to Salesforce")
    };
    assert!(matches!(
        customers.to,
        SalesforceTarget::Object {
            on_tombstone: OnTombstone::DeadLetter,
            ..
        }
    ));
    let own = config::topics::OwnTopics::of(&config);
    assert!(own.holds("cdc.Account") && own.holds("sfbridge.crm.dead-letters") && !own.holds("orders.x"));
}

#[test]
fn everything_that_can_be_configured_has_come() {
    let file = format!("{FIXTURES}/good/everything.yaml");
    let loaded = config::load_with(Path::new(&file), &environment()).expect("valid");
    assert_eq!(loaded.unsupported().to_string(), "");
    assert!(loaded.config.admin.show_payloads);
}

#[test]
fn the_example_is_fresh_and_loads() {
    let file = Path::new("config/sfbridge.yaml");
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == config::example(),
        "config/sfbridge.yaml is stale: sfbridge config example > config/sfbridge.yaml"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key.pem");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").expect("written");
    let mut environment = environment();
    environment
        .variables
        .insert("SF_PRIVATE_KEY_FILE".to_owned(), key.display().to_string());
    match config::load_with(file, &environment) {
        Ok(loaded) => assert!(loaded.unsupported().is_empty(), "{}", loaded.unsupported()),
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn the_schema_is_fresh_and_knows_every_key_of_the_example() {
    let committed = std::fs::read_to_string("config/sfbridge.schema.json").unwrap_or_default();
    assert!(
        committed == config::schema(),
        "config/sfbridge.schema.json is stale: sfbridge config schema > config/sfbridge.schema.json"
    );
    let mut keys = 0;
    for line in config::example().lines() {
        let line = line.trim_start_matches([' ', '#', '-']);
        if let Some((key, _)) = line
            .split_once(": ")
            .filter(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        {
            assert!(committed.contains(&format!("\"{key}\": {{")), "{key}");
            keys += 1;
        }
    }
    assert!(keys > 60, "{keys} keys");
}

#[test]
fn the_commands_answer_with_documents_and_exit_codes() {
    let shown = sfbridge(&[
        "config",
        "show",
        "--config",
        "tests/fixtures/config/good/minimal.yaml",
    ]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.contains("shutdown_timeout: 30s") && text.contains("client_secret: \"***\""),
        "{text}"
    );

    let bad = sfbridge(&[
        "config",
        "show",
        "--config",
        "tests/fixtures/config/bad/names.yaml",
    ]);
    assert_eq!(bad.status.code(), Some(64));
    assert_eq!(bad.stdout, b"");
    let expected = std::fs::read("tests/fixtures/config/bad/names.expected").expect("the fixture");
    assert_eq!(bad.stderr, expected);

    for (what, document) in [("schema", config::schema()), ("example", config::example())] {
        let printed = sfbridge(&["config", what]);
        assert_eq!(
            (printed.status.code(), printed.stdout),
            (Some(0), document.into_bytes())
        );
    }
    let named_by_variable = Command::new(env!("CARGO_BIN_EXE_sfbridge"))
        .args(["config", "show"])
        .env("SFBRIDGE_CONFIG", "tests/fixtures/config/good/minimal.yaml")
        .output()
        .expect("the program runs");
    assert_eq!(
        (named_by_variable.status.code(), named_by_variable.stdout),
        (Some(0), shown.stdout)
    );
    assert_eq!(sfbridge(&["conifg"]).status.code(), Some(64));
    for help in [
        &["--help"][..],
        &["config", "--help"],
        &["config", "show", "--help"],
    ] {
        let help = sfbridge(help);
        assert_eq!(help.status.code(), Some(0));
        assert!(
            String::from_utf8_lossy(&help.stdout).contains("Example"),
            "{help:?}"
        );
    }
}

/// What is shown is a configuration again, with the same values but for the masks.
#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    for file in files("good") {
        let shown = config::load_with(&file, &environment()).expect("valid").show();
        let again = load_text(&shown, &environment()).map_err(|problems| format!("{problems}\n{shown}"));
        assert_eq!(again.expect("valid").show(), shown);
    }
}

#[test]
fn no_secret_is_shown_whichever_key_it_stands_under() {
    let canary = "c4nary";
    let auth = |keys: &str| {
        minimal().replace(
            "    flow: client_credentials\n    client_id: abc\n    client_secret: canary\n",
            keys,
        )
    };
    let with = |section: &str| format!("{}{section}", minimal());
    let property = |name: &str| {
        let properties =
            format!("kafka:9092\n  properties: {{ security.protocol: SASL_SSL, {name}: {canary} }}\n");
        minimal().replace("kafka:9092\n", &properties)
    };
    let mut texts = vec![
        auth(&format!(
            "    flow: client_credentials\n    client_id: a\n    client_secret: {canary}\n"
        )),
        auth(&format!(
            "    flow: refresh_token\n    client_id: a\n    client_secret: {canary}\n    refresh_token: {canary}\n"
        )),
        auth(&format!(
            "    flow: access_token\n    access_token: {canary}\n    instance_url: https://a.b\n    organization_id: 00D000000000001\n"
        )),
        auth(&format!(
            "    flow: jwt_bearer\n    client_id: a\n    username: u\n    audience: https://a.b\n    private_key: '-----BEGIN PRIVATE KEY----- {canary}'\n"
        )),
        with(&format!(
            "schema_registry: {{ url: https://a.b, username: u, password: {canary} }}\n"
        )),
        with(&format!(
            "schema_registry: {{ url: https://a.b, bearer_token: {canary} }}\n"
        )),
        with(&format!("admin: {{ token: {canary} }}\n")),
    ];
    for name in [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.jaas.config",
        "made.up",
    ] {
        texts.push(property(name));
    }
    for text in texts {
        let loaded = load_text(&text, &environment()).map_err(|problems| format!("{problems}\n{text}"));
        let loaded = loaded.expect("valid");
        let printed = format!("{}{:?}{}", loaded.show(), loaded, loaded.unsupported());
        assert!(!printed.contains(canary), "{printed}");
        assert!(loaded.show().contains("***"), "{text}");
    }
}

proptest! {
    /// A slip anywhere in a file may make another configuration or a mistake of it; it never makes the
    /// program fail, and no message repeats the secret.
    #[test]
    fn no_slip_of_the_keyboard_prints_a_secret(at in 0..10_000_usize, typed in "[ -~\n]{0,2}", gone in 0..3_usize) {
        let secret = "hunter2";
        let properties = format!("kafka:9092\n  properties: {{ security.protocol: SASL_SSL, sasl.password: {secret} }}\n");
        let text = minimal().replace("canary", secret).replace("kafka:9092\n", &properties);
        let at = at % text.len();
        let end = (at + gone).min(text.len());
        let slipped = format!("{}{typed}{}", &text[..at], &text[end..]);
        // A slip inside the secret makes another one.
        prop_assume!(slipped.matches(secret).count() == 2);
        let printed = match load_text(&slipped, &environment()) {
            // The secret may have become the end of another value, which is then no secret.
            Ok(loaded) => loaded.unsupported().to_string(),
            Err(problems) => problems.to_string(),
        };
        prop_assert!(!printed.contains(secret), "{}\n{}", slipped, printed);
    }

    /// In every style of YAML, and whatever it holds, a variable is one value and nothing else.
    #[test]
    fn a_variable_never_changes_the_structure(value in "\\PC{0,12}[\\[\\]{}:#,'\"&*!|>%@`\n\r\t $-]{0,6}[a-z]") {
        let mut environment = environment();
        environment.variables.insert("V".to_owned(), value.clone());
        for style in ["${V}", "\"${V}\"", "'${V}'", "|-\n      ${V}", ">-\n      ${V}"] {
            let text = minimal().replace("client_secret: canary", &format!("client_secret: {style}"));
            let config = load_text(&text, &environment).map_err(|problems| problems.to_string()).expect("valid").config;
            let AuthConfig::ClientCredentials { client_secret, .. } = &config.salesforce.auth else { panic!("changed") };
            prop_assert_eq!(client_secret.expose(), &value);
        }
        let flow = minimal().replace("kafka:9092\n", "kafka:9092\n  properties: { a: ${V}, b: 1 }\n");
        let config = load_text(&flow, &environment).map_err(|problems| problems.to_string()).expect("valid").config;
        prop_assert_eq!(config.kafka.properties["a"].expose(), &value);
        prop_assert_eq!(config.kafka.properties.len(), 2);
    }
}
