//! `headgate backup` and `headgate replace`: a box that is gone, and the spare that takes its place.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::trust::read_envelope;
use super::{Context, Said, write_new};
use crate::config::Effective;
use crate::judge::{Answered, Failure, Request};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// A new file, which only its owner can read.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// With the images of the vault. No firmware passes while they are copied.
    #[arg(long)]
    images: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("step").required(true))]
pub(super) struct Replace {
    /// The backup of the box that is gone.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// First: write what the site keys have to sign, for this backup and this box alone.
    #[arg(long, group = "step", value_name = "FILE")]
    draft: Option<PathBuf>,
    /// With --draft: why, for the record.
    #[arg(long, requires = "draft", default_value = "the box is gone", value_parser = super::typed::line)]
    reason: String,
    /// Then: take over, with the document that they have signed.
    #[arg(long, group = "step", value_name = "FILE")]
    approval: Option<PathBuf>,
    /// With --approval: a new folder for the configuration of the other box.
    #[arg(long, requires = "approval", value_name = "FOLDER", default_value = "restored")]
    config_out: PathBuf,
}

pub(super) fn backup(context: &Context, v: &Backup) -> Result<Said, Failure> {
    // The gateway that runs has another working folder.
    let to = std::path::absolute(&v.out).map_err(|e| Failure::usage(format!("{}: {e}", v.out.display())))?;
    context.ask(&Request::Backup { to, images: v.images })
}

pub(super) fn replace(context: &Context, v: &Replace) -> Result<Said, Failure> {
    match (&v.draft, &v.approval) {
        (Some(draft), _) => write_draft(context, v, draft),
        (_, Some(approval)) => take_over(context, v, approval),
        _ => Err(Failure::usage("give --draft FILE or --approval FILE")),
    }
}

fn write_draft(context: &Context, v: &Replace, draft: &Path) -> Result<Said, Failure> {
    let Answered::Document { document } =
        super::open(context.load()?)?.draft_replacement(&v.from, &v.reason)?
    else {
        return Err(Failure::internal("another answer than asked for"));
    };
    write_new(draft, document.as_bytes(), false)?;
    let words = format!(
        "written: {0}; nothing is taken over yet\nhave the site keys sign it: headgate sign-document {0} --key PEM\n\
         then: headgate replace --from {1} --approval {0}",
        draft.display(),
        v.from.display()
    );
    Ok(Said::Words(words, json!({ "schema": 1, "document": draft })))
}

fn take_over(context: &Context, v: &Replace, approval: &Path) -> Result<Said, Failure> {
    let leave = read_envelope(approval)?;
    if v.config_out.exists() {
        let text = format!("{}: it is there already", v.config_out.display());
        return Err(Failure::usage(text).next("name a new folder with --config-out"));
    }
    let mut files = Vec::new();
    let keep = |config: &Effective| write_config(config, &v.config_out).map(|names| files = names);
    let taken = super::judge(context.load()?)?.replace(&v.from, &leave, keep)?;
    let folder = v.config_out.display();
    let next = match taken.is_approved {
        true => "it was approved and runs from the next start on; put the files in place all the same",
        false => "compare them with those of this box (tcti), put them in place, and start the gateway",
    };
    let words = format!("{}its configuration: {} in {folder}; {next}", taken.text, files.join(", "));
    let value = json!({
        "schema": 1, "answer": "replaced", "text": taken.text, "config": v.config_out, "approved": taken.is_approved,
    });
    Ok(Said::Words(words, value))
}

/// The configuration as files: the main one, and a profile each.
fn write_config(config: &Effective, folder: &Path) -> Result<Vec<String>, Failure> {
    let (text, profiles) = config.texts().map_err(|e| Failure::internal(e.to_string()))?;
    let fail = |e: std::io::Error| Failure::usage(format!("{}: {e}", folder.display()));
    std::fs::create_dir(folder).map_err(fail)?;
    write_new(&folder.join("headgate.toml"), text.as_bytes(), false)?;
    let mut names = vec!["headgate.toml".to_owned()];
    if !profiles.is_empty() {
        std::fs::create_dir(folder.join("profiles")).map_err(fail)?;
    }
    for (id, text) in profiles {
        let name = format!("profiles/{id}.toml");
        write_new(&folder.join(&name), text.as_bytes(), false)?;
        names.push(name);
    }
    Ok(names)
}
