//! The feed: alarms, verdicts and the gate's state, carried from the durable queue to an MQTT broker.
//!
//! The queue is the judge's table `outbox`; a row leaves it only when the broker has acknowledged it. Every
//! connection begins again at the oldest row still there, so nothing is lost over a loss of either side and
//! rows go out in their order. A row can arrive twice: it then carries the same [`SEQUENCE`] property.
//!
//! Invariants: the feed holds at most [`MAX_IN_FLIGHT`] rows that are not acknowledged and one batch that
//! is not sent; what it tells the judge waits here, in order, while the judge's inbox is full; nothing in
//! the gateway waits for the feed. Nothing that arrives from the broker is obeyed: it subscribes to nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::loss::{Cause, Loss};
use self::mqtt::{Acknowledged, InFlight, Link};
use crate::config::Mqtt;
use crate::judge::{DeviceKey, Inbox, Message};
use crate::state::outbox;

mod loss;
mod mqtt;
mod signer;
mod tls;

pub use mqtt::SEQUENCE;

/// Carries queued rows to the broker of `config` until `stop` is ready or the judge is gone. `bell` rings
/// when there may be something new; `own` is the key in the TPM, where there is a TPM.
pub async fn run(
    config: Mqtt,
    gateway: String,
    inbox: Inbox,
    bell: Arc<Notify>,
    own: Option<DeviceKey>,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = pin!(stop);
    let mut feed = Feed { inbox, bell, mail: VecDeque::new(), told: Vec::new(), well: false };
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let end = match Link::open(&config, &gateway, own.as_ref()) {
            Ok(mut link) => feed.talk(&mut link, stop.as_mut()).await,
            Err(loss) => End::Lost(loss),
        };
        match end {
            End::Lost(loss) => feed.lost(loss),
            End::Stopped | End::NoJudge => return,
        }
        if began.elapsed() >= LAST_PAUSE {
            pause = FIRST_PAUSE;
        }
        if feed.wait(pause, stop.as_mut()).await.is_break() {
            return;
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// What outlives one connection.
struct Feed {
    inbox: Inbox,
    bell: Arc<Notify>,
    /// For the judge, in order.
    mail: VecDeque<Message>,
    /// Causes of the present loss that the judge knows.
    told: Vec<Cause>,
    /// The broker takes what it is sent, and the judge knows.
    well: bool,
}

/// How a connection ended.
enum End {
    Lost(Loss),
    Stopped,
    /// Nobody answers or listens any more.
    NoJudge,
}

/// The rows of one connection.
#[derive(Default)]
struct Rows {
    /// Highest row ever handed to this connection.
    after: i64,
    /// Not sent yet.
    ready: VecDeque<outbox::Message>,
    /// Sent, oldest first.
    in_flight: VecDeque<InFlight>,
    /// The judge's answer, while one is awaited.
    asked: Option<oneshot::Receiver<Vec<outbox::Message>>>,
    /// There may be rows the judge has not been asked for.
    more: bool,
    /// The judge has answered at least once.
    looked: bool,
    /// The broker has acknowledged a row.
    proven: bool,
}

impl Feed {
    /// One connection, from the first byte to its end.
    async fn talk(&mut self, link: &mut Link, mut stop: Pin<&mut impl Future<Output = ()>>) -> End {
        loop {
            tokio::select! {
                loss = &mut link.driver => return End::Lost(loss),
                () = stop.as_mut() => return End::Stopped,
                sent = post(&self.inbox, &mut self.mail) => if sent.is_err() { return End::NoJudge },
                _ = &mut link.up => break,
            }
        }
        let mut rows = Rows { more: true, ..Rows::default() };
        let mut look = Instant::now() + LOOK_EVERY;
        match link.say_online() {
            Ok(notice) => rows.in_flight.push_back(notice),
            Err(loss) => return End::Lost(loss),
        }
        loop {
            if let Err(loss) = self.move_on(link, &mut rows) {
                return End::Lost(loss);
            }
            let overdue = rows.in_flight.front().map_or(look, |oldest| oldest.since + ACKNOWLEDGE_TIMEOUT);
            let waiting = !rows.in_flight.is_empty();
            tokio::select! {
                loss = &mut link.driver => {
                    // What was acknowledged before the end counts.
                    let Acknowledged { ids, .. } = mqtt::acknowledged_by_now(&mut rows.in_flight);
                    self.sent(ids);
                    return End::Lost(loss);
                }
                () = stop.as_mut() => {
                    self.say_goodbye(link, &mut rows).await;
                    return End::Stopped;
                }
                sent = post(&self.inbox, &mut self.mail) => if sent.is_err() { return End::NoJudge },
                answer = answered(&mut rows.asked) => match answer {
                    Ok(batch) => rows.take(batch),
                    Err(_) => return End::NoJudge,
                },
                Acknowledged { ids, refused } = mqtt::acknowledged(&mut rows.in_flight) => {
                    rows.proven |= !ids.is_empty();
                    self.sent(ids);
                    if let Some(why) = refused {
                        return End::Lost(link.refused(&why));
                    }
                }
                () = self.bell.notified() => rows.more = true,
                () = sleep_until(look) => {
                    rows.more = true;
                    look = Instant::now() + LOOK_EVERY;
                }
                () = sleep_until(overdue), if waiting => return End::Lost(link.silent(ACKNOWLEDGE_TIMEOUT)),
            }
        }
    }

    /// Sends what is ready and asks for more where there is room for it.
    fn move_on(&mut self, link: &Link, rows: &mut Rows) -> Result<(), Loss> {
        while rows.in_flight.len() < MAX_IN_FLIGHT
            && let Some(row) = rows.ready.pop_front()
        {
            match link.publish(&row)? {
                Some(notice) => rows.in_flight.push_back(notice),
                // Not an MQTT topic: no broker will ever take it, and it must not hold up those behind it.
                None => {
                    tracing::error!(
                        topic = row.message.topic,
                        id = row.id,
                        "a message has a topic that cannot be sent"
                    );
                    self.sent(vec![row.id]);
                }
            }
        }
        let room = rows.ready.is_empty() && rows.in_flight.len() < MAX_IN_FLIGHT;
        if rows.more && room && rows.asked.is_none() {
            let (reply, answer) = oneshot::channel();
            self.mail.push_back(Message::Outbox(rows.after, reply));
            rows.asked = Some(answer);
            rows.more = false;
        }
        let nothing_to_send = rows.looked && rows.ready.is_empty() && rows.in_flight.is_empty();
        if !self.well && (rows.proven || nothing_to_send) {
            self.well = true;
            self.told.clear();
            self.mail.push_back(Message::Broker(Ok(())));
        }
        Ok(())
    }

    /// Rows the broker has.
    fn sent(&mut self, ids: Vec<i64>) {
        match self.mail.back_mut() {
            _ if ids.is_empty() => {}
            Some(Message::Sent(earlier)) => earlier.extend(ids),
            _ => self.mail.push_back(Message::Sent(ids)),
        }
    }

    /// The connection is gone. The judge is told once for each loss, and once more when another kind of
    /// cause comes to light, such as a certificate after a restart of the broker.
    fn lost(&mut self, loss: Loss) {
        self.well = false;
        self.mail.retain(|m| !matches!(m, Message::Outbox(_, reply) if reply.is_closed()));
        if self.told.contains(&loss.cause) {
            tracing::debug!(broker = %loss.text, "still no broker");
        } else {
            tracing::warn!(broker = %loss.text, "no broker; messages are kept");
            self.told.push(loss.cause);
            self.mail.push_back(Message::Broker(Err(loss.text)));
        }
    }

    /// Pauses before the next connection; breaks when there is to be none.
    async fn wait(
        &mut self,
        pause: Duration,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> std::ops::ControlFlow<()> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = stop.as_mut() => return std::ops::ControlFlow::Break(()),
                sent = post(&self.inbox, &mut self.mail) => if sent.is_err() {
                    return std::ops::ControlFlow::Break(());
                },
                () = sleep_until(until) => return std::ops::ControlFlow::Continue(()),
            }
        }
    }

    /// Says that the gateway goes, and waits a little for acknowledgements still under way.
    async fn say_goodbye(&mut self, link: &mut Link, rows: &mut Rows) {
        link.say_goodbye(GOODBYE);
        let _ = timeout(GOODBYE, &mut link.driver).await;
        let Acknowledged { ids, .. } = mqtt::acknowledged_by_now(&mut rows.in_flight);
        self.sent(ids);
        // The judge may have ended before; what it does not hear now is sent again after the next start.
        let post_all =
            async { while !self.mail.is_empty() && post(&self.inbox, &mut self.mail).await.is_ok() {} };
        tokio::select! {
            () = post_all => {}
            () = sleep(GOODBYE) => {}
        }
    }
}

