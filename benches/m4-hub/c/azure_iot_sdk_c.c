// A device over azure-iot-sdk-c, with its MQTT and Plug and Play: what its samples do, without their printing.
#include "device.h"
#include <stdlib.h>
#include <string.h>

#include "azure_prov_client/prov_device_ll_client.h"
#include "azure_prov_client/prov_security_factory.h"
#include "azure_prov_client/prov_transport_mqtt_client.h"
#include "iothub.h"
#include "iothub_client_options.h"
#include "iothub_client_properties.h"
#include "iothub_device_client_ll.h"
#include "iothub_message.h"
#include "iothubtransportmqtt.h"

#define MODEL "dtmi:com:example:Thermostat;1"

static char hub_name[128], device_id[128];
static enum { WAITING, ASSIGNED, FAILED } registration;
static IOTHUB_DEVICE_CLIENT_LL_HANDLE hub;
static bool connected;
static bool confirmed, has_properties;
static int result;

static int work_until(const bool *done) {
  while (!*done && !result) {
    IoTHubDeviceClient_LL_DoWork(hub);
    service_sleep_ms(10);
  }
  return result;
}

static void on_registered(PROV_DEVICE_RESULT outcome, const char *uri, const char *id, void *context) {
  (void)context;
  registration = FAILED;
  if (outcome == PROV_DEVICE_RESULT_OK && strlen(uri) < sizeof hub_name && strlen(id) < sizeof device_id) {
    strcpy(hub_name, uri);
    strcpy(device_id, id);
    registration = ASSIGNED;
  }
}

int device_register(void) {
  registration = WAITING;
  if (IoTHub_Init() || prov_dev_security_init(SECURE_DEVICE_TYPE_X509)) return 1;
  PROV_DEVICE_LL_HANDLE handle =
      Prov_Device_LL_Create("global.azure-devices-provisioning.net", "0ne00000001", Prov_Device_MQTT_Protocol);
  if (handle == NULL || Prov_Device_LL_SetOption(handle, PROV_REGISTRATION_ID, "my-device") ||
      Prov_Device_LL_Set_Provisioning_Payload(handle, "{\"modelId\":\"" MODEL "\"}") ||
      Prov_Device_LL_Register_Device(handle, on_registered, NULL, NULL, NULL)) {
    return 2;
  }
  while (registration == WAITING) {
    Prov_Device_LL_DoWork(handle);
    service_sleep_ms(10);
  }
  Prov_Device_LL_Destroy(handle);
  return registration != ASSIGNED;
}

static void on_status(IOTHUB_CLIENT_CONNECTION_STATUS status, IOTHUB_CLIENT_CONNECTION_STATUS_REASON reason, void *context) {
  (void)reason, (void)context;
  connected = status == IOTHUB_CLIENT_CONNECTION_AUTHENTICATED;
}

static IOTHUBMESSAGE_DISPOSITION_RESULT on_message(IOTHUB_MESSAGE_HANDLE message, void *context) {
  (void)context;
  const char *key = IoTHubMessage_GetProperty(message, "key"), *id = IoTHubMessage_GetMessageId(message);
  result |= key == NULL || strcmp(key, "a value") || id == NULL;
  return IOTHUBMESSAGE_ACCEPTED;
}

static void on_command(const IOTHUB_CLIENT_COMMAND_REQUEST *request, IOTHUB_CLIENT_COMMAND_RESPONSE *response, void *context) {
  (void)context;
  static const char answer[] = "{\"max\":23.5}";
  result |= strcmp(request->componentName, "thermostat1") || strcmp(request->commandName, "getReport");
  response->payload = malloc(sizeof answer - 1);
  if (response->payload == NULL) return;
  memcpy(response->payload, answer, sizeof answer - 1);
  response->payloadLength = sizeof answer - 1;
  response->statusCode = 200;
}

static void acknowledge(int version) {
  const IOTHUB_CLIENT_PROPERTY_WRITABLE_RESPONSE property = {
      .structVersion = IOTHUB_CLIENT_PROPERTY_WRITABLE_RESPONSE_STRUCT_VERSION_1,
      .name = "targetTemperature", .value = "23", .result = 200, .ackVersion = version, .description = "done"};
  unsigned char *json;
  size_t length;
  if (IoTHubClient_Properties_Serializer_CreateWritableResponse(&property, 1, "thermostat1", &json, &length)) {
    result |= 1;
    return;
  }
  result |= IoTHubDeviceClient_LL_SendPropertiesAsync(hub, json, length, NULL, NULL);
  IoTHubClient_Properties_Serializer_Destroy(json);
}

