//! What the signals' thread says, as alarms, readings and locks; and what it is told and asked.

use hal::reason::ReasonCode;
use sensor_monitor::reasons::{
    self as of_signals, BASELINE_LOST, BEHAVIOUR_CHANGED, NEW_ON_BUS, SIGNAL_LOST, SIGNAL_REPEATS,
};
use serde_json::json;
use tokio::sync::oneshot::Sender;

use super::failure::Failure;
use super::message::{Answered, Request};
use super::{Judge, refusal};
use crate::audit::Kind as Audit;
use crate::config::Permissive;
use crate::reasons::PERMISSIVE_ABSENT;
use crate::signals::permissive::Permitted;
use crate::signals::{Learns, Mail, Mailbox, News};
use crate::state::alarm::{self, Alarm, Kind as Told, Source};
use crate::state::meta;
use crate::state::outbox::Kind;
use crate::state::soak::SoakState;
use crate::transfer::event::{CaseId, Refusal};

impl Judge {
    /// Signals of which the database says that what was learned was kept.
    pub fn baselines_kept(&self) -> std::collections::BTreeSet<String> {
        meta::baselines_kept(&self.db.rows()).unwrap_or_default()
    }

    /// Where the signals listen.
    pub fn attach_signals(&mut self, mailbox: Mailbox) {
        self.signals = Some(mailbox);
    }

    pub(super) fn signal_news(&mut self, news: News) {
        match news {
            // It stood when the gateway ended, and whoever found it again knows nothing of that.
            News::Raise(id, code, _) if self.resumed.remove(&(id.clone(), code)) => {}
            News::Raise(id, code, text) => {
                // What is read of a process stays to be seen by a person, and a talker on a bus that was never
                // there before has no end; a limit ends with its cause.
                let kind = match code {
                    NEW_ON_BUS => Told::Event,
                    BASELINE_LOST | BEHAVIOUR_CHANGED | SIGNAL_REPEATS => Told::Latched,
                    _ => Told::State,
                };
                self.raise(Some(&id), code, kind, &text);
            }
            News::Clear(id, code) => {
                self.resumed.remove(&(id.clone(), code));
                self.clear_alarm(Some(&id), code);
            }
            News::Kept(id) => {
                let noted = self.db.write("note a baseline", |tx| meta::baseline_kept(tx, &id));
                self.log(noted);
            }
            News::Changed(case, plc, signal, text) => self.lock(CaseId(case), &plc, &signal, &text),
            News::Told(case, text) => self.tell_case(CaseId(case), &text),
            News::Quiet(case, text) => self.end_soak(CaseId(case), SoakState::Quiet, &text),
            News::Reading(signal, unit, value, quality) => {
                let body = json!({
                    "schema": 1, "gateway": self.config.name, "signal": signal, "unit": unit, "value": value,
                    "quality": quality, "at": self.now().to_string(),
                });
                self.publish(Kind::Signal, &format!("signal/{signal}"), body);
            }
            News::Permissive(plc, word) => {
                self.permissives.insert(plc, word);
            }
            News::Learned(signal, series) => {
                tracing::info!(%signal, %series, "learned; from here on it is judged")
            }
        }
    }

