//! A flame graph as SVG.

use inferno::flamegraph::{self, Options, Palette, color::MultiPalette};

use crate::output::folded;
use crate::record::Profile;

/// Why there is no flame graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlameError {
    /// There is nothing to draw.
    #[error(
        "no thread did what is asked for in this time: record for longer, or drop --workers-only, \
         --on-cpu and --off-cpu"
    )]
    Empty,
    /// It could not be drawn.
    #[error("the flame graph can't be drawn: {0}")]
    Draw(String),
}

/// A recording as a flame graph, to be opened in a browser: frames can be zoomed into and searched.
/// The outermost frames are those of [`folded`](super::folded()).
///
/// # Errors
///
/// When no stack was kept, and when it can't be drawn.
pub fn flame_graph(profile: &Profile, whole: bool) -> Result<Vec<u8>, FlameError> {
    let lines = folded(profile, whole);
    if lines.is_empty() {
        return Err(FlameError::Empty);
    }
    let mut options = Options::default();
    options.title = format!("{} ({})", shortened(&profile.command), profile.pid);
    let lost = match profile.lost() {
        0 => String::new(),
        lost => format!(", {lost} lost"),
    };
    options.subtitle = Some(format!(
        "{} stacks{lost} in {:.1} s by wall clock, on and off CPU: a width is a time, not CPU time",
        profile.samples(),
        profile.elapsed.as_secs_f64(),
    ));
    options.count_name = "stacks".to_owned();
    options.name_type = String::new();
    options.colors = Palette::Multi(MultiPalette::Rust);
    options.hash = true;
    options.font_type = "ui-monospace, monospace".to_owned();
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .map_err(|error| FlameError::Draw(error.to_string()))?;
    Ok(svg)
}

/// A command line that fits in a title.
fn shortened(command: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    match command.chars().count() {
        0..=CHARACTERS_MAX => command.to_owned(),
        _ => format!("{}…", command.chars().take(CHARACTERS_MAX).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flame_graph_names_the_function_and_what_its_thread_did() {
        let profile = folded::tests::profile();
        let svg = String::from_utf8(flame_graph(&profile, false).unwrap()).unwrap();
        assert!(svg.starts_with("<?xml") && svg.contains("</svg>"));
        for text in ["shop::pay", "inside a poll", "off CPU", "shop --now (7)", "2 stacks, 66.67%"]
        {
            assert!(svg.contains(text), "{text} is missing: {svg}");
        }
        let empty = Profile { tracks: Vec::new(), ..profile };
        assert!(matches!(flame_graph(&empty, false), Err(FlameError::Empty)));
    }
}
