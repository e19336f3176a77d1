//! The advisory database that the gateway goes by: brought, kept, and asked for what runs and lies here.
//!
//! Order of a change: the file under the name of its digest; the trust store, which names that digest (and the TPM's
//! counter with it); then the file before goes. After a cut the digest in the trust store says which of the two counts,
//! and whatever else lies there is removed at the next opening of the gate. Invariant: no byte of a database counts
//! that approvers have not signed, and none older than the last one comes back.

use firmware_verifier::advisory::known::{Advisories, Asked};
use firmware_verifier::document::{AdvisoryRelease, Signed};
use firmware_verifier::dsse::Envelope;
use firmware_verifier::trust::{Anchor, InstalledAdvisories, TrustStore};
use firmware_verifier::verdict::Stage;
use firmware_verifier::{AdvisorySource, Digest, PolicyNo, SiteAdvisories, reasons};
use hal::clock::Wall;
use hal::reason::ReasonCode;
use hal::store::Intake;

use super::Judge;
use super::doctor::Check;
use super::failure::Failure;
use super::message::Answered;
use super::mint::rejected;
use super::rows::{AdvisoriesRow, AdvisoryImportRow, AdvisoryRow, AffectedRow, SourceRow};
use super::trust::gate_failure;
use crate::advisories::{DIR, DatabaseIntake, KeptFile, file_name};
use crate::audit::Kind;
use crate::config::Plc;
use crate::state::alarm::Kind as Told;
use crate::state::{case, identity, release};
use crate::vault::{self, Area, ImageDigest};

/// What is gone by, and what people were told of it last.
pub(super) struct Standing {
    source: AdvisorySource,
    told: Option<ReasonCode>,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing { source: AdvisorySource::Absent, told: None }
    }
}

impl Standing {
    /// SHA-256 of the database that is asked; nothing where none is.
    pub(super) fn digest(&self) -> Option<Digest> {
        match &self.source {
            AdvisorySource::Known(advisories) => Some(advisories.digest()),
            AdvisorySource::Absent | AdvisorySource::Unreadable(_) => None,
        }
    }
}

impl Judge {
    /// Opens the database that the trust store names, and removes what a change that was cut off has left.
    pub(super) fn load_advisories(&mut self, trust: &TrustStore) {
        let named = trust.advisories().map(|installed| installed.database);
        self.forget_other_databases(named);
        if named.is_some() && self.advisories.digest() == named {
            return;
        }
        self.advisories.source = match named {
            None => AdvisorySource::Absent,
            Some(database) => match self.open_database(database) {
                Ok(advisories) => AdvisorySource::Known(advisories),
                Err(e) => {
                    let found = format!("the advisory database {database}: {}", e.text);
                    tracing::error!("{found}");
                    AdvisorySource::Unreadable(found)
                }
            },
        };
    }

    /// Shows what a database brings, and with `yes` goes by it.
    pub(super) fn advisories_import(
        &mut self,
        document: &str,
        intake: DatabaseIntake,
        yes: bool,
    ) -> Result<Answered, Failure> {
        self.gate_open().map_err(gate_failure)?;
        let (file, digest) = intake.finish();
        let brought = self.brought(document, digest).map_err(|f| self.not_imported(f, digest))?;
        let before = self.trust().map_err(gate_failure)?.advisories().copied();
        let advisories = self.put_in_place(&brought, (file, digest), yes);
        let advisories = advisories.map_err(|f| self.not_imported(f, digest))?;
        let affected = self.affected(&AdvisorySource::Known(advisories.clone()));
        let (now, signers) = (self.now(), brought.signers());
        let signed_by: Vec<String> = signers.iter().map(Anchor::to_string).collect();
        if yes {
            let text = format!(
                "advisories of {} imported, signed by {}; {} affected here",
                advisories.current(),
                signed_by.join(" and "),
                affected.len()
            );
            self.note_with(Kind::Trust, SUBJECT, &text, None, Some(*digest.as_bytes()));
            self.note_affected(&affected);
        }
        Ok(Answered::AdvisoryImport(Box::new(AdvisoryImportRow {
            applied: yes,
            brought: row(&InstalledAdvisories::from(&brought), Some(&advisories), now),
            signed_by,
            installed: before.map(|before| row(&before, None, now)),
            affected,
        })))
    }

