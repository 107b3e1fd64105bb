// A transport with coreMQTT (MQTT 3.1.1). A message under way is the caller's to keep; one at a time is.
#include "core_mqtt.h"
#include "device.h"
#include "transport.h"
#include <string.h>

struct NetworkContext {
  int unused;
};

static NetworkContext_t network;
static MQTTContext_t context;
static MQTTPubAckInfo_t outgoing[8], incoming[8];
static uint8_t buffer[1024];
static uint16_t awaited; // the packet whose acknowledgement is awaited
static int result;

static int32_t receive(NetworkContext_t *unused, void *out, size_t length) {
  (void)unused;
  return (int32_t)service_read(out, length);
}

static int32_t transmit(NetworkContext_t *unused, const void *bytes, size_t length) {
  (void)unused;
  service_write(bytes, length);
  return (int32_t)length;
}

static void on_event(MQTTContext_t *unused, MQTTPacketInfo_t *packet, MQTTDeserializedInfo_t *info) {
  (void)unused;
  if ((packet->type & 0xf0) == MQTT_PACKET_TYPE_PUBLISH) {
    MQTTPublishInfo_t *publish = info->pPublishInfo;
    result |= on_message((uint8_t *)publish->pTopicName, publish->topicNameLength, (uint8_t *)publish->pPayload,
                         publish->payloadLength);
  } else if (info->packetIdentifier == awaited) {
    awaited = 0;
  }
}

int transport_connect(const char *client_id, const char *user_name, bool clean) {
  const TransportInterface_t transport = {.recv = receive, .send = transmit, .pNetworkContext = &network};
  const MQTTFixedBuffer_t fixed = {.pBuffer = buffer, .size = sizeof buffer};
  const MQTTConnectInfo_t connect = {.cleanSession = clean,
                                     .keepAliveSeconds = 240,
                                     .pClientIdentifier = client_id,
                                     .clientIdentifierLength = (uint16_t)strlen(client_id),
                                     .pUserName = user_name,
                                     .userNameLength = (uint16_t)strlen(user_name)};
  bool present;
  awaited = 0;
  return MQTT_Init(&context, &transport, service_now_ms, on_event, &fixed) ||
         MQTT_InitStatefulQoS(&context, outgoing, 8, incoming, 8) ||
         MQTT_Connect(&context, &connect, NULL, 30000, &present);
}

static int await(uint16_t id) {
  for (awaited = id; awaited == id;) {
    if (transport_receive()) return 1;
  }
  return 0;
}

int transport_subscribe(const char *const *filters, size_t count) {
  MQTTSubscribeInfo_t list[FILTERS_MAX];
  if (count > FILTERS_MAX) return 1;
  for (size_t i = 0; i < count; i++) {
    list[i] = (MQTTSubscribeInfo_t){.qos = MQTTQoS1,
                                    .pTopicFilter = filters[i],
                                    .topicFilterLength = (uint16_t)strlen(filters[i])};
  }
  uint16_t id = MQTT_GetPacketId(&context);
  return MQTT_Subscribe(&context, list, count, id) || await(id);
}

int transport_publish(const char *topic, size_t topic_length, const uint8_t *payload, size_t length) {
  const MQTTPublishInfo_t publish = {.qos = MQTTQoS1,
                                     .pTopicName = topic,
                                     .topicNameLength = (uint16_t)topic_length,
                                     .pPayload = payload,
                                     .payloadLength = length};
  return MQTT_Publish(&context, &publish, MQTT_GetPacketId(&context)) != MQTTSuccess;
}

int transport_receive(void) {
  MQTTStatus_t status = MQTT_ProcessLoop(&context);
  return (status != MQTTSuccess && status != MQTTNeedMoreBytes) || result;
}

void transport_disconnect(void) { MQTT_Disconnect(&context); }
