//! `promote --to ENV`: what is verified upstream is copied, committed once and verified there.

use serde_json::{Value, json};

use crate::bed::{self, Commit, Recipe, Run, Site};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A site where `tag` is verified in `local`, and 1.0.0 stands in `aws`.
pub(crate) fn verified(recipe: Recipe, tag: &str) -> Site {
    let site = recipe.create();
    site.once().expect_code(0);
    site.push_image("local", "test-app", tag);
    site.once().expect_code(0);
    site
}

pub(crate) fn promote(site: &Site) -> Run {
    site.promote(&["--to", "aws", "--yes"])
}

pub(crate) fn to_aws(site: &Site) -> Vec<Commit> {
    let mut moves = site.moves();
    moves.retain(|commit| commit.trailer("Promote-Environment") == "aws");
    moves
}

#[test]
fn what_is_verified_upstream_is_copied_committed_once_and_verified() {
    let site = verified(bed::site("promoted"), "1.1.0");
    let upstream = site.moves()[0].clone();
    let digest = site.image_digest("local", "test-app", "1.1.0").unwrap();
    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), None);

    promote(&site).expect_code(0);

    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), Some(digest.clone()));
    let [commit] = &to_aws(&site)[..] else { panic!("{:?}", to_aws(&site)) };
    assert_eq!(commit.subject, "test-app: aws 1.0.0 → 1.1.0");
    assert_eq!(commit.trailer("Promote-Source"), format!("promotion local@{}", upstream.sha));
    let image = format!("{}/test-app:1.1.0@{digest}", site.registry("aws"));
    assert_eq!(commit.trailer("Promote-Image"), image);
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["verdict"], "verified");
    site.wait_rolled_out("aws", "test-app", "1.1.0");
}

#[test]
fn the_same_promotion_again_finds_that_all_is_there() {
    let site = verified(bed::site("again"), "1.1.0");
    promote(&site).expect_code(0);
    let refs = site.git(&["for-each-ref"]);

    let run = promote(&site).expect_code(0);

    assert!(run.stdout.contains("already there"), "{}", run.stdout);
    assert_eq!(site.git(&["for-each-ref"]), refs);
}

#[test]
fn an_image_that_the_registry_has_lost_is_copied_again_without_a_commit() {
    let site = verified(bed::site("lost"), "1.1.0");
    promote(&site).expect_code(0);
    let refs = site.git(&["for-each-ref"]);
    let digest = site.image_digest("aws", "test-app", "1.1.0").unwrap();
    site.delete_image("aws", "test-app", &digest);

    let run = promote(&site).expect_code(0);

    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), Some(digest));
    assert!(run.stderr.contains("test-app has lost 1.1.0, which is copied again"), "{}", run.stderr);
    assert_eq!(site.git(&["for-each-ref"]), refs);
}

/// Gives the app a second image, which stands in both environments; its digest.
fn with_second_image(site: &Site) -> String {
    let digests = ["local", "aws"].map(|environment| {
        let digest = site.push_image(environment, "helper", "2.0.0");
        let path = format!("deploy/apps/test-app/overlays/{environment}/kustomization.yaml");
        let (name, overlay) = (site.registry(environment), site.overlay(environment, "test-app"));
        let entry = format!(
            "images:\n- name: helper\n  newName: {name}/helper\n  newTag: \"2.0.0\"\n  digest: {digest}\n"
        );
        site.commit("A second image", &[(path.as_str(), Some(&overlay.replace("images:\n", &entry)))]);
        digest
    });
    site.write_config(|text| {
        let second = "    images:\n      helper: {policy: {semver: {range: \"*\"}}}\n";
        text.replace("    images:\n", second)
    });
    assert_eq!(digests[0], digests[1]);
    digests[0].clone()
}

#[test]
fn an_image_that_stands_and_was_lost_comes_back_with_the_one_that_moves() {
    let site = bed::site("lost-beside").create();
    let helper = with_second_image(&site);
    site.push_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);
    site.delete_image("aws", "helper", &helper);

    promote(&site).expect_code(0);

    assert_eq!(to_aws(&site).len(), 1);
    assert_eq!(site.image_digest("aws", "helper", "2.0.0"), Some(helper));
}

#[test]
fn an_automatic_promotion_brings_back_what_stands_and_was_lost() {
    let site = bed::site("lost-automatic").create();
    let helper = with_second_image(&site);
    let automatic = "    after: [local]\n    update: auto\n";
    site.write_config(|text| text.replace("    after: [local]\n", automatic));
    site.delete_image("aws", "helper", &helper);
    let daemon = site.promoted().start();
    site.push_image("local", "test-app", "1.1.0");

    site.wait_commit(|commit| commit.subject == "test-app: aws 1.0.0 → 1.1.0", "promotes 1.1.0");

    assert_eq!(site.image_digest("aws", "helper", "2.0.0"), Some(helper));
    daemon.stop();
}

