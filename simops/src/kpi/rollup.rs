//! The rollup of a day: counts, visitors, rates and retention.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::steps::Kind;
use super::sums::{DaySums, RETENTION_DAYS};
use crate::number::ratio;

impl Rate {
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
        ratio(part, whole).filter(|_| self.is_mature(day, today))
    }

    /// The confidence interval of the rate; `None` when the rate is.
    pub fn interval(self, day: Date, sums: &DaySums, today: Date) -> Option<Interval> {
        let (part, whole) = self.fraction(sums);
        Interval::of(part, whole).filter(|_| self.is_mature(day, today))
    }
}

/// Defines the rates and the rollup from one table of kinds and one of rates.
macro_rules! rollup {
    (
        kinds { $($kind:ident: $count:ident, $visitors:ident;)+ }
        rates { $($(#[$doc:meta])* $rate:ident = $name:tt: $value:ident;)+ }
    ) => {
        named! {
            /// A rate that is computed per day.
            pub enum Rate {
                $($(#[$doc])* $rate = $name,)+
            }
        }

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
            /// Viewers of the day.
            pub d1_cohort_size: i64,
            /// Those of them who were viewers again on the next day, counted so far.
            pub d1_returning_users: i64,
            /// Viewers of the day.
            pub d7_cohort_size: i64,
            /// Those of them who were viewers again on the seventh day after, counted so far.
            pub d7_returning_users: i64,
            $($(#[$doc])* pub $value: Option<f64>,)+
            /// The confidence interval of each rate.
            pub intervals: Intervals,
        }

        /// The 95 % Wilson confidence interval of each rate; null where the rate is null.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct Intervals {
            $(
                #[doc = concat!("The interval of `", $name, "`.")]
                pub $value: Option<Interval>,
            )+
        }

        impl Rollup {
            /// The rollup of `day` as of `today`.
            pub fn of(day: Date, sums: &DaySums, today: Date) -> Self {
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
                    d1_cohort_size: sums.viewers,
                    d1_returning_users: sums.returned[0],
                    d7_cohort_size: sums.viewers,
                    d7_returning_users: sums.returned[1],
                    $($value: Rate::$rate.of(day, sums, today),)+
                    intervals: Intervals {
                        $($value: Rate::$rate.interval(day, sums, today),)+
                    },
                }
            }
        }
    };
}

rollup! {
    kinds {
        LandingView: landing_views, landing_view_visitors;
        LandingRunClick: landing_run_clicks, landing_run_click_visitors;
        RunDetailView: run_detail_views, run_detail_visitors;
        ReplayStart: replay_starts, replay_start_visitors;
        ReplayComplete: replay_completions, replay_completion_visitors;
        ShareClicked: share_clicks, share_click_visitors;
        SharedLinkOpen: shared_link_opens, shared_link_open_visitors;
        OnboardingShown: onboarding_shown, onboarding_shown_visitors;
        OnboardingCompleted: onboarding_completed, onboarding_completed_visitors;
        OnboardingSkipped: onboarding_skipped, onboarding_skipped_visitors;
        OnboardingGlossaryOpened: onboarding_glossary_opened, onboarding_glossary_opened_visitors;
    }
    rates {
        /// Visitors who clicked from the landing page to a run / visitors of the landing page.
        LandingToRunCtr = "landing_to_run_ctr": landing_to_run_ctr;
        /// Visitors who started a replay / visitors of a run.
        RunToReplayStartRate = "run_to_replay_start_rate": run_to_replay_start_rate;
        /// Visitors who completed a replay / visitors who started one.
        ReplayCompletionRate = "replay_completion_rate": replay_completion_rate;
        /// Visitors who shared / viewers.
        ShareActionRate = "share_action_rate": share_action_rate;
        /// Visitors who opened a shared link / visitors who clicked the share button.
        SharedLinkCtr = "shared_link_ctr": shared_link_ctr;
        /// Visitors who completed the onboarding / visitors who were shown it.
        OnboardingCompletionRate = "onboarding_completion_rate": onboarding_completion_rate;
        /// Visitors who skipped the onboarding / visitors who were shown it.
        OnboardingSkipRate = "onboarding_skip_rate": onboarding_skip_rate;
        /// Visitors who opened the onboarding's glossary / visitors who were shown the onboarding.
        OnboardingGlossaryOpenRate = "onboarding_glossary_open_rate": onboarding_glossary_open_rate;
        /// Viewers who were viewers again on the next day / viewers; null until that day is over.
        D1RetentionRate = "d1_retention_rate": d1_retention_rate;
        /// Viewers who were viewers again on the seventh day / viewers; null until that day is over.
        D7RetentionRate = "d7_retention_rate": d7_retention_rate;
    }
}
