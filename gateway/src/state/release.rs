//! Table `releases`: which image may go into which controller, from where, when and how often.
//!
//! A release is written only with the vault's proof that the image is whole, and every use belongs to a
//! case, so counting a use twice for one case (a retry, a restart) changes nothing.

use hal::clock::Wall;
use rusqlite::Row;

use super::case::CaseNumber;
use super::column::{At, Count};
use super::{Rows, StateError, Tx};
use crate::vault::{ImageDigest, StagedImage};

pub(super) const TABLE: &str = "
    CREATE TABLE releases (
        digest       BLOB NOT NULL CHECK (length(digest) = 32),
        plc          TEXT NOT NULL,
        stations     TEXT NOT NULL,
        ticket       TEXT,
        window_from  INTEGER,
        window_to    INTEGER,
        uses_left    INTEGER NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
        uses         INTEGER NOT NULL,
        expires      INTEGER NOT NULL,
        created      INTEGER NOT NULL,
        signer       TEXT NOT NULL,
        policy_epoch INTEGER NOT NULL,
        PRIMARY KEY (digest, plc)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX releases_by_plc ON releases (plc, created);
    CREATE TABLE release_uses (
        number INTEGER NOT NULL REFERENCES cases ON DELETE CASCADE,
        digest BLOB NOT NULL,
        plc    TEXT NOT NULL,
        PRIMARY KEY (number, digest, plc)
    ) STRICT, WITHOUT ROWID;";

/// Who gave a release; unknown for those of an earlier version.
pub(super) const GIVER: &str = "ALTER TABLE releases ADD COLUMN given_by TEXT NOT NULL DEFAULT '';";

/// A maintenance window: from `from` on, and before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First moment inside.
    pub from: Wall,
    /// First moment after.
    pub to: Wall,
}

/// Under what conditions an image is released for a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Stations it may come from; empty: any.
    pub stations: Vec<String>,
    /// Change ticket.
    pub ticket: Option<String>,
    /// When it may be used; `None`: until it expires.
    pub window: Option<Window>,
    /// How often it may be used.
    pub uses: u32,
    /// From when on it is void.
    pub expires: Wall,
    /// Key id of who signed the image.
    pub signer: String,
    /// Policy under which it was verified.
    pub policy_epoch: u64,
    /// Who gave it; empty where that is not known.
    pub by: String,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The image.
    pub digest: ImageDigest,
    /// The controller.
    pub plc: String,
    /// The conditions.
    pub terms: Terms,
    /// Uses not yet consumed.
    pub uses_left: u32,
    /// When it was given.
    pub created: Wall,
}

/// What consuming a use did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumed {
    /// Uses left now.
    pub left: u32,
    /// Whether this case had consumed its use before, so that nothing changed.
    pub already: bool,
}

/// Releases `image` for `plc`, replacing an earlier release of the same image for the same controller.
/// A case that used the earlier one has had its use and takes none of the new ones.
pub fn add(tx: &Tx<'_>, image: &StagedImage, plc: &str, terms: &Terms, now: Wall) -> Result<(), StateError> {
    // Stations are addresses or names from the configuration, never with a line break.
    let stations = terms.stations.join("\n");
    let (from, to) = (terms.window.map(|w| At(w.from)), terms.window.map(|w| At(w.to)));
    let epoch = i64::try_from(terms.policy_epoch).unwrap_or(i64::MAX);
    let sql = "INSERT OR REPLACE INTO releases VALUES (?1,?2,?3,?4,?5,?6,?7,?7,?8,?9,?10,?11,?12)";
    let row = (
        image.digest(),
        plc,
        stations,
        &terms.ticket,
        from,
        to,
        terms.uses,
        At(terms.expires),
        At(now),
        &terms.signer,
        epoch,
        &terms.by,
    );
    tx.run("release an image", sql, row).map(drop)
}

/// Takes a release back; false when there was none.
pub fn withdraw(tx: &Tx<'_>, digest: &ImageDigest, plc: &str) -> Result<bool, StateError> {
    let sql = "DELETE FROM releases WHERE digest = ?1 AND plc = ?2";
    Ok(tx.run("withdraw a release", sql, (digest, plc))? > 0)
}

/// Every release, used up and expired ones too, newest first.
pub fn list(rows: &Rows<'_>) -> Result<Vec<Release>, StateError> {
    rows.all("list releases", "SELECT * FROM releases ORDER BY created DESC, digest, plc", [], make)
}

