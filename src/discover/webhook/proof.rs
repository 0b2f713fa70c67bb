//! Whether a message comes from who knows the secret. Decided before the message is read.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use ring::hmac;

use crate::config::ReceiverKind;

/// A secret that both sides know, as it stands in its file without the white space at its end.
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl Secret {
    /// Takes the content of a secret's file, or says why a sender of this kind could never show it.
    pub fn new(kind: ReceiverKind, content: &[u8]) -> Result<Self, &'static str> {
        let secret = content.trim_ascii_end();
        if secret.is_empty() {
            return Err("is empty");
        }
        let in_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        match Way::of(kind) {
            Way::Path if !secret.iter().all(in_path) => {
                Err("has characters that can't stand in an address; use letters, digits and - . _ ~ alone")
            }
            Way::Token(_) | Way::Bearer if !secret.iter().all(u8::is_ascii_graphic) => Err(
                "has characters that can't stand in a header; use letters, digits and signs without spaces",
            ),
            _ => Ok(Self(secret.to_vec())),
        }
    }
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no proof.
    #[error("it carries no proof of the kind that the receiver's type asks for")]
    Missing,
    /// One header twice: which one was meant can't be told.
    #[error("it carries its proof twice")]
    Doubled,
    /// It is not of the form that the provider uses.
    #[error("its proof is not of the provider's form")]
    Form,
    /// It is not made with our secret.
    #[error("its proof does not fit the secret")]
    Wrong,
    /// A token of Google's that is not for us, not of the configured account, or not of this time.
    #[error("its token {0}")]
    Token(&'static str),
}

/// How a provider proves a message.
enum Way {
    /// HMAC-SHA256 over the body, in hexadecimal digits behind the prefix, in each of these headers that is there.
    Signature(&'static [&'static str], &'static str),
    /// The secret itself in this header.
    Token(&'static str),
    /// The secret itself as `Authorization: Bearer SECRET`.
    Bearer,
    /// The secret itself at the end of the address.
    Path,
    /// `Authorization: Bearer` and a token of Google's.
    Google,
}

impl Way {
    fn of(kind: ReceiverKind) -> Self {
        match kind {
            // The SHA-1 that GitHub sends along in X-Hub-Signature proves nothing.
            ReceiverKind::Github => Self::Signature(&["x-hub-signature-256"], "sha256="),
            ReceiverKind::Gitea => Self::Signature(&["x-gitea-signature", "x-forgejo-signature"], ""),
            ReceiverKind::GenericHmac => Self::Signature(&["x-signature"], "sha256="),
            ReceiverKind::Gitlab => Self::Token("x-gitlab-token"),
            ReceiverKind::Harbor | ReceiverKind::Distribution | ReceiverKind::Ecr | ReceiverKind::Acr => {
                Self::Bearer
            }
            ReceiverKind::Quay | ReceiverKind::Dockerhub => Self::Path,
            ReceiverKind::Gcr => Self::Google,
        }
    }
}

/// What a message shows as its proof. Its form is right; whether it holds is still to be told.
#[derive(PartialEq, Eq)]
pub enum Claim {
    /// Signatures over the body: all of them must hold.
    Signatures(Vec<[u8; 32]>),
    /// The secret itself.
    Token(Vec<u8>),
    /// A token of Google's.
    Identity(String),
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim(redacted)")
    }
}

impl Claim {
    /// Takes the proof out of a message's headers, or out of the end of its address.
    pub fn of(kind: ReceiverKind, headers: &HeaderMap, path: Option<&str>) -> Result<Self, Refusal> {
        match Way::of(kind) {
            Way::Signature(names, prefix) => {
                let mut signatures = Vec::new();
                for name in names {
                    if let Some(value) = single(headers, &HeaderName::from_static(name))? {
                        signatures.push(signature(value, prefix)?);
                    }
                }
                if signatures.is_empty() { Err(Refusal::Missing) } else { Ok(Self::Signatures(signatures)) }
            }
            Way::Token(name) => {
                let value = single(headers, &HeaderName::from_static(name))?;
                value.map(|value| Self::Token(value.to_vec())).ok_or(Refusal::Missing)
            }
            Way::Bearer => bearer(headers).map(|token| Self::Token(token.to_vec())),
            Way::Path => path.map(|path| Self::Token(path.as_bytes().to_vec())).ok_or(Refusal::Missing),
            Way::Google => {
                let token = String::from_utf8(bearer(headers)?.to_vec()).map_err(|_| Refusal::Form)?;
                Ok(Self::Identity(token))
            }
        }
    }

    /// Whether the body has to be there before the claim can be judged.
    pub fn is_about_the_body(&self) -> bool {
        matches!(self, Self::Signatures(_))
    }

    /// Whether the claim holds for `secret`, in a time that tells nothing about it. `body` matters to signatures alone.
    pub fn holds(&self, secret: &Secret, body: &[u8]) -> Result<(), Refusal> {
        let holds = match self {
            Self::Signatures(signatures) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
                signatures.iter().all(|signature| hmac::verify(&key, body, signature).is_ok())
            }
            // Of digests neither the length nor the first difference tells anything.
            Self::Token(token) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, b"compare");
                hmac::verify(&key, token, hmac::sign(&key, &secret.0).as_ref()).is_ok()
            }
            Self::Identity(_) => false,
        };
        if holds { Ok(()) } else { Err(Refusal::Wrong) }
    }
}

/// The value of a header that may stand there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.as_bytes())),
        (Some(_), Some(_)) => Err(Refusal::Doubled),
    }
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let value = single(headers, &AUTHORIZATION)?.ok_or(Refusal::Missing)?;
    value.strip_prefix(b"Bearer ").filter(|token| !token.is_empty()).ok_or(Refusal::Form)
}

