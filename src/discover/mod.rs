//! What exists: tags, digests and manifests in registries.
//!
//! In: repositories, credentials, and where this process may connect. Out: complete tag lists and verified manifests;
//! from webhooks, where to look before the time.
//! May fail as [`DiscoverError`]; an empty, partial or failed list never means "no such tag".

mod answer;
mod backoff;
pub mod build;
mod ca;
mod challenge;
mod connection;
mod credentials;
mod ecr;
pub(crate) mod egress;
mod error;
mod facts;
pub mod feed;
mod helper;
mod host;
mod link;
mod listing;
pub(crate) mod manifest;
mod nudges;
mod options;
mod quota;
pub(crate) mod referrers;
pub(crate) mod registry;
pub(crate) mod request;
mod route;
mod tags;
mod token;
pub mod webhook;

pub use credentials::{Credentials, Login};
pub use error::DiscoverError;
pub use facts::{Depth, Facts};
pub use manifest::{Contents, Descriptor, MANIFEST_LIMIT, MANIFEST_TYPES, Manifest, Platform};
pub use nudges::Nudges;
pub use options::{Observer, Reference, RegistriesOptions, RegistryEvent};
pub use referrers::Referrers;
pub use registry::{Named, Registries};
pub use tags::TagList;

#[cfg(test)]
mod tests;