/// The release of one image for one controller, whatever its state.
pub fn get(rows: &Rows<'_>, digest: &ImageDigest, plc: &str) -> Result<Option<Release>, StateError> {
    rows.first("read a release", "SELECT * FROM releases WHERE digest = ?1 AND plc = ?2", (digest, plc), make)
}

/// What `station` may load into `plc` at `now`, newest first. Whether `now` can be trusted is the
/// caller's question; here an expiry and a window are compared with it as it is.
pub fn current_for(rows: &Rows<'_>, plc: &str, station: &str, now: Wall) -> Result<Vec<Release>, StateError> {
    let sql = "SELECT * FROM releases WHERE plc = ?1 AND uses_left > 0 ORDER BY created DESC, digest";
    let mut current = rows.all("read the releases of a controller", sql, [plc], make)?;
    current.retain(|release| release.allows(station, now));
    Ok(current)
}

/// Whether any release, held release or open delivery names the image, so that it must stay in the vault.
pub fn names_image(rows: &Rows<'_>, digest: &ImageDigest) -> Result<bool, StateError> {
    let sql = "SELECT 1 FROM releases WHERE digest = ?1
               UNION ALL SELECT 1 FROM deliveries WHERE digest = ?1 AND phase <> 'confirmed'
               UNION ALL SELECT 1 FROM held JOIN cases USING (number)
                         WHERE held.digest = ?1 AND state = 'held'";
    Ok(rows.first("look for releases of an image", sql, [digest], |_| Ok(()))?.is_some())
}

/// Who rests on what was stated of an image at `now`: a controller with a release that can still be used, a held
/// release, a delivery or a transfer under way. What is stated must stay as it is until then.
pub fn in_use_for(rows: &Rows<'_>, digest: &ImageDigest, now: Wall) -> Result<Option<String>, StateError> {
    let sql = "SELECT plc FROM releases WHERE digest = ?1 AND uses_left > 0 AND expires > ?2
               UNION ALL SELECT plc FROM deliveries WHERE digest = ?1 AND phase <> 'confirmed'
               UNION ALL SELECT held.plc FROM held JOIN cases USING (number)
                         WHERE held.digest = ?1 AND state = 'held'
               UNION ALL SELECT plc FROM cases WHERE digest = ?1 AND state IN ('open', 'delivering')";
    // A clock that nobody has set ends nothing.
    let now = if now.trusted { now } else { Wall { ms: i64::MIN, ..now } };
    rows.first("look for uses of an image", sql, (digest, At(now)), |row| Ok(row.get(0)?))
}

/// Consumes one use for `case`, which must be about this controller and this image (or none yet, and then
/// becomes so). Put the case's own change into the same transaction.
pub fn consume_use(
    tx: &Tx<'_>,
    digest: &ImageDigest,
    plc: &str,
    case: CaseNumber,
) -> Result<Consumed, StateError> {
    let doing = "consume a use of a release";
    let about = tx.first(doing, "SELECT plc FROM cases WHERE number = ?1", [case.row()], |row| {
        Ok(row.get::<_, String>(0)?)
    })?;
    if about.ok_or(StateError::NoCase { number: case })? != plc {
        return Err(StateError::OtherCase { number: case });
    }
    super::case::set_digest(tx, case, digest)?;
    let none = || StateError::NoRelease { digest: *digest, plc: plc.to_owned() };
    let before = get(tx, digest, plc)?.ok_or_else(none)?.uses_left;
    let sql = "INSERT OR IGNORE INTO release_uses VALUES (?1, ?2, ?3)";
    if tx.run(doing, sql, (case.row(), digest, plc))? == 0 {
        return Ok(Consumed { left: before, already: true });
    }
    let sql =
        "UPDATE releases SET uses_left = uses_left - 1 WHERE digest = ?1 AND plc = ?2 AND uses_left > 0";
    match tx.run(doing, sql, (digest, plc))? {
        0 => Err(StateError::UsedUp { digest: *digest, plc: plc.to_owned() }),
        _ => Ok(Consumed { left: before.saturating_sub(1), already: false }),
    }
}