    /// Alarms whose cause stood when the gateway ended. The signals find out whether theirs is still there; what
    /// is about a controller that is no longer configured has nobody left to find out.
    pub(super) fn resume_alarms(&mut self) {
        let standing = alarm::standing(&self.db.rows()).unwrap_or_default();
        let (of_signals, others): (Vec<Alarm>, Vec<Alarm>) =
            standing.into_iter().filter(|a| a.standing).partition(|a| is_of_a_signal(a.code));
        // These are found by who does not know what stood: the reader of what was learned, and the thread of a bus.
        let is_found_blindly = |id: &str, code| {
            code == BASELINE_LOST
                || (code == SIGNAL_LOST && self.config.buses.iter().any(|b| b.settings.id == id))
        };
        let resumed = of_signals.iter().filter_map(|a| match &a.source {
            Source::Named(id) if is_found_blindly(id, a.code) => Some((id.clone(), a.code)),
            _ => None,
        });
        self.resumed = resumed.collect();
        let stood = of_signals.into_iter().filter_map(|a| match a.source {
            Source::Gateway => None,
            Source::Named(id) => Some((id, a.code, a.last, a.text)),
        });
        self.tell_signals(Mail::Stood(stood.collect()));
        for gone in others {
            let Source::Named(id) = &gone.source else { continue };
            if !self.config.plcs.iter().any(|p| p.slot.as_str() == id) {
                tracing::warn!(source = %id, code = %gone.code, "no longer configured; its alarm ends");
                self.clear_alarm(Some(id), gone.code);
            }
        }
    }

    /// Why nothing may be rewritten now: the permissive of the controller is absent or stale.
    pub(super) fn permitted(&self, plc: &str) -> Result<(), Refusal> {
        let Some(by) = self.config.plc(plc).and_then(|p| p.permissive.as_ref()) else { return Ok(()) };
        match Permitted::refusal(self.permissives.get(plc), by, self.clock.mono()) {
            None => Ok(()),
            Some(found) => Err(refusal(PERMISSIVE_ABSENT, None, found, permissive_words(by))),
        }
    }

    /// What the permissive of a controller says, where it has one.
    pub(super) fn permissive_row(&self, plc: &str) -> Option<String> {
        self.config.plc(plc)?.permissive.as_ref()?;
        Some(self.permitted(plc).err().map_or("present".into(), |r| format!("absent: {}", r.found)))
    }

    pub(super) fn tell_signals(&self, mail: Mail) {
        if let Some(signals) = &self.signals
            && signals.try_send(mail).is_err()
        {
            tracing::error!("the signals take no mail");
        }
    }

    /// Requests that the signals' thread answers itself; gives back what is not for it.
    pub(super) fn ask_signals(
        &mut self,
        request: Request,
        reply: Sender<Result<Answered, Failure>>,
    ) -> Option<(Request, Sender<Result<Answered, Failure>>)> {
        if self.signals.is_none() {
            return Some((request, reply));
        }
        let mail = match request {
            Request::Signals => Mail::List(Box::new(move |signals, buses| {
                let _ = reply.send(Ok(Answered::Signals { signals, buses }));
            })),
            Request::SignalLearn { signal } => {
                self.note(Audit::Config, &signal, "what is usual of it is learned anew");
                let id = signal.clone();
                Mail::Learn(id, Box::new(move |learns| drop(reply.send(learn_answer(&signal, learns)))))
            }
            other => return Some((other, reply)),
        };
        self.tell_signals(mail);
        None
    }
}

fn permissive_words(by: &Permissive) -> String {
    let values = match by.range {
        (low, high) if high.is_infinite() => format!("at least {low}"),
        (low, high) if low.is_infinite() => format!("at most {high}"),
        (low, high) => format!("{low} to {high}"),
    };
    format!("signal {} {values}, not older than {} s", by.signal, by.max_age.as_secs_f64())
}

fn learn_answer(signal: &str, learns: Learns) -> Result<Answered, Failure> {
    match learns {
        Learns::Anew => {
            let text = format!("{signal} is learned anew; headgate signals list shows how far it is");
            Ok(Answered::Done { text })
        }
        Learns::Nothing => Err(Failure::usage(format!(
            "{signal} is judged by its limits alone (learn = 0): there is nothing to learn anew"
        ))),
        Learns::Unknown => {
            Err(Failure::not_found(format!("no signal or bus {signal:?}; headgate signals list")))
        }
    }
}

/// Whether the signals' thread raises and ends it; the lock after an update is the judge's own.
fn is_of_a_signal(code: ReasonCode) -> bool {
    code != of_signals::CHANGED_AFTER_UPDATE && of_signals::REASONS.iter().any(|r| r.code == code)
}
