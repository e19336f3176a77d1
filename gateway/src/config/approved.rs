//! Which configuration runs: that of the files, or the one that was approved last.
//!
//! The data folder keeps the approved one in canonical form. It runs whenever it is there: the files are read to
//! say where the data folder, the socket and the TPM are, and to be compared with it. Nothing here asks the TPM, so
//! that process traffic passes at once; whether the approved one is the one that the sealed state names is found
//! when the gate opens, and decides about firmware only.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::effective::{Difference, Effective, MAX_EFFECTIVE};
use super::{Config, ConfigError};

/// The configuration that was approved last, in the data folder.
pub const APPROVED: &str = "config.approved";
/// The one that takes its place once the sealed state names it.
pub const NEXT: &str = "config.next";

/// How the configuration that runs stands to the one that was approved last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no approved one on this disk; this is what the files say.
    Unapproved,
    /// The files say what was approved.
    Same,
    /// This is the approved one; the files say something else.
    Differs(Vec<Difference>),
    /// This is the approved one; the files cannot be read.
    Unreadable(String),
    /// There is an approved one, but it cannot be used: this is what the files say.
    Damaged(String),
}

impl Standing {
    /// Whether the approved configuration runs in the place of the files.
    pub fn is_instead(&self) -> bool {
        matches!(self, Standing::Differs(_) | Standing::Unreadable(_))
    }

    /// What is not as it was approved, in words; `None` where nothing is.
    pub fn words(&self) -> Option<String> {
        match self {
            Standing::Unapproved | Standing::Same => None,
            Standing::Differs(rows) => {
                Some(format!("the files differ from what was approved: {}", list(rows)))
            }
            Standing::Unreadable(e) => Some(format!("the files cannot be read ({e})")),
            Standing::Damaged(e) => Some(format!("the approved configuration cannot be used ({e})")),
        }
    }
}

/// The first of `rows`, and how many more there are.
pub fn list(rows: &[Difference]) -> String {
    let mut words: Vec<String> = rows.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    if rows.len() > MAX_NAMED {
        words.push(format!("and {} more", rows.len() - MAX_NAMED));
    }
    words.join("; ")
}

/// The configuration to run where the main file is `path`.
pub fn to_run(path: &Path) -> Result<Config, ConfigError> {
    match Config::load(path) {
        Ok(files) => Ok(choose(files)),
        Err(e) => without_files(path, e),
    }
}

/// The approved configuration of the data folder that `files` name; `files` where there is none.
pub fn choose(files: Config) -> Config {
    if files.standing != Standing::Unapproved {
        return files; // chosen before
    }
    let damaged = |files: Config, e: String| Config { standing: Standing::Damaged(e), ..files };
    let approved = match read(&files.data, APPROVED) {
        Ok(None) => return files,
        Ok(Some(approved)) => approved,
        Err(e) => return damaged(files, e),
    };
    if approved == files.effective {
        return Config { standing: Standing::Same, ..files };
    }
    match Config::of_effective(&approved, &files.base) {
        Ok(config) => {
            let standing = Standing::Differs(approved.differences(&files.effective));
            // Where things are found decides about nothing: the TPM's key is pinned, the state is sealed.
            // A pin in the files holds whoever has approved what since: it may lie where nobody can change it.
            let site_key = files.tpm.site_key.or(config.tpm.site_key);
            let tpm = super::Tpm { tcti: files.tpm.tcti, site_key, ..config.tpm };
            Config { standing, tpm, data: files.data, socket: files.socket, ..config }
        }
        Err(e) => damaged(files, e.to_string()),
    }
}

/// The files have a mistake: what was approved runs on, where its data folder can be found. Where the main file is gone, or
/// its `data` cannot be read, that is the default one.
fn without_files(path: &Path, mistake: ConfigError) -> Result<Config, ConfigError> {
    let base = path.parent().unwrap_or(Path::new("."));
    let data = base.join(data_folder(path).unwrap_or_else(|| super::check::DATA.into()));
    let approved = read(&data, APPROVED).ok().flatten();
    match approved.map(|approved| Config::of_effective(&approved, base)) {
        Some(Ok(config)) => {
            Ok(Config { standing: Standing::Unreadable(mistake.to_string()), data, ..config })
        }
        _ => Err(mistake),
    }
}

/// `data` of `[gateway]`, also where the rest of the main file is no TOML.
fn data_folder(path: &Path) -> Option<String> {
    let (_, text) = super::read(path).ok()?;
    let table = text.parse::<toml::Table>().ok().or_else(|| data_line(&text))?;
    table.get("gateway")?.get("data")?.as_str().map(Into::into)
}

/// The line of `data` in `[gateway]`, read on its own. What it says decides only where the approved one is looked for.
fn data_line(text: &str) -> Option<toml::Table> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[gateway]").skip(1);
    let is_data =
        |line: &&str| line.strip_prefix("data").is_some_and(|rest| rest.trim_start().starts_with('='));
    let line = lines.by_ref().take_while(|line| !line.starts_with('[')).find(is_data)?;
    format!("[gateway]\n{line}").parse().ok()
}

