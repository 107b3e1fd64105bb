// A device over azure-sdk-for-c: what its samples do, without their printing. It does as little as goes through where
// nothing goes wrong: no time limits, no repeating, no order of the twin's versions, request ids that are constants.
#include "device.h"
#include "transport.h"
#include <azure/az_core.h>
#include <azure/az_iot.h>
#include <azure/iot/az_iot_hub_client_properties.h>
#include <string.h>

#define MODEL "dtmi:com:example:Thermostat;1"
#define CHECK(call) \
  do { \
    if (az_result_failed(call)) return 1; \
  } while (0)

static const az_span endpoint = AZ_SPAN_LITERAL_FROM_STR("global.azure-devices-provisioning.net");
static const az_span id_scope = AZ_SPAN_LITERAL_FROM_STR("0ne00000001");
static const az_span registration_id = AZ_SPAN_LITERAL_FROM_STR("my-device");
static const az_span model = AZ_SPAN_LITERAL_FROM_STR("{\"modelId\":\"" MODEL "\"}");
static const az_span thermostat = AZ_SPAN_LITERAL_FROM_STR("thermostat1");
static az_span components[] = {AZ_SPAN_LITERAL_FROM_STR("thermostat1")};

static az_iot_provisioning_client provisioning;
static az_iot_hub_client hub;
static char hub_name[128], device_id[128], operation_id[256], topic[512];
static int32_t hub_length, device_length, operation_length;
static uint32_t retry_after;
static enum { NOWHERE, REGISTERING, ASSIGNING, ASSIGNED, FAILED, AT_HUB } state;

static az_span keep(char *out, size_t size, az_span text, int32_t *length) {
  if ((size_t)az_span_size(text) > size) return AZ_SPAN_EMPTY;
  *length = az_span_size(text);
  memcpy(out, az_span_ptr(text), (size_t)*length);
  return az_span_create((uint8_t *)out, *length);
}

static int send_topic(size_t length, az_span payload) {
  return transport_publish(topic, length, az_span_ptr(payload), (size_t)az_span_size(payload));
}

// ---- provisioning

static int on_answer(az_span name, az_span payload) {
  az_iot_provisioning_client_register_response answer;
  CHECK(az_iot_provisioning_client_parse_received_topic_and_payload(&provisioning, name, payload, &answer));
  retry_after = answer.retry_after_seconds;
  keep(operation_id, sizeof operation_id, answer.operation_id, &operation_length);
  if (!az_iot_provisioning_client_operation_complete(answer.operation_status)) {
    state = ASSIGNING;
  } else if (answer.operation_status == AZ_IOT_PROVISIONING_STATUS_ASSIGNED) {
    keep(hub_name, sizeof hub_name, answer.registration_state.assigned_hub_hostname, &hub_length);
    keep(device_id, sizeof device_id, answer.registration_state.device_id, &device_length);
    state = ASSIGNED;
  } else {
    state = FAILED;
  }
  return 0;
}

int device_register(void) {
  char client_id[128], user_name[256];
  uint8_t body[320];
  size_t length;
  CHECK(az_iot_provisioning_client_init(&provisioning, endpoint, id_scope, registration_id, NULL));
  CHECK(az_iot_provisioning_client_get_client_id(&provisioning, client_id, sizeof client_id, NULL));
  CHECK(az_iot_provisioning_client_get_user_name(&provisioning, user_name, sizeof user_name, NULL));
  const char *filter = AZ_IOT_PROVISIONING_CLIENT_REGISTER_SUBSCRIBE_TOPIC;
  if (transport_connect(client_id, user_name, true) || transport_subscribe(&filter, 1)) return 1;
  state = REGISTERING;
  CHECK(az_iot_provisioning_client_register_get_publish_topic(&provisioning, topic, sizeof topic, &length));
  size_t body_length;
  CHECK(az_iot_provisioning_client_register_get_request_payload(&provisioning, model, NULL, body, sizeof body,
                                                                &body_length));
  if (send_topic(length, az_span_create(body, (int32_t)body_length))) return 1;
  while (state == REGISTERING || state == ASSIGNING) {
    if (state == ASSIGNING) {
      service_sleep_ms(retry_after * 1000);
      az_span operation = az_span_create((uint8_t *)operation_id, operation_length);
      CHECK(az_iot_provisioning_client_query_status_get_publish_topic(&provisioning, operation, topic, sizeof topic,
                                                                      &length));
      state = REGISTERING;
      if (send_topic(length, AZ_SPAN_EMPTY)) return 1;
    }
    if (transport_receive()) return 1;
  }
  transport_disconnect();
  return state != ASSIGNED;
}

