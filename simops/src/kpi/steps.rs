//! The kinds of visitor events, and the set of kinds that a visitor caused on a day.

use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// The kind of a visitor event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Viewed the landing page.
    LandingView,
    /// Clicked from the landing page to a run.
    LandingRunClick,
    /// Viewed a run.
    RunDetailView,
    /// Started a replay.
    ReplayStart,
    /// Watched a replay to its end.
    ReplayComplete,
    /// Clicked the share button.
    ShareClicked,
    /// Copied a share link.
    ShareCopied,
    /// Shared with the device's own share dialog.
    ShareNativeSuccess,
    /// Opened a shared link.
    SharedLinkOpen,
    /// Was shown the onboarding.
    OnboardingShown,
    /// Completed the onboarding.
    OnboardingCompleted,
    /// Skipped the onboarding.
    OnboardingSkipped,
    /// Opened the onboarding's glossary.
    OnboardingGlossaryOpened,
}

/// The number of kinds.
pub(super) const KINDS: usize = 13;

impl Kind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; KINDS] = [
        Self::LandingView,
        Self::LandingRunClick,
        Self::RunDetailView,
        Self::ReplayStart,
        Self::ReplayComplete,
        Self::ShareClicked,
        Self::ShareCopied,
        Self::ShareNativeSuccess,
        Self::SharedLinkOpen,
        Self::OnboardingShown,
        Self::OnboardingCompleted,
        Self::OnboardingSkipped,
        Self::OnboardingGlossaryOpened,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LandingView => "landing_view",
            Self::LandingRunClick => "landing_run_click",
            Self::RunDetailView => "run_detail_view",
            Self::ReplayStart => "replay_start",
            Self::ReplayComplete => "replay_complete",
            Self::ShareClicked => "share_clicked",
            Self::ShareCopied => "share_copied",
            Self::ShareNativeSuccess => "share_native_success",
            Self::SharedLinkOpen => "shared_link_open",
            Self::OnboardingShown => "onboarding_shown",
            Self::OnboardingCompleted => "onboarding_completed",
            Self::OnboardingSkipped => "onboarding_skipped",
            Self::OnboardingGlossaryOpened => "onboarding_glossary_opened",
        }
    }

    /// The kind with this name. Case and surrounding spaces are ignored.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    /// The number under which the kind is stored: its index in [`Kind::ALL`]. Codes never change.
    pub fn code(self) -> usize {
        self as usize
    }

    /// The kind with this code.
    pub fn of_code(code: usize) -> Option<Self> {
        Self::ALL.get(code).copied()
    }

    /// A set that contains only this kind.
    pub fn step(self) -> Steps {
        Steps(1 << self.code())
    }
}

/// The kinds of events that a visitor caused on a day, as one bit per kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Steps(pub u16);

impl Steps {
    /// The three ways to share.
    pub const SHARE: Self = Self(
        1 << Kind::ShareClicked as u16
            | 1 << Kind::ShareCopied as u16
            | 1 << Kind::ShareNativeSuccess as u16,
    );
    /// The kinds that make a visitor a viewer: viewing a run or starting a replay.
    pub const VIEWER: Self = Self(1 << Kind::RunDetailView as u16 | 1 << Kind::ReplayStart as u16);

    /// Whether the two sets have a kind in common.
    pub fn any(self, steps: Self) -> bool {
        self.0 & steps.0 != 0
    }

    /// Whether the visitor was a viewer.
    pub fn is_viewer(self) -> bool {
        self.any(Self::VIEWER)
    }
}

impl BitOr for Steps {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
