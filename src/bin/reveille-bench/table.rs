//! What runs find, and how it is printed: for people, as JSON, as Markdown. It measures nothing.

use serde::Serialize;

use super::BenchContext;
use super::counted;
use reveille::cli::printer::{Cell, PrintError, Style, Table};

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figure {
    /// The run, with its sizes.
    pub(super) run: String,
    /// What was measured.
    pub(super) figure: &'static str,
    pub(super) value: f64,
    /// `/s`, `ms`, `µs`, `MiB`; empty for plain counts.
    pub(super) unit: &'static str,
    at_least: Option<f64>,
    at_most: Option<f64>,
    /// Whether the target is reached; none: there is no target.
    reached: Option<bool>,
    /// The same figure of the raw limit.
    raw: Option<f64>,
    /// How near the figure is to the raw limit: 1 is as good.
    ratio: Option<f64>,
}

impl Figure {
    pub(super) fn new(run: &str, figure: &'static str, value: f64, unit: &'static str) -> Figure {
        let run = run.to_owned();
        Figure { run, figure, value, unit, at_least: None, at_most: None, reached: None, raw: None, ratio: None }
    }

    /// The target: no less.
    pub(super) fn at_least(self, target: f64) -> Figure {
        Figure { at_least: Some(target), reached: Some(self.value >= target), ..self }
    }

    /// The target: no more.
    pub(super) fn at_most(self, target: f64) -> Figure {
        Figure { at_most: Some(target), reached: Some(self.value <= target), ..self }
    }

    /// Sets `raw` beside it. Of rates the greater is better, of all else the smaller.
    pub(super) fn beside(self, raw: f64) -> Figure {
        let ratio = if self.unit == "/s" { self.value / raw } else { raw / self.value };
        Figure { raw: Some(raw), ratio: Some(ratio).filter(|ratio| ratio.is_finite()), ..self }
    }

    fn cells(&self) -> [String; 6] {
        let shown = |value: f64| format!("{} {}", number(value), self.unit).trim_end().to_owned();
        let target = match (self.at_least, self.at_most) {
            (Some(least), _) => format!("≥ {}", shown(least)),
            (_, Some(most)) => format!("≤ {}", shown(most)),
            _ => String::new(),
        };
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let raw = self.raw.map(shown).unwrap_or_default();
        [self.run.clone(), self.figure.to_owned(), shown(self.value), target, raw, ratio]
    }

    fn style(&self) -> Style {
        match self.reached {
            Some(true) => Style::Good,
            Some(false) => Style::Bad,
            None => Style::Plain,
        }
    }
}

const HEADINGS: [&str; 6] = ["RUN", "FIGURE", "MEASURED", "TARGET", "RAW LIMIT", "RATIO"];

/// Prints `figures`: a table, or one JSON object each.
///
/// # Errors
/// When standard output takes no more.
pub(super) fn print(figures: &[Figure], context: &mut BenchContext) -> Result<(), PrintError> {
    if context.printer.json() {
        return figures.iter().try_for_each(|figure| context.printer.object(figure));
    }
    let mut table = Table::new(&HEADINGS);
    for figure in figures {
        let [run, what, value, target, raw, ratio] = figure.cells();
        let style = figure.style();
        table.row([
            Cell::plain(run),
            Cell::plain(what),
            Cell::new(value, style),
            Cell::new(target, Style::Faint),
            Cell::plain(raw),
            Cell::plain(ratio),
        ]);
    }
    context.printer.table(&table)
}

/// `figures` as a Markdown table. What misses its target is in bold type.
pub(super) fn markdown(figures: &[Figure]) -> String {
    let mut text =
        "| run | figure | measured | target | raw limit | ratio |\n|---|---|---:|---:|---:|---:|\n".to_owned();
    let mut last = "";
    for figure in figures {
        let [_, what, value, target, raw, ratio] = figure.cells();
        let value = if figure.reached == Some(false) { format!("**{value}**") } else { value };
        let run = if figure.run == last { "" } else { &figure.run };
        text += &format!("| {run} | {what} | {value} | {target} | {raw} | {ratio} |\n");
        last = &figure.run;
    }
    text
}

/// Three digits where that says more than a whole number, else a grouped one.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 && value.abs() < 1e15 => whole(value),
        magnitude if magnitude >= 100.0 => whole(value.round()),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn whole(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", counted(value.abs() as u64))
}

#[cfg(test)]
mod tests {
    use super::{Figure, markdown};

    #[test]
    fn ratios_say_how_near_the_limit_is_whatever_is_better() {
        assert_eq!(Figure::new("a", "rate", 30_000.0, "/s").beside(60_000.0).ratio, Some(0.5));
        assert_eq!(Figure::new("a", "time", 10.0, "ms").beside(5.0).ratio, Some(0.5));
        assert_eq!(Figure::new("a", "rate", 0.0, "/s").beside(0.0).ratio, None);
    }

    #[test]
    fn markdown_names_a_run_once_and_marks_what_is_missed() {
        let figures = [
            Figure::new("fire", "delivered", 26_543.2, "/s").at_least(27_000.0).beside(60_000.0),
            Figure::new("fire", "lateness, p99", 99.96, "ms").at_most(500.0),
            Figure::new("idle", "wake-ups", 0.0, "").at_most(2.0),
        ];
        let text = markdown(&figures);
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| fire | delivered | **26,543 /s** | ≥ 27,000 /s | 60,000 /s | 0.44 |",
                "|  | lateness, p99 | 100.0 ms | ≤ 500 ms |  |  |",
                "| idle | wake-ups | 0 | ≤ 2 |  |  |",
            ]
        );
    }
}
