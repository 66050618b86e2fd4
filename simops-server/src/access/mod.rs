//! Access to `/api/admin`: address, token and, for writes in production, the allowlist. The write gate
//! is checked by the library.

mod actor;
mod client_ip;
mod known_addresses;
mod lockout;
mod networks;
mod rate_limiter;
mod token;
mod writes;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, Method, StatusCode};
use simops::control::{Environment, WriteRules};
use simops::store::RunStore;
use tracing::warn;

pub(crate) use actor::{Actor, Client};
pub(crate) use lockout::subject;
pub use networks::Networks;
pub(crate) use rate_limiter::RateLimiter;
pub use token::Token;
pub(crate) use writes::write_of;

use crate::problem::Problem;
use known_addresses::KnownAddresses;
use lockout::{Lockout, Verdict};
use token::TokenHash;

/// How many peers the log names that send `X-Forwarded-For` without being trusted.
const MAX_NOTED_PEERS: usize = 8;
/// The path prefix of the admin API.
const ADMIN: &str = "/api/admin";

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Everybody.
    Open,
    /// Whoever has the admin token or the token of the metrics.
    Token,
    /// Everybody who reaches this address, which serves nothing else. The server's own address does
    /// not know the path.
    Address(SocketAddr),
}

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
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// A token that reads `/metrics` and nothing else.
    pub metrics_token: Option<Token>,
}

impl AccessOptions {
    /// Any address with `token`.
    pub fn with_token(token: &str) -> Self {
        Self {
            enabled: true,
            token: Some(Token::new(token)),
            allowlist: Networks::default(),
            trusted_proxies: Networks::default(),
            metrics: MetricsAccess::Open,
            metrics_token: None,
        }
    }
}

/// Checks the access of requests.
pub(crate) struct Access {
    options: AccessOptions,
    lockout: Lockout,
    known: KnownAddresses,
    /// Peers whose untrusted `X-Forwarded-For` was noted in the log.
    noted: Mutex<Vec<IpAddr>>,
}

impl Access {
    pub(crate) fn new(options: AccessOptions, store: Arc<dyn RunStore>) -> Self {
        Self {
            options,
            lockout: Lockout::default(),
            known: KnownAddresses::new(store),
            noted: Mutex::default(),
        }
    }

    /// The address a request came from.
    pub(crate) fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = &self.options.trusted_proxies;
        if headers.contains_key(client_ip::FORWARDED_FOR) && !trusted.contains(peer) {
            self.note_untrusted(peer);
        }
        client_ip::client_ip(peer, headers, trusted)
    }

    /// Whether `peer` is a trusted proxy.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.options.trusted_proxies.contains(peer)
    }

    /// Warns once of a proxy that is not in `TRUSTED_PROXIES`: all its clients look like one address.
    fn note_untrusted(&self, peer: IpAddr) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MAX_NOTED_PEERS && !noted.contains(&peer) {
            noted.push(peer);
            warn!(
                code = "forwarded_for_not_trusted",
                %peer,
                "X-Forwarded-For ignored: the peer is not in TRUSTED_PROXIES; \
                 if it is your proxy, all its clients count as one address"
            );
        }
    }

    /// Checks a request to the admin API.
    ///
    /// # Errors
    /// The response of the first check that fails.
    pub(crate) async fn check(
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
        self.check_token(client, &[token], headers, now).await
    }

    /// Checks a request for `/metrics` at the server's own address.
    ///
    /// # Errors
    /// 401 and 429 as for the admin API. 503 if a token is required and none is configured.
    pub(crate) async fn check_metrics(
        &self,
        client: IpAddr,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Problem> {
        let options = &self.options;
        if options.metrics != MetricsAccess::Token {
            return Ok(());
        }
        let tokens: Vec<_> = options.token.iter().chain(&options.metrics_token).collect();
        if tokens.is_empty() {
            let detail =
                "No token is configured; set METRICS_TOKEN, or METRICS_ACCESS to an address";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        self.check_token(client, &tokens, headers, now).await
    }

    async fn check_token(
        &self,
        client: IpAddr,
        tokens: &[&Token],
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Problem> {
        let verdict = match token::presented(headers).map(token::hash) {
            Some(presented) if tokens.iter().any(|token| token.has(&presented)) => {
                self.judge_right(client, &presented, now).await
            }
            Some(presented) => self.lockout.wrong(client, presented, now),
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

    /// A right token opens the door to a locked address if it was right from there before: whoever
    /// shares the operator's address cannot lock the operator out with wrong tokens.
    async fn judge_right(&self, client: IpAddr, token: &TokenHash, now: Instant) -> Verdict {
        match self.lockout.right(client, now) {
            Verdict::Locked(left) if !self.known.contains(token, client, now).await => {
                Verdict::Locked(left)
            }
            _ => {
                self.known.insert(token, client, now);
                Verdict::Right
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
