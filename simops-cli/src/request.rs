//! What can be asked of a target: the operations of the admin API that the CLI has commands for.

use jiff::Timestamp;
use simops::control::AuditHead;
use simops::ops::{
    BaselineOptions, DigestOptions, EventsQuery, PatchConfig, ReasonBody, SilenceAlert, StartRun,
    StopRun,
};

/// One question or order.
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