// ---- hub

int device_connect(void) {
  char client_id[128], user_name[384];
  az_iot_hub_client_options options = az_iot_hub_client_options_default();
  options.model_id = AZ_SPAN_FROM_STR(MODEL);
  options.component_names = components;
  options.component_names_length = 1;
  CHECK(az_iot_hub_client_init(&hub, az_span_create((uint8_t *)hub_name, hub_length),
                               az_span_create((uint8_t *)device_id, device_length), &options));
  CHECK(az_iot_hub_client_get_client_id(&hub, client_id, sizeof client_id, NULL));
  CHECK(az_iot_hub_client_get_user_name(&hub, user_name, sizeof user_name, NULL));
  state = AT_HUB;
  return transport_connect(client_id, user_name, false);
}

int device_subscribe(void) {
  const char *filters[] = {AZ_IOT_HUB_CLIENT_C2D_SUBSCRIBE_TOPIC, AZ_IOT_HUB_CLIENT_COMMANDS_SUBSCRIBE_TOPIC,
                           AZ_IOT_HUB_CLIENT_PROPERTIES_MESSAGE_SUBSCRIBE_TOPIC,
                           AZ_IOT_HUB_CLIENT_PROPERTIES_WRITABLE_UPDATES_SUBSCRIBE_TOPIC};
  size_t length;
  if (transport_subscribe(filters, 4)) return 1;
  CHECK(az_iot_hub_client_properties_document_get_publish_topic(&hub, AZ_SPAN_FROM_STR("1"), topic, sizeof topic,
                                                                &length));
  return send_topic(length, AZ_SPAN_EMPTY);
}

int device_telemetry(const uint8_t *payload, size_t size) {
  uint8_t bag[128];
  az_iot_message_properties properties;
  size_t length;
  CHECK(az_iot_message_properties_init(&properties, az_span_create(bag, sizeof bag), 0));
  CHECK(az_iot_message_properties_append(&properties, AZ_SPAN_FROM_STR(AZ_IOT_MESSAGE_PROPERTIES_CONTENT_TYPE),
                                         AZ_SPAN_FROM_STR("application%2Fjson")));
  CHECK(az_iot_message_properties_append(&properties, AZ_SPAN_FROM_STR(AZ_IOT_MESSAGE_PROPERTIES_CONTENT_ENCODING),
                                         AZ_SPAN_FROM_STR("utf-8")));
  CHECK(az_iot_message_properties_append(&properties, AZ_SPAN_FROM_STR("alert"), AZ_SPAN_FROM_STR("yes")));
  CHECK(az_iot_message_properties_append(&properties, AZ_SPAN_FROM_STR("site"), AZ_SPAN_FROM_STR("42")));
  CHECK(az_iot_hub_client_telemetry_get_publish_topic(&hub, &properties, topic, sizeof topic, &length));
  return transport_publish(topic, length, payload, size);
}

static int acknowledge(int32_t version) {
  uint8_t json[160];
  size_t length;
  az_json_writer writer;
  CHECK(az_json_writer_init(&writer, az_span_create(json, sizeof json), NULL));
  CHECK(az_json_writer_append_begin_object(&writer));
  CHECK(az_iot_hub_client_properties_writer_begin_component(&hub, &writer, thermostat));
  CHECK(az_iot_hub_client_properties_writer_begin_response_status(
      &hub, &writer, AZ_SPAN_FROM_STR("targetTemperature"), 200, version, AZ_SPAN_FROM_STR("done")));
  CHECK(az_json_writer_append_int32(&writer, 23));
  CHECK(az_iot_hub_client_properties_writer_end_response_status(&hub, &writer));
  CHECK(az_iot_hub_client_properties_writer_end_component(&hub, &writer));
  CHECK(az_json_writer_append_end_object(&writer));
  CHECK(az_iot_hub_client_properties_get_reported_publish_topic(&hub, AZ_SPAN_FROM_STR("2"), topic, sizeof topic,
                                                                &length));
  return send_topic(length, az_json_writer_get_bytes_used_in_destination(&writer));
}

