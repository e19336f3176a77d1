//! Draws a record for a report: panels above each other over one time axis, written as SVG.
//!
//! Pure: a [`Figure`] goes in, text comes out. It knows nothing of signals, opens nothing and reads no clock.
//! Colours are those of Okabe and Ito (2008), which people of every colour vision tell apart, with a darker
//! purple, as white text stands on it; nothing is said by colour alone. Legends and numbers stand outside of the data.
//!
//! Invariant: the same figure gives the same bytes, and a line costs at most four points for each pixel column.

mod across;
mod axis;
mod flags;
mod svg;

use across::Across;
use svg::{Anchor, BOLD, Face, PLAIN, Svg};

/// A picture of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What is shown.
    pub title: String,
    /// Time range and settings, on one line.
    pub subtitle: String,
    /// What the time axis has, from left to right; between two stretches it is broken.
    pub time: Vec<Stretch>,
    /// Whether the record's times are seconds since 1970; else they are seconds from some start.
    pub is_dated: bool,
    /// From top to bottom.
    pub panels: Vec<Panel>,
    /// Stretches shaded in every panel over time.
    pub spans: Vec<Span>,
    /// Instants with a name above the first panel and a line through every panel over time.
    pub flags: Vec<Flag>,
    /// Lines below the picture.
    pub notes: Vec<String>,
}

/// A part of the time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// First and last second.
    pub between: (f64, f64),
    /// The first second as the record says it.
    pub clock_s: f64,
}

/// One coordinate system.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows.
    pub heading: String,
    /// Quantity of the vertical axis, and its unit.
    pub quantity: (String, String),
    /// Ends of the vertical axis; `None`: what the data need.
    pub range: Option<(f64, f64)>,
    /// In pixels.
    pub height: f64,
    /// `None`: the figure's time; else the ends of a logarithmic axis in hertz.
    pub hertz: Option<(f64, f64)>,
    /// From back to front.
    pub layers: Vec<Layer>,
}

/// What is drawn into a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A line through points; it breaks where a value is not finite.
    Line {
        /// For the legend.
        name: String,
        /// Its colour.
        ink: Ink,
        /// In order of the horizontal axis.
        points: Vec<(f64, f64)>,
    },
    /// A band of values between two places, with a line in its middle.
    Band {
        /// For the legend.
        name: String,
        /// Its colour.
        ink: Ink,
        /// From and to on the horizontal axis.
        between: (f64, f64),
        /// Lower end, middle, upper end.
        values: [f64; 3],
    },
    /// A dashed line across at one value.
    Level {
        /// For the legend.
        name: String,
        /// Its colour.
        ink: Ink,
        /// The value.
        value: f64,
    },
}

/// A shaded stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// For the legend; spans of one name are listed once.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// From and to, in seconds.
    pub between: (f64, f64),
    /// A bar at the upper edge of the first panel instead of a shade in all.
    pub is_bar: bool,
}

/// A named instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// A few characters.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// In seconds.
    pub at: f64,
}

/// The colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "a colour is its name")]
pub enum Ink {
    Black,
    Grey,
    Blue,
    Sky,
    Green,
    Orange,
    Vermillion,
    Purple,
}

impl Ink {
    const fn colour(self) -> &'static str {
        match self {
            Ink::Black => "#000000",
            Ink::Grey => "#8a8a8a",
            Ink::Blue => "#0072b2",
            Ink::Sky => "#56b4e9",
            Ink::Green => "#009e73",
            Ink::Orange => "#e69f00",
            Ink::Vermillion => "#d55e00",
            Ink::Purple => "#aa4499",
        }
    }
}

