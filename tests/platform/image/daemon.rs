//! The daemon's image: valid, small in content, the same each time, and able to start without any right.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::container::Container;
use super::layout::{Image, Layout};
use crate::command::{root, run, tools};

const DAEMON: &str = "/usr/local/bin/promoted";
const STATE: &str = "/var/lib/promoted";

/// The static programs, compiled as the release is but for the profile.
fn binaries() -> &'static Path {
    static COMPILED: OnceLock<TempDir> = OnceLock::new();
    COMPILED
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            // Not in the suite's own folder: macros are compiled with other flags, and each would undo the other's.
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("static");
            let mut compile = Command::new(root().join("deploy/image/compile.sh"));
            compile.arg(folder.path()).arg("dev");
            compile.env("CARGO_TARGET_DIR", target).env("CARGO_PROFILE_DEV_STRIP", "symbols");
            run(&mut compile, "bash is needed").passed();
            folder
        })
        .path()
}

/// What is not optimised is larger: about 32 MB where a release has 19.
fn build(output: &Path, binaries: &Path, reference: &str) -> Command {
    let mut command = Command::new(root().join("deploy/image/build.sh"));
    command.args(["--largest", "40"]);
    command.arg("--output").arg(output).arg("--binaries").arg(binaries).args(["--reference", reference]);
    command
}

/// The image, made once for all tests, and what was said of it.
fn made() -> (&'static Path, &'static str) {
    static MADE: OnceLock<(TempDir, String)> = OnceLock::new();
    let (folder, said) = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let said = run(&mut build(folder.path(), binaries(), "registry.test/promoted:1.2.3"), "").passed();
        (folder, said.stdout.trim().to_owned())
    });
    (folder.path(), said)
}

fn image() -> Image {
    static CHECKED: OnceLock<Image> = OnceLock::new();
    CHECKED.get_or_init(|| Layout::open(made().0).images().remove(0)).clone()
}

fn version() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("version = ")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn the_layout_is_valid_and_its_name_and_digest_are_printed() {
    let (folder, said) = made();
    let layout = Layout::open(folder);
    assert_eq!(said, format!("registry.test/promoted:1.2.3@{}", layout.top()["digest"].as_str().unwrap()));
    assert_eq!(layout.top()["annotations"]["org.opencontainers.image.ref.name"], "1.2.3");
    let images = layout.images();
    let machine = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => panic!("there is no image for {other}"),
    };
    assert_eq!(images.iter().map(|image| image.platform.as_str()).collect::<Vec<_>>(), [machine]);
}

