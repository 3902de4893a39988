//! The keys outside `routes`: the process itself and what it connects to.

use super::routes::ROUTE;
use super::{Choice, Key, Presence, Release, Shape, Sign, Text, Variant};
use crate::config::{checks, endpoints};

pub(in crate::config) const FILE: &[Key] = &[
    Key::section("bridge", BRIDGE, "This process, as Kafka and Salesforce see it.")
        .presence(Presence::Required),
    Key::section("salesforce", SALESFORCE, "The org.").presence(Presence::Required),
    Key::section("kafka", KAFKA, "The cluster.").presence(Presence::Required),
    Key::section(
        "schema_registry",
        SCHEMA_REGISTRY,
        "A Confluent-compatible registry. Needed by `format: avro`.",
    )
    .presence(Presence::Optional),
    Key::section(
        "admin",
        ADMIN,
        "The HTTP listener for health, metrics and the routes API.",
    ),
    Key::section(
        "log",
        LOG,
        "What is written to stderr. Never a payload, a token or a field value.",
    ),
    Key::new(
        "routes",
        Shape::List(&Shape::Section(ROUTE)),
        Presence::Required,
        "One entry a flow. A route that stops leaves the others running.",
    ),
];

/// Names become part of Kafka's topics, group names and transactional ids.
pub(in crate::config) const NAME: Text = Text::new(checks::name, Some("^[A-Za-z0-9._-]{1,100}$"));
const ANY: Text = Text::new(checks::any, Some("\\S"));
/// https, or http on loopback.
const SECURE: &str = "^(https://|http://(localhost|127\\.|\\[::1\\]))";
const LOGIN_URL: Text = Text::new(endpoints::base_url, Some(SECURE));
const PUBSUB_URL: Text = Text::new(endpoints::origin_url, Some(SECURE));
const REGISTRY_URL: Text = Text::new(endpoints::registry_url, Some("^https?://"));
const API_VERSION: Text = Text::new(checks::api_version, Some("^[0-9]{2,3}\\.0$"));
const BOOTSTRAP: Text = Text::new(endpoints::bootstrap_servers, None);
const LISTEN: Text = Text::new(endpoints::listen_address, None);
const ORGANIZATION_ID: Text = Text::new(
    checks::organization_id,
    Some("^00D[A-Za-z0-9]{12}([A-Za-z0-9]{3})?$"),
);

const BRIDGE: &[Key] = &[
    Key::required(
        "name",
        Shape::Text(&NAME),
        "crm",
        "Stands in consumer groups, transactional ids and internal topics, and is the client name that Salesforce sees. A new name starts every route from nothing.",
    ),
    Key::new(
        "instance",
        Shape::Text(&NAME),
        Presence::Derived("<hostname>-<admin port>"),
        "This process among several of one bridge. Keep it the same over restarts: the process then has its routes back at once.",
    )
    .example("crm-0"),
    Key::default(
        "shutdown_timeout",
        Shape::Duration,
        "30s",
        "How long a stop may take to finish what is in hand.",
    ),
];

const SALESFORCE: &[Key] = &[
    Key::required(
        "login_url",
        Shape::Text(&LOGIN_URL),
        "https://acme.my.salesforce.com",
        "Where tokens come from: the org's My Domain.",
    ),
    Key::required(
        "pubsub_url",
        Shape::Text(&PUBSUB_URL),
        "https://api.pubsub.salesforce.com:7443",
        "The Pub/Sub API. `http://` is accepted for loopback addresses only.",
    ),
    Key::default(
        "api_version",
        Shape::Text(&API_VERSION),
        "\"66.0\"",
        "The version of the REST API.",
    ),
    Key::optional(
        "ca_file",
        Shape::File,
        "/etc/ssl/private-ca.pem",
        "A CA bundle (PEM) to trust besides the system's.",
    ),
    Key::default(
        "api_reserve",
        Shape::Percent,
        "10%",
        "The part of the org's daily API requests to leave to others; below it routes wait.",
    ),
    Key::default(
        "bulk_threshold",
        // The upper bound only catches slips of the keyboard: a bulk job takes 150 million records a day.
        Shape::Integer {
            min: 1,
            max: 150_000_000,
        },
        "10000",
        "Records of backlog from which `via: auto` may choose the Bulk API.",
    ),
    Key::new(
        "auth",
        Shape::Variants(AUTH),
        Presence::Required,
        "How the bridge logs in.",
    ),
];

const FLOWS: Shape = Shape::Choice(&[
    Choice::now("jwt_bearer"),
    Choice::now("client_credentials"),
    Choice::now("refresh_token"),
    Choice::now("access_token"),
]);
const FLOW_DOC: &str = "The OAuth flow: jwt_bearer, client_credentials, refresh_token or access_token.";
const CLIENT_ID: Key = Key::required(
    "client_id",
    Shape::Text(&ANY),
    "${SF_CLIENT_ID}",
    "The consumer key of the Connected App.",
);
const CLIENT_SECRET: Key = Key::required(
    "client_secret",
    Shape::Secret,
    "${SF_CLIENT_SECRET}",
    "The consumer secret of the Connected App.",
);

