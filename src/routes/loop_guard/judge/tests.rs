//! Each sentence of what the guard promises, and a random mirror in which every own change is dropped and every
//! other one flows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::Operation;
use crate::routes::loop_guard::intent::Settled;
use crate::salesforce::event::ChangeEventHeader;

const RECORD: &str = "0015Y00002ZbgP3QAJ";
const OTHER: &str = "0015Y00002ZbgP4QAJ";

/// A bridge that writes accounts and a route that skips them.
struct Guard {
    scope: Scope,
    book: Book,
    judge: Judge,
    object: ObjectFields,
    events: u64,
}

/// An event of one record, as it comes.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    record: String,
    kind: ChangeType,
    body: Map<String, Value>,
    changed: Vec<String>,
    by_name: bool,
    by_user: bool,
    committed_ms: i64,
}

impl Guard {
    fn new() -> Self {
        Self {
            scope: Scope::of(&["Account"], &["Account"]),
            book: Book::default(),
            judge: Judge::default(),
            object: ObjectFields::default(),
            events: 0,
        }
    }

    fn announce(&mut self, operation: Operation, record: &Value) -> Intent {
        let intent = Intent::new("customers", "Account", operation, record.as_object().unwrap());
        self.apply(&intent);
        intent
    }

    fn announce_of(&mut self, external: &str, record: &Value) -> Intent {
        let intent = Intent::new(
            "customers",
            "Account",
            Operation::Upsert,
            record.as_object().unwrap(),
        )
        .of_external_id("Ext__c", &json!(external));
        self.apply(&intent);
        intent
    }

    fn apply(&mut self, intent: &Intent) {
        self.book
            .apply(&intent.id, Some(intent.clone()), intent.written_at_ms);
    }

    fn answer(&mut self, intent: &Intent, record: &str, created: bool) {
        let answer = Settled::Written {
            record_id: Some(record.to_owned()),
            created: Some(created),
        };
        let settled = intent.clone().settled(&answer, intent.written_at_ms).unwrap();
        self.apply(&settled);
    }

    /// An update of the record that changed these fields.
    fn event(&mut self, kind: ChangeType, record: &str, body: &Value) -> Event {
        self.events += 1;
        let body = body.as_object().unwrap().clone();
        let mut changed: Vec<String> = body.keys().cloned().collect();
        changed.extend(["LastModifiedDate", "LastModifiedById"].map(str::to_owned));
        Event {
            id: format!("event-{}", self.events),
            record: record.to_owned(),
            kind,
            body,
            changed: if kind == ChangeType::Update {
                changed
            } else {
                Vec::new()
            },
            by_name: false,
            by_user: true,
            committed_ms: crate::runtime::clock::now_ms(),
        }
    }

    fn judge_now(&mut self, event: &Event, may_wait: bool) -> Verdict {
        self.judged(event, may_wait).verdict
    }

    fn judged(&mut self, event: &Event, may_wait: bool) -> Judged {
        let mut header = ChangeEventHeader::default();
        header.change_type = event.kind;
        header.changed_fields = event.changed.iter().map(|name| name.as_str().into()).collect();
        let changed = Changed::new(&header, &event.body);
        let change = Change {
            event: &event.id,
            entity: "Account",
            record_id: &event.record,
            by_name: event.by_name,
            by_user: event.by_user,
            committed_ms: event.committed_ms,
            changed: &changed,
            object: &self.object,
        };
        self.judge.judge(&self.scope, &self.book, &change, may_wait)
    }

    fn update(&mut self, body: &Value) -> Verdict {
        let event = self.event(ChangeType::Update, RECORD, body);
        self.judge_now(&event, true)
    }

    /// A write of the record that is answered.
    fn written(&mut self, body: &Value) -> Intent {
        let intent = self.announce_of("1", body);
        self.answer(&intent, RECORD, false);
        intent
    }
}

use Verdict::{Foreign, Own, Wait};

