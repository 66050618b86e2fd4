//! Access to `/api/admin`: address, token and, for writes in production, the allowlist. The write gate
//! is checked by the library.

mod actor;
mod client_ip;
mod lockout;
mod networks;
mod rate_limiter;
mod token;
mod writes;

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderMap, Method, StatusCode};
use simops::control::{Environment, WriteRules};

pub(crate) use actor::{Actor, Client};
pub use networks::Networks;
pub(crate) use rate_limiter::RateLimiter;
pub use token::Token;
pub(crate) use writes::write_of;

use crate::problem::Problem;
use lockout::{Lockout, Verdict};

/// The path prefix of the admin API.
const ADMIN: &str = "/api/admin";

/// Options of the access checks.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// Whether the admin API is enabled.
    pub enabled: bool,
    /// The admin token; without one, every request is refused.
    pub token: Option<Token>,
    /// Addresses that may use the API; empty means all.
    pub allowlist: Networks,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Networks,
}

impl AccessOptions {
    /// Any address with `token`.
    pub fn with_token(token: &str) -> Self {
        Self {
            enabled: true,
            token: Some(Token::new(token)),
            allowlist: Networks::default(),
            trusted_proxies: Networks::default(),
        }
    }
}

/// Checks the access of requests.
#[derive(Debug)]
pub(crate) struct Access {
    options: AccessOptions,
    lockout: Lockout,
}

impl Access {
    pub(crate) fn new(options: AccessOptions) -> Self {
        Self { options, lockout: Lockout::default() }
    }

    /// The address a request came from.
    pub(crate) fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client_ip::client_ip(peer, headers, &self.options.trusted_proxies)
    }

    /// Checks a request to the admin API.
    ///
    /// # Errors
    /// The response of the first check that fails.
    pub(crate) fn check(
        &self,
        client: IpAddr,
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
        self.check_token(client, token, headers, now)
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
            // A missing token does not count as a failed one.
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

    /// Whether writes may come over HTTP: in production only with an allowlist.
    pub(crate) fn check_write(&self, rules: WriteRules) -> Result<(), Problem> {
        if rules.environment() == Environment::Production && self.options.allowlist.is_empty() {
            let detail = "Admin write IP allowlist is required in production";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
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
