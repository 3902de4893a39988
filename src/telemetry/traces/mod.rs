//! Traces over OTLP, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set: one span a batch, never one an event.
//!
//! * A route to Kafka: a span a transaction, kind producer; its records carry the span's context in the header
//!   `traceparent` (W3C Trace Context).
//! * A route to Salesforce: a span a request, kind consumer, linked to the contexts that its records came with.
//! * Attributes are counts and names of the configuration, by OpenTelemetry's semantic conventions for messaging
//!   (<https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>). No payload, key or field value.
//! * Off, it costs a look at a `None`. On, a batch pays for its span and nothing waits for the collector: spans go into
//!   a bounded queue, what it cannot hold is dropped, and an exporter that fails says so once.

mod export;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use crate::error::ErrorKind;

/// The header of a record's trace context.
pub const TRACEPARENT: &str = "traceparent";

/// A request of 200 records may have come in as many batches; so many say where the time went.
const LINKS_MAX: usize = 128;

/// The program's traces; cheap to clone. By default there are none.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What a batch is, in words of the configuration and in numbers.
#[derive(Debug, Clone, Copy)]
pub struct BatchAbout<'a> {
    pub route: &'a str,
    /// The one Kafka topic that all its records go to, or come from.
    pub topic: Option<&'a str>,
    pub records: usize,
}

/// Where the records of a request come from.
#[derive(Debug, Clone)]
pub struct RequestAbout<'a> {
    pub batch: BatchAbout<'a>,
    pub partition: i32,
    pub group: String,
    /// The object or event that is written to.
    pub target: &'a str,
    /// `publish`, `upsert`, …
    pub operation: &'a str,
}

/// The span of a batch. One that is dropped without an end was cut off, and says so.
#[derive(Debug)]
#[must_use = "a span lasts until it is ended"]
pub struct BatchSpan(Option<Span>);

impl Traces {
    /// Reads the environment; must be called on the runtime that exports are to run on. What is wrong there is told
    /// in a warning: the bridge runs without traces rather than not at all.
    pub fn from_environment(bridge: &str, instance: &str) -> Self {
        match export::provider(bridge, instance) {
            Ok(Some(provider)) => {
                let tracer = provider.tracer("sfbridge");
                Self(Some(Arc::new(Tracing { provider, tracer })))
            }
            Ok(None) => Self(None),
            Err(why) => {
                tracing::warn!(why, "traces are off");
                Self(None)
            }
        }
    }

    /// A transaction of a route to Kafka begins. `events`: what was taken from Salesforce for it; one that moves the
    /// position alone has no span. `about` is asked only where there are traces.
    pub fn transaction<'a>(&self, events: u64, about: impl FnOnce() -> BatchAbout<'a>) -> BatchSpan {
        let Some(tracing) = self.0.as_ref().filter(|_| events > 0) else {
            return BatchSpan(None);
        };
        let about = about();
        let mut attributes = attributes("send", &about);
        attributes.push(KeyValue::new("sfbridge.events", count(events)));
        BatchSpan(Some(tracing.begin(
            "send",
            SpanKind::Producer,
            &about,
            attributes,
            Vec::new(),
        )))
    }

    /// A request of a route to Salesforce begins; without records there is none. `headers`: those of its records.
    pub fn request<'a, 'h, I>(
        &self,
        about: impl FnOnce() -> RequestAbout<'a>,
        headers: impl FnOnce() -> I,
    ) -> BatchSpan
    where
        I: Iterator<Item = &'h [(String, Option<Bytes>)]>,
    {
        let Some(tracing) = &self.0 else {
            return BatchSpan(None);
        };
        let about = about();
        if about.batch.records == 0 {
            return BatchSpan(None);
        }
        let mut attributes = attributes("process", &about.batch);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", about.group),
            KeyValue::new("messaging.destination.partition.id", about.partition.to_string()),
            KeyValue::new("sfbridge.salesforce.target", about.target.to_owned()),
            KeyValue::new("sfbridge.salesforce.operation", about.operation.to_owned()),
        ]);
        let links = links(headers());
        BatchSpan(Some(tracing.begin(
            "process",
            SpanKind::Consumer,
            &about.batch,
            attributes,
            links,
        )))
    }

    /// Sends what is queued, for no longer than `within`.
    pub async fn flush_and_close(&self, within: Duration) {
        let Some(tracing) = self.0.clone() else { return };
        // The SDK waits on its own thread's answer.
        let closing = tokio::task::spawn_blocking(move || tracing.provider.shutdown_with_timeout(within));
        // What went wrong is logged where it did.
        let _ = tokio::time::timeout(within, closing).await;
    }
}