#[test]
fn a_write_comes_back_by_the_integration_user_with_its_values_and_is_own_once() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a", "Phone": "1"}));
    assert_eq!(
        guard.update(&json!({"Name": "a"})),
        Own,
        "Phone had that value before"
    );
    assert_eq!(
        guard.update(&json!({"Name": "a"})),
        Foreign,
        "the write is used up"
    );
}

#[test]
fn another_value_or_another_user_is_foreign() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a"}));
    assert_eq!(guard.update(&json!({"Name": "b"})), Foreign);
    let mut other = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    other.by_user = false;
    assert_eq!(guard.judge_now(&other, true), Foreign);
    let elsewhere = guard.event(ChangeType::Update, OTHER, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&elsewhere, true), Foreign, "another record");
    assert_eq!(
        guard.update(&json!({"Name": "a"})),
        Own,
        "none of them used it up"
    );
}

#[test]
fn the_name_stands_for_the_user_and_proves_nothing_beyond_the_write() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a"}));
    let mut by_name = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    (by_name.by_name, by_name.by_user) = (true, false);
    let mut automation = guard.event(ChangeType::Update, OTHER, &json!({"Rating": "Hot"}));
    automation.by_name = true;
    assert_eq!(
        guard.judge_now(&automation, true),
        Foreign,
        "a trigger changed another record"
    );
    assert_eq!(guard.judge_now(&by_name, true), Own);
}

#[test]
fn where_no_route_writes_records_the_name_is_all_there_is() {
    let mut guard = Guard::new();
    guard.scope = Scope::of(&[], &["Account"]);
    let mut event = guard.event(ChangeType::GapUpdate, RECORD, &json!({}));
    assert_eq!(guard.judge_now(&event, true), Foreign);
    (event.by_name, event.id) = (true, "again".to_owned());
    assert_eq!(guard.judge_now(&event, true), Own);
}

#[test]
fn what_automation_changed_on_top_flows_and_the_write_is_seen_back() {
    let mut guard = Guard::new();
    let write = guard.written(&json!({"Name": "a"}));
    let event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a", "Rating": "Hot"}));
    let judged = guard.judged(&event, true);
    assert_eq!(
        (judged.verdict, &judged.seen[..]),
        (Foreign, &[Arc::clone(&write.id)][..])
    );
    assert_eq!(guard.update(&json!({"Name": "a"})), Foreign, "used up");
    guard.written(&json!({"Name": "b", "Phone": "1"}));
    assert_eq!(
        guard.update(&json!({"Name": "b", "Phone": "2"})),
        Foreign,
        "a trigger set Phone to another value"
    );
}

#[test]
fn formulas_change_by_themselves() {
    let mut guard = Guard::new();
    guard.object = ObjectFields::new([("Label__c", true, false), ("Name", false, false)]);
    guard.written(&json!({"Name": "a"}));
    assert_eq!(guard.update(&json!({"Name": "a", "Label__c": "A!"})), Own);
}

#[test]
fn an_update_that_changed_nothing_is_the_writes() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a"}));
    assert_eq!(guard.update(&json!({})), Own, "system fields alone");
    assert_eq!(guard.update(&json!({})), Foreign);
}

#[test]
fn normalised_values_are_equal() {
    let mut guard = Guard::new();
    guard.written(
        &json!({"Name": " Acme ", "Email__c": "A@B.com", "Since__c": "2026-01-02T03:04:05+01:00", "Fax": ""}),
    );
    let back =
        json!({"Name": "Acme", "Email__c": "a@b.com", "Since__c": "2026-01-02T02:04:05.000Z", "Fax": null});
    assert_eq!(guard.update(&back), Own);
}