    /// The approvers' leave to go by this very file.
    fn brought(&self, document: &str, digest: Digest) -> Result<Signed<AdvisoryRelease>, Failure> {
        let envelope = Envelope::parse(document.as_bytes())
            .map_err(|e| Failure::new(reasons::DOCUMENT_UNREADABLE, e.to_string()))?;
        let trust = self.trust().map_err(gate_failure)?;
        let signed = Signed::<AdvisoryRelease>::open(&envelope, trust, &self.config.name, self.now())
            .map_err(|e| Failure::new(e.code(), e.to_string()))?;
        let stated = signed.content().current.wall();
        signed.content().is_of(digest, stated).map_err(|r| rejected(&r))?;
        Ok(signed)
    }

    /// Keeps the file, checks what it says of itself, and with `yes` has the trust store name it.
    fn put_in_place(
        &mut self,
        signed: &Signed<AdvisoryRelease>,
        (file, digest): (Intake, Digest),
        yes: bool,
    ) -> Result<Advisories, Failure> {
        let mut trust = self.trust_copy()?;
        let before = trust.advisories().copied();
        let is_same = before == Some(InstalledAdvisories::from(signed));
        if !is_same {
            trust.install_advisories(signed).map_err(|e| Failure::new(e.code(), e.to_string()))?;
        }
        file.commit(&format!("{DIR}/{}", file_name(&digest)))?;
        let opened = self.open_database(digest).and_then(|advisories| {
            let is_of = signed.content().is_of(digest, advisories.current());
            is_of.map(|()| advisories).map_err(|r| rejected(&r))
        });
        if opened.is_err() || !yes {
            // Nothing names it; what is open stays so.
            self.forget_other_databases(before.map(|before| before.database));
            return opened;
        }
        let advisories = opened?;
        if !is_same {
            // Whatever stops this, the file stays: the trust store on the disk may name it already.
            self.write_trust(trust)?;
        }
        self.advisories.source = AdvisorySource::Known(advisories.clone());
        self.forget_other_databases(Some(digest));
        Ok(advisories)
    }

    fn open_database(&self, database: Digest) -> Result<Advisories, Failure> {
        let unreadable = |text: String| Failure::new(reasons::ADVISORY_DATABASE_UNREADABLE, text);
        let name = format!("{DIR}/{}", file_name(&database));
        let file = self.store.open_file(&name).map_err(|e| unreadable(e.to_string()))?;
        let file = file.ok_or_else(|| unreadable(format!("{name} is gone; import it again")))?;
        let (kept, found) = KeptFile::open(file).map_err(|e| unreadable(e.to_string()))?;
        if found != database {
            return Err(unreadable(format!("{name} was altered: it is {found}; import it again")));
        }
        Advisories::open(Box::new(kept), database).map_err(|e| unreadable(e.to_string()))
    }

    /// Removes every database but this one. What cannot be removed now is at the next time.
    fn forget_other_databases(&self, named: Option<Digest>) {
        let keep = named.as_ref().map(file_name);
        let others = self.store.list(DIR).unwrap_or_default().into_iter().map(|entry| entry.file);
        for file in others.filter(|file| Some(file) != keep.as_ref()) {
            if let Err(e) = self.store.remove(&format!("{DIR}/{file}")) {
                tracing::warn!(error = %e, file, "an advisory database that counts no more stays");
            }
        }
    }

