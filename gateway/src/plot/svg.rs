//! Elements of an SVG document as text: numbers short, words escaped.

use std::fmt::Write;

use super::Ink;

/// A document in the making. Coordinates are pixels from the upper left corner.
pub(super) struct Svg {
    width: f64,
    body: String,
}

/// Where a text stands with respect to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Size in pixels, weight and shade of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    pub(super) size: f64,
    pub(super) is_bold: bool,
    pub(super) colour: &'static str,
}

pub(super) const PLAIN: Face = Face { size: 12.0, is_bold: false, colour: "#333333" };
pub(super) const BOLD: Face = Face { size: 12.5, is_bold: true, colour: "#111111" };

impl Svg {
    pub(super) fn new(width: f64) -> Svg {
        Svg { width, body: String::new() }
    }

    /// The document; its height is known only now.
    pub(super) fn finish(self, height: f64, title: &str) -> String {
        let (w, h) = (Px(self.width), Px(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif\" role=\"img\">\n\
             <title>{}</title>\n<rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escaped(title),
            self.body
        )
    }

    pub(super) fn rect(&mut self, [x, y, w, h]: [f64; 4], fill: &str, opacity: f64) {
        self.put(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>",
            Px(x),
            Px(y),
            Px(w),
            Px(h)
        ));
    }

    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], colour: &str, width: f64, dash: &str) {
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        self.put(format_args!(
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{colour}\" stroke-width=\"{width}\"{dash}/>",
            Px(x1),
            Px(y1),
            Px(x2),
            Px(y2)
        ));
    }

    /// A line through all points; one alone is a dot.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let (Some(&(x, y)), colour) = (points.first(), ink.colour()) else { return };
        if points.len() == 1 {
            return self.circle((x, y), width, colour);
        }
        let mut path = String::new();
        for (x, y) in points {
            let _ = write!(path, "{},{} ", Px(*x), Px(*y));
        }
        self.put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            path.trim_end()
        ));
    }

    pub(super) fn circle(&mut self, (x, y): (f64, f64), r: f64, fill: &str) {
        self.put(format_args!("<circle cx=\"{}\" cy=\"{}\" r=\"{r}\" fill=\"{fill}\"/>", Px(x), Px(y)));
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), text: &str, face: Face, anchor: Anchor) {
        self.words(format_args!("x=\"{}\" y=\"{}\"", Px(x), Px(y)), text, face, anchor);
    }

    /// A text that reads upwards.
    pub(super) fn upright(&mut self, (x, y): (f64, f64), text: &str, face: Face) {
        let turned = format_args!("transform=\"translate({},{}) rotate(-90)\"", Px(x), Px(y));
        self.words(turned, text, face, Anchor::Middle);
    }

    fn words(&mut self, place: std::fmt::Arguments<'_>, text: &str, face: Face, anchor: Anchor) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if face.is_bold { " font-weight=\"bold\"" } else { "" };
        self.put(format_args!(
            "<text {place} font-size=\"{}\"{weight} fill=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            face.size,
            face.colour,
            escaped(text)
        ));
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{element}");
    }
}

/// About how wide a text is. No font is read here: these are the widths of DejaVu Sans, rounded up.
pub(super) fn width_of(text: &str, face: Face) -> f64 {
    let bold = if face.is_bold { 1.13 } else { 1.0 };
    text.chars().map(advance).sum::<f64>() * face.size * bold
}

/// Width of a character as a share of its size.
const fn advance(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '\'' => 0.3,
        ' ' | '.' | ',' | ':' | ';' | '/' | '|' | '-' | 'f' | '\u{B7}' => 0.37,
        't' | 'r' | '(' | ')' | '[' | ']' => 0.42,
        'c' | 's' | 'z' | 'k' | 'L' => 0.58,
        'm' | 'M' | 'W' | '%' | '@' => 1.0,
        'w' | '+' | '=' | '_' | '\u{B1}' | '\u{2212}' | 'D' | 'G' | 'H' | 'N' | 'O' | 'Q' | 'U' => 0.84,
        'a'..='z' | '0'..='9' => 0.64,
        'A'..='Z' => 0.7,
        _ => 1.0,
    }
}

/// What XML 1.0 keeps for itself is written as entities; characters it does not allow become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with one decimal; what is no number is drawn at 0.
struct Px(f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = if self.0.is_finite() { (self.0 * 10.0).round() } else { 0.0 };
        write!(f, "{}", (tenths + 0.0) / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_break_out_of_the_document() {
        let mut svg = Svg::new(10.0);
        svg.text((f64::NAN, -0.01), "<script>\"&\u{1}\u{FFFE}", PLAIN, Anchor::End);
        let text = svg.finish(10.0, "</title>");
        assert!(text.contains("&lt;script&gt;&quot;&amp;\u{FFFD}\u{FFFD}"), "{text}");
        assert!(text.contains("x=\"0\" y=\"0\"") && text.contains("<title>&lt;/title&gt;</title>"), "{text}");
    }
}
