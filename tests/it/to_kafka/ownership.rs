//! Who runs a route: a second owner, a lone owner that was held up, an instance that dies and comes back.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sfbridge::simulator::TestEvents;

use super::{ACCOUNTS, ONE_PARTITION, an_org, emit, json, names, records, stored_position};
use crate::need;
use crate::support::bridge::{Bridge, PATIENCE, Setup, json_route};
use crate::support::broker::{self, Broker};
use crate::support::members::joins_and_is_gone;
use crate::support::topic::{Isolation, read_all, unique};
use crate::support::wait::until;

const CALL: Duration = Duration::from_secs(30);

fn setup(name: &str, kafka: &str, org: &sfbridge::simulator::Simulator, routes: &str) -> Setup {
    Setup {
        kafka: ONE_PARTITION.to_owned(),
        ..Setup::new(name, kafka, org, routes)
    }
}

/// Somebody else under a transactional id, with a transaction open that holds one record.
async fn somebody_else(kafka: &str, transactional_id: String, topic: &str, partition: i32) -> BaseProducer {
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    let opened = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("transactional.id", transactional_id)
            .create()
            .unwrap();
        producer.init_transactions(CALL).unwrap();
        producer.begin_transaction().unwrap();
        let record = BaseRecord::<str, str>::to(&topic)
            .partition(partition)
            .key("somebody")
            .payload("{}");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(CALL).unwrap();
        producer
    });
    opened.await.unwrap()
}

/// Where a topic's only partition ends for a `read_committed` reader, and for everybody else.
async fn ends(kafka: &str, topic: &str) -> (i64, i64) {
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let end = |isolation: &str| {
            let client: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", &kafka)
                .set("isolation.level", isolation)
                .create()
                .unwrap();
            client.fetch_watermarks(&topic, 0, CALL).unwrap().1
        };
        (end("read_committed"), end("read_uncommitted"))
    });
    asked.await.unwrap()
}

/// Pain: two nodes run the same connector, and both write.
#[tokio::test]
async fn a_second_owner_fences_the_first_which_goes_on_and_gives_up_when_it_happens_again_and_again() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("fenced"), unique("accounts"));
    let bridge = Bridge::start(&setup(
        &name,
        &kafka,
        &org,
        &json_route("accounts", ACCOUNTS, &to, ""),
    ))
    .await;
    emit(&org, &["0"]);
    records(&kafka, &to, 1).await;
    let id = format!("sfbridge.{name}.accounts");
    let fences = || bridge.log().matches("\"kind\":\"fenced\"").count();

    let second = somebody_else(&kafka, id.clone(), &to, 0).await;
    emit(&org, &["1"]);
    assert_eq!(
        names(&records(&kafka, &to, 2).await),
        ["0", "1"],
        "it goes on by itself"
    );
    assert_eq!(fences(), 1);
    // The first has taken the route back: what the second had open is gone.
    let late = tokio::task::spawn_blocking(move || second.commit_transaction(CALL))
        .await
        .unwrap();
    assert!(late.is_err(), "the second owner is a zombie now");

    let mut expected = vec!["0".to_owned(), "1".to_owned()];
    while bridge.route("accounts").await.unwrap()["state"]["name"] != "halted" {
        let (before, event) = (fences(), expected.len().to_string());
        assert!(
            before < 5,
            "given up at the fifth: {}",
            bridge.route("accounts").await.unwrap()
        );
        drop(somebody_else(&kafka, id.clone(), &to, 0).await);
        emit(&org, &[&event]);
        expected.push(event);
        until(PATIENCE, "a further fence", || async {
            (fences() > before || is_halted(&bridge).await).then_some(())
        })
        .await;
        if !is_halted(&bridge).await && fences() < 5 {
            until(PATIENCE, "its recovery, or the end", || async {
                let through = super::committed(&kafka, &to).await.len() >= expected.len();
                (through || is_halted(&bridge).await).then_some(())
            })
            .await;
        }
    }
    let halted = bridge.route("accounts").await.unwrap();
    assert!(
        halted["state"]["why"].to_string().contains("fenced 5 times"),
        "{halted}"
    );
    let remedy = halted["state"]["remedy"].to_string();
    assert!(
        remedy.contains("bridge.name") && remedy.contains(&name),
        "{halted}"
    );
    assert!(bridge.is_running(), "the process stays");
    assert_eq!(bridge.post("/api/routes/accounts/restart").await.0, 202);
    assert_eq!(names(&records(&kafka, &to, expected.len()).await), expected);
}

