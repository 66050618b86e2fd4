//! A private PgBouncer in transaction mode, as hosted "pooled" addresses are.

use std::process::{Child, Command, Stdio};

use crate::port::free_port;
use crate::postgres::{PostgresServer, TestDatabase, as_user, fresh_folder};
use crate::wait::eventually_blocking;

/// A pooler before a server. It ends with the process that started it.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    guardian: Child,
}

impl PgBouncer {
    /// A pooler before `server`, that lends few sessions to many.
    ///
    /// # Panics
    /// When it does not start.
    pub fn before(server: &PostgresServer) -> Self {
        let (folder, port) = (fresh_folder(), free_port());
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\npool_mode = transaction\nauth_type = trust\n\
             auth_file = {folder}/users\nmax_client_conn = 1000\ndefault_pool_size = 6\n\
             server_idle_timeout = 5\nlogfile = {folder}/log\n",
            server.port(),
            folder = folder.display(),
        );
        // Written by a shell of the user who must be able to read it.
        let script = "printf '\"postgres\" \"\"\\n' > \"$0/users\"; printf '%s' \"$1\" > \"$0/ini\"; \
                      pgbouncer -q \"$0/ini\" & cat >/dev/null; kill $!; rm -rf \"$0\"";
        let mut command = as_user("sh");
        command.args(["-c", script]).arg(&folder).arg(settings);
        let quiet = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guardian = quiet.spawn().expect("sh starts");
        let pooler = Self { port, guardian };
        eventually_blocking("PgBouncer answers", || pooler.answers().then_some(()));
        pooler
    }

    /// The address of a database behind it.
    pub fn url(&self, database: &TestDatabase) -> String {
        database.url_at(self.port)
    }

    fn answers(&self) -> bool {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let asked = Command::new("psql").args(["-X", "-c", "SELECT 1", &url]).output();
        asked.expect("psql starts").status.success()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}
