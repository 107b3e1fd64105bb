//! Azure DPS and IoT Hub on this machine.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    examples::local_cloud::main().await
}
