//! Rules for digests: creation and status.

use super::change::ChangeBuilder;
use super::{Change, Context, ControlState};
use crate::digest::record::free_slug;
use crate::digest::{Digest, DigestStatus};
use crate::event::{NewEvent, kind};
use crate::{Error, Result};

/// What happens when the anchor date has a digest already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    /// Return it, unless it was discarded.
    ReturnUndiscarded,
    /// Return it, whatever its status is.
    ReturnAny,
    /// Create another one.
    CreateAnother,
}

/// Stores `new` under the first free slug of its date, or returns one of the `existing` digests of the
/// date that covers the same runs, which changes nothing. A row that says that evidence was insufficient is replaced by a digest.
/// Slug, times and actors of the digest are set here.
pub(crate) fn create(
    state: &ControlState,
    new: &Digest,
    existing: &[Digest],
    if_exists: IfExists,
    context: &Context<'_>,
) -> Change {
    let mut change = ChangeBuilder::new(state, context);
    let skipped = |digest: &Digest| digest.status == DigestStatus::InsufficientEvidence;
    let same = || existing.iter().filter(|known| known.selection() == new.selection());
    let returned = same().rev().find(|known| match if_exists {
        _ if skipped(known) => skipped(new),
        IfExists::ReturnUndiscarded => known.status != DigestStatus::Discarded,
        IfExists::ReturnAny => true,
        IfExists::CreateAnother => false,
    });
    if let Some(known) = returned {
        change.put_digest(Some(known.status), known.clone());
        return change.finish();
    }
    let replaced = same().find(|known| skipped(known));
    let slug = match replaced {
        Some(known) => known.slug.clone(),
        None => free_slug(new.first_slug(), existing),
    };
    let (event_type, text) = match skipped(new) {
        true => (kind::DIGEST_SKIPPED, format!("Digest {slug} was skipped: {}", new.markdown)),
        false => (kind::DIGEST_CREATED, format!("Digest {slug} was created")),
    };
    change.add_event(event(event_type, text, &slug, context));
    let digest = Digest {
        slug,
        created_at: context.now,
        created_by: context.actor.to_owned(),
        updated_at: context.now,
        updated_by: context.actor.to_owned(),
        ..new.clone()
    };
    change.put_digest(replaced.map(|known| known.status), digest);
    change.finish()
}

/// Publishes or discards a digest.
///
/// # Errors
/// Returns `Conflict` for one that was discarded or has no text.
pub(crate) fn set_status(
    state: &ControlState,
    digest: &Digest,
    to: DigestStatus,
    context: &Context<'_>,
) -> Result<Change> {
    let mut change = ChangeBuilder::new(state, context);
    let slug = &digest.slug;
    if digest.status == to {
        change.put_digest(Some(to), digest.clone());
        return Ok(change.finish());
    }
    let (event_type, word) = match (digest.status, to) {
        (DigestStatus::Discarded | DigestStatus::InsufficientEvidence, _)
        | (_, DigestStatus::Draft | DigestStatus::InsufficientEvidence) => {
            return Err(Error::conflict(format!(
                "digest {slug} is {} and cannot become {}; create another one of its date",
                digest.status.as_str(),
                to.as_str()
            )));
        }
        (_, DigestStatus::Published) => (kind::DIGEST_PUBLISHED, "published"),
        (_, DigestStatus::Discarded) => (kind::DIGEST_DISCARDED, "discarded"),
    };
    change.add_event(event(event_type, format!("Digest {slug} was {word}"), slug, context));
    let (updated_at, updated_by) = (context.now, context.actor.to_owned());
    let moved = Digest { status: to, updated_at, updated_by, ..digest.clone() };
    change.put_digest(Some(digest.status), moved);
    Ok(change.finish())
}

/// An event of no run: a digest covers days, and is not part of what it covers.
fn event(event_type: &str, text: String, slug: &str, context: &Context<'_>) -> NewEvent {
    NewEvent::new(event_type, text, context.now)
        .with("slug", slug)
        .with("actor", context.actor)
        .with("reason", context.reason)
}
