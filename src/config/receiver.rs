//! The receivers of webhooks.

use std::collections::BTreeMap;

use crate::model::ReceiverName;

use super::keys::RECEIVER;
use super::problem::Findings;
use super::read::{Fields, Value};
use super::{Proof, Receiver, ReceiverKind, names};

/// The grammar of receivers' names: they are a part of an address.
const NAME_RULE: &str = "up to 63 lower-case letters, digits and inner hyphens";
/// The most receivers.
const MOST_RECEIVERS: usize = 100;

/// The words of `type`.
const KINDS: [(&str, ReceiverKind); 11] = [
    ("github", ReceiverKind::Github),
    ("gitlab", ReceiverKind::Gitlab),
    ("gitea", ReceiverKind::Gitea),
    ("harbor", ReceiverKind::Harbor),
    ("quay", ReceiverKind::Quay),
    ("dockerhub", ReceiverKind::Dockerhub),
    ("distribution", ReceiverKind::Distribution),
    ("ecr", ReceiverKind::Ecr),
    ("acr", ReceiverKind::Acr),
    ("gcr", ReceiverKind::Gcr),
    ("generic-hmac", ReceiverKind::GenericHmac),
];

pub(super) fn receivers(value: &Value<'_>, findings: &mut Findings) -> BTreeMap<ReceiverName, Receiver> {
    let entries = value.entries(findings).unwrap_or_default();
    if entries.len() > MOST_RECEIVERS {
        let count = entries.len();
        value.problem(findings, format!("more than {MOST_RECEIVERS} receivers (got {count}); remove some"));
        return BTreeMap::new();
    }
    let mut receivers = BTreeMap::new();
    for entry in entries {
        let name = entry.key.name(entry.name, "a receiver's name", NAME_RULE, findings);
        let receiver = receiver(&entry.value, findings);
        receivers.extend(name.zip(receiver));
    }
    receivers
}

fn receiver(value: &Value<'_>, findings: &mut Findings) -> Option<Receiver> {
    let fields = value.fields(&RECEIVER, findings)?;
    let kind = fields.required("type", "github", findings)?.word(&KINDS, findings)?;
    let proof = match kind {
        ReceiverKind::Gcr => google(&fields, findings),
        _ => secret(value, &fields, findings),
    };
    Some(Receiver { kind, proof: proof? })
}

fn secret(value: &Value<'_>, fields: &Fields<'_>, findings: &mut Findings) -> Option<Proof> {
    for key in ["audience", "identity"] {
        if let Some(unused) = fields.get(key) {
            unused.problem(findings, "only `type: gcr` has it; remove it");
        }
    }
    let Some(secret) = fields.get("secret") else {
        value.problem(
            findings,
            "`secret` is missing; add `secret: NAME`, the file below --secrets that holds what the sender proves itself by",
        );
        return None;
    };
    secret.legal(names::secret, findings).map(Proof::Secret)
}

/// Pub/Sub shares no secret; it shows a token of Google's, which says for whom it is and who asks.
fn google(fields: &Fields<'_>, findings: &mut Findings) -> Option<Proof> {
    if let Some(unused) = fields.get("secret") {
        unused.problem(
            findings,
            "`type: gcr` has no secret, its sender shows a token of Google's; remove it and set `audience` and `identity`",
        );
    }
    let audience = fields
        .required("audience", "AUDIENCE, as the subscription has it", findings)
        .and_then(|audience| audience.legal(names::audience, findings));
    let identity = fields
        .required("identity", "EMAIL, the subscription's service account", findings)
        .and_then(|identity| identity.legal(names::identity, findings));
    Some(Proof::Google { audience: audience?, identity: identity? })
}
