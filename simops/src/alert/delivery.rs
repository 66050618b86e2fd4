//! Carrying a message to one receiver: when it is tried again, and when it is given up. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Pauses between tries, in seconds: the Standard Webhooks schedule, about three days.
const PAUSES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Pauses differ by up to this share, so that many messages do not come back at one moment.
const JITTER: f64 = 0.2;
/// A receiver may ask for a longer pause, up to this.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be tried.
    Pending,
    /// The receiver has accepted it.
    Delivered,
    /// It was tried often enough.
    Failed,
    /// The receiver has said that it is gone; it gets nothing more until a replay succeeds.
    Gone,
}

/// A message on its way to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Uuid,
    /// The message.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message_id: Uuid,
    /// The receiver: `webhook`, `slack`, `discord`, `pagerduty` or `log`.
    pub sink: String,
    /// A digest of the receiver's address: another address is another receiver.
    pub target: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was last tried.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_attempt_at: Option<Timestamp>,
    /// When it is to be tried next.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_attempt_at: Option<Timestamp>,
    /// The status the receiver last answered with.
    pub last_status: Option<u16>,
    /// What last failed.
    pub last_error: Option<String>,
    /// Tries since the last replay: what the schedule counts.
    pub round: u32,
}

/// One try, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The delivery.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub delivery_id: Uuid,
    /// Which try it was, from 1.
    pub number: u32,
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The status the receiver answered with.
    pub status: Option<u16>,
    /// What failed.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted(Option<u16>),
    /// The receiver refused it.
    Refused {
        /// Its status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<SignedDuration>,
    },
    /// No answer, or no way there.
    NoResponse(String),
}

impl Delivery {
    /// A delivery of a message, to be tried at once; or, to a receiver that is gone, not at all.
    pub fn new(message_id: Uuid, sink: &str, target: &str, gone: bool, now: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
            message_id,
            sink: sink.to_owned(),
            target: target.to_owned(),
            state: if gone { DeliveryState::Gone } else { DeliveryState::Pending },
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: (!gone).then_some(now),
            last_status: None,
            last_error: gone.then(|| "the receiver is gone; a replay tries it again".to_owned()),
            round: 0,
        }
    }

    /// The same delivery, to be tried at once and as often as a new one.
    #[must_use]
    pub fn replayed(&self, now: Timestamp) -> Self {
        let state = DeliveryState::Pending;
        Self { state, next_attempt_at: Some(now), round: 0, ..self.clone() }
    }

    /// The delivery after a try at `at` that ended at `now`, and what the log keeps of it. `chance`
    /// from 0 to 1 spreads the pauses.
    pub fn after(
        &self,
        at: Timestamp,
        now: Timestamp,
        outcome: &Outcome,
        chance: f64,
    ) -> (Self, Attempt) {
        let (status, error) = match outcome {
            Outcome::Accepted(status) => (*status, None),
            Outcome::Refused { status, .. } => {
                (Some(*status), Some(format!("the receiver answered {status}")))
            }
            Outcome::NoResponse(why) => (None, Some(why.clone())),
        };
        let attempt = Attempt {
            delivery_id: self.id,
            number: self.attempts + 1,
            at,
            status,
            error: error.clone(),
            took_ms: i64::try_from(now.duration_since(at).as_millis()).unwrap_or(i64::MAX).max(0),
        };
        let (state, next_attempt_at) = match outcome {
            Outcome::Accepted(_) => (DeliveryState::Delivered, None),
            Outcome::Refused { status: 410, .. } => (DeliveryState::Gone, None),
            Outcome::Refused { retry_after, .. } => self.again(now, *retry_after, chance),
            Outcome::NoResponse(_) => self.again(now, None, chance),
        };
        let next = Self {
            state,
            attempts: self.attempts + 1,
            round: self.round + 1,
            last_attempt_at: Some(at),
            next_attempt_at,
            last_status: status,
            last_error: error,
            ..self.clone()
        };
        (next, attempt)
    }

    fn again(
        &self,
        now: Timestamp,
        asked: Option<SignedDuration>,
        chance: f64,
    ) -> (DeliveryState, Option<Timestamp>) {
        let Some(pause) = PAUSES.get(self.round as usize) else {
            return (DeliveryState::Failed, None);
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a day of seconds")]
        let spread = *pause as f64 * (1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
        let pause =
            SignedDuration::try_from_secs_f64(spread).unwrap_or(SignedDuration::from_secs(*pause));
        let pause = pause.max(asked.unwrap_or(SignedDuration::ZERO)).min(LONGEST);
        let next = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        (DeliveryState::Pending, Some(crate::clock::truncate_to_micros(next)))
    }
}
