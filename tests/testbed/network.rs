//! The pods' addresses: a range that this machine answers itself, so that fake pods can be reached on addresses of their own.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::layout::Bed;
use crate::process;

/// The part of that name.
pub(crate) const NAME: &str = "pod-network";

/// Makes the range local as long as the bed runs. It takes the right to change routes, which root has.
///
/// A shell holds the route, and takes it away when it is asked to end, or when the bed is gone without asking.
pub(crate) async fn start(bed: &Bed) -> Result<()> {
    let range = format!("{}.0.0/16", bed.pod_range());
    let script = "
        trap 'ip route del local \"$0\" dev lo; kill $!; exit 0' TERM
        sleep infinity &
        ip route replace local \"$0\" dev lo || { kill $!; exit 1; }
        wait";
    let arguments = ["--pdeathsig", "TERM", "--", "/bin/sh", "-c", script, &range];
    process::spawn(bed, NAME, Path::new("setpriv"), arguments, &[])?;
    let began = Instant::now();
    let address = format!("{}.255.254:0", bed.pod_range());
    while TcpListener::bind(&address).is_err() {
        if let Some(why) = bed.ended(NAME) {
            bail!(
                "the pods' addresses {range} could not be made local, which takes the rights of root: {why}"
            );
        }
        if began.elapsed() > Duration::from_secs(30) {
            bail!("the pods' addresses {range} are not local after 30 s");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