async fn is_halted(bridge: &Bridge) -> bool {
    bridge
        .route("accounts")
        .await
        .is_some_and(|route| route["state"]["name"] == "halted")
}

#[tokio::test]
async fn a_route_starts_from_its_true_position_while_another_holds_a_transaction_open_in_its_partition() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("shared"), unique("accounts"));
    let setup = setup(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""));
    let bridge = Bridge::start(&setup).await;
    emit(&org, &["1"]);
    records(&kafka, &to, 1).await;
    let (_, partition) = stored_position(&kafka, &name, "accounts").await.unwrap();
    let positions = format!("_sfbridge.{name}.positions");
    let other = somebody_else(&kafka, unique("other"), &positions, partition).await;
    // Positions behind the open transaction: a committed reader does not come to see them.
    emit(&org, &["2", "3"]);
    records(&kafka, &to, 3).await;
    bridge.kill();
    emit(&org, &["4"]);
    let bridge = Bridge::start(&setup).await;
    until(PATIENCE, "the wait and its reason", || async {
        let route = bridge.route("accounts").await?;
        let why = route["state"]["why"].as_str()?.to_owned();
        (why.contains("another transaction") && why.contains(&positions)).then_some(())
    })
    .await;
    assert_eq!(
        super::committed(&kafka, &to).await.len(),
        3,
        "nothing before the position is known"
    );
    tokio::task::spawn_blocking(move || other.abort_transaction(CALL))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&records(&kafka, &to, 4).await), ["1", "2", "3", "4"]);
}

/// The broker aborts what is open for longer than a minute, and the producer cannot tell that from a second owner.
#[tokio::test]
async fn a_lone_owner_that_was_stopped_past_its_transactions_time_out_goes_on_by_itself() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, to) = (an_org().await, unique("stopped"), unique("accounts"));
    let more = "    commit: { max_events: 400 }\n";
    let setup = setup(&name, &kafka, &org, &json_route("accounts", ACCOUNTS, &to, more));
    let bridge = Bridge::start(&Setup {
        // A request for each record: a transaction is open nearly all the time.
        kafka: format!("{}  properties: {{ batch.num.messages: 1 }}\n", setup.kafka),
        ..setup
    })
    .await;
    emit(&org, &["first"]);
    records(&kafka, &to, 1).await;
    let mut sent = 1;
    loop {
        let (_, begin) = ends(&kafka, &to).await;
        // Each try has events of its own, of which some are still to come when the bridge is stopped.
        org.emit_test_events(&TestEvents::new(4_000)).unwrap();
        sent += 4_000;
        until(PATIENCE, "new records", || async {
            (ends(&kafka, &to).await.1 > begin).then_some(())
        })
        .await;
        bridge.signal("STOP");
        if stays_open(&kafka, &to).await {
            break;
        }
        bridge.signal("CONT");
    }
    until(PATIENCE, "the broker's abort", || async {
        let (committed, all) = ends(&kafka, &to).await;
        (committed == all).then_some(())
    })
    .await;
    bridge.signal("CONT");
    let seen = records(&kafka, &to, sent).await;
    assert_eq!(seen.len(), sent);
    let numbers: Vec<usize> = seen[1..]
        .iter()
        .map(|record| json(record)["GUID__c"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..sent - 1).collect::<Vec<_>>());
    let all = read_all(&kafka, &to, Isolation::ReadUncommitted).await;
    assert!(all.len() > sent, "what the broker aborted was written once more");
    let starts = bridge.log().matches("taking over from an earlier owner").count();
    assert!(starts >= 2, "the route began anew");
}

/// Whether a transaction is open and is not one that the broker is about to end: its commit may be on its way.
async fn stays_open(kafka: &str, topic: &str) -> bool {
    for _ in 0..20 {
        let (committed, all) = ends(kafka, topic).await;
        if committed == all {
            return false;
        }
    }
    true
}

