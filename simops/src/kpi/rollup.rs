//! The rollup of a day: counts, visitors, rates and retention.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::steps::Kind;
use super::sums::{DaySums, RETENTION_DAYS};

/// A rate that is computed per day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Visitors who clicked from the landing page to a run / visitors of the landing page.
    LandingToRunCtr,
    /// Visitors who started a replay / visitors of a run.
    RunToReplayStartRate,
    /// Visitors who completed a replay / visitors who started one.
    ReplayCompletionRate,
    /// Visitors who shared / viewers.
    ShareActionRate,
    /// Visitors who opened a shared link / visitors who clicked the share button.
    SharedLinkCtr,
    /// Visitors who completed the onboarding / visitors who were shown it.
    OnboardingCompletionRate,
    /// Visitors who skipped the onboarding / visitors who were shown it.
    OnboardingSkipRate,
    /// Visitors who opened the onboarding's glossary / visitors who were shown the onboarding.
    OnboardingGlossaryOpenRate,
    /// Viewers who were viewers again on the next day / viewers.
    D1RetentionRate,
    /// Viewers who were viewers again on the seventh day / viewers.
    D7RetentionRate,
}

impl Rate {
    /// All rates.
    pub const ALL: [Self; 10] = [
        Self::LandingToRunCtr,
        Self::RunToReplayStartRate,
        Self::ReplayCompletionRate,
        Self::ShareActionRate,
        Self::SharedLinkCtr,
        Self::OnboardingCompletionRate,
        Self::OnboardingSkipRate,
        Self::OnboardingGlossaryOpenRate,
        Self::D1RetentionRate,
        Self::D7RetentionRate,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LandingToRunCtr => "landing_to_run_ctr",
            Self::RunToReplayStartRate => "run_to_replay_start_rate",
            Self::ReplayCompletionRate => "replay_completion_rate",
            Self::ShareActionRate => "share_action_rate",
            Self::SharedLinkCtr => "shared_link_ctr",
            Self::OnboardingCompletionRate => "onboarding_completion_rate",
            Self::OnboardingSkipRate => "onboarding_skip_rate",
            Self::OnboardingGlossaryOpenRate => "onboarding_glossary_open_rate",
            Self::D1RetentionRate => "d1_retention_rate",
            Self::D7RetentionRate => "d7_retention_rate",
        }
    }

    /// The rate with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.as_str() == name)
    }

    /// For a retention rate, the number of days after the cohort's day on which returns are
    /// counted; 0 for other rates.
    pub fn maturity_days(self) -> i64 {
        match self {
            Self::D1RetentionRate => RETENTION_DAYS[0],
            Self::D7RetentionRate => RETENTION_DAYS[1],
            _ => 0,
        }
    }

    /// The numerator and the denominator of the rate.
    pub fn fraction(self, sums: &DaySums) -> (i64, i64) {
        let of = |part, whole| (sums.visitors(part), sums.visitors(whole));
        match self {
            Self::LandingToRunCtr => of(Kind::LandingRunClick, Kind::LandingView),
            Self::RunToReplayStartRate => of(Kind::ReplayStart, Kind::RunDetailView),
            Self::ReplayCompletionRate => of(Kind::ReplayComplete, Kind::ReplayStart),
            Self::ShareActionRate => (sums.sharers, sums.viewers),
            Self::SharedLinkCtr => of(Kind::SharedLinkOpen, Kind::ShareClicked),
            Self::OnboardingCompletionRate => of(Kind::OnboardingCompleted, Kind::OnboardingShown),
            Self::OnboardingSkipRate => of(Kind::OnboardingSkipped, Kind::OnboardingShown),
            Self::OnboardingGlossaryOpenRate => {
                of(Kind::OnboardingGlossaryOpened, Kind::OnboardingShown)
            }
            Self::D1RetentionRate => (sums.returned[0], sums.viewers),
            Self::D7RetentionRate => (sums.returned[1], sums.viewers),
        }
    }

    /// Whether the rate of `day` is final on the day `today`. A retention rate is not while
    /// visitors can still return.
    pub fn is_mature(self, day: Date, today: Date) -> bool {
        match self.maturity_days() {
            0 => true,
            days => day.checked_add(days.days()).is_ok_and(|follow_up| follow_up < today),
        }
    }

    /// The rate of `day` as of `today`; `None` if the denominator is 0 or the rate is not mature.
    pub fn of(self, day: Date, sums: &DaySums, today: Date) -> Option<f64> {
        let (part, whole) = self.fraction(sums);
        #[expect(clippy::cast_precision_loss, reason = "counts of visitors are far below 2^53")]
        let rate = part as f64 / whole as f64;
        (whole > 0 && self.is_mature(day, today)).then_some(rate)
    }

    /// The confidence interval of the rate; `None` when the rate is.
    pub fn interval(self, day: Date, sums: &DaySums, today: Date) -> Option<Interval> {
        let (part, whole) = self.fraction(sums);
        Interval::of(part, whole).filter(|_| self.is_mature(day, today))
    }
}