/// 64 digits in lower case, as every provider writes them: one signature has one form.
fn signature(value: &[u8], prefix: &str) -> Result<[u8; 32], Refusal> {
    let digits = value.strip_prefix(prefix.as_bytes()).ok_or(Refusal::Form)?;
    let mut signature = [0; 32];
    let lower = digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    if !lower || hex::decode_to_slice(digits, &mut signature).is_err() {
        return Err(Refusal::Form);
    }
    Ok(signature)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use reqwest::header::HeaderValue;

    use super::*;

    const BODY: &[u8] = b"Hello, World!";
    /// GitHub's own example: this body, signed with "It's a Secret to Everybody".
    const SIGNED: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn judged(
        kind: ReceiverKind,
        headers: &[(&'static str, &str)],
        path: Option<&str>,
    ) -> Result<(), Refusal> {
        let text = match Way::of(kind) {
            Way::Signature(..) => "It's a Secret to Everybody\n",
            _ => "s3cret\n",
        };
        let secret = Secret::new(kind, text.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Claim::of(kind, &map, path)?.holds(&secret, BODY)
    }

    #[test]
    fn each_providers_own_proof_is_taken() {
        let (bare, prefixed) = (SIGNED.to_owned(), format!("sha256={SIGNED}"));
        for (kind, name, value) in [
            (ReceiverKind::Github, "x-hub-signature-256", prefixed.as_str()),
            (ReceiverKind::Gitea, "x-gitea-signature", &bare),
            (ReceiverKind::Gitea, "x-forgejo-signature", &bare),
            (ReceiverKind::GenericHmac, "x-signature", &prefixed),
            (ReceiverKind::Gitlab, "x-gitlab-token", "s3cret"),
            (ReceiverKind::Harbor, "authorization", "Bearer s3cret"),
            (ReceiverKind::Distribution, "authorization", "Bearer s3cret"),
            (ReceiverKind::Ecr, "authorization", "Bearer s3cret"),
            (ReceiverKind::Acr, "authorization", "Bearer s3cret"),
        ] {
            assert_eq!(judged(kind, &[(name, value)], None), Ok(()), "{kind:?} {name}");
            assert_eq!(judged(kind, &[], None), Err(Refusal::Missing), "{kind:?}");
            assert_eq!(judged(kind, &[], Some("s3cret")), Err(Refusal::Missing), "{kind:?} by its address");
            assert_eq!(judged(kind, &[(name, value); 2], None), Err(Refusal::Doubled), "{kind:?}");
            let cut = &value[..value.len() - 1];
            assert!(judged(kind, &[(name, cut)], None).is_err(), "{kind:?}");
            assert!(judged(kind, &[(name, &format!("{value}0"))], None).is_err(), "{kind:?}");
            assert!(judged(kind, &[(name, &value.to_uppercase())], None).is_err(), "{kind:?}");
        }
        for kind in [ReceiverKind::Quay, ReceiverKind::Dockerhub] {
            assert_eq!(judged(kind, &[], Some("s3cret")), Ok(()));
            assert_eq!(judged(kind, &[], Some("s3cre")), Err(Refusal::Wrong));
            assert_eq!(judged(kind, &[], Some("")), Err(Refusal::Wrong));
            assert_eq!(judged(kind, &[("authorization", "Bearer s3cret")], None), Err(Refusal::Missing));
        }
    }

    #[test]
    fn a_signature_of_another_body_or_of_another_algorithm_is_none() {
        let sha1 = [("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")];
        assert_eq!(judged(ReceiverKind::Github, &sha1, None), Err(Refusal::Missing));
        let renamed = [("x-hub-signature-256", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")];
        assert_eq!(judged(ReceiverKind::Github, &renamed, None), Err(Refusal::Form));
        let other = format!("sha256={}", "0".repeat(64));
        assert_eq!(
            judged(ReceiverKind::Github, &[("x-hub-signature-256", &other)], None),
            Err(Refusal::Wrong)
        );
        let good = format!("sha256={SIGNED}");
        let both = [("x-hub-signature-256", good.as_str()), sha1[0]];
        assert_eq!(judged(ReceiverKind::Github, &both, None), Ok(()), "GitHub sends both");
        let zeros = "0".repeat(64);
        let mixed = [("x-gitea-signature", SIGNED), ("x-forgejo-signature", zeros.as_str())];
        assert_eq!(judged(ReceiverKind::Gitea, &mixed, None), Err(Refusal::Wrong));
    }

    #[test]
    fn a_secret_that_a_sender_could_never_show_is_refused() {
        let why = |kind, content: &[u8]| Secret::new(kind, content).err();
        assert_eq!(why(ReceiverKind::Github, b" \n"), Some("is empty"));
        assert_eq!(why(ReceiverKind::Github, b"\xff any bytes \x00"), None);
        assert!(why(ReceiverKind::Quay, b"a/b").is_some_and(|why| why.contains("address")));
        assert!(why(ReceiverKind::Gitlab, b"a b").is_some_and(|why| why.contains("header")));
        assert!(why(ReceiverKind::Harbor, "é".as_bytes()).is_some_and(|why| why.contains("header")));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new(ReceiverKind::Quay, b"s3cret").unwrap();
        let claim = Claim::of(ReceiverKind::Quay, &HeaderMap::new(), Some("s3cret")).unwrap();
        assert!(!format!("{secret:?} {claim:?}").contains("s3cret"));
    }
}