#[test]
fn user_entry_point_and_labels_are_set() {
    let settings = image().settings;
    assert_eq!(settings["User"], "65532:65532");
    assert_eq!(settings["Entrypoint"], serde_json::json!([DAEMON]));
    assert_eq!(settings["Env"], serde_json::json!([format!("PROMOTED_STATE_DIR={STATE}")]));
    let label = |name: &str| settings["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("version"), *version());
    assert_eq!(label("source"), "https://github.com/promoted/promote");
    assert_eq!(label("licenses"), "Apache-2.0");
    let revision = label("revision").as_str().unwrap().trim_end_matches("-dirty").to_owned();
    assert!(revision == "unknown" || revision.len() == 40, "{revision}");
}

#[test]
fn programs_that_are_packed_twice_give_the_same_digest() {
    let copy = tempfile::tempdir().unwrap();
    for program in ["promoted", "promote"] {
        // A copy has another path and another time.
        fs::copy(binaries().join(program), copy.path().join(program)).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let again = run(&mut build(other.path(), copy.path(), "elsewhere.test/promoted:9.9.9"), "").passed();
    let digest = |said: &str| said.trim().split_once('@').unwrap().1.to_owned();
    assert_eq!(digest(&again.stdout), digest(made().1));
}

#[test]
fn an_image_that_is_larger_than_promised_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("oci");
    // What no compressor makes smaller, behind the program's own end.
    let mut random = Vec::new();
    fs::File::open("/dev/urandom").unwrap().take(31_000_000).read_to_end(&mut random).unwrap();
    for program in ["promoted", "promote"] {
        fs::copy(binaries().join(program), folder.path().join(program)).unwrap();
    }
    let mut promoted = fs::OpenOptions::new().append(true).open(folder.path().join("promoted")).unwrap();
    promoted.write_all(&random).unwrap();
    drop(promoted);
    let mut build = Command::new(root().join("deploy/image/build.sh"));
    build.arg("--output").arg(&output).arg("--binaries").arg(folder.path());
    run(&mut build, "bash is needed").refused("MB compressed are more than 30");
    assert!(!output.join("index.json").exists());
}

/// Such a path would make the digest depend on who built the image.
#[test]
fn the_programs_do_not_tell_where_they_were_built() {
    let home = std::env::home_dir().unwrap();
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    for place in [cargo.as_path(), target, root()] {
        let mut search = Command::new("grep");
        search.args(["--text", "--fixed-strings", "--only-matching"]).arg(place);
        search.args(["promoted", "promote"]).current_dir(binaries());
        assert_eq!(run(&mut search, "grep is needed").all(), "");
    }
}

#[test]
fn only_these_files_are_inside_and_only_one_folder_belongs_to_the_user() {
    let expected = "\
        drwxr-xr-x 0/0 etc/
        -rw-r--r-- 0/0 etc/group
        -rw-r--r-- 0/0 etc/nsswitch.conf
        -rw-r--r-- 0/0 etc/passwd
        drwxr-xr-x 0/0 etc/ssl/
        drwxr-xr-x 0/0 etc/ssl/certs/
        -rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt
        drwxr-xr-x 0/0 usr/
        drwxr-xr-x 0/0 usr/local/
        drwxr-xr-x 0/0 usr/local/bin/
        -rwxr-xr-x 0/0 usr/local/bin/promote
        -rwxr-xr-x 0/0 usr/local/bin/promoted
        drwxr-xr-x 0/0 var/
        drwxr-xr-x 0/0 var/lib/
        drwx------ 65532/65532 var/lib/promoted/";
    assert_eq!(image().listing(), expected.lines().map(str::trim).collect::<Vec<_>>());
}

#[test]
fn both_programs_start_on_a_read_only_root_and_tell_their_version() {
    let container = Container::of(image());
    for program in [container.entry_point(), "/usr/local/bin/promote"] {
        let name = program.rsplit('/').next().unwrap();
        let ended = container.run(&[program, "--version"]).passed();
        assert_eq!(ended.stdout.trim(), format!("{name} {}", version()));
    }
    container
        .run(&[DAEMON, "--once", "--repo", "http://localhost:1/fleet.git"])
        .refused(&format!("failed to open file `{STATE}/lock`: Read-only file system"));
}

/// One pass over a repository that cannot be reached, with a hosts file such as a cluster makes.
fn one_pass(container: Container, repository: &str) -> crate::command::Ended {
    container
        .with_volume(STATE)
        .with_file("/etc/hosts", "127.0.0.1 localhost git.test\n")
        .with_file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        .run(&[DAEMON, "--once", "--repo", repository, "--listen", "127.0.0.1:0"])
}

#[test]
fn names_are_resolved_inside() {
    for repository in
        ["http://localhost:1/fleet.git", "http://git.test:1/fleet.git", "ssh://git@git.test:1/fleet.git"]
    {
        one_pass(Container::of(image()), repository).refused("Connection refused");
    }
    one_pass(Container::of(image()), "http://nowhere.invalid/fleet.git")
        .refused("failed to lookup address information");
}

#[test]
fn the_authorities_that_https_trusts_come_with_it() {
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    one_pass(Container::of(image()), "https://git.test:1/fleet.git").refused("Connection refused");
    one_pass(Container::of(image()).with_file(bundle, ""), "https://git.test:1/fleet.git")
        .refused("can't set up connections");
}

#[test]
fn programs_that_would_not_start_inside_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("oci");
    run(&mut build(&output, folder.path(), "promoted:1.0.0"), "").refused("has no promoted");
    for program in ["promoted", "promote"] {
        fs::copy("/bin/true", folder.path().join(program)).unwrap();
    }
    run(&mut build(&output, folder.path(), "promoted:1.0.0"), "").refused("needs shared libraries");
    run(&mut build(&output, folder.path(), "promoted"), "").refused("is not REPOSITORY:TAG");
    assert!(!output.exists());
}

#[test]
fn the_dockerfile_describes_the_same_image() {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let instructions: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let all = |name: &str| {
        instructions.iter().filter(|line| line[0] == name).map(|line| line[1..].join(" ")).collect::<Vec<_>>()
    };
    let settings = image().settings;
    assert_eq!(all("USER"), [settings["User"].as_str().unwrap()]);
    assert_eq!(all("ENTRYPOINT"), [settings["Entrypoint"].to_string()]);
    assert_eq!(all("ENV"), [settings["Env"][0].as_str().unwrap()]);
    let labels: Vec<_> =
        all("LABEL")[0].split_whitespace().map(|label| label.split('=').next().unwrap().to_owned()).collect();
    let mut sorted = labels.clone();
    sorted.sort();
    assert_eq!(sorted, settings["Labels"].as_object().unwrap().keys().cloned().collect::<Vec<_>>());
    let bases = all("FROM");
    assert_eq!(bases.last().map(String::as_str), Some("scratch"));
    for base in &bases[..bases.len() - 1] {
        let digest = base.split_whitespace().next().unwrap().split_once("@sha256:").map(|(_, digest)| digest);
        assert!(digest.is_some_and(|digest| digest.len() == 64), "{base} is not pinned by its digest");
    }
}

#[test]
fn the_dockerfile_passes_its_linter() {
    let linter = tools().join("venv/bin/hadolint");
    run(Command::new(linter).arg(root().join("Dockerfile")), "make test builds the tools first").passed();
}

#[test]
fn what_the_dockerfile_copies_is_enough_for_cargo() {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let context = tempfile::tempdir().unwrap();
    for line in text.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        let mut words: Vec<_> = line.split_whitespace().skip(1).collect();
        let to = words.pop().unwrap();
        for from in words {
            assert!(ignored.lines().any(|line| line.strip_prefix('!') == Some(from)), "{from} is ignored");
            let target: PathBuf = context.path().join(if to == "./" { from } else { to });
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            run(Command::new("cp").arg("-r").arg(root().join(from)).arg(&target), "").passed();
        }
    }
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--edges", "normal"]);
    run(tree.current_dir(context.path()), "").passed();
    assert!(context.path().join("deploy/image/compile.sh").is_file());
}
