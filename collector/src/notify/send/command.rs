//! A program that is told on its stdin, with the body of the generic webhook.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command as Program};
use tokio::time::timeout;

use super::{Delivery, detail, webhook};
use crate::notify::dispatch::Notification;
use crate::notify::queue::Retry;
use crate::notify::settings::Command;

/// Bytes of what it writes to stderr that are kept.
const STDERR_BYTES_MAX: u64 = 4 << 10;
/// How long its stderr is read after its end.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Exit codes of sysexits.h by which it says that it never will: `EX_USAGE`, `EX_DATAERR`.
const NEVER: [i32; 2] = [64, 65];

/// A child and all that it started: gone when this is.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // What has ended by itself is no longer there to be ended.
            let _gone = kill_process_group(id, Signal::KILL);
        }
    }
}

fn start(argv: &[String]) -> Result<Group, String> {
    let (program, arguments) = argv.split_first().ok_or("`argv` is empty")?;
    let child = Program::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Group { child, id })
}

/// Runs it.
pub(super) async fn send(
    settings: &Command,
    notification: &Notification,
    external_url: &str,
) -> Delivery {
    let body = match webhook::body(notification, external_url) {
        Ok(body) => body,
        Err(error) => return Delivery::Refused(error.to_string()),
    };
    let mut group = match start(&settings.argv) {
        Ok(group) => group,
        Err(reason) => return Delivery::Again(reason, Retry::Receiver(None)),
    };
    match timeout(settings.timeout, run(&mut group, &body)).await {
        Ok(delivery) => {
            // What it left running in the background is its own affair.
            group.id = None;
            delivery
        }
        Err(_late) => {
            let limit = humantime::format_duration(settings.timeout);
            let reason = format!("it ran for longer than {limit} and was killed");
            Delivery::Again(reason, Retry::Notification)
        }
    }
}

async fn run(group: &mut Group, body: &[u8]) -> Delivery {
    let (stdin, stderr) = (group.child.stdin.take(), group.child.stderr.take());
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A program need not read what it is told.
            let _unread = stdin.write_all(body).await;
        }
    };
    let mut said = Vec::new();
    let listen = async {
        if let Some(mut stderr) = stderr {
            let _cut = (&mut stderr).take(STDERR_BYTES_MAX).read_to_end(&mut said).await;
            // The rest is read and thrown away, so that it can go on writing.
            let _drained = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
    };
    let ended = {
        let both = async { tokio::join!(tell, listen) };
        tokio::pin!(both);
        tokio::select! {
            ended = group.child.wait() => {
                // What it said last is still in the pipe, which something in the background may
                // keep open.
                let _kept_open = timeout(LAST_WORDS, &mut both).await;
                ended
            }
            _ = &mut both => group.child.wait().await,
        }
    };
    let said = detail(&String::from_utf8_lossy(&said), &[]);
    match ended {
        Err(error) => Delivery::Again(error.to_string(), Retry::Notification),
        Ok(status) if status.success() => Delivery::Taken(format!("{status} {said}")),
        Ok(status) if status.code().is_some_and(|code| NEVER.contains(&code)) => {
            Delivery::Refused(format!("{status} {said}"))
        }
        Ok(status) => Delivery::Again(format!("{status} {said}"), Retry::Notification),
    }
}
