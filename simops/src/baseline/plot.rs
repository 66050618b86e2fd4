//! Draws the windows of a baseline as SVG, with one small chart per metric.

use std::fmt::Write;

use super::Metrics;
use super::window::FIGURES;
use crate::number::{rounded, to_f64};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 150.0;
const COLUMNS: usize = 2;
/// Margins of a chart, for its title and labels.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 26.0;
/// The height of the document's header.
const HEADER: f64 = 44.0;

/// Draws the windows of `metrics` as an SVG document. A window without a value leaves a gap in the
/// line.
pub fn svg(metrics: &Metrics) -> String {
    let rows = FIGURES.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * to_f64(COLUMNS), HEADER + HEIGHT * to_f64(rows));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"#1f2937\">\n<title>Baseline of {at}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"15\" font-weight=\"600\">Baseline of {at}: \
         {windows} windows of {minutes} minutes</text>\n",
        at = metrics.generated_at_utc,
        windows = metrics.windows,
        minutes = metrics.window_minutes,
    );
    for (index, (_, title, figure)) in FIGURES.iter().enumerate() {
        let x = to_f64(index % COLUMNS) * WIDTH;
        let y = HEADER + to_f64(index / COLUMNS) * HEIGHT;
        // Writing to a `String` cannot fail.
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        let values: Vec<_> = metrics.rows.iter().map(figure).collect();
        chart(&mut svg, title, &values, metrics);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn chart(svg: &mut String, title: &str, values: &[Option<f64>], metrics: &Metrics) {
    let max = values.iter().flatten().copied().fold(0.0, f64::max);
    let scale = if max > 0.0 { max } else { 1.0 };
    let (right, axis) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let step = (right - LEFT) / to_f64(values.len().saturating_sub(1).max(1));
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"18\" font-weight=\"600\">{title}</text>\n\
         <line x1=\"{LEFT}\" y1=\"{axis}\" x2=\"{right}\" y2=\"{axis}\" stroke=\"#9ca3af\"/>\n\
         <text x=\"{label}\" y=\"{top}\" text-anchor=\"end\" font-size=\"10\">{max}</text>\n\
         <text x=\"{label}\" y=\"{axis}\" text-anchor=\"end\" font-size=\"10\">0</text>\n",
        label = LEFT - 6.0,
        top = TOP + 8.0,
        max = rounded(max, 3),
    );
    if let (Some(first), Some(last)) = (metrics.rows.first(), metrics.rows.last()) {
        let below = axis + 14.0;
        let time = |at: jiff::Timestamp| at.strftime("%H:%M").to_string();
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{below}\" font-size=\"10\">{}</text>\n\
             <text x=\"{right}\" y=\"{below}\" text-anchor=\"end\" font-size=\"10\">{} UTC</text>\n",
            time(first.window_end_utc),
            time(last.window_end_utc),
        );
    }
    let points: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let y = value.map(|value| axis - value / scale * (axis - TOP));
            (LEFT + to_f64(index) * step, y)
        })
        .collect();
    for line in points.split(|(_, y)| y.is_none()).filter(|line| !line.is_empty()) {
        let points: Vec<_> =
            line.iter().filter_map(|(x, y)| y.map(|y| format!("{x:.1},{y:.1}"))).collect();
        let points = points.join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"1.8\"/>"
        );
    }
    for (x, y) in points.iter().filter_map(|(x, y)| y.map(|y| (x, y))) {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\" fill=\"#2563eb\"/>");
    }
}
