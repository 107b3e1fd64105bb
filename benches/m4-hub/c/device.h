// What the emulated board gives to a device in C, and what it calls.
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The device: 0 if it went well.
int device_register(void);
int device_connect(void);
int device_subscribe(void);
int device_telemetry(const uint8_t *payload, size_t length);
int device_receive(void);

// The service, message by message, or byte by byte.
void service_publish(const uint8_t *topic, size_t topic_length, const uint8_t *payload, size_t length);
int service_next(uint8_t *topic, size_t *topic_length, uint8_t *payload, size_t *length);
void service_write(const uint8_t *bytes, size_t length);
size_t service_read(uint8_t *out, size_t length);
uint32_t service_now_ms(void);
void service_sleep_ms(uint32_t ms);

#endif