/// Pain: light tools run once or not at all; with two of them, everything comes twice.
#[tokio::test]
async fn routes_move_to_the_instance_that_lives_and_come_back_to_one_that_restarts() {
    let kafka = need!("kafka", broker::shared());
    let (org, name, prefix) = (an_org().await, unique("two"), unique("accounts"));
    let route_names: Vec<String> = (0..8).map(|n| format!("r{n}")).collect();
    let routes: String = route_names
        .iter()
        .map(|route| json_route(route, ACCOUNTS, &format!("{prefix}-{route}"), ""))
        .collect();
    let one = setup(&name, &kafka, &org, &routes);
    let two = Setup {
        instance: format!("{name}-2"),
        ..one.clone()
    };
    let first = Bridge::start(&one).await;
    let second = Bridge::start(&two).await;
    let (mine, theirs) = until(PATIENCE, "each route on one instance, some on each", || async {
        let mine = here(&first, &route_names).await;
        let theirs = here(&second, &route_names).await;
        (!mine.is_empty() && !theirs.is_empty() && mine.len() + theirs.len() == route_names.len())
            .then_some((mine, theirs))
    })
    .await;
    emit(&org, &["1"]);
    for route in &route_names {
        records(&kafka, &format!("{prefix}-{route}"), 1).await;
    }
    let elsewhere = first.route(&theirs[0]).await.unwrap();
    assert_eq!(elsewhere["state"]["name"], "waiting");
    assert!(
        elsewhere["state"]["why"].to_string().contains("another instance"),
        "{elsewhere}"
    );

    // The same process again: a static member has its routes back.
    second.kill();
    let second = Bridge::start(&two).await;
    until(PATIENCE, "its routes back", || async {
        (here(&second, &route_names).await == theirs).then_some(())
    })
    .await;
    assert_eq!(here(&first, &route_names).await, mine, "the others never moved");
    emit(&org, &["2"]);
    for route in &route_names {
        records(&kafka, &format!("{prefix}-{route}"), 2).await;
    }

    // For good.
    second.kill();
    emit(&org, &["3"]);
    until(
        Duration::from_secs(30),
        "all routes on the one that lives",
        || async { (here(&first, &route_names).await == route_names).then_some(()) },
    )
    .await;
    for route in &route_names {
        assert_eq!(
            names(&records(&kafka, &format!("{prefix}-{route}"), 3).await),
            ["1", "2", "3"],
            "{route}"
        );
    }
}

/// Brokers that were frozen take up what lies in their sockets in any order: a request to join that was given up may come
/// after the one that was answered.
#[tokio::test]
async fn an_instance_that_its_own_late_request_fenced_goes_on_and_one_that_a_second_process_fences_stops() {
    let broker = need!("kafka", Broker::start_new(&[]));
    let kafka = broker.bootstrap();
    let (org, name, to) = (an_org().await, unique("late"), unique("accounts"));
    let setup = setup(&name, kafka, &org, &json_route("accounts", ACCOUNTS, &to, ""));
    let bridge = Bridge::start(&setup).await;
    emit(&org, &["0"]);
    records(kafka, &to, 1).await;
    broker.freeze();
    until(PATIENCE, "the lost membership", || async {
        let why = bridge.route("accounts").await?["state"]["why"].to_string();
        why.contains("Kafka has not answered").then_some(())
    })
    .await;
    broker.thaw();
    bridge.until_state("accounts", &["streaming"]).await;
    let somebody_joins = || async {
        let (group, topic) = (format!("sfbridge.{name}"), format!("_sfbridge.{name}.routes"));
        joins_and_is_gone(kafka, &group, &format!("sfbridge-{}", setup.instance), &topic).await;
    };
    let mut expected = vec!["0".to_owned()];
    for times in 1..=3 {
        somebody_joins().await;
        until(PATIENCE, "the next membership", || async {
            (bridge.log().matches("joining the group anew").count() >= times).then_some(())
        })
        .await;
        emit(&org, &[&times.to_string()]);
        expected.push(times.to_string());
        assert_eq!(names(&records(kafka, &to, expected.len()).await), expected);
    }
    // Again and again: that is no late request.
    somebody_joins().await;
    let refused = until(PATIENCE, "the reason", || async {
        let route = bridge.route("accounts").await?;
        route["state"]["remedy"]
            .as_str()?
            .contains("same bridge.instance")
            .then_some(route)
    })
    .await;
    assert_eq!(refused["state"]["name"], "waiting", "{refused}");
}

/// The routes that an instance runs.
async fn here(bridge: &Bridge, routes: &[String]) -> Vec<String> {
    let mut here = Vec::new();
    for route in routes {
        if bridge
            .route(route)
            .await
            .is_some_and(|route| route["runs_here"] == true)
        {
            here.push(route.clone());
        }
    }
    here
}