#[test]
fn the_parts_of_a_compound_are_the_fields_that_were_written() {
    let mut guard = Guard::new();
    guard.written(&json!({"BillingCity": "Bath", "Loc__Latitude__s": 1.5}));
    let mut event = guard.event(
        ChangeType::Update,
        RECORD,
        &json!({"BillingAddress": {"City": "Bath", "Street": null}, "Loc__c": {"Latitude": 1.5}}),
    );
    event.changed = vec!["BillingAddress.City".into(), "Loc__c.Latitude".into()];
    assert_eq!(guard.judge_now(&event, true), Own);
}

#[test]
fn several_versions_of_a_record_come_back_in_their_order() {
    let mut guard = Guard::new();
    for name in ["a", "b", "a"] {
        guard.announce_of("1", &json!({"Name": name}));
    }
    let last = guard.written(&json!({"Name": "c"}));
    for name in ["a", "b", "a", "c"] {
        assert_eq!(guard.update(&json!({"Name": name})), Own, "{name}");
    }
    assert_eq!(guard.update(&json!({"Name": "b"})), Foreign);
    guard.answer(&last, RECORD, false);
    assert_eq!(
        guard.update(&json!({"Name": "c"})),
        Foreign,
        "settled once more, seen all the same"
    );
}

#[test]
fn a_later_version_that_comes_back_ends_the_wait_for_the_older_ones() {
    let mut guard = Guard::new();
    guard.announce_of("1", &json!({"Name": "a"}));
    guard.written(&json!({"Name": "b"}));
    assert_eq!(guard.update(&json!({"Name": "b"})), Own);
    assert_eq!(guard.update(&json!({"Name": "a"})), Foreign);
}

#[test]
fn a_create_has_no_changed_fields_and_its_filled_ones_are_compared() {
    let filled = json!({
        "Name": "a", "Phone": null, "Industry": null, "IsOpen__c": false, "OwnerId": "0055Y00000abcde",
        "CreatedDate": "2026-01-01T00:00:00.000Z", "LastModifiedById": "0055Y00000abcde",
    });
    let mut guard = Guard::new();
    let insert = guard.announce(Operation::Insert, &json!({"Name": "a", "Phone": ""}));
    guard.answer(&insert, RECORD, true);
    let create = guard.event(ChangeType::Create, RECORD, &filled);
    assert_eq!(
        guard.judge_now(&create, true),
        Own,
        "defaults and system fields are nobody's doing"
    );

    let insert = guard.announce(Operation::Insert, &json!({"Name": "a"}));
    guard.answer(&insert, OTHER, true);
    let mut more = filled.clone();
    more["Industry"] = json!("Energy");
    let create = guard.event(ChangeType::Create, OTHER, &more);
    assert_eq!(
        guard.judge_now(&create, true),
        Foreign,
        "a trigger filled Industry"
    );

    let mut guard = Guard::new();
    guard.object = ObjectFields::new([("Industry", false, true)]);
    let insert = guard.announce(Operation::Insert, &json!({"Name": "a"}));
    guard.answer(&insert, OTHER, true);
    let create = guard.event(ChangeType::Create, OTHER, &more);
    assert_eq!(
        guard.judge_now(&create, true),
        Own,
        "describe knows it as a default"
    );
}

#[test]
fn an_event_before_the_answer_waits_for_it() {
    let mut guard = Guard::new();
    let insert = guard.announce(Operation::Insert, &json!({"Name": "a"}));
    let create = guard.event(ChangeType::Create, RECORD, &json!({"Name": "a"}));
    let other = guard.event(ChangeType::Create, OTHER, &json!({"Name": "b"}));
    assert_eq!(
        guard.judge_now(&other, true),
        Foreign,
        "no open write has its values"
    );
    assert_eq!(guard.judge_now(&create, true), Wait);
    guard.answer(&insert, RECORD, true);
    assert_eq!(guard.judge_now(&create, true), Own);
}

#[test]
fn an_event_that_only_clears_fields_waits_too() {
    let mut guard = Guard::new();
    let upsert = guard.announce_of("1", &json!({"Phone": "", "Name": "a"}));
    let cleared = guard.event(ChangeType::Update, RECORD, &json!({"Phone": null}));
    assert_eq!(guard.judge_now(&cleared, true), Wait);
    guard.answer(&upsert, RECORD, false);
    assert_eq!(guard.judge_now(&cleared, true), Own);
}

