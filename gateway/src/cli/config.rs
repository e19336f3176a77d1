//! `headgate config check`.

use clap::Subcommand;
use serde_json::json;

use super::{Context, Said, print};
use crate::judge::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Read and check everything; say what is wrong and where.
    Check,
}

pub(super) fn config(context: &Context, verb: &ConfigVerb) -> Result<Said, Failure> {
    let ConfigVerb::Check = verb;
    let config = context.load_whole()?;
    let routes: usize = config.plcs.iter().map(|p| p.routes.len()).sum();
    if !context.json {
        config.warnings.iter().for_each(|warning| print::warning(warning));
    }
    let words = format!("good: gateway {}, {} controllers, {routes} routes", config.name, config.plcs.len());
    Ok(Said::Words(
        words,
        json!({
            "schema": 1, "gateway": config.name, "controllers": config.plcs.len(), "routes": routes,
            "warnings": config.warnings,
        }),
    ))
}
