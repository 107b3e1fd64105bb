// A transport without MQTT: the service takes messages and gives them.
#include "transport.h"
#include "device.h"

static uint8_t topic[160];
static uint8_t payload[480];

int transport_connect(const char *client_id, const char *user_name, bool clean) {
  (void)clean;
  return client_id[0] == 0 || user_name[0] == 0;
}

int transport_subscribe(const char *const *filters, size_t count) {
  (void)filters;
  return count == 0;
}

int transport_publish(const char *name, size_t name_length, const uint8_t *bytes, size_t length) {
  service_publish((const uint8_t *)name, name_length, bytes, length);
  return 0;
}

int transport_receive(void) {
  size_t topic_length, length;
  return service_next(topic, &topic_length, payload, &length) ? on_message(topic, topic_length, payload, length) : 0;
}

void transport_disconnect(void) {}
