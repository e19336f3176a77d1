//! Alarms and verdicts: one row for each cause, one message for the broker, in one transaction.

use hal::clock::Wall;
use hal::reason::ReasonCode;
use serde_json::json;

use super::Judge;
use super::failure::Failure;
use super::message::Answered;
use super::rows::AlarmRow;
use crate::audit::{Event, Kind as Audit};
use crate::state::alarm::{self, Alarm, Kind as Told, Source};
use crate::state::outbox::{self, Kind, NewMessage, OutboxQuota};
use crate::state::{StateError, Tx};

impl Judge {
    /// Raises an alarm about a controller, signal or bus, or about the gateway (`None`). What cannot be written is logged:
    /// the caller refuses firmware for a reason of its own.
    pub(super) fn raise(&mut self, id: Option<&str>, code: ReasonCode, kind: Told, text: &str) {
        self.raise_counted(id, code, kind, text, 1);
    }

    pub(super) fn raise_counted(
        &mut self,
        id: Option<&str>,
        code: ReasonCode,
        kind: Told,
        text: &str,
        count: u64,
    ) {
        let (source, now, fed) = (source(id), self.now(), self.fed(id));
        let text = if count > 1 { format!("{text} ({count} times)") } else { text.to_string() };
        let raised = self.db.write_with_reserve("raise an alarm", |tx| {
            let alarm = alarm::raise(tx, &source, code, kind, &text, now)?;
            publish(tx, fed.as_ref(), &alarm, now)
        });
        self.log_and_ring("raise an alarm", raised);
    }

    /// The cause is gone; a latched alarm stays until a person acknowledges it. Events have no cause to go.
    pub(super) fn clear_alarm(&mut self, id: Option<&str>, code: ReasonCode) {
        let (source, now, fed) = (source(id), self.now(), self.fed(id));
        let cleared = self.db.write("clear an alarm", |tx| {
            if !alarm::clear(tx, &source, code)? {
                return Ok(());
            }
            alarm::get(tx, &source, code)?.map_or(Ok(()), |alarm| publish(tx, fed.as_ref(), &alarm, now))
        });
        self.log_and_ring("clear an alarm", cleared);
    }

    /// The broker is there again, and may have lost what it kept: every alarm that is active is told once more. What
    /// was cleared meanwhile is still queued.
    pub(super) fn tell_alarms_again(&mut self) {
        let now = self.now();
        let active = match alarm::list(&self.db.rows()) {
            Ok(alarms) => alarms.into_iter().filter(|alarm| alarm.active),
            Err(e) => return tracing::error!(error = %e, "cannot read the alarms"),
        };
        let told: Vec<(Alarm, Option<Fed>)> = active
            .map(|alarm| {
                let fed = match &alarm.source {
                    Source::Gateway => self.fed(None),
                    Source::Named(id) => self.fed(Some(id)),
                };
                (alarm, fed)
            })
            .collect();
        let queued = self.db.write("tell the alarms again", |tx| {
            told.iter().try_for_each(|(alarm, fed)| publish(tx, fed.as_ref(), alarm, now))
        });
        self.log_and_ring("tell the alarms again", queued);
    }

    /// Under which names messages about `id` are queued; `None` where no broker would ever take them.
    fn fed(&self, id: Option<&str>) -> Option<Fed> {
        self.config.mqtt.as_ref()?;
        Some(Fed { gateway: self.config.name.clone(), plc: id.and_then(|id| self.plc_of(id)) })
    }

    /// The controller that an alarm's source is or belongs to.
    fn plc_of(&self, id: &str) -> Option<String> {
        let is_plc = self.config.plcs.iter().any(|p| p.slot.as_str() == id);
        let signal = self.config.signals.iter().find(|s| s.spec.id == id);
        let on_a_bus = || {
            let of = |bus: &crate::config::Bus| {
                let unit = id.strip_prefix(&bus.settings.id)?.strip_prefix(".unit-")?;
                bus.units.get(&unit.parse::<u8>().ok()?).cloned()
            };
            self.config.buses.iter().find_map(of)
        };
        is_plc.then(|| id.to_string()).or_else(|| signal?.spec.plc.clone()).or_else(on_a_bus)
    }

    /// Queues a message that is no alarm.
    pub(super) fn publish(&mut self, kind: Kind, topic: &str, body: serde_json::Value) {
        let (now, gateway) = (self.now(), self.config.name.clone());
        let expires = (kind == Kind::Status).then_some(Wall { ms: now.ms + STATUS_TTL_MS, ..now });
        let message = NewMessage {
            topic: format!("headgate/{gateway}/{topic}"),
            payload: body.to_string().into_bytes(),
            kind,
            expires,
        };
        let queued = self
            .db
            .write("queue a message", |tx| outbox::push(tx, &message, OutboxQuota::default(), now).map(drop));
        self.log_and_ring("queue a message", queued);
    }

