//! How many messages one receiver takes. The real ones and the forged ones have a bucket each, so that a flood of forged
//! ones leaves the real sender's untouched.

use std::time::{Duration, Instant};

/// Tokens that come back with time.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: f64,
    most: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket of `most` tokens, of which `rate` come back each second.
    pub fn new(rate: u32, most: u32, now: Instant) -> Self {
        Self { rate: f64::from(rate), most: f64::from(most), tokens: f64::from(most), filled: now }
    }

    /// Takes one token; an error is how long it takes until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.most);
        self.filled = self.filled.max(now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 20, start);
        assert_eq!((0..30).filter(|_| bucket.take(start).is_ok()).count(), 20);
        let wait = bucket.take(start);
        assert_eq!(wait, Err(Duration::from_millis(100)));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..30).filter(|_| bucket.take(later).is_ok()).count(), 10);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1, 1, start + Duration::from_secs(5));
        assert!(bucket.take(start + Duration::from_secs(5)).is_ok());
        assert!(bucket.take(start).is_err());
        assert!(bucket.take(start + Duration::from_secs(6)).is_ok());
    }

    #[test]
    fn a_silence_fills_no_more_than_the_bucket() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 20, start);
        let later = start + Duration::from_hours(1);
        assert_eq!((0..100).filter(|_| bucket.take(later).is_ok()).count(), 20);
    }
}
