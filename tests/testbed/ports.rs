//! Free ports: a block below the range that the kernel hands to outgoing connections, so that nobody takes one between
//! the choice and the part's own bind.

use std::cell::Cell;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

const FIRST: u16 = 20_000;
const BLOCK: u16 = 50;
const BLOCKS: u16 = 240;

/// A block of ports that belongs to this bed while the value lives.
pub(crate) struct Ports {
    // Bound on the block's first port: another bed can't bind it and goes on to the next block.
    _lock: TcpListener,
    base: u16,
    used: Cell<u16>,
}

impl Ports {
    /// Takes the first block that no other bed holds. Beds start their search at different places.
    pub(crate) fn take() -> Result<Self> {
        let start = u16::try_from(std::process::id() % u32::from(BLOCKS))?;
        for step in 0..BLOCKS {
            let base = FIRST + (start + step) % BLOCKS * BLOCK;
            if let Ok(lock) = TcpListener::bind((Ipv4Addr::LOCALHOST, base)) {
                return Ok(Self { _lock: lock, base, used: Cell::new(0) });
            }
        }
        bail!("no block of {BLOCK} ports is free from {FIRST} on")
    }

    /// The block's number, which no other bed has: 0 to 239.
    pub(crate) fn block(&self) -> u16 {
        (self.base - FIRST) / BLOCK
    }

    /// The next port of the block that can be bound.
    pub(crate) fn next(&self) -> Result<u16> {
        (self.used.get() + 1..BLOCK)
            .inspect(|offset| self.used.set(*offset))
            .map(|offset| self.base + offset)
            .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .context("the bed's ports are used up")
    }
}
