//! One connection to the broker, by `rumqttc`: what is published, and what came of it.
//!
//! A [`Link`] is used for one connection and dropped with it. Its session is clean: what the broker still
//! knows of an earlier one is of no use, because the queue knows better.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rumqttc_v5::{
    AsyncClient, ClientError, ConnectionError, DisconnectProperties, DisconnectReasonCode, Event, EventLoop,
    Incoming, LastWill, MqttOptions, PublishNotice, PublishNoticeError, PublishOptions, PublishProperties,
    QoS,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::loss::{Broker, Loss};
use super::{MAX_IN_FLIGHT, tls};
use crate::config::Mqtt;
use crate::judge::{CHECKPOINT_TOPIC, DeviceKey};
use crate::state::outbox::{self, Kind};

/// Name of the MQTT 5 user property that holds a row's number: the same in every copy of one message,
/// ascending, never given twice by one gateway.
pub const SEQUENCE: &str = "headgate-seq";

/// One connection.
pub(super) struct Link {
    client: AsyncClient,
    broker: Arc<Broker>,
    connection_topic: String,
    /// Moves the bytes. Must be polled for anything to happen; ends with the connection.
    pub(super) driver: Pin<Box<dyn Future<Output = Loss> + Send>>,
    /// Ready once the broker has accepted the connection.
    pub(super) up: oneshot::Receiver<()>,
}

/// A message on its way.
pub(super) struct InFlight {
    /// Its row, if it is one.
    row: Option<i64>,
    /// When it was handed over.
    pub(super) since: Instant,
    notice: Pin<Box<dyn Future<Output = Result<(), PublishNoticeError>> + Send>>,
}

/// What came of messages in flight.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// Rows the broker has.
    pub(super) ids: Vec<i64>,
    /// Why it does not take the next one.
    pub(super) refused: Option<PublishNoticeError>,
}

impl Link {
    /// Prepares a connection; nothing is sent before the driver is polled.
    pub(super) fn open(config: &Mqtt, gateway: &str, own: Option<&DeviceKey>) -> Result<Link, Loss> {
        let broker = Arc::new(Broker::new(config));
        let own = own.cloned();
        let connection_topic = format!("headgate/{gateway}/status/connection");
        let mut options = MqttOptions::new(&config.client_id, (config.host.as_str(), config.port));
        options.set_clean_start(true);
        options.set_keep_alive(KEEP_ALIVE_S);
        options.set_last_will(LastWill::new(&connection_topic, OFFLINE, QoS::AtLeastOnce, true, None));
        options.set_outgoing_inflight_upper_limit(MAX_IN_FLIGHT as u16);
        let target = broker.clone();
        options.set_socket_connector(move |_, _| {
            let (target, own) = (target.clone(), own.clone());
            async move { tls::connect(&target, own).await.map_err(io::Error::other) }
        });
        // Room for every row in flight, "online" and the end: publishing never waits.
        let built = AsyncClient::builder(options).capacity(MAX_IN_FLIGHT + 4).try_build();
        let (client, events) = built.map_err(|e| broker.refuses(&e.to_string()))?;
        let (tell_up, up) = oneshot::channel();
        let driver = Box::pin(drive(events, tell_up, broker.clone()));
        Ok(Link { client, broker, connection_topic, driver, up })
    }

    /// Sends a row; `None` when its topic is none.
    pub(super) fn publish(&self, row: &outbox::Message) -> Result<Option<InFlight>, Loss> {
        let sequence = vec![(SEQUENCE.to_string(), row.id.to_string())];
        let properties = PublishProperties { user_properties: sequence, ..PublishProperties::default() };
        // The newest state is what a subscriber wants first.
        // Who connects later must see how the gate is and which alarms stand.
        let kept = matches!(row.message.kind, Kind::Status | Kind::Alarm);
        let retain = kept || row.message.topic.ends_with(CHECKPOINT_TOPIC);
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(retain).properties(properties);
        let queued =
            self.client.try_publish_tracked(row.message.topic.clone(), row.message.payload.clone(), options);
        match queued {
            Ok(notice) => Ok(Some(InFlight::new(Some(row.id), notice))),
            Err(ClientError::InvalidRequest(_)) => Ok(None),
            Err(e) => Err(self.broker.gone(&e.to_string())),
        }
    }

