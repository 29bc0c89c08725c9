//! A dump as text and as JSON.

use std::fmt::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use crate::polling::clock;
use crate::tasks::{Task, TaskDump, TaskState};

/// A line that counts, and a line for each task.
impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |state| self.tasks.iter().filter(|task| task.state == state).count();
        write!(
            f,
            "{} tasks: {} running, {} ready, {} idle; ",
            self.tasks.len(),
            count(TaskState::Running),
            count(TaskState::Ready),
            count(TaskState::Idle),
        )?;
        match self.unknown {
            Some(unknown) => writeln!(f, "{unknown} more are not known")?,
            None => f.write_str("how many more there are is not known\n")?,
        }
        self.tasks.iter().try_for_each(|task| writeln!(f, "{task}"))
    }
}

/// One line.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7} {:>9}  {}", self.state.name(), short(self.since), self.name)?;
        if !self.file.is_empty() {
            write!(f, " ({}:{})", self.file, self.line)?;
        }
        if let Some(id) = self.id {
            write!(f, ", task {id}")?;
        }
        write!(f, ", {} polls, busy {}, age {}", self.polls, short(self.busy), short(self.age))?;
        self.woken.iter().try_for_each(|woken| write!(f, ", woken {} ago", short(*woken)))
    }
}

/// Three digits are enough for people.
fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_micros() {
        0..1_000 => format!("{}us", time.as_micros()),
        1_000..1_000_000 => format!("{:.1}ms", seconds * 1e3),
        _ => format!("{seconds:.1}s"),
    }
}

impl TaskDump {
    /// The dump as one JSON object: `time_unix_ms`, `unknown` (a number or null) and `tasks`, each
    /// with `id`, `name`, `file`, `line`, `state`, `since_ns`, `age_ns`, `polls`, `busy_ns` and
    /// `woken_ns` (ago, or null).
    ///
    /// # Examples
    ///
    /// ```
    /// let json = holdup::tasks().to_json();
    /// assert!(json.starts_with("{\"time_unix_ms\":"));
    /// ```
    pub fn to_json(&self) -> String {
        let time = self.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut json = format!("{{\"time_unix_ms\":{time},\"unknown\":{}", number(self.unknown));
        json.push_str(",\"tasks\":[");
        for (index, task) in self.tasks.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            task.write_json(&mut json);
        }
        json.push_str("]}");
        json
    }
}

impl Task {
    fn write_json(&self, json: &mut String) {
        let _infallible = write!(json, "{{\"id\":{},\"name\":", number(self.id));
        quote(&self.name, json);
        json.push_str(",\"file\":");
        quote(&self.file, json);
        let woken = self.woken.map(clock::whole_nanoseconds);
        let _infallible = write!(
            json,
            ",\"line\":{},\"state\":\"{}\",\"since_ns\":{},\"age_ns\":{},\"polls\":{},\
             \"busy_ns\":{},\"woken_ns\":{}}}",
            self.line,
            self.state.name(),
            self.since.as_nanos(),
            self.age.as_nanos(),
            self.polls,
            self.busy.as_nanos(),
            number(woken),
        );
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}

fn quote(text: &str, json: &mut String) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                let _infallible = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_kind_make_valid_json() {
        let name = "a \"b\" \\ \n\u{1} ü";
        let task = Task {
            id: Some(7),
            name: name.to_owned(),
            file: "src/a.rs".to_owned(),
            line: 3,
            state: TaskState::Idle,
            since: Duration::from_millis(1500),
            age: Duration::from_secs(2),
            polls: 4,
            busy: Duration::from_micros(250),
            woken: None,
        };
        let line = "idle         1.5s  x (src/a.rs:3), task 7, 4 polls, busy 250us, age 2.0s";
        assert_eq!(Task { name: "x".to_owned(), ..task.clone() }.to_string(), line);
        let dump = TaskDump { time: UNIX_EPOCH, tasks: vec![task], unknown: Some(2) };
        let read = serde_json::from_str::<serde_json::Value>(&dump.to_json()).unwrap();
        assert_eq!(read["tasks"][0]["name"], name);
        assert_eq!(read["tasks"][0]["since_ns"], 1_500_000_000);
        assert_eq!((&read["unknown"], &read["tasks"][0]["woken_ns"]), (&2.into(), &().into()));
        assert!(dump.to_string().starts_with("1 tasks: 0 running, 0 ready, 1 idle; 2 more"));
    }
}
