//! The tokens by which Google's Pub/Sub proves itself: `OpenID Connect`, RS256 (RFC 7519, and "Authentication for push
//! subscriptions" in the documentation of Pub/Sub).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;

use super::Refusal;

/// Who makes the tokens; both forms are in use.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// How far two clocks may be apart.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// No token comes near, in bytes.
const TOKEN_LIMIT: usize = 8 * 1024;
/// The most keys; Google has two or three at a time.
const MOST_KEYS: usize = 50;

/// A token that was read. Nothing of it is believed before [`Token::is_signed_by`].
#[derive(Debug)]
pub struct Token<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    key: String,
    claims: Claims,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    email: String,
    email_verified: bool,
    exp: i64,
    iat: i64,
}

impl<'t> Token<'t> {
    /// Reads `HEADER.CLAIMS.SIGNATURE`.
    pub fn read(text: &'t str) -> Result<Self, Refusal> {
        if text.len() > TOKEN_LIMIT {
            return Err(Refusal::Token("is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Form);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Form)?;
        // The token must not choose how it is checked.
        if header.alg != "RS256" {
            return Err(Refusal::Token("is not signed with RS256"));
        }
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|_| Refusal::Form)?;
        Ok(Self { signed, signature: decode(signature)?, key: header.kid, claims })
    }

    /// The name of the key that it says it is signed with.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it says what it must: for whom, from whom, and until when.
    pub fn fits(&self, audience: &str, identity: &str, now: Timestamp) -> Result<(), Refusal> {
        let Claims { iss, aud, email, email_verified, exp, iat } = &self.claims;
        let (now, leeway) = (now.as_second(), LEEWAY.as_secs());
        let wrong = if !ISSUERS.contains(&iss.as_str()) {
            "is not Google's"
        } else if aud != audience {
            "is for another `audience`"
        } else if email != identity {
            "is of another `identity`"
        } else if !email_verified {
            "has an address that Google has not verified"
        } else if exp.saturating_add(leeway) <= now {
            "has expired"
        } else if iat.saturating_sub(leeway) > now {
            "is of a later time; is this machine's clock right?"
        } else {
            return Ok(());
        };
        Err(Refusal::Token(wrong))
    }

    /// Whether that key has signed it.
    pub fn is_signed_by(&self, key: &Key) -> Result<(), Refusal> {
        let Key { n, e } = key;
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature)
            .map_err(|_| Refusal::Wrong)
    }
}

/// One of Google's public keys: modulus and exponent, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    n: Vec<u8>,
    e: Vec<u8>,
}

/// Google's public keys by their names (a JSON Web Key Set, RFC 7517).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, Key>);

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<JsonKey>,
}

#[derive(Deserialize)]
struct JsonKey {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl Keys {
    /// Reads a key set; keys of other kinds are left out.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let set: KeySet = serde_json::from_slice(text).map_err(|error| format!("not a key set: {error}"))?;
        if set.keys.len() > MOST_KEYS {
            return Err(format!("more than {MOST_KEYS} keys"));
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
        let usable = set.keys.into_iter().filter(|key| key.kty == "RSA" && !key.kid.is_empty());
        let keys: BTreeMap<String, Key> = usable
            .filter_map(|key| Some((key.kid, Key { n: decode(&key.n)?, e: decode(&key.e)? })))
            .collect();
        if keys.is_empty() { Err("it has no RSA key".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The key of that name.
    pub fn get(&self, name: &str) -> Option<&Key> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEYS: &[u8] = include_bytes!("../../../tests/fixtures/google-keys.json");
    const TOKENS: &str = include_str!("../../../tests/fixtures/google-tokens.tsv");
    const AUDIENCE: &str = "https://promoted.example.org/webhooks/gar";
    const IDENTITY: &str = "push@acme.iam.gserviceaccount.com";

    fn token(name: &str, header: &str) -> String {
        let line = TOKENS.lines().find(|line| line.split('\t').next() == Some(name)).unwrap();
        let parts: Vec<&str> = line.split('\t').collect();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(header), encode(parts[1]), parts[2])
    }

    const HEADER: &str = r#"{"alg":"RS256","kid":"test-key","typ":"JWT"}"#;

    fn judge(text: &str, now: &str) -> Result<(), Refusal> {
        let token = Token::read(text)?;
        token.fits(AUDIENCE, IDENTITY, now.parse().unwrap())?;
        token.is_signed_by(Keys::read(KEYS).unwrap().get(token.key()).ok_or(Refusal::Wrong)?)
    }

    #[test]
    fn a_token_of_googles_for_us_is_taken() {
        assert_eq!(judge(&token("good", HEADER), "2026-06-01T00:00:00Z"), Ok(()));
    }

    #[test]
    fn a_token_for_others_of_others_or_of_another_time_is_refused() {
        let now = "2026-06-01T00:00:00Z";
        for (name, words) in [
            ("audience", "is for another `audience`"),
            ("identity", "is of another `identity`"),
            ("unverified", "has an address that Google has not verified"),
            ("expired", "has expired"),
            ("issuer", "is not Google's"),
        ] {
            assert_eq!(judge(&token(name, HEADER), now), Err(Refusal::Token(words)), "{name}");
        }
        let good = token("good", HEADER);
        assert_eq!(judge(&good, "2100-01-01T00:02:00Z"), Err(Refusal::Token("has expired")));
        assert!(judge(&good, "2100-01-01T00:00:30Z").is_ok(), "clocks may differ by a minute");
        assert!(
            matches!(judge(&good, "2025-12-31T00:00:00Z"), Err(Refusal::Token(words)) if words.contains("clock"))
        );
    }

    #[test]
    fn a_token_whose_signature_does_not_fit_is_refused() {
        let now = "2026-06-01T00:00:00Z";
        let good = token("good", HEADER);
        let claims = good.split('.').nth(1).unwrap();
        let signature = good.split('.').nth(2).unwrap();
        let other = token("expired", HEADER).split('.').nth(2).unwrap().to_owned();
        assert_eq!(judge(&good.replace(signature, &other), now), Err(Refusal::Wrong));
        assert_eq!(judge(&token("good", &HEADER.replace("test-key", "other")), now), Err(Refusal::Wrong));
        assert_eq!(judge(&token("good", &HEADER.replace("JWT", "jwt")), now), Err(Refusal::Wrong));
        for algorithm in ["none", "HS256", "rs256", "RS512"] {
            let text = token("good", &HEADER.replace("RS256", algorithm));
            assert_eq!(judge(&text, now), Err(Refusal::Token("is not signed with RS256")), "{algorithm}");
        }
        let header = good.split('.').next().unwrap();
        for broken in ["", ".", "..", "a.b.c", &format!("{header}.{claims}"), &format!("{header}.{claims}.")]
        {
            assert!(judge(broken, now).is_err(), "{broken}");
        }
        assert_eq!(judge(&"a".repeat(TOKEN_LIMIT + 1), now), Err(Refusal::Token("is too long")));
    }

    #[test]
    fn a_key_set_without_a_usable_key_is_an_error() {
        assert!(Keys::read(b"{}").is_err());
        assert!(Keys::read(br#"{"keys":[{"kid":"a","kty":"EC"}]}"#).is_err());
        assert!(Keys::read(br#"{"keys":[{"kid":"a","kty":"RSA","n":"?","e":"AQAB"}]}"#).is_err());
        assert!(Keys::read(b"<html>").is_err());
    }
}
