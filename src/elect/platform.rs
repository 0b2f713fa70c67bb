//! Whether an image runs on a platform.

use crate::discover::Platform;

/// The first of `wanted` that none of `offered` runs on.
pub fn lacking<'w>(wanted: &'w [Platform], offered: &[Platform]) -> Option<&'w Platform> {
    wanted.iter().find(|wanted| !offered.iter().any(|offered| runs(offered, wanted)))
}

/// Whether what was built for `offered` runs on `wanted`: a later variant runs what was built for an earlier one.
fn runs(offered: &Platform, wanted: &Platform) -> bool {
    let variant = |platform: &Platform| level(&platform.architecture, platform.variant.as_deref());
    offered.os == wanted.os
        && offered.architecture == wanted.architecture
        && match (variant(offered), variant(wanted)) {
            (Some(offered), Some(wanted)) => offered <= wanted,
            _ => offered.variant == wanted.variant,
        }
}

/// The number of a variant, with containerd's defaults: `arm64` is `arm64/v8`, `arm` is `arm/v7`, `amd64` is `amd64/v1`.
fn level(architecture: &str, variant: Option<&str>) -> Option<u32> {
    let default = match architecture {
        "arm64" => 8,
        "arm" => 7,
        "amd64" => 1,
        _ => return None,
    };
    match variant {
        None | Some("") => Some(default),
        Some(variant) => variant.strip_prefix('v').unwrap_or(variant).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Platform { os: next(), architecture: next(), variant: parts.next() }
    }

    #[test]
    fn a_platform_is_named_with_or_without_its_usual_variant() {
        for (offered, wanted, fits) in [
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/amd64", "linux/amd64", true),
            ("linux/arm/v6", "linux/arm", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/amd64/v3", "linux/amd64", false),
            ("linux/amd64", "linux/arm64", false),
            ("windows/amd64", "linux/amd64", false),
            ("linux/riscv64", "linux/riscv64", true),
            ("linux/mips64le/softfloat", "linux/mips64le", false),
        ] {
            assert_eq!(runs(&platform(offered), &platform(wanted)), fits, "{offered} on {wanted}");
        }
    }

    #[test]
    fn every_wanted_platform_must_be_there() {
        let offered = [platform("linux/amd64"), platform("linux/arm64/v8")];
        assert_eq!(lacking(&[platform("linux/arm64"), platform("linux/amd64")], &offered), None);
        let wanted = [platform("linux/amd64"), platform("linux/s390x")];
        assert_eq!(lacking(&wanted, &offered), Some(&wanted[1]));
        assert_eq!(lacking(&[], &[]), None);
    }
}