#[test]
fn a_tag_that_moves_after_its_verdict_takes_nothing_else_along() {
    let site = verified(bed::site("moved"), "1.1.0");
    let good = site.image_digest("local", "test-app", "1.1.0").unwrap();
    let other = site.push_image_with("local", "test-app", "1.1.0", "other content");

    promote(&site).expect_code(0);

    assert_ne!(good, other);
    for environment in ["local", "aws"] {
        assert!(site.overlay(environment, "test-app").contains(&format!("digest: {good}")), "{environment}");
    }
    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), Some(good.clone()));
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["digest"], json!(good));
}

#[test]
fn an_image_for_several_platforms_is_copied_with_all_of_them() {
    let site = bed::site("platforms").create();
    let index = site.push_multiarch_image("local", "test-app", "1.1.0");
    site.once().expect_code(0);

    promote(&site).expect_code(0);

    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), Some(index));
    let overlays = [site.overlay("local", "test-app"), site.overlay("aws", "test-app")];
    let digests = overlays.map(|overlay| overlay.split("digest: ").nth(1).unwrap().trim().to_owned());
    assert_eq!(digests[0], digests[1]);
    for manifest in site.platforms("local", "test-app", "1.1.0") {
        assert_eq!(site.image_digest("aws", "test-app", &manifest), Some(manifest));
    }
}

#[test]
fn all_apps_move_as_one_commit() {
    let site = bed::site("set").apps(&["test-app", "worker"]).create();
    site.push_image("local", "test-app", "1.1.0");
    site.push_image("local", "worker", "3.0.0");
    site.once().expect_code(0);

    promote(&site).expect_code(0);

    let [commit] = &to_aws(&site)[..] else { panic!("{:?}", to_aws(&site)) };
    assert_eq!(commit.trailers["Promote-App"], ["test-app", "worker"]);
    for (app, tag) in [("test-app", "1.1.0"), ("worker", "3.0.0")] {
        assert_eq!(site.wait_verdict(app, "aws", tag)["verdict"], "verified");
    }
}

#[test]
fn what_is_not_verified_upstream_is_blocked_with_3_and_the_other_apps_wait_for_it() {
    let hold = "{timeout: 60s, stableFor: 1s, onFailure: hold}";
    let site = bed::site("blocked").apps(&["test-app", "worker"]).verify(hold).create();
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.push_image("local", "worker", "3.0.0");
    site.once().expect_code(5);
    let before = site.commits();

    let run = promote(&site).expect_code(3);

    assert!(run.stderr.contains("test-app") && run.stderr.contains("failed"), "{}", run.stderr);
    assert_eq!(site.commits(), before);
    assert_eq!(site.image_digest("aws", "worker", "3.0.0"), None, "nothing was copied");
    site.promote(&["--to", "aws", "--yes", "--app", "worker"]).expect_code(0);
    assert_eq!(site.wait_verdict("worker", "aws", "3.0.0")["verdict"], "verified");
}

#[test]
fn a_version_that_fails_in_the_next_environment_is_taken_back_there_alone_with_4() {
    let site = verified(bed::site("fails-in-aws").forgiving(&["local"]), "1.1.0-bad-pull");
    let before = site.overlay("aws", "test-app");
    let upstream = site.overlay("local", "test-app");

    let run = promote(&site).expect_code(4);

    assert!(run.stdout.contains("rolled back to 1.0.0"), "{}", run.stdout);
    assert_eq!(site.overlay("aws", "test-app"), before);
    assert_eq!(site.overlay("local", "test-app"), upstream);
    assert_eq!(to_aws(&site).len(), 2);
    assert!(site.read(".promote/aws/test-app.yaml").contains("1.1.0-bad-pull"));
    assert_eq!(site.try_read(".promote/local/test-app.yaml"), None);
    let again = promote(&site).expect_code(3);
    assert!(again.stderr.contains("quarantined in aws"), "{}", again.stderr);
}