    /// A refused database goes into the log.
    fn not_imported(&mut self, failure: Failure, digest: Digest) -> Failure {
        let text = format!("advisory database refused: {}", failure.told().0);
        self.note_with(Kind::Trust, SUBJECT, &text, failure.code, Some(*digest.as_bytes()));
        failure
    }

    /// The database that is gone by, as people ask for it.
    pub(super) fn advisories_show(&self) -> Result<Answered, Failure> {
        let (trust, now) = (self.trust().map_err(gate_failure)?, self.now());
        let (known, unreadable) = match &self.advisories.source {
            AdvisorySource::Known(advisories) => (Some(advisories), None),
            AdvisorySource::Unreadable(why) => (None, Some(why.clone())),
            AdvisorySource::Absent => (None, None),
        };
        let mut stale: Vec<String> = self.config.plcs.iter().filter_map(|plc| self.stale_for(plc)).collect();
        stale.dedup();
        // Anybody who may look asks this: no image is read for it.
        let by_version = |plc: &Plc| self.told_of_version(&self.asking(plc, &self.advisories.source)?, plc);
        Ok(Answered::Advisories(Box::new(AdvisoriesRow {
            installed: trust.advisories().map(|installed| row(installed, known, now)),
            unreadable,
            stale,
            affected: self.config.plcs.iter().filter_map(by_version).collect(),
        })))
    }

    /// What an image for this controller is held against.
    pub(super) fn site_advisories(&self, plc: &Plc) -> SiteAdvisories {
        let crate::config::Advisories { no, required, max_age_days, min_score } = plc.advisories;
        let installed = self.trust().ok().and_then(TrustStore::advisories);
        let until = installed.map(|installed| installed.expires);
        SiteAdvisories {
            source: self.advisories.source.clone(),
            no,
            required,
            until,
            max_age_days,
            min_score,
        }
    }

    fn stale_for(&self, plc: &Plc) -> Option<String> {
        self.site_advisories(plc).stale(self.now())
    }

    /// What is wrong with the database: it cannot be asked, is too old, or is missing where a zone demands one.
    fn wrong_advisories(&self) -> Option<(ReasonCode, String)> {
        let demanding = |plc: &&Plc| plc.advisories.required;
        match &self.advisories.source {
            AdvisorySource::Unreadable(why) => Some((reasons::ADVISORY_DATABASE_UNREADABLE, why.clone())),
            AdvisorySource::Absent => self.config.plcs.iter().find(demanding).map(|plc| {
                let text = format!("the zone of {} demands advisories, and none were imported", plc.slot);
                (reasons::ADVISORIES_MISSING, text)
            }),
            AdvisorySource::Known(_) => {
                let stale = self.config.plcs.iter().filter(demanding).find_map(|plc| self.stale_for(plc));
                stale.map(|text| (reasons::ADVISORIES_STALE, text))
            }
        }
    }

    /// How the database is, for `headgate doctor`; nothing where none is there and none is demanded.
    pub(super) fn advisories_check(&self) -> Option<Check> {
        const ID: &str = "advisories";
        let installed = self.trust().ok()?.advisories();
        match (self.wrong_advisories(), installed) {
            (Some((code, found)), _) => {
                Some(Check::of_code(ID, found, "advisories that can be asked, and are not too old", code))
            }
            (None, Some(installed)) => {
                let InstalledAdvisories { current, expires, .. } = installed;
                Some(Check::ok(ID, format!("advisories of {current}, to go by until {expires}")))
            }
            (None, None) => None,
        }
    }

    /// Tells people once what is wrong with the database.
    pub(super) fn tell_advisories(&mut self) {
        if self.conduits.is_empty() || self.trust().is_err() {
            return; // a command on its own, or a gate that is shut: that is told
        }
        let wrong = self.wrong_advisories();
        let code = wrong.as_ref().map(|(code, _)| *code);
        if code == self.advisories.told {
            return;
        }
        for other in STANDING_CODES.iter().filter(|other| Some(**other) != code) {
            self.clear_alarm(None, *other);
        }
        if let Some((code, text)) = wrong {
            self.raise(None, code, Told::State, &text);
        }
        self.advisories.told = code;
    }