/// Reads a configuration in canonical form out of a data folder; `None` when there is none.
pub fn read(data: &Path, name: &str) -> Result<Option<Effective>, String> {
    let path: PathBuf = data.join(name);
    let bytes = match std::fs::File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            let read = file.take(MAX_EFFECTIVE as u64 + 1).read_to_end(&mut bytes);
            read.map(|_| bytes)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => Err(e),
    };
    let bytes = bytes.map_err(|e| format!("{}: {e}", path.display()))?;
    Effective::read(&bytes).map(Some).map_err(|e| format!("{name}: {e}"))
}

/// Whether a change of the approved configuration was cut off: which of the two counts, the TPM knows.
pub fn is_cut_off(data: &Path) -> bool {
    data.join(NEXT).exists()
}

/// Most differences named in one text.
const MAX_NAMED: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "schema = 1\n[gateway]\nname = \"a\"\ndata = \"data\"\nsocket = \"s\"\n[tpm]\n\
                        tcti = \"device:/dev/tpmrm0\"\npcrs = [0, 7]\nrecheck_s = 5\n";

    /// A folder with a main file of `text` and, where given, an approved configuration of these bytes.
    fn folder(text: &str, approved: Option<&[u8]>) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headgate.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        if let Some(bytes) = approved {
            std::fs::write(dir.path().join("data").join(APPROVED), bytes).unwrap();
        }
        (dir, path)
    }

    fn good() -> Effective {
        Config::parse(&[("a".into(), TEXT.into())], Path::new("/")).unwrap().effective
    }

    #[test]
    fn without_an_approved_one_the_files_run_and_with_it_the_approved_one_does() {
        let seconds = |config: &Config| config.tpm.recheck.as_secs();
        let edited = TEXT.replace("recheck_s = 5", "recheck_s = 3600").replace("\"s\"", "\"t\"");
        let (_dir, path) = folder(&edited, None);
        let config = to_run(&path).unwrap();
        assert_eq!((seconds(&config), &config.standing), (3600, &Standing::Unapproved));
        let (_dir, path) = folder(&format!("# the same\n{TEXT}"), Some(good().bytes()));
        assert_eq!(to_run(&path).unwrap().standing, Standing::Same);

        let (dir, path) = folder(&edited, Some(good().bytes()));
        let config = to_run(&path).unwrap();
        let words = config.standing.words().unwrap();
        assert!(words.contains("tpm.recheck_s: 5 -> 3600") && config.standing.is_instead(), "{words}");
        assert_eq!(seconds(&config), 5);
        assert_eq!(config.digest(), good().digest());
        assert_eq!(config.socket, dir.path().join("t"), "where people reach it, the files say");
    }

    #[test]
    fn a_mistake_in_the_files_leaves_the_approved_one_running() {
        let broken = TEXT.replace("recheck_s = 5", "recheck_s = 0");
        let (_dir, path) = folder(&broken, Some(good().bytes()));
        let config = to_run(&path).unwrap();
        assert!(config.standing.words().unwrap().contains("recheck_s 0: 1 to 3600"), "{:?}", config.standing);
        assert_eq!(config.digest(), good().digest());
        let (_dir, path) = folder(&broken, None);
        assert!(to_run(&path).is_err(), "as long as nothing was approved a mistake is one");
    }

    #[test]
    fn a_file_that_is_no_toml_leaves_the_approved_one_running() {
        let broken = format!("{TEXT}[[plc]\n");
        let (_dir, path) = folder(&broken, Some(good().bytes()));
        let config = to_run(&path).unwrap();
        assert!(matches!(config.standing, Standing::Unreadable(_)), "{:?}", config.standing);
        assert_eq!(config.digest(), good().digest());
        assert_eq!(data_line("[gateway]\n[tpm]\ndata = \"b\"\n"), None, "of another table");
        assert_eq!(data_line("[gateway]\ndatabase = \"b\"\ndata = \"b\n"), None, "cut off");
    }

    #[test]
    fn a_pin_in_the_files_holds_over_what_was_approved_without() {
        let pinned = TEXT.replace("recheck_s = 5\n", &format!("site_key = \"{}\"\n", "22".repeat(32)));
        let (_dir, path) = folder(&pinned, Some(good().bytes()));
        let config = to_run(&path).unwrap();
        assert!(config.tpm.site_key.is_some() && config.standing.is_instead(), "{:?}", config.standing);
    }

    #[test]
    fn a_damaged_one_is_told_and_the_files_run() {
        for bytes in [&b"{}"[..], &good().bytes()[1..], b""] {
            let (_dir, path) = folder(TEXT, Some(bytes));
            let config = to_run(&path).unwrap();
            assert!(matches!(config.standing, Standing::Damaged(_)), "{:?}", config.standing);
        }
    }
}