#[test]
fn the_answer_may_say_that_it_was_another_record() {
    let mut guard = Guard::new();
    let upsert = guard.announce_of("1", &json!({"Name": "a"}));
    let same = guard.event(ChangeType::Update, OTHER, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&same, true), Wait);
    guard.answer(&upsert, RECORD, false);
    assert_eq!(guard.judge_now(&same, true), Foreign);
    assert_eq!(guard.update(&json!({"Name": "a"})), Own);
}

#[test]
fn a_refused_write_explains_nothing() {
    let mut guard = Guard::new();
    let upsert = guard.announce_of("1", &json!({"Name": "a"}));
    let event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&event, true), Wait);
    guard.book.apply(&upsert.id, None, 0);
    assert_eq!(guard.judge_now(&event, true), Foreign);
}

#[test]
fn a_new_record_with_the_external_id_of_an_open_write_needs_no_answer() {
    let mut guard = Guard::new();
    let upsert = guard.announce_of("1", &json!({"Name": "a"}));
    let create = guard.event(ChangeType::Create, RECORD, &json!({"Name": "a", "Ext__c": "1"}));
    assert_eq!(guard.judge_now(&create, true), Own);
    guard.answer(&upsert, RECORD, true);
    assert_eq!(
        guard.update(&json!({"Name": "a"})),
        Foreign,
        "used up before its answer"
    );
}

#[test]
fn where_the_answer_is_lost_the_wait_ends_and_what_is_known_decides() {
    let mut guard = Guard::new();
    guard.announce_of("1", &json!({"Name": "b"}));
    let update = guard.event(ChangeType::Update, RECORD, &json!({"Name": "b"}));
    assert_eq!(guard.judge_now(&update, true), Wait);
    assert_eq!(
        guard.judge_now(&update, false),
        Foreign,
        "values alone do not tell the record"
    );
    let update = guard.event(ChangeType::Update, RECORD, &json!({"Name": "b"}));
    assert_eq!(
        guard.judge_now(&update, true),
        Foreign,
        "a write is waited for once"
    );
    let mut guard = Guard::new();
    guard.announce(Operation::Insert, &json!({"Name": "a"}));
    let create = guard.event(ChangeType::Create, RECORD, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&create, true), Wait);
    assert_eq!(
        guard.judge_now(&create, false),
        Own,
        "a new record with all the values"
    );
}

#[test]
fn answers_that_are_lost_together_are_waited_for_once() {
    let mut guard = Guard::new();
    guard.announce_of("1", &json!({"Name": "a"}));
    guard.announce_of("2", &json!({"Name": "b"}));
    let mut later = Intent::new(
        "r",
        "Account",
        Operation::Upsert,
        json!({"Name": "c"}).as_object().unwrap(),
    );
    later.written_at_ms += 60_000;
    guard.apply(&later);
    let first = guard.event(ChangeType::Update, RECORD, &json!({"Name": "b"}));
    assert_eq!(guard.judge_now(&first, false), Foreign);
    assert_eq!(guard.update(&json!({"Name": "a"})), Foreign);
    assert_eq!(guard.update(&json!({"Name": "c"})), Wait, "announced since");
}

#[test]
fn nobody_waits_for_the_end_of_a_job() {
    let mut guard = Guard::new();
    let job = Intent::new(
        "r",
        "Account",
        Operation::Upsert,
        json!({"Name": "a"}).as_object().unwrap(),
    )
    .open_for(std::time::Duration::from_secs(24 * 3600));
    guard.apply(&job);
    assert_eq!(guard.update(&json!({"Name": "a"})), Foreign);
    assert_eq!(guard.update(&json!({})), Foreign);
    let mut event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    event.by_name = true;
    assert_eq!(guard.judge_now(&event, true), Own, "under the bridge's name");
}

