// MQTT as a device over azure-sdk-for-c needs it, which has none: `messages.c` without MQTT, `coremqtt.c` with one.
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILTERS_MAX = 4 };

int transport_connect(const char *client_id, const char *user_name, bool clean);
int transport_subscribe(const char *const *filters, size_t count);
int transport_publish(const char *topic, size_t topic_length, const uint8_t *payload, size_t length);
// Takes what has come, at most one message, which goes to `on_message`.
int transport_receive(void);
void transport_disconnect(void);

// The device's.
int on_message(uint8_t *topic, size_t topic_length, uint8_t *payload, size_t length);

#endif