impl Rows {
    fn take(&mut self, batch: Vec<outbox::Message>) {
        self.asked = None;
        self.looked = true;
        if let Some(last) = batch.last() {
            self.after = last.id;
            self.more = true;
        }
        self.ready.extend(batch);
    }
}

/// Puts the oldest piece of mail into the judge's inbox once there is room; never, when there is no mail.
async fn post(inbox: &Inbox, mail: &mut VecDeque<Message>) -> Result<(), ()> {
    if mail.is_empty() {
        return std::future::pending().await;
    }
    let room = inbox.reserve().await.map_err(drop)?;
    if let Some(message) = mail.pop_front() {
        room.send(message);
    }
    Ok(())
}

/// The judge's answer; never, when it was not asked.
async fn answered(
    asked: &mut Option<oneshot::Receiver<Vec<outbox::Message>>>,
) -> Result<Vec<outbox::Message>, oneshot::error::RecvError> {
    match asked {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

/// Rows sent and not acknowledged. The broker may want fewer (Receive Maximum); then they wait in line.
const MAX_IN_FLIGHT: usize = 64;
/// Pause after a connection was lost; doubled for each try up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause, and how long a connection must have held for the pauses to begin anew.
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Time between two looks at the queue, should the bell not ring.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for one acknowledgement.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait at the end.
const GOODBYE: Duration = Duration::from_secs(1);
