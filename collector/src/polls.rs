//! Poll spans by column, as ClickHouse takes them. A text stands once, however many spans have it.

mod gathering;

use holdup::contract::CAUSES;

use crate::span::{Origin, PollSpan};
pub(crate) use gathering::Gathering;

/// The number of a text, of the same [`Polls`].
pub(crate) type Text = u32;

/// The values of one column. What most spans have need not be there for those at the end, or at
/// all.
#[derive(Clone, Debug)]
pub(crate) struct Column<T> {
    values: Vec<T>,
    usual: T,
}

impl<T: Copy + PartialEq> Column<T> {
    fn new(usual: T) -> Self {
        Self { values: Vec::new(), usual }
    }

    /// The value of a row.
    pub(crate) fn get(&self, row: usize) -> T {
        self.values.get(row).copied().unwrap_or(self.usual)
    }

    /// Sets the value of a row.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: T) {
        if let Some(held) = self.values.get_mut(row) {
            *held = value;
        } else if value != self.usual {
            if self.values.len() < row {
                self.values.resize(row, self.usual);
            }
            self.values.push(value);
        }
    }

    /// Makes room for so many values where there are some.
    fn expect(&mut self, rows: usize) {
        if !self.values.is_empty() {
            self.values.reserve_exact(rows.saturating_sub(self.values.len()));
        }
    }

    /// The values of the first rows. All others have the usual one.
    pub(crate) fn values(&self) -> &[T] {
        &self.values
    }

    fn retain(&mut self, keep: &[bool]) {
        let mut rows = keep.iter();
        self.values.retain(|_| rows.next().copied().unwrap_or(true));
    }

    fn bytes(&self) -> usize {
        self.values.len() * size_of::<T>()
    }
}

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $usual:expr,)*) => {
        /// All columns of poll spans. [`PollSpan`] says what each is.
        #[derive(Clone, Debug)]
        pub(crate) struct Columns {
            $($(#[$doc])* pub(crate) $name: Column<$type>,)*
        }

        impl Default for Columns {
            fn default() -> Self {
                Self { $($name: Column::new($usual),)* }
            }
        }

        impl Columns {
            fn truncate(&mut self, rows: usize) {
                $(self.$name.values.truncate(rows);)*
            }

            fn expect(&mut self, rows: usize) {
                $(self.$name.expect(rows);)*
            }

            fn retain(&mut self, keep: &[bool]) {
                $(self.$name.retain(keep);)*
            }

            fn bytes(&self) -> usize {
                0 $(+ self.$name.bytes())*
            }
        }
    };
}

columns! {
    start_ns: u64 = 0,
    duration_ns: u64 = 0,
    self_ns: u64 = 0,
    cpu_ns: u64 = 0,
    runqueue_ns: u64 = 0,
    threshold_ns: u64 = 0,
    /// Index among the origins.
    origin: u32 = 0,
    scope_version: Text = 0,
    function: Text = 0,
    file: Text = 0,
    line: u32 = 0,
    /// Index among [`CAUSES`].
    cause: u8 = 0,
    blame_function: Text = 0,
    blame_crate: Text = 0,
    stack_id: u64 = 0,
    victims: u32 = 0,
    throttled_ns: u64 = 0,
    runtime_stalled: bool = false,
    driver_idle: bool = false,
    sampled: bool = false,
    holder_thread_id: u64 = 0,
    holder_thread_name: Text = 0,
    holder_function: Text = 0,
    holder_evidence: Text = 0,
    thread_id: u64 = 0,
    thread_name: Text = 0,
    runtime: Text = 0,
    worker: i32 = -1,
    task_id: u64 = 0,
    task_name: Text = 0,
    task_spawned_at: Text = 0,
    stall: bool = false,
    trace_id: [u8; 16] = [0; 16],
    span_id: [u8; 8] = [0; 8],
    parent_span_id: [u8; 8] = [0; 8],
}

/// Texts by number. That of 0 is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    all: String,
    /// Where each of the others ends.
    ends: Vec<u32>,
}