#[test]
fn a_lost_answer_is_known_by_the_retrys() {
    let mut guard = Guard::new();
    guard.announce_of("1", &json!({"Name": "a"}));
    let first = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    let second = guard.event(ChangeType::Update, RECORD, &json!({}));
    assert_eq!(guard.judge_now(&first, true), Wait);
    guard.written(&json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&first, true), Own);
    assert_eq!(guard.judge_now(&second, true), Own, "the retry changed nothing");
}

#[test]
fn a_name_tells_the_record_of_a_job_whose_answers_come_at_its_end() {
    let mut guard = Guard::new();
    guard.announce_of("1", &json!({"Name": "a"}));
    let mut event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    event.by_name = true;
    assert_eq!(guard.judge_now(&event, true), Own);
}

#[test]
fn deletes_are_recognised_and_what_they_took_along_flows() {
    let mut guard = Guard::new();
    let intent = Intent::new("customers", "Account", Operation::Delete, &Map::new()).of_record(RECORD);
    guard.apply(&intent);
    let taken_along = guard.event(ChangeType::Delete, OTHER, &json!({}));
    assert_eq!(guard.judge_now(&taken_along, true), Foreign);
    let deleted = guard.event(ChangeType::Delete, RECORD, &json!({}));
    assert_eq!(guard.judge_now(&deleted, true), Own);
    let restored = guard.event(ChangeType::Undelete, RECORD, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&restored, true), Foreign);
}

#[test]
fn gaps_and_wildcards_flow() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a"}));
    let gap = guard.event(ChangeType::GapUpdate, RECORD, &json!({}));
    assert_eq!(guard.judge_now(&gap, true), Foreign);
    let wildcard = guard.event(ChangeType::Update, "001*", &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&wildcard, true), Foreign);
}

#[test]
fn the_same_event_again_gets_the_same_verdict_until_it_is_committed() {
    let mut guard = Guard::new();
    let write = guard.written(&json!({"Name": "a"}));
    let event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    for _ in 0..2 {
        let judged = guard.judged(&event, true);
        assert_eq!((judged.verdict, judged.seen), (Own, vec![Arc::clone(&write.id)]));
    }
    let number = guard.judged(&event, true).number;
    guard.judge.committed(number);
    assert!(guard.judge.verdicts.is_empty() && guard.judge.judged.is_empty());
}

#[test]
fn a_route_that_starts_again_recognises_what_it_had_not_committed() {
    let mut guard = Guard::new();
    guard.written(&json!({"Name": "a"}));
    let event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
    assert_eq!(guard.judge_now(&event, true), Own);
    guard.judge = Judge::default();
    assert_eq!(guard.judge_now(&event, true), Own);
}

#[test]
fn a_change_long_before_or_after_a_write_is_not_it() {
    let mut guard = Guard::new();
    let write = guard.written(&json!({"Name": "a"}));
    for distance in [-CLOCKS_MS - 1, CLOCKS_MS + 1] {
        let mut event = guard.event(ChangeType::Update, RECORD, &json!({"Name": "a"}));
        event.committed_ms = write.written_at_ms + distance;
        assert_eq!(guard.judge_now(&event, true), Foreign, "{distance}");
    }
}

