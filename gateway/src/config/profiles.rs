//! Transfer profiles by name: those built in, and those of the site's own folders.

use std::path::PathBuf;
use std::sync::Arc;

use crate::protocol::modbus::profile::Profile;

/// The profiles that ship with Headgate, compiled in so that the demo and a bare binary have them.
const SHIPPED: &[(&str, &str)] = &[
    ("generic-file-record", include_str!("../../../deploy/profiles/generic-file-record.toml")),
    ("generic-linear", include_str!("../../../deploy/profiles/generic-linear.toml")),
    ("generic-offset-window", include_str!("../../../deploy/profiles/generic-offset-window.toml")),
    ("ocp-rackmon-delta", include_str!("../../../deploy/profiles/ocp-rackmon-delta.toml")),
    ("ocp-rackmon-panasonic", include_str!("../../../deploy/profiles/ocp-rackmon-panasonic.toml")),
    ("ucw-bootloader", include_str!("../../../deploy/profiles/ucw-bootloader.toml")),
    ("wirenboard", include_str!("../../../deploy/profiles/wirenboard.toml")),
];

/// Finds the profile called `id`: first in `folders`, then among the shipped ones.
pub fn find(id: &str, folders: &[PathBuf]) -> Result<Arc<Profile>, String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || !id.chars().all(name) {
        return Err(format!("profile {id:?}: a name has letters, digits and '-' only"));
    }
    for folder in folders {
        let path = folder.join(format!("{id}.toml"));
        if let Ok(text) = std::fs::read_to_string(&path) {
            return parse(id, &text, &path.display().to_string());
        }
    }
    match SHIPPED.iter().find(|(shipped, _)| *shipped == id) {
        Some((_, text)) => parse(id, text, id),
        None => Err(format!("no profile {id:?}; there are {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// Names of the shipped profiles.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

fn parse(id: &str, text: &str, from: &str) -> Result<Arc<Profile>, String> {
    let profile = Profile::parse(text).map_err(|e| format!("{from}: {e}"))?;
    if profile.id == id {
        Ok(Arc::new(profile))
    } else {
        Err(format!("{from}: its id is {:?}, expected {id:?}", profile.id))
    }
}
