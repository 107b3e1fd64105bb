//! The enrolments of a batch as commands of the Azure CLI.

use std::fmt::Write;

use super::devices::{Credential, Device};

/// The folder of the certificates, named as local-cloud names its own.
pub(super) const ENROLLMENTS: &str = "enrollments";
/// The folder of DeviceID certificates, which devices present and nobody enrols.
pub(super) const DEVICE_IDS: &str = "device-ids";
/// The folder of CAs, named as local-cloud names its own.
pub(super) const GROUPS: &str = "enrollments/groups";
/// The CA that has signed them.
pub(super) const CA: &str = "enrollments/groups/ca.pem";
/// The script of Azure CLI commands.
pub(super) const AZURE_CLI: &str = "azure-cli.sh";

const HEAD: &str = "\
#!/bin/sh
# Enrols each device individually in a Device Provisioning Service, with the Azure CLI and its extension azure-iot.
set -u
if [ $# -ne 2 ]; then
    echo \"usage: sh $0 <DPS> <GROUP>    (names of the service and of its resource group)\" >&2
    exit 2
fi
cd \"$(dirname -- \"$0\")\" || exit
dps=$1
group=$2
failed=0

enrol() {
    az iot dps enrollment create --dps-name \"$dps\" --resource-group \"$group\" --attestation-type x509 \\
        --enrollment-id=\"$1\" --certificate-path=\"$2\" --output none </dev/null && return
    echo \"not enrolled: $1\" >&2
    failed=1
}

";

/// The script, for the devices that are enrolled individually. What comes from the list of devices stands in single
/// quotes, and cannot have one in it: registration ids are made of a-z, 0-9 and `-`.
pub(super) fn azure_cli(devices: &[&Device]) -> String {
    let mut script = HEAD.to_owned();
    for device in devices.iter().filter(|device| matches!(device.credential, Credential::Uds(_))) {
        // Writing to a string does not fail.
        let _ = writeln!(script, "enrol '{}' '{ENROLLMENTS}/{}'", device.id, device.file.display());
    }
    script + "\nexit $failed\n"
}
