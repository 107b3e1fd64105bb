// What azure-iot-sdk-c wants of a board: time, locks (one thread: none), a stream in the place of its TLS, a certificate
// that nobody reads, and a heap that counts.
#include "device.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "azure_c_shared_utility/agenttime.h"
#include "azure_c_shared_utility/lock.h"
#include "azure_c_shared_utility/platform.h"
#include "azure_c_shared_utility/threadapi.h"
#include "azure_c_shared_utility/tickcounter.h"
#include "azure_c_shared_utility/xio.h"
#include "hsm_client_data.h"

// ---- time

struct TICK_COUNTER_INSTANCE_TAG {
  uint32_t since;
};
static struct TICK_COUNTER_INSTANCE_TAG counter;

TICK_COUNTER_HANDLE tickcounter_create(void) { return &counter; }
void tickcounter_destroy(TICK_COUNTER_HANDLE handle) { (void)handle; }
int tickcounter_get_current_ms(TICK_COUNTER_HANDLE handle, tickcounter_ms_t *now) {
  *now = (tickcounter_ms_t)(service_now_ms() - handle->since);
  return 0;
}
time_t get_time(time_t *now) {
  time_t seconds = 1781481600 + service_now_ms() / 1000;
  if (now != NULL) *now = seconds;
  return seconds;
}
double get_difftime(time_t stop, time_t start) { return (double)(stop - start); }
void ThreadAPI_Sleep(unsigned int ms) { service_sleep_ms(ms); }

// ---- locks

LOCK_HANDLE Lock_Init(void) { return (LOCK_HANDLE)&counter; }
LOCK_RESULT Lock(LOCK_HANDLE handle) { return handle == NULL ? LOCK_ERROR : LOCK_OK; }
LOCK_RESULT Unlock(LOCK_HANDLE handle) { return handle == NULL ? LOCK_ERROR : LOCK_OK; }
LOCK_RESULT Lock_Deinit(LOCK_HANDLE handle) { return handle == NULL ? LOCK_ERROR : LOCK_OK; }

// ---- the stream

static struct {
  ON_BYTES_RECEIVED on_bytes;
  void *context;
} stream;

static CONCRETE_IO_HANDLE io_create(void *parameters) { return parameters == NULL ? NULL : &stream; }
static void io_destroy(CONCRETE_IO_HANDLE io) { (void)io; }
static int io_open(CONCRETE_IO_HANDLE io, ON_IO_OPEN_COMPLETE on_open, void *open_context, ON_BYTES_RECEIVED on_bytes,
                   void *context, ON_IO_ERROR on_error, void *error_context) {
  (void)io, (void)on_error, (void)error_context;
  stream.on_bytes = on_bytes;
  stream.context = context;
  on_open(open_context, IO_OPEN_OK);
  return 0;
}
static int io_close(CONCRETE_IO_HANDLE io, ON_IO_CLOSE_COMPLETE on_close, void *context) {
  (void)io;
  stream.on_bytes = NULL;
  if (on_close != NULL) on_close(context);
  return 0;
}
static int io_send(CONCRETE_IO_HANDLE io, const void *bytes, size_t length, ON_SEND_COMPLETE on_sent, void *context) {
  (void)io;
  service_write(bytes, length);
  if (on_sent != NULL) on_sent(context, IO_SEND_OK);
  return 0;
}
static void io_dowork(CONCRETE_IO_HANDLE io) {
  (void)io;
  unsigned char bytes[64]; // as its own adapters for sockets and TLS read
  size_t length;
  while (stream.on_bytes != NULL && (length = service_read(bytes, sizeof bytes)) > 0) {
    stream.on_bytes(stream.context, bytes, length);
  }
}
static int io_setoption(CONCRETE_IO_HANDLE io, const char *name, const void *value) {
  (void)io, (void)name, (void)value;
  return 0;
}
static OPTIONHANDLER_HANDLE io_options(CONCRETE_IO_HANDLE io) {
  (void)io;
  return NULL;
}

int platform_init(void) { return 0; }
void platform_deinit(void) {}
STRING_HANDLE platform_get_platform_info(PLATFORM_INFO_OPTION options) {
  (void)options;
  return STRING_construct("(native; m4)");
}
const IO_INTERFACE_DESCRIPTION *platform_get_default_tlsio(void) {
  static const IO_INTERFACE_DESCRIPTION description = {io_options, io_create, io_destroy, io_open,
                                                       io_close,   io_send,   io_dowork,  io_setoption};
  return &description;
}

// ---- the certificate

static char *copy(const char *text) {
  char *out = malloc(strlen(text) + 1);
  return out == NULL ? NULL : strcpy(out, text);
}
static HSM_CLIENT_HANDLE hsm_create(void) { return &stream; }
static void hsm_destroy(HSM_CLIENT_HANDLE handle) { (void)handle; }
static char *hsm_text(HSM_CLIENT_HANDLE handle) { return handle == NULL ? NULL : copy("PEM"); }
static char *hsm_name(HSM_CLIENT_HANDLE handle) { return handle == NULL ? NULL : copy("my-device"); }

int initialize_hsm_system(void) { return 0; }
void deinitialize_hsm_system(void) {}
int hsm_client_x509_init(void) { return 0; }
void hsm_client_x509_deinit(void) {}
int hsm_client_x509_set_certificate(HSM_CLIENT_HANDLE handle, const char *text) { return handle == NULL || text == NULL; }
int hsm_client_x509_set_key(HSM_CLIENT_HANDLE handle, const char *text) { return handle == NULL || text == NULL; }
int hsm_client_tpm_init(void) { return 0; }
void hsm_client_tpm_deinit(void) {}
const HSM_CLIENT_TPM_INTERFACE *hsm_client_tpm_interface(void) { return NULL; }
const HSM_CLIENT_KEY_INTERFACE *hsm_client_key_interface(void) { return NULL; }
const HSM_CLIENT_X509_INTERFACE *hsm_client_x509_interface(void) {
  static const HSM_CLIENT_X509_INTERFACE interface = {hsm_create, hsm_destroy, hsm_text, hsm_text, hsm_name};
  return &interface;
}

// ---- the heap: newlib's, from behind the statics, and counted

extern char __sheap[];
void *__real_malloc(size_t);
void __real_free(void *);

static char *heap_end = __sheap;
static size_t held, allocations;

void *_sbrk(ptrdiff_t more) {
  char *before = heap_end;
  heap_end += more;
  return before;
}

void *__wrap_malloc(size_t length) {
  void *block = __real_malloc(length);
  if (block != NULL) held += malloc_usable_size(block);
  allocations++;
  return block;
}

void __wrap_free(void *block) {
  if (block != NULL) held -= malloc_usable_size(block);
  __real_free(block);
}

void *__wrap_calloc(size_t count, size_t length) {
  void *block = __wrap_malloc(count * length);
  return block == NULL ? NULL : memset(block, 0, count * length);
}

void *__wrap_realloc(void *before, size_t length) {
  void *block = __wrap_malloc(length);
  if (block == NULL || before == NULL) return block;
  size_t old = malloc_usable_size(before);
  memcpy(block, before, old < length ? old : length);
  __wrap_free(before);
  return block;
}

// What was taken for the heap at most, what is in use now, and how often something was asked for.
void heap_report(size_t *peak, size_t *now, size_t *count) {
  *peak = (size_t)(heap_end - __sheap);
  *now = held;
  *count = allocations;
}
