//! Scripted faults: what a test, or a demonstration, makes the org do wrong.
//!
//! A [`Fault`] waits for calls of one RPC (on one topic, or any), applies to `times` of them in turn, and is gone.
//! On `Subscribe` it may let `after_events` events pass first. A [`StreamMode`] is how all streams of a topic
//! behave until it is changed. Running streams are ended by [`Ending`].

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tonic::Status;

use super::errors;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rpc {
    Subscribe,
    GetTopic,
    GetSchema,
    Publish,
    PublishStream,
    ManagedSubscribe,
}

impl Rpc {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "Subscribe",
            Self::GetTopic => "GetTopic",
            Self::GetSchema => "GetSchema",
            Self::Publish => "Publish",
            Self::PublishStream => "PublishStream",
            Self::ManagedSubscribe => "ManagedSubscribe",
        }
    }
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Nothing, after the fault's delay.
    #[default]
    Proceed,
    /// The server completes the stream with status OK.
    Complete,
    /// `UNAVAILABLE: RST_STREAM closed stream`, without an `error-code`.
    Reset,
    /// The TCP connection is cut, with all streams on it.
    Disconnect,
    /// An error of [`errors::ALL`], under another gRPC status (its number) where one is given.
    Error {
        code: String,
        #[serde(default)]
        status: Option<i32>,
    },
    /// `Publish` alone: the events are published, and the answer is `UNAVAILABLE`.
    LoseAnswer,
    /// `Subscribe` alone: the last event comes once more.
    Repeat,
}

impl Then {
    /// An error by its code, with or without the prefix.
    pub fn error(code: &str) -> Self {
        Self::Error {
            code: code.to_owned(),
            status: None,
        }
    }

    /// The status of a refusal; `None` where the call goes on or ends well.
    pub(super) fn status(&self, rpc: Rpc, rpc_id: &str) -> Option<Status> {
        match self {
            Self::Proceed | Self::Complete | Self::Repeat => None,
            Self::Reset | Self::Disconnect | Self::LoseAnswer => Some(Status::unavailable(
                "RST_STREAM closed stream. HTTP/2 error code: NO_ERROR",
            )),
            Self::Error { code, status } => {
                let error = errors::find(code).unwrap_or(errors::SERVICE_UNAVAILABLE);
                let status = status.map_or(error.status, tonic::Code::from_i32);
                Some(error.status_as(status, rpc.name(), rpc_id))
            }
        }
    }
}

/// Something to go wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub rpc: Rpc,
    /// Default: whatever the call names. For `GetSchema`, a schema id.
    #[serde(default)]
    pub topic: Option<String>,
    /// How many calls it meets. Default: one.
    #[serde(default = "once")]
    pub times: u32,
    /// `Subscribe` alone: events that the stream delivers first.
    #[serde(default)]
    pub after_events: u64,
    /// A wait before anything else; of a publication, at most until faults are cleared.
    #[serde(default)]
    pub delay_ms: u64,
    /// It meets one such call in so many, at random; 0 and 1: each.
    #[serde(default)]
    pub one_in: u32,
    /// Of that chance. It moves on with every call.
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub then: Then,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// One call of `rpc` on any topic meets `then`.
    pub fn new(rpc: Rpc, then: Then) -> Self {
        Self {
            rpc,
            topic: None,
            times: 1,
            after_events: 0,
            delay_ms: 0,
            one_in: 1,
            seed: 0,
            then,
        }
    }

    #[must_use]
    pub fn on(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    #[must_use]
    pub fn after_events(mut self, events: u64) -> Self {
        self.after_events = events;
        self
    }

    /// One call in so many, and without end.
    #[must_use]
    pub fn one_in(mut self, calls: u32, seed: u64) -> Self {
        self.one_in = calls;
        self.seed = seed;
        self.times = u32::MAX;
        self
    }

    #[must_use]
    pub fn delayed(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }
}

/// Faults that still wait, each for a number of calls.
#[derive(Debug)]
pub(super) struct Waiting<F> {
    faults: Mutex<Vec<F>>,
    cleared: Notify,
}

/// Whether a thing comes up that does once in `one_in` times; the seed moves on. 0 and 1: always.
pub(super) fn comes_up(one_in: u32, seed: &mut u64) -> bool {
    if one_in <= 1 {
        return true;
    }
    // SplitMix64.
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)).is_multiple_of(u64::from(one_in))
}

/// A fault that meets a number of calls.
pub(super) trait Counted: Clone {
    fn times_left(&mut self) -> &mut u32;
}

