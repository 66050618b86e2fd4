//! Requests to a target: the operations of the admin API that the CLI has commands for.

use jiff::Timestamp;
use simops::control::AuditHead;
use simops::ops::{
    BaselineOptions, DigestOptions, EventsQuery, PatchConfig, ReasonBody, SilenceAlert, StartRun,
    StopRun,
};

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    Status,
    Start(Box<StartRun>),
    Stop(StopRun),
    Pause(ReasonBody),
    Resume(ReasonBody),
    Reset(ReasonBody),
    Degrade(ReasonBody),
    ClearDegrade(ReasonBody),
    Runs { limit: i64, cursor: Option<String> },
    Run { run_id: String },
    Metrics { run_id: Option<String>, hours_fallback: i64 },
    Config,
    PatchConfig(PatchConfig),
    Audit { limit: i64, offset: i64 },
    VerifyAudit(Option<AuditHead>),
    Events(EventsQuery),
    KpiRollups { days: i64 },
    Alerts { limit: i64, cursor: Option<String> },
    AcknowledgeAlert { id: String, reason: Option<String> },
    SilenceAlert { id: String, silence: SilenceAlert },
    Messages { limit: i64, cursor: Option<String> },
    Delivery { id: String },
    ReplayDelivery { id: String, reason: Option<String> },
    Baseline(BaselineOptions),
    Report { run_id: String, ended_at: Option<Timestamp> },
    CompareRuns { a: String, b: String },
    Digest(DigestOptions),
    Digests { status: Option<String>, limit: i64, cursor: Option<String> },
    DigestNamed { slug: String },
    PublishDigest { slug: String, body: ReasonBody },
    DiscardDigest { slug: String, body: ReasonBody },
}

impl Request {
    /// Whether it needs a database that may be written. A baseline writes files only.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Status
            | Self::Runs { .. }
            | Self::Run { .. }
            | Self::Metrics { .. }
            | Self::Config
            | Self::Audit { .. }
            | Self::VerifyAudit(_)
            | Self::Events(_)
            | Self::KpiRollups { .. }
            | Self::Alerts { .. }
            | Self::Messages { .. }
            | Self::Delivery { .. }
            | Self::Baseline(_)
            | Self::Report { .. }
            | Self::CompareRuns { .. }
            | Self::Digests { .. }
            | Self::DigestNamed { .. } => false,
            Self::Start(_)
            | Self::Stop(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Reset(_)
            | Self::Degrade(_)
            | Self::ClearDegrade(_)
            | Self::PatchConfig(_)
            | Self::AcknowledgeAlert { .. }
            | Self::SilenceAlert { .. }
            | Self::ReplayDelivery { .. }
            | Self::Digest(_)
            | Self::PublishDigest { .. }
            | Self::DiscardDigest { .. } => true,
        }
    }
}
