//! Which digests may be kept, and what may become of them.

use super::Context;
use super::change::ChangeBuilder;
use crate::digest::record::free_slug;
use crate::digest::{Digest, DigestStatus};
use crate::event::{NewEvent, kind};
use crate::{Error, Result};

/// A digest that was just written, with what only the store knows.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDraft {
    /// The digest; its name, times and actors are set when it is kept.
    pub draft: Digest,
    /// Every digest of its anchor date.
    pub existing: Vec<Digest>,
    /// What happens when the date has a digest already.
    pub if_exists: IfExists,
}

/// What happens when the anchor date has a digest already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Return it, unless it was discarded.
    ReturnUndiscarded,
    /// Return it, whatever its status is.
    ReturnAny,
    /// Create another one.
    CreateAnother,
}

/// Keeps a digest under the first free name of its date; or shows the one that is in its way, which
/// changes nothing.
pub(super) fn create(change: &mut ChangeBuilder<'_>, new: &NewDraft, context: &Context<'_>) {
    let in_the_way = new.existing.iter().rev().find(|known| match new.if_exists {
        IfExists::ReturnUndiscarded => known.status != DigestStatus::Discarded,
        IfExists::ReturnAny => true,
        IfExists::CreateAnother => false,
    });
    if let Some(known) = in_the_way {
        change.put_digest(Some(known.status), known.clone());
        return;
    }
    let slug = free_slug(new.draft.anchor_date, &new.existing);
    let text = format!("Digest {slug} was drafted");
    change.add_event(told(kind::DIGEST_CREATED, text, &slug, context));
    let draft = Digest {
        slug,
        status: DigestStatus::Draft,
        created_at: context.now,
        created_by: context.actor.to_owned(),
        updated_at: context.now,
        updated_by: context.actor.to_owned(),
        ..new.draft.clone()
    };
    change.put_digest(None, draft);
}

/// Publishes or discards a digest.
///
/// # Errors
/// `Conflict` for one that was discarded.
pub(super) fn change(
    change: &mut ChangeBuilder<'_>,
    draft: &Digest,
    to: DigestStatus,
    context: &Context<'_>,
) -> Result<()> {
    let slug = &draft.slug;
    if draft.status == to {
        change.put_digest(Some(to), draft.clone());
        return Ok(());
    }
    let (event_type, word) = match (draft.status, to) {
        (DigestStatus::Discarded, _) | (_, DigestStatus::Draft) => {
            return Err(Error::conflict(format!(
                "digest {slug} is {} and cannot become {}; draft another one of its date",
                draft.status.as_str(),
                to.as_str()
            )));
        }
        (_, DigestStatus::Published) => (kind::DIGEST_PUBLISHED, "published"),
        (_, DigestStatus::Discarded) => (kind::DIGEST_DISCARDED, "discarded"),
    };
    change.add_event(told(event_type, format!("Digest {slug} was {word}"), slug, context));
    let (updated_at, updated_by) = (context.now, context.actor.to_owned());
    let moved = Digest { status: to, updated_at, updated_by, ..draft.clone() };
    change.put_digest(Some(draft.status), moved);
    Ok(())
}

/// Of no run: a digest is about some days, and no part of what it is about.
fn told(event_type: &str, text: String, slug: &str, context: &Context<'_>) -> NewEvent {
    NewEvent::new(event_type, text, context.now)
        .with("slug", slug)
        .with("actor", context.actor)
        .with("reason", context.reason)
}
