//! Stacks of blocked time in the formats of other tools.

mod firefox;
mod pprof;

use std::collections::HashMap;

use inferno::flamegraph::{self, Options, Palette, color::MultiPalette};
use serde::Deserialize;
use serde_json::{Value, json};

/// A stack, and how long polls that had it held a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Its frames, root first.
    pub(crate) frames: Vec<String>,
    /// Blocked time.
    pub(crate) blocked_ns: u64,
    /// Slow polls.
    pub(crate) polls: u64,
}

/// What was blocked, and when.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Of what.
    pub(crate) title: String,
    /// Start of the range, unix ms.
    pub(crate) from_ms: u64,
    /// End of the range, unix ms.
    pub(crate) to_ms: u64,
    /// Most blocked time first.
    pub(crate) stacks: Vec<Stack>,
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line a stack: what most tools for flame graphs read.
    Folded,
    /// For speedscope.app.
    Speedscope,
    /// For profiler.firefox.com.
    Firefox,
    /// For `go tool pprof`, Pyroscope, Parca and others.
    Pprof,
    /// A flame graph that stands for itself.
    Svg,
}

#[derive(Deserialize)]
struct Rows {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    frames: Vec<String>,
    blocked_ns: u64,
    calls: u64,
}

/// Stacks as the panel `stacks` gives them in JSON, leaf first.
///
/// # Errors
///
/// When it is not that.
pub(crate) fn read_stacks(json: &[u8]) -> Result<Vec<Stack>, serde_json::Error> {
    let rows: Rows = serde_json::from_slice(json)?;
    let stack = |Row { mut frames, blocked_ns, calls }| {
        frames.reverse();
        Stack { frames, blocked_ns, polls: calls }
    };
    Ok(rows.data.into_iter().map(stack).collect())
}

/// Why it can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// There is nothing to write.
    #[error("no stack was taken while this blocked: choose another range, or enable stacks")]
    Empty,
    /// A writer failed.
    #[error("the profile can't be written: {0}")]
    Write(String),
}

impl Format {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Folded, Self::Speedscope, Self::Firefox, Self::Pprof, Self::Svg];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::Speedscope => "speedscope",
            Self::Firefox => "firefox",
            Self::Pprof => "pprof",
            Self::Svg => "svg",
        }
    }

    /// What its files end with.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::Speedscope => "speedscope.json",
            Self::Firefox => "firefox.json",
            Self::Pprof => "pb.gz",
            Self::Svg => "svg",
        }
    }

    /// Who reads it.
    pub(crate) fn readers(self) -> &'static str {
        match self {
            Self::Folded => "A line a stack: most tools for flame graphs",
            Self::Speedscope => "speedscope.app",
            Self::Firefox => "profiler.firefox.com",
            Self::Pprof => "go tool pprof, Pyroscope, Parca and others",
            Self::Svg => "Browsers: a flame graph that stands for itself",
        }
    }

    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Folded => "text/plain; charset=utf-8",
            Self::Speedscope | Self::Firefox => "application/json",
            Self::Pprof => "application/octet-stream",
            Self::Svg => "image/svg+xml",
        }
    }

    /// A profile in this format.
    ///
    /// # Errors
    ///
    /// When it has no stack, or can't be drawn.
    pub(crate) fn write(self, profile: &Profile) -> Result<Vec<u8>, ExportError> {
        if profile.stacks.iter().all(|stack| stack.frames.is_empty()) {
            return Err(ExportError::Empty);
        }
        match self {
            Self::Folded => Ok(folded(profile).join("\n").into_bytes()),
            Self::Speedscope => Ok(speedscope(profile).to_string().into_bytes()),
            Self::Firefox => firefox::write(profile),
            Self::Pprof => pprof::write(profile),
            Self::Svg => flame_graph(profile, true),
        }
    }
}

/// `root;…;leaf ns`, a line a stack.
fn folded(profile: &Profile) -> Vec<String> {
    let stacks = profile.stacks.iter().filter(|stack| !stack.frames.is_empty());
    let line = |stack: &Stack| {
        // Types may have a semicolon in them: `[u8; 32]`. A line has one stack.
        let clean = |frame: &String| frame.replace(';', ",").replace(['\n', '\r'], " ");
        let path: Vec<String> = stack.frames.iter().map(clean).collect();
        format!("{} {}", path.join(";"), stack.blocked_ns)
    };
    stacks.map(line).collect()
}

fn speedscope(profile: &Profile) -> Value {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut frames = Vec::new();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for stack in profile.stacks.iter().filter(|stack| !stack.frames.is_empty()) {
        let mut sample = Vec::with_capacity(stack.frames.len());
        for frame in &stack.frames {
            sample.push(*numbers.entry(frame).or_insert_with(|| {
                frames.push(json!({"name": frame}));
                frames.len() - 1
            }));
        }
        samples.push(sample);
        weights.push(stack.blocked_ns);
    }
    json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": concat!("holdup ", env!("CARGO_PKG_VERSION")),
        "name": profile.title,
        "shared": {"frames": frames},
        "profiles": [{
            "type": "sampled", "name": profile.title, "unit": "nanoseconds",
            "startValue": 0, "endValue": weights.iter().sum::<u64>(),
            "samples": samples, "weights": weights,
        }],
    })
}

