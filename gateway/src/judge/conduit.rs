//! Answers to the conduits: what may pass, what is delivered, how each case goes on.

use firmware_verifier::document::Action;
use hal::clock::Wall;
use hal::reason::ReasonCode;

use super::{Judge, OURSELVES, refusal};
use crate::protocol::modbus::conduit::Report;
use crate::proxy::pump::{Command, News};
use crate::reasons as why;
use crate::state::alarm::Kind as Told;
use crate::state::case::{self, CaseNumber, CaseState};
use crate::state::delivery::{self, Phase};
use crate::state::learned::{self, Access, LEARNED_LIMIT, Learned};
use crate::state::{StateError, Tx};
use crate::state::{receipt, release};
use crate::transfer::engine::Way;
use crate::transfer::event::{Answer, CaseId, Outcome, Question, Refusal, Station};

impl Judge {
    /// Takes in one piece of news of conduit `number`.
    pub(super) fn news(&mut self, number: usize, news: News) {
        let Some(conduit) = self.conduits.get_mut(number) else { return };
        let plc = self.config.plcs[conduit.plc].slot.as_str().to_string();
        match news {
            News::Ask(id, question) => {
                if let Some(answer) = self.answer(&plc, question) {
                    self.command(number, Command::Answer(id, answer));
                }
            }
            News::Refused(reports) => reports.iter().for_each(|r| self.refused(&plc, r)),
            News::Identity(case, says) => self.identity(&plc, case, says),
            News::Habits(habits) => self.learn(&plc, habits),
            News::Controller(up) => self.controller(number, &plc, up),
            News::NotDelivered(case, refusal) => self.not_delivered(&plc, case, refusal),
            News::Register(..) => {} // for the signals, and taken out on the way
            News::Progress(case, done, len) => {
                self.progress.insert(plc, (case, done, len));
            }
        }
    }

    pub(super) fn command(&self, number: usize, command: Command) {
        if let Some(conduit) = self.conduits.get(number)
            && conduit.commands.try_send(command).is_err()
        {
            tracing::error!(conduit = number, "the conduit takes no commands");
        }
    }

    fn answer(&mut self, plc: &str, question: Question) -> Option<Answer> {
        let refused = |r: Refusal| Answer::Refused(r);
        Some(match question {
            Question::Open { station, declared, observe } => {
                self.opened(plc, station, declared, observe).unwrap_or_else(refused)
            }
            Question::Commit { case, digest } => {
                let taken = self.commit(plc, case, digest.as_bytes());
                taken.map(|()| Answer::Commit).unwrap_or_else(|r| refused(with_case(r, case)))
            }
            Question::Judge { case, image, observe } => {
                self.judge_image(plc, case, &image, observe).unwrap_or_else(refused)
            }
            Question::Start { case, digest } => {
                self.recorded(case, |judge| judge.start(plc, case, digest.as_bytes()))
            }
            Question::PastNoReturn { case } => self.recorded(case, |judge| judge.past_no_return(case)),
            Question::End { case, outcome, image } => {
                self.ended(plc, case, outcome, image);
                return None;
            }
        })
    }

    fn opened(
        &mut self,
        plc: &str,
        station: Station,
        declared: Option<u64>,
        observe: bool,
    ) -> Result<Answer, Refusal> {
        let released = self.deliverable(plc, station);
        let way = self.way_of(plc);
        // A staged image may be gathered without a release: it ends in quarantine with its verdict. A
        // matched one has nothing to be compared with.
        let released = match released {
            Ok(released) => released,
            Err(r) if (way == Way::Stage || observe) && WORKFLOW.contains(&r.code) => Vec::new(),
            Err(_) if way == Way::Stage && self.in_force(plc, Action::PassUnverified).is_some() => Vec::new(),
            Err(_) if observe => Vec::new(),
            Err(r) => {
                let case = self.open_case(plc, station, None);
                let r = Refusal { case: case.as_ref().ok().copied(), ..r };
                if let Ok(case) = case {
                    self.end_case(plc, case, CaseState::Refused, Some(r.code), &r.to_string());
                }
                return Err(r);
            }
        };
        let case = self.open_case(plc, station, declared).map_err(|e| state_refusal(&e))?;
        Ok(Answer::Opened { case, released })
    }