/// The figure as an SVG document.
pub fn svg(figure: &Figure) -> String {
    let mut svg = Svg::new(WIDTH);
    let title = Face { size: 17.0, ..BOLD };
    svg.text((LEFT, 30.0), &fitted(&figure.title, title), title, Anchor::Start);
    svg.text((LEFT, 50.0), &fitted(&figure.subtitle, PLAIN), PLAIN, Anchor::Start);
    let across = Across::new(&figure.time);
    let rows = flags::rows(figure, &across);
    let mut y = 62.0;
    let last = figure.panels.iter().rposition(|p| p.hertz.is_none());
    for (n, panel) in figure.panels.iter().enumerate() {
        // The flags stand between the first panel and its legend.
        let head = if n == 0 { HEAD + flags::HEIGHT * rows as f64 } else { HEAD };
        let top = y + head;
        let has_labels = Some(n) == last || panel.hertz.is_some();
        Frame::new(&across, panel, top).draw(&mut svg, figure, n == 0, has_labels);
        legend(&mut svg, figure, panel, top - head + HEAD - 8.0, n == 0);
        if n == 0 {
            flags::draw(&mut svg, figure, &across, top);
        }
        y = top + panel.height + if has_labels { LABELS } else { 6.0 };
    }
    y += 10.0;
    for note in &figure.notes {
        for (n, line) in wrapped(note, PLAIN).iter().enumerate() {
            y += NOTE;
            svg.text((if n == 0 { LEFT } else { LEFT + INDENT }, y), line, PLAIN, Anchor::Start);
        }
    }
    svg.finish(y + 18.0, &figure.title)
}

/// A panel in its place.
struct Frame<'a> {
    panel: &'a Panel,
    top: f64,
    across: &'a Across,
    up: (f64, f64),
}

impl Frame<'_> {
    fn new<'a>(across: &'a Across, panel: &'a Panel, top: f64) -> Frame<'a> {
        Frame { panel, top, across, up: panel.range.unwrap_or_else(|| range(&panel.layers)) }
    }

    fn x(&self, at: f64) -> f64 {
        match self.panel.hertz {
            Some((low, high)) => LEFT + PLOT * ((at / low).ln() / (high / low).ln()).clamp(0.0, 1.0),
            None => self.across.x(at),
        }
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.up;
        self.bottom() - self.panel.height * ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn bottom(&self) -> f64 {
        self.top + self.panel.height
    }

    fn draw(&self, svg: &mut Svg, figure: &Figure, is_first: bool, has_labels: bool) {
        svg.rect([LEFT, self.top, PLOT, self.panel.height], "#fbfbfb", 1.0);
        let over_time = self.panel.hertz.is_none();
        for span in figure.spans.iter().filter(|s| over_time && !s.is_bar) {
            let (from, to) = (self.x(span.between.0), self.x(span.between.1));
            svg.rect([from, self.top, (to - from).max(1.5), self.panel.height], span.ink.colour(), 0.16);
        }
        self.grid(svg, figure, has_labels);
        self.panel.layers.iter().for_each(|layer| self.layer(svg, layer));
        if over_time {
            self.breaks(svg);
        }
        for span in figure.spans.iter().filter(|s| is_first && s.is_bar) {
            let (from, to) = (self.x(span.between.0), self.x(span.between.1));
            svg.rect([from, self.top, (to - from).max(1.5), 5.0], span.ink.colour(), 0.9);
        }
        for flag in figure.flags.iter().filter(|_| over_time) {
            let x = self.x(flag.at);
            svg.line([x, self.top, x, self.bottom()], flag.ink.colour(), 1.1, "5 3");
        }
        for edge in [[LEFT, self.top, LEFT, self.bottom()], [LEFT, self.bottom(), LEFT + PLOT, self.bottom()]]
        {
            svg.line(edge, "#333333", 1.0, "");
        }
    }

    fn grid(&self, svg: &mut Svg, figure: &Figure, has_labels: bool) {
        let ups = axis::numbers(self.up.0, self.up.1, (self.panel.height / 38.0) as usize);
        for tick in &ups.ticks {
            let y = self.y(tick.at);
            svg.line([LEFT, y, LEFT + PLOT, y], "#dddddd", 0.8, "");
            svg.text((LEFT - 7.0, y + 4.0), &tick.label, PLAIN, Anchor::End);
        }
        let (quantity, unit) = &self.panel.quantity;
        let unit = match (ups.power, unit.is_empty()) {
            (Some(p), true) => format!(" (10{})", raised(p)),
            (Some(p), false) => format!(" (10{} {unit})", raised(p)),
            (None, true) => String::new(),
            (None, false) => format!(" ({unit})"),
        };
        let middle = self.top + self.panel.height / 2.0;
        svg.upright((20.0, middle), &format!("{quantity}{}{unit}", ups.less), PLAIN);
        let (ticks, name) = match self.panel.hertz {
            Some((low, high)) => (axis::decades(low, high), "frequency (Hz)"),
            None => axis::times(self.across, figure.is_dated, TICKS),
        };
        let name_y = if ticks.iter().any(|t| !t.below.is_empty()) { 46.0 } else { 34.0 };
        let mut ends = [f64::NEG_INFINITY; 2];
        for tick in ticks {
            let x = self.x(tick.at);
            svg.line([x, self.top, x, self.bottom()], "#e6e6e6", 0.8, "");
            svg.line([x, self.bottom(), x, self.bottom() + 4.0], "#333333", 1.0, "");
            for (end, (text, y)) in ends.iter_mut().zip([(&tick.label, 18.0), (&tick.below, 32.0)]) {
                let half = svg::width_of(text, PLAIN) / 2.0;
                // Within the picture, and not over the one before.
                let middle = x.min(WIDTH - 3.0 - half);
                if has_labels && !text.is_empty() && middle - half > *end {
                    svg.text((middle, self.bottom() + y), text, PLAIN, Anchor::Middle);
                    *end = middle + half + 4.0;
                }
            }
        }
        if has_labels {
            svg.text((LEFT + PLOT, self.bottom() + name_y), name, PLAIN, Anchor::End);
        }
    }

    /// Two strokes on a blank strip, where time is left out.
    fn breaks(&self, svg: &mut Svg) {
        for (left, right) in self.across.breaks() {
            svg.rect([left, self.top, right - left, self.panel.height], "#ffffff", 1.0);
            for x in [left, right] {
                for y in [self.top, self.bottom()] {
                    svg.line([x - 3.0, y + 5.0, x + 3.0, y - 5.0], "#333333", 1.2, "");
                }
            }
        }
    }

    /// The stretches of the horizontal axis; no line goes from one to the next.
    fn ranges(&self) -> Vec<(f64, f64)> {
        match self.panel.hertz {
            Some(hertz) => vec![hertz],
            None => self.across.pieces().iter().map(|p| (p.from, p.to)).collect(),
        }
    }

    fn layer(&self, svg: &mut Svg, layer: &Layer) {
        match layer {
            Layer::Line { ink, points, .. } => {
                for (from, to) in self.ranges() {
                    for piece in points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
                        let piece = piece.iter().filter(|(x, _)| (from..=to).contains(x));
                        let placed = piece.map(|(x, y)| (self.x(*x), self.y(*y)));
                        svg.polyline(&thinned(placed), *ink, 1.3);
                    }
                }
            }
            Layer::Band { ink, between, values: [low, middle, high], .. } => {
                let (from, to) = (self.x(between.0), self.x(between.1));
                let (lower, upper) = (self.y(*low), self.y(*high));
                svg.rect([from, upper, to - from, (lower - upper).max(1.0)], ink.colour(), 0.18);
                let y = self.y(*middle);
                svg.line([from, y, to, y], ink.colour(), 1.6, "");
            }
            Layer::Level { ink, value, .. } => {
                let y = self.y(*value);
                svg.line([LEFT, y, LEFT + PLOT, y], ink.colour(), 1.4, "7 4");
            }
        }
    }
}