impl Tracing {
    fn begin(
        &self,
        operation: &'static str,
        kind: SpanKind,
        about: &BatchAbout<'_>,
        attributes: Vec<KeyValue>,
        links: Vec<Link>,
    ) -> Span {
        let name: Cow<'static, str> = match about.topic {
            Some(topic) => format!("{operation} {topic}").into(),
            None => operation.into(),
        };
        let builder = SpanBuilder::from_name(name)
            .with_kind(kind)
            .with_attributes(attributes)
            .with_links(links);
        // A trace of its own: nothing that runs on this thread is its parent.
        self.tracer.build_with_context(builder, &Context::new())
    }
}

fn attributes(operation: &'static str, about: &BatchAbout<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.batch.message_count", count(about.records as u64)),
        KeyValue::new("sfbridge.route", about.route.to_owned()),
    ];
    if let Some(topic) = about.topic {
        attributes.push(KeyValue::new("messaging.destination.name", topic.to_owned()));
    }
    attributes
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl BatchSpan {
    /// The value of the header that a record of this batch carries; `None` without traces.
    pub fn traceparent(&self) -> Option<Bytes> {
        let context = self.0.as_ref()?.span_context();
        context.is_valid().then(|| {
            Bytes::from(format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                context.trace_flags() & TraceFlags::SAMPLED
            ))
        })
    }

    /// The batch is through, or failed so.
    pub fn end(mut self, failure: Option<ErrorKind>) {
        if let Some(span) = self.0.take() {
            finish(span, failure.map(ErrorKind::name));
        }
    }
}

impl Drop for BatchSpan {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            finish(span, Some("cut_off"));
        }
    }
}

/// An end without a failure leaves the status unset, as the conventions ask.
fn finish(mut span: Span, failure: Option<&'static str>) {
    if let Some(kind) = failure {
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(kind));
    }
    span.end();
}

/// One link a context, however many records came with it.
fn links<'h>(records: impl Iterator<Item = &'h [(String, Option<Bytes>)]>) -> Vec<Link> {
    let mut known = HashSet::new();
    records
        .filter_map(context_of)
        .filter(|context| known.insert((context.trace_id(), context.span_id())))
        .take(LINKS_MAX)
        .map(Link::with_context)
        .collect()
}

/// The context that a record came with; what is no valid one is passed over.
fn context_of(headers: &[(String, Option<Bytes>)]) -> Option<SpanContext> {
    let value = headers.iter().rev().find_map(|(name, value)| {
        let text = std::str::from_utf8(value.as_deref()?).ok()?;
        (name == TRACEPARENT).then_some(text)
    })?;
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Carrier(value));
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}

