//! The keys of one route: both directions, each key with the release in which it does something.

use super::connections::NAME;
use super::{Choice, Key, Presence, Release, Shape, Sign, Text, Variant};
use crate::config::{checks, topics};

pub(super) const ROUTE: &[Key] = &[
    Key::required(
        "name",
        Shape::Text(&NAME),
        "account-changes",
        "Unique. Positions and metrics go by it; a renamed route starts from nothing.",
    ),
    Key::new(
        "from",
        Shape::Variants(FROM),
        Presence::Required,
        "One subscription, to Salesforce or to Kafka.",
    ),
    Key::new(
        "to",
        Shape::OneOrMany(&Shape::Variants(TO)),
        Presence::Required,
        "The other side: one output, or a list of Kafka outputs, all written in one transaction.",
    ),
    Key::default(
        "delivery",
        Shape::Choice(&[Choice::now("exactly_once"), Choice::now("at_least_once")]),
        "exactly_once",
        "exactly_once or at_least_once. Routes to Kafka only.",
    ),
    Key::section(
        "commit",
        COMMIT,
        "How large a transaction grows. Routes to Kafka only.",
    ),
    Key::section(
        "dead_letter",
        DEAD_LETTER,
        "Where records go that can never be delivered as they are.",
    ),
];

const COMMIT: &[Key] = &[
    Key::default(
        "max_events",
        // librdkafka's queue holds 100,000 messages unless told otherwise; a larger batch would stall on it.
        Shape::Integer { min: 1, max: 100_000 },
        "1000",
        "Events in one transaction.",
    ),
    Key::default(
        "max_bytes",
        // 1 GiB is librdkafka's queue. One event always goes, however small the bound.
        Shape::Integer {
            min: 1,
            max: 1_073_741_824,
        },
        "4194304",
        "Bytes of events in one transaction.",
    ),
    Key::default(
        "linger_ms",
        // Longer would only hold records back: a transaction is to close within a quarter of its minute.
        Shape::Integer { min: 0, max: 10_000 },
        "0",
        "Milliseconds to wait for more events; 0 takes what has arrived.",
    ),
];

const DEAD_LETTER: &[Key] = &[
    Key::new(
        "kafka",
        Shape::Text(&Text::new(topics::dead_letter_topic, None)),
        Presence::Derived("sfbridge.<bridge>.dead-letters"),
        "The topic.",
    )
    .example("sfbridge.crm.dead-letters"),
    Key::default(
        "max_consecutive",
        // Far above any use; keeps the number within what a counter and a person can hold.
        Shape::Integer {
            min: 1,
            max: 1_000_000,
        },
        "100",
        "So many in a row halt the route; the last one is still stored.",
    ),
];

const LOST_POSITION: Key = Key::default(
    "on_lost_position",
    Shape::Choice(&[
        Choice::now("earliest"),
        Choice::now("latest"),
        Choice::now("halt"),
    ]),
    "earliest",
    "When the other side no longer holds the stored position: earliest, latest or halt. Always reported as a gap.",
);
const START: Shape = Shape::Choice(&[Choice::now("latest"), Choice::now("earliest")]);
const VALUE_FORMAT: Shape = Shape::Choice(&[Choice::from("avro", Release::V0_2), Choice::now("json")]);
const FILTER: Shape = Shape::Text(&Text::new(checks::expression, None));