/// Heading on the left, names on the right, on one line.
fn legend(svg: &mut Svg, figure: &Figure, panel: &Panel, y: f64, is_first: bool) {
    svg.text((LEFT, y), &panel.heading, BOLD, Anchor::Start);
    let mut names: Vec<(&str, Ink, Swatch)> = Vec::new();
    for layer in &panel.layers {
        names.push(match layer {
            Layer::Line { name, ink, .. } => (name, *ink, Swatch::Line),
            Layer::Band { name, ink, .. } => (name, *ink, Swatch::Band),
            Layer::Level { name, ink, .. } => (name, *ink, Swatch::Dashes),
        });
    }
    for span in figure.spans.iter().filter(|_| is_first) {
        let swatch = if span.is_bar { Swatch::Bar } else { Swatch::Shade };
        names.push((&span.name, span.ink, swatch));
    }
    let mut x = LEFT + PLOT;
    let mut told: Vec<&str> = Vec::new();
    for (name, ink, swatch) in names.into_iter().rev() {
        if told.contains(&name) {
            continue;
        }
        told.push(name);
        x -= svg::width_of(name, PLAIN);
        svg.text((x, y), name, PLAIN, Anchor::Start);
        let (left, colour) = (x - 28.0, ink.colour());
        match swatch {
            Swatch::Line => svg.line([left, y - 4.0, x - 6.0, y - 4.0], colour, 2.0, ""),
            Swatch::Dashes => svg.line([left, y - 4.0, x - 6.0, y - 4.0], colour, 1.6, "7 4"),
            Swatch::Bar => svg.rect([left, y - 7.0, 22.0, 5.0], colour, 0.9),
            Swatch::Shade => svg.rect([left, y - 10.0, 22.0, 11.0], colour, 0.25),
            Swatch::Band => {
                svg.rect([left, y - 10.0, 22.0, 11.0], colour, 0.2);
                svg.line([left, y - 4.0, x - 6.0, y - 4.0], colour, 1.6, "");
            }
        }
        x = left - 14.0;
    }
}

