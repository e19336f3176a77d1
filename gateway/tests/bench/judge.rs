//! A tiny judge: real proofs, a durable record of deliveries, and the manners a history asks for.

use std::sync::Arc;

use firmware_verifier::Digest;
use gateway::reasons;
use gateway::transfer::event::{Answer, CaseId, Outcome, Question, Refusal};

use super::images::Build;
use super::plan::JudgeManner;
use super::random::Random;

/// A delivery on record.
#[derive(Debug, Clone)]
pub struct Record {
    pub case: CaseId,
    pub build: Arc<Build>,
    pub past: bool,
}

#[derive(Debug)]
pub struct Judge {
    pub released: Vec<Arc<Build>>,
    pub manner: JudgeManner,
    /// Survives a power cut of the gateway.
    pub record: Option<Record>,
    pub open: Vec<CaseId>,
    pub delivered: u64,
    pub ready: u64,
    /// Whole known builds gathered while only watching.
    pub watched: u64,
    /// What the last transfer that ended well has put there.
    pub installed: Option<Arc<Build>>,
    committing: Option<(CaseId, Digest)>,
    next_case: u64,
}

impl Judge {
    pub fn new(released: Vec<Arc<Build>>, manner: JudgeManner) -> Judge {
        Judge {
            released,
            manner,
            record: None,
            open: Vec::new(),
            delivered: 0,
            ready: 0,
            watched: 0,
            installed: None,
            committing: None,
            next_case: 1,
        }
    }

    pub fn new_case(&mut self) -> CaseId {
        self.next_case += 1;
        CaseId(self.next_case)
    }

    /// The answer and how long it takes in milliseconds; `None`: there is none.
    pub fn ask(&mut self, question: Question, random: &mut Random) -> Option<(u64, Answer)> {
        let silent = random.chance(self.manner.mute);
        let refused = random.chance(self.manner.refuses);
        let answer = match question {
            Question::End { case, outcome, .. } => {
                self.end(case, &outcome);
                return None;
            }
            // What goes on record is written before the answer is lost.
            Question::Start { case, digest } => {
                if !refused && let Some(build) = self.find(digest) {
                    self.record = Some(Record { case, build, past: false });
                    Answer::Recorded
                } else {
                    refusal(Some(case))
                }
            }
            Question::PastNoReturn { case } => {
                if refused {
                    refusal(Some(case))
                } else {
                    if let Some(record) = self.record.as_mut().filter(|r| r.case == case) {
                        record.past = true;
                    }
                    Answer::Recorded
                }
            }
            _ if refused => refusal(None),
            Question::Open { .. } => {
                let case = self.new_case();
                if !silent {
                    self.open.push(case);
                }
                Answer::Opened { case, released: self.released.iter().map(Build::release).collect() }
            }
            Question::Commit { case, digest } if self.open.contains(&case) => {
                self.committing = Some((case, digest));
                Answer::Commit
            }
            Question::Commit { case, .. } => refusal(Some(case)),
            Question::Judge { case, image, observe } => match self.find(Digest::of(&image)) {
                Some(build) => {
                    self.watched += u64::from(observe);
                    self.open.retain(|c| !observe || *c != case);
                    Answer::Deliver(build.release())
                }
                None => refusal(Some(case)),
            },
        };
        (!silent).then(|| (random.below(self.manner.slow_ms), answer))
    }

    fn end(&mut self, case: CaseId, outcome: &Outcome) {
        self.open.retain(|c| *c != case);
        if *outcome == Outcome::Delivered {
            let committed = self.committing.filter(|c| c.0 == case).and_then(|c| self.find(c.1));
            let record = self.record.as_ref().filter(|r| r.case == case).map(|r| r.build.clone());
            self.installed = committed.or(record);
        }
        self.delivered += u64::from(*outcome == Outcome::Delivered);
        self.ready += u64::from(matches!(outcome, Outcome::Ready(_)));
        let unconfirmed = matches!(outcome, Outcome::Refused(r) if r.code == reasons::DELIVERY_UNCONFIRMED);
        if !unconfirmed && self.record.as_ref().is_some_and(|r| r.case == case) {
            self.record = None;
        }
    }

    fn find(&self, digest: Digest) -> Option<Arc<Build>> {
        self.released.iter().find(|b| b.digest == digest).cloned()
    }
}

fn refusal(case: Option<CaseId>) -> Answer {
    Answer::Refused(Refusal {
        code: reasons::NOT_RELEASED,
        case,
        found: "the manner of this history".into(),
        expected: "another day".into(),
    })
}