static void on_properties(IOTHUB_CLIENT_PROPERTY_PAYLOAD_TYPE type, const unsigned char *payload, size_t length, void *context) {
  (void)context;
  IOTHUB_CLIENT_PROPERTIES_DESERIALIZER_HANDLE deserializer;
  IOTHUB_CLIENT_PROPERTY_PARSED property = {.structVersion = IOTHUB_CLIENT_PROPERTY_PARSED_STRUCT_VERSION_1};
  int version, writable = 0;
  bool found;
  if (IoTHubClient_Properties_Deserializer_Create(type, payload, length, &deserializer)) {
    result |= 1;
    return;
  }
  result |= IoTHubClient_Properties_Deserializer_GetVersion(deserializer, &version);
  while (IoTHubClient_Properties_Deserializer_GetNext(deserializer, &property, &found) == IOTHUB_CLIENT_OK && found) {
    if (property.propertyType == IOTHUB_CLIENT_PROPERTY_TYPE_WRITABLE) {
      writable++;
      result |= property.componentName == NULL || strcmp(property.componentName, "thermostat1");
    }
    IoTHubClient_Properties_DeserializerProperty_Destroy(&property);
  }
  IoTHubClient_Properties_Deserializer_Destroy(deserializer);
  result |= writable != 1;
  has_properties = true;
  if (type == IOTHUB_CLIENT_PROPERTY_PAYLOAD_WRITABLE_UPDATES) acknowledge(version);
}

int device_connect(void) {
  static const char *const parts[] = {"HostName=", hub_name, ";DeviceId=", device_id, ";x509=true"};
  char text[300] = "";
  bool decode = true;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) strcat(text, parts[i]);
  if (hub != NULL) IoTHubDeviceClient_LL_Destroy(hub);
  connected = false;
  hub = IoTHubDeviceClient_LL_CreateFromConnectionString(text, MQTT_Protocol);
  if (hub == NULL || IoTHubDeviceClient_LL_SetOption(hub, OPTION_MODEL_ID, MODEL) ||
      IoTHubDeviceClient_LL_SetOption(hub, OPTION_AUTO_URL_ENCODE_DECODE, &decode) ||
      IoTHubDeviceClient_LL_SetConnectionStatusCallback(hub, on_status, NULL)) {
    return 1;
  }
  return work_until(&connected);
}

int device_subscribe(void) {
  has_properties = false;
  return IoTHubDeviceClient_LL_SetMessageCallback(hub, on_message, NULL) ||
         IoTHubDeviceClient_LL_SubscribeToCommands(hub, on_command, NULL) ||
         IoTHubDeviceClient_LL_GetPropertiesAndSubscribeToUpdatesAsync(hub, on_properties, NULL) ||
         work_until(&has_properties);
}

static void on_confirmed(IOTHUB_CLIENT_CONFIRMATION_RESULT outcome, void *context) {
  (void)context;
  confirmed = true;
  result |= outcome != IOTHUB_CLIENT_CONFIRMATION_OK;
}

int device_telemetry(const uint8_t *payload, size_t length) {
  confirmed = false;
  IOTHUB_MESSAGE_HANDLE message = IoTHubMessage_CreateFromByteArray(payload, length);
  int failed = message == NULL || IoTHubMessage_SetContentTypeSystemProperty(message, "application/json") ||
               IoTHubMessage_SetContentEncodingSystemProperty(message, "utf-8") ||
               IoTHubMessage_SetProperty(message, "alert", "yes") || IoTHubMessage_SetProperty(message, "site", "42") ||
               IoTHubDeviceClient_LL_SendTelemetryAsync(hub, message, on_confirmed, NULL);
  IoTHubMessage_Destroy(message);
  return failed || work_until(&confirmed);
}

int device_receive(void) {
  IoTHubDeviceClient_LL_DoWork(hub);
  service_sleep_ms(10);
  return result;
}
