//! Amazon MSK's IAM authentication: its keys, and what they become where the build has it.

use super::Sasl;
use crate::metadata::{
    problem::{Problem, Problems},
    values::Secret,
};

/// Whose signature a token carries, and for which region.
#[cfg(feature = "aws-msk-iam")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MskIam {
    pub region: String,
    pub identity: AwsIdentity,
}

/// Whose credentials sign.
#[cfg(feature = "aws-msk-iam")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AwsIdentity {
    /// Those of this process, from the SDK's usual places.
    Process,
    /// Those of a role that the process may assume.
    Role(String),
    /// An access key of its own.
    AccessKey {
        id: String,
        secret: Secret,
        session_token: Option<Secret>,
    },
}

#[cfg(feature = "aws-msk-iam")]
impl MskIam {
    /// The user in names and errors: never a secret.
    pub fn username(&self) -> &str {
        match &self.identity {
            AwsIdentity::Process => "aws_msk_iam",
            AwsIdentity::Role(role) => role,
            AwsIdentity::AccessKey { id, .. } => id,
        }
    }

    /// The key by which this uses credentials of the process.
    pub fn process_credentials(&self) -> Option<&'static str> {
        match &self.identity {
            AwsIdentity::Process => Some("sasl"),
            AwsIdentity::Role(_) => Some("awsRoleArn"),
            AwsIdentity::AccessKey { .. } => None,
        }
    }
}

/// The keys of AWS, as given.
pub struct AwsKeys {
    pub region: Option<String>,
    pub role_arn: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret>,
    pub session_token: Option<Secret>,
}

impl AwsKeys {
    /// The keys, and whether they are given.
    pub fn given(&self) -> [(&'static str, bool); 5] {
        [
            ("awsRegion", self.region.is_some()),
            ("awsRoleArn", self.role_arn.is_some()),
            ("awsAccessKeyID", self.access_key_id.is_some()),
            ("awsSecretAccessKey", self.secret_access_key.is_some()),
            ("awsSessionToken", self.session_token.is_some()),
        ]
    }

    /// Checks the keys against each other. `key` is what the user wrote to have MSK IAM.
    #[cfg(feature = "aws-msk-iam")]
    pub fn check(self, key: &str) -> Result<Sasl, Problems> {
        let mut problems = Problems::default();
        let region = self.region.ok_or_else(|| {
            let reason = format!("is required with `{key}: aws_msk_iam`");
            Problem::key("awsRegion", reason)
        });
        let region = problems.keep(region);
        let identity = match (self.access_key_id, self.secret_access_key) {
            (None, None) if self.session_token.is_some() => {
                let reason = "needs awsAccessKeyID and awsSecretAccessKey";
                Err(Problem::key("awsSessionToken", reason))
            }
            (None, None) => Ok(self
                .role_arn
                .map_or(AwsIdentity::Process, AwsIdentity::Role)),
            (Some(_), None) => Err(Problem::key(
                "awsSecretAccessKey",
                "is required with awsAccessKeyID",
            )),
            (None, Some(_)) => Err(Problem::key(
                "awsAccessKeyID",
                "is required with awsSecretAccessKey",
            )),
            (Some(_), Some(_)) if self.role_arn.is_some() => {
                Err(Problem::exclusive("awsRoleArn", "awsAccessKeyID"))
            }
            (Some(id), Some(secret)) => Ok(AwsIdentity::AccessKey {
                id,
                secret,
                session_token: self.session_token,
            }),
        };
        match (region, problems.keep(identity)) {
            (Some(region), Some(identity)) => Ok(Sasl::MskIam(MskIam { region, identity })),
            _ => Err(problems),
        }
    }

    /// What is missing here, and how to get it.
    #[cfg(not(feature = "aws-msk-iam"))]
    pub fn check(self, key: &str) -> Result<Sasl, Problems> {
        let reason = "is not part of this build: build with `cargo build --release --features \
                      aws-msk-iam`, or use SCRAM, which MSK offers as well";
        Err(Problem::value(key, "aws_msk_iam", reason).into())
    }
}