/// What happens in the random mirror.
#[derive(Debug, Clone)]
enum Step {
    /// The bridge writes a record (by its id or an external one): answered and seen back later.
    Write {
        record: usize,
        name: usize,
        phone: Option<usize>,
        by_id: bool,
        by_name: bool,
    },
    Insert {
        name: usize,
        by_name: bool,
    },
    /// Somebody else edits a record: as the integration user with values of his own, or as another user with any.
    Edit {
        record: usize,
        as_us: bool,
        name: usize,
    },
    /// The oldest request under way reaches Salesforce.
    Commit,
    /// The oldest request that did is answered.
    Answer,
    /// The next event is judged.
    Deliver,
    /// What is delivered is committed, and writes seen back are forgotten.
    Store,
    /// What is not stored comes again, to this run or to a new process.
    Again {
        new_process: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let record = 0..3_usize;
    prop_oneof![
        3 => (record.clone(), 0..3_usize, proptest::option::of(0..3_usize), any::<bool>(), any::<bool>())
            .prop_map(|(record, name, phone, by_id, by_name)| Step::Write { record, name, phone, by_id, by_name }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(name, by_name)| Step::Insert { name, by_name }),
        2 => (record, any::<bool>(), 0..3_usize)
            .prop_map(|(record, as_us, name)| Step::Edit { record, as_us, name }),
        4 => Just(Step::Commit),
        4 => Just(Step::Answer),
        6 => Just(Step::Deliver),
        1 => Just(Step::Store),
        1 => any::<bool>().prop_map(|new_process| Step::Again { new_process }),
    ]
}

struct Request {
    intent: Intent,
    /// `None`: a new record.
    record: Option<usize>,
    fields: Vec<(&'static str, String)>,
    by_name: bool,
}

/// An org, the requests under way to it, and its stream.
struct Mirror {
    guard: Guard,
    ids: Vec<String>,
    values: Vec<BTreeMap<&'static str, String>>,
    asked: VecDeque<Request>,
    committed: VecDeque<(Intent, String, bool)>,
    /// With whether the bridge made it.
    stream: Vec<(Event, bool)>,
    delivered: usize,
    stored: usize,
    /// The number of the last event delivered.
    judged: u64,
    seen: Vec<Arc<str>>,
    edits: usize,
}

/// As a person types it; Salesforce trims it.
fn typed(value: &str) -> String {
    format!(" {value} ")
}

impl Mirror {
    fn new() -> Self {
        let ids = (0..3).map(id_of).collect();
        Self {
            guard: Guard::new(),
            ids,
            values: vec![BTreeMap::new(); 3],
            asked: VecDeque::new(),
            committed: VecDeque::new(),
            stream: Vec::new(),
            delivered: 0,
            stored: 0,
            judged: 0,
            seen: Vec::new(),
            edits: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write {
                record,
                name,
                phone,
                by_id,
                by_name,
            } => {
                let mut fields = vec![("Name", format!("n{name}"))];
                // The first of them clears it.
                let phone = phone.map(|phone| {
                    if phone == 0 {
                        String::new()
                    } else {
                        format!("p{phone}")
                    }
                });
                fields.extend(phone.map(|phone| ("Phone", phone)));
                let sent: Map<String, Value> = fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), json!(typed(value))))
                    .collect();
                let intent = Intent::new("r", "Account", Operation::Upsert, &sent);
                let intent = if *by_id {
                    Intent {
                        operation: Written::Update,
                        ..intent.of_record(&self.ids[*record])
                    }
                } else {
                    intent.of_external_id("Ext__c", &json!(record.to_string()))
                };
                self.ask(intent, Some(*record), fields, *by_name);
            }
            Step::Insert { name, by_name } => {
                let fields = vec![("Name", format!("n{name}"))];
                let sent = json!({"Name": typed(&fields[0].1)});
                let intent = Intent::new("r", "Account", Operation::Insert, sent.as_object().unwrap());
                self.ask(intent, None, fields, *by_name);
            }
            Step::Edit { record, as_us, name } => {
                self.edits += 1;
                let value = if *as_us {
                    format!("edit {}", self.edits)
                } else {
                    format!("n{name}")
                };
                let is_same = self.values[*record].get("Name") == Some(&value);
                // What changes nothing tells nobody anything.
                if !is_same {
                    self.change(*record, &[("Name", value)], false, *as_us, false);
                }
            }
            Step::Commit => self.commit(),
            Step::Answer => self.answer(),
            Step::Deliver => {
                self.deliver();
            }
            Step::Store => {
                self.stored = self.delivered;
                self.guard.judge.committed(self.judged);
                for id in self.seen.drain(..) {
                    self.guard.book.apply(&id, None, 0);
                }
            }
            Step::Again { new_process } => {
                self.delivered = self.stored;
                self.seen.clear();
                self.judged = 0;
                if *new_process {
                    self.guard.judge = Judge::default();
                }
            }
        }
    }

    fn ask(
        &mut self,
        intent: Intent,
        record: Option<usize>,
        fields: Vec<(&'static str, String)>,
        by_name: bool,
    ) {
        // One version of a record at a time: a later one goes when the earlier one is answered.
        let is_under_way = record.is_some_and(|record| {
            self.asked.iter().any(|request| request.record == Some(record))
                || self.committed.iter().any(|(_, id, _)| *id == self.ids[record])
        });
        if !is_under_way {
            self.guard.apply(&intent);
            self.asked.push_back(Request {
                intent,
                record,
                fields,
                by_name,
            });
        }
    }

    fn commit(&mut self) {
        let Some(Request {
            intent,
            record,
            fields,
            by_name,
        }) = self.asked.pop_front()
        else {
            return;
        };
        let (record, created) = match record {
            Some(record) => (record, false),
            None => {
                self.ids.push(id_of(self.ids.len()));
                self.values.push(BTreeMap::new());
                (self.ids.len() - 1, true)
            }
        };
        self.change(record, &fields, created, true, by_name);
        if let Some((_, own)) = self.stream.last_mut() {
            *own = true;
        }
        self.committed
            .push_back((intent, self.ids[record].clone(), created));
    }

    fn change(
        &mut self,
        record: usize,
        fields: &[(&'static str, String)],
        created: bool,
        by_user: bool,
        by_name: bool,
    ) {
        let values = &mut self.values[record];
        let changed: Map<String, Value> = fields
            .iter()
            .filter(|(name, value)| values.get(name).map_or("", String::as_str) != value)
            .map(|(name, value)| {
                let value = if value.is_empty() {
                    Value::Null
                } else {
                    json!(value)
                };
                ((*name).to_owned(), value)
            })
            .collect();
        values.extend(fields.iter().cloned());
        let kind = if created {
            ChangeType::Create
        } else {
            ChangeType::Update
        };
        let id = self.ids[record].clone();
        let mut event = self.guard.event(kind, &id, &Value::Object(changed));
        (event.by_user, event.by_name) = (by_user, by_name);
        self.stream.push((event, false));
    }

    fn answer(&mut self) {
        if let Some((intent, record, created)) = self.committed.pop_front() {
            self.guard.answer(&intent, &record, created);
        }
    }

    /// Whether there was one and it did not have to wait.
    fn deliver(&mut self) -> bool {
        let Some((event, own)) = self.stream.get(self.delivered).cloned() else {
            return false;
        };
        let judged = self.guard.judged(&event, true);
        match judged.verdict {
            Wait => return false,
            verdict => assert_eq!(verdict, if own { Own } else { Foreign }, "{event:?}"),
        }
        self.seen.extend(judged.seen);
        self.judged = self.judged.max(judged.number);
        self.delivered += 1;
        true
    }

    fn finish(&mut self) {
        while !self.asked.is_empty() {
            self.commit();
        }
        while !self.committed.is_empty() {
            self.answer();
        }
        while self.deliver() {}
        assert_eq!(
            self.delivered,
            self.stream.len(),
            "nothing waits when everything is answered"
        );
    }
}

fn id_of(record: usize) -> String {
    crate::salesforce::auth::id18(&format!("0015Y00002Zb{record:03}")).unwrap()
}

proptest! {
    #[test]
    fn every_own_change_is_dropped_and_every_other_one_flows(steps in proptest::collection::vec(step(), 1..60)) {
        let mut mirror = Mirror::new();
        for step in &steps {
            mirror.step(step);
        }
        mirror.finish();
    }
}