macro_rules! rollup {
    ($($count:ident, $visitors:ident: $kind:ident;)+) => {
        /// The rollup of a day. A rate is null if its denominator is 0. A retention rate is also null
        /// until its follow-up day is over.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct Rollup {
            /// The UTC day.
            pub day_key: Date,
            /// Whether the day is not over yet; its counts cannot be compared with other days.
            pub partial: bool,
            $(
                #[doc = concat!("Events: `", stringify!($kind), "`.")]
                pub $count: i64,
                #[doc = concat!("Distinct visitors with `", stringify!($kind), "`.")]
                pub $visitors: i64,
            )+
            /// Number of share events of all three kinds.
            pub share_actions: i64,
            /// Distinct visitors with a share event.
            pub share_action_visitors: i64,
            /// Visitors who clicked from the landing page to a run / visitors of the landing page.
            pub landing_to_run_ctr: Option<f64>,
            /// Visitors who started a replay / visitors of a run.
            pub run_to_replay_start_rate: Option<f64>,
            /// Visitors who completed a replay / visitors who started one.
            pub replay_completion_rate: Option<f64>,
            /// Visitors who shared / viewers.
            pub share_action_rate: Option<f64>,
            /// Visitors who opened a shared link / visitors who clicked the share button.
            pub shared_link_ctr: Option<f64>,
            /// Visitors who completed the onboarding / visitors who were shown it.
            pub onboarding_completion_rate: Option<f64>,
            /// Visitors who skipped the onboarding / visitors who were shown it.
            pub onboarding_skip_rate: Option<f64>,
            /// Visitors who opened the glossary / visitors who were shown the onboarding.
            pub onboarding_glossary_open_rate: Option<f64>,
            /// Viewers of the day.
            pub d1_cohort_size: i64,
            /// Those of them who were viewers again on the next day, counted so far.
            pub d1_returning_users: i64,
            /// Returning users / cohort size; null until the next day is over.
            pub d1_retention_rate: Option<f64>,
            /// Viewers of the day.
            pub d7_cohort_size: i64,
            /// Those of them who were viewers again on the seventh day after, counted so far.
            pub d7_returning_users: i64,
            /// Returning users / cohort size; null until the seventh day is over.
            pub d7_retention_rate: Option<f64>,
            /// The confidence interval of each rate.
            pub intervals: Intervals,
        }

        impl Rollup {
            /// The rollup of `day` as of `today`.
            pub fn of(day: Date, sums: &DaySums, today: Date) -> Self {
                let rate = |rate: Rate| rate.of(day, sums, today);
                let shares =
                    [Kind::ShareClicked, Kind::ShareCopied, Kind::ShareNativeSuccess];
                Self {
                    day_key: day,
                    partial: day >= today,
                    $(
                        $count: sums.events(Kind::$kind),
                        $visitors: sums.visitors(Kind::$kind),
                    )+
                    share_actions: shares.iter().map(|kind| sums.events(*kind)).sum(),
                    share_action_visitors: sums.sharers,
                    landing_to_run_ctr: rate(Rate::LandingToRunCtr),
                    run_to_replay_start_rate: rate(Rate::RunToReplayStartRate),
                    replay_completion_rate: rate(Rate::ReplayCompletionRate),
                    share_action_rate: rate(Rate::ShareActionRate),
                    shared_link_ctr: rate(Rate::SharedLinkCtr),
                    onboarding_completion_rate: rate(Rate::OnboardingCompletionRate),
                    onboarding_skip_rate: rate(Rate::OnboardingSkipRate),
                    onboarding_glossary_open_rate: rate(Rate::OnboardingGlossaryOpenRate),
                    d1_cohort_size: sums.viewers,
                    d1_returning_users: sums.returned[0],
                    d1_retention_rate: rate(Rate::D1RetentionRate),
                    d7_cohort_size: sums.viewers,
                    d7_returning_users: sums.returned[1],
                    d7_retention_rate: rate(Rate::D7RetentionRate),
                    intervals: Intervals::of(day, sums, today),
                }
            }
        }
    };
}

rollup! {
    landing_views, landing_view_visitors: LandingView;
    landing_run_clicks, landing_run_click_visitors: LandingRunClick;
    run_detail_views, run_detail_visitors: RunDetailView;
    replay_starts, replay_start_visitors: ReplayStart;
    replay_completions, replay_completion_visitors: ReplayComplete;
    share_clicks, share_click_visitors: ShareClicked;
    shared_link_opens, shared_link_open_visitors: SharedLinkOpen;
    onboarding_shown, onboarding_shown_visitors: OnboardingShown;
    onboarding_completed, onboarding_completed_visitors: OnboardingCompleted;
    onboarding_skipped, onboarding_skipped_visitors: OnboardingSkipped;
    onboarding_glossary_opened, onboarding_glossary_opened_visitors: OnboardingGlossaryOpened;
}

macro_rules! intervals {
    ($($name:ident: $rate:ident,)+) => {
        /// The 95 % Wilson confidence interval of each rate; null where the rate is null.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct Intervals {
            $(
                #[doc = concat!("The interval of `", stringify!($name), "`.")]
                pub $name: Option<Interval>,
            )+
        }

        impl Intervals {
            fn of(day: Date, sums: &DaySums, today: Date) -> Self {
                Self { $($name: Rate::$rate.interval(day, sums, today),)+ }
            }
        }
    };
}

intervals! {
    landing_to_run_ctr: LandingToRunCtr,
    run_to_replay_start_rate: RunToReplayStartRate,
    replay_completion_rate: ReplayCompletionRate,
    share_action_rate: ShareActionRate,
    shared_link_ctr: SharedLinkCtr,
    onboarding_completion_rate: OnboardingCompletionRate,
    onboarding_skip_rate: OnboardingSkipRate,
    onboarding_glossary_open_rate: OnboardingGlossaryOpenRate,
    d1_retention_rate: D1RetentionRate,
    d7_retention_rate: D7RetentionRate,
}
