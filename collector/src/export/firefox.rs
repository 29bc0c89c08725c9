//! The format of the Firefox Profiler.

use std::time::{Duration, UNIX_EPOCH};

use fxprof_processed_profile::{
    CategoryHandle, CpuDelta, Frame, FrameFlags, FrameInfo, Profile as Firefox, SamplingInterval,
    Timestamp, WeightType,
};

use super::{ExportError, Profile};

/// One thread whose stacks follow each other, each as long as it blocked.
pub(super) fn write(profile: &Profile) -> Result<Vec<u8>, ExportError> {
    let began = UNIX_EPOCH + Duration::from_millis(profile.from_ms);
    let interval = SamplingInterval::from_millis(1);
    let mut out = Firefox::new(&profile.title, began.into(), interval);
    let at = |ns: u64| Timestamp::from_nanos_since_reference(ns);
    let process = out.add_process(&profile.title, 1, at(0));
    let thread = out.add_thread(process, 1, at(0), true);
    out.set_thread_name(thread, "blocked time");
    out.set_thread_samples_weight_type(thread, WeightType::TracingMs);
    out.set_symbolicated(true);
    let mut elapsed_ns = 0;
    for stack in profile.stacks.iter().filter(|stack| !stack.frames.is_empty()) {
        let mut frames = Vec::with_capacity(stack.frames.len());
        for name in &stack.frames {
            let frame = Frame::Label(out.intern_string(name));
            let category_pair = CategoryHandle::OTHER.into();
            frames.push(FrameInfo { frame, category_pair, flags: FrameFlags::empty() });
        }
        let id = out.intern_stack_frames(thread, frames.into_iter());
        // Whole milliseconds: what blocked is longer than one.
        let ms = (stack.blocked_ns / 1_000_000).max(1);
        let weight = i32::try_from(ms).unwrap_or(i32::MAX);
        out.add_sample(thread, at(elapsed_ns), id, CpuDelta::ZERO, weight);
        elapsed_ns += stack.blocked_ns;
    }
    serde_json::to_vec(&out).map_err(|error| ExportError::Write(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::write;
    use crate::export::tests::profile;
    use serde_json::Value;

    #[test]
    fn weights_are_the_milliseconds_that_stacks_blocked() {
        let file: Value = serde_json::from_slice(&write(&profile()).unwrap()).unwrap();
        let samples = &file["threads"][0]["samples"];
        assert_eq!(samples["weight"], serde_json::json!([70, 30]));
        assert_eq!(samples["weightType"], "tracing-ms");
        assert_eq!(file["meta"]["startTime"], 1_000.0);
        assert!(file.to_string().contains("std::thread::sleep"));
    }
}
