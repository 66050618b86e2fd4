//! A day as it is shown: counts, visitors, rates, and who came back.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::steps::Kind;
use super::sums::{DaySums, RETURNS};

/// A rate of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Landing visitors who went on to a run.
    LandingToRunCtr,
    /// Visitors of a run who began a replay.
    RunToReplayStartRate,
    /// Visitors who saw a replay to its end, of those who began one.
    ReplayCompletionRate,
    /// Viewers who shared.
    ShareActionRate,
    /// Visitors by shared links, of those who clicked to share.
    SharedLinkCtr,
    /// Visitors who completed the introduction.
    OnboardingCompletionRate,
    /// Visitors who skipped it.
    OnboardingSkipRate,
    /// Visitors who opened its glossary.
    OnboardingGlossaryOpenRate,
    /// Viewers who came back on the next day.
    D1RetentionRate,
    /// Viewers who came back on the seventh day.
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

    /// The rate of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.as_str() == name)
    }

    /// The days that must have passed since a cohort's before the rate is known; 0 when it has none.
    pub fn matures_after(self) -> i64 {
        match self {
            Self::D1RetentionRate => RETURNS[0],
            Self::D7RetentionRate => RETURNS[1],
            _ => 0,
        }
    }

    /// Part and whole of the rate, in `sums`.
    pub fn parts(self, sums: &DaySums) -> (i64, i64) {
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

    /// Whether the rate of `day` can be known on the day `today`: who may still come back is not.
    pub fn is_mature(self, day: Date, today: Date) -> bool {
        match self.matures_after() {
            0 => true,
            days => day.checked_add(days.days()).is_ok_and(|follow_up| follow_up < today),
        }
    }

    /// The rate of `day` as known on `today`.
    pub fn of(self, day: Date, sums: &DaySums, today: Date) -> Option<f64> {
        let (part, whole) = self.parts(sums);
        #[expect(clippy::cast_precision_loss, reason = "counts of visitors are far below 2^53")]
        let rate = part as f64 / whole as f64;
        (whole > 0 && self.is_mature(day, today)).then_some(rate)
    }

    /// How sure it is.
    pub fn interval(self, day: Date, sums: &DaySums, today: Date) -> Option<Interval> {
        let (part, whole) = self.parts(sums);
        Interval::of(part, whole).filter(|_| self.is_mature(day, today))
    }
}

macro_rules! rollup {
    ($($count:ident, $visitors:ident: $kind:ident;)+) => {
        /// A day's rollup. A rate is null when its denominator is 0, or while who may still come back
        /// is not known.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct Rollup {
            /// The UTC day.
            #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
            pub day_key: Date,
            /// Whether the day is not over: its counts cannot be compared with those of others.
            pub partial: bool,
            $(
                #[doc = concat!("Events: `", stringify!($kind), "`.")]
                pub $count: i64,
                #[doc = concat!("Distinct visitors with `", stringify!($kind), "`.")]
                pub $visitors: i64,
            )+
            /// Events of the three ways to share.
            pub share_actions: i64,
            /// Distinct visitors with one of them.
            pub share_action_visitors: i64,
            /// Click visitors / view visitors of the landing page.
            pub landing_to_run_ctr: Option<f64>,
            /// Visitors who began a replay / visitors of a run.
            pub run_to_replay_start_rate: Option<f64>,
            /// Visitors who completed a replay / who began one.
            pub replay_completion_rate: Option<f64>,
            /// Sharers / viewers.
            pub share_action_rate: Option<f64>,
            /// Visitors by shared links / who clicked to share.
            pub shared_link_ctr: Option<f64>,
            /// Visitors who completed the introduction / who were shown it.
            pub onboarding_completion_rate: Option<f64>,
            /// Visitors who skipped it / who were shown it.
            pub onboarding_skip_rate: Option<f64>,
            /// Visitors who opened its glossary / who were shown it.
            pub onboarding_glossary_open_rate: Option<f64>,
            /// Viewers of the day.
            pub d1_cohort_size: i64,
            /// Those of them who were viewers on the next day, as far as it has come.
            pub d1_returning_users: i64,
            /// Their share; null until the next day is over.
            pub d1_retention_rate: Option<f64>,
            /// Viewers of the day.
            pub d7_cohort_size: i64,
            /// Those of them who were viewers on the seventh day after, as far as it has come.
            pub d7_returning_users: i64,
            /// Their share; null until that day is over.
            pub d7_retention_rate: Option<f64>,
            /// How sure each rate is.
            pub intervals: Intervals,
        }

        impl Rollup {
            /// The rollup of `day`, as known on `today`.
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
        /// The interval of each rate: 95 %, Wilson; null where the rate is.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct Intervals {
            $(
                #[doc = concat!("Of `", stringify!($name), "`.")]
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