/// A record's `traceparent` as the propagator reads it. `tracestate` is left out: it is a text of others.
struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};
    use parking_lot::Mutex;

    use super::*;

    const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[derive(Debug, Clone, Default)]
    struct Spans(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Spans {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().extend(batch);
            Ok(())
        }
    }

    fn traced() -> (Traces, Spans) {
        let spans = Spans::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let tracer = provider.tracer("sfbridge");
        (Traces(Some(Arc::new(Tracing { provider, tracer }))), spans)
    }

    fn only(spans: &Spans) -> SpanData {
        let spans = spans.0.lock();
        let [span] = spans.as_slice() else {
            panic!("{} spans", spans.len())
        };
        span.clone()
    }

    fn headers(values: &[&str]) -> Vec<(String, Option<Bytes>)> {
        let header = |value: &&str| (TRACEPARENT.to_owned(), Some(Bytes::from((*value).to_owned())));
        values.iter().map(header).collect()
    }

    fn about() -> BatchAbout<'static> {
        BatchAbout {
            route: "accounts",
            topic: Some("salesforce.accounts"),
            records: 3,
        }
    }

    #[test]
    fn without_traces_nothing_is_asked_and_no_header_is_written() {
        let span = Traces::default().transaction(1, || panic!("asked"));
        assert_eq!(span.traceparent(), None);
        let span =
            Traces::default().request(|| panic!("asked"), || -> std::iter::Empty<_> { panic!("asked") });
        span.end(None);
    }

    #[test]
    fn a_transaction_that_moves_the_position_alone_has_no_span() {
        let (traces, spans) = traced();
        traces.transaction(0, about).end(None);
        assert!(spans.0.lock().is_empty());
    }

    #[test]
    fn a_records_header_names_its_batchs_span() {
        let (traces, spans) = traced();
        let span = traces.transaction(2, about);
        let header = span.traceparent().unwrap();
        span.end(None);
        let span = only(&spans);
        let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
        assert_eq!(header, format!("00-{trace}-{id}-01"));
        assert_eq!(span.name, "send salesforce.accounts");
        assert_eq!((span.span_kind, span.status), (SpanKind::Producer, Status::Unset));
        assert!(
            span.attributes
                .contains(&KeyValue::new("messaging.batch.message_count", 3))
        );
        assert!(
            span.attributes
                .contains(&KeyValue::new("sfbridge.route", "accounts"))
        );
    }

    #[test]
    fn a_failure_and_a_batch_that_is_cut_off_are_errors_with_their_kind() {
        for (end, kind) in [(Some(ErrorKind::Fenced), "fenced"), (None, "cut_off")] {
            let (traces, spans) = traced();
            let span = traces.transaction(1, about);
            match end {
                Some(failure) => span.end(Some(failure)),
                None => drop(span),
            }
            let span = only(&spans);
            assert_eq!(span.status, Status::error(kind));
            assert!(span.attributes.contains(&KeyValue::new("error.type", kind)));
        }
    }

    #[test]
    fn what_records_came_with_is_linked_once_and_what_is_no_context_is_passed_over() {
        let other = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00";
        let records = [
            headers(&[CONTEXT]),
            headers(&[CONTEXT]),
            headers(&[]),
            headers(&["00-00000000000000000000000000000000-b7ad6b7169203331-01"]),
            headers(&["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"]),
            headers(&["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
            headers(&["canary"]),
            vec![
                (TRACEPARENT.to_owned(), None),
                (TRACEPARENT.to_owned(), Some(Bytes::from_static(&[0xff]))),
            ],
            headers(&[CONTEXT, other]),
        ];
        let (traces, spans) = traced();
        let request = || RequestAbout {
            batch: about(),
            partition: 0,
            group: "sfbridge.crm.accounts".to_owned(),
            target: "Account",
            operation: "upsert",
        };
        traces
            .request(request, || records.iter().map(Vec::as_slice))
            .end(None);
        let span = only(&spans);
        let linked: Vec<String> = span
            .links
            .iter()
            .map(|link| link.span_context.span_id().to_string())
            .collect();
        assert_eq!(linked, ["b7ad6b7169203331", "00f067aa0ba902b7"]);
        assert!(!format!("{span:?}").contains("canary"));
    }

    #[test]
    fn links_have_an_end() {
        let records: Vec<_> = (1..=LINKS_MAX + 9)
            .map(|n| headers(&[&format!("00-0af7651916cd43dd8448eb211c80319c-{n:016x}-01")]))
            .collect();
        assert_eq!(links(records.iter().map(Vec::as_slice)).len(), LINKS_MAX);
    }
}