    pub(super) fn publish_status(&mut self) {
        let gate = self.gate_status();
        let body = json!({
            "schema": 1, "gateway": self.config.name, "at": self.now().to_string(), "gate": if gate.open { "open" } else { "shut" },
            "code": gate.code.map(|c| c.to_string()), "text": gate.text, "version": env!("CARGO_PKG_VERSION"),
        });
        self.publish(Kind::Status, "status/gate", body);
    }

    fn log_and_ring(&self, doing: &str, outcome: Result<(), StateError>) {
        if let Err(e) = outcome {
            tracing::error!(error = %e, "cannot {doing}");
        }
        if let Some(bell) = &self.feed {
            bell.notify_one();
        }
    }

    pub(super) fn alarms(&self, all: bool) -> Result<Vec<AlarmRow>, Failure> {
        let rows = self.db.rows();
        let alarms = if all { alarm::list(&rows)? } else { alarm::standing(&rows)? };
        Ok(alarms.iter().map(|a| self.alarm_row(a)).collect())
    }

    /// Acknowledges; what is still so stays on the list.
    pub(super) fn acknowledge(&mut self, name: &str, code: ReasonCode) -> Result<Answered, Failure> {
        let glass = code == crate::reasons::BREAK_GLASS;
        if glass {
            self.may_close(name)?;
        }
        let source = if name == self.config.name { Source::Gateway } else { Source::Named(name.to_string()) };
        let (now, fed) = (self.now(), self.fed(Some(name)));
        let found = self.db.write("acknowledge an alarm", |tx| {
            if alarm::get(tx, &source, code)?.is_none() {
                return Ok(false);
            }
            alarm::acknowledge(tx, &source, code)?;
            if code == crate::reasons::CHANGED_OUTSIDE
                && let Source::Named(plc) = &source
            {
                crate::state::identity::clear_latch(tx, plc)?;
            }
            alarm::get(tx, &source, code)?.map_or(Ok(()), |alarm| publish(tx, fed.as_ref(), &alarm, now))?;
            Ok(true)
        })?;
        self.log_and_ring("acknowledge an alarm", Ok(()));
        if found && glass {
            self.close_all(name, "the alarm was acknowledged");
        }
        if found {
            let event =
                Event::new(self.now(), Audit::AlarmAcknowledged, &self.caller.clone(), name, "acknowledged");
            self.write_down(Event { code: Some(code), ..event });
        }
        match found {
            true => Ok(Answered::Done { text: format!("acknowledged: {name} {code}") }),
            false => {
                Err(Failure::not_found(format!("no alarm {code} of {name:?}; headgate alarms list --all")))
            }
        }
    }

    fn alarm_row(&self, a: &Alarm) -> AlarmRow {
        let reason = crate::reasons::find(a.code);
        AlarmRow {
            source: self.source_name(&a.source),
            plc: self.plc_of(&self.source_name(&a.source)),
            code: a.code,
            title: reason.map_or("", |r| r.title).into(),
            count: a.count,
            first: a.first,
            last: a.last,
            active: a.active,
            acknowledged: a.acknowledged,
            latched: a.latched,
            standing: a.standing,
            text: a.text.clone(),
            next: reason.map_or("", |r| r.next).into(),
        }
    }

    fn source_name(&self, source: &Source) -> String {
        match source {
            Source::Gateway => self.config.name.clone(),
            Source::Named(id) => id.clone(),
        }
    }
}

fn source(id: Option<&str>) -> Source {
    id.map_or(Source::Gateway, |id| Source::Named(id.to_string()))
}

/// The names of a message about an alarm.
struct Fed {
    gateway: String,
    /// The controller it is about.
    plc: Option<String>,
}

/// Queues the alarm's present state, where there is a broker.
fn publish(tx: &Tx<'_>, fed: Option<&Fed>, a: &Alarm, now: Wall) -> Result<(), StateError> {
    let Some(Fed { gateway, plc }) = fed else { return Ok(()) };
    let source = match &a.source {
        Source::Gateway => gateway,
        Source::Named(id) => id,
    };
    let reason = crate::reasons::find(a.code);
    let body = json!({
        "schema": 1, "gateway": gateway, "source": source, "plc": plc, "code": a.code.to_string(),
        "title": reason.map(|r| r.title), "text": a.text, "count": a.count,
        "first": a.first.to_string(), "last": a.last.to_string(), "at": now.to_string(),
        "active": a.active, "acknowledged": a.acknowledged, "latched": a.latched, "standing": a.standing,
        "next": reason.map(|r| r.next),
    });
    let topic = format!("headgate/{gateway}/alarm/{source}/{}", a.code);
    let message =
        NewMessage { topic, payload: body.to_string().into_bytes(), kind: Kind::Alarm, expires: None };
    outbox::push(tx, &message, OutboxQuota::default(), now).map(drop)
}

/// How long a status message is worth sending.
const STATUS_TTL_MS: i64 = 3_600_000;
