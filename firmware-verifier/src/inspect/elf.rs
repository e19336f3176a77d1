//! ELF: what a program or a bare-metal image defines, by the names of its functions.

use object::read::elf::{ElfFile32, ElfFile64, FileHeader};
use object::{Architecture, Endianness, Object, ObjectSection, ObjectSymbol, SectionIndex};

use super::known::SYMBOLS;
use super::place::Place;
use super::report::{By, Found};
use super::walk::Walk;

/// Most symbols that are looked at: a Linux kernel has 200,000.
const MAX_SYMBOLS: usize = 500_000;

pub(super) fn look(walk: &mut Walk<'_>, bytes: &[u8], place: &Place) {
    if !bytes.starts_with(b"\x7fELF") {
        return;
    }
    let inner = place.container("elf", 0);
    match bytes.get(4) {
        Some(1) => {
            if let Ok(file) = ElfFile32::<Endianness>::parse(bytes) {
                symbols(walk, &file, &inner);
            }
        }
        Some(2) => {
            if let Ok(file) = ElfFile64::<Endianness>::parse(bytes) {
                symbols(walk, &file, &inner);
            }
        }
        _ => {}
    }
}

fn symbols<'a, E: FileHeader<Endian = Endianness>>(
    walk: &mut Walk<'_>,
    file: &object::read::elf::ElfFile<'a, E>,
    place: &Place,
) {
    let machine = match file.architecture() {
        Architecture::Unknown => "a machine that is not known here".into(),
        known => format!("{known:?}"),
    };
    walk.container(place, format!("ELF, {machine}"));
    let all = file.symbols().chain(file.dynamic_symbols()).take(MAX_SYMBOLS);
    for symbol in all.filter(|s| s.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        let Some(known) = SYMBOLS.iter().find(|s| s.symbol == name) else { continue };
        let offset = offset(file, symbol.section_index(), symbol.address()).unwrap_or(0);
        let found = Found {
            name: known.name.into(),
            version: None,
            kind: known.kind,
            purl: None,
            cpe: None,
            confidence: known.confidence,
            by: By::Symbol,
            occurrences: vec![],
        };
        walk.symbol(found, place, offset, name);
    }
}

/// Where in the file a symbol's bytes are.
fn offset<E: FileHeader<Endian = Endianness>>(
    file: &object::read::elf::ElfFile<'_, E>,
    section: Option<SectionIndex>,
    address: u64,
) -> Option<u64> {
    let section = file.section_by_index(section?).ok()?;
    let (start, _) = section.file_range()?;
    start.checked_add(address.checked_sub(section.address())?)
}