    /// Firmware that runs or is staged here and has a hole by this database, or one that nobody can rule out.
    fn affected(&self, source: &AdvisorySource) -> Vec<AffectedRow> {
        let mut rows = Vec::new();
        for plc in &self.config.plcs {
            let id = plc.slot.as_str();
            let Some(advisories) = self.asking(plc, source) else { continue };
            rows.extend(self.running_by(&advisories, plc));
            let running = self.image_of(id);
            for digest in self.staged_for(id).into_iter().filter(|digest| Some(*digest) != running) {
                rows.extend(self.told_of(&advisories, plc, "staged", &digest));
            }
        }
        rows
    }

    /// The same question for a controller, whatever its zone makes of the answer: here it is only told.
    fn asking(&self, plc: &Plc, source: &AdvisorySource) -> Option<SiteAdvisories> {
        let known = matches!(source, AdvisorySource::Known(_));
        known.then(|| SiteAdvisories {
            source: source.clone(),
            no: PolicyNo::Reject,
            ..self.site_advisories(plc)
        })
    }

    /// What is told of what a controller runs: by the image that it took last, else by its version.
    fn running_by(&self, advisories: &SiteAdvisories, plc: &Plc) -> Option<AffectedRow> {
        let image = self.image_of(plc.slot.as_str());
        let by_image = image.and_then(|digest| self.told_of(advisories, plc, "runs", &digest));
        by_image.or_else(|| self.told_of_version(advisories, plc))
    }

    /// The image that a controller took last.
    fn image_of(&self, plc: &str) -> Option<ImageDigest> {
        let number = case::last_done(&self.db.rows(), plc).ok().flatten()?;
        case::get(&self.db.rows(), number).ok().flatten()?.digest
    }

    /// Images that were staged or released for a controller.
    fn staged_for(&self, plc: &str) -> Vec<ImageDigest> {
        let released = release::list(&self.db.rows()).unwrap_or_default();
        let is_released = |digest| released.iter().any(|r| r.plc == plc && r.digest == digest);
        let staged = self.vault.list(Area::Vault).into_iter().filter(|stored| {
            let for_it = stored.sidecar.as_ref().is_ok_and(|s| s.plc.as_deref() == Some(plc));
            for_it || is_released(stored.digest)
        });
        staged.map(|stored| stored.digest).collect()
    }

    /// What the stage says of an image of the vault: it walks the gauntlet, as at each use.
    fn told_of(
        &self,
        advisories: &SiteAdvisories,
        plc: &Plc,
        what: &str,
        digest: &ImageDigest,
    ) -> Option<AffectedRow> {
        let id = plc.slot.as_str();
        let (mut image, sidecar) =
            (self.vault.image(digest).ok()?, self.vault.sidecar(Area::Vault, digest).ok()?);
        if sidecar.program {
            return None; // no firmware, and no version of a product
        }
        let papers = (&sidecar, None);
        let verdict =
            self.run_gauntlet_by(Some(advisories.clone()), id, papers, &mut image, self.now()).ok()?;
        let told = verdict.evidence().iter().find(|e| e.stage == Stage::Vulnerabilities)?;
        Some(AffectedRow {
            plc: id.to_owned(),
            what: what.to_owned(),
            image: Some(vault::hex(digest)),
            version: sidecar.version,
            code: told.code.filter(|code| AFFECTED_CODES.contains(code))?,
            text: told.found.clone(),
        })
    }

