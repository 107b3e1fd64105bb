//! Azure DPS and IoT Hub on this machine.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    local_cloud::program::main().await
}
