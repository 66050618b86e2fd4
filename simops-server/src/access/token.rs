//! The admin token: stored as a hash, compared in constant time, never shown.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const ADMIN_TOKEN: HeaderName = HeaderName::from_static("x-admin-token");
const SCHEME: &[u8] = b"bearer ";

/// The hash of a token, right or wrong.
pub(crate) type TokenHash = [u8; 32];

/// The hash of a token that a request presents.
pub(crate) fn hash(presented: &[u8]) -> TokenHash {
    Sha256::digest(presented).into()
}

/// The token of the admin API.
#[derive(Clone)]
pub struct Token(TokenHash);

impl Token {
    /// The token whose text is `text`.
    pub fn new(text: &str) -> Self {
        Self(hash(text.as_bytes()))
    }

    /// The text of a new random token of 192 bits, in hex.
    ///
    /// # Errors
    /// The operating system's error if it has no source of randomness.
    pub fn generate() -> Result<String, getrandom::Error> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether `presented` is this token, compared in constant time.
    pub fn is(&self, presented: &[u8]) -> bool {
        self.has(&hash(presented))
    }

    /// Whether `presented` is the hash of this token, compared in constant time.
    pub(crate) fn has(&self, presented: &TokenHash) -> bool {
        self.0.ct_eq(presented).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token in `headers`: `Authorization: Bearer` or `X-Admin-Token`. An empty one counts as missing.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
        scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
    });
    let token = bearer.or_else(|| Some(headers.get(ADMIN_TOKEN)?.as_bytes()));
    token.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn is_found_in_either_header() {
        let of = |pairs: &[_]| presented(&headers(pairs)).map(|token| token.to_vec());
        assert_eq!(of(&[("authorization", "Bearer abc")]).unwrap(), b"abc");
        assert_eq!(of(&[("authorization", "bEARER  abc ")]).unwrap(), b"abc");
        assert_eq!(of(&[("x-admin-token", "abc")]).unwrap(), b"abc");
        let both = [("authorization", "Basic dXNlcg=="), ("x-admin-token", "abc")];
        assert_eq!(of(&both).unwrap(), b"abc");
        for none in [("authorization", "Bearer "), ("authorization", "abc"), ("x-admin-token", "")]
        {
            assert_eq!(of(&[none]), None, "{none:?}");
        }
    }

    #[test]
    fn only_its_own_text_is_right() {
        let token = Token::new("secret");
        assert!(token.is(b"secret"));
        for wrong in ["", "secre", "secret ", "Secret", "secrets"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_ne!(Token::generate().unwrap(), Token::generate().unwrap());
    }
}