static int on_properties(az_span payload, az_iot_hub_client_properties_message_type type) {
  int32_t version, count = 0;
  az_json_reader reader;
  az_span component;
  az_result result;
  CHECK(az_json_reader_init(&reader, payload, NULL));
  CHECK(az_iot_hub_client_properties_get_properties_version(&hub, &reader, type, &version));
  CHECK(az_json_reader_init(&reader, payload, NULL));
  while (az_result_succeeded(
      result = az_iot_hub_client_properties_get_next_component_property(
          &hub, &reader, type, AZ_IOT_HUB_CLIENT_PROPERTY_WRITABLE, &component))) {
    if (!az_span_is_content_equal(component, thermostat)) return 1;
    if (!az_json_token_is_text_equal(&reader.token, AZ_SPAN_FROM_STR("targetTemperature"))) return 1;
    CHECK(az_json_reader_next_token(&reader));
    CHECK(az_json_reader_skip_children(&reader));
    CHECK(az_json_reader_next_token(&reader));
    count++;
  }
  if (result != AZ_ERROR_IOT_END_OF_PROPERTIES || count != 1) return 1;
  return type == AZ_IOT_HUB_CLIENT_PROPERTIES_MESSAGE_TYPE_WRITABLE_UPDATED ? acknowledge(version) : 0;
}

static int on_hub_message(az_span name, az_span payload) {
  az_iot_hub_client_properties_message properties;
  az_iot_hub_client_command_request command;
  az_iot_hub_client_c2d_request message;
  if (az_result_succeeded(az_iot_hub_client_properties_parse_received_topic(&hub, name, &properties))) {
    switch (properties.message_type) {
      case AZ_IOT_HUB_CLIENT_PROPERTIES_MESSAGE_TYPE_GET_RESPONSE:
      case AZ_IOT_HUB_CLIENT_PROPERTIES_MESSAGE_TYPE_WRITABLE_UPDATED:
        return on_properties(payload, properties.message_type);
      case AZ_IOT_HUB_CLIENT_PROPERTIES_MESSAGE_TYPE_ACKNOWLEDGEMENT:
        return 0;
      default:
        return 1;
    }
  }
  if (az_result_succeeded(az_iot_hub_client_commands_parse_received_topic(&hub, name, &command))) {
    size_t length;
    if (!az_span_is_content_equal(command.component_name, thermostat) ||
        !az_span_is_content_equal(command.command_name, AZ_SPAN_FROM_STR("getReport"))) {
      return 1;
    }
    CHECK(az_iot_hub_client_commands_response_get_publish_topic(&hub, command.request_id, 200, topic, sizeof topic,
                                                                &length));
    return send_topic(length, AZ_SPAN_FROM_STR("{\"max\":23.5}"));
  }
  if (az_result_succeeded(az_iot_hub_client_c2d_parse_received_topic(&hub, name, &message))) {
    az_span id, key;
    CHECK(az_iot_message_properties_find(&message.properties, AZ_SPAN_FROM_STR(AZ_IOT_MESSAGE_PROPERTIES_MESSAGE_ID),
                                         &id));
    CHECK(az_iot_message_properties_find(&message.properties, AZ_SPAN_FROM_STR("key"), &key));
    return !az_span_is_content_equal(key, AZ_SPAN_FROM_STR("a%20value")); // it leaves the decoding to others
  }
  return 1;
}

int on_message(uint8_t *name, size_t name_length, uint8_t *bytes, size_t length) {
  az_span topic_span = az_span_create(name, (int32_t)name_length), payload = az_span_create(bytes, (int32_t)length);
  return state == AT_HUB ? on_hub_message(topic_span, payload) : on_answer(topic_span, payload);
}

int device_receive(void) { return transport_receive(); }
