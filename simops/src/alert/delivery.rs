//! The delivery of a message to one receiver: its state and retry schedule.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Delays between attempts in seconds, as in the Standard Webhooks schedule: about three days in all.
const RETRY_DELAYS: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The maximum relative jitter of a delay, which spreads the retries of many messages.
const JITTER: f64 = 0.2;
/// The maximum delay. A receiver can ask for a longer delay than the schedule's, up to this.
const MAX_RETRY_DELAY: SignedDuration = SignedDuration::from_hours(24);

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// An attempt is scheduled.
    Pending,
    /// The receiver has accepted it.
    Delivered,
    /// All attempts failed.
    Failed,
    /// The receiver answered 410 Gone. It receives no messages until a replay succeeds.
    Gone,
}

/// The delivery of a message to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Unique id.
    pub id: Uuid,
    /// The id of the message.
    pub message_id: Uuid,
    /// The receiver: `webhook`, `slack`, `discord`, `pagerduty` or `log`.
    pub sink: String,
    /// A hash of the receiver's address. A new address makes a new receiver.
    pub target: String,
    /// The state.
    pub state: DeliveryState,
    /// The number of attempts.
    pub attempts: u32,
    /// When the last attempt began.
    pub last_attempt_at: Option<Timestamp>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
    /// The HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// The error of the last attempt.
    pub last_error: Option<String>,
    /// The number of attempts since the last replay, which is the position in the retry schedule.
    pub round: u32,
}

/// A logged delivery attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The id of the delivery.
    pub delivery_id: Uuid,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// The HTTP status of the response.
    pub status: Option<u16>,
    /// The error, if the attempt failed.
    pub error: Option<String>,
    /// The duration in milliseconds.
    pub took_ms: i64,
}

/// The outcome of a delivery attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver accepted the message, with this HTTP status if it has one.
    Accepted(Option<u16>),
    /// The receiver answered with an error status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The delay that the receiver asked for.
        retry_after: Option<SignedDuration>,
    },
    /// The receiver could not be reached or did not respond. Contains the reason.
    NoResponse(String),
}

impl Delivery {
    /// Creates a delivery that is due immediately, or one in state `Gone` if the receiver is `gone`.
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
            last_error: gone.then(|| "the receiver answered 410 Gone; replay to retry".to_owned()),
            round: 0,
        }
    }

    /// Schedules the delivery immediately and restarts the retry schedule.
    #[must_use]
    pub fn replayed(&self, now: Timestamp) -> Self {
        let state = DeliveryState::Pending;
        Self { state, next_attempt_at: Some(now), round: 0, ..self.clone() }
    }

    /// The delivery after an attempt that began at `at` and ended at `now`, and the attempt's log
    /// entry. `random`, between 0 and 1, selects the jitter.
    pub fn after(
        &self,
        at: Timestamp,
        now: Timestamp,
        outcome: &Outcome,
        random: f64,
    ) -> (Self, Attempt) {
        let (status, error) = match outcome {
            Outcome::Accepted(status) => (*status, None),
            Outcome::Refused { status, .. } => {
                (Some(*status), Some(format!("the receiver answered {status}")))
            }
            Outcome::NoResponse(reason) => (None, Some(reason.clone())),
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
            Outcome::Refused { retry_after, .. } => self.schedule_retry(now, *retry_after, random),
            Outcome::NoResponse(_) => self.schedule_retry(now, None, random),
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

    fn schedule_retry(
        &self,
        now: Timestamp,
        retry_after: Option<SignedDuration>,
        random: f64,
    ) -> (DeliveryState, Option<Timestamp>) {
        let Some(delay) = RETRY_DELAYS.get(self.round as usize) else {
            return (DeliveryState::Failed, None);
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a day of seconds")]
        let jittered = *delay as f64 * (1.0 + JITTER * (2.0 * random.clamp(0.0, 1.0) - 1.0));
        let delay = SignedDuration::try_from_secs_f64(jittered)
            .unwrap_or(SignedDuration::from_secs(*delay));
        let delay = delay.max(retry_after.unwrap_or(SignedDuration::ZERO)).min(MAX_RETRY_DELAY);
        let next = now.checked_add(delay).unwrap_or(Timestamp::MAX);
        (DeliveryState::Pending, Some(crate::clock::truncate_to_micros(next)))
    }
}
