//! `gates.approvals` and `promote approve`: nothing comes to an environment before enough people have said so.

use serde_json::Value;

use crate::bed::{self, Site, until};
use crate::promotion::{promote, to_aws, verified};

const RECORD: &str = ".promote/aws/test-app.yaml";

/// A site where 1.1.0 is verified in `local`, and `aws` asks for two approvals.
fn site(name: &str, update: &str) -> Site {
    let site = verified(bed::site(name), "1.1.0");
    let gates = format!("    after: [local]\n    update: {update}\n    gates: {{approvals: 2}}\n");
    site.write_config(|text| text.replace("    after: [local]\n", &gates));
    site
}

fn approve(site: &Site, name: &str) -> bed::Run {
    let words = ["approve", "--environment", "aws", "--app", "test-app", "--reason", "looks good"];
    site.promote_as(name, &words)
}

#[test]
fn a_promotion_without_enough_approvals_ends_with_3_names_what_is_missing_and_goes_through_with_them() {
    let site = site("approve", "manual");
    let before = site.commits();

    let run = promote(&site).expect_code(3);

    assert!(run.stderr.contains("test-app 1.1.0 has 0 of the 2 approvals"), "{}", run.stderr);
    assert!(run.stderr.contains("promote approve"), "{}", run.stderr);
    let run = site.promote(&["--to", "aws", "--yes", "-o", "json"]).expect_code(3);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&told["blocked"][0]["gate"], &told["blocked"][0]["app"]),
        (&"approvals".into(), &"test-app".into())
    );
    assert_eq!(site.commits(), before);

    let run = approve(&site, "ann").expect_code(0);
    let words = "is approved for aws by ann <ann@example.org>: 1 of 2";
    assert!(run.stdout.contains(words), "{}", run.stdout);
    let commit = &site.commits()[0];
    assert_eq!(commit.subject, "test-app: aws 1.1.0 approved");
    assert_eq!(commit.author, "ann <ann@example.org>");
    assert_eq!(commit.trailer("Promote-Reason"), "looks good");
    let digest = site.image_digest("local", "test-app", "1.1.0").unwrap();
    let record = site.read(RECORD);
    assert!(record.contains(&digest) && record.contains("by: \"ann <ann@example.org>\""), "{record}");
    let run = promote(&site).expect_code(3);
    assert!(run.stderr.contains("has 1 of the 2 approvals"), "{}", run.stderr);
    assert!(run.stderr.contains("(by ann <ann@example.org>)"), "{}", run.stderr);

    approve(&site, "bob").expect_code(0);
    promote(&site).expect_code(0);

    assert_eq!(to_aws(&site)[0].subject, "test-app: aws 1.0.0 → 1.1.0");
}

#[test]
fn one_person_who_approves_twice_is_one_also_in_the_name_of_another() {
    let site = site("approve-twice", "manual");
    approve(&site, "ann").expect_code(0);
    let commits = site.commits();

    let run = approve(&site, "ann").expect_code(0);

    assert!(
        run.stdout.contains("is already approved for aws by ann <ann@example.org>: 1 of 2"),
        "{}",
        run.stdout
    );
    assert_eq!(site.commits(), commits);
    // A person who writes two approvals by hand, in two names, is one person.
    let digest = site.image_digest("local", "test-app", "1.1.0").unwrap();
    let entry = |by: &str| format!("- {{digest: \"{digest}\", by: \"{by}\"}}\n");
    let forged =
        format!("approvals:\n{}{}", entry("Carl <carl@example.org>"), entry("Dora <dora@example.org>"));
    site.commit("Approve", &[(RECORD, Some(&forged))]);
    let run = promote(&site).expect_code(3);
    assert!(run.stderr.contains("has 1 of the 2 approvals"), "{}", run.stderr);
    assert!(run.stderr.contains("(by A Person <person@example.org>)"), "{}", run.stderr);

    approve(&site, "ann").expect_code(0);
    promote(&site).expect_code(0);
}