enum Swatch {
    Line,
    Dashes,
    Band,
    Shade,
    Bar,
}

/// What the layers need, with a little room.
fn range(layers: &[Layer]) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut reach = |v: f64| {
        if v.is_finite() {
            (low, high) = (low.min(v), high.max(v));
        }
    };
    for layer in layers {
        match layer {
            Layer::Line { points, .. } => points.iter().for_each(|(_, y)| reach(*y)),
            Layer::Band { values, .. } => values.iter().for_each(|v| reach(*v)),
            Layer::Level { value, .. } => reach(*value),
        }
    }
    if low > high {
        return (0.0, 1.0);
    }
    let span = high - low;
    let room =
        if span > high.abs().max(low.abs()) * 1e-12 { 0.06 * span } else { high.abs().max(1.0) * 0.01 };
    (low - room, high + room)
}

/// First, lowest, highest and last point of each pixel column, in their order.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    let mut column: Vec<(f64, f64)> = Vec::new();
    let mut tell = |column: &mut Vec<(f64, f64)>| {
        let by = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let all = 0..column.len();
        let mut kept: Vec<usize> = match column.len() {
            0..=4 => all.collect(),
            n => {
                [Some(0), all.clone().min_by(by), all.max_by(by), Some(n - 1)].into_iter().flatten().collect()
            }
        };
        kept.sort_unstable();
        kept.dedup();
        out.extend(kept.into_iter().map(|i| column[i]));
        column.clear();
    };
    for point in points {
        if column.first().is_some_and(|first| first.0.floor() < point.0.floor()) {
            tell(&mut column);
        }
        // Four extremes are enough of what has come so far, however much it is.
        if column.len() == MOST_IN_COLUMN {
            let (first, last) = (column[0], column[MOST_IN_COLUMN - 1]);
            let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
            let ends = [column.iter().min_by(by), column.iter().max_by(by)].map(|p| *p.unwrap_or(&first));
            column = vec![first, ends[0], ends[1], last];
        }
        column.push(point);
    }
    tell(&mut column);
    out
}

/// An exponent as it is written behind its base.
fn raised(power: i32) -> String {
    let digit = |c: char| match c.to_digit(10) {
        Some(n) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][n as usize],
        None => '⁻',
    };
    power.to_string().chars().map(digit).collect()
}

/// As much of a text as fits across.
fn fitted(text: &str, face: Face) -> String {
    if svg::width_of(text, face) <= PLOT {
        return text.to_owned();
    }
    let mut room = PLOT - svg::width_of("…", face);
    let fits = |c: &char| {
        room -= svg::width_of(c.encode_utf8(&mut [0; 4]), face);
        room >= 0.0
    };
    let kept: String = text.chars().take_while(fits).collect();
    format!("{}…", kept.trim_end())
}

/// A text in as many lines as it needs, up to [`MOST_LINES`].
fn wrapped(text: &str, face: Face) -> Vec<String> {
    // All lines but the first are set in.
    let most = PLOT - INDENT - svg::width_of(" ", face);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let is_full = lines.len() == MOST_LINES;
        match lines.last_mut() {
            Some(line) if is_full || svg::width_of(line, face) + svg::width_of(word, face) < most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| fitted(line, face)).collect()
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 92.0;
/// Width of the coordinate systems.
const PLOT: f64 = WIDTH - LEFT - 30.0;
/// Above a panel: heading and legend.
const HEAD: f64 = 26.0;
/// Below a panel: ticks, dates, the name of the axis.
const LABELS: f64 = 52.0;
/// Height of a line below the picture.
const NOTE: f64 = 18.0;
/// How far the second line of a note is set in.
const INDENT: f64 = 16.0;
const MOST_IN_COLUMN: usize = 4096;
/// Ticks of a time axis, about.
const TICKS: usize = 10;
/// Lines of one note.
const MOST_LINES: usize = 3;

#[cfg(test)]
mod tests;
