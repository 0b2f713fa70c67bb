# Bucket, region and key of encryption come from bootstrap's output, the state's own key from env/NAME.s3.tfbackend.
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
