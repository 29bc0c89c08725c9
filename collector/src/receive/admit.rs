//! Who may send, and of which services.
//!
//! A request of which one service is not its sender's to send of is refused as a whole: what was
//! taken of it could not be told from what was not, and a sender that is set up wrongly should notice.

use axum::extract::Request;

use super::Receiver;
use crate::access::{Grant, Refusal, Role};
use crate::connections::Peer;
use crate::decode::Decoded;
use crate::metrics::Transport;
use crate::request::{Format, Kind, Signal};

/// Who sends a request that was let in; it is among the request's extensions.
#[derive(Clone)]
pub(super) struct Sender {
    grant: Grant,
    peer: Option<Peer>,
    transport: Transport,
}

/// Whether the request is let in.
pub(super) fn judge(
    receiver: &Receiver,
    request: &mut Request,
    transport: Transport,
) -> Result<(), Refusal> {
    let peer = request.extensions().get::<Peer>().copied();
    let judged = receiver.access.judge(request.headers(), Role::Ingest);
    let grant = judged.inspect_err(|refusal| {
        receiver.access.refused(transport.name(), peer.map(|peer| peer.0), refusal);
    })?;
    request.extensions_mut().insert(Sender { grant, peer, transport });
    Ok(())
}

/// Whether all that the request tells of is its sender's to send.
pub(super) fn may_send(
    receiver: &Receiver,
    sender: Option<Sender>,
    kind: Kind,
    rows: &mut Decoded,
) -> Result<(), Refusal> {
    let services = std::mem::take(&mut rows.services);
    let Some(Sender { grant, peer, transport }) = sender else { return Err(Refusal::Missing) };
    if !grant.is_limited() {
        return Ok(());
    }
    let name = grant.name().to_owned();
    let refusal = if (kind.signal, kind.format) == (Signal::Logs, Format::Json) {
        // They are passed on unread.
        Refusal::Unseen { name }
    } else {
        match services.into_iter().find(|service| !grant.may_send_of(service)) {
            Some(service) => Refusal::Service { name, service },
            None => return Ok(()),
        }
    };
    receiver.access.refused(transport.name(), peer.map(|peer| peer.0), &refusal);
    Err(refusal)
}
