//! Plots of a run's CSV: what a fault cost over the start-up cost, an arm a line, predictions dashed.

use super::Failure;
use super::arm::Arm;
use super::stats::Spread;
use std::fmt::Write;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 300.0;
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

/// A figure: its title, the column of the CSV, that of its prediction, whether it is the mean of the faults
/// or the middle one, and the least value that the axis begins with.
struct Panel {
    title: &'static str,
    column: &'static str,
    predicted: Option<&'static str>,
    is_mean: bool,
    least: f64,
}

const fn panel(title: &'static str, column: &'static str, is_mean: bool, least: f64) -> Panel {
    Panel {
        title,
        column,
        predicted: None,
        is_mean,
        least,
    }
}

const PANELS: [Panel; 6] = [
    Panel {
        predicted: Some("predicted"),
        ..panel(
            "failed requests per fault (mean; dashed: predicted)",
            "failed",
            true,
            1.0,
        )
    },
    panel(
        "failed actions per fault (mean)",
        "failed_actions",
        true,
        1.0,
    ),
    panel("sessions lost per fault (mean)", "lost_sessions", true, 1.0),
    panel(
        "seconds until it was noticed (median)",
        "detect_s",
        false,
        0.1,
    ),
    panel(
        "seconds until it was well (median)",
        "recover_s",
        false,
        0.1,
    ),
    panel(
        "p99 of the requests until it was well, in seconds (median)",
        "p99_s",
        false,
        0.01,
    ),
];
const ACROSS: u8 = 3;

/// What is plotted of a cell: where, how high, from, to, and the prediction.
struct Point {
    arm: Arm,
    x: f64,
    y: f64,
    low: f64,
    high: f64,
    predicted: Option<f64>,
}

/// An arm, a start-up cost, and the lines of its faults.
type Cell<'s, 'a> = (Arm, f64, Vec<&'s [&'a str]>);

/// The lines of a CSV, by the names of its columns.
struct Sheet<'a> {
    names: Vec<&'a str>,
    lines: Vec<Vec<&'a str>>,
}

impl<'a> Sheet<'a> {
    fn read(csv: &'a str) -> Self {
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        Self {
            names: lines.next().unwrap_or_default(),
            lines: lines.collect(),
        }
    }

    fn column(&self, name: &str) -> Result<usize, Failure> {
        let place = self.names.iter().position(|other| *other == name);
        place.ok_or_else(|| format!("the CSV has no column {name}").into())
    }

    /// The cells, in their order: arm and cost, with the lines of each.
    fn cells(&self) -> Result<Vec<Cell<'_, 'a>>, Failure> {
        let (arm, cost) = (self.column("arm")?, self.column("cost_s")?);
        let mut cells: Vec<Cell<'_, '_>> = Vec::new();
        for line in &self.lines {
            let named = line.get(arm).and_then(|name| Arm::named(name));
            let named = named.ok_or("a line of the CSV has no arm")?;
            let cost: f64 = line.get(cost).ok_or("a line is cut off")?.parse()?;
            let cell = cells
                .iter_mut()
                .find(|(other, at, _)| *other == named && at.to_bits() == cost.to_bits());
            match cell {
                Some((.., lines)) => lines.push(line),
                None => cells.push((named, cost, vec![line])),
            }
        }
        Ok(cells)
    }

    fn points(&self, panel: &Panel) -> Result<Vec<Point>, Failure> {
        let column = self.column(panel.column)?;
        let predicted = panel.predicted.map(|name| self.column(name)).transpose()?;
        let spread = |lines: &[&[&str]], column: usize| {
            // What never was, an empty field, is in no figure.
            let fields = lines.iter().filter_map(|line| line.get(column));
            Spread::of(fields.filter_map(|field| field.parse().ok()))
        };
        let of = |(arm, x, lines): Cell<'_, '_>| {
            let measured = spread(&lines, column);
            Point {
                arm,
                x,
                y: if panel.is_mean {
                    measured.mean
                } else {
                    measured.median
                },
                low: measured.low,
                high: measured.high,
                predicted: predicted.map(|column| spread(&lines, column).mean),
            }
        };
        Ok(self.cells()?.into_iter().map(of).collect())
    }
}

/// The plot of a run's CSV.
pub(crate) fn plot(csv: &str, title: &str) -> Result<String, Failure> {
    let sheet = Sheet::read(csv);
    let (wide, high) = (WIDTH + LEFT + 20.0, HEIGHT + TOP + 50.0);
    let (all_width, all_height) = (f64::from(ACROSS) * wide + 20.0, 2.0 * high + 60.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all_width}\" height=\"{all_height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{title}; bars: quartiles</text>\n"
    );
    for (panel, place) in PANELS.iter().zip(0_u8..) {
        let corner = (
            f64::from(place % ACROSS) * wide,
            f64::from(place / ACROSS) * high,
        );
        chart(&mut svg, corner, panel, &sheet.points(panel)?);
    }
    legend(&mut svg, &sheet.points(&PANELS[0])?, 2.0 * high + 30.0);
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn chart(svg: &mut String, (shift, down): (f64, f64), panel: &Panel, points: &[Point]) {
    let across = Axis::over(points.iter().map(|point| point.x), 0.01);
    let values = points.iter().flat_map(|point| {
        [
            point.y,
            point.low,
            point.high,
            point.predicted.unwrap_or(point.y),
        ]
    });
    let up = Axis::over(values, panel.least);
    let (left, top) = (LEFT + shift, TOP + down);
    let foot = top + HEIGHT;
    let x = |value: f64| left + across.place(value) * (WIDTH - 20.0);
    let y = |value: f64| foot - up.place(value) * (HEIGHT - 20.0);
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\">{}</text>",
        top + 4.0,
        panel.title
    );
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {} V{foot} H{}\" fill=\"none\" stroke=\"black\"/>",
        top + 10.0,
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

fn legend(svg: &mut String, points: &[Point], foot: f64) {
    let present = Arm::ALL
        .iter()
        .zip(COLOURS)
        .filter(|(arm, _)| points.iter().any(|point| point.arm == **arm));
    for ((arm, colour), place) in present.zip(0_u32..) {
        let (x, y) = (LEFT + f64::from(place) * 190.0, foot);
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y} h24\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{}\" y=\"{}\">{}</text>",
            x + 30.0,
            y + 4.0,
            arm.name()
        );
    }
}
