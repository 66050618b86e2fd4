//! Who may do what under `/api/admin`: the contract's table, checked in its order.

mod actor;
mod allowance;
mod client_ip;
mod lockout;
mod networks;
mod token;

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderMap, Method, StatusCode};
use simops::control::Environment;

pub(crate) use actor::{Actor, Client};
pub(crate) use allowance::Allowance;
pub use networks::Networks;
pub use token::Token;

use crate::problem::Problem;
use lockout::{Lockout, Verdict};

/// Where the admin API begins.
const ADMIN: &str = "/api/admin";

/// The edge's own settings.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// Whether there is an admin API.
    pub enabled: bool,
    /// What opens it; without one it stays closed.
    pub token: Option<Token>,
    /// Who may come in; empty: everybody.
    pub allowlist: Networks,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
}

impl AccessOptions {
    /// Open to everybody with `token`.
    pub fn with_token(token: &str) -> Self {
        Self {
            enabled: true,
            token: Some(Token::new(token)),
            allowlist: Networks::default(),
            trusted_proxies: Networks::default(),
        }
    }
}

/// Lets requests in or not.
#[derive(Debug)]
pub(crate) struct Access {
    options: AccessOptions,
    environment: Environment,
    write_enabled: bool,
    lockout: Lockout,
}

impl Access {
    pub(crate) fn new(
        options: AccessOptions,
        environment: Environment,
        write_enabled: bool,
    ) -> Self {
        Self { options, environment, write_enabled, lockout: Lockout::default() }
    }

    /// The address a request came from.
    pub(crate) fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client_ip::client_ip(peer, headers, &self.options.trusted_proxies)
    }

    /// Whether the request may go on to its route.
    pub(crate) fn check(
        &self,
        client: IpAddr,
        method: &Method,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Problem> {
        let options = &self.options;
        if !options.enabled {
            return Err(Problem::no_such_path());
        }
        let Some(token) = &options.token else {
            let detail = "No admin token is configured; set ADMIN_API_TOKEN and start again";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        if !options.allowlist.is_empty() && !options.allowlist.contains(client) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "Admin IP not allowed"));
        }
        self.check_token(client, token, headers, now)?;
        if is_write(method) {
            self.check_write()?;
        }
        Ok(())
    }

    fn check_token(
        &self,
        client: IpAddr,
        token: &Token,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Problem> {
        let verdict = match token::presented(headers) {
            Some(presented) => self.lockout.judge(client, token.is(presented), now),
            // No token is no guess.
            None => self.lockout.locked(client, now).map_or(Verdict::Wrong, Verdict::Locked),
        };
        match verdict {
            Verdict::Right => Ok(()),
            Verdict::Wrong => {
                Err(Problem::new(StatusCode::UNAUTHORIZED, "Invalid admin credentials"))
            }
            Verdict::Locked(left) => {
                let detail = "Too many failed tokens from this address; try again later";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail);
                Err(problem.retry_after(left))
            }
        }
    }

    fn check_write(&self) -> Result<(), Problem> {
        let refused = |detail| Err(Problem::new(StatusCode::FORBIDDEN, detail));
        if !self.write_enabled {
            return refused("Admin write controls are disabled in this environment");
        }
        if self.environment == Environment::Production && self.options.allowlist.is_empty() {
            return refused("Admin write IP allowlist is required in production");
        }
        Ok(())
    }
}

/// Whether `path` belongs to the admin API.
pub(crate) fn is_admin(path: &str) -> bool {
    path.strip_prefix(ADMIN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a request of `method` may change something.
pub(crate) fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