    /// `match`: the whole image has landed. Everything is checked once more, then the release is used up.
    fn commit(&mut self, plc: &str, case: CaseId, digest: &[u8; 32]) -> Result<(), Refusal> {
        let released = self.still_released(plc, case, digest)?;
        let known = self.let_through(plc, &released);
        self.note_unverified(plc, case, &released);
        let (now, number) = (self.now(), number(case));
        let backing = released.warrant.backing();
        let text = format!("every byte equals the released image, {backing}; the commit passes");
        let used = self.db.write("use a release", |tx| {
            release::consume_use(tx, digest, plc, number)?;
            receipt::gather(tx, number, &known)?;
            case::settle(tx, number, CaseState::Delivering, None)?;
            case::tell(tx, number, now, &text)
        });
        used.map_err(|e| state_refusal(&e))
    }

    /// The release of this image for this case's station, with a fresh proof.
    fn still_released(
        &mut self,
        plc: &str,
        case: CaseId,
        digest: &[u8; 32],
    ) -> Result<crate::transfer::image::Released, Refusal> {
        let row = case::get(&self.db.rows(), number(case)).map_err(|e| state_refusal(&e))?;
        let station = row.and_then(|c| c.station.parse().ok()).map(Station);
        let station = station
            .ok_or_else(|| refusal(why::STATE_DAMAGED, Some(case), "a case without a station", "one"))?;
        let released = self.deliverable(plc, station)?;
        let wanted = |r: &crate::transfer::image::Released| r.warrant.digest().as_bytes() == digest;
        released.into_iter().find(wanted).ok_or_else(|| {
            refusal(
                why::NOT_RELEASED,
                Some(case),
                format!("image sha256:{}", crate::vault::hex(digest)),
                "a released image",
            )
        })
    }

    /// `stage`: the whole image is here.
    fn judge_image(
        &mut self,
        plc: &str,
        case: CaseId,
        image: &[u8],
        observe: bool,
    ) -> Result<Answer, Refusal> {
        let digest = *firmware_verifier::Digest::of(image).as_bytes();
        let text = format!("{} bytes received, sha256:{}", image.len(), crate::vault::hex(&digest));
        self.tell_case(case, &text);
        let verdict = self.still_released(plc, case, &digest);
        let verdict = match verdict {
            Err(r) if !observe => self.keep_unverified(plc, case, image, r),
            verdict => verdict,
        };
        let verdict = verdict.map_err(|r| Refusal { case: Some(case), ..r });
        if observe {
            self.observed(plc, case, verdict.err());
            return Ok(Answer::Recorded);
        }
        match verdict {
            Ok(released) => {
                self.settle(case, CaseState::Ready, None, &released.warrant.words());
                self.note_unverified(plc, case, &released);
                let known = self.let_through(plc, &released);
                let named = self.db.write("name a case's image", |tx| {
                    case::set_digest(tx, number(case), &digest)?;
                    receipt::gather(tx, number(case), &known)
                });
                self.log(named);
                Ok(Answer::Deliver(released))
            }
            Err(r) => {
                self.keep_refused(case, r.code, image);
                Err(r)
            }
        }
    }

    fn recorded(&mut self, case: CaseId, write: impl FnOnce(&mut Judge) -> Result<(), StateError>) -> Answer {
        match write(self) {
            Ok(()) => Answer::Recorded,
            Err(e) => Answer::Refused(with_case(state_refusal(&e), case)),
        }
    }

    /// Delivery begins: one use is gone and the record that survives a crash is there, both or neither.
    pub(super) fn start(&mut self, plc: &str, case: CaseId, digest: &[u8; 32]) -> Result<(), StateError> {
        let (now, number) = (self.now(), number(case));
        self.db.write("begin a delivery", |tx| {
            supersede(tx, plc, number, now)?;
            release::consume_use(tx, digest, plc, number)?;
            delivery::begin(tx, number, plc, digest, now)?;
            case::settle(tx, number, CaseState::Delivering, None)?;
            case::tell(tx, number, now, "delivery begins")
        })?;
        // It runs from now on: a controller that restarts into its bootloader is no reason to resume it.
        self.progress.insert(plc.to_string(), (case, 0, 0));
        self.receipts_are_due(); // one that gave way
        Ok(())
    }

