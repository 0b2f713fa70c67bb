output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.state.bucket
}

output "backend_config" {
  description = "Content of backend.s3.tfbackend for infra/aws. Without the key's ARN the states would be encrypted with S3's own key."
  value       = <<-EOT
    bucket     = "${aws_s3_bucket.state.bucket}"
    region     = "${var.region}"
    kms_key_id = "${aws_kms_key.state.arn}"
  EOT
}
