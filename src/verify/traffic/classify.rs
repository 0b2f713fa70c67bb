//! Which requests count, and which of them are bad, by Istio's standard labels.

/// The labels of one series of `istio_requests_total`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// `request_protocol`: `http`, `grpc`, …
    pub protocol: String,
    /// `response_code`: the HTTP status, `0` where there was none.
    pub code: String,
    /// `grpc_response_status`: empty for what is not gRPC.
    pub grpc_status: String,
    /// `response_flags`: Envoy's, joined by commas; `-` for none.
    pub flags: String,
}

/// `UNKNOWN`, `DEADLINE_EXCEEDED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`: what a server is to blame for.
const GRPC_FAULTS: [&str; 5] = ["2", "4", "13", "14", "15"];

/// Whether a request failed by the server's fault; none for one that its client gave up.
pub fn failed(labels: &Labels) -> Option<bool> {
    if labels.code == "0" && labels.flags.split(',').any(|flag| flag == "DC") {
        return None;
    }
    // gRPC tells its failures in a trailer, and its HTTP status is 200.
    if labels.protocol == "grpc" && GRPC_FAULTS.contains(&labels.grpc_status.as_str()) {
        return Some(true);
    }
    Some(match labels.code.parse::<u16>() {
        Ok(code) => code >= 500 || code == 0,
        Err(_) => false,
    })
}

/// Istio's bounds of `istio_request_duration_milliseconds`, in milliseconds.
const BOUNDS: [f64; 20] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
    f64::INFINITY,
];

/// The bound that a limit in milliseconds is tested at: the limit, or the next one above it, since a request between the
/// limit and that bound can't be told from a faster one. None where there is none.
pub fn bound(limit: f64) -> Option<f64> {
    BOUNDS.into_iter().find(|bound| *bound >= limit).filter(|bound| bound.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(code: &str, flags: &str) -> Option<bool> {
        let owned = str::to_owned;
        failed(&Labels {
            protocol: owned("http"),
            code: owned(code),
            grpc_status: owned(""),
            flags: owned(flags),
        })
    }

    fn grpc(status: &str) -> Option<bool> {
        let owned = str::to_owned;
        failed(&Labels {
            protocol: owned("grpc"),
            code: owned("200"),
            grpc_status: owned(status),
            flags: owned("-"),
        })
    }

    #[test]
    fn a_server_is_to_blame_for_5xx_and_for_no_answer_but_not_for_4xx() {
        for (code, bad) in
            [("200", false), ("301", false), ("404", false), ("499", false), ("500", true), ("503", true)]
        {
            assert_eq!(http(code, "-"), Some(bad), "{code}");
        }
        assert_eq!(http("0", "UC"), Some(true));
        assert_eq!(http("", "-"), Some(false));
    }

    #[test]
    fn a_client_that_left_says_nothing() {
        assert_eq!(http("0", "DC"), None);
        assert_eq!(http("0", "UH,DC"), None);
        assert_eq!(http("503", "DC"), Some(true));
    }

    #[test]
    fn grpc_fails_by_its_own_status() {
        for status in ["0", "1", "3", "5", "7", "16", ""] {
            assert_eq!(grpc(status), Some(false), "{status}");
        }
        for status in ["2", "4", "13", "14", "15"] {
            assert_eq!(grpc(status), Some(true), "{status}");
        }
    }

    #[test]
    fn a_limit_between_two_bounds_is_tested_at_the_larger_one() {
        assert_eq!(bound(500.0), Some(500.0));
        assert_eq!(bound(501.0), Some(1000.0));
        assert_eq!(bound(0.1), Some(0.5));
        assert_eq!(bound(3_600_001.0), None);
    }
}
