//! The format of speedscope, with a profile for each thread: stacks in the order of time.

use std::collections::HashMap;

use serde::Serialize;

use crate::output::folded;
use crate::record::{Profile, Track};

#[derive(Serialize)]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: String,
    name: String,
    shared: Shared,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    file: String,
}

#[derive(Serialize)]
struct Sampled {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: f64,
    #[serde(rename = "endValue")]
    end: f64,
    samples: Vec<Vec<usize>>,
    weights: Vec<f64>,
}

#[derive(Default)]
struct Frames {
    all: Vec<Frame>,
    numbers: HashMap<Frame, usize>,
}

/// A recording as speedscope reads it. Times are in seconds; a time in which it isn't known what a
/// thread did has a stack without frames. The outermost frames are those of [`folded`](super::folded).
///
/// # Errors
///
/// None of this data is known to make any; `serde_json` can't promise that.
pub fn speedscope(profile: &Profile, whole: bool) -> Result<String, serde_json::Error> {
    let mut frames = Frames::default();
    let profiles = profile.tracks.iter().map(|track| sampled(profile, track, whole, &mut frames));
    let profiles = profiles.collect();
    serde_json::to_string(&File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("holdup ", env!("CARGO_PKG_VERSION")).to_owned(),
        name: format!("{} ({})", profile.command, profile.pid),
        shared: Shared { frames: frames.all },
        profiles,
    })
}

fn sampled(profile: &Profile, track: &Track, whole: bool, frames: &mut Frames) -> Sampled {
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    for stretch in &track.stretches {
        let stack = stretch.stack.and_then(|stack| profile.stacks.get(stack as usize));
        let mut path = Vec::new();
        if let Some(stack) = stack {
            // Each thread has a profile of its own, so its name is no frame.
            let [activity, cpu, _] = folded::outer(track, stack, *stretch);
            let cut = (!stack.complete).then(|| folded::CUT.to_owned());
            path.extend([activity, cpu].into_iter().chain(cut).map(|name| frames.number(name, "")));
            let kept = if whole { stack.frames.len() } else { stack.inner };
            let named = stack.frames[..kept].iter().rev();
            path.extend(named.map(|frame| frames.number(frame.to_string(), &frame.file)));
        }
        samples.push(path);
        weights.push(profile.period.as_secs_f64() * f64::from(stretch.looks));
    }
    let name = format!("{} {}", track.name, track.tid);
    let end = weights.iter().sum();
    Sampled { kind: "sampled", name, unit: "seconds", start: 0.0, end, samples, weights }
}

impl Frames {
    fn number(&mut self, name: String, file: &str) -> usize {
        let frame = Frame { name, file: file.to_owned() };
        if let Some(number) = self.numbers.get(&frame) {
            return *number;
        }
        self.all.push(frame.clone());
        self.numbers.insert(frame, self.all.len() - 1);
        self.all.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_speedscope_reads() {
        let profile = folded::tests::profile();
        let text = speedscope(&profile, false).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let frames = file["shared"]["frames"].as_array().unwrap();
        let [thread] = file["profiles"].as_array().unwrap().as_slice() else { panic!("{text}") };
        assert_eq!((&thread["type"], &thread["name"]), (&"sampled".into(), &"worker 8".into()));
        let samples = thread["samples"].as_array().unwrap();
        assert_eq!(samples.len(), thread["weights"].as_array().unwrap().len());
        assert!(samples[0].as_array().unwrap().is_empty(), "nothing is known of that time");
        let name = |number: &serde_json::Value| {
            frames[usize::try_from(number.as_u64().unwrap()).unwrap()]["name"].as_str().unwrap()
        };
        let names: Vec<&str> = samples[1].as_array().unwrap().iter().map(name).collect();
        assert_eq!(names, ["inside a poll", "off CPU", "shop::pay<[u8; 2]>", "sleep"]);
        let end = thread["endValue"].as_f64().unwrap();
        assert!((end - 0.07).abs() < 1e-9, "{end}");
    }
}
