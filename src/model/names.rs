//! Names that people choose in `promote.yaml`.

use super::Invalid;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $max:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let allowed: fn(u8) -> bool = $allowed;
                let edges = [text.bytes().next(), text.bytes().last()];
                if text.len() <= $max
                    && text.bytes().all(allowed)
                    && edges.iter().all(|edge| edge.is_some_and(|byte| byte.is_ascii_alphanumeric()))
                {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::new($what, text, $rule))
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// An application: a key below `apps`.
    AppName,
    "app name",
    63,
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
    "up to 63 lower-case letters, digits and inner hyphens"
);
name!(
    /// An environment: a key below `environments`, and the folder that `{environment}` stands for.
    EnvironmentName,
    "environment name",
    63,
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
    "up to 63 lower-case letters, digits and inner hyphens"
);
name!(
    /// A receiver of webhooks: a key below `receivers`, and a part of its address.
    ReceiverName,
    "receiver name",
    63,
    |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
    "up to 63 lower-case letters, digits and inner hyphens"
);
name!(
    /// `images[].name` of a `kustomization.yaml`.
    ImageName,
    "image name",
    255,
    |byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte),
    "up to 255 letters, digits and inner . _ - / :"
);