/// Gives back the use that `case` has consumed: nothing came of it. Nothing happens when it has none.
pub fn give_back(tx: &Tx<'_>, digest: &ImageDigest, plc: &str, case: CaseNumber) -> Result<(), StateError> {
    let doing = "give back a use of a release";
    let sql = "DELETE FROM release_uses WHERE number = ?1 AND digest = ?2 AND plc = ?3";
    if tx.run(doing, sql, (case.row(), digest, plc))? > 0 {
        let sql = "UPDATE releases SET uses_left = min(uses, uses_left + 1) WHERE digest = ?1 AND plc = ?2";
        tx.run(doing, sql, (digest, plc))?;
    }
    Ok(())
}

impl Release {
    /// What a new release of the same image for the same controller on `terms` changes, in words that begin
    /// a line.
    pub fn replaced_by(&self, terms: &Terms) -> String {
        let old = &self.terms;
        let mut changes = Vec::new();
        let mut changed = |what: &str, was: String, is: String| {
            if was != is {
                changes.push(format!("{what} {was} -> {is}"));
            }
        };
        let any = |s: &[String]| if s.is_empty() { "any".into() } else { s.join(", ") };
        let no = |text: Option<String>| text.unwrap_or_else(|| "none".into());
        let window = |w: Option<Window>| no(w.map(|w| format!("{}..{}", w.from, w.to)));
        changed("uses left", self.uses_left.to_string(), terms.uses.to_string());
        changed("stations", any(&old.stations), any(&terms.stations));
        changed("window", window(old.window), window(terms.window));
        changed("ticket", no(old.ticket.clone()), no(terms.ticket.clone()));
        changed("until", old.expires.to_string(), terms.expires.to_string());
        changed("signer", old.signer.clone(), terms.signer.clone());
        let what = if changes.is_empty() { "nothing changed".into() } else { changes.join("; ") };
        format!("\nthis replaces the release of {}: {what}", self.created)
    }

    /// Whether `station` may use it at `now`.
    pub fn allows(&self, station: &str, now: Wall) -> bool {
        let terms = &self.terms;
        self.uses_left > 0
            && now.ms < terms.expires.ms
            && terms.window.is_none_or(|w| (w.from.ms..w.to.ms).contains(&now.ms))
            && (terms.stations.is_empty() || terms.stations.iter().any(|s| s == station))
    }
}

