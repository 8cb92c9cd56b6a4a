//! Plots: failed requests and time to recover over the start-up cost, an arm a line, predictions dashed.

use super::arm::Arm;
use super::cell::CellResult;
use super::stats::{Figures, Spread, figures};
use std::fmt::Write;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const COLOURS: [&str; 7] = [
    "#777777", "#c0392b", "#1f77b4", "#2ca02c", "#e67e22", "#8e44ad", "#16a085",
];

/// A logarithmic axis.
#[derive(Clone, Copy)]
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, least: f64) -> Self {
        let (from, to) = values.fold((f64::MAX, least), |(from, to), value| {
            (from.min(value), to.max(value))
        });
        let from = from.clamp(least, to);
        Self {
            from: 10_f64.powf(from.log10().floor()),
            to: 10_f64.powf(to.log10().ceil().max(from.log10().floor() + 1.0)),
        }
    }

    /// From 0 to 1; what is below the axis stands at its foot.
    fn place(self, value: f64) -> f64 {
        let value = value.clamp(self.from, self.to);
        (value / self.from).log10() / (self.to / self.from).log10()
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let mut tick = self.from;
        std::iter::from_fn(move || {
            let this = tick;
            tick *= 10.0;
            (this <= self.to * 1.001).then_some(this)
        })
    }
}

/// What is plotted of a cell: where, how high, from, to, and the prediction.
struct Point {
    arm: Arm,
    x: f64,
    y: f64,
    low: f64,
    high: f64,
    predicted: Option<f64>,
}

/// Quartiles, what stands for them, and the prediction.
type Plotted = (Spread, f64, Option<f64>);

pub(crate) fn plot(results: &[CellResult], title: &str) -> String {
    let cells: Vec<(&CellResult, Figures)> = results
        .iter()
        .map(|result| (result, figures(result)))
        .collect();
    let points = |of: &dyn Fn(&Figures) -> Plotted| -> Vec<Point> {
        let of = |(result, figures): &(&CellResult, Figures)| {
            let (spread, y, predicted) = of(figures);
            let x = result.cell.cost;
            Point {
                arm: result.cell.arm,
                x,
                y,
                low: spread.low,
                high: spread.high,
                predicted,
            }
        };
        cells.iter().map(of).collect()
    };
    let failed = points(&|figures| (figures.failed, figures.failed.mean, Some(figures.predicted)));
    let recover = points(&|figures| (figures.recover, figures.recover.median, None));
    let (all_width, all_height) = (2.0 * (WIDTH + LEFT) + 40.0, HEIGHT + TOP + 150.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all_width}\" height=\"{all_height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{title}</text>\n"
    );
    chart(
        &mut svg,
        0.0,
        "failed requests per fault (mean; bars: quartiles; dashed: predicted)",
        &failed,
        1.0,
    );
    chart(
        &mut svg,
        WIDTH + LEFT + 20.0,
        "seconds from the fault to the recovery (median)",
        &recover,
        0.01,
    );
    legend(&mut svg, &failed);
    svg.push_str("</svg>\n");
    svg
}

fn chart(svg: &mut String, shift: f64, title: &str, points: &[Point], least: f64) {
    let across = Axis::over(points.iter().map(|point| point.x), 0.01);
    let values = points.iter().flat_map(|point| {
        [
            point.y,
            point.low,
            point.high,
            point.predicted.unwrap_or(point.y),
        ]
    });
    let up = Axis::over(values, least);
    let (left, foot) = (LEFT + shift, TOP + HEIGHT);
    let x = |value: f64| left + across.place(value) * (WIDTH - 20.0);
    let y = |value: f64| foot - up.place(value) * (HEIGHT - 20.0);
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">{title}</text>", TOP + 4.0);
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {} V{foot} H{}\" fill=\"none\" stroke=\"black\"/>",
        TOP + 10.0,
        left + WIDTH
    );
    for tick in up.ticks() {
        let at = y(tick);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{tick}</text>",
            left - 6.0,
            at + 4.0
        );
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at} h{WIDTH}\" stroke=\"#dddddd\"/>"
        );
    }
    for tick in across.ticks() {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{tick} s</text>",
            x(tick),
            foot + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">start-up of the process (aimed at)</text>",
        left + WIDTH / 2.0,
        foot + 32.0
    );
    for (arm, colour) in Arm::ALL.iter().zip(COLOURS) {
        let own: Vec<&Point> = points.iter().filter(|point| point.arm == *arm).collect();
        let line = |of: &dyn Fn(&Point) -> Option<f64>| -> String {
            let places = own
                .iter()
                .filter_map(|point| Some(format!("{:.1},{:.1}", x(point.x), y(of(point)?))));
            places.collect::<Vec<_>>().join(" ")
        };
        let (measured, predicted) = (line(&|point| Some(point.y)), line(&|point| point.predicted));
        let _ = writeln!(
            svg,
            "<polyline points=\"{measured}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let _ = writeln!(
            svg,
            "<polyline points=\"{predicted}\" fill=\"none\" stroke=\"{colour}\" stroke-dasharray=\"4 4\"/>"
        );
        for point in own {
            let (x, low, high) = (x(point.x), y(point.low), y(point.high));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/><path d=\"M{x:.1} {low:.1} V{high:.1}\" stroke=\"{colour}\"/>",
                y(point.y)
            );
        }
    }
}

fn legend(svg: &mut String, points: &[Point]) {
    let foot = TOP + HEIGHT + 60.0;
    let present = Arm::ALL
        .iter()
        .zip(COLOURS)
        .filter(|(arm, _)| points.iter().any(|point| point.arm == **arm));
    for ((arm, colour), place) in present.zip(0_u32..) {
        let (x, y) = (
            LEFT + f64::from(place % 4) * 190.0,
            foot + f64::from(place / 4) * 20.0,
        );
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y} h24\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 30.0,
            y + 4.0,
            arm.name()
        );
    }
}