impl Texts {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len() + 1
    }

    /// The text of a number.
    pub(crate) fn get(&self, text: Text) -> &str {
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let Some(index) = (text as usize).checked_sub(1) else { return "" };
        let start = index.checked_sub(1).map_or(0, end);
        self.all.get(start..end(index)).unwrap_or("")
    }

    /// Adds a text, whether it is there or not.
    pub(crate) fn add(&mut self, text: &str) -> Text {
        if text.is_empty() {
            return 0;
        }
        self.all.push_str(text);
        // A request is shorter than that by far.
        self.ends.push(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    fn bytes(&self) -> usize {
        self.all.len() + self.ends.len() * size_of::<u32>()
    }
}

/// The poll spans of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Polls {
    rows: usize,
    /// Their values.
    pub(crate) columns: Columns,
    /// What sent them.
    pub(crate) origins: Vec<Origin>,
    /// Their texts.
    pub(crate) texts: Texts,
}

/// What is asked of one poll span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll<'a> {
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) self_ns: u64,
    pub(crate) origin: &'a Origin,
    pub(crate) function: &'a str,
    pub(crate) cause: &'static str,
    pub(crate) blame_function: &'a str,
    pub(crate) blame_crate: &'a str,
    pub(crate) stack_id: u64,
    pub(crate) victims: u32,
    pub(crate) stall: bool,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
}

/// What of a poll span is looked at each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief {
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u64,
    pub(crate) self_ns: u64,
    pub(crate) victims: u32,
    pub(crate) stall: bool,
    pub(crate) span_id: [u8; 8],
}

impl Poll<'_> {
    /// What is looked at each time.
    pub(crate) fn brief(&self) -> Brief {
        let Self { start_ns, duration_ns, self_ns, victims, stall, span_id, .. } = *self;
        Brief { start_ns, duration_ns, self_ns, victims, stall, span_id }
    }
}

impl<'a> From<&'a PollSpan> for Poll<'a> {
    fn from(span: &'a PollSpan) -> Self {
        Self {
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            self_ns: span.self_ns,
            origin: &span.origin,
            function: &span.function,
            cause: span.cause,
            blame_function: &span.blame_function,
            blame_crate: &span.blame_crate,
            stack_id: span.stack_id,
            victims: span.victims,
            stall: span.stall,
            trace_id: span.trace_id,
            span_id: span.span_id,
        }
    }
}

/// What tells a poll span from others, and how much a form of it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) duration_ns: u64,
    pub(crate) stall: bool,
}

impl From<&PollSpan> for Identity {
    fn from(span: &PollSpan) -> Self {
        let PollSpan { trace_id, span_id, duration_ns, stall, .. } = *span;
        Self { trace_id, span_id, duration_ns, stall }
    }
}

impl Polls {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// About how much memory they take, bytes.
    pub(crate) fn bytes(&self) -> usize {
        let origins = self.origins.iter().map(|origin| {
            let texts = [&origin.service, &origin.environment, &origin.version, &origin.instance];
            size_of::<Origin>() + texts.into_iter().map(String::len).sum::<usize>()
        });
        self.columns.bytes() + self.texts.bytes() + origins.sum::<usize>()
    }