const FROM: &[Variant] = &[
    Variant {
        name: "from.salesforce",
        sign: Sign::Has("salesforce"),
        since: Release::V0_1,
        keys: &[
            Key::required(
                "salesforce",
                Shape::Text(&Text::new(
                    topics::salesforce_source,
                    Some("^/(event|data)/[A-Za-z][A-Za-z0-9_]*$"),
                )),
                "/data/AccountChangeEvent",
                "The Salesforce topic: /event/X__e, /event/X__chn, /data/XChangeEvent, /data/ChangeEvents, /data/X__chn, or a standard event stream.",
            ),
            Key::default(
                "start",
                START,
                "latest",
                "latest or earliest; used only while the route has no position yet.",
            ),
            LOST_POSITION,
            Key::default(
                "on_gap",
                Shape::Choice(&[
                    Choice::now("pass"),
                    Choice::from("refetch", Release::V0_2),
                    Choice::from("halt", Release::V0_2),
                ]),
                "pass",
                "When Salesforce says that changes are missing: pass the GAP event on, refetch (read the record again through REST) or halt.",
            ),
            Key::new(
                "on_diff",
                Shape::Choice(&[
                    Choice::now("pass"),
                    Choice::from("refetch", Release::V0_2),
                    Choice::from("dead_letter", Release::V0_2),
                ]),
                Presence::Derived("pass; refetch where a contract file or `fields` projects"),
                "When a long text arrives as a diff: pass, refetch or dead_letter.",
            )
            .example("pass"),
            Key::default(
                "skip_own_writes",
                Shape::Bool(Release::V0_2),
                "false",
                "Drop changes that this bridge made itself: the loop guard of two-way setups.",
            ),
        ],
    },
    Variant {
        name: "from.kafka",
        sign: Sign::Has("kafka"),
        since: Release::V0_3,
        keys: &[
            Key::required(
                "kafka",
                Shape::OneOrMany(&Shape::Text(&Text::new(topics::kafka_source, None))),
                "orders.shipped",
                "One topic, a list, or a `^regex`, which never matches topics of sfbridge itself nor outputs of this file.",
            ),
            Key::required(
                "format",
                VALUE_FORMAT,
                "json",
                "What the values are: json or avro. There is no default: it cannot be told from the bytes.",
            ),
            Key::default(
                "start",
                START,
                "earliest",
                "latest or earliest; used only while the consumer group is new.",
            ),
            LOST_POSITION,
            Key::default(
                "key_format",
                Shape::Choice(&[
                    Choice::now("text"),
                    Choice::now("json"),
                    Choice::from("avro", Release::V0_2),
                ]),
                "text",
                "What the keys are: text, json or avro.",
            ),
            Key::optional(
                "key_field",
                Shape::Text(&Text::new(checks::field_path, Some("^[A-Za-z_][A-Za-z0-9_.]*$"))),
                "customer_id",
                "The field of a json or avro key to take; not for text.",
            ),
        ],
    },
];