fn make(row: &Row<'_>) -> Result<Release, StateError> {
    let window = match (row.get::<_, Option<At>>(4)?, row.get::<_, Option<At>>(5)?) {
        (Some(from), Some(to)) => Some(Window { from: from.0, to: to.0 }),
        (None, None) => None,
        // Half a window must not read as no window.
        _ => {
            return Err(StateError::BadValue {
                column: "releases.window_from, window_to",
                found: "half".into(),
            });
        }
    };
    let stations: String = row.get(2)?;
    Ok(Release {
        digest: row.get(0)?,
        plc: row.get(1)?,
        uses_left: row.get(6)?,
        created: row.get::<_, At>(9)?.0,
        terms: Terms {
            stations: stations.lines().map(str::to_owned).collect(),
            ticket: row.get(3)?,
            window,
            uses: row.get(7)?,
            expires: row.get::<_, At>(8)?.0,
            signer: row.get(10)?,
            policy_epoch: row.get::<_, Count>(11)?.0,
            by: row.get(12)?,
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::state::testing::{Dir, at, open_case, staged};

    pub(in crate::state) fn terms(uses: u32) -> Terms {
        Terms {
            stations: Vec::new(),
            ticket: Some("CHG-9".into()),
            window: None,
            uses,
            expires: at(1000),
            signer: "key-1".into(),
            policy_epoch: 3,
            by: "uid 7".into(),
        }
    }

    #[test]
    fn a_release_is_current_only_on_its_terms() {
        let dir = Dir::new();
        let mut db = dir.open();
        let image = staged(b"fw");
        let window = Some(Window { from: at(100), to: at(200) });
        let stations = vec!["10.0.0.9".to_owned(), "10.0.0.8".to_owned()];
        let strict = Terms { window, stations, ..terms(1) };
        let cases: &[(&str, Terms, &str, i64, bool)] = &[
            ("open terms", terms(1), "any", 999, true),
            ("expired", terms(1), "any", 1000, false),
            ("no uses", terms(0), "any", 1, false),
            ("before the window", strict.clone(), "10.0.0.9", 99, false),
            ("first moment", strict.clone(), "10.0.0.9", 100, true),
            ("last moment", strict.clone(), "10.0.0.8", 199, true),
            ("after the window", strict.clone(), "10.0.0.9", 200, false),
            ("other station", strict, "10.0.0.90", 150, false),
        ];
        for (what, terms, station, now, current) in cases {
            db.write("test", |tx| add(tx, &image, "p", terms, at(1))).unwrap();
            let found = current_for(&db.rows(), "p", station, at(*now)).unwrap();
            assert_eq!(!found.is_empty(), *current, "{what}");
            assert_eq!(get(&db.rows(), image.digest(), "p").unwrap().unwrap().terms, *terms, "{what}");
            assert!(current_for(&db.rows(), "q", station, at(*now)).unwrap().is_empty());
        }
        assert!(names_image(&db.rows(), image.digest()).unwrap());
        let of = |db: &super::super::Db, now| in_use_for(&db.rows(), image.digest(), now).unwrap();
        assert_eq!((of(&db, at(999)), of(&db, at(1000))), (Some("p".into()), None), "until it ends");
        let unset = Wall { trusted: false, ..at(1000) };
        assert_eq!(of(&db, unset), Some("p".into()), "no clock says that it has ended");
        assert_eq!(list(&db.rows()).unwrap().len(), 1);
        assert!(db.write("test", |tx| withdraw(tx, image.digest(), "p")).unwrap());
        assert!(!db.write("test", |tx| withdraw(tx, image.digest(), "p")).unwrap());
        assert!(!names_image(&db.rows(), image.digest()).unwrap());
    }

    #[test]
    fn a_release_says_what_another_one_changes() {
        let was = Release { digest: [1; 32], plc: "p".into(), terms: terms(2), uses_left: 1, created: at(1) };
        let window = Some(Window { from: at(5), to: at(9) });
        let cases: &[(&str, Terms, &[&str])] = &[
            ("the same", terms(1), &["replaces the release of", "nothing changed"]),
            ("more uses", terms(3), &["uses left 1 -> 3"]),
            (
                "another station",
                Terms { stations: vec!["10.0.0.9".into()], ..terms(1) },
                &["any -> 10.0.0.9"],
            ),
            ("a window", Terms { window, ..terms(1) }, &["window none -> ", ".."]),
            ("no ticket", Terms { ticket: None, ..terms(1) }, &["ticket CHG-9 -> none"]),
            ("another end", Terms { expires: at(2000), ..terms(1) }, &["until "]),
            ("another signer", Terms { signer: "key-2".into(), ..terms(1) }, &["signer key-1 -> key-2"]),
        ];
        for (what, terms, expected) in cases {
            let said = was.replaced_by(terms);
            assert!(expected.iter().all(|e| said.contains(e)), "{what}: {said}");
            assert_eq!(said.matches(" -> ").count(), usize::from(*what != "the same"), "{what}: {said}");
        }
    }

    #[test]
    fn uses_are_counted_once_per_case_and_never_below_zero() {
        let dir = Dir::new();
        let mut db = dir.open();
        let image = staged(b"fw");
        let digest = *image.digest();
        let n: Vec<_> = (0..3).map(|_| open_case(&mut db, "p", None)).collect();
        let other_plc = open_case(&mut db, "q", None);
        let other_image = open_case(&mut db, "p", Some([9; 32]));
        let mut consume = |case| db.write("test", |tx| consume_use(tx, &digest, "p", case));
        assert!(matches!(consume(n[0]), Err(StateError::NoRelease { .. })));
        db.write("test", |tx| add(tx, &image, "p", &terms(2), at(1))).unwrap();
        let mut consume = |case| db.write("test", |tx| consume_use(tx, &digest, "p", case));
        assert_eq!(consume(n[0]).unwrap(), Consumed { left: 1, already: false });
        assert_eq!(consume(n[0]).unwrap(), Consumed { left: 1, already: true });
        assert!(matches!(consume(other_plc), Err(StateError::OtherCase { .. })));
        assert!(matches!(consume(other_image), Err(StateError::OtherCase { .. })));
        assert_eq!(consume(n[1]).unwrap(), Consumed { left: 0, already: false });
        assert!(matches!(consume(n[2]), Err(StateError::UsedUp { .. })));
        assert_eq!(consume(n[1]).unwrap(), Consumed { left: 0, already: true });
        let case = super::super::case::get(&db.rows(), n[2]).unwrap().unwrap();
        assert_eq!(case.digest, None, "a refused use leaves its case alone");
    }
}