#[test]
fn a_dry_run_ends_with_10_shows_the_difference_and_changes_nothing() {
    let site = verified(bed::site("dry-run"), "1.1.0");
    let refs = site.git(&["for-each-ref"]);
    for words in [&["--to", "aws", "--dry-run"][..], &["plan", "--to", "aws"]] {
        let run = site.promote(words).expect_code(10);
        assert!(run.stdout.contains("1.0.0 → 1.1.0"), "{}", run.stdout);
        let difference: Vec<_> = run.stdout.lines().filter(|line| line.contains("newTag")).collect();
        assert_eq!(difference, ["-  newTag: \"1.0.0\"", "+  newTag: \"1.1.0\""]);

        let run = site.promote(&[words, &["-o", "json"]].concat()).expect_code(10);
        let told: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout));
        assert_eq!((&told["to"], &told["exitCode"]), (&"aws".into(), &10.into()));
        let only = &told["moves"][0];
        assert_eq!(
            (&only["app"], &only["from"], &only["to"]),
            (&"test-app".into(), &"1.0.0".into(), &"1.1.0".into())
        );
    }
    assert_eq!(site.git(&["for-each-ref"]), refs);
    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), None);
}

#[test]
fn an_environment_of_people_is_not_touched_off_a_terminal_without_yes() {
    let site = verified(bed::site("without-yes"), "1.1.0");
    let refs = site.git(&["for-each-ref"]);

    let run = site.promote(&["--to", "aws"]).expect_code(2);

    assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    assert_eq!(site.git(&["for-each-ref"]), refs);
}

#[test]
fn an_unknown_environment_or_app_is_answered_with_those_that_exist() {
    let site = bed::site("unknown").create();
    let run = site.promote(&["--to", "asw", "--yes"]).expect_code(2);
    assert!(run.stderr.contains("no environment asw (it has aws, local)"), "{}", run.stderr);
    let run = site.promote(&["--to", "aws", "--app", "tset", "--yes"]).expect_code(2);
    assert!(run.stderr.contains("no app tset (it has test-app)"), "{}", run.stderr);
}

#[test]
fn a_suspended_environment_is_not_promoted_to() {
    let site = verified(bed::site("suspended-aws"), "1.1.0");
    site.suspend("aws");

    let run = promote(&site).expect_code(3);

    assert!(run.stderr.contains("is suspended"), "{}", run.stderr);
    assert!(to_aws(&site).is_empty());
    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), None);
}

#[test]
fn override_gates_takes_what_stands_upstream_and_is_recorded() {
    let hold = "{timeout: 60s, stableFor: 1s, onFailure: hold}";
    let site = bed::site("override").forgiving(&["aws"]).verify(hold).create();
    site.push_image("local", "test-app", "1.1.0-bad-pull");
    site.once().expect_code(5);

    site.promote(&["--to", "aws", "--yes", "--override-gates", "the registry of local is broken"])
        .expect_code(0);

    assert_eq!(to_aws(&site)[0].trailer("Promote-Reason"), "the registry of local is broken");
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0-bad-pull")["verdict"], "verified");
}

#[test]
fn an_older_version_that_was_verified_can_be_named() {
    let site = verified(bed::site("at"), "1.1.0");
    site.push_image("local", "test-app", "1.2.0");
    site.once().expect_code(0);

    site.promote(&["--to", "aws", "--yes", "--at", "1.1.0"]).expect_code(0);
    assert_eq!(to_aws(&site)[0].subject, "test-app: aws 1.0.0 → 1.1.0");
    let run = site.promote(&["--to", "aws", "--yes", "--at", "9.9.9"]).expect_code(3);
    assert!(run.stderr.contains("9.9.9"), "{}", run.stderr);
}

#[test]
fn wait_committed_ends_with_the_commit() {
    let site = verified(bed::site("committed"), "1.1.0");
    site.promote(&["--to", "aws", "--yes", "--wait", "committed"]).expect_code(0);
    assert_eq!(to_aws(&site).len(), 1);
    assert!(
        site.verdicts().iter().all(|verdict| verdict["environment"] != "aws" || verdict["tag"] != "1.1.0")
    );
    promote(&site).expect_code(0);
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["verdict"], "verified");
    assert_eq!(to_aws(&site).len(), 1);
}

#[test]
fn beside_a_daemon_a_promotion_makes_one_commit_and_both_come_to_one_verdict() {
    let site = verified(bed::site("beside"), "1.1.0");
    let daemon = site.promoted().start();
    daemon.wait_log("started");

    promote(&site).expect_code(0);

    assert_eq!(to_aws(&site).len(), 1);
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["verdict"], "verified");
    daemon.stop();
}

#[test]
fn beside_a_daemon_a_failed_promotion_is_taken_back_once() {
    let site = verified(bed::site("beside-bad").forgiving(&["local"]), "1.1.0-bad-pull");
    let daemon = site.promoted().start();
    daemon.wait_log("started");

    promote(&site).expect_code(4);

    daemon.stop();
    assert_eq!(to_aws(&site).len(), 2);
    assert_eq!(to_aws(&site)[0].subject, "test-app: aws 1.1.0-bad-pull → 1.0.0");
}