const TO: &[Variant] = &[
    Variant {
        name: "to.kafka",
        sign: Sign::Has("kafka"),
        since: Release::V0_1,
        keys: &[
            Key::required(
                "kafka",
                Shape::Text(&Text::new(topics::output_topic, None)),
                "salesforce.cdc.{entity}",
                "The topic. {entity}, {event} and {route} are filled in for every event.",
            ),
            Key::new(
                "key",
                Shape::Text(&Text {
                    since: |key| {
                        if key.starts_with("field:") {
                            Release::V0_2
                        } else {
                            Release::V0_1
                        }
                    },
                    ..Text::new(
                        checks::record_key,
                        Some("^(record_id|event_id|none|field:[A-Za-z_][A-Za-z0-9_.]*)$"),
                    )
                }),
                Presence::Derived("record_id for /data/…, event_id for /event/…"),
                "The record's key: record_id, event_id, field:<Name> or none.",
            )
            .example("record_id"),
            Key::required(
                "format",
                VALUE_FORMAT,
                "json",
                "What the values are: json, or avro, which needs the section schema_registry. There is no default: readers rely on it.",
            ),
            Key::default(
                "tombstones",
                Shape::Bool(Release::V0_2),
                "false",
                "After a DELETE, also write a null value, for compacted topics.",
            ),
            Key::optional(
                "filter",
                FILTER,
                "'header.changeType == \"DELETE\" || event.Industry == \"Energy\"'",
                "Write only events for which this CEL expression holds.",
            )
            .since(Release::V0_2),
            Key::default(
                "filter_unknown",
                Shape::Choice(&[Choice::now("keep"), Choice::from("drop", Release::V0_2)]),
                "keep",
                "keep or drop, when the filter needs a field that the event does not carry.",
            ),
            Key::section(
                "fields",
                FIELDS,
                "Which fields to write. The header stays unless excluded by name.",
            )
            .presence(Presence::Optional)
            .since(Release::V0_2),
            Key::section(
                "contract",
                CONTRACT,
                "The schema that readers of the topic rely on.",
            )
            .presence(Presence::Optional)
            .since(Release::V0_2),
        ],
    },
    Variant {
        name: "to.salesforce with an event",
        sign: Sign::Topic("salesforce"),
        since: Release::V0_3,
        keys: &[
            Key::required(
                "salesforce",
                Shape::Text(&Text::new(topics::salesforce_target, None)),
                "/event/Order_Shipped__e",
                "The platform event to publish.",
            ),
            TARGET_FILTER,
            TARGET_FIELDS,
        ],
    },
    Variant {
        name: "to.salesforce with an sObject",
        sign: Sign::Object("salesforce"),
        since: Release::V0_3,
        keys: &[
            Key::required(
                "salesforce",
                Shape::Text(&Text::new(topics::salesforce_target, None)),
                "Account",
                "The sObject to write.",
            ),
            TARGET_FILTER,
            TARGET_FIELDS,
            Key::required(
                "operation",
                Shape::Choice(&[
                    Choice::now("upsert"),
                    Choice::now("update"),
                    Choice::now("insert"),
                    Choice::now("delete"),
                ]),
                "upsert",
                "upsert, update, insert or delete.",
            ),
            Key::optional(
                "external_id",
                Shape::Text(&Text::new(checks::field_path, Some("^[A-Za-z_][A-Za-z0-9_.]*$"))),
                "Customer_Id__c",
                "The field that finds the record. Needed by upsert.",
            ),
            Key::new(
                "on_tombstone",
                Shape::Choice(&[
                    Choice::now("delete"),
                    Choice::now("ignore"),
                    Choice::now("dead_letter"),
                ]),
                Presence::Derived("delete; dead_letter without external_id"),
                "A null value: delete (the record key is the external id), ignore or dead_letter.",
            )
            .example("delete"),
            Key::default(
                "via",
                Shape::Choice(&[
                    Choice::now("auto"),
                    Choice::now("collections"),
                    Choice::now("bulk"),
                ]),
                "auto",
                "sObject Collections, Bulk API 2.0, or auto: bulk from salesforce.bulk_threshold on. An insert never goes by bulk.",
            ),
        ],
    },
];

const TARGET_FILTER: Key = Key::optional(
    "filter",
    FILTER,
    "value.total > 0.0",
    "Send only records for which this CEL expression holds.",
);
const TARGET_FIELDS: Key = Key::new(
    "fields",
    Shape::Expressions,
    Presence::Always,
    "Salesforce field: CEL expression. Left out, fields of the same name are taken.",
)
.example("{ Order_Number__c: value.order.id, Shipped_At__c: value.shipped_at }");

const FIELD_NAMES: Shape = Shape::List(&Shape::Text(&Text::new(
    checks::field_path,
    Some("^[A-Za-z_][A-Za-z0-9_.]*$"),
)));
const FIELDS: &[Key] = &[
    Key::optional("include", FIELD_NAMES, "[Name, Phone]", "Only these."),
    Key::optional(
        "exclude",
        FIELD_NAMES,
        "[Description]",
        "All but these. Instead of `include`.",
    ),
];

const CONTRACT: &[Key] = &[
    Key::optional(
        "file",
        Shape::Path,
        "config/contracts/account.v1.avsc",
        "The team's own Avro schema. Without it the contract follows the schema that Salesforce shows.",
    ),
    Key::new(
        "on_break",
        Shape::Choice(&[Choice::now("halt"), Choice::now("dead_letter"), Choice::now("new_subject")]),
        Presence::Derived("halt; dead_letter for a contract file where the route has other outputs"),
        "When Salesforce's schema no longer satisfies the contract: halt, dead_letter, or new_subject (without a file).",
    )
    .example("halt"),
];
