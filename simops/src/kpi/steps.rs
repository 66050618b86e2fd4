//! The kinds of events, and which of them a visitor has done on a day: a bit each.

use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// What a visitor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Saw the landing page.
    LandingView,
    /// Went from there to a run.
    LandingRunClick,
    /// Saw a run.
    RunDetailView,
    /// Began a replay.
    ReplayStart,
    /// Saw it to its end.
    ReplayComplete,
    /// Asked to share.
    ShareClicked,
    /// Copied a link.
    ShareCopied,
    /// Shared by the device's own means.
    ShareNativeSuccess,
    /// Came by a shared link.
    SharedLinkOpen,
    /// Was shown the introduction.
    OnboardingShown,
    /// Saw it to its end.
    OnboardingCompleted,
    /// Skipped it.
    OnboardingSkipped,
    /// Opened its glossary.
    OnboardingGlossaryOpened,
}

/// How many kinds there are.
pub const KINDS: usize = 13;

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

    /// The kind of that name, in any case and with spaces around it.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    /// Its place in [`Kind::ALL`], by which it is stored. Never changes.
    pub fn code(self) -> usize {
        self as usize
    }

    /// The kind of that code.
    pub fn of_code(code: usize) -> Option<Self> {
        Self::ALL.get(code).copied()
    }

    /// Only this step.
    pub fn step(self) -> Steps {
        Steps(1 << self.code())
    }
}

/// Which kinds of events a visitor has done on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Steps(pub u16);

impl Steps {
    /// Any of the three ways to share.
    pub const SHARE: Self = Self(
        1 << Kind::ShareClicked as u16
            | 1 << Kind::ShareCopied as u16
            | 1 << Kind::ShareNativeSuccess as u16,
    );
    /// What makes a visitor a viewer: a run seen, or a replay begun.
    pub const VIEWER: Self = Self(1 << Kind::RunDetailView as u16 | 1 << Kind::ReplayStart as u16);

    /// Whether one of `steps` is among these.
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
