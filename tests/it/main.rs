//! The promises of the product, on real parts: one file per promise, one test per sentence of it.

#![allow(clippy::unwrap_used, missing_docs)]

mod bad_input;
mod bed;
mod killed;
mod the_loop;
