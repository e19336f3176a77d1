use super::*;

fn line(points: &[(f64, f64)]) -> Layer {
    Layer::Line { name: "measured".into(), ink: Ink::Blue, points: points.to_vec() }
}

fn panel(layers: Vec<Layer>) -> Panel {
    let quantity = ("value".to_owned(), "Hz".to_owned());
    Panel { heading: "Trend".into(), quantity, range: None, height: 200.0, hertz: None, layers }
}

fn figure(panels: Vec<Panel>) -> Figure {
    Figure {
        title: "shaft <1>".into(),
        subtitle: String::new(),
        time: vec![Stretch { between: (0.0, 10.0), clock_s: 0.0 }],
        is_dated: false,
        panels,
        spans: Vec::new(),
        flags: Vec::new(),
        notes: Vec::new(),
    }
}

#[test]
fn a_figure_of_nothing_of_no_numbers_and_of_one_value_is_drawn() {
    let nan = f64::NAN;
    for points in
        [vec![], vec![(nan, 1.0), (1.0, nan), (2.0, f64::INFINITY)], vec![(5.0, 1e300)], vec![(5.0, 0.0)]]
    {
        let text = svg(&figure(vec![panel(vec![line(&points)])]));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{points:?}");
        assert!(text.contains("shaft &lt;1&gt;"), "{text}");
    }
}

#[test]
fn a_line_breaks_where_nothing_was_measured() {
    let points = [(0.0, 1.0), (1.0, 2.0), (1.5, f64::NAN), (2.0, 1.0), (3.0, 2.0)];
    assert_eq!(svg(&figure(vec![panel(vec![line(&points)])])).matches("<polyline").count(), 2);
}

#[test]
fn a_million_points_cost_what_the_pixels_cost_and_keep_their_extremes() {
    let mut points: Vec<(f64, f64)> = (0..1_000_000).map(|i| (f64::from(i) * 1e-5, 0.0)).collect();
    (points[123_456].1, points[654_321].1) = (7.0, -7.0);
    let kept = thinned(points.iter().map(|(x, y)| (x * 100.0, *y)));
    assert!(kept.len() <= 4 * 1001, "{}", kept.len());
    assert!(kept.iter().any(|p| p.1 == 7.0) && kept.iter().any(|p| p.1 == -7.0));
    assert!(kept.windows(2).all(|w| w[0].0 <= w[1].0), "in order");
}

#[test]
fn flags_that_are_close_stand_in_rows_and_what_finds_no_room_is_counted() {
    let mut close = figure(vec![panel(vec![line(&[(0.0, 0.0), (10.0, 1.0)])])]);
    close.flags = (1..=6).map(|n| Flag { name: n.to_string(), ink: Ink::Vermillion, at: 5.0 }).collect();
    assert_eq!(flags::rows(&close, &Across::new(&close.time)), 4);
    let text = svg(&close);
    assert!(text.contains(">+2</text>"), "{text}");
    close.flags[5].at = 9.0;
    assert!(svg(&close).contains(">+1</text>"));
}

#[test]
fn no_line_goes_over_a_break_and_no_text_over_the_edge() {
    let mut broken = figure(vec![panel(vec![line(&[(0.0, 1.0), (1.0, 2.0), (2.0, 1.0), (3.0, 2.0)])])]);
    let stretch = |from, to| Stretch { between: (from, to), clock_s: 1.7e9 + from };
    (broken.time, broken.is_dated) = (vec![stretch(0.0, 1.0), stretch(2.0, 3.0)], true);
    broken.notes = vec!["a note that goes on and on ".repeat(20)];
    broken.subtitle = "0123456789".repeat(30);
    let text = svg(&broken);
    assert_eq!(text.matches("<polyline").count(), 2);
    let words = text.lines().filter(|l| l.starts_with("<text x=")).collect::<Vec<_>>();
    let number = |line: &str, name: &str| -> f64 {
        let from = line.find(name).unwrap() + name.len();
        line[from..].split('"').next().unwrap().parse().unwrap()
    };
    for word in &words {
        let shown = word.split_once('>').unwrap().1.split_once('<').unwrap().0;
        let size = number(word, "font-size=\"");
        let is_bold = word.contains("bold");
        let width = svg::width_of(shown, Face { size, is_bold, colour: "" });
        let right = match () {
            () if word.contains("\"start\"") => number(word, " x=\"") + width,
            () if word.contains("\"middle\"") => number(word, " x=\"") + width / 2.0,
            () => number(word, " x=\""),
        };
        assert!(right <= WIDTH, "{word}");
    }
    assert!(words.iter().filter(|w| w.contains("goes on")).count() > 1, "a long note has several lines");
}