#[test]
fn an_environment_that_is_updated_automatically_gets_what_is_verified_before_it() {
    let site = bed::site("automatic").forgiving(&["local"]).create();
    let automatic = "    after: [local]\n    update: auto\n";
    site.write_config(|text| text.replace("    after: [local]\n", automatic));
    let daemon = site.promoted().start();
    let digest = site.push_image("local", "test-app", "1.1.0");

    let commit = site.wait_commit(|commit| commit.subject == "test-app: aws 1.0.0 → 1.1.0", "promotes 1.1.0");

    assert!(commit.trailer("Promote-Source").starts_with("promotion local@"));
    assert_eq!(site.image_digest("aws", "test-app", "1.1.0"), Some(digest));
    assert_eq!(site.wait_verdict("test-app", "aws", "1.1.0")["verdict"], "verified");

    site.push_image("local", "test-app", "1.2.0-bad-pull");
    let back = |commit: &Commit| commit.subject == "test-app: aws 1.2.0-bad-pull → 1.1.0";
    site.wait_commit(back, "takes 1.2.0 back in aws");
    assert!(site.overlay("local", "test-app").contains("1.2.0-bad-pull"), "it is good in local");
    daemon.stop();
}

#[test]
fn the_result_of_a_promotion_is_one_document_for_machines() {
    let site = verified(bed::site("machine"), "1.1.0");

    let run = site.promote(&["--to", "aws", "--yes", "-o", "json"]).expect_code(0);

    let told: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout));
    assert_eq!((&told["apiVersion"], &told["kind"]), (&"promote/v1".into(), &"Promotion".into()));
    assert_eq!((&told["exitCode"], &told["to"]), (&0.into(), &"aws".into()));
    assert_eq!(told["commit"], to_aws(&site)[0].sha.as_str());
    assert_eq!((&told["moves"][0]["from"], &told["moves"][0]["to"]), (&"1.0.0".into(), &"1.1.0".into()));
    assert_eq!(told["verdicts"][0]["verdict"], "verified");
}

/// An artifact that refers to an image, as OCI 1.1 has it: by `subject`.
fn refers_to(image: &str, kind: &str, site: &Site, registry: &str) -> Value {
    let empty = site.push_blob(registry, "test-app", b"{}");
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
        "layers": [{"mediaType": kind, "digest": empty, "size": 2}],
        "subject": {"mediaType": MANIFEST, "digest": image, "size": 100},
    })
}

/// Promotes an image from one registry to another, with a signature by cosign's tag, and an SBOM by its subject that the
/// fallback tag lists, since neither release of the registry keeps such a list itself.
fn what_refers_to_an_image_comes_with_it(from: &str, to: &str) {
    let site = bed::site(&format!("referrers-{from}")).environments(&[from, to]).create();
    let image = site.push_image(from, "test-app", "1.1.0");
    let fallback = image.replace(':', "-");
    let mut signature = refers_to(&image, "application/vnd.dev.cosign.simplesigning.v1+json", &site, from);
    signature.as_object_mut().unwrap().remove("subject");
    let signature = site.push_manifest(from, "test-app", &signature, Some(&format!("{fallback}.sig")));
    let sbom = refers_to(&image, "application/spdx+json", &site, from);
    let length = sbom.to_string().len();
    let sbom = site.push_manifest(from, "test-app", &sbom, None);
    let entry = json!({"mediaType": MANIFEST, "digest": sbom, "size": length, "artifactType": "application/spdx+json"});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    site.push_manifest(from, "test-app", &list, Some(&fallback));
    site.once().expect_code(0);
    assert_eq!(site.image_digest(to, "test-app", &sbom), None);

    site.promote(&["--to", to, "--yes"]).expect_code(0);

    assert_eq!(site.image_digest(to, "test-app", "1.1.0"), Some(image));
    assert_eq!(site.image_digest(to, "test-app", &format!("{fallback}.sig")), Some(signature));
    assert_eq!(site.image_digest(to, "test-app", &sbom), Some(sbom.clone()));
    assert_eq!(site.platforms(to, "test-app", &fallback), [sbom], "the target lists it");
}

#[test]
fn signatures_and_sboms_come_with_an_image_from_an_old_registry_to_a_new_one() {
    what_refers_to_an_image_comes_with_it("local", "paging");
}

#[test]
fn signatures_and_sboms_come_with_an_image_from_a_new_registry_to_an_old_one() {
    what_refers_to_an_image_comes_with_it("paging", "aws");
}
