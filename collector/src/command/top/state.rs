//! What is looked at, and what keys and answers make of it.

use std::cmp::Reverse;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::asker::{Found, News, Wanted};
use super::rows::{Row, columns, lines_of_function, rows};

/// The ranges that can be chosen, and how long each is, ms.
pub(super) const RANGES: [(&str, u64); 7] = [
    ("1m", 60_000),
    ("5m", 300_000),
    ("15m", 900_000),
    ("1h", 3_600_000),
    ("6h", 21_600_000),
    ("24h", 86_400_000),
    ("7d", 604_800_000),
];
/// The most characters of a filter.
const FILTER_MAX: usize = 100;
/// The rows that a page of keys goes.
const PAGE: isize = 10;

/// The index of a range.
pub(super) fn range(text: &str) -> Result<usize, String> {
    let known = RANGES.map(|(name, _)| name);
    let at = known.iter().position(|name| *name == text);
    at.ok_or_else(|| format!("choose one of {}", known.join(", ")))
}

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Functions,
    Stalls,
    Workers,
}

impl View {
    pub(super) const ALL: [Self; 3] = [Self::Functions, Self::Stalls, Self::Workers];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Functions => "Functions",
            Self::Stalls => "Stalls",
            Self::Workers => "Workers",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Functions => Self::Stalls,
            Self::Stalls => Self::Workers,
            Self::Workers => Self::Functions,
        }
    }
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Draw,
    Ask,
    Quit,
}

/// One function, looked into.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) names: (String, String),
    pub(super) lines: Vec<String>,
    pub(super) scroll: u16,
}

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) view: View,
    pub(super) range: usize,
    pub(super) sorted_by: usize,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) typing: bool,
    pub(super) help: bool,
    pub(super) opened: Option<Opened>,
    /// Why there was no answer.
    pub(super) trouble: Option<String>,
    /// When the last answer was asked for.
    pub(super) answered_ms: Option<u64>,
    rows: Vec<Row>,
    selected: Option<String>,
    at: usize,
}

impl State {
    pub(super) fn new(range: usize) -> Self {
        Self {
            view: View::Functions,
            range,
            sorted_by: 0,
            reversed: false,
            filter: String::new(),
            typing: false,
            help: false,
            opened: None,
            trouble: None,
            answered_ms: None,
            rows: Vec::new(),
            selected: None,
            at: 0,
        }
    }

