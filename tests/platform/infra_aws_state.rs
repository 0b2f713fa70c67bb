//! The state of infra/aws on S3: its own backend file against an emulator (moto) on loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::command::{root, run, tools};

const INSTALL: &str = "install Terraform 1.11 or newer";
const STATE: &str = "/states/dev/terraform.tfstate";
const LOCK: &str = "/states/dev/terraform.tfstate.tflock";

/// A program that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An S3 emulator with an empty bucket `states`.
struct Emulator {
    _server: Running,
    port: u16,
}

impl Emulator {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(tools().join("venv/bin/moto_server"))
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Self { _server: Running(server), port };
        wait("the emulator", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        emulator.ask("PUT", "/states");
        std::io::stderr().write_all(b"infra/aws: S3 is an emulator here (moto)\n").unwrap();
        emulator
    }

    /// The body of a successful answer.
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // Any signature will do here, but without one the emulator takes us for the public.
        let head =
            "Host: 127.0.0.1\r\nAuthorization: AWS emulator:none\r\nContent-Length: 0\r\nConnection: close";
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next()?.contains(" 200 ").then_some(answer)
    }

    /// Terraform with the backend of infra/aws, as the dev environment.
    fn terraform(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .current_dir(folder)
            .args(arguments)
            .arg("-no-color")
            .env_remove("TF_CLI_CONFIG_FILE")
            .env("TF_IN_AUTOMATION", "true")
            .env("CHECKPOINT_DISABLE", "true")
            .env("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ACCESS_KEY_ID", "emulator")
            .env("AWS_SECRET_ACCESS_KEY", "emulator")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// A folder with the fixture and the files of infra/aws that say where the state is.
    fn folder(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        let aws = root().join("infra/aws");
        let fixture = root().join("tests/platform/fixtures/s3-state/main.tf");
        fs::copy(fixture, folder.path().join("main.tf")).unwrap();
        fs::copy(aws.join("backend.tf"), folder.path().join("backend.tf")).unwrap();
        fs::copy(aws.join("env/dev.s3.tfbackend"), folder.path().join("dev.s3.tfbackend")).unwrap();
        // In place of bootstrap's output; what is skipped asks other services of AWS than S3.
        fs::write(
            folder.path().join("backend.s3.tfbackend"),
            "bucket = \"states\"\nregion = \"eu-west-1\"\nuse_path_style = true\nskip_credentials_validation = true\n\
             skip_requesting_account_id = true\nskip_metadata_api_check = true\n",
        )
        .unwrap();
        let init = ["init", "-backend-config=backend.s3.tfbackend", "-backend-config=dev.s3.tfbackend"];
        run(&mut self.terraform(folder.path(), &init), INSTALL).passed();
        folder
    }
}

#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what} did not come within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_state_is_in_the_bucket_under_the_environments_key() {
    let emulator = Emulator::start();
    let folder = emulator.folder();
    run(&mut emulator.terraform(folder.path(), &["apply", "-auto-approve"]), INSTALL).passed();
    assert!(emulator.ask("GET", STATE).expect("no state").contains("kept in the state"));
    assert_eq!(emulator.ask("GET", LOCK), None, "the lock was left");
    assert!(!folder.path().join("terraform.tfstate").exists(), "the state is on this disk, too");
}

#[test]
fn a_second_holder_is_refused_by_the_lock_file() {
    let emulator = Emulator::start();
    let folder = emulator.folder();
    let until = folder.path().join("until");
    let variable = format!("-var=until={}", until.display());
    let mut apply = emulator.terraform(folder.path(), &["apply", "-auto-approve", &variable]);
    let mut first = Running(apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait("the lock", || emulator.ask("GET", LOCK).is_some());

    let other = emulator.folder();
    run(&mut emulator.terraform(other.path(), &["apply", "-auto-approve"]), INSTALL)
        .refused("Error acquiring the state lock");

    fs::write(&until, "").unwrap();
    assert!(first.0.wait().unwrap().success());
    run(&mut emulator.terraform(other.path(), &["apply", "-auto-approve"]), INSTALL).passed();
}
