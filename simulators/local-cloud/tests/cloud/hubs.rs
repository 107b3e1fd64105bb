//! Several hubs: who is assigned where, what moves with a device, and faults that concern a service as a whole.

use local_cloud::{
    Allocation, AllocationPolicy, Attestation, Config, Endpoint, Enrollment, Fault, Handle, InitialTwin,
    ReprovisionPolicy, ServerCertificate,
};
use serde_json::{Value, json};

use crate::client::{Connect, connect_tls};
use crate::dps::with_group_key;
use crate::flow::{open, register, start};

const FIRST: &str = "local-hub.azure-devices.net";
const SECOND: &str = "second.azure-devices.net";
const KEY: [u8; 32] = [7; 32];

async fn cloud(change: impl FnOnce(&mut Enrollment)) -> Handle {
    let config = Config { more_hubs: vec![SECOND.to_owned()], assigning_polls: 0, ..Config::default() };
    let cloud = start(config).await;
    let mut group = Enrollment::new("g", Attestation::key(KEY));
    change(&mut group);
    cloud.enrollments().put_group(group);
    cloud
}

/// Registers `d`; gives hub, substatus and payload.
async fn assigned(cloud: &Handle) -> (String, String, Value) {
    let (status, answer) = register(cloud, &with_group_key("d", &KEY), None).await;
    assert_eq!(status, 200, "{answer}");
    let state = &answer["registrationState"];
    let text = |name: &str| state[name].as_str().unwrap_or_default().to_owned();
    (text("assignedHub"), text("substatus"), state["payload"].clone())
}

#[tokio::test]
async fn a_device_moves_with_its_data() {
    for (reprovision, substatus, hub, reported) in [
        (ReprovisionPolicy::Migrate, "deviceDataMigrated", SECOND, json!(5)),
        (ReprovisionPolicy::Reset, "deviceDataReset", SECOND, json!(1)),
        (ReprovisionPolicy::Never, "initialAssignment", FIRST, json!(5)),
    ] {
        let twin =
            InitialTwin { desired: json!({"n": 1}).as_object().unwrap().clone(), ..InitialTwin::default() };
        let cloud = cloud(|group| {
            group.allocation = AllocationPolicy::Static;
            group.reprovision = reprovision;
            group.initial_twin = Some(twin);
        })
        .await;
        assert_eq!(assigned(&cloud).await, (FIRST.into(), "initialAssignment".into(), Value::Null));
        assert_eq!(cloud.twin("d").unwrap()["desired"]["n"], 1);
        cloud.patch_desired("d", json!({"n": 5}).as_object().unwrap()).unwrap();
        let mut group = cloud.enrollments().own_groups().remove(0);
        group.hubs = vec![SECOND.to_owned()];
        cloud.enrollments().put_group(group);
        assert_eq!(assigned(&cloud).await, (hub.into(), substatus.into(), Value::Null), "{reprovision:?}");
        assert_eq!(cloud.hub_of("d").as_deref(), Some(hub));
        assert_eq!(cloud.twin("d").unwrap()["desired"]["n"], reported);
    }
}

#[tokio::test]
async fn a_custom_allocation_decides_and_returns_data() {
    let cloud = cloud(|group| group.allocation = AllocationPolicy::Custom).await;
    cloud.set_allocation(|request| {
        assert_eq!((request.registration_id.as_str(), request.hubs.len()), ("d", 2));
        Some(Allocation { hub: SECOND.to_owned(), payload: Some(json!({"hello": request.registration_id})) })
    });
    assert_eq!(assigned(&cloud).await, (SECOND.into(), "initialAssignment".into(), json!({"hello": "d"})));
    cloud.set_allocation(|_| None);
    let (_, answer) = register(&cloud, &with_group_key("d", &KEY), None).await;
    assert_eq!(answer["registrationState"]["errorCode"], 400_207);
    assert_eq!(answer["status"], "failed");
}

#[tokio::test]
async fn faults_of_a_whole_service() {
    let cloud = cloud(|group| group.allocation = AllocationPolicy::Static).await;
    assert_eq!(assigned(&cloud).await.0, FIRST);
    // The device is to go elsewhere: its hub does not let it in, and a registration says where to.
    let hub = |host: &str| {
        let key = crate::dps::hmac_sha256(&KEY, "d");
        let password = crate::dps::token(&format!("{host}%2Fdevices%2Fd"), &key, 4_000_000_000, "");
        Connect { password: Some(password), ..Connect::hub(host, "d") }
    };
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(FIRST)).await, Some(0));
    cloud.play(&Fault::Move { device: "d".into(), hub: SECOND.into() }).unwrap();
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(FIRST)).await, Some(5));
    assert_eq!(assigned(&cloud).await, (SECOND.into(), "deviceDataMigrated".into(), Value::Null));
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(SECOND)).await, Some(0));
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(FIRST)).await, Some(5));

    cloud.play(&Fault::DpsOutage { on: true }).unwrap();
    let connect = with_group_key("d", &KEY);
    assert_eq!(open(&cloud, Endpoint::Dps, None).await.connect(&connect).await, Some(3));
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(SECOND)).await, Some(0));
    cloud.play(&Fault::ClockSkew { seconds: i64::from(u32::MAX) }).unwrap();
    assert_eq!(
        open(&cloud, Endpoint::Hub, None).await.connect(&hub(SECOND)).await,
        Some(5),
        "expired by then"
    );
    cloud.play(&Fault::Certificate { certificate: ServerCertificate::Expired }).unwrap();
    let refused =
        connect_tls(cloud.hub_address(), "localhost", cloud.root_der(), None, rustls::ALL_VERSIONS).await;
    assert!(refused.is_err());
    cloud.play(&Fault::Clear).unwrap();
    assert_eq!(open(&cloud, Endpoint::Hub, None).await.connect(&hub(SECOND)).await, Some(0));
}
