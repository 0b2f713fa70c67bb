//! test-app's image: two platforms, its version and colour on its page, and a stop that loses no request.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::container::Container;
use super::layout::{Image, Layout};
use crate::command::{Ended, root, run};

fn build(output: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(root().join("deploy/apps/test-app/image/build.sh"));
    run(command.arg("--output").arg(output).args(arguments), "bash is needed")
}

/// An image in a folder, and what was said of it; each is made once for all tests.
type Made = (TempDir, String);

fn made(arguments: &[&str]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let said = build(folder.path(), arguments).passed().stdout;
    (folder, said.trim().to_owned())
}

fn blue() -> &'static Made {
    static BLUE: OnceLock<Made> = OnceLock::new();
    BLUE.get_or_init(|| made(&["--version", "1.0.0", "--colour", "blue"]))
}

fn green() -> &'static Made {
    static GREEN: OnceLock<Made> = OnceLock::new();
    GREEN.get_or_init(|| made(&["--version", "1.0.0", "--colour", "seagreen"]))
}

/// The image for this machine.
fn here(folder: &Path) -> Image {
    let architecture = if std::env::consts::ARCH == "aarch64" { "linux/arm64" } else { "linux/amd64" };
    Layout::open(folder).images().into_iter().find(|image| image.platform == architecture).unwrap()
}

/// test-app, started from its image on a free port.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
    address: String,
    _container: Container,
}

impl Running {
    fn start(image: Image) -> Self {
        let container = Container::of(image);
        let mut command = container.command(&[container.entry_point()]);
        let mut child = command.env("LISTEN", "127.0.0.1:0").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().expect("it ended at once").unwrap();
        let address = first.rsplit_once(" listens on ").unwrap_or_else(|| panic!("{first}")).1.to_owned();
        Self { child, lines, address, _container: container }
    }

    /// Status and body of a page.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test.localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]), "procps is needed").passed();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_image_has_both_platforms() {
    let (folder, said) = blue();
    let layout = Layout::open(folder.path());
    assert_eq!(*said, format!("test-app:1.0.0@{}", layout.top()["digest"].as_str().unwrap()));
    let images = layout.images();
    assert_eq!(
        images.iter().map(|image| image.platform.as_str()).collect::<Vec<_>>(),
        ["linux/amd64", "linux/arm64"]
    );
    for image in images {
        assert_eq!(image.settings["User"], "65532:65532");
        assert_eq!(image.settings["Entrypoint"], serde_json::json!(["/test-app"]));
        assert_eq!(image.settings["ExposedPorts"], serde_json::json!({"8080/tcp": {}}));
        assert_eq!(image.settings["Labels"]["org.opencontainers.image.version"], "1.0.0");
        assert_eq!(image.listing(), ["-rwxr-xr-x 0/0 test-app"]);
    }
}

#[test]
fn the_digest_follows_from_version_and_colour_alone() {
    let digest = |made: &Made| made.1.split_once('@').unwrap().1.to_owned();
    let again = made(&["--version", "1.0.0", "--colour", "blue", "--reference", "registry.test/other:7"]);
    assert_eq!(digest(&again), digest(blue()));
    assert_ne!(digest(green()), digest(blue()));
}

#[test]
fn the_overlays_name_what_is_built_here() {
    let green = made(&["--version", "1.1.0", "--colour", "green"]);
    let named = [("overlays/local", blue()), ("overlays/aws", blue()), ("weighted/next", &green)];
    for (folder, (_, said)) in named {
        let file = root().join("deploy/apps/test-app").join(folder).join("kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (image, digest) = said.split_once('@').unwrap();
        let entry = format!("newTag: \"{}\"\n  digest: {digest}\n", image.split_once(':').unwrap().1);
        assert!(text.contains(&entry), "{} does not name {said}", file.display());
    }
}

#[test]
fn a_layout_that_is_written_again_holds_the_new_image_alone() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-r").arg(blue().0.path().join(".")).arg(folder.path()), "").passed();
    let before = Layout::open(folder.path()).blobs();
    build(folder.path(), &["--version", "1.1.0"]).passed();
    let layout = Layout::open(folder.path());
    assert_eq!(layout.blobs(), before);
    assert_eq!(layout.top()["annotations"]["org.opencontainers.image.ref.name"], "1.1.0");
    assert_eq!(layout.images().len(), 2);
}

#[test]
fn the_started_image_shows_version_and_colour() {
    let app = Running::start(here(green().0.path()));
    let (status, page) = app.get("/");
    assert_eq!(status, 200);
    assert!(page.contains("<h1>1.0.0</h1>") && page.contains("<p>seagreen</p>"), "{page}");
    assert!(page.contains("background: seagreen"), "{page}");
    assert_eq!(app.get("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(app.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(app.get("/nothing").0, 404);
}

#[test]
fn a_stopping_app_says_that_it_is_not_ready_and_goes_on_answering() {
    let mut app = Running::start(here(blue().0.path()));
    app.stop();
    assert!(app.lines.next().unwrap().unwrap().contains("stopping"));
    assert_eq!(app.get("/readyz").0, 503);
    assert_eq!(app.get("/").0, 200);
    assert!(app.child.wait().unwrap().success());
    assert!(app.lines.next().unwrap().unwrap().contains("stopped"));
}

#[test]
fn an_unhealthy_version_can_be_made_to_see_it_taken_back() {
    let (folder, _) = made(&["--version", "1.2.0", "--colour", "red", "--unhealthy"]);
    let app = Running::start(here(folder.path()));
    assert_eq!(app.get("/healthz").0, 503);
    assert_eq!(app.get("/readyz").0, 503);
    assert_eq!(app.get("/").0, 200);
}

#[test]
fn what_can_be_no_tag_and_no_colour_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    build(folder.path(), &["--version", "1.0 0"]).refused("\"1.0 0\" can't be a tag");
    build(folder.path(), &["--colour", "red; x"]).refused("\"red; x\" is not the name of a CSS colour");
    build(folder.path(), &["--colour"]).refused("--colour needs a value");
    build(folder.path(), &["--size", "1"]).refused("\"--size\" is not known");
}
