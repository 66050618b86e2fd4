//! Recounts by the real command line on a large database, while another process records: how long they take,
//! their memory, and how long a write waits at most; and how long a plain file waits for the same disk.
//!
//! `cargo build --release --workspace --bins && cargo bench -p simops-tests --bench recount`;
//! `EVENTS=8000000` for more than five million, `CALLS` for more than 500,000 model calls, `ENGINE=postgres`
//! or `sqlite` for one alone.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simops::store::RunStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_tests::postgres::PostgresServer;
use simops_tests::process::command;
use simops_tests::visits::{BATCH, batch, day};
use tempfile::TempDir;
use uuid::Uuid;

const DAYS: u64 = 90;
const MAX_MIB: u64 = 200;
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(2);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let (events, calls) = (number("EVENTS", 5_000_000), number("CALLS", 500_000));
    let dir = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::durable();
    let database = postgres.database();
    let sqlite = format!("sqlite://{}", dir.path().join("simops.db").display());
    println!("{events} events, {calls} calls");
    println!(
        "{:<30} {:>9} {:>9} {:>12} {:>12} {:>8}",
        "", "duration", "memory", "longest wait", "longest sync", "writes"
    );
    let mut kept = true;
    let only = std::env::var("ENGINE").unwrap_or_default();
    for url in [sqlite, database.url()].into_iter().filter(|url| url.starts_with(&only)) {
        let engine = url.split(':').next().unwrap().to_owned();
        let store = simops_database::Database::at(&url).unwrap().open().await.unwrap();
        fill(&*store, events, calls).await;
        let store = Arc::new(Writer { store, visitors: true });
        let calling = Arc::new(Writer { store: Arc::clone(&store.store), visitors: false });
        idle(&dir, &engine, &store).await;
        for (writer, args) in [
            (&store, ["kpi", "verify"]),
            (&store, ["kpi", "rebuild"]),
            (&calling, ["usage", "verify"]),
            (&calling, ["usage", "rebuild"]),
        ] {
            kept &= measure(&dir, &engine, &url, writer, args).await;
        }
    }
    assert!(
        kept,
        "more than {MAX_MIB} MiB, or a write that waits for {MAX_WAIT:?} longer than the disk does"
    );
}

async fn fill(store: &dyn RunStore, events: u64, calls: u64) {
    let batches = events / BATCH;
    for number in 0..batches {
        let after = i64::try_from(number * DAYS / batches).unwrap();
        store.record_kpi(&batch(day(after), number)).await.unwrap();
    }
    for number in 0..calls / 500 {
        let after = i64::try_from(number * DAYS / (calls / 500)).unwrap();
        let rows: Vec<_> = (0..500).map(|of| call(after, number * 500 + of)).collect();
        store.record_usage(&rows).await.unwrap();
    }
}

fn call(after: i64, number: u64) -> UsageRow {
    let at = day(after);
    UsageRow {
        id: Uuid::now_v7(),
        day: simops::clock::day_of(at),
        run_id: Some(format!("run-{}", number / 1_000)),
        agent_id: Some(7.into()),
        checkpoint: Some(3),
        provider: "groq".into(),
        model_requested: "m".into(),
        model_resolved: None,
        input_tokens: 100,
        cached_input_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 0,
        cost: NanoUsd(1_000),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 12,
        error_type: None,
        created_at: at,
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A process that records while another recounts.
struct Writer {
    store: Arc<dyn RunStore>,
    visitors: bool,
}

impl Writer {
    /// Writes until `stop` is set; the number of writes, and the longest.
    async fn write(&self, stop: &AtomicBool) -> (u64, Duration) {
        let (mut count, mut longest) = (0, Duration::ZERO);
        while !stop.load(Ordering::SeqCst) {
            let events = batch(day(91), NEXT.fetch_add(1, Ordering::Relaxed));
            let row = [call(91, count)];
            let began = Instant::now();
            match self.visitors {
                true => drop(self.store.record_kpi(&events[..5]).await.unwrap()),
                false => self.store.record_usage(&row).await.unwrap(),
            }
            longest = longest.max(began.elapsed());
            count += 1;
            tokio::time::sleep(PAUSE).await;
        }
        (count, longest)
    }
}

/// Writes that run while something is measured, and syncs of a file next to the database, as its log is
/// synced: what a write waits for on this disk at least.
struct Load {
    stop: Arc<AtomicBool>,
    writes: tokio::task::JoinHandle<(u64, Duration)>,
    syncs: std::thread::JoinHandle<Duration>,
}

impl Load {
    fn start(dir: &TempDir, writer: &Arc<Writer>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (writer, stopped) = (Arc::clone(writer), Arc::clone(&stop));
        let writes = tokio::spawn(async move { writer.write(&stopped).await });
        let (path, stopped) = (dir.path().join("plain"), Arc::clone(&stop));
        Self { stop, writes, syncs: std::thread::spawn(move || sync(&path, &stopped)) }
    }

    /// The number of writes, the longest of them, and the longest sync.
    async fn end(self) -> (u64, Duration, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let (count, longest) = self.writes.await.unwrap();
        (count, longest, self.syncs.join().unwrap())
    }
}

/// Writes and syncs a file until `stop` is set; the longest time.
fn sync(path: &Path, stop: &AtomicBool) -> Duration {
    let (mut file, mut longest) = (std::fs::File::create(path).unwrap(), Duration::ZERO);
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        longest = longest.max(began.elapsed());
        std::thread::sleep(PAUSE);
    }
    longest
}

/// How long a write waits when nothing else runs.
async fn idle(dir: &TempDir, engine: &str, writer: &Arc<Writer>) {
    let load = Load::start(dir, writer);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (count, longest, sync) = load.end().await;
    let name = format!("{engine} no recount");
    println!("{name:<30} {:>9} {:>9} {longest:>12.1?} {sync:>12.1?} {count:>8}", "", "");
}

/// Whether a recount stayed within its limits.
async fn measure(
    dir: &TempDir,
    engine: &str,
    url: &str,
    writer: &Arc<Writer>,
    args: [&str; 2],
) -> bool {
    let load = Load::start(dir, writer);
    let began = Instant::now();
    let mut recount = command("simops-cli", dir.path());
    recount.args(args).args(["--database-url", url]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut recount = recount.spawn().unwrap();
    let (id, mut kib) = (recount.id().unwrap(), 0);
    let status = loop {
        kib = peak(id).unwrap_or(kib);
        match tokio::time::timeout(Duration::from_millis(20), recount.wait()).await {
            Ok(status) => break status.unwrap(),
            Err(_) => continue,
        }
    };
    let took = began.elapsed();
    let (count, longest, sync) = load.end().await;
    let (mib, name) = (kib / 1024, format!("{engine} {}", args.join(" ")));
    println!("{name:<30} {took:>9.1?} {mib:>5} MiB {longest:>12.1?} {sync:>12.1?} {count:>8}");
    assert!(status.success(), "{name} fails");
    mib <= MAX_MIB && longest.saturating_sub(sync) <= MAX_WAIT
}

/// The most memory that a process has had resident, in KiB.
fn peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
