//! A backup: any bytes are refused or are read to their end, and nothing is taken for signed that was not. The seeds are
//! small backups, whole and edited.
#![no_main]

use std::io::Cursor;

use gateway::backup::{Entry, Opened};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = std::str::from_utf8(data)
        && let Some(entry) = Entry::parse(name)
    {
        assert_eq!(entry.to_string(), name);
        assert!(!name.contains(".."), "it leads out of no folder");
    }
    let Ok(mut opened) = Opened::new(Cursor::new(data)) else { return };
    let whole = opened.check().is_ok();
    let Ok(mut entries) = opened.entries() else { return };
    while let Ok(Some((entry, len))) = entries.entry() {
        assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
        assert!(len <= data.len() as u64);
    }
    assert_eq!(entries.finish().is_ok(), whole, "twice the same");
});
