//! The keys that each part of `promote.yaml` may have. `schema.json` has the same, part by part.

/// The keys of one mapping.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) supported: &'static [&'static str],
    /// Keys of the design that this version does not know how to obey.
    pub(super) not_yet: &'static [&'static str],
}

pub(super) const ROOT: Keys = Keys {
    supported: &["version", "interval", "git", "registries", "receivers", "environments", "apps"],
    not_yet: &["evidence", "notifications"],
};
pub(super) const GIT: Keys = Keys { supported: &["branch", "author"], not_yet: &["message", "signing"] };
pub(super) const AUTHOR: Keys = Keys { supported: &["name", "email"], not_yet: &[] };
pub(super) const REGISTRY: Keys = Keys { supported: &["insecure", "ca"], not_yet: &[] };
pub(super) const RECEIVER: Keys =
    Keys { supported: &["type", "secret", "audience", "identity"], not_yet: &[] };
pub(super) const ENVIRONMENT: Keys = Keys {
    supported: &["registry", "cluster", "deploy", "update", "publish", "verify", "after", "gates"],
    not_yet: &[],
};
pub(super) const GATES: Keys = Keys {
    supported: &["minAge", "maxJump", "approvals"],
    not_yet: &["soak", "windows", "signature", "provenance", "evidence"],
};
pub(super) const APPROVALS: Keys = Keys { supported: &["count"], not_yet: &["allowedSigners"] };
pub(super) const CLUSTER: Keys = Keys { supported: &["context", "kubeconfig"], not_yet: &["eks"] };
pub(super) const DEPLOY: Keys = Keys { supported: &["flux"], not_yet: &["argocd"] };
pub(super) const FLUX: Keys = Keys { supported: &["kustomization"], not_yet: &["receiverUrl"] };
pub(super) const PUBLISH: Keys = Keys { supported: &[], not_yet: &["pullRequest"] };
pub(super) const VERIFY: Keys = Keys {
    supported: &["timeout", "stableFor", "mesh", "prometheus", "traffic", "probe", "onFailure"],
    not_yet: &[],
};
pub(super) const TRAFFIC: Keys =
    Keys { supported: &["successRate", "latency", "falseRollback"], not_yet: &[] };
pub(super) const LATENCY: Keys = Keys { supported: &["percentile", "max"], not_yet: &[] };
pub(super) const PROBE: Keys = Keys { supported: &["url", "host", "expectStatus", "count"], not_yet: &[] };
pub(super) const APP: Keys = Keys { supported: &["path", "markers", "images"], not_yet: &[] };
pub(super) const IMAGE: Keys = Keys {
    supported: &["repository", "policy", "filterTags", "platforms", "interval", "build"],
    not_yet: &[],
};
pub(super) const BUILD: Keys = Keys { supported: &["artifact", "watch", "command"], not_yet: &[] };
pub(super) const POLICY: Keys =
    Keys { supported: &["semver", "numerical", "alphabetical", "newest", "digest"], not_yet: &[] };
pub(super) const SEMVER: Keys = Keys { supported: &["range"], not_yet: &[] };
pub(super) const ORDERED: Keys = Keys { supported: &["order"], not_yet: &[] };
pub(super) const NEWEST: Keys = Keys { supported: &[], not_yet: &[] };
pub(super) const DIGEST: Keys = Keys { supported: &["tag"], not_yet: &[] };
pub(super) const FILTER_TAGS: Keys = Keys { supported: &["pattern", "extract"], not_yet: &[] };

/// All of them, by their names below `$defs` of the schema.
#[cfg(test)]
pub(super) const ALL: [(&str, &Keys); 25] = [
    ("root", &ROOT),
    ("git", &GIT),
    ("author", &AUTHOR),
    ("registry", &REGISTRY),
    ("receiver", &RECEIVER),
    ("environment", &ENVIRONMENT),
    ("gates", &GATES),
    ("approvals", &APPROVALS),
    ("cluster", &CLUSTER),
    ("deploy", &DEPLOY),
    ("flux", &FLUX),
    ("publish", &PUBLISH),
    ("verify", &VERIFY),
    ("traffic", &TRAFFIC),
    ("latency", &LATENCY),
    ("probe", &PROBE),
    ("app", &APP),
    ("image", &IMAGE),
    ("build", &BUILD),
    ("policy", &POLICY),
    ("semver", &SEMVER),
    ("ordered", &ORDERED),
    ("newest", &NEWEST),
    ("digest", &DIGEST),
    ("filterTags", &FILTER_TAGS),
];