    /// One of them.
    pub(crate) fn get(&self, row: usize) -> Poll<'_> {
        let (of, text) = (&self.columns, |column: &Column<Text>| self.texts.get(column.get(row)));
        Poll {
            start_ns: of.start_ns.get(row),
            duration_ns: of.duration_ns.get(row),
            self_ns: of.self_ns.get(row),
            origin: self.origin(row),
            function: text(&of.function),
            cause: named(of.cause.get(row)),
            blame_function: text(&of.blame_function),
            blame_crate: text(&of.blame_crate),
            stack_id: of.stack_id.get(row),
            victims: of.victims.get(row),
            stall: of.stall.get(row),
            trace_id: of.trace_id.get(row),
            span_id: of.span_id.get(row),
        }
    }

    /// What of one of them is looked at each time.
    pub(crate) fn brief(&self, row: usize) -> Brief {
        let of = &self.columns;
        Brief {
            start_ns: of.start_ns.get(row),
            duration_ns: of.duration_ns.get(row),
            self_ns: of.self_ns.get(row),
            victims: of.victims.get(row),
            stall: of.stall.get(row),
            span_id: of.span_id.get(row),
        }
    }

    /// What sent one of them.
    pub(crate) fn origin(&self, row: usize) -> &Origin {
        static NONE: Origin = Origin {
            service: String::new(),
            environment: String::new(),
            version: String::new(),
            instance: String::new(),
        };
        self.origins.get(self.columns.origin.get(row) as usize).unwrap_or(&NONE)
    }

    /// The last.
    pub(crate) fn last(&self) -> Option<Poll<'_>> {
        self.rows.checked_sub(1).map(|row| self.get(row))
    }

    /// What tells each from others.
    pub(crate) fn identities(&self) -> impl Iterator<Item = Identity> {
        let of = &self.columns;
        (0..self.rows).map(|row| Identity {
            trace_id: of.trace_id.get(row),
            span_id: of.span_id.get(row),
            duration_ns: of.duration_ns.get(row),
            stall: of.stall.get(row),
        })
    }

    /// There will be so many rows with about the values of those that there are.
    pub(crate) fn expect(&mut self, rows: usize) {
        self.columns.expect(rows);
    }

    /// The values that were set for one more row are a poll span.
    pub(crate) fn complete(&mut self) {
        self.rows += 1;
    }

    /// The values that were set for one more row are none.
    pub(crate) fn abandon(&mut self) {
        self.columns.truncate(self.rows);
    }

    /// Keeps those rows that it is told to keep.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let kept: Vec<bool> = (0..self.rows).map(&mut keep).collect();
        self.columns.retain(&kept);
        self.rows = kept.into_iter().filter(|keep| *keep).count();
    }
}

/// The index of a cause's name, of `unknown` for any other.
pub(crate) fn cause(name: &str) -> u8 {
    let index = CAUSES.iter().position(|known| *known == name);
    index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0)
}

/// The name of a cause.
pub(crate) fn named(cause: u8) -> &'static str {
    CAUSES.get(usize::from(cause)).copied().unwrap_or(CAUSES[0])
}

#[cfg(test)]
impl FromIterator<PollSpan> for Polls {
    fn from_iter<I: IntoIterator<Item = PollSpan>>(spans: I) -> Self {
        let mut gathering = Gathering::default();
        spans.into_iter().for_each(|span| gathering.push(&span));
        gathering.finish()
    }
}

#[cfg(test)]
impl Polls {
    /// One of them in full.
    pub(crate) fn span(&self, row: usize) -> PollSpan {
        let of = &self.columns;
        let text = |column: &Column<Text>| self.texts.get(column.get(row)).to_owned();
        PollSpan {
            start_ns: of.start_ns.get(row),
            duration_ns: of.duration_ns.get(row),
            self_ns: of.self_ns.get(row),
            cpu_ns: of.cpu_ns.get(row),
            runqueue_ns: of.runqueue_ns.get(row),
            threshold_ns: of.threshold_ns.get(row),
            origin: self.origin(row).clone(),
            scope_version: text(&of.scope_version),
            function: text(&of.function),
            file: text(&of.file),
            line: of.line.get(row),
            cause: named(of.cause.get(row)),
            blame_function: text(&of.blame_function),
            blame_crate: text(&of.blame_crate),
            stack_id: of.stack_id.get(row),
            victims: of.victims.get(row),
            throttled_ns: of.throttled_ns.get(row),
            runtime_stalled: of.runtime_stalled.get(row),
            driver_idle: of.driver_idle.get(row),
            sampled: of.sampled.get(row),
            holder_thread_id: of.holder_thread_id.get(row),
            holder_thread_name: text(&of.holder_thread_name),
            holder_function: text(&of.holder_function),
            holder_evidence: text(&of.holder_evidence),
            thread_id: of.thread_id.get(row),
            thread_name: text(&of.thread_name),
            runtime: text(&of.runtime),
            worker: of.worker.get(row),
            task_id: of.task_id.get(row),
            task_name: text(&of.task_name),
            task_spawned_at: text(&of.task_spawned_at),
            stall: of.stall.get(row),
            trace_id: of.trace_id.get(row),
            span_id: of.span_id.get(row),
            parent_span_id: of.parent_span_id.get(row),
        }
    }

    /// All of them, as they are asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Poll<'_>> {
        (0..self.rows).map(|row| self.get(row))
    }

    /// All of them in full.
    pub(crate) fn spans(&self) -> Vec<PollSpan> {
        (0..self.rows).map(|row| self.span(row)).collect()
    }
}
