//! A machine of its own for Terraform: a copy of `infra`, an empty home, and stand-ins where a container engine would be needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{Ended, root, run, tools};

const TERRAFORM: &str = "install Terraform 1.11 or newer (developer.hashicorp.com/terraform/install)";

/// What scripts may find beside the stand-ins; nothing else is on the `PATH`.
const PROGRAMS: [&str; 27] = [
    "bash", "basename", "cat", "chmod", "cp", "cut", "dirname", "env", "getent", "grep", "head", "ln",
    "mkdir", "mktemp", "mv", "openssl", "paste", "printf", "rm", "rmdir", "sed", "sh", "sleep", "sort",
    "touch", "true", "uname",
];

pub struct Site {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Site {
    /// A machine on which everything is as it should be.
    pub fn new() -> Self {
        let site = Self { folder: TempDir::new().unwrap(), variables: Vec::new() };
        for folder in ["bin", "home", "recorded/clusters", "repository"] {
            fs::create_dir_all(site.path(folder)).unwrap();
        }
        copy(&root().join("infra"), &site.path("repository/infra"));
        for program in PROGRAMS {
            symlink(on_path(program), site.path("bin").join(program)).unwrap();
        }
        for program in ["k3d", "kubectl", "docker", "listens"] {
            site.stand_in(program, program);
        }
        fs::write(site.path("inotify"), "1024\n").unwrap();
        fs::write(site.path("terraform.rc"), real_providers(&tools().join("bin"))).unwrap();
        site
    }

    /// A path on this machine.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Puts a stand-in on the `PATH`.
    pub fn stand_in(&self, file: &str, program: &str) {
        symlink(root().join("tests/platform/stand-ins").join(file), self.path("bin").join(program)).unwrap();
    }

    /// Takes a program off the `PATH`.
    pub fn without(self, program: &str) -> Self {
        fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    /// Sets a variable of the environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A program as it is started here, with nothing of the environment that the tests run in.
    pub fn command(&self, program: &Path, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path(folder)).env_clear();
        command.env("PATH", self.path("bin")).env("HOME", self.path("home"));
        command.env("STAND_INS", self.path("recorded")).env("INOTIFY", self.path("inotify"));
        command.env("LISTENS", self.path("bin/listens"));
        command.env("TF_CLI_CONFIG_FILE", self.path("terraform.rc")).env("CHECKPOINT_DISABLE", "1");
        command.env("REAL_TERRAFORM", on_path("terraform")).env("TF_IN_AUTOMATION", "1");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a program here to its end.
    #[track_caller]
    pub fn run(&self, program: &Path, folder: &str, arguments: &[&str]) -> Ended {
        run(&mut self.command(program, folder, arguments), TERRAFORM)
    }

    /// Runs Terraform in a folder of the copy.
    #[track_caller]
    pub fn terraform(&self, folder: &str, arguments: &[&str]) -> Ended {
        let arguments: Vec<_> = arguments.iter().copied().chain(["-no-color"]).collect();
        self.run(&on_path("terraform"), &format!("repository/infra/{folder}"), &arguments)
    }

    /// Runs Terraform in `infra/local` for the cluster alone: what stands on it would be downloaded.
    #[track_caller]
    pub fn cluster(&self, command: &[&str], variables: &[&str]) -> Ended {
        self.terraform("local", &["get"]).passed();
        let mut arguments = command.to_vec();
        arguments.extend([
            "-input=false",
            "-target=module.cluster",
            "-var=git_url=https://git.example/team/gitops.git",
        ]);
        arguments.extend(["-var=enable_rancher=false"]);
        arguments.extend(variables);
        self.terraform("local", &arguments)
    }

    /// Runs Terraform for the cluster's module by itself, without the providers, which it does not need: much quicker.
    #[track_caller]
    pub fn alone(&self, command: &[&str], variables: &[&str]) -> Ended {
        let arguments = [command, &["-input=false", "-var=kubeconfig=.local/kubeconfig"], variables].concat();
        self.terraform("local/modules/cluster", &arguments)
    }

    /// How the stand-ins were called, in order.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("recorded/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// How often the stand-ins were called with these first words.
    pub fn called(&self, words: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(words)).count()
    }

    /// The clusters that the stand-in for k3d has.
    pub fn clusters(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("recorded/clusters")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Copies a folder, but for what a person's own Terraform has left there: state, settings, downloads.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let text = name.to_string_lossy();
        let theirs =
            [".terraform", ".local", "terraform.tfstate"].iter().any(|start| text.starts_with(start));
        if source.is_dir() && !theirs {
            copy(&source, &to.join(name));
        } else if source.is_file() && !theirs && !text.ends_with(".auto.tfvars") {
            fs::copy(&source, to.join(name)).unwrap();
        }
    }
}

/// Terraform takes the providers from this folder as they are, and asks no registry for others.
fn real_providers(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "provider_installation {{\n  dev_overrides {{\n    \"hashicorp/helm\" = \"{folder}\"\n    \
         \"hashicorp/kubernetes\" = \"{folder}\"\n  }}\n}}\n"
    )
}

/// Where a program is.
#[track_caller]
pub fn on_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!(
                "{program} is not on the PATH; {}",
                if program == "terraform" { TERRAFORM } else { "install it" }
            )
        })
}
