//! Names of instants above the first panel, in rows so that none covers another.

use super::across::Across;
use super::svg::{Anchor, Face, PLAIN, Svg, width_of};
use super::{Figure, LEFT, PLOT};

/// Height of one row.
pub(super) const HEIGHT: f64 = 20.0;
/// Flags that find no room in so many rows have a line and no name.
const MOST_ROWS: usize = 4;
const FACE: Face = Face { size: 11.0, is_bold: true, colour: "#ffffff" };

/// Where each flag stands and in which row; `None` where there is no room.
fn places(figure: &Figure, across: &Across) -> Vec<(f64, Option<usize>)> {
    let mut ends = [f64::NEG_INFINITY; MOST_ROWS];
    let mut order: Vec<usize> = (0..figure.flags.len()).collect();
    order.sort_by(|a, b| figure.flags[*a].at.total_cmp(&figure.flags[*b].at));
    let mut places = vec![(0.0, None); figure.flags.len()];
    for n in order {
        let flag = &figure.flags[n];
        let half = width(&flag.name) / 2.0;
        // Its name stays within the picture, and left of the count of those without one.
        let x = across.x(flag.at).min(LEFT + PLOT + 2.0 - half).max(half + 2.0);
        let row = ends.iter().position(|end| x - half > *end + 3.0);
        if let Some(row) = row {
            ends[row] = x + half;
        }
        places[n] = (x, row);
    }
    places
}

fn width(name: &str) -> f64 {
    width_of(name, FACE).max(10.0) + 8.0
}

/// Rows that are needed.
pub(super) fn rows(figure: &Figure, across: &Across) -> usize {
    places(figure, across).iter().filter_map(|(_, row)| *row).map(|r| r + 1).max().unwrap_or(0)
}

/// Draws them above a panel whose upper edge is at `edge`.
pub(super) fn draw(svg: &mut Svg, figure: &Figure, across: &Across, edge: f64) {
    let places = places(figure, across);
    let named = figure.flags.iter().zip(&places).filter_map(|(flag, (x, row))| Some((flag, *x, (*row)?)));
    // Stalks first, so that none crosses a name.
    for (flag, _, row) in named.clone() {
        let x = across.x(flag.at);
        svg.line([x, edge - HEIGHT * row as f64 - 4.0, x, edge], flag.ink.colour(), 0.8, "2 2");
    }
    for (flag, x, row) in named {
        let (w, top) = (width(&flag.name), edge - HEIGHT * (row + 1) as f64);
        svg.rect([x - w / 2.0, top, w, HEIGHT - 4.0], flag.ink.colour(), 1.0);
        svg.text((x, top + 12.0), &flag.name, FACE, Anchor::Middle);
    }
    let hidden = places.iter().filter(|(_, row)| row.is_none()).count();
    if hidden > 0 {
        let text = format!("+{hidden}");
        svg.text((LEFT + PLOT + 4.0, edge - 6.0), &text, PLAIN, Anchor::Start);
    }
}
