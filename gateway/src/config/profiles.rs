//! Transfer profiles by name: those built in, and those of the site's own folders.
//!
//! A [`Shelf`] reads each once: what is used is what is digested.

use std::cell::RefCell;
use std::collections::BTreeMap;
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
    Shelf::of_folders(folders.to_vec()).find(id)
}

/// Where profiles are looked for, and those that were found.
#[derive(Debug, Default)]
pub struct Shelf {
    folders: Vec<PathBuf>,
    /// All there are, where they came with the configuration.
    given: Option<BTreeMap<String, String>>,
    used: RefCell<BTreeMap<String, (String, Arc<Profile>)>>,
}

impl Shelf {
    /// First in `folders`, then among the shipped ones.
    pub fn of_folders(folders: Vec<PathBuf>) -> Shelf {
        Shelf { folders, ..Shelf::default() }
    }

    /// These texts by their id, and no others.
    pub(super) fn of_texts(texts: BTreeMap<String, String>) -> Shelf {
        Shelf { given: Some(texts), ..Shelf::default() }
    }

    /// Finds the profile called `id`.
    pub fn find(&self, id: &str) -> Result<Arc<Profile>, String> {
        if let Some((_, profile)) = self.used.borrow().get(id) {
            return Ok(profile.clone());
        }
        let (text, from) = self.text(id)?;
        let profile = parse(id, &text, &from)?;
        self.used.borrow_mut().insert(id.into(), (text, profile.clone()));
        Ok(profile)
    }

    /// The texts of those that were found, by id.
    pub(super) fn used(&self) -> BTreeMap<String, String> {
        self.used.borrow().iter().map(|(id, (text, _))| (id.clone(), text.clone())).collect()
    }

    /// A profile's text, and where it is from.
    fn text(&self, id: &str) -> Result<(String, String), String> {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if id.is_empty() || !id.chars().all(name) {
            return Err(format!("profile {id:?}: a name has letters, digits and '-' only"));
        }
        if let Some(given) = &self.given {
            let text = given.get(id).ok_or_else(|| format!("profile {id:?} did not come with it"))?;
            return Ok((text.clone(), id.into()));
        }
        for folder in &self.folders {
            let path = folder.join(format!("{id}.toml"));
            if let Ok(text) = std::fs::read_to_string(&path) {
                return Ok((text, path.display().to_string()));
            }
        }
        match SHIPPED.iter().find(|(shipped, _)| *shipped == id) {
            Some((_, text)) => Ok(((*text).into(), id.into())),
            None => Err(format!("no profile {id:?}; there are {}", names().collect::<Vec<_>>().join(", "))),
        }
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
