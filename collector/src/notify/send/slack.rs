//! Slack's incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//! Limits of blocks: <https://docs.slack.dev/reference/block-kit/blocks>.

use reqwest::Client;
use serde_json::{Value, json};

use super::{Delivery, http};
use crate::notify::Alert;
use crate::notify::dispatch::Notification;
use crate::notify::message::{self, cut};
use crate::notify::queue::Retry;
use crate::notify::settings::Slack;

const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3_000;
/// What links may take of it.
const LINKS_BYTES_MAX: usize = 1_000;
/// Alerts that are shown: a message has 50 blocks at most, and nobody reads more on a phone.
const ALERTS_SHOWN: usize = 10;
/// The fallback for notifications of the operating system.
const TEXT_CHARS_MAX: usize = 1_000;

/// The message.
fn body(notification: &Notification, external_url: &str) -> Value {
    let title = message::title(notification);
    let header =
        json!({"type": "plain_text", "text": cut(&title, HEADER_CHARS_MAX), "emoji": false});
    let mut blocks = vec![json!({"type": "header", "text": header})];
    for alert in notification.alerts.iter().take(ALERTS_SHOWN) {
        let text = section(alert, notification, external_url);
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    let more = message::more(notification, ALERTS_SHOWN).map(|more| format!("{more}. "));
    let all =
        format!("{}<{}|All of it>", more.unwrap_or_default(), link(&format!("{external_url}/")));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": all}]}));
    json!({"text": escaped(&cut(&title, TEXT_CHARS_MAX)), "blocks": blocks})
}

/// One alert, within the bound: what is cut is in the middle of nothing that would need an end.
fn section(alert: &Alert, notification: &Notification, external_url: &str) -> String {
    let mut lines = vec![format!("*{}*", bold(&message::headline(alert)))];
    if let Some(description) = message::text(alert, "description") {
        lines.push(escaped(&cut(description, 600)));
    }
    for (name, value) in message::facts(alert, notification.at) {
        lines.push(format!("{name}: {}", escaped(&cut(&value, 200))));
    }
    if let Some(advice) = message::text(alert, "advice") {
        lines.push(format!("_Advice:_ {}", escaped(&cut(&message::one_line(advice), 400))));
    }
    let mut links = String::new();
    for (name, url) in message::links(alert, external_url) {
        let link = format!("<{}|{name}> ", link(&url));
        if links.len() + link.len() <= LINKS_BYTES_MAX {
            links.push_str(&link);
        }
    }
    let frames: Vec<String> =
        message::frames(alert).iter().map(|frame| escaped(&cut(frame, 100))).collect();
    let mut text = String::new();
    let mut left = SECTION_CHARS_MAX - LINKS_BYTES_MAX;
    let stack = format!("```{}```", frames.join("\n").replace("```", "'''"));
    for part in lines.iter().chain((!frames.is_empty()).then_some(&stack)) {
        let chars = part.chars().count() + 1;
        // A part is there or not: half an escape or half a block would show as signs.
        if chars <= left {
            left -= chars;
            text.push_str(part);
            text.push('\n');
        }
    }
    text + links.trim_end()
}

/// `<`, `>` and `&` are Slack's own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Within asterisks there are none.
fn bold(text: &str) -> String {
    escaped(&cut(&text.replace('*', "·"), 300))
}

/// An address between `<` and `|`.
fn link(url: &str) -> String {
    escaped(&url.replace('|', "%7C"))
}

/// Sends it.
pub(super) async fn send(
    settings: &Slack,
    client: &Client,
    notification: &Notification,
    external_url: &str,
) -> Delivery {
    let url = match settings.url_file.read() {
        Ok(url) => url,
        Err(error) => return Delivery::Again(error.to_string(), Retry::Receiver(None)),
    };
    let body = body(notification, external_url).to_string().into_bytes();
    http::post(client, url.expose(), &settings.http, body, &[url.expose()]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::hostile;

    #[test]
    fn whatever_an_alert_says_the_message_is_within_slacks_bounds() {
        let message = body(&hostile(500), "https://h.example");
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            let bound =
                if block["type"] == "header" { HEADER_CHARS_MAX } else { SECTION_CHARS_MAX };
            assert!(text.chars().count() <= bound, "{}", text.chars().count());
            let strays = text.replace("<http", "").replace("&lt;", "").replace("&amp;", "");
            assert!(!strays.replace("&gt;", "").contains(['<', '&']) || block["type"] == "header");
        }
    }
}