    /// What is said of the version that a controller took last, or that it says it runs.
    fn told_of_version(&self, advisories: &SiteAdvisories, plc: &Plc) -> Option<AffectedRow> {
        let id = plc.slot.as_str();
        let read = identity::get(&self.db.rows(), id).ok().flatten();
        // What was changed behind the gate is no longer what was let through.
        let is_ours = read.as_ref().is_none_or(|read| read.changed.is_none());
        let accepted = self.accepted_version(id, &plc.product).ok().flatten().filter(|_| is_ours);
        let version = accepted.or_else(|| Some(read?.identity.revision)).filter(|text| !text.is_empty())?;
        let versions = [version.as_str()];
        let asked =
            Asked { product: &plc.product, versions: &versions, scheme: plc.version_scheme, components: &[] };
        let (code, text) = match advisories.against(&asked) {
            Ok(told) => told?,
            Err(e) => (e.code(), e.to_string()),
        };
        let (plc, what, image) = (id.to_owned(), "runs".to_owned(), None);
        Some(AffectedRow { plc, what, image, version: Some(version), code, text })
    }

    /// A controller has taken another image: whether that has a hole is known by now.
    pub(super) fn tell_affected(&mut self, id: &str) {
        let Ok(plc) = self.plc(id).cloned() else { return };
        let advisories = self.asking(&plc, &self.advisories.source);
        let row = advisories.and_then(|advisories| self.running_by(&advisories, &plc));
        self.alarm_affected(id, row.as_slice());
    }

    /// An alarm for each controller that runs firmware with a hole; it ends when it does not any more.
    fn alarm_affected(&mut self, id: &str, rows: &[AffectedRow]) {
        let told = rows.iter().find(|row| row.plc == id && row.what == "runs");
        for code in [reasons::KNOWN_EXPLOITED, reasons::AFFECTED] {
            match told.filter(|row| row.code == code) {
                Some(row) => {
                    let version = row.version.as_deref().unwrap_or("of unknown version");
                    let text = format!("runs firmware {version}: {}", row.text);
                    self.raise(Some(id), code, Told::State, &text);
                }
                None => self.clear_alarm(Some(id), code),
            }
        }
    }

    fn note_affected(&mut self, rows: &[AffectedRow]) {
        for row in rows {
            let text = format!("{}: {}", words(row), row.text);
            self.note_with(Kind::Verdict, &row.plc, &text, Some(row.code), None);
        }
        let config = self.config.clone();
        config.plcs.iter().for_each(|plc| self.alarm_affected(plc.slot.as_str(), rows));
    }
}

/// What is affected, in words.
pub(crate) fn words(row: &AffectedRow) -> String {
    let version = row.version.as_deref().unwrap_or("of unknown version");
    let image = row.image.as_ref().map_or(String::new(), |image| format!(" (sha256:{image})"));
    match row.what.as_str() {
        "runs" => format!("{} runs {version}{image}", row.plc),
        _ => format!("staged for {}: {version}{image}", row.plc),
    }
}

fn row(installed: &InstalledAdvisories, known: Option<&Advisories>, now: Wall) -> AdvisoryRow {
    let sources = known.and_then(|known| known.database().sources().ok()).unwrap_or_default();
    AdvisoryRow {
        digest: installed.database.to_hex(),
        current: installed.current,
        age_days: (now.ms - installed.current.ms).div_euclid(86_400_000),
        expires: installed.expires,
        holes: known.map(|known| known.database().entries()),
        sources: sources
            .into_iter()
            .map(|s| SourceRow { name: s.name, count: s.count, newest: s.newest })
            .collect(),
        left_out: known.map_or(0, |known| known.database().left_out()),
    }
}

/// The subject of what the audit log says.
const SUBJECT: &str = "advisories";
/// What may be wrong with the database itself.
const STANDING_CODES: [ReasonCode; 3] =
    [reasons::ADVISORY_DATABASE_UNREADABLE, reasons::ADVISORIES_MISSING, reasons::ADVISORIES_STALE];
/// What may be wrong with an image because of it.
const AFFECTED_CODES: [ReasonCode; 3] =
    [reasons::KNOWN_EXPLOITED, reasons::AFFECTED, reasons::CANNOT_TELL_AFFECTED];
