//! Flattened device trees (Devicetree Specification 0.4, chapter 5), and U-Boot's images in that form (FIT).

use super::place::{Place, shown};
use super::read::{be32, slice};
use super::walk::{Tried, Walk};

const BEGIN: u32 = 1;
const END: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;
const LAST: u32 = 9;
/// Nodes within nodes: an image has three.
const MAX_DEPTH: usize = 64;

pub(super) fn unpack(walk: &mut Walk<'_>, bytes: &[u8], place: &Place, depth: usize) -> Tried {
    let field = |at| be32(bytes, at).map(|n| n as usize);
    let (Some(total), Some(structure), Some(strings), Some(version)) =
        (field(4), field(8), field(12), field(20))
    else {
        return Tried::Not;
    };
    if !(16..=17).contains(&version) || total < 40 || structure < 40 || structure >= total || strings > total
    {
        return Tried::Not;
    }
    let Some(blob) = bytes.get(..total) else {
        return Tried::Damaged(format!("device tree: {} of {total} bytes", bytes.len()));
    };
    if !walk.work(place, total as u64) {
        return Tried::Not;
    }
    let tree = Tree { blob, structure, strings };
    match tree.images() {
        Err(text) => Tried::Damaged(format!("device tree: {text}")),
        Ok(images) if images.is_empty() => {
            walk.container(place, "device tree");
            Tried::Done(total)
        }
        Ok(images) => {
            walk.container(place, "FIT image");
            let mut end = total;
            for image in images {
                if !walk.entry(place) {
                    break;
                }
                let name = shown(image.name, walk.limits);
                let data = match image.place(total) {
                    Inside::Here(data) => Some(data),
                    Inside::At(at, len) => {
                        end = end.max(at.saturating_add(len).min(bytes.len()));
                        slice(bytes, at, len)
                    }
                };
                match data {
                    Some(data) => walk.item(data, &place.entry(&name), depth + 1),
                    None => {
                        let text = format!("FIT image: {name:?} lies outside of what there is");
                        walk.finding(crate::reasons::CONTAINER_DAMAGED, place, text, true);
                    }
                }
            }
            Tried::Done(end)
        }
    }
}

struct Tree<'a> {
    blob: &'a [u8],
    structure: usize,
    strings: usize,
}

/// A node below `/images`, whose data is a property or lies behind the tree (U-Boot, doc/usage/fit/source_file_format.rst).
#[derive(Default)]
struct Image<'a> {
    name: &'a [u8],
    data: Option<&'a [u8]>,
    offset: Option<usize>,
    position: Option<usize>,
    size: Option<usize>,
}

enum Inside<'a> {
    Here(&'a [u8]),
    At(usize, usize),
}

impl<'a> Image<'a> {
    fn place(&self, total: usize) -> Inside<'a> {
        let at = self.position.or(self.offset.map(|o| total.next_multiple_of(4).saturating_add(o)));
        match (self.data, at, self.size) {
            (None, Some(at), Some(size)) => Inside::At(at, size),
            (data, _, _) => Inside::Here(data.unwrap_or_default()),
        }
    }
}

impl<'a> Tree<'a> {
    /// Walks the structure block once.
    fn images(&self) -> Result<Vec<Image<'a>>, String> {
        let (mut at, mut path): (usize, Vec<&[u8]>) = (self.structure, vec![]);
        let mut images: Vec<Image<'a>> = vec![];
        loop {
            let token = be32(self.blob, at).ok_or("its structure has no end")?;
            at += 4;
            match token {
                BEGIN => {
                    let rest = self.blob.get(at..).ok_or("a node without name")?;
                    let name = rest.iter().position(|b| *b == 0).and_then(|n| rest.get(..n));
                    let name = name.ok_or("a name without end")?;
                    at = (at + name.len() + 1).next_multiple_of(4);
                    path.push(name);
                    if path.len() > MAX_DEPTH {
                        return Err(format!("more than {MAX_DEPTH} nodes within nodes"));
                    }
                    if path.get(1..).is_some_and(|p| matches!(p, [parent, _] if *parent == b"images")) {
                        images.push(Image { name, ..Image::default() });
                    }
                }
                END => {
                    path.pop().ok_or("more ends than nodes")?;
                }
                PROPERTY => {
                    let (len, name) = (be32(self.blob, at), be32(self.blob, at + 4));
                    let (Some(len), Some(name)) = (len, name) else {
                        return Err("a property cut short".into());
                    };
                    let value = slice(self.blob, at + 8, len as usize).ok_or("a property cut short")?;
                    at = (at + 8 + value.len()).next_multiple_of(4);
                    let inside =
                        path.get(1..).is_some_and(|p| matches!(p, [parent, _] if *parent == b"images"));
                    if let (true, Some(image)) = (inside, images.last_mut()) {
                        self.property(image, name as usize, value);
                    }
                }
                NOTHING => {}
                LAST => return Ok(images),
                other => return Err(format!("a token {other:#x} at {:#x}", at - 4)),
            }
        }
    }

    fn property(&self, image: &mut Image<'a>, name: usize, value: &'a [u8]) {
        let start = self.strings.saturating_add(name);
        let text = self.blob.get(start..).and_then(|rest| rest.split(|b| *b == 0).next());
        let number = be32(value, 0).map(|n| n as usize);
        match text.unwrap_or_default() {
            b"data" => image.data = Some(value),
            b"data-size" => image.size = number,
            b"data-offset" => image.offset = number,
            b"data-position" => image.position = number,
            _ => {}
        }
    }
}
