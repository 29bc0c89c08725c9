//! Columns out of single poll spans.

use std::collections::HashMap;

use super::{Polls, Text, cause};
use crate::span::{Origin, PollSpan};

/// Makes columns of single poll spans.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    polls: Polls,
    texts: HashMap<String, Text>,
    origins: HashMap<Origin, u32>,
}

impl Gathering {
    /// Adds one.
    pub(crate) fn push(&mut self, span: &PollSpan) {
        let row = self.polls.rows;
        let origin = self.origins.get(&span.origin).copied().unwrap_or_else(|| {
            let index = u32::try_from(self.polls.origins.len()).unwrap_or(u32::MAX);
            self.polls.origins.push(span.origin.clone());
            self.origins.insert(span.origin.clone(), index);
            index
        });
        let (known, texts) = (&mut self.texts, &mut self.polls.texts);
        let mut text = |text: &str| {
            known.get(text).copied().unwrap_or_else(|| {
                let number = texts.add(text);
                known.insert(text.to_owned(), number);
                number
            })
        };
        let of = &mut self.polls.columns;
        of.origin.set(row, origin);
        for (column, value) in [
            (&mut of.scope_version, span.scope_version.as_str()),
            (&mut of.function, &span.function),
            (&mut of.file, &span.file),
            (&mut of.blame_function, &span.blame_function),
            (&mut of.blame_crate, &span.blame_crate),
            (&mut of.holder_thread_name, &span.holder_thread_name),
            (&mut of.holder_function, &span.holder_function),
            (&mut of.holder_evidence, &span.holder_evidence),
            (&mut of.thread_name, &span.thread_name),
            (&mut of.runtime, &span.runtime),
            (&mut of.task_name, &span.task_name),
            (&mut of.task_spawned_at, &span.task_spawned_at),
        ] {
            column.set(row, text(value));
        }
        for (column, value) in [
            (&mut of.start_ns, span.start_ns),
            (&mut of.duration_ns, span.duration_ns),
            (&mut of.self_ns, span.self_ns),
            (&mut of.cpu_ns, span.cpu_ns),
            (&mut of.runqueue_ns, span.runqueue_ns),
            (&mut of.threshold_ns, span.threshold_ns),
            (&mut of.stack_id, span.stack_id),
            (&mut of.throttled_ns, span.throttled_ns),
            (&mut of.holder_thread_id, span.holder_thread_id),
            (&mut of.thread_id, span.thread_id),
            (&mut of.task_id, span.task_id),
        ] {
            column.set(row, value);
        }
        for (column, value) in [
            (&mut of.runtime_stalled, span.runtime_stalled),
            (&mut of.driver_idle, span.driver_idle),
            (&mut of.sampled, span.sampled),
            (&mut of.stall, span.stall),
        ] {
            column.set(row, value);
        }
        of.cause.set(row, cause(span.cause));
        of.line.set(row, span.line);
        of.victims.set(row, span.victims);
        of.worker.set(row, span.worker);
        of.trace_id.set(row, span.trace_id);
        of.span_id.set(row, span.span_id);
        of.parent_span_id.set(row, span.parent_span_id);
        self.polls.complete();
    }

    /// All that were added.
    pub(crate) fn finish(self) -> Polls {
        self.polls
    }
}
