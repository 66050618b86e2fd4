//! A Redis of the drill's own, on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::stage::{free_address, until};
use crate::exit::Failure;

/// A Redis that the drill kills, empties and hangs.
pub(super) struct Redis {
    address: SocketAddr,
    dir: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Starts one with its files in `dir`.
    pub(super) async fn start(dir: PathBuf) -> Result<Self, Failure> {
        let mut redis = Self { address: free_address()?, dir, child: None };
        redis.begin().await?;
        Ok(redis)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts it, with nothing in it.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", &self.address.ip().to_string()]);
        command.args(["--port", &self.address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.kill_on_drop(true).spawn().map_err(|error| {
            Failure::new(format!(
                "redis-server cannot be started ({error}); this drill needs one to kill: apt-get \
                 install redis-server"
            ))
        })?);
        let answers = async || TcpStream::connect(self.address).await.ok();
        let began = until(answers).await.map(drop);
        began.ok_or_else(|| Failure::new("redis-server does not come up"))
    }

    /// Ends it as a power cut would.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill().await;
        }
    }

    /// Hangs it: connections stand, and nothing is answered.
    pub(super) fn hang(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.ok_or_else(|| Failure::new("redis-server has ended unexpectedly"))?;
        kill_process(id, signal)
            .map_err(|error| Failure::new(format!("redis-server takes no signal: {error}")))
    }
}