const AUTH: &[Variant] = &[
    Variant {
        name: "flow: jwt_bearer",
        sign: Sign::Is("flow", "jwt_bearer"),
        since: Release::V0_1,
        keys: &[
            Key::required("flow", FLOWS, "jwt_bearer", FLOW_DOC),
            CLIENT_ID,
            Key::required(
                "username",
                Shape::Text(&ANY),
                "integration@acme.com",
                "The user that the bridge acts as; pre-authorised in the Connected App.",
            ),
            Key::required(
                "private_key",
                Shape::Secret,
                "${SF_PRIVATE_KEY_FILE:-/run/secrets/salesforce.pem}",
                "The RSA key (PEM) whose certificate the Connected App holds.",
            ),
            Key::required(
                "audience",
                Shape::Text(&LOGIN_URL),
                "https://login.salesforce.com",
                "https://login.salesforce.com, https://test.salesforce.com for a sandbox, or the URL of an Experience Cloud site.",
            ),
        ],
    },
    Variant {
        name: "flow: client_credentials",
        sign: Sign::Is("flow", "client_credentials"),
        since: Release::V0_1,
        keys: &[
            Key::required("flow", FLOWS, "client_credentials", FLOW_DOC),
            CLIENT_ID,
            CLIENT_SECRET,
        ],
    },
    Variant {
        name: "flow: refresh_token",
        sign: Sign::Is("flow", "refresh_token"),
        since: Release::V0_1,
        keys: &[
            Key::required("flow", FLOWS, "refresh_token", FLOW_DOC),
            CLIENT_ID,
            CLIENT_SECRET.presence(Presence::Optional),
            Key::required(
                "refresh_token",
                Shape::Secret,
                "${SF_REFRESH_TOKEN}",
                "A refresh token that a person obtained once.",
            ),
        ],
    },
    Variant {
        name: "flow: access_token",
        sign: Sign::Is("flow", "access_token"),
        since: Release::V0_1,
        keys: &[
            Key::required("flow", FLOWS, "access_token", FLOW_DOC),
            Key::required(
                "access_token",
                Shape::Secret,
                "${SF_ACCESS_TOKEN}",
                "A session that somebody else keeps fresh: for trials, it is not renewed.",
            ),
            Key::required(
                "instance_url",
                Shape::Text(&LOGIN_URL),
                "https://acme.my.salesforce.com",
                "The org's own host.",
            ),
            Key::required(
                "organization_id",
                Shape::Text(&ORGANIZATION_ID),
                "00D000000000001AAA",
                "The org's id, 15 or 18 characters that begin with 00D.",
            ),
        ],
    },
];

const KAFKA: &[Key] = &[
    Key::required(
        "bootstrap_servers",
        Shape::Text(&BOOTSTRAP),
        "kafka:9092",
        "Some brokers of the cluster, `host:port`, separated by commas.",
    ),
    Key::new(
        "properties",
        Shape::Properties,
        Presence::Always,
        "Any librdkafka property (security.protocol, sasl.*, ssl.*, compression.type …), but for those that carry the guarantees. A value may be taken from a file: `sasl.password_file`.",
    )
    .example("{}"),
    Key::default(
        "create_topics",
        Shape::Bool(Release::V0_1),
        "true",
        "Make missing data, dead-letter and internal topics. Otherwise their absence is an error.",
    ),
    Key::default(
        "partitions",
        // A bound against slips: a single cluster carries some 200,000 partitions.
        Shape::Integer { min: 1, max: 100_000 },
        "6",
        "Of the topics that the bridge makes.",
    ),
    Key::default(
        "replication_factor",
        // 16 bits on the wire.
        Shape::Integer { min: -1, max: 32_767 },
        "-1",
        "Of the topics that the bridge makes; -1 is the broker's default.",
    ),
];

const SCHEMA_REGISTRY: &[Key] = &[
    Key::required(
        "url",
        Shape::OneOrMany(&Shape::Text(&REGISTRY_URL)),
        "http://schema-registry:8081",
        "One URL or a list. https where there are credentials, but on loopback.",
    ),
    Key::default(
        "subject",
        Shape::Choice(&[
            Choice::now("topic"),
            Choice::now("record"),
            Choice::now("topic_record"),
        ]),
        "topic",
        "How subjects are named: topic, record or topic_record.",
    ),
    Key::optional("username", Shape::Text(&ANY), "sfbridge", "With `password`."),
    Key::optional(
        "password",
        Shape::Secret,
        "${REGISTRY_PASSWORD}",
        "With `username`.",
    ),
    Key::optional(
        "bearer_token",
        Shape::Secret,
        "${REGISTRY_TOKEN}",
        "Instead of `username` and `password`.",
    ),
    Key::optional(
        "ca_file",
        Shape::File,
        "/etc/ssl/private-ca.pem",
        "A CA bundle (PEM) to trust besides the system's.",
    ),
];

const ADMIN: &[Key] = &[
    Key::default(
        "listen",
        Shape::Text(&LISTEN),
        "127.0.0.1:9400",
        "IP address and port. Any address beyond loopback needs `token`.",
    ),
    Key::optional(
        "token",
        Shape::Secret,
        "/run/secrets/admin_token",
        "Guards everything but /live and /ready.",
    ),
    Key::default(
        "show_payloads",
        Shape::Bool(Release::V0_4),
        "false",
        "Let the status page and /api/routes/{name} show what some of the last events carried. Held in memory, 20 values a route, cut at 4 KB.",
    ),
];

const LOG: &[Key] = &[
    Key::default(
        "format",
        Shape::Choice(&[Choice::now("text"), Choice::now("json")]),
        "text",
        "text or json.",
    ),
    Key::default(
        "level",
        Shape::Text(&Text::new(checks::log_level, None)),
        "info",
        "error, warn, info, debug or trace; or directives such as `info,sfbridge::kafka=debug`.",
    ),
];