    /// Replaces the last will of an earlier connection.
    pub(super) fn say_online(&self) -> Result<InFlight, Loss> {
        let options = PublishOptions::new(QoS::AtLeastOnce).retained();
        let queued = self.client.try_publish_tracked(self.connection_topic.clone(), ONLINE, options);
        queued.map(|notice| InFlight::new(None, notice)).map_err(|e| self.broker.gone(&e.to_string()))
    }

    /// Ends the connection within `limit`, after what is in flight; the broker publishes the last will.
    pub(super) fn say_goodbye(&self, limit: Duration) {
        let properties = DisconnectProperties {
            session_expiry_interval: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let reason = DisconnectReasonCode::DisconnectWithWillMessage;
        // Where this fails the connection is gone already, and the last will is out.
        let _ = self.client.try_disconnect_with_properties_timeout(reason, properties, limit);
    }

    /// The broker does not take a message.
    pub(super) fn refused(&self, why: &PublishNoticeError) -> Loss {
        self.broker.refuses(&format!("{why}; let client id and certificate write to headgate/#"))
    }

    /// The broker acknowledges nothing.
    pub(super) fn silent(&self, limit: Duration) -> Loss {
        self.broker.gone(&format!("took a message and acknowledged nothing for {} s", limit.as_secs()))
    }
}

impl InFlight {
    fn new(row: Option<i64>, notice: PublishNotice) -> InFlight {
        InFlight { row, since: Instant::now(), notice: Box::pin(notice.wait_completion_async()) }
    }
}

async fn drive(mut events: EventLoop, up: oneshot::Sender<()>, broker: Arc<Broker>) -> Loss {
    let mut up = Some(up);
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                // Nobody listening means that the link is being dropped.
                let _ = up.take().map(|up| up.send(()));
            }
            Ok(_) => {}
            Err(ConnectionError::RequestsDone) => return broker.gone("the connection was closed"),
            Err(e) => return broker.lost(&e),
        }
    }
}

/// Waits for the oldest message, and takes what is done behind it. The broker acknowledges in the order of
/// sending (MQTT 5.0 §4.6), so the oldest is the one to wait for. Never ready while nothing is in flight.
pub(super) async fn acknowledged(in_flight: &mut VecDeque<InFlight>) -> Acknowledged {
    std::future::poll_fn(|cx| collect(in_flight, cx)).await
}

/// As [`acknowledged`], without waiting.
pub(super) fn acknowledged_by_now(in_flight: &mut VecDeque<InFlight>) -> Acknowledged {
    match collect(in_flight, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Acknowledged::default(),
    }
}

fn collect(in_flight: &mut VecDeque<InFlight>, cx: &mut Context<'_>) -> Poll<Acknowledged> {
    let mut done = Acknowledged::default();
    let mut any = false;
    while let Some(oldest) = in_flight.front_mut() {
        let Poll::Ready(outcome) = oldest.notice.as_mut().poll(cx) else { break };
        any = true;
        let row = oldest.row;
        in_flight.pop_front();
        match outcome {
            Ok(()) => done.ids.extend(row),
            Err(why) => {
                done.refused = Some(why);
                break;
            }
        }
    }
    if any { Poll::Ready(done) } else { Poll::Pending }
}

/// Payloads of `status/connection`.
const ONLINE: &str = r#"{"online":true}"#;
const OFFLINE: &str = r#"{"online":false}"#;
/// A broker that is silent for this many seconds is asked whether it lives, and given up after as many.
const KEEP_ALIVE_S: u16 = 10;