#[test]
fn an_automatic_promotion_waits_for_its_approvals_and_comes_with_the_last_one() {
    let site = site("approve-auto", "auto");
    let daemon = site.promoted().start();
    let waits = || daemon.get("/readyz").1.contains("test-app 1.1.0 has 0 of the 2 approvals").then_some(());
    until(waits).unwrap_or_else(|| site.give_up("/readyz does not say what is waited for"));
    let status = site.promote(&["status", "--environment", "aws"]).expect_code(0).stdout;
    let command = "promote approve --environment aws --app test-app --reason";
    assert!(status.contains("has 0 of the 2 approvals") && status.contains(command), "{status}");

    approve(&site, "ann").expect_code(0);
    let waits = || daemon.get("/readyz").1.contains("has 1 of the 2 approvals").then_some(());
    until(waits).unwrap_or_else(|| site.give_up("the first approval was not seen"));
    assert!(site.overlay("aws", "test-app").contains("1.0.0"), "one is not enough");
    approve(&site, "bob").expect_code(0);

    site.wait_commit(|commit| commit.subject == "test-app: aws 1.0.0 → 1.1.0", "promotes 1.1.0");
    daemon.stop();
}

#[test]
fn an_approval_of_an_older_version_does_not_count_and_goes_when_that_is_replaced() {
    let site = site("approve-older", "manual");
    for name in ["ann", "bob"] {
        approve(&site, name).expect_code(0);
    }
    promote(&site).expect_code(0);
    let old = site.image_digest("local", "test-app", "1.1.0").unwrap();
    assert!(site.read(RECORD).contains(&old));
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);

    let run = promote(&site).expect_code(3);

    assert!(run.stderr.contains("test-app 1.2.0 has 0 of the 2 approvals"), "{}", run.stderr);
    site.promote(&["--to", "aws", "--yes", "--override-gates", "nobody is there"]).expect_code(0);
    assert_eq!(to_aws(&site)[0].trailer("Promote-Reason"), "nobody is there");
    assert_eq!(site.try_read(RECORD), None, "the approvals of 1.1.0 went with it");
}

#[test]
fn a_policy_takes_what_is_approved_where_an_environment_elects_from_its_registry() {
    let site = bed::site("approve-registry").environments(&["local"]).create();
    site.once().expect_code(0);
    site.write_config(|text| text.replace("    verify:", "    gates: {approvals: {count: 1}}\n    verify:"));
    let bad = site.push_image("local", "test-app", "1.1.0");
    site.push_image("local", "test-app", "1.2.0");
    let run = site.once().expect_code(3);
    assert!(run.stderr.contains("1.2.0 has 0 of the 1 approvals"), "{}", run.stderr);
    let say = |more: &[&str]| {
        let words = ["approve", "--environment", "local", "--app", "test-app", "--reason", "x"];
        site.promote_as("ann", &[&words, more].concat())
    };

    // What is pushed again under the tag is another version.
    say(&["--at", "1.1.0"]).expect_code(0);
    site.push_image_with("local", "test-app", "1.1.0", "other content");
    site.once().expect_code(3);
    let dry = say(&["--dry-run"]).expect_code(10);
    assert!(dry.stdout.contains("1.2.0 (sha256:"), "{}", dry.stdout);
    say(&[]).expect_code(0);
    site.once().expect_code(0);

    assert_eq!(site.moves()[0].subject, "test-app: local 1.0.0 → 1.2.0");
    let run = say(&["--at", "9.9.9"]).expect_code(2);
    assert!(run.stderr.contains("no version 9.9.9"), "{}", run.stderr);
    let run = say(&["--at", &bad, "-o", "json"]).expect_code(0);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&told["kind"], &told["versions"][0]["approvals"]), (&"Approval".into(), &1.into()));
}

#[test]
fn who_has_no_name_in_git_cannot_approve() {
    let site = site("approve-nobody", "manual");
    let words = ["approve", "--environment", "aws", "--app", "test-app", "--reason", "x"];
    let run = site.promote(&words).expect_code(2);
    assert!(run.stderr.contains("git config --global user.name"), "{}", run.stderr);
}