impl<F> Default for Waiting<F> {
    fn default() -> Self {
        Self {
            faults: Mutex::default(),
            cleared: Notify::new(),
        }
    }
}

impl<F: Counted> Waiting<F> {
    pub(super) fn push(&self, fault: F) {
        self.faults.lock().push(fault);
    }

    /// The first fault that waits for such a call, used up by one.
    pub(super) fn take_first(&self, meets: impl FnMut(&mut F) -> bool) -> Option<F> {
        let mut waiting = self.faults.lock();
        let index = waiting.iter_mut().position(meets)?;
        let fault = waiting.get_mut(index)?;
        *fault.times_left() -= 1;
        Some(if *fault.times_left() == 0 {
            waiting.remove(index)
        } else {
            fault.clone()
        })
    }

    pub(super) fn clear(&self) {
        self.faults.lock().clear();
        self.cleared.notify_waiters();
    }

    /// What a fault delays, until then or until the faults are taken back.
    pub(super) async fn delay(&self, delay_ms: u64) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
            () = self.cleared.notified() => {}
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.faults.lock().len()
    }
}

impl Counted for Fault {
    fn times_left(&mut self) -> &mut u32 {
        &mut self.times
    }
}

/// The faults of RPCs that still wait.
pub(super) type Faults = Waiting<Fault>;

impl Faults {
    /// # Errors
    /// When the fault names an error that the API does not have.
    pub(super) fn add(&self, fault: Fault) -> Result<(), String> {
        check(&fault.then)?;
        if fault.times > 0 {
            self.push(fault);
        }
        Ok(())
    }

    /// The first fault that waits for this call, used up by one.
    pub(super) fn take(&self, rpc: Rpc, topic: &str) -> Option<Fault> {
        self.take_first(|fault| {
            let is_meant = fault.rpc == rpc && fault.topic.as_deref().is_none_or(|name| name == topic);
            is_meant && comes_up(fault.one_in, &mut fault.seed)
        })
    }
}

/// # Errors
/// When an error's code is none of the API's.
pub(super) fn check(then: &Then) -> Result<(), String> {
    match then {
        Then::Error { code, .. } if errors::find(code).is_none() => {
            Err(format!("no error has the code {code}"))
        }
        _ => Ok(()),
    }
}

/// How the streams of a topic behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    #[default]
    Normal,
    /// Events are withheld, keep-alives go on.
    KeepAliveOnly,
    /// Nothing is sent at all, and the stream does not end: a half-open connection.
    Silent,
    /// A pause before each response with events.
    Slow { pause_ms: u64 },
    /// At most this many events a response.
    Small { events: usize },
}

/// The end of all streams that run now. Each new value ends them once more.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    pub(super) with: Then,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_its_calls_in_turn_and_is_gone() {
        let faults = Faults::default();
        let fault = Fault::new(Rpc::GetSchema, Then::error("schema.api.unavailable")).times(2);
        faults.add(fault).expect("the code is known");
        faults
            .add(Fault::new(Rpc::Subscribe, Then::Reset).on("/data/A"))
            .expect("no code");
        assert!(faults.take(Rpc::Subscribe, "/data/B").is_none());
        assert!(faults.take(Rpc::GetSchema, "x").is_some());
        assert!(faults.take(Rpc::GetSchema, "y").is_some());
        assert!(faults.take(Rpc::GetSchema, "z").is_none());
        assert_eq!(
            faults.take(Rpc::Subscribe, "/data/A").map(|fault| fault.then),
            Some(Then::Reset)
        );
        assert_eq!(faults.waiting(), 0);
    }

    #[test]
    fn a_fault_by_chance_meets_its_share_without_end() {
        let faults = Faults::default();
        let fault = Fault::new(Rpc::Publish, Then::LoseAnswer).one_in(20, 1);
        faults.add(fault).expect("no code");
        let met = (0..2_000).filter(|_| faults.take(Rpc::Publish, "/event/A__e").is_some());
        let met = met.count();
        assert!((50..200).contains(&met), "{met}");
        assert_eq!(faults.waiting(), 1);
    }

    #[test]
    fn an_error_that_the_api_does_not_have_is_refused() {
        let faults = Faults::default();
        assert!(
            faults
                .add(Fault::new(Rpc::Publish, Then::error("no.such.code")))
                .is_err()
        );
    }

    #[test]
    fn a_scripted_status_replaces_the_tables() {
        let then = Then::Error {
            code: "service.unavailable".into(),
            status: Some(14),
        };
        let status = then.status(Rpc::Subscribe, "id").expect("an error");
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert!(status.metadata().get("error-code").is_some());
    }
}
