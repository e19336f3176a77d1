//! The site's policy: modules in files beside the configuration, or in it, compiled once.

use std::collections::BTreeMap;
use std::path::Path;

use firmware_verifier::policy::{MAX_POLICY, Module, Policy};
use hal::clock::Wall;

use super::check::Checked;
use super::file;

/// The policy in force.
#[derive(Debug, Clone)]
pub struct SiteRules {
    /// What is asked.
    pub policy: Policy,
    /// When it is to be looked at again; nothing is decided by it afterwards.
    pub until: Option<Wall>,
    /// Whether the site wrote it; else it is the one that ships.
    pub own: bool,
}

/// Names and texts of the modules: those of files, by file name, and those that stand in the table itself.
pub(super) fn modules(raw: &file::Policy, base: &Path) -> Checked<BTreeMap<String, String>> {
    let mut modules = raw.module.clone();
    for file in &raw.files {
        let path = base.join(file);
        let size = std::fs::metadata(&path).map_err(|e| format!("[policy] {}: {e}", path.display()))?.len();
        if size > MAX_POLICY as u64 {
            return Err(format!("[policy] {}: {size} bytes, at most {MAX_POLICY} are read", path.display()));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| format!("[policy] {}: {e}", path.display()))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if modules.insert(name.clone(), text).is_some() {
            return Err(format!("[policy] two modules called {name:?}"));
        }
    }
    Ok(modules)
}

/// The policy of the site, or the one that ships where there is none.
pub(super) fn check(raw: Option<&file::Policy>, modules: &BTreeMap<String, String>) -> Checked<SiteRules> {
    let until = raw.and_then(|raw| raw.expires.as_ref());
    let until = until.map(|text| text.parse().map_err(|e| format!("[policy] expires: {e}"))).transpose()?;
    let module = |(name, text): (&String, &String)| Module { name: name.clone(), text: text.clone() };
    let compiled = match raw {
        Some(_) => Policy::compile(&modules.iter().map(module).collect::<Vec<_>>()),
        None => Policy::shipped(),
    };
    let policy = compiled.map_err(|e| format!("[policy] {e}"))?;
    Ok(SiteRules { policy, until, own: raw.is_some() })
}