    /// No alarm: this is how an update goes. An interruption from here on is one.
    pub(super) fn past_no_return(&mut self, case: CaseId) -> Result<(), StateError> {
        let (now, number) = (self.now(), number(case));
        self.db.write_with_reserve("record the point of no return", |tx| {
            delivery::advance(tx, number, Phase::PastNoReturn, now)?;
            case::tell(tx, number, now, "past the point of no return: delivery is finished whatever happens")
        })
    }

    fn ended(&mut self, plc: &str, case: CaseId, outcome: Outcome, image: Option<Vec<u8>>) {
        self.progress.remove(plc);
        match outcome {
            Outcome::Delivered => {
                let (now, number) = (self.now(), number(case));
                let written =
                    self.db.write_with_reserve("record a delivery", |tx| taken(tx, plc, number, now));
                self.log(written);
                self.receipts_are_due(); // one that gave way
                self.open_soak(plc, case);
            }
            Outcome::Ready(text) => {
                let row = case::get(&self.db.rows(), number(case)).ok().flatten();
                let digest = row.and_then(|r| r.digest).map(|d| crate::vault::hex(&d)).unwrap_or_default();
                let text = format!("{text}; deliver it with: headgate deliver {digest} --plc {plc}");
                self.abandon(case);
                self.settle(case, CaseState::Ready, None, &text);
            }
            Outcome::Refused(r) => {
                if let Some(image) = image {
                    self.keep_refused(case, r.code, &image);
                }
                self.refuse_case(plc, case, &r);
            }
            Outcome::Aborted(reason) => {
                self.abandon(case);
                self.end_case(plc, case, CaseState::Aborted, None, &reason.to_string());
            }
        }
    }

    fn refuse_case(&mut self, plc: &str, case: CaseId, r: &Refusal) {
        if self.is_past(case) {
            // The old firmware is gone and the controller refuses the new one: a person must look.
            self.tell_case(case, &format!("delivery stopped: {r}"));
            self.raise(Some(plc), why::DELIVERY_UNCONFIRMED, Told::Latched, &format!("{case}: {r}"));
        } else {
            self.abandon(case);
            self.end_case(plc, case, CaseState::Refused, Some(r.code), &r.to_string());
            let row = case::get(&self.db.rows(), number(case)).ok().flatten();
            // A station is told itself; who asked for a delivery by command has gone.
            if row.is_some_and(|row| row.station == OURSELVES) {
                self.raise(Some(plc), r.code, Told::Event, &format!("{case}: {r}"));
            }
        }
    }

    /// Whether the old firmware of the case's controller may be gone and the new one is not there yet.
    fn is_past(&self, case: CaseId) -> bool {
        let open = delivery::get(&self.db.rows(), number(case)).ok().flatten();
        open.is_some_and(|d| d.phase == Phase::PastNoReturn)
    }

    fn not_delivered(&mut self, plc: &str, case: CaseId, r: Refusal) {
        self.progress.remove(plc);
        if self.is_past(case) {
            // It is owed: the next connection of the controller, or a proof of the boot state, tries again.
            self.tell_case(case, &format!("delivery could not go on: {r}"));
            return self.raise(Some(plc), why::DELIVERY_UNCONFIRMED, Told::Latched, &format!("{case}: {r}"));
        }
        self.abandon(case);
        self.settle(case, CaseState::Ready, Some(r.code), &format!("not delivered: {r}"));
        self.raise(Some(plc), r.code, Told::Event, &r.to_string());
    }

    /// Counted refusals of one station: one alarm for each cause.
    fn refused(&mut self, plc: &str, report: &Report) {
        let passed =
            if self.config.plc(plc).is_some_and(|p| p.enforce) { "" } else { "observed only, passed: " };
        let text =
            format!("{passed}{}: found {}, expected {}", report.station, report.found, report.expected);
        self.raise_counted(Some(plc), report.code, Told::Event, &text, report.count);
    }

