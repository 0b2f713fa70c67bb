//! Git over SSH: Debian's sshd with a configuration of its own. One key is let in, and may only fetch from and push to
//! the repositories of the bed's folder `git`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::process::Command;

use crate::layout::{Bed, Places};
use crate::process;

/// Runs instead of what the client asked for, and maps its path to the folder.
const FORCED: &str = r#"#!/bin/sh
# The client asks for: git-upload-pack '/NAME.git'
set -f
case $SSH_ORIGINAL_COMMAND in
  "git-upload-pack '"*"'" | "git-receive-pack '"*"'") ;;
  *) echo "only Git is served here" >&2; exit 1 ;;
esac
service=${SSH_ORIGINAL_COMMAND%% *}
name=${SSH_ORIGINAL_COMMAND#*\'}
name=${name%\'}
name=${name#/}
case $name in
  *..* | */* | *\'*) echo "no such repository" >&2; exit 1 ;;
esac
exec git -c receive.autogc=false "${service#git-}" "ROOT/$name"
"#;

/// Writes keys and configuration, and starts sshd.
pub(crate) async fn start(bed: &Bed) -> Result<Places> {
    let port = bed.port()?;
    let folder = bed.path("ssh");
    let credentials = bed.path("ssh-credentials");
    std::fs::create_dir(&folder)?;
    std::fs::create_dir(&credentials)?;
    let (host_key, identity) = (folder.join("host"), credentials.join("identity"));
    tokio::try_join!(generate(&host_key), generate(&identity))?;
    let known = std::fs::read_to_string(folder.join("host.pub"))?;
    std::fs::write(credentials.join("known_hosts"), format!("[127.0.0.1]:{port} {known}"))?;
    std::fs::copy(credentials.join("identity.pub"), folder.join("authorized_keys"))?;
    let forced = folder.join("forced");
    std::fs::write(&forced, FORCED.replace("ROOT", &bed.path("git").display().to_string()))?;
    std::fs::set_permissions(&forced, Permissions::from_mode(0o755))?;

    let configuration = folder.join("sshd_config");
    let text = format!(
        "ListenAddress 127.0.0.1:{port}
HostKey {host_key}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
AuthorizedKeysFile {folder}/authorized_keys
ForceCommand {forced}
AcceptEnv GIT_PROTOCOL
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
UseDNS no
MaxStartups 100
",
        host_key = host_key.display(),
        folder = folder.display(),
        forced = forced.display()
    );
    std::fs::write(&configuration, text)?;

    let user = user().await?;
    if user == "root" {
        // Compiled into sshd; a machine that never ran it as a service lacks the folder.
        std::fs::create_dir_all("/run/sshd")?;
    }
    let program = ["/usr/sbin/sshd", "/usr/bin/sshd"].map(Path::new).into_iter().find(|path| path.exists());
    let program = program.context("sshd is missing; run `make bed`")?;
    let arguments = ["-D", "-e", "-f"].map(Into::into).into_iter().chain([configuration.into_os_string()]);
    process::spawn(bed, "sshd", program, arguments, &[])?;
    process::ready(bed, "sshd", port, None).await?;

    let mut places = Places::new();
    places.insert("ssh".into(), json!(format!("ssh://{user}@127.0.0.1:{port}")));
    places.insert("sshCredentials".into(), json!(credentials));
    Ok(places)
}

async fn generate(file: &Path) -> Result<()> {
    let mut program = Command::new("ssh-keygen");
    program.args(["-q", "-t", "ed25519", "-N", "", "-C", "bed", "-f"]).arg(file);
    if !program.status().await.context("can't run ssh-keygen")?.success() {
        bail!("ssh-keygen could not make {}", file.display());
    }
    Ok(())
}

/// Who runs the bed: sshd lets only this user in when it is not root.
async fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().await.context("can't run id")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
