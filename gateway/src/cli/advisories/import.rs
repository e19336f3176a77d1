//! `headgate advisories import`: the database that a gateway goes by.

use super::Import;
use crate::advisories::MAX_IMPORT;
use crate::cli::trust::read_envelope;
use crate::cli::{Context, Said, judge, not_provisioned, open_image};
use crate::judge::rows::{AdvisoriesRow, AdvisoryImportRow, AdvisoryRow, AffectedRow};
use crate::judge::{Brought, Failure, Request, affected_words};
use crate::socket;

/// Sends database and document to the running gateway, or into the data folder when none runs.
pub(super) fn import(context: &Context, of: &Import) -> Result<Said, Failure> {
    let config = context.load()?;
    let request = Request::AdvisoriesImport { document: read_envelope(&of.document)?, yes: of.yes };
    let (mut file, len) = open_image(&of.file)?;
    if len > MAX_IMPORT {
        let text = format!("{}: {len} bytes; at most {MAX_IMPORT} are imported", of.file.display());
        return Err(Failure::usage(text).next("build it from fewer advisories"));
    }
    let parcel = socket::Parcel { image: &mut file, len, sbom: None };
    if let Some(reply) = socket::ask_running(&config.socket, &request, Some(parcel)) {
        return reply.map(|answer| Said::Answer(Box::new(answer)));
    }
    if !config.data.exists() {
        return Err(not_provisioned(&config));
    }
    let mut judge = judge(config)?;
    let mut intake = judge.database_intake(len)?;
    intake.write_from(&mut file)?;
    let brought = Brought { database: Some(intake), ..Brought::default() };
    judge.ask_with(request, brought).map(|answer| Said::Answer(Box::new(answer)))
}

/// What a database brings, for people.
pub(in crate::cli) fn import_words(row: &AdvisoryImportRow) -> String {
    let mut out = database_words("brings", &row.brought);
    out += &format!("  signed by {}\n", row.signed_by.join(" and "));
    out += &match &row.installed {
        Some(installed) => database_words("replaces", installed),
        None => "replaces nothing: no database was imported before\n".to_owned(),
    };
    out += &affected_list(&row.affected);
    out += match row.applied {
        true => "imported: every image is held against it from now on\n",
        false => "nothing is changed yet: give --yes to go by it\n",
    };
    out
}

/// The database that is gone by, for people.
pub(in crate::cli) fn installed_words(row: &AdvisoriesRow) -> String {
    let Some(installed) = &row.installed else {
        return "no advisory database was imported: what vendors tell of holes is not known here\n".into();
    };
    let mut out = database_words("goes by", installed);
    out += &row.unreadable.iter().map(|why| format!("CANNOT BE READ: {why}\n")).collect::<String>();
    out += &row.stale.iter().map(|why| format!("TOO OLD: {why}\n")).collect::<String>();
    out + &affected_list(&row.affected)
}

fn database_words(verb: &str, row: &AdvisoryRow) -> String {
    let AdvisoryRow { digest, current, age_days, expires, .. } = row;
    let holes = row.holes.map_or(String::new(), |holes| format!("{holes} holes; "));
    let mut out =
        format!("{verb} sha256:{digest}\n  {holes}sources of {current} and before, {age_days} days old\n");
    for source in &row.sources {
        out += &format!("  {}: {}, the last of {}\n", source.name, source.count, source.newest);
    }
    if row.left_out > 0 {
        out += &format!("  built without {} files that were refused\n", row.left_out);
    }
    out + &format!("  to go by until {expires}\n")
}

fn affected_list(rows: &[AffectedRow]) -> String {
    if rows.is_empty() {
        return "nothing here is told to have a hole\n".into();
    }
    let line = |row: &AffectedRow| format!("  {} {}\n    {}\n", row.code, affected_words(row), row.text);
    format!("affected:\n{}", rows.iter().map(line).collect::<String>())
}
