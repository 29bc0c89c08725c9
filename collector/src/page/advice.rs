//! What to write instead, beside each stack of an answer.
//!
//! From the crate's own table, so that the page, the command and the logs of services say the same, of
//! stacks from any sender.

use holdup::advice;
use serde_json::{Value, json};

/// The panel whose rows have a stack.
pub(super) const PANEL: &str = "stacks";
/// Longer answers go out as they are.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// The answer with `advice` in each row: `id`, `sentence` and `link`, or null where the stack shows only
/// code of the service's own. None when it is no answer.
pub(super) fn add(answer: &[u8]) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    for row in answer.get_mut("data")?.as_array_mut()? {
        row["advice"] = of(row);
    }
    serde_json::to_vec(&answer).ok()
}

fn of(row: &Value) -> Value {
    let frames = row["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
    let frames = frames.iter().filter_map(Value::as_str).collect::<Vec<_>>();
    match advice::for_stall(&frames, row["cause"].as_str().unwrap_or_default()) {
        Some(advice) => {
            json!({"id": advice.id, "sentence": advice.sentence, "link": advice.link()})
        }
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::add;
    use serde_json::{Value, json};

    #[test]
    fn each_row_has_the_advice_of_its_stack() {
        let row = |frames: &[&str], cause| json!({"frames": frames, "cause": cause});
        let answer = json!({"meta": [], "rows": 3, "data": [
            row(&["clock_nanosleep", "std::thread::sleep", "shop::pay at src/pay.rs:7"], "sleep"),
            row(&[], "disk"),
            row(&["shop::spin"], "unknown"),
        ]});
        let told = add(answer.to_string().as_bytes()).unwrap();
        let told: Value = serde_json::from_slice(&told).unwrap();
        let advice = |row: usize| &told["data"][row]["advice"];
        let sleep = holdup::advice::by_id("thread-sleep").unwrap();
        assert_eq!(advice(0)["sentence"], sleep.sentence);
        assert_eq!(advice(0)["link"], "docs/advice.md#thread-sleep");
        assert_eq!(advice(1)["id"], "files");
        assert_eq!((advice(2), &told["rows"]), (&Value::Null, &json!(3)));
    }

    #[test]
    fn what_is_no_answer_is_left_alone() {
        assert!(
            add(b"{\"exception\": \"of ClickHouse\"}").is_none() && add(b"half an ans").is_none()
        );
    }
}
