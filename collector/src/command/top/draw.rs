//! Draws what is looked at, on a terminal of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row as Drawn, Table, TableState};

use super::rows::{Cell, Column, Row, columns};
use super::state::{RANGES, State, View};
use crate::command::text::{plain, time};

const HELP: [&str; 12] = [
    "1 2 3, Tab   functions, stalls, workers",
    "up down j k  walk the rows",
    "PgUp PgDn    ten at a time; g G first and last",
    "Enter        look into a function: cost, stacks, episodes",
    "Esc          back; clears the filter",
    "/            filter by words; Enter keeps it, Esc clears it",
    "s            sort by the next column",
    "S            turn the order round",
    "[ ]          a shorter or a longer range",
    "?            this",
    "q, Ctrl-C    end",
    "!            marks what has not returned yet",
];

/// A column's space to the next.
const GAP: u16 = 1;

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let parts = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(heading(state), head);
    match &mut state.opened {
        Some(opened) => {
            let title = plain(&format!("{} in {}", opened.names.1, opened.names.0));
            let mut lines = vec![Line::from(Span::styled(title, strong()))];
            lines.extend(opened.lines.iter().map(|line| Line::from(line.as_str())));
            frame.render_widget(Paragraph::new(lines).scroll((opened.scroll, 0)), body);
        }
        None => list(frame, state, body),
    }
    frame.render_widget(footing(state), foot);
    if state.help {
        help(frame);
    }
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn heading(state: &State) -> Line<'static> {
    let mut spans = vec![Span::styled("holdup ", strong())];
    for (number, view) in (1..).zip(View::ALL) {
        let style = if view == state.view {
            strong().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        spans.push(Span::styled(format!(" {number} {} ", view.title()), style));
    }
    let range = match state.view {
        View::Functions => RANGES[state.range].0,
        View::Stalls => "this moment",
        View::Workers => "1m",
    };
    let range = if state.opened.is_some() { RANGES[state.range].0 } else { range };
    let at = state.answered_ms.map(time).unwrap_or_default();
    spans.push(Span::raw(format!("  last {range}  {at}").replace("last this", "at this")));
    Line::from(spans)
}

/// Trouble first, then what is typed, then the keys.
fn footing(state: &State) -> Line<'static> {
    if let Some(trouble) = &state.trouble {
        let text = format!("LOST, trying again: {}", plain(trouble));
        return Line::from(Span::styled(text, strong().fg(Color::Red)));
    }
    if state.typing || !state.filter.is_empty() {
        let cursor = if state.typing { "_" } else { "  (Esc clears)" };
        return Line::from(format!("/{}{cursor}", plain(&state.filter)));
    }
    let keys = match state.opened {
        Some(_) => "Esc back  up/down scroll  [ ] range  ? help  q quit",
        None => "Enter open  / filter  s sort  [ ] range  Tab view  ? help  q quit",
    };
    Line::from(Span::styled(keys, Style::new().add_modifier(Modifier::DIM)))
}

fn list(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let shown = state.shown();
    if shown.is_empty() {
        frame.render_widget(Paragraph::new(nothing(state)), area);
        return;
    }
    let kept: Vec<(usize, &Column)> = columns(state.view)
        .iter()
        .enumerate()
        .filter(|(_, c)| c.from_width <= area.width)
        .collect();
    let taken: u16 = kept.iter().map(|(_, column)| column.width + GAP).sum();
    let left = area.width.saturating_sub(taken.saturating_sub(GAP)).max(1);
    let width = |column: &Column| if column.width == 0 { left } else { column.width };
    let titles = kept.iter().map(|(at, column)| {
        let mark = match (*at == state.sorted_by, state.reversed) {
            (true, false) => "*",
            (true, true) => "^",
            (false, _) => "",
        };
        aligned(&format!("{}{mark}", column.title), column, width(column))
    });
    let header = Drawn::new(titles.collect::<Vec<_>>()).style(strong());
    let rows = shown.iter().map(|row| drawn(row, &kept, width));
    let table = Table::new(rows, kept.iter().map(|(_, column)| width(column)))
        .header(header)
        .column_spacing(GAP)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::new().with_selected(Some(state.selected(&shown)));
    frame.render_stateful_widget(table, area, &mut at);
}

fn drawn(row: &Row, kept: &[(usize, &Column)], width: impl Fn(&Column) -> u16) -> Drawn<'static> {
    let nothing = Cell { text: String::new(), weight: 0 };
    let cells = kept.iter().map(|(at, column)| {
        let text = &row.cells.get(*at).unwrap_or(&nothing).text;
        aligned(text, column, width(column))
    });
    let style = if row.stalled { Style::new().fg(Color::Red) } else { Style::new() };
    Drawn::new(cells.collect::<Vec<_>>()).style(style)
}

/// The end of a path tells most: what does not fit is cut at the beginning.
fn aligned(text: &str, column: &Column, width: u16) -> Line<'static> {
    let fits = |text: &str| Span::raw(text).width() <= usize::from(width);
    let mut cut = text.to_owned();
    if !fits(text) {
        let mut characters = text.chars();
        while characters.next().is_some() {
            cut = format!("…{}", characters.as_str());
            if fits(&cut) {
                break;
            }
        }
    }
    let line = Line::from(cut);
    if column.right { line.right_aligned() } else { line }
}

fn nothing(state: &State) -> String {
    let said = match (state.answered_ms, state.filter.is_empty(), state.view) {
        (None, ..) => "asking…",
        (_, false, _) => "nothing matches the filter",
        (_, _, View::Functions) => "nothing blocked in this range: ] chooses a longer one",
        (_, _, View::Stalls) => "no poll holds a thread at this moment",
        (_, _, View::Workers) => "no worker was held in the last minute",
    };
    said.to_owned()
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (62.min(area.width), 14.min(area.height));
    let over = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, over);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), over);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::state::State;
    use super::super::state::tests::{answer, issue, press};
    use super::draw;

    /// The lines that a terminal of this size shows.
    fn lines(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let cells = terminal.backend().buffer().content();
        let row =
            |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect();
        cells.chunks(usize::from(width).max(1)).map(row).collect()
    }

    #[test]
    fn any_size_is_drawn_whatever_is_looked_at() {
        let hostile = "a::\u{1b}]0;x\u{7}\u{202e}\u{9b}2J::漢字::\u{301}".repeat(40);
        for keys in ["", "?", "/a", "\n", "2", "3", "s", "]"] {
            let mut state = State::new(1);
            answer(&mut state, vec![issue(&hostile, 3), issue("b", 2)]);
            press(&mut state, keys);
            answer(&mut state, vec![issue(&hostile, 3), issue("b", 2)]);
            for (width, height) in [(0, 0), (1, 1), (3, 2), (20, 5), (80, 24), (300, 80)] {
                let text = lines(&mut state, width, height).concat();
                assert!(!text.chars().any(char::is_control), "{keys:?} {width}×{height}: {text:?}");
            }
        }
    }

    #[test]
    fn eighty_columns_show_the_end_of_a_long_name() {
        let mut state = State::new(1);
        let long = format!("{}::charges_card", "shop::checkout::handlers".repeat(5));
        answer(&mut state, vec![issue(&long, 1_500_000_000), issue("shop::list", 2)]);
        let lines = lines(&mut state, 80, 24);
        assert!(lines[1].contains("BLOCKED*") && lines[1].contains("FUNCTION"), "{lines:#?}");
        assert!(lines[2].contains("1.5 s") && lines[2].contains("::charges_card"), "{lines:#?}");
        assert!(lines[23].contains("? help"), "{lines:#?}");
    }
}