/// A flame graph that does nothing but to be looked at: it has no script.
///
/// # Errors
///
/// When it has no stack, or can't be drawn.
pub(crate) fn picture(profile: &Profile) -> Result<Vec<u8>, ExportError> {
    if profile.stacks.iter().all(|stack| stack.frames.is_empty()) {
        return Err(ExportError::Empty);
    }
    let svg = flame_graph(profile, false)?;
    let svg = String::from_utf8(svg).map_err(|error| ExportError::Write(error.to_string()))?;
    // Without its functions, its variables are left. Names are escaped: the first tag is theirs.
    let still = match (svg.find("<script"), svg.find("</script>")) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{}", &svg[..begin], &svg[end + "</script>".len()..])
        }
        _ => svg,
    };
    Ok(still.replacen(" onload=\"init(evt)\"", "", 1).into_bytes())
}

fn flame_graph(profile: &Profile, answers_clicks: bool) -> Result<Vec<u8>, ExportError> {
    let mut options = Options::default();
    options.no_javascript = !answers_clicks;
    options.title = profile.title.chars().map(in_xml).take(100).collect();
    options.subtitle = Some("blocked time: a width is how long polls held a thread".to_owned());
    options.count_name = "ns".to_owned();
    options.name_type = String::new();
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.hash = true;
    options.font_type = "ui-monospace, monospace".to_owned();
    let lines = folded(profile).into_iter().map(|line| line.chars().map(in_xml).collect());
    let (mut svg, lines) = (Vec::new(), lines.collect::<Vec<String>>());
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .map_err(|error| ExportError::Write(error.to_string()))?;
    Ok(svg)
}

/// The character, or one that stands for it: XML has none that controls, however it is written.
fn in_xml(c: char) -> char {
    if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::{ExportError, Format, Profile, Stack};
    use serde_json::Value;

    /// Two stacks through one function.
    pub(super) fn profile() -> Profile {
        let stack = |frames: &[&str], blocked_ns| {
            let frames = frames.iter().map(|&frame| frame.to_owned()).collect();
            Stack { frames, blocked_ns, polls: 2 }
        };
        let stacks = vec![
            stack(&["main", "shop::pay<[u8; 2]>", "std::thread::sleep"], 70_000_000),
            stack(&["main", "shop::pay<[u8; 2]>", "<script>alert(1)</script>"], 30_000_000),
        ];
        Profile { title: "shop".to_owned(), from_ms: 1_000, to_ms: 61_000, stacks }
    }

    fn text(format: Format) -> String {
        String::from_utf8(format.write(&profile()).unwrap()).unwrap()
    }

    #[test]
    fn folded_stacks_are_a_line_each() {
        let expected = "main;shop::pay<[u8, 2]>;std::thread::sleep 70000000\n\
                        main;shop::pay<[u8, 2]>;<script>alert(1)</script> 30000000";
        assert_eq!(text(Format::Folded), expected);
    }

    #[test]
    fn speedscope_has_each_frame_once_and_all_of_the_time() {
        let file: Value = serde_json::from_str(&text(Format::Speedscope)).unwrap();
        assert_eq!(file["shared"]["frames"].as_array().unwrap().len(), 4);
        let of = &file["profiles"][0];
        assert_eq!(of["samples"], serde_json::json!([[0, 1, 2], [0, 1, 3]]));
        assert_eq!((&of["endValue"], &of["unit"]), (&100_000_000.into(), &"nanoseconds".into()));
    }

    #[test]
    fn a_flame_graph_shows_names_as_text() {
        let svg = text(Format::Svg);
        assert!(svg.contains("shop::pay") && svg.contains("&lt;script&gt;alert(1)"), "{svg}");
    }

    #[test]
    fn a_picture_has_no_script() {
        let svg = String::from_utf8(super::picture(&profile()).unwrap()).unwrap();
        assert!(svg.contains("shop::pay") && !svg.contains("<script"), "{svg}");
        assert!(!svg.contains("onload") && svg.ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn a_flame_graph_is_xml_whatever_names_hold() {
        let name = "\0evil\u{1b}[31m\r\n\u{85}\u{fffe}\u{ffff}&\"'</svg>\u{202e}name";
        let stacks =
            vec![Stack { frames: vec![name.to_owned(); 2], blocked_ns: 70_000_000, polls: 2 }];
        let named = Profile { title: name.to_owned(), stacks, ..profile() };
        for svg in [Format::Svg.write(&named).unwrap(), super::picture(&named).unwrap()] {
            let text = String::from_utf8(svg).unwrap();
            let controls = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{fffe}'..);
            assert_eq!(text.matches(controls).count(), 0, "{text}");
            assert!(text.contains("evil\u{fffd}[31m") && !text.contains("&#x1b"), "{text}");
        }
    }

    #[test]
    fn nothing_is_no_profile_in_any_format() {
        let empty = Profile { stacks: Vec::new(), ..profile() };
        for format in Format::ALL {
            assert!(matches!(format.write(&empty), Err(ExportError::Empty)), "{format:?}");
        }
    }
}
