//! Certificates of the cluster: one authority, the API server, and a client for each who may speak to it.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::layout::Bed;

/// The cluster's authority. Everything it signs is written below `pki` of the bed's folder.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Writes `ca.crt`, the API server's and the service accounts' keys.
    pub(crate) fn create(bed: &Bed) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "bed");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?.pem();
        let authority = Self { certificate, issuer: Issuer::new(parameters, key) };
        std::fs::write(bed.path("pki/ca.crt"), &authority.certificate)?;

        let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc"].map(str::to_owned);
        let server = CertificateParams::new(names)?;
        let (certificate, key) = authority.sign(server, ExtendedKeyUsagePurpose::ServerAuth)?;
        std::fs::write(bed.path("pki/server.crt"), certificate)?;
        std::fs::write(bed.path("pki/server.key"), key)?;

        let accounts = KeyPair::generate()?;
        std::fs::write(bed.path("pki/accounts.key"), accounts.serialize_pem())?;
        std::fs::write(bed.path("pki/accounts.pub"), accounts.public_key_pem())?;
        Ok(authority)
    }

    fn sign(
        &self,
        mut parameters: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(String, String)> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        Ok((parameters.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// A kubeconfig that holds all it needs, for `user` of `group`; its only context is `bed`.
    pub(crate) fn kubeconfig(&self, port: u16, user: &str, group: Option<&str>) -> Result<String> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            parameters.distinguished_name.push(DnType::OrganizationName, group);
        }
        let (certificate, key) = self.sign(parameters, ExtendedKeyUsagePurpose::ClientAuth)?;
        Ok(format!(
            "apiVersion: v1
kind: Config
current-context: bed
contexts:
- name: bed
  context: {{cluster: bed, user: bed}}
clusters:
- name: bed
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {}
users:
- name: bed
  user:
    client-certificate-data: {}
    client-key-data: {}
",
            STANDARD.encode(&self.certificate),
            STANDARD.encode(certificate),
            STANDARD.encode(key)
        ))
    }
}
