//! The kinds of visitor events, and the set of kinds that a visitor caused on a day.

use std::ops::BitOr;

named! {
    /// The kind of a visitor event.
    pub enum Kind {
        /// Viewed the landing page.
        LandingView = "landing_view",
        /// Clicked from the landing page to a run.
        LandingRunClick = "landing_run_click",
        /// Viewed a run.
        RunDetailView = "run_detail_view",
        /// Started a replay.
        ReplayStart = "replay_start",
        /// Watched a replay to its end.
        ReplayComplete = "replay_complete",
        /// Clicked the share button.
        ShareClicked = "share_clicked",
        /// Copied a share link.
        ShareCopied = "share_copied",
        /// Shared with the device's own share dialog.
        ShareNativeSuccess = "share_native_success",
        /// Opened a shared link.
        SharedLinkOpen = "shared_link_open",
        /// Was shown the onboarding.
        OnboardingShown = "onboarding_shown",
        /// Completed the onboarding.
        OnboardingCompleted = "onboarding_completed",
        /// Skipped the onboarding.
        OnboardingSkipped = "onboarding_skipped",
        /// Opened the onboarding's glossary.
        OnboardingGlossaryOpened = "onboarding_glossary_opened",
    }
}

/// The number of kinds.
pub(super) const KINDS: usize = Kind::ALL.len();

impl Kind {
    /// Like [`Kind::parse`], but ignores case and surrounding spaces.
    pub fn parse_lenient(name: &str) -> Option<Self> {
        Self::parse(&name.trim().to_ascii_lowercase())
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
