//! The position of a route to Kafka. Its transactional id is initialised first: whoever owned the route is fenced, and
//! nothing of it moves the position after us.

use serde_json::json;

use super::list::stored;
use super::place::Place;
use super::{Desk, Moved};
use crate::config::{Delivery, RouteConfig, StartPolicy, ToKafkaConfig};
use crate::error::{ErrorKind, Failure};
use crate::kafka::{Lanes, PositionStore, Timing, WriteError, is_paused};
use crate::routes::gap::{self, GapKind, GapReport};
use crate::routes::loop_guard::client_name;
use crate::routes::position::Position;
use crate::runtime::clock;
use crate::salesforce::Salesforce;
use crate::telemetry::metrics::Metrics;

pub(super) async fn stand(
    desk: &Desk<'_>,
    route: &RouteConfig,
    flow: &ToKafkaConfig,
    place: &Place,
    force: bool,
) -> Result<Moved, Failure> {
    let name = &route.name;
    let is_exactly_once = flow.delivery == Delivery::ExactlyOnce;
    // Without transactions there is no owner that could be fenced.
    if !(force && is_exactly_once) {
        not_running(desk, name, is_exactly_once).await?;
    }
    let (org_id, now_ms) = match place {
        Place::Start => (String::new(), clock::now_ms()),
        _ => login(desk, place).await?,
    };
    let store = PositionStore::open(&desk.topics).await?;
    let gaps = gap::topic(&desk.config.bridge.name);
    desk.topics.ensure_gaps(&gaps).await?;

    let mut producer = if is_exactly_once {
        let id = format!("sfbridge.{}.{name}", desk.config.bridge.name);
        Lanes::take_over(&desk.connection, &id, Timing::DEFAULT).await?
    } else {
        Lanes::idempotent(&desk.connection, Timing::DEFAULT).await?
    };
    let old = stored(Some(&store), name).await?;
    let new = position(flow, place, old.as_ref(), org_id, now_ms);
    let report = report(name, flow, place, old.as_ref()).map(|report| report.record(&gaps));
    let record = match &new {
        Some(new) => store.record(name, new.to_json()),
        None => store.removal(name),
    };
    let is_reported = report.is_some();
    producer
        .write(report.into_iter().collect(), record)
        .await
        .map_err(|error| failed(name, error))?;
    let mut text = match place {
        Place::Start => format!("route {name} has no position any more: it begins as its `start` says"),
        Place::Earliest => format!("route {name} goes on with the earliest event"),
        Place::After(id) => format!("route {name} goes on after {}", hex::encode(id)),
        Place::Latest | Place::Offset { .. } => format!("route {name} goes on with events from now on"),
    };
    if is_reported {
        text.push_str("; what it leaves out is reported in the gaps topic");
    }
    Ok(Moved {
        text,
        json: json!({ "route": name, "before": old, "position": new, "reported": is_reported }),
    })
}

/// # Errors
/// `Denied` while the bridge runs and the route is not paused.
async fn not_running(desk: &Desk<'_>, route: &str, may_force: bool) -> Result<(), Failure> {
    let group = desk.connection.group_of(None);
    let members = desk.connection.group_members(&group).await?;
    if members.is_empty() || is_paused(&desk.topics, route).await? {
        return Ok(());
    }
    let message = format!(
        "route {route} may be running: group {group} has {} members ({})",
        members.len(),
        members.join(", ")
    );
    let or_force = if may_force { ", or give --force" } else { "" };
    Err(Failure::new(ErrorKind::Denied, message).remedy(format!(
        "pause the route (POST /api/routes/{route}/pause) or stop every instance of the bridge (what has just ended counts for six more seconds){or_force}"
    )))
}

/// The org's id and Salesforce's time.
async fn login(desk: &Desk<'_>, place: &Place) -> Result<(String, i64), Failure> {
    let client = client_name(&desk.config.bridge.name);
    let salesforce = Salesforce::new(&desk.config.salesforce, &client, Metrics::new())?;
    let session = salesforce.tokens.session().await?;
    let now_ms = if *place == Place::Latest {
        salesforce.tokens.server_time_ms().await?
    } else {
        clock::now_ms()
    };
    Ok((session.organization_id.clone(), now_ms))
}

/// What is stored; None: nothing.
fn position(
    flow: &ToKafkaConfig,
    place: &Place,
    old: Option<&Position>,
    org_id: String,
    now_ms: i64,
) -> Option<Position> {
    // Without an event that was delivered nothing can come twice, unless a replay was under way already. Times of
    // one form compare as text.
    let replayed_until = old.and_then(|old| old.event_time.clone().max(old.replayed_until.clone()));
    let new = Position {
        topic: flow.from.topic.clone(),
        org_id,
        updated_at: clock::rfc3339_ms(clock::now_ms()),
        replayed_until,
        ..Position::default()
    };
    match place {
        Place::Start => None,
        Place::Earliest => Some(new),
        Place::After(id) => Some(Position {
            replay_id: Some(hex::encode(id)),
            ..new
        }),
        Place::Latest | Place::Offset { .. } => Some(Position {
            since: Some(clock::rfc3339_ms(now_ms)),
            ..new
        }),
    }
}

/// What may be missing after the move. A route without a position leaves nothing out.
fn report(route: &str, flow: &ToKafkaConfig, place: &Place, old: Option<&Position>) -> Option<GapReport> {
    let old = old?;
    let resolution = match place {
        Place::Start if flow.from.start == StartPolicy::Latest => "latest".to_owned(),
        Place::Start | Place::Earliest => return None,
        Place::After(id) if old.replay_id.as_deref() == Some(&*hex::encode(id)) => return None,
        // Replay ids tell nothing of before and after.
        Place::After(id) => hex::encode(id),
        Place::Latest | Place::Offset { .. } => "latest".to_owned(),
    };
    let mut report = GapReport::new(route, &flow.from.topic, GapKind::SkippedByOperator, &resolution);
    report.from_replay_id.clone_from(&old.replay_id);
    report.from_event_time.clone_from(&old.event_time);
    Some(report)
}

fn failed(route: &str, error: WriteError) -> Failure {
    let failure = match error {
        WriteError::Aborted(failure) | WriteError::Lost(failure) => failure,
        refused @ WriteError::Refused(_) => {
            Failure::new(ErrorKind::Unknown, "the position was refused").caused_by(refused)
        }
    };
    let message = format!("route {route}: the position is not known to be stored");
    let kind = failure.kind;
    Failure::new(kind, message)
        .remedy("look with `sfbridge positions list`; if the route runs, pause it, then try again")
        .caused_by(failure)
}
