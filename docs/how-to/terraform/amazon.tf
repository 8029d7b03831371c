# Keys for buckets on Amazon: a scratch bucket, a role that may open the hub's buckets, and the only one who may take it.
# The Kubernetes cluster is EKS with its add-on eks-pod-identity-agent. Change what is marked with ◀.

variable "cluster" {
  type        = string
  description = "Name of the EKS cluster that the hub runs in."
}

resource "aws_s3_bucket" "scratch" {
  bucket = "example-scratch" # ◀ names of buckets are the world's
}

resource "aws_s3_bucket_public_access_block" "scratch" {
  bucket                  = aws_s3_bucket.scratch.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# What `expire_days` in the hub's description tells people: the hub deletes nothing itself.
resource "aws_s3_bucket_lifecycle_configuration" "scratch" {
  bucket = aws_s3_bucket.scratch.id

  rule {
    id     = "scratch"
    status = "Enabled"
    filter {}
    expiration {
      days = 7
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

# The most that any key of the hub may do. What one person's key may do, of that, the hub says when it asks for the key.
data "aws_iam_policy_document" "buckets" {
  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.scratch.arn] # ◀ and the others
  }
  statement {
    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]
    resources = ["${aws_s3_bucket.scratch.arn}/*"] # ◀ and the others
  }
}

data "aws_iam_policy_document" "buckets_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.service.arn]
    }
  }
}

resource "aws_iam_role" "buckets" {
  name               = "research-hub-buckets"
  assume_role_policy = data.aws_iam_policy_document.buckets_trust.json
}

resource "aws_iam_role_policy" "buckets" {
  role   = aws_iam_role.buckets.id
  policy = data.aws_iam_policy_document.buckets.json
}

# The credential service's own role: it may take the other, and nothing else.
data "aws_iam_policy_document" "service_trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "service" {
  statement {
    actions   = ["sts:AssumeRole", "sts:TagSession"]
    resources = [aws_iam_role.buckets.arn]
  }
}

resource "aws_iam_role" "service" {
  name               = "research-hub-credentials"
  assume_role_policy = data.aws_iam_policy_document.service_trust.json
}

resource "aws_iam_role_policy" "service" {
  role   = aws_iam_role.service.id
  policy = data.aws_iam_policy_document.service.json
}

resource "aws_eks_pod_identity_association" "service" {
  cluster_name    = var.cluster
  namespace       = "hub"
  service_account = "credentials"
  role_arn        = aws_iam_role.service.arn
}

output "role" {
  description = "For ScalableHub.credentials.s3.role."
  value       = aws_iam_role.buckets.arn
}