    fn learn(&mut self, plc: &str, habits: Vec<(crate::shield::learn::Habit, u64)>) {
        let now = self.now();
        let row = |(h, seen): (crate::shield::learn::Habit, u64)| Learned {
            access: Access {
                plc: plc.into(),
                unit: h.unit,
                function: h.function,
                start: h.span.start,
                count: h.span.end - h.span.start,
                station: h.station.to_string(),
            },
            seen,
            last: now,
        };
        let batch: Vec<Learned> = habits.into_iter().map(row).collect();
        let merged =
            self.db.write("keep what was learned", |tx| learned::merge_batch(tx, &batch, LEARNED_LIMIT));
        self.log(merged.map(drop));
    }

    fn abandon(&mut self, case: CaseId) {
        let before = delivery::get(&self.db.rows(), number(case)).ok().flatten();
        if before.is_some_and(|d| d.phase == Phase::BeforeNoReturn) {
            let gone = self.db.write("abandon a delivery", |tx| delivery::abandon(tx, number(case)));
            self.log(gone);
        }
    }

    pub(super) fn log(&self, outcome: Result<(), StateError>) {
        if let Err(e) = outcome {
            tracing::error!(error = %e, "the state could not be written");
        }
    }

    pub(super) fn way_of(&self, plc: &str) -> Way {
        let routes = self.config.plc(plc).map(|p| p.routes.as_slice()).unwrap_or_default();
        routes.iter().find_map(|r| r.update.as_ref().map(|(way, _)| *way)).unwrap_or(Way::Stage)
    }
}

/// The controller has taken the image. From here on the record of the delivery, which a matched image has
/// not had so far, says that only the reading back is left, whatever happens to this process.
fn taken(tx: &Tx<'_>, plc: &str, case: CaseNumber, now: Wall) -> Result<(), StateError> {
    let row = case::get(tx, case)?;
    if row.as_ref().is_none_or(|row| row.state != CaseState::Delivering) {
        return Ok(()); // only observed
    }
    if delivery::get(tx, case)?.is_none()
        && let Some(digest) = row.and_then(|row| row.digest)
    {
        supersede(tx, plc, case, now)?;
        delivery::begin(tx, case, plc, &digest, now)?;
    }
    delivery::advance(tx, case, Phase::Delivered, now)?;
    case::tell(tx, case, now, "the controller has taken the image; its identity is read back")
}

/// A delivery past its point of no return that stopped gives way to another verified image: the controller
/// needs one that it takes.
fn supersede(tx: &Tx<'_>, plc: &str, by: CaseNumber, now: Wall) -> Result<(), StateError> {
    let open = delivery::open_deliveries(tx)?;
    let Some(old) = open.iter().find(|d| d.plc == plc && d.case != by && d.phase >= Phase::PastNoReturn)
    else {
        return Ok(());
    };
    delivery::advance(tx, old.case, Phase::Confirmed, now)?;
    if old.phase == Phase::Delivered {
        super::receipt::landed(tx, old.case, None, now)?;
        case::tell(tx, old.case, now, &format!("taken; {by} came before its identity was read back"))?;
        return case::settle(tx, old.case, CaseState::Done, None);
    }
    case::tell(tx, old.case, now, &format!("given up for {by}, which brings another image"))?;
    case::settle(tx, old.case, CaseState::Refused, Some(why::DELIVERY_UNCONFIRMED))
}

pub(super) fn number(case: CaseId) -> CaseNumber {
    CaseNumber::from_u64(case.0)
}

fn with_case(refusal: Refusal, case: CaseId) -> Refusal {
    Refusal { case: Some(case), ..refusal }
}

fn state_refusal(e: &StateError) -> Refusal {
    let code = match e {
        e if e.is_full() => why::DISK_FULL,
        StateError::UsedUp { .. } => why::USED_UP,
        StateError::NoRelease { .. } => why::NOT_RELEASED,
        StateError::Busy { .. } => why::TRANSFER_BUSY,
        _ => why::STATE_DAMAGED,
    };
    refusal(code, None, e.to_string(), "a state that can be written")
}

/// Reasons that a person can still mend after the image has arrived.
const WORKFLOW: &[ReasonCode] = &[
    why::NOTHING_RELEASED,
    why::OUTSIDE_WINDOW,
    why::STATION_NOT_NAMED,
    why::USED_UP,
    why::NOT_RELEASED,
    why::HELD,
    why::APPROVAL_REFUSED,
];
