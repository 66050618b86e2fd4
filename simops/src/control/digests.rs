//! Rules for digests: creation and status.

use super::Context;
use super::change::ChangeBuilder;
use crate::digest::record::free_slug;
use crate::digest::{Digest, DigestStatus};
use crate::event::{NewEvent, kind};
use crate::{Error, Result};

/// A new digest with the facts that only the store knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewDigest {
    /// The digest; slug, times and actors are set when it is stored.
    pub digest: Digest,
    /// Every digest of its anchor date.
    pub existing: Vec<Digest>,
    /// What happens when the date has a digest already.
    pub if_exists: IfExists,
}

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

/// Stores a digest under the first free slug of its date, or returns the existing one, which changes
/// nothing. A row of the date that says that evidence was insufficient is replaced by a digest.
pub(super) fn create(change: &mut ChangeBuilder<'_>, new: &NewDigest, context: &Context<'_>) {
    let skipped = |digest: &Digest| digest.status == DigestStatus::InsufficientEvidence;
    let returned = new.existing.iter().rev().find(|known| match new.if_exists {
        _ if skipped(known) => skipped(&new.digest),
        IfExists::ReturnUndiscarded => known.status != DigestStatus::Discarded,
        IfExists::ReturnAny => true,
        IfExists::CreateAnother => false,
    });
    if let Some(known) = returned {
        change.put_digest(Some(known.status), known.clone());
        return;
    }
    let replaced = new.existing.iter().find(|known| skipped(known));
    let slug = match replaced {
        Some(known) => known.slug.clone(),
        None => free_slug(new.digest.anchor_date, &new.existing),
    };
    let text = match skipped(&new.digest) {
        true => format!("Digest {slug} was skipped: {}", new.digest.markdown),
        false => format!("Digest {slug} was created"),
    };
    let event_type = if skipped(&new.digest) { kind::DIGEST_SKIPPED } else { kind::DIGEST_CREATED };
    change.add_event(event(event_type, text, &slug, context));
    let digest = Digest {
        slug,
        created_at: context.now,
        created_by: context.actor.to_owned(),
        updated_at: context.now,
        updated_by: context.actor.to_owned(),
        ..new.digest.clone()
    };
    change.put_digest(replaced.map(|known| known.status), digest);
}

/// Publishes or discards a digest.
///
/// # Errors
/// Returns `Conflict` for one that was discarded or has no text.
pub(super) fn change(
    change: &mut ChangeBuilder<'_>,
    digest: &Digest,
    to: DigestStatus,
    context: &Context<'_>,
) -> Result<()> {
    let slug = &digest.slug;
    if digest.status == to {
        change.put_digest(Some(to), digest.clone());
        return Ok(());
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
    Ok(())
}

/// An event of no run: a digest covers days, and is not part of what it covers.
fn event(event_type: &str, text: String, slug: &str, context: &Context<'_>) -> NewEvent {
    NewEvent::new(event_type, text, context.now)
        .with("slug", slug)
        .with("actor", context.actor)
        .with("reason", context.reason)
}
