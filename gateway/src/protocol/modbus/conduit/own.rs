//! The conduit's own requests: deliveries, aborts and the identity poll, as the engine and time ask for.

use std::time::Duration;

use hal::clock::Mono;

use super::{Conduit, Event, identity};
use crate::protocol::modbus::deliver::{Delivery, Next};
use crate::protocol::modbus::link::From;
use crate::protocol::modbus::pdu;
use crate::protocol::modbus::profile::Role;
use crate::reasons as why;
use crate::transfer::engine;
use crate::transfer::event::{CaseId, Outcome, Question, Refusal};

impl Conduit {
    pub(super) fn carry_out(&mut self, past: bool, now: Mono) {
        for event in self.engine.take_events() {
            match event {
                engine::Event::Ask(id, question) => {
                    if let Question::Commit { case, .. } = &question {
                        self.poll.committing = Some(*case);
                    }
                    self.events.push(Event::Ask(id, question));
                }
                engine::Event::Deliver(case, released) => {
                    if let Some(update) = &self.update {
                        self.poll.delivery_wake = Some(now);
                        self.poll.asked_no_return = false;
                        self.delivery = Some((case, Delivery::new(update.profile().clone(), released, past)));
                    }
                }
                engine::Event::GoOn => {
                    if let Some((_, delivery)) = &mut self.delivery {
                        delivery.go_on();
                        self.poll.asked_no_return = false;
                    }
                }
                engine::Event::AbortController => self.queue_abort(),
                engine::Event::GiveUp(refusal) => {
                    self.delivery = None;
                    self.queue_abort();
                    self.engine.delivery_ended(Outcome::Refused(refusal));
                }
                engine::Event::Refused(station, refusal) => {
                    let Refusal { code, found, expected, .. } = refusal;
                    self.reports.refused(station, code, || (found, expected));
                }
            }
        }
    }

    pub(super) fn drive_delivery(&mut self, now: Mono) {
        let Some((case, delivery)) = &mut self.delivery else { return };
        if self.link.is_waiting(From::Delivery) || self.poll.asked_no_return {
            self.poll.delivery_wake = None;
            return;
        }
        if !self.link.up {
            self.poll.delivery_wake = (!delivery.is_past()).then_some(self.link.since + CONNECT_PATIENCE);
            if !delivery.is_past() && now.since(self.link.since) >= CONNECT_PATIENCE {
                let why = "the controller cannot be reached".to_string();
                let case = *case;
                self.delivery_failed(case, why);
            }
            return;
        }
        self.poll.delivery_wake = None;
        let case = *case;
        match delivery.next(now) {
            Next::Send(pdu) => {
                let limit = delivery.limit().max(self.settings.reply);
                self.link.send(self.settings.unit, &pdu, now + limit, From::Delivery)
            }
            Next::Wait(until) => self.poll.delivery_wake = Some(until),
            Next::PastNoReturn => {
                self.poll.asked_no_return = true;
                self.engine.at_no_return(now);
            }
            Next::Finished => {
                self.delivery = None;
                let boot = self.update.as_ref().map_or(Duration::ZERO, |u| u.profile().timing.boot);
                self.poll.after(case, now, boot, true);
                self.engine.delivery_ended(Outcome::Delivered);
            }
            Next::Failed(why) => self.delivery_failed(case, why),
        }
    }

    fn delivery_failed(&mut self, case: CaseId, found: String) {
        let past = self.delivery.take().is_some_and(|(_, d)| d.is_past());
        if !past {
            self.queue_abort();
        }
        let code = if past { why::DELIVERY_UNCONFIRMED } else { why::CONTROLLER_REFUSED };
        let expected = "the controller to take the image".into();
        self.engine.delivery_ended(Outcome::Refused(Refusal { code, case: Some(case), found, expected }));
    }

    fn queue_abort(&mut self) {
        let Some(update) = self.update.as_ref().filter(|_| self.link.up) else { return };
        let steps = update.profile().steps(Role::Abort);
        self.abort_steps = steps.map(|s| pdu::write_request(s.register, &s.words(0, 0, 0))).collect();
    }

    pub(super) fn send_aborts(&mut self, now: Mono) {
        while self.link.up
            && let Some(pdu) = self.abort_steps.pop_front()
        {
            self.link.send(self.settings.unit, &pdu, now + self.settings.reply, From::Abort);
        }
    }

    pub(super) fn send_poll(&mut self, now: Mono) {
        if !self.poll.is_due(now) {
            return;
        }
        let quiet = self.engine.case().is_none() && self.delivery.is_none();
        let Some(profile) = self.update.as_ref().map(|u| u.profile().clone()) else { return };
        if quiet && self.link.up && !self.link.is_waiting(From::Poll) {
            let pdu = identity::request(&profile);
            self.link.send(self.settings.unit, &pdu, now + self.settings.reply, From::Poll);
            self.poll.sent(now);
        } else {
            self.poll.put_off(now);
        }
    }

    pub(super) fn send_watched(&mut self, now: Mono) {
        if self.registers.due().is_none_or(|due| due > now) {
            return;
        }
        let quiet = self.engine.case().is_none() && self.delivery.is_none();
        if !quiet || !self.link.up {
            return self.registers.put_off(now);
        }
        if self.link.is_waiting(From::Watched) {
            return; // its reply, or its absence, comes back here
        }
        if let Some(pdu) = self.registers.request(now) {
            self.link.send(self.settings.unit, &pdu, now + self.settings.reply, From::Watched);
        }
    }
}

/// How long a delivery that has destroyed nothing waits for the controller.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