    /// What is to be asked for.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            view: self.view,
            range: self.range,
            search: self.filter.clone(),
            opened: self.opened.as_ref().map(|opened| opened.names.clone()),
        }
    }

    /// The rows that the filter leaves, in order.
    pub(super) fn shown(&self) -> Vec<&Row> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let has = |row: &&Row| {
            let text: Vec<String> = row.cells.iter().map(|cell| cell.text.to_lowercase()).collect();
            words.iter().all(|word| text.iter().any(|text| text.contains(word)))
        };
        let mut shown: Vec<&Row> = self.rows.iter().filter(has).collect();
        shown.sort_by_cached_key(|row| {
            let cell = row.cells.get(self.sorted_by);
            cell.map(|cell| (Reverse(cell.weight), cell.text.clone()))
        });
        if self.reversed {
            shown.reverse();
        }
        shown
    }

    /// The index of the selected row among those that are shown: it moves with the row.
    pub(super) fn selected(&self, shown: &[&Row]) -> usize {
        let same = shown.iter().position(|row| Some(&row.key) == self.selected.as_ref());
        same.unwrap_or(self.at).min(shown.len().saturating_sub(1))
    }

    /// Takes an answer, unless something else is looked at by then.
    pub(super) fn hear(&mut self, news: News) {
        if news.wanted != self.wanted() {
            return;
        }
        match news.answer {
            Err(trouble) => self.trouble = Some(trouble),
            Ok(found) => self.take(&found),
        }
    }

    fn take(&mut self, found: &Found) {
        self.trouble = None;
        self.answered_ms = Some(found.at_ms);
        match &mut self.opened {
            Some(opened) => {
                opened.lines =
                    lines_of_function(&opened.names.1, &found.rows, &found.stacks, &found.episodes);
            }
            None => self.rows = rows(self.view, &found.rows, found.at_ms),
        }
    }

    /// Does what a key says.
    pub(super) fn key(&mut self, key: KeyEvent) -> After {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { After::Quit } else { After::Draw };
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { After::Quit } else { After::Draw };
        }
        if self.typing {
            return self.type_filter(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return After::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') if self.opened.is_none() => self.typing = true,
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::PageDown => self.go(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.go(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.go(isize::MAX),
            KeyCode::Char('s') => self.sorted_by = (self.sorted_by + 1) % columns(self.view).len(),
            KeyCode::Char('S') => self.reversed = !self.reversed,
            other => return self.choose(other),
        }
        After::Draw
    }

    /// Keys after which something else is asked for.
    fn choose(&mut self, code: KeyCode) -> After {
        match code {
            KeyCode::Tab => self.turn_to(self.view.next()),
            KeyCode::Char('1') => self.turn_to(View::Functions),
            KeyCode::Char('2') => self.turn_to(View::Stalls),
            KeyCode::Char('3') => self.turn_to(View::Workers),
            KeyCode::Char('[') => self.range = self.range.saturating_sub(1),
            KeyCode::Char(']') => self.range = (self.range + 1).min(RANGES.len() - 1),
            KeyCode::Enter | KeyCode::Right if self.opened.is_none() => {
                let shown = self.shown();
                let Some(row) = shown.get(self.selected(&shown)) else { return After::Draw };
                let names = row.leads_to.clone();
                self.opened = Some(Opened { names, lines: Vec::new(), scroll: 0 });
            }
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace if self.opened.is_some() => {
                self.opened = None;
            }
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            _ => return After::Draw,
        }
        After::Ask
    }

    fn turn_to(&mut self, view: View) {
        if self.view != view {
            (self.rows, self.selected, self.at) = (Vec::new(), None, 0);
            (self.sorted_by, self.reversed, self.answered_ms) = (0, false, None);
        }
        (self.view, self.opened) = (view, None);
    }

    fn type_filter(&mut self, code: KeyCode) -> After {
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_MAX => self.filter.push(c),
            _ => return After::Draw,
        }
        After::Ask
    }

    /// Goes down by so many rows or lines, up when negative.
    fn go(&mut self, by: isize) {
        if let Some(opened) = &mut self.opened {
            let last = opened.lines.len().saturating_sub(1);
            let line = usize::from(opened.scroll).saturating_add_signed(by).min(last);
            opened.scroll = u16::try_from(line).unwrap_or(u16::MAX);
            return;
        }
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let at = self.selected(&shown).saturating_add_signed(by).min(last);
        let key = shown.get(at).map(|row| row.key.clone());
        (self.at, self.selected) = (at, key);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ratatui::crossterm::event::{KeyCode, KeyEvent};
    use serde_json::{Value, json};

    use super::{After, Found, News, State, View};

    pub(in crate::command::top) fn issue(function: &str, blocked_ns: u64) -> Value {
        json!({"service": "shop", "function": function, "blocked_ns": blocked_ns, "calls": 1})
    }

    /// The state with these rows as the answer to what it wants.
    pub(in crate::command::top) fn answer(state: &mut State, rows: Vec<Value>) {
        let found = Found { at_ms: 60_000, rows, episodes: Vec::new(), stacks: Vec::new() };
        state.hear(News { wanted: state.wanted(), answer: Ok(found) });
    }

    pub(in crate::command::top) fn press(state: &mut State, keys: &str) -> After {
        let code = |c| match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        keys.chars().map(|c| state.key(KeyEvent::from(code(c)))).last().unwrap_or(After::Draw)
    }

    fn names(state: &State) -> Vec<String> {
        state.shown().iter().map(|row| row.leads_to.1.clone()).collect()
    }

    #[test]
    fn rows_are_sorted_filtered_and_opened_by_keys() {
        let mut state = State::new(1);
        answer(&mut state, vec![issue("b::x", 1), issue("a::y", 3), issue("c::y", 2)]);
        assert_eq!(names(&state), ["a::y", "c::y", "b::x"]);
        press(&mut state, "S");
        assert_eq!(names(&state), ["b::x", "c::y", "a::y"]);
        assert_eq!(press(&mut state, "S/Y"), After::Ask);
        assert_eq!(names(&state), ["a::y", "c::y"]);
        assert_eq!(press(&mut state, "\nj\n"), After::Ask);
        assert_eq!(state.wanted().opened, Some(("shop".to_owned(), "c::y".to_owned())));
        press(&mut state, "\u{1b}\u{1b}");
        assert_eq!((state.wanted().opened, names(&state).len()), (None, 3));
        assert_eq!(press(&mut state, "q"), After::Quit);
    }

    #[test]
    fn the_selection_stays_with_its_row() {
        let mut state = State::new(1);
        answer(&mut state, vec![issue("a", 3), issue("b", 2)]);
        press(&mut state, "j");
        answer(&mut state, vec![issue("b", 9), issue("c", 5), issue("a", 3)]);
        assert_eq!(state.selected(&state.shown()), 0, "b is first");
        answer(&mut state, Vec::new());
        press(&mut state, "jkG\n");
        assert!(state.opened.is_none(), "there is nothing to open");
    }

    #[test]
    fn trouble_leaves_the_rows_and_an_old_answer_is_not_taken() {
        let mut state = State::new(1);
        answer(&mut state, vec![issue("a", 3)]);
        state.hear(News { wanted: state.wanted(), answer: Err("away".to_owned()) });
        assert_eq!((state.trouble.as_deref(), names(&state).len()), (Some("away"), 1));
        let before = state.wanted();
        press(&mut state, "2");
        let found = Found { at_ms: 1, rows: vec![issue("a", 3)], episodes: vec![], stacks: vec![] };
        state.hear(News { wanted: before, answer: Ok(found) });
        assert_eq!((state.view, names(&state).len()), (View::Stalls, 0));
    }
}
